"""When calls are read again: the cursors alone, with any schedule of runs."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.cursors import Cursors, Window
from tap_aircall.reading.states import CLOCK_TOLERANCE_SECONDS
from tap_aircall.reading.times import to_rfc3339
from tests.messages import refused

HOUR = 3600
DAY = 24 * HOUR
AGES = (HOUR // 2, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY)
T0 = 1_795_438_800


def run(
    state: dict[str, Any],
    now: int,
    *,
    ages: tuple[int, ...] = AGES,
    start: int | None = None,
    end: int | None = None,
    stop_at: int | None = None,
) -> tuple[list[Window], dict[str, Any]]:
    """Make a run that reads its windows to their ends, or is killed at a second of `started_at`."""
    cursors = Cursors(state, state.get("replication_key_value"), ages=ages, now=now, start=start, end=end, horizon=now)
    windows = cursors.windows()
    read = []
    for window in windows:
        if stop_at is not None and stop_at < window.until:
            if stop_at > (window.after or -1):
                cursors.advance(stop_at, now)
                read.append(Window(window.after, stop_at))
            break
        cursors.advance(window.until, now)
        read.append(window)
    # A state goes through JSON between two runs.
    return read, json.loads(json.dumps(cursors.to_state()))


def test_the_first_run_reads_everything_once() -> None:
    windows, state = run({}, T0)

    assert windows == [Window(None, T0 - DAY), Window(T0 - DAY, T0)]
    assert state == {
        "first_run_at": "2026-11-23T13:00:00Z",
        "cursors": {
            "0": "2026-11-23T12:59:00Z",
            "1800": "2026-11-23T12:30:00Z",
            "21600": "2026-11-23T07:00:00Z",
            "86400": "2026-11-22T13:00:00Z",
            "259200": "2026-11-20T13:00:00Z",
            "604800": "2026-11-16T13:00:00Z",
            "2592000": "2026-10-24T13:00:00Z",
        },
    }


def test_the_next_run_reads_what_is_new_and_what_came_of_age() -> None:
    _, state = run({}, T0)

    windows, _ = run(state, T0 + HOUR)

    assert windows == [
        Window(T0 - 30 * DAY, T0 - 30 * DAY + HOUR),
        Window(T0 - 7 * DAY, T0 - 7 * DAY + HOUR),
        Window(T0 - 3 * DAY, T0 - 3 * DAY + HOUR),
        Window(T0 - DAY, T0 - DAY + HOUR),
        Window(T0 - 6 * HOUR, T0 - 5 * HOUR),
        Window(T0 - HOUR // 2, T0 + HOUR),
    ]


def test_no_window_spans_very_old_and_very_new_calls() -> None:
    assert run({}, T0, start=T0 - 31 * DAY)[0] == [Window(T0 - 31 * DAY - 1, T0 - DAY), Window(T0 - DAY, T0)]
    assert run({}, T0, start=T0 - 30 * DAY + 1)[0] == [Window(T0 - 30 * DAY, T0)]
    assert run({}, T0, end=T0 - DAY)[0] == [Window(None, T0 - DAY)]


def test_the_last_minute_is_read_again() -> None:
    """Aircall may show a call some seconds late."""
    _, state = run({}, T0)

    assert run(state, T0) == ([Window(T0 - TRAIL_SECONDS, T0)], state)


def test_nothing_is_read_again_once_the_end_date_was_reached() -> None:
    _, state = run({}, T0, end=T0 - TRAIL_SECONDS)

    assert run(state, T0, end=T0 - TRAIL_SECONDS) == ([], state)


def test_an_age_within_the_trail_is_not_reached_before_it() -> None:
    _, state = run({}, T0, ages=(10,))

    assert state["cursors"] == dict.fromkeys(("0", "10"), "2026-11-23T12:59:00Z")


def test_a_run_reads_as_far_as_any_clock_has_come_and_counts_as_read_what_aircalls_clock_has_reached() -> None:
    cursors = Cursors({}, None, ages=(HOUR,), now=T0, start=None, end=None, horizon=T0 + 2 * HOUR)
    for window in cursors.windows():
        cursors.advance(window.until, T0)

    assert cursors.windows() == [Window(T0 - TRAIL_SECONDS, T0 + 2 * HOUR)]


def test_a_cursor_stays_behind_a_clock_that_turns_out_to_be_earlier() -> None:
    cursors = Cursors({}, None, ages=(), now=T0, start=None, end=None, horizon=T0)

    cursors.advance(T0, T0 - HOUR)

    assert cursors.read_through == T0 - HOUR - TRAIL_SECONDS


@pytest.mark.parametrize("ahead", [300, HOUR])
def test_what_a_clock_that_was_ahead_missed_is_read_when_aircalls_clock_is_known(ahead: int) -> None:
    """A state from when the tap went by this machine's clock alone, which is still wrong."""
    mark = to_rfc3339(T0 + ahead - 1)
    state = {"first_run_at": mark, "cursors": {"0": mark, "86400": to_rfc3339(T0 + ahead - 1 - DAY)}}
    now = T0 + ahead // 2
    cursors = Cursors(state, None, ages=(DAY,), now=now, start=None, end=None, horizon=now + ahead)

    (*_, newest) = cursors.windows()

    assert newest.after is not None
    assert T0 - 2 * CLOCK_TOLERANCE_SECONDS < newest.after < T0
    assert cursors.read_for_good < T0 - DAY


def test_bounds_are_inclusive_to_the_second() -> None:
    assert run({}, T0, start=T0 - 100, end=T0 - 50)[0] == [Window(T0 - 101, T0 - 50)]
    assert run({}, T0, start=T0 - 50, end=T0 - 50)[0] == [Window(T0 - 51, T0 - 50)]
    assert run({}, T0, start=T0 + 1)[0] == []


def test_a_later_start_date_wins_over_the_state() -> None:
    _, state = run({}, T0)

    assert run(state, T0 + DAY, ages=(), start=T0 + HOUR)[0] == [Window(T0 + HOUR - 1, T0 + DAY)]


def test_a_run_without_end_date_goes_on_from_the_earlier_one() -> None:
    _, state = run({}, T0, ages=(), end=T0 - DAY)

    assert run(state, T0, ages=())[0] == [Window(T0 - DAY, T0)]


def test_a_run_goes_on_from_another_taps_bookmark() -> None:
    state = {"replication_key": "started_at", "replication_key_value": to_rfc3339(T0 - DAY)}

    windows, _ = run(state, T0, ages=(6 * HOUR,))

    assert windows == [Window(T0 - DAY - 6 * HOUR, T0)]


def test_a_new_age_reads_what_was_not_read_late_enough() -> None:
    _, state = run({}, T0, ages=(HOUR,))
    _, state = run(state, T0 + 10 * DAY, ages=(HOUR,))

    windows, state = run(state, T0 + 10 * DAY, ages=(HOUR, 2 * DAY))

    # Older calls had reached that age in the first run; younger ones have not reached it yet.
    newest = Window(T0 + 10 * DAY - TRAIL_SECONDS, T0 + 10 * DAY)
    assert windows == [Window(T0 - 2 * DAY, T0 + 8 * DAY), newest]
    assert list(state["cursors"]) == ["0", "3600", "172800"]


def test_an_age_between_two_goes_on_from_the_longer_one() -> None:
    _, state = run({}, T0, ages=(HOUR, DAY))
    _, state = run(state, T0 + 10 * DAY, ages=(HOUR, DAY))

    assert run(state, T0 + 10 * DAY, ages=(HOUR, 12 * HOUR, DAY))[0] == [
        Window(T0 + 9 * DAY, T0 + 10 * DAY - 12 * HOUR),
        Window(T0 + 10 * DAY - TRAIL_SECONDS, T0 + 10 * DAY),
    ]


def test_a_dropped_age_costs_nothing_more() -> None:
    _, state = run({}, T0)

    windows, state = run(state, T0 + HOUR, ages=())

    assert windows == [Window(T0 - TRAIL_SECONDS, T0 + HOUR)]
    assert list(state["cursors"]) == ["0"]


@pytest.mark.parametrize(
    "state",
    [
        {"cursors": {"0": "yesterday"}, "first_run_at": "2026-11-23T13:00:00Z"},
        {"cursors": {"zero": "2026-11-23T13:00:00Z"}, "first_run_at": "2026-11-23T13:00:00Z"},
        {"replication_key_value": "yesterday"},
    ],
)
def test_a_state_without_times_is_refused(state: dict[str, Any]) -> None:
    with refused(ValueError):
        run(state, T0)


@given(
    gaps=st.lists(st.integers(5, 3 * DAY), min_size=1, max_size=25),
    ages=st.lists(st.integers(1, 5 * DAY), max_size=5, unique=True).map(tuple),
    kills=st.dictionaries(st.integers(0, 24), st.integers(-2 * DAY, 20 * DAY), max_size=4),
    start=st.one_of(st.none(), st.integers(-3 * DAY, DAY)),
)
def test_every_call_is_read_when_new_and_once_at_each_age_whatever_the_schedule(
    gaps: list[int], ages: tuple[int, ...], kills: dict[int, int], start: int | None
) -> None:
    """Runs at any times, some killed at any second of `started_at`."""
    calls = range(T0 - 2 * DAY, T0 + 20 * DAY, 997)
    start = None if start is None else T0 + start
    reads: dict[int, list[int]] = defaultdict(list)
    now, state = T0, dict[str, Any]()
    for number, gap in enumerate([*gaps, 0]):
        killed_at = T0 + kills[number] if number in kills and number < len(gaps) else None
        windows, state = run(state, now, ages=ages, start=start, stop_at=killed_at)
        for window in windows:
            for call in calls:
                if (window.after is None or call > window.after) and call <= window.until:
                    reads[call].append(now - call)
        last_run, now = now, now + gap

    for call in calls:
        age = last_run - call
        if age < 0 or (start is not None and call < start):
            assert call not in reads
            continue
        at = reads[call]
        # Read when new, and after it reached each age that it had reached by the last run ...
        assert at
        due = {max(wanted, TRAIL_SECONDS) for wanted in (0, *ages)}
        assert all(any(read >= wanted for read in at) for wanted in due if wanted <= age)
        # ... and each time for a reason: never twice between the same two ages, unless it is so new that calls of the
        # same time may still show up.
        reached = [sum(wanted <= read for wanted in due) for read in at if read >= TRAIL_SECONDS]
        assert len(set(reached)) == len(reached)
        assert len(reached) <= 1 + len(ages)
