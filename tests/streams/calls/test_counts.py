"""Calls per day: counted when the day is over, and again for late calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import MisorderedError, ResponseError, UnreadableError
from tap_aircall.streams.calls import counts
from tests.clock import NOW
from tests.messages import refused

if TYPE_CHECKING:
    from tests.conftest import Aircall, Run

HOUR, DAY = 3600, 86_400
TODAY = int(NOW) // DAY * DAY
"""2026-11-23T00:00:00Z; the clock stands at 13:00."""


def date(day: int) -> str:
    """Return the date of a number of days ago."""
    return datetime.fromtimestamp(TODAY - day * DAY, UTC).date().isoformat()


def add(aircall: Aircall, day: int, count: int, **options: Any) -> None:
    """Add calls to a day, its first and last second included."""
    for number in range(count):
        second = TODAY - day * DAY + (DAY - 1 if number == 1 else number)
        aircall.world.add_call(started_at=second, **options)


def counted(run: Run) -> dict[str, int]:
    return {record["date"]: record["calls"] for record in run.records("call_counts")}


def later(aircall: Aircall, run: Run, seconds: int, **settings: Any) -> Run:
    aircall.clock.now += seconds
    return aircall.run("call_counts", state=run.state, **settings)


def test_a_first_run_counts_all_days_that_are_over_with_one_request_each(aircall: Aircall) -> None:
    for day, count in {5: 3, 3: 7, 1: 2, 0: 4}.items():
        add(aircall, day, count)

    run = aircall.run("call_counts")

    assert counted(run) == {date(5): 3, date(4): 0, date(3): 7, date(2): 0, date(1): 2}
    assert run.records("call_counts")[0] == {"date": date(5), "calls": 3, "counted_at": "2026-11-23T12:59:59Z"}
    assert run.requests == 1 + 5
    assert {log.query["per_page"] for log in aircall.sandbox.requests if log.path == "/v1/calls"} == {"1"}
    assert run.types("call_counts") == ["SCHEMA", "RECORD"]
    assert run.state["bookmarks"]["call_counts"]["replication_key_value"] == date(1)


def test_each_day_is_counted_at_its_end_and_at_three_ages(aircall: Aircall) -> None:
    run = aircall.run("call_counts")
    hours_of: dict[str, list[int]] = {}

    for days in range(1, 33):
        run = later(aircall, run, DAY)
        for day in counted(run):
            hours_of.setdefault(day, []).append(24 * days - 11)  # since the end of today
        assert run.requests <= 4

    assert hours_of[date(0)] == [13, 13 + 24, 13 + 7 * 24, 13 + 30 * 24]
    assert len(hours_of[date(-1)]) == 4
    assert len(hours_of[date(1)]) == 3  # counted by the first run, too
    assert len(hours_of[date(29)]) == 1
    assert date(31) not in hours_of


def test_a_call_that_aircall_shows_late_is_counted_at_the_next_age(aircall: Aircall) -> None:
    add(aircall, 1, 2)
    run = aircall.run("call_counts")
    add(aircall, 1, 1, visible_at=NOW + HOUR)

    again = counted(later(aircall, run, 12 * HOUR))

    assert (again[date(0)], again[date(1)]) == (0, 3)


def test_a_day_that_has_just_ended_is_counted_again_once_complete(aircall: Aircall) -> None:
    add(aircall, 0, 2)
    run = aircall.run("call_counts")
    run = later(aircall, run, 11 * HOUR + 30)
    assert counted(run)[date(0)] == 2

    run = later(aircall, run, HOUR)
    assert counted(run) == {date(0): 2}
    assert counted(later(aircall, run, HOUR)) == {}


def test_a_day_that_aircall_serves_in_part_is_not_counted(aircall: Aircall) -> None:
    for day in range(180, 190):
        add(aircall, day, 2)

    days = counted(aircall.run("call_counts"))

    assert min(days) == date(182)
    assert days[date(182)] == 2  # of the one before, some calls are served
    assert len(days) == 182


def test_after_a_year_without_runs_no_day_gets_a_false_count(aircall: Aircall) -> None:
    run = aircall.run("call_counts")
    aircall.clock.now += 365 * DAY
    aircall.world.move_on(aircall.clock.now)
    add(aircall, -300, 3)

    days = counted(later(aircall, run, 0))

    assert min(days) == date(-300)
    assert days[date(-300)] == 3


def test_days_without_any_call_are_counted_from_then_on(aircall: Aircall) -> None:
    run = aircall.run("call_counts")
    assert counted(run) == {date(1): 0}

    days = counted(later(aircall, run, 3 * DAY))

    assert days.keys() >= {date(0), date(-1), date(-2)}
    assert set(days.values()) == {0}


def test_start_and_end_limit_it_to_whole_days(aircall: Aircall) -> None:
    for day in range(8):
        add(aircall, day, 2)
    start, end = f"{date(6)}T08:00:00Z", f"{date(2)}T23:59:58Z"

    assert list(counted(aircall.run("call_counts", start_date=start, end_date=end))) == [date(5), date(4), date(3)]


class TestTheCap:
    def test_a_day_at_the_cap_is_counted_in_parts(self, aircall: Aircall, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counts, "CAP", 10)
        add(aircall, 1, 35)
        add(aircall, 2, 9)

        def clamp(payload: Any) -> Any:
            payload["meta"]["total"] = min(payload["meta"]["total"], 10)
            return payload

        aircall.sandbox.faults.append(Fault(path="/v1/calls", times=float("inf"), mutate=clamp))
        run = aircall.run("call_counts")

        assert counted(run) == {date(2): 9, date(1): 35}

    def test_more_in_one_second_than_can_be_counted_fail(
        self, aircall: Aircall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counts, "CAP", 10)
        for _ in range(10):
            aircall.world.add_call(started_at=TODAY - 5000)

        with refused(UnreadableError, stream="call_counts"):
            aircall.run("call_counts")


@pytest.mark.parametrize("total", [None, "three", -1, 0])
def test_a_missing_total_is_retried_and_then_fails(aircall: Aircall, total: Any) -> None:
    add(aircall, 1, 3)

    def lie(payload: Any) -> Any:
        payload["meta"]["total"] = total
        return payload

    aircall.sandbox.faults.append(Fault(path="/v1/calls", mutate=lie))
    assert counted(aircall.run("call_counts")) == {date(1): 3}

    aircall.sandbox.faults.append(Fault(path="/v1/calls", mutate=lie, times=float("inf")))
    with refused(ResponseError, stream="call_counts"):
        aircall.run("call_counts")


def test_calls_of_another_day_are_not_taken_for_this_one(aircall: Aircall) -> None:
    add(aircall, 3, 3)

    def lie(payload: Any) -> Any:
        for call in payload["calls"]:
            call["started_at"] -= 40 * DAY
        return payload

    aircall.sandbox.faults.append(Fault(path="/v1/calls", mutate=lie, after=1, times=float("inf")))
    with refused(MisorderedError, "from", "to", stream="call_counts"):
        aircall.run("call_counts")


@pytest.mark.parametrize("die_after", [2, 14, 24])
def test_a_killed_run_goes_on_and_counts_no_day_less_often(aircall: Aircall, die_after: int) -> None:
    for day in range(20):
        add(aircall, day, day)
    killed = aircall.run("call_counts", die_after=die_after)
    whole = aircall.run("call_counts")

    resumed = aircall.run("call_counts", state=killed.states[-1] if killed.states else None)

    assert counted(killed) | counted(resumed) == counted(whole)
    assert len(resumed.records("call_counts")) <= 20 - die_after + 12
    assert counted(later(aircall, resumed, 12 * HOUR)) == counted(later(aircall, whole, 0))


def test_a_test_of_the_connection_counts_yesterday(aircall: Aircall) -> None:
    add(aircall, 1, 2)
    aircall.tap(streams=("call_counts",)).try_streams()

    assert [log.path for log in aircall.sandbox.requests] == ["/v1/ping", "/v1/calls"]
