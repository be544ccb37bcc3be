"""The tap uses Aircall's clock: a wrong local clock or wrong responses lose no call."""

from __future__ import annotations

import email.utils
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Sandbox, World
from tap_aircall.errors import InputError
from tap_aircall.reading.clock import TRAIL_SECONDS, AircallClock
from tests.clock import NOW, FakeClock
from tests.conftest import Aircall
from tests.messages import each_names, refused, warnings
from tests.slow import RUN_SLOW, few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Record

T0 = int(NOW)
HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
DEFAULT = [0.5, 6, 24, 72, 168, 720]
AGES = st.sampled_from([[], [0.01], DEFAULT])


class WrongClock(FakeClock):
    """A clock that differs from Aircall's, and may jump."""

    ahead = 0.0
    """By this many seconds."""

    @override
    def time(self) -> float:
        return self.now + self.ahead


@contextmanager
def company() -> Iterator[tuple[Aircall, WrongClock]]:
    clock = WrongClock()
    with Sandbox(World(now=NOW), clock=lambda: clock.now) as sandbox:
        yield Aircall(sandbox, clock), clock


@pytest.fixture
def wrong() -> Iterator[tuple[Aircall, WrongClock]]:
    """An Aircall, and a tap whose clock may be wrong."""
    with company() as both:
        yield both


def date(second: float) -> str:
    return email.utils.formatdate(second, usegmt=True)


def load(aircall: Aircall, warehouse: Warehouse, catalog: Record, **options: Any) -> None:
    """Make a run that goes on from where the warehouse is."""
    run = aircall.run(catalog=catalog, state=warehouse.state or None, **options)
    messages = list(run.messages)
    while "die_after" in options and messages and messages[-1]["type"] != "STATE":
        messages.pop()
    warehouse.load(messages)


def is_refused(aircall: Aircall, warehouse: Warehouse, catalog: Record, **options: Any) -> bool:
    """Make a run; return whether it refused the state, since that is ahead of every clock that the run knows."""
    try:
        load(aircall, warehouse, catalog, **options)
    except InputError as refusal:
        if not re.search(r" \d{4}-\d\d-\d\dT\S+Z", str(refusal)):  # no other refusal names a time
            raise
        return True
    return False


def check_all_arrived(aircall: Aircall, warehouse: Warehouse) -> None:
    table = warehouse.tables.get("calls", {})
    assert {key for (key,) in table} == set(aircall.world.calls)
    for key, call in aircall.world.calls.items():
        assert (table[key,]["status"], table[key,]["duration"]) == (call["status"], call["duration"])


# What a header may say: by how many seconds it is wrong, None for no header, or text.
HONEST = 0
LIES = st.sampled_from([HONEST, HONEST, None, "yesterday", -7 * DAY, -50 * YEAR, -HOUR, -30, 30, HOUR, 10 * YEAR])
LATE_OR_NONE = {HONEST, None, "yesterday", -7 * DAY, -50 * YEAR, -HOUR, -30}
SKEWS = st.sampled_from([0, 1, -1, 300, -300, HOUR, -HOUR, 20 * HOUR, 3 * YEAR, -3 * YEAR])
RUN = st.fixed_dictionaries(
    {
        "gap": st.sampled_from([1, 20, 61, 300, 1_700, 2 * HOUR]),
        "ahead": SKEWS,
        "jumps": SKEWS,
        # If no answer of a run is honest, nothing tells one that is ahead from the truth. Each run has two or more.
        "lies": st.lists(LIES, max_size=1) | st.lists(LIES.filter(lambda lie: lie in LATE_OR_NONE), max_size=3),
        "late": st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, TRAIL_SECONDS - 5)), max_size=12),
        "die_after": st.none() | st.integers(1, 8),
    }
)


@given(ages=AGES, runs=st.lists(RUN, min_size=1, max_size=6))
@example(ages=[], runs=[{"gap": 20, "ahead": 300, "jumps": 300, "lies": [], "late": [(40, 0)], "die_after": None}] * 4)
@example(ages=[], runs=[{"gap": 20, "ahead": 0, "jumps": 0, "lies": [], "late": [(19, 50)], "die_after": None}] * 2)
@example(ages=[], runs=[{"gap": 20, "ahead": 0, "jumps": 0, "lies": [HOUR], "late": [(50, 0)], "die_after": None}] * 2)
@settings(max_examples=few_or_many(8, 1_000), derandomize=not RUN_SLOW, database=None)
def test_no_call_is_lost(ages: list[float], runs: list[dict[str, Any]]) -> None:
    """Some responses have a wrong or no time, the local clock is wrong, and calls appear late within the trail."""
    with company() as (aircall, clock):
        sandbox, warehouse, catalog = aircall.sandbox, Warehouse(), aircall.catalog("calls")
        for run in runs:
            for after, late in run["late"]:
                began = int(clock.now) + after
                aircall.world.add_call(started_at=began, visible_at=began + late, talk_seconds=None, ring_seconds=0)
            clock.now += run["gap"]
            clock.ahead = run["ahead"]
            lies = iter(run["lies"])

            def said(now: float, lies: Iterator[Any] = lies, after: float = run["jumps"]) -> str | None:
                clock.ahead = after
                lie = next(lies, HONEST)
                return date(now + lie) if isinstance(lie, int) else lie

            sandbox.date = said
            is_refused(aircall, warehouse, catalog, reread_after_hours=ages, die_after=run["die_after"])
        clock.now += 2 * DAY
        clock.ahead, sandbox.date = 0.0, date
        if is_refused(aircall, warehouse, catalog, reread_after_hours=ages):
            warehouse.state = {}  # as the line says: a run that saw no usable header went by a clock that was ahead
            load(aircall, warehouse, catalog, reread_after_hours=ages)

        check_all_arrived(aircall, warehouse)


def test_an_answer_from_the_future_does_not_stop_the_next_run(aircall: Aircall) -> None:
    lies = iter([HOUR])  # of the ping alone
    aircall.sandbox.date = lambda now: date(now + next(lies, HONEST))
    call = aircall.world.add_call(started_at=T0 - 100)["id"]

    first = aircall.run("calls")
    second = aircall.run("calls", state=first.state)

    assert (first.ids("calls"), second.ids("calls")) == ([call], [])
    assert first.state["bookmarks"]["calls"]["first_run_at"] == "2026-11-23T12:59:59Z"


def steady_calls(aircall: Aircall, seconds: int, every: int = 20) -> None:
    """Let a call begin every some seconds; each shows up at once."""
    for second in range(T0, T0 + seconds, every):
        aircall.world.add_call(started_at=second, talk_seconds=None, ring_seconds=0)


@pytest.mark.parametrize(
    ("ages", "ahead"), [([], 300), ([], -HOUR), ([], 9 * DAY), (DEFAULT, HOUR), (DEFAULT, -300), (DEFAULT, -9 * DAY)]
)
def test_a_machine_whose_clock_is_wrong_loses_no_new_call(
    wrong: tuple[Aircall, WrongClock], ages: list[float], ahead: float
) -> None:
    aircall, clock = wrong
    steady_calls(aircall, 3 * HOUR, every=60)
    warehouse, catalog, clock.ahead = Warehouse(), aircall.catalog("calls"), ahead
    for _ in range(4):
        clock.now += 1_801
        load(aircall, warehouse, catalog, reread_after_hours=ages)

        # No call waits for a later run, either.
        began = {call["started_at"] for call in aircall.world.calls.values() if call["started_at"] < int(clock.now) - 2}
        assert len(warehouse.tables["calls"]) >= len(began)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_in_the_middle_of_a_run_changes_nothing(wrong: tuple[Aircall, WrongClock], jump: float) -> None:
    aircall, clock = wrong
    steady_calls(aircall, 150 * 20)
    clock.now += 120 * 20
    steady = aircall.run("calls", reread_after_hours=[])
    aircall.sandbox.on_request = lambda log: setattr(clock, "ahead", jump if log.path == "/v1/calls" else 0.0)

    jumping = aircall.run("calls", reread_after_hours=[])

    assert jumping.records("calls") != []
    assert jumping.state == steady.state


def test_a_call_that_shows_up_within_the_trail_arrives(aircall: Aircall) -> None:
    late = [
        aircall.world.add_call(started_at=T0 - 10, visible_at=T0 - 10 + delay)["id"]
        for delay in (11, 50, TRAIL_SECONDS)
    ]
    first = aircall.run("calls", reread_after_hours=[])
    aircall.clock.now += HOUR
    second = aircall.run("calls", state=first.state, reread_after_hours=[])
    aircall.clock.now += HOUR
    third = aircall.run("calls", state=second.state, reread_after_hours=[])

    assert (first.ids("calls"), second.ids("calls"), third.ids("calls")) == ([], late, [])


def test_the_newest_calls_arrive_at_once_without_another_request(aircall: Aircall) -> None:
    ids = [aircall.world.add_call(started_at=T0 - 100 + n)["id"] for n in range(100)]

    first = aircall.run("calls", reread_after_hours=[])
    aircall.clock.now += HOUR
    second = aircall.run("calls", state=first.state, reread_after_hours=[])

    assert first.ids("calls") == ids
    assert second.ids("calls") == ids[-60:]  # once more
    assert second.requests == 2


@pytest.mark.parametrize("text", [None, "", "soon", "Mon, 32 Nov 2026 13:00:00 GMT", "\xff", "Mon, 23 Nov 2026"])
def test_without_a_usable_header_this_machines_clock_counts(
    wrong: tuple[Aircall, WrongClock], text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    aircall, clock = wrong
    aircall.sandbox.date = lambda _: text
    clock.ahead = -HOUR

    state = aircall.run("calls", reread_after_hours=[]).state

    assert state["bookmarks"]["calls"]["cursors"] == {"0": "2026-11-23T11:58:59Z"}
    assert not warnings(caplog)


@pytest.mark.parametrize(("lie", "reached"), [(-40 * DAY, T0 - 40 * DAY), (40 * DAY, T0)])
def test_clocks_that_are_far_apart_skip_nothing_and_are_reported_in_one_line(
    aircall: Aircall, caplog: pytest.LogCaptureFixture, lie: int, reached: int
) -> None:
    ids = [aircall.world.add_call(started_at=T0 - age)["id"] for age in (50 * DAY, DAY, 30)]
    aircall.sandbox.date = lambda now: date(now + lie)

    first = aircall.run("calls", "contacts", reread_after_hours=[])
    second = aircall.run("calls", "contacts", state=first.state, reread_after_hours=[])

    assert first.ids("calls") == ids
    assert set(second.ids("calls")) <= set(ids)
    newest = first.state["bookmarks"]["calls"]["cursors"]["0"]
    assert email.utils.parsedate_to_datetime(date(reached - TRAIL_SECONDS - 1)).strftime("%Y-%m-%dT%H:%M:%SZ") == newest
    each_names(warnings(caplog), *[(40, "Date", "behind" if lie > 0 else "ahead")] * 2)  # in two runs


def test_a_state_ahead_of_both_clocks_is_refused(wrong: tuple[Aircall, WrongClock]) -> None:
    aircall, clock = wrong
    aircall.sandbox.date = lambda _: None
    clock.ahead = 2 * HOUR
    state = aircall.run("calls").state
    aircall.sandbox.date, clock.ahead = date, 0.0

    with refused(InputError, "calls", "2026-11-23T14:59:59Z"):
        aircall.run("calls", state=state)


def test_a_run_goes_on_from_the_state_of_a_machine_that_is_behind(wrong: tuple[Aircall, WrongClock]) -> None:
    aircall, clock = wrong
    clock.ahead = -2 * HOUR
    steady_calls(aircall, 600)
    state = aircall.run("calls", reread_after_hours=[]).state
    clock.now += 590

    assert len(aircall.run("calls", state=state, reread_after_hours=[]).ids("calls")) == 30


def test_a_change_of_a_contact_that_shows_up_within_the_trail_arrives(aircall: Aircall) -> None:
    slow, quick = (aircall.world.add_contact(created_at=T0 - DAY)["id"] for _ in range(2))
    aircall.world.edit_contact(quick, at=T0 - 5)
    state = aircall.run("contacts").state
    aircall.world.edit_contact(slow, at=T0 - 20, first_name="Late")
    aircall.clock.now += HOUR

    second = aircall.run("contacts", state=state)
    third = aircall.run("contacts", state=second.state)

    assert [record["first_name"] for record in second.records("contacts")] == ["Ada", "Late"]
    assert third.ids("contacts") == [quick]


def test_the_last_day_of_a_report_is_over_at_aircall(wrong: tuple[Aircall, WrongClock]) -> None:
    aircall, clock = wrong
    clock.ahead = 12 * HOUR  # past midnight

    run = aircall.run("analytics_reports", analytics_reports=["CALLS_HISTORY"], start_date="2026-11-21")

    assert run.state["bookmarks"]["analytics_reports"]["reports"]["CALLS_HISTORY"]["through"] == "2026-11-22"


class TestClock:
    """The earliest time that fits all responses counts."""

    def clock(self, *, ahead: float = 0.0) -> tuple[AircallClock, WrongClock]:
        machine = WrongClock()
        machine.ahead = ahead
        return AircallClock(machine), machine

    def test_time_goes_on_between_answers(self) -> None:
        clock, machine = self.clock(ahead=500)
        clock.note(date(NOW))
        machine.now += 70
        machine.ahead = 10_000

        assert (clock.reached(), clock.reached(NOW), clock.horizon()) == (T0 + 69, T0 - 1, T0 + 10_069)

    def test_a_later_answer_may_only_make_it_earlier(self) -> None:
        clock, _ = self.clock()
        for seconds in (10, 5, 8):
            clock.note(date(NOW + seconds))

        assert clock.reached() == T0 + 4

    def test_a_machine_that_jumps_back_counts_from_then_on(self) -> None:
        clock, machine = self.clock(ahead=HOUR)
        assert clock.reached() == T0 + HOUR - 1
        machine.ahead = 0

        assert clock.reached() == T0 - 1
        machine.ahead = HOUR
        assert clock.reached() == T0 - 1
