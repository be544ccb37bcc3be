from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.streams.calls.ids import HOUR
from tap_aircall.streams.intelligence.refused import Refused
from tests.streams.calls.test_ids import CALLS, T0


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
