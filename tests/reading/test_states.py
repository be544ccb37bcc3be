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
from tests.messages import names, refused
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


SOON, LATER = "2026-11-23T12:00:00Z", "2027-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("stream", "mark", "named"),
    [
        ("calls", {"cursors": {"0": SOON}}, None),
        ("calls", {"cursors": [], "first_run_at": SOON}, None),
        ("calls", {"cursors": None, "first_run_at": SOON}, None),
        ("calls", {"cursors": {"0": None}, "first_run_at": SOON}, None),
        ("calls", {"cursors": {"0": True}, "first_run_at": SOON}, None),
        ("calls", {"cursors": {"0": 10**30}, "first_run_at": SOON}, None),
        ("calls", {"cursors": {"zero": SOON}, "first_run_at": SOON}, None),
        ("calls", {"cursors": {"0": LATER}, "first_run_at": SOON}, LATER),
        ("calls", {"replication_key_value": LATER}, LATER),
        ("calls", {"replication_key_value": "yesterday"}, None),
        ("calls", {"replication_key_value": SOON, "positions": {}}, "positions"),
        ("calls", {"replication_key_value": SOON, "forged\nline": {}}, "forged line"),
        ("contacts", {"replication_key_value": 10**30}, None),
        ("contacts", {"replication_key_value": ["2026"]}, None),
        ("contacts", {"backfill": None}, None),
        ("contacts", {"backfill": {"bookmark": SOON, "created_through": None}}, None),
        ("contacts", {"cursors": {}}, "cursors"),
        ("call_topics", {"found": [1]}, None),
        ("call_topics", {"found": {SOON: None}}, None),
        ("call_topics", {"found": {SOON: ["1"]}}, None),
        ("call_topics", {"found": {SOON: [1, 0.5]}}, None),
        ("call_topics", {"found": {LATER: [1]}}, LATER),
        ("call_topics", {"refused": []}, None),
        ("call_topics", {"refused": {"calls": {SOON: None}}}, None),
        ("call_topics", {"refused": {"calls": {}, "after": None}}, None),
        ("call_topics", {"refused": {"calls": {}, "after": "yesterday"}}, None),
        ("call_topics", {"refused": {"asked_at": LATER}, "first_run_at": SOON, "cursors": {}}, LATER),
        ("call_topics", {"later": {"refused": {LATER: [1]}}, "first_run_at": SOON, "cursors": {}}, LATER),
        ("call_topics", {"later": {"refused": [1]}}, None),
        ("users", {"gaps": [{"after": None, "until": None, "counted": 5}]}, None),
        ("calls", {"gaps": 1}, None),
        ("analytics_reports", {"reports": {REPORT: {"through": "2026-11-20"}}}, None),
        ("analytics_reports", {"reports": {REPORT: {"through": LATER[:10], "rows": {}}}}, f"{LATER[:10]}T00:00:00Z"),
        ("user_numbers", {"asked_at": None}, None),
        ("user_numbers", {"asked_at": LATER}, LATER),
        ("user_numbers", {"read_at": SOON}, "read_at"),
        ("call_recordings", {"kept": [1]}, None),
        ("call_recordings", {"kept": {"video": {}}}, None),
        ("call_recordings", {"kept": {"recording": {LATER: [1]}}}, LATER),
        ("call_counts", {"cursors": {"0": None}, "first_run_at": SOON}, None),
        ("call_counts", {"cursors": {"0": LATER}, "first_run_at": SOON}, LATER),
        ("my_calls", {"custom": True, "replication_key": "started_at"}, None),
        ("my_calls", {"custom": True, "replication_key": "started_at", "replication_key_value": LATER}, LATER),
        ("my_calls", {"custom": True, "cursors": {}}, "cursors"),
    ],
)
def test_a_state_that_cannot_be_understood_is_refused(
    aircall: Aircall, stream: str, mark: Record, named: str | None
) -> None:
    settings: dict[str, Any] = {"state": {"bookmarks": {stream: mark}}, **WAYS["custom"].settings}
    with refused(InputError, stream, *([named] if named else [])) as caught:
        aircall.run(catalog=aircall.catalog(stream, **WAYS["custom"].settings), **settings)

    assert named or not names(str(caught.value), LATER)

    kept = aircall.run("tags", **settings).state["bookmarks"][stream]
    assert kept == kept | mark  # what is not selected stops no run


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"type": "STATE", "value": {"bookmarks": {}}}, "value"),
        ({"singer_state": {"bookmarks": {}}}, "singer_state"),  # as `meltano state get` prints it
        ({"completed": {"singer_state": {"bookmarks": {}}}}, "bookmarks"),
        ({"calls": {"replication_key_value": SOON}}, "bookmarks"),
        ({"bookmarks": None}, "bookmarks"),
        ({"bookmarks": {"calls": None}}, "bookmarks"),
    ],
)
def test_a_file_that_is_not_a_state_is_not_taken_for_an_empty_one(aircall: Aircall, state: Record, named: str) -> None:
    with refused(InputError, "State", f"'{named}'"):
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
