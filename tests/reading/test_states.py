"""States that earlier commits wrote: today's tap goes on from each and loses nothing.

tests/states/record.py says how they were recorded.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.errors import InputError
from tap_aircall.reading.conform import without
from tap_aircall.streams.custom.definitions import RECORD
from tests.clock import NOW
from tests.states.record import FOLDER, REPORT, WALKED, WAYS, company, identify, pass_an_hour, read_records, shapes
from tests.states.record import run as run_tap
from tests.warehouse import CHANGING, Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Aircall, Record, Run
    from tests.states.record import Way

STATES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
SIGNED = frozenset(CHANGING)
DAY = 86_400
SHAPES = {shape for recorded in STATES.values() for shape in shapes(recorded["state"])}


def run(aircall: Aircall, way: Way, state: Record | None = None) -> Run:
    done = run_tap(aircall, way, state)
    unknown = {shape for each in done.states for shape in shapes(each)} - SHAPES
    assert not unknown, "States have a new form: run `python -m tests.states.record`, and commit what it writes."
    return done


def loaded(messages: list[Record], of: dict[str, list[Any]]) -> Iterator[Record]:
    """Leave out the records of walked streams that a target did not have by then."""
    for message in messages:
        stream = message.get("stream")
        if (
            message["type"] != "RECORD"
            or stream not in WALKED
            or any(
                entry[0] <= identify(message["record"]) <= entry[1]
                if isinstance(entry, list)
                else entry == identify(message["record"])
                for entry in of.get(stream, ())
            )
        ):
            yield message


def facts(warehouse: Warehouse) -> Record:
    """Leave out what proves nothing: rows that reports lost, and signed addresses, in whole records too."""
    tables: Record = {}
    for stream, table in warehouse.tables.items():
        rows = {key: row for key, row in table.items() if row.get("row", "") is not None}
        tables[stream] = {key: row | {RECORD: without(SIGNED, row.get(RECORD, {}))} for key, row in rows.items()}
    return tables


@cache
def runs(way: Way) -> list[list[Record]]:
    """Return the messages of a first run and of one an hour later."""
    with company(way) as aircall:
        first = run(aircall, way)
        pass_an_hour(aircall, way)
        return [first.messages, run(aircall, way, first.state).messages]


def pass_forty_days(aircall: Aircall) -> None:
    """Pass the age at which calls are read for the last time."""
    aircall.clock.now += 40 * DAY
    aircall.world.move_on(aircall.clock.now)


@cache
def truth(way: Way, hours: int) -> Record:
    """Return what a target has that begins when all is over."""
    warehouse = Warehouse()
    with company(way) as aircall:
        for _ in range(hours):
            pass_an_hour(aircall, way)
        pass_forty_days(aircall)
        warehouse.load(run(aircall, way).messages)
    return facts(warehouse)


@pytest.mark.parametrize("name", STATES)
def test_todays_tap_goes_on_from_what_an_earlier_one_wrote(name: str) -> None:
    recorded = STATES[name]
    way, hours = WAYS[recorded["way"]], recorded["run"]
    warehouse = Warehouse()
    for messages in runs(way)[: hours - 1]:
        warehouse.load(messages)
    warehouse.load(loaded(runs(way)[hours - 1], recorded["loaded"]))

    with company(way) as aircall:
        for _ in range(hours):
            pass_an_hour(aircall, way)
        resumed = run(aircall, way, recorded["state"])
        warehouse.load(resumed.messages)
        assert read_records(resumed.messages) == recorded["reads"]
        pass_forty_days(aircall)
        warehouse.load(run(aircall, way, resumed.state).messages)

    assert facts(warehouse) == truth(way, hours)


NOT_OURS = "State of stream '{}': not as tap-aircall writes it; restore it, or start without."
TO_COME = (
    "State of stream '{}': resumes at {}, which is in the future; correct this machine's clock, restore an earlier "
    "state, or start without."
)
UNKNOWN = (
    "State of stream '{}': has '{}', which this version of tap-aircall does not know; use the version that wrote it, "
    "restore an earlier state, or start without."
)
OBJECT = "it must be an object with 'bookmarks'."
SOON, LATER = "2026-11-23T12:00:00Z", "2027-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("stream", "mark", "line"),
    [
        ("calls", {"cursors": {"0": SOON}}, NOT_OURS),
        ("calls", {"cursors": [], "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": None, "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": {"0": None}, "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": {"0": True}, "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": {"0": 10**30}, "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": {"zero": SOON}, "first_run_at": SOON}, NOT_OURS),
        ("calls", {"cursors": {"0": LATER}, "first_run_at": SOON}, TO_COME),
        ("calls", {"replication_key_value": LATER}, TO_COME),
        ("calls", {"replication_key_value": "yesterday"}, NOT_OURS),
        ("calls", {"replication_key_value": SOON, "positions": {}}, UNKNOWN),
        ("calls", {"replication_key_value": SOON, "forged\nline": {}}, UNKNOWN),
        ("contacts", {"replication_key_value": 10**30}, NOT_OURS),
        ("contacts", {"replication_key_value": ["2026"]}, NOT_OURS),
        ("contacts", {"backfill": None}, NOT_OURS),
        ("contacts", {"backfill": {"bookmark": SOON, "created_through": None}}, NOT_OURS),
        ("contacts", {"cursors": {}}, UNKNOWN),
        ("call_topics", {"found": [1]}, NOT_OURS),
        ("call_topics", {"found": {SOON: None}}, NOT_OURS),
        ("call_topics", {"found": {SOON: ["1"]}}, NOT_OURS),
        ("call_topics", {"found": {SOON: [1, 0.5]}}, NOT_OURS),
        ("call_topics", {"found": {LATER: [1]}}, TO_COME),
        ("call_topics", {"refused": []}, NOT_OURS),
        ("call_topics", {"refused": {"calls": {SOON: None}}}, NOT_OURS),
        ("call_topics", {"refused": {"calls": {}, "after": None}}, NOT_OURS),
        ("call_topics", {"refused": {"calls": {}, "after": "yesterday"}}, NOT_OURS),
        ("call_topics", {"refused": {"asked_at": LATER}, "first_run_at": SOON, "cursors": {}}, TO_COME),
        ("call_topics", {"later": {"refused": {LATER: [1]}}, "first_run_at": SOON, "cursors": {}}, TO_COME),
        ("call_topics", {"later": {"refused": [1]}}, NOT_OURS),
        ("users", {"gaps": [{"after": None, "until": None, "counted": 5}]}, NOT_OURS),
        ("calls", {"gaps": 1}, NOT_OURS),
        ("analytics_reports", {"reports": {REPORT: {"through": "2026-11-20"}}}, NOT_OURS),
        ("analytics_reports", {"reports": {REPORT: {"through": LATER[:10], "rows": {}}}}, TO_COME),
        ("user_numbers", {"asked_at": None}, NOT_OURS),
        ("user_numbers", {"asked_at": LATER}, TO_COME),
        ("user_numbers", {"read_at": SOON}, UNKNOWN),
        ("call_recordings", {"kept": [1]}, NOT_OURS),
        ("call_recordings", {"kept": {"video": {}}}, NOT_OURS),
        ("call_recordings", {"kept": {"recording": {LATER: [1]}}}, TO_COME),
        ("call_counts", {"cursors": {"0": None}, "first_run_at": SOON}, NOT_OURS),
        ("call_counts", {"cursors": {"0": LATER}, "first_run_at": SOON}, TO_COME),
        ("my_calls", {"custom": True, "replication_key": "started_at"}, NOT_OURS),
        ("my_calls", {"custom": True, "replication_key": "started_at", "replication_key_value": LATER}, TO_COME),
        ("my_calls", {"custom": True, "cursors": {}}, UNKNOWN),
    ],
)
def test_a_state_that_cannot_be_understood_is_refused(aircall: Aircall, stream: str, mark: Record, line: str) -> None:
    settings: dict[str, Any] = {"state": {"bookmarks": {stream: mark}}, **WAYS["custom"].settings}
    with pytest.raises(InputError) as caught:
        aircall.run(catalog=aircall.catalog(stream, **WAYS["custom"].settings), **settings)

    time = LATER if stream != "analytics_reports" else f"{LATER[:10]}T00:00:00Z"
    unknown = min(mark).replace("\n", " ")
    assert str(caught.value) == line.format(stream, time if line is TO_COME else unknown)

    kept = aircall.run("tags", **settings).state["bookmarks"][stream]
    assert kept == kept | mark  # what is not selected stops no run


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ({"type": "STATE", "value": {"bookmarks": {}}}, "pass the value of its 'value'."),
        (
            {"singer_state": {"bookmarks": {}}},
            "pass the value of its 'singer_state'.",
        ),  # as `meltano state get` prints it
        ({"completed": {"singer_state": {"bookmarks": {}}}}, OBJECT),
        ({"calls": {"replication_key_value": SOON}}, OBJECT),
        ({"bookmarks": None}, OBJECT),
        ({"bookmarks": {"calls": None}}, OBJECT),
    ],
)
def test_a_file_that_is_not_a_state_is_not_taken_for_an_empty_one(aircall: Aircall, state: Record, advice: str) -> None:
    with pytest.raises(InputError, match=rf"^State: not a Singer state; {advice}$"):
        aircall.tap(state=state)


def test_a_clock_may_be_set_back_a_little(aircall: Aircall) -> None:
    state = aircall.run("calls").state
    aircall.clock.now -= 500

    assert aircall.run("calls", state=state).ids("calls") == []


def test_a_run_goes_on_from_another_taps_bookmark(aircall: Aircall) -> None:
    late = aircall.world.add_call(started_at=int(NOW) - 60)["id"]
    aircall.world.add_call(started_at=int(NOW) - 7200)
    mark = {"replication_key": "started_at", "replication_key_value": SOON, "progress_markers": {}}

    assert aircall.run("calls", state={"bookmarks": {"calls": mark}}, reread_after_hours=[]).ids("calls") == [late]
