"""Calls over real HTTP: complete, economical, read again, resumable."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.schemas.notation import ADDITIONAL_FIELDS
from tests.clock import NOW
from tests.messages import each_names, names, warnings
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Aircall

T0 = int(NOW)
HOUR = 3600
DAY = 24 * HOUR
SLOW = pytest.mark.slow


def add_calls(aircall: Aircall, seconds: Iterable[int]) -> list[int]:
    return [aircall.world.add_call(started_at=second)["id"] for second in seconds]


def rfc3339(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# tests/reading/test_walks.py reads each of these, and more, from a model.
@pytest.mark.parametrize(
    "spread",
    [
        pytest.param([], id="none"),
        pytest.param([T0 - DAY + n for n in range(10_001)], id="10,001"),
        pytest.param([T0 - 2 * HOUR + n * HOUR // 25_000 for n in range(25_000)], id="25,000 in an hour", marks=SLOW),
        pytest.param([T0 - DAY + n // 400 for n in range(12_000)], id="hundreds in one second", marks=SLOW),
        pytest.param([T0 - DAY + n // 50 for n in range(20_050)], id="a page in each second", marks=SLOW),
    ],
)
def test_all_calls_are_read_in_order_and_economically(aircall: Aircall, spread: list[int]) -> None:
    ids = add_calls(aircall, spread)

    run = aircall.run("calls")

    assert run.ids("calls") == ids
    if max(Counter(spread).values(), default=0) <= 50:
        assert run.requests <= math.ceil(len(ids) / 50) * 1.02 + 2


def test_start_and_end_are_respected_to_the_second(aircall: Aircall) -> None:
    ids = add_calls(aircall, range(T0 - 100, T0))

    run = aircall.run("calls", start_date=rfc3339(T0 - 80), end_date="2026-11-23T14:59:30+02:00")

    assert run.ids("calls") == ids[20:71]


def test_values_reach_the_target_as_aircall_sent_them(aircall: Aircall) -> None:
    world = aircall.world
    user = world.add("users", name="Zoë", created_at="2019-12-29T10:03:18.000Z")
    number = world.add("numbers")
    call = world.add_call(
        started_at=T0 - HOUR,
        user=world.call_user(user["id"]),
        number=world.call_number(number["id"]),
        missed_call_reason=None,
        raw_digits="anonymous",
        comments=[{"id": 1, "content": "Ça va\n\u202e😀", "posted_at": T0 - 60, "posted_by": world.author(user["id"])}],
        tags=[{"id": 2**40, "name": "VIP", "created_at": T0 - 30, "tagged_by": None}],
    )

    (record,) = aircall.run("calls").records("calls")

    expected = {key: value for key, value in call.items() if key not in FETCHED} | {
        "started_at": rfc3339(T0 - HOUR),
        "answered_at": rfc3339(T0 - HOUR + 5),
        "ended_at": rfc3339(T0 - HOUR + 60),
        "comments": [{**call["comments"][0], "posted_at": rfc3339(T0 - 60)}],
        "tags": [{**call["tags"][0], "created_at": rfc3339(T0 - 30)}],
    }
    link, path = record.pop("recording"), expected.pop("recording")
    assert link.startswith(f"{aircall.sandbox.url}{path}?expires=")
    assert record == expected
    assert record["user"]["created_at"] == "2019-12-29T10:03:18.000Z"


FETCHED = {"recording_short_url", "voicemail_short_url", "ivr_options_selected", "ai_voice_agents"}


class TestExpensiveParts:
    def flags(self, aircall: Aircall, catalog: dict[str, Any] | None) -> set[str]:
        aircall.sandbox.requests.clear()
        aircall.run(catalog=catalog)
        queries = [log.query for log in aircall.sandbox.requests if log.path == "/v1/calls"]
        (flags,) = {frozenset(name for name in query if name.startswith("fetch_")) for query in queries}
        return set(flags)

    def select(self, aircall: Aircall, *fields: str, contact: bool = True) -> dict[str, Any]:
        catalog = aircall.catalog("calls")
        (calls,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "calls"]
        for item in calls["metadata"]:
            if item["breadcrumb"] and item["breadcrumb"][1] in fields:
                item["metadata"]["selected"] = True
            if item["breadcrumb"] == ["properties", "contact"]:
                item["metadata"]["selected"] = contact
        return catalog

    def test_only_the_contact_is_requested_by_default(self, aircall: Aircall) -> None:
        assert self.flags(aircall, aircall.catalog("calls")) == {"fetch_contact"}
        assert self.flags(aircall, None) == {"fetch_contact"}

    def test_the_contact_can_be_left_out(self, aircall: Aircall) -> None:
        assert self.flags(aircall, self.select(aircall, contact=False)) == set()

    def test_the_contact_costs_no_request(self, aircall: Aircall) -> None:
        for second in range(120):
            aircall.world.add_call(started_at=T0 - DAY + second)
        catalogs = [self.select(aircall), self.select(aircall, contact=False)]
        requests = [aircall.run(catalog=catalog).requests for catalog in catalogs]
        assert requests[0] == requests[1]

    @pytest.mark.parametrize(
        ("field", "flag"),
        [
            ("recording_short_url", "fetch_short_urls"),
            ("voicemail_short_url", "fetch_short_urls"),
            ("ivr_options_selected", "fetch_call_timeline"),
            ("ai_voice_agents", "fetch_aiva_conv"),
        ],
    )
    def test_are_asked_for_when_selected(self, aircall: Aircall, field: str, flag: str) -> None:
        assert self.flags(aircall, self.select(aircall, field)) == {"fetch_contact", flag}

    def test_arrive_when_selected(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - DAY)
        aircall.world.add_call(started_at=T0 - HOUR, contact=contact)

        (record,) = aircall.run(catalog=self.select(aircall, "recording_short_url")).records("calls")

        assert record["contact"] == {**contact, "created_at": rfc3339(T0 - DAY), "updated_at": rfc3339(T0 - DAY)}
        assert record["recording_short_url"].startswith("https://short.example.com/r/")
        assert not FETCHED - {"recording_short_url"} & record.keys()


class TestReadingAgain:
    def test_over_40_days_each_call_is_read_when_new_and_once_at_each_age(self, aircall: Aircall) -> None:
        """Runs once a day (hourly in `make soak`), with edits at any moment of the first 30 days of a call."""
        hours_apart = few_or_many(24, 1)
        dice = random.Random(4)  # noqa: S311 - not for secrets
        ages = [0.5, 6, 24, 72, 168, 720]
        arrivals = sorted(dice.randrange(T0, T0 + 40 * DAY) for _ in range(150))
        ids = {aircall.world.add_call(started_at=second)["id"]: second for second in arrivals}
        edits = {call: second + dice.randrange(60, 30 * DAY) for call, second in ids.items()}
        edited: dict[int, float] = {}
        reads: Counter[int] = Counter()
        arrived: dict[int, float] = {}
        state = None

        catalog = aircall.catalog("calls")
        for hour in range(0, 40 * 24 + 1, hours_apart):
            aircall.clock.now = T0 + hour * HOUR
            for call, at in edits.items():
                if call not in edited and at <= aircall.clock.now:
                    aircall.world.edit_call(call, archived=True)
                    edited[call] = at
            run = aircall.run(catalog=catalog, state=state, reread_after_hours=ages)
            state = run.state
            reads.update(run.ids("calls"))
            for record in run.records("calls"):
                if record["archived"]:
                    arrived.setdefault(record["id"], aircall.clock.now)

        assert reads.keys() == ids.keys()
        assert max(reads.values()) <= 7
        end = T0 + 40 * DAY
        for call, began in ids.items():
            due = [began + hours * HOUR for hours in ages if began + hours * HOUR >= edits[call]]
            if due and due[0] <= end - hours_apart * HOUR:
                assert arrived[call] <= due[0] + hours_apart * HOUR + 1

    def test_missed_runs_leave_no_gap_and_repeat_nothing(self, aircall: Aircall) -> None:
        state = aircall.run("calls").state
        ids = add_calls(aircall, range(T0 + 100, T0 + 20 * DAY, HOUR))

        aircall.clock.now = T0 + 20 * DAY
        run = aircall.run("calls", state=state)

        assert run.ids("calls") == ids

    def test_a_call_that_shows_up_late_arrives_half_an_hour_later(self, aircall: Aircall) -> None:
        late = aircall.world.add_call(started_at=T0 - 60, visible_at=T0 + 120)["id"]

        first = aircall.run("calls")
        aircall.clock.now += HOUR
        second = aircall.run("calls", state=first.state)

        assert first.ids("calls") == []
        assert second.ids("calls") == [late]

    def test_a_changed_setting_takes_effect_at_the_next_run(self, aircall: Aircall) -> None:
        old, *young = add_calls(aircall, [T0 - 3 * DAY, T0 - HOUR, T0 - HOUR + 1])
        state = aircall.run("calls", reread_after_hours=[]).state
        aircall.clock.now += HOUR

        # Old enough at its first reading, so not read again.
        assert aircall.run("calls", state=state, reread_after_hours=[48]).ids("calls") == []
        run = aircall.run("calls", state=state, reread_after_hours=[1.5])
        assert run.ids("calls") == young
        assert old not in run.ids("calls")

    def test_a_recalculated_call_arrives_in_its_final_form(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(started_at=T0 - 20, talk_seconds=300, moves_start=True)["id"]

        first = aircall.run("calls")
        aircall.clock.now += HOUR
        second = aircall.run("calls", state=first.state)

        fields = ("id", "status", "started_at", "ended_at", "duration", "cost", "pricing_type")
        assert [[r[name] for name in fields] for r in first.records("calls")] == [
            [call, "answered", rfc3339(T0 - 20), None, 0, "0.0", None]
        ]
        assert [[r[name] for name in fields] for r in second.records("calls")] == [
            [call, "done", rfc3339(T0 - 19), rfc3339(T0 + 285), 304, "3.0", "in_bundle"]
        ]


class TestState:
    def test_is_small_constant_and_often_written(self, aircall: Aircall) -> None:
        add_calls(aircall, range(T0 - 2_500, T0 - 1_000))

        run = aircall.run("calls")

        assert len({len(str(state)) for state in run.states[2:]}) == 1
        assert len(str(run.state)) < 600
        since = 0
        for message in run.messages:
            since = 0 if message["type"] == "STATE" else since + (message["type"] == "RECORD")
            assert since <= 1_000

    def test_is_exact_at_the_end(self, aircall: Aircall) -> None:
        add_calls(aircall, [T0 - 100, T0 - 50])

        run = aircall.run("calls", reread_after_hours=[0.5])

        assert run.state["bookmarks"]["calls"] == {
            "replication_key": "started_at",
            "replication_key_value": rfc3339(T0 - 50),
            "first_run_at": rfc3339(T0 - 1),
            "cursors": {"0": rfc3339(T0 - 61), "1800": rfc3339(T0 - 1801)},
        }

    def test_never_moves_backwards(self, aircall: Aircall) -> None:
        add_calls(aircall, range(T0 - 5 * DAY, T0, 600))
        run = aircall.run("calls")
        aircall.clock.now += 3 * HOUR

        states = run.states + aircall.run("calls", state=run.state).states

        marks = [state["bookmarks"]["calls"] for state in states if state["bookmarks"].get("calls")]
        bookmarks = [mark["replication_key_value"] for mark in marks]
        assert bookmarks == sorted(bookmarks)
        for age in marks[-1]["cursors"]:
            positions = [mark["cursors"].get(age, "") for mark in marks]
            assert positions == sorted(positions)

    def test_is_never_past_what_was_emitted(self, aircall: Aircall) -> None:
        add_calls(aircall, range(T0 - 600, T0))
        latest = ""
        for message in aircall.run("calls").messages:
            if message["type"] == "RECORD":
                latest = max(latest, message["record"]["started_at"])
            elif message["type"] == "STATE" and message["value"]["bookmarks"].get("calls"):
                assert message["value"]["bookmarks"]["calls"].get("replication_key_value", "") <= latest

    @pytest.mark.parametrize(
        ("calls", "die_after"),
        [(1_300, 2), (1_300, 600), (1_300, 1_299), *(pytest.param(12_000, n, marks=SLOW) for n in (10_100, 11_999))],
    )
    def test_a_killed_run_goes_on_from_its_last_state(self, aircall: Aircall, calls: int, die_after: int) -> None:
        ids = add_calls(aircall, range(T0 - calls, T0))

        killed = aircall.run("calls", die_after=die_after)
        state = killed.states[-1] if killed.states else None
        resumed = aircall.run("calls", state=state)

        assert set(killed.ids("calls")) | set(resumed.ids("calls")) == set(ids)
        assert len(killed.ids("calls")) + len(resumed.ids("calls")) - len(ids) <= 1_000


def test_a_full_table_run_reads_everything_and_drops_the_rest(aircall: Aircall) -> None:
    ids = add_calls(aircall, [T0 - DAY, T0 - HOUR])
    state = aircall.run("calls").state
    catalog = aircall.catalog("calls")
    (calls,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "calls"]
    calls["replication_method"] = "FULL_TABLE"

    run = aircall.run(catalog=catalog, state=state)

    assert run.ids("calls") == ids
    assert run.types("calls") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]


def test_a_catalog_without_keys_stays_incremental(aircall: Aircall) -> None:
    catalog = aircall.catalog("calls")
    for entry in catalog["streams"]:
        for name in ("key_properties", "replication_key", "replication_method"):
            entry.pop(name, None)
        for item in entry["metadata"]:
            for name in ("table-key-properties", "valid-replication-keys", "forced-replication-method"):
                item["metadata"].pop(name, None)
    add_calls(aircall, [T0 - HOUR])

    run = aircall.run(catalog=catalog)

    assert run.types("calls") == ["SCHEMA", "RECORD"]
    assert next(m for m in run.messages if m["type"] == "SCHEMA")["key_properties"] == ["id"]


def test_unknown_fields_are_named_once_and_kept(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    add_calls(aircall, [T0 - 100, T0 - 50])
    for call in aircall.world.calls.values():
        call["mood"] = "secret mood"
        call["number"] = {"id": 1, "shoe_size": 43}

    run = aircall.run("calls")

    for record in run.records("calls"):
        assert "mood" not in record
        assert record["number"] == {"id": 1}
        assert record["additional_fields"] == {"mood": "secret mood", "number.shoe_size": 43}
    each_names(sorted(warnings(caplog)), *((name, "calls", ADDITIONAL_FIELDS) for name in ("mood", "number.shoe_size")))


def test_what_is_deselected_is_neither_named_nor_kept(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    add_calls(aircall, [T0 - 100])
    for call in aircall.world.calls.values():
        call |= {"number": {"id": 1, "shoe_size": 43}, "duration": "long", "mood": 1, "tags": "VIP", "api_token": 1}
    catalog = aircall.catalog("calls")
    (calls,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "calls"]
    del calls["schema"]["properties"]["tags"]  # as in a catalog that is older than this field
    for item in calls["metadata"]:
        if item["breadcrumb"] in (["properties", "number"], ["properties", "duration"]):
            item["metadata"]["selected"] = False

    (record,) = aircall.run(catalog=catalog).records("calls")

    assert not {"number", "duration", "tags"} & record.keys()
    assert record["additional_fields"] == {"mood": 1}
    lines = sorted(warnings(caplog))
    each_names(lines, ("mood", "calls", ADDITIONAL_FIELDS), ("api_token", "calls", "secret"))
    assert not names(lines[1], ADDITIONAL_FIELDS)


def test_without_the_column_unknown_fields_are_left_out(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    add_calls(aircall, [T0 - 100])
    for call in aircall.world.calls.values():
        call |= {"mood": 1, "ended_at": ""}
    catalog = aircall.catalog("calls")
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == ["properties", "additional_fields"]:
                item["metadata"]["selected"] = False

    (record,) = aircall.run(catalog=catalog).records("calls")

    assert record["ended_at"] is None
    assert "additional_fields" not in record
    lines = warnings(caplog)
    each_names(sorted(lines), ("mood", "calls"), ("ended_at", "calls"))
    assert not any(names(line, ADDITIONAL_FIELDS) for line in lines)


def test_few_of_many_unknown_fields_are_named(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    add_calls(aircall, [T0 - 100, T0 - 50])
    for call in aircall.world.calls.values():
        call |= {f"mood_{number}": 1 for number in range(2_000)}

    with caplog.at_level("INFO"):
        run = aircall.run("calls")

    assert [len(record["additional_fields"]) for record in run.records("calls")] == [2_000] * 2
    lines = warnings(caplog)
    assert len(lines) == 11
    assert names(lines[-1], "calls", 990)
    assert any(names(line, 4_000, "unknown") for line in caplog.messages)
