"""Whole runs over a company that does not hold still: each state, and each run, keeps what the tap promises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tests.moving import AI_RESULTS, LISTS, Company, Event, Outcome, Plan, outcomes
from tests.slow import RUN_SLOW, few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_sandbox.templates import Record

pytestmark = pytest.mark.timeout(few_or_many(120, 1_200))
MOVING = settings(
    max_examples=few_or_many(12, 1_000),
    derandomize=not RUN_SLOW,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
BEGINNING = -(10**12)
SETTLE = 20 * 60
YOUNG = 72 * 3600
MONTHS = Plan(hours=40 * 24)
"""A run after which no call will change any more."""


def histories(*happenings: str) -> st.SearchStrategy[list[Event]]:
    event = st.builds(Event, st.integers(0, 2), st.integers(0, 30), st.sampled_from(happenings), st.integers(0, 999))
    return st.lists(event, max_size=12)


def plans() -> st.SearchStrategy[list[Plan]]:
    die_after = st.none() | st.integers(1, 120)
    plan = st.builds(Plan, st.sampled_from([0.1, 1, 7, 30]), die_after, st.sampled_from([1, 4]))
    return st.lists(plan, min_size=1, max_size=3)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of runs make a long log that nobody reads."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def essence(record: Record) -> Record:
    """Return the fields that can change, of an object from Aircall or from a warehouse."""
    times = {name: record.get(name) and to_rfc3339(record[name]) for name in ("started_at", "ended_at", "updated_at")}
    others = {name: record.get(name) for name in ("status", "duration", "cost", "first_name", "name", "content")}
    return {"tags": [tag["id"] for tag in record.get("tags", ())], **times, **others}


def stale(warehouse: Warehouse, stream: str, truth: dict[Any, Record]) -> list[Any]:
    """Return the keys of what a warehouse lacks or has in another version."""
    table = warehouse.tables.get(stream, {})
    return [key for key, record in truth.items() if (key,) not in table or essence(table[key,]) != essence(record)]


def cursors(warehouse: Warehouse) -> dict[int, int]:
    """Return how far calls were read, in UNIX seconds by age in seconds."""
    positions = warehouse.state.get("bookmarks", {}).get("calls", {}).get("cursors", {})
    return {int(age): to_seconds(position) for age, position in positions.items()}


def covered(company: Company, warehouse: Warehouse, outcome: Outcome) -> set[int]:
    """Return the calls that this run read again according to its state: those that a cursor moved past."""
    before = cursors(outcome.before)
    return {
        call
        for call in outcome.there["calls"]
        if ("calls", call) not in company.gone
        for age, position in cursors(warehouse).items()
        if before.get(age, BEGINNING) < min(company.starts[call]) and max(company.starts[call]) <= position
    }


def expected_results(company: Company, outcome: Outcome, stream: str, calls: set[int]) -> dict[int, Any]:
    """Return the results that a run must bring for calls that it read, if that is certain; None for no result."""
    expected: dict[int, Any] = {}
    known = {row["call_id"] for row in outcome.before.tables.get(stream, {}).values()}
    for identity in calls:
        call = outcome.there["calls"][identity]
        is_settled = call["status"] == "done" and call["ended_at"] + SETTLE <= outcome.began
        if not is_settled or (stream, identity) in company.touched:
            continue
        payload = company.ai_result(stream, identity)
        if stream == "call_action_items":
            expected[identity] = payload and payload["action_items"][0]["content"]
        elif payload is None or (identity not in known and call["started_at"] > company.clock.now - YOUNG):
            expected[identity] = payload and payload["content"]
    return expected


@MOVING
@given(
    calls=st.integers(0, 40),
    old_calls=st.just(0) | st.integers(0, 20),
    per_second=st.integers(1, 9),
    plans=plans(),
    events=histories(
        "call_arrives",
        "call_moves",
        "call_is_edited",
        "call_disappears",
        "call_expires_as_another_arrives",
        "time_passes",
        "ai_result_appears",
        "ai_result_disappears",
    ),
)
@example(
    calls=0, old_calls=12, per_second=1, plans=[Plan(1)], events=[Event(0, 3, "call_expires_as_another_arrives", 2)]
)
def test_no_call_is_lost_while_calls_move(
    calls: int, old_calls: int, per_second: int, plans: list[Plan], events: list[Event]
) -> None:
    company, warehouse = Company(), Warehouse()
    company.furnish(calls=calls, old_calls=old_calls, per_second=per_second)

    for outcome in outcomes(company, warehouse, ("calls", *AI_RESULTS), plans, events):
        read, emitted = covered(company, warehouse, outcome), set(outcome.kept.ids("calls"))
        assert read <= emitted <= {key for stream, key in company.ever if stream == "calls"}
        assert not stale(
            warehouse,
            "calls",
            {c: call for c, call in outcome.there["calls"].items() if c in read and call == company.world.calls[c]},
        )
        for stream in AI_RESULTS:
            brought = {record["call_id"]: record["content"] for record in outcome.kept.records(stream)}
            for call, content in expected_results(company, outcome, stream, read).items():
                assert brought.get(call) == content
        if outcome.is_complete:
            reached = int(outcome.began) - 1
            assert all(position >= reached - max(age, TRAIL_SECONDS) for age, position in cursors(warehouse).items())

    for outcome in outcomes(company, warehouse, ("calls", *AI_RESULTS), [MONTHS]):
        seen = {key: call for key, call in outcome.there["calls"].items() if key not in company.settled}
        assert not stale(warehouse, "calls", seen)


@MOVING
@given(
    contacts=st.integers(0, 40),
    per_second=st.integers(1, 9),
    plans=plans(),
    events=histories("contact_appears", "contact_is_edited", "contact_disappears", "time_passes"),
)
@example(
    contacts=20,
    per_second=1,
    plans=[Plan(1)],
    events=[Event(0, 4, "contact_disappears", 0), Event(0, 4, "contact_appears", 0)],
)
def test_no_contact_is_lost_while_contacts_move(
    contacts: int, per_second: int, plans: list[Plan], events: list[Event]
) -> None:
    company, warehouse = Company(), Warehouse()
    company.furnish(contacts=contacts, per_second=per_second)

    for outcome in outcomes(company, warehouse, ("contacts",), plans, events):
        assert {("contacts", key) for key in outcome.kept.ids("contacts")} <= company.ever
        if outcome.is_complete:
            check_what_stayed(company, warehouse, outcome, "contacts")

    for outcome in outcomes(company, warehouse, ("contacts",), [MONTHS]):
        assert not stale(warehouse, "contacts", outcome.there["contacts"])


@MOVING
@given(members=st.integers(0, 17), plans=plans(), events=histories("list_grows", "list_shrinks"))
def test_lists_that_grow_and_shrink_end_as_aircall_has_them(
    members: int, plans: list[Plan], events: list[Event]
) -> None:
    company, warehouse = Company(), Warehouse()
    company.furnish(members=members)

    for outcome in outcomes(company, warehouse, (*LISTS, "user_numbers"), plans, events):
        if outcome.is_complete:
            for stream in LISTS:
                check_what_stayed(company, warehouse, outcome, stream)
                assert {(stream, key) for (key,) in warehouse.tables[stream]} <= company.ever

    for outcome in outcomes(company, warehouse, (*LISTS, "user_numbers"), [MONTHS]):
        for stream in LISTS:
            assert not stale(warehouse, stream, outcome.there[stream])
            assert len(warehouse.tables[stream]) == len(outcome.there[stream])


def check_what_stayed(company: Company, warehouse: Warehouse, outcome: Outcome, stream: str) -> None:
    """Check that everything that stayed is there, and is current unless it changed since the run began."""
    stayed = {key: record for key, record in outcome.there[stream].items() if (stream, key) not in company.gone}
    assert {(key,) for key in stayed} <= warehouse.tables[stream].keys()
    assert not stale(
        warehouse, stream, {key: one for key, one in stayed.items() if (stream, key) not in company.touched}
    )


@pytest.mark.parametrize("seconds", [3_600, 1, -1, -2, -3_600])
def test_a_call_that_moves_before_it_was_read_is_read(seconds: int) -> None:
    """Even if it moves in among calls that were read: the list then ends short of its total."""
    company, warehouse = Company(), Warehouse()
    company.furnish(calls=20, per_second=2)
    sixth = sorted(company.world.calls)[5]

    def call_moves(which: int) -> None:
        company.move(sixth, seconds * which)

    company.call_moves = call_moves  # type: ignore[method-assign]
    plans, events = [Plan(1), Plan(30)], [Event(0, 3, "call_moves", 1)]

    first, later = outcomes(company, warehouse, ("calls",), plans, events)

    assert sixth in first.kept.ids("calls")
    assert sixth in later.kept.ids("calls")  # at its next age


@pytest.mark.parametrize("request_of_growth", [2, 3])
def test_a_record_missed_because_another_came_as_one_went_arrives_later(request_of_growth: int) -> None:
    """What no client can see: a call goes and another comes between the same two requests."""
    company, warehouse = Company(), Warehouse()
    company.furnish(members=12)
    sixth = list(company.world.kinds["users"])[5]

    def list_shrinks(which: int) -> None:
        company.world.delete("users", list(company.world.kinds["users"])[which])

    company.list_shrinks = list_shrinks  # type: ignore[method-assign]
    events = [Event(0, 2, "list_shrinks", 0), Event(0, request_of_growth, "list_grows", 0)]  # of users

    first, later = outcomes(company, warehouse, ("users",), [Plan(1), Plan(1)], events)

    assert (sixth in first.kept.ids("users")) is (request_of_growth == 3)
    assert sixth in later.kept.ids("users")
