from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.streams.intelligence.found import HOUR, MOST, CallIds, Refused

T0 = 1_795_438_800 // HOUR * HOUR

CALLS = st.dictionaries(st.integers(1, 2**62), st.integers(T0 - 100 * HOUR, T0), max_size=60)


@given(CALLS)
def test_the_state_says_what_was_found(calls: dict[int, int]) -> None:
    found = CallIds()
    for call_id, started_at in calls.items():
        found.add(call_id, started_at)

    again = CallIds.parse(json.loads(json.dumps(found.to_state(T0 - 50 * HOUR))))

    assert {call_id for call_id in calls if call_id in again} == {
        call_id for call_id, started_at in calls.items() if started_at >= T0 - 50 * HOUR
    }


def test_the_state_is_short() -> None:
    found = CallIds()
    for number in range(3):
        found.add(4_200_000_001 + 9 * number, T0 + number)
    found.add(4_200_000_100, T0 + HOUR)

    assert found.to_state(0) == {
        "2026-11-23T13:00:00Z": [4_200_000_001, 9, 9],
        "2026-11-23T14:00:00Z": [4_200_000_100],
    }


def test_the_state_has_a_limited_size() -> None:
    found = CallIds()
    for number in range(2 * MOST):
        found.add(4_200_000_001 + 7 * number, T0 + 30 * number)

    state = found.to_state(0)

    assert sum(map(len, state.values())) == MOST
    assert len(json.dumps(state)) < 60_000
    again = CallIds.parse(state)
    assert 4_200_000_001 + 7 * (2 * MOST - 1) in again
    assert 4_200_000_001 not in again
    assert 4_200_000_001 not in found


@given(CALLS, st.none() | st.integers(0, T0), st.none() | st.integers(0, T0))
def test_the_state_says_what_was_refused(calls: dict[int, int], after: int | None, asked_at: int | None) -> None:
    refused = Refused(after=after, asked_at=asked_at)
    for call_id, second in calls.items():
        refused.calls.add(call_id, second)

    again = Refused.parse(json.loads(json.dumps(refused.to_state())))

    assert {each: again.calls.hour_of(each) for each in again.calls} == {
        call_id: second // HOUR * HOUR for call_id, second in calls.items()
    }
    assert again.after == after
    assert again.asked_at == (asked_at if calls or after is not None else None)
