"""Runs with any selection of streams: each stream ends complete for what its state claims."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aircall_sandbox import Sandbox, World
from tests.clock import FakeClock
from tests.conftest import Aircall
from tests.slow import RUN_SLOW, few_or_many

if TYPE_CHECKING:
    from tests.conftest import Record

STREAMS = ("calls", "call_topics", "call_action_items", "tags")
KINDS = {"call_topics": "topics", "call_action_items": "action_items"}
HOUR, DAY = 3600, 86_400


def add_call(aircall: Aircall, ago: int) -> None:
    call_id = aircall.world.add_call(started_at=int(aircall.clock.now) - ago, talk_seconds=55)["id"]
    aircall.world.intelligence.add(call_id, "topics")
    aircall.world.intelligence.add(call_id, "action_items", {"action_items": [{"id": 1, "content": "Call back"}]})


@settings(
    max_examples=few_or_many(6, 500),
    derandomize=not RUN_SLOW,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    history=st.lists(
        st.tuples(
            st.sets(st.sampled_from(STREAMS), min_size=1),
            st.sampled_from([0.2, 1, 7, 30]),
            st.integers(0, 3),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_each_stream_is_complete_whatever_else_was_selected(history: list[tuple[set[str], float, int, bool]]) -> None:
    logging.disable()
    clock = FakeClock()
    try:
        with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
            aircall = Aircall(sandbox, clock)
            for n in range(5):
                add_call(aircall, 10 * DAY - n * 40 * HOUR)
            kept: Record = {}
            brought: dict[str, set[int]] = {stream: set() for stream in STREAMS}
            steps = [*history, *[(set(STREAMS), 30, 0, True)] * 2]
            for selected, hours, arrivals, has_state in steps:
                clock.now += hours * HOUR
                for n in range(arrivals):
                    add_call(aircall, 60 + n * 1_000)
                state = {"bookmarks": dict(kept)} if has_state and kept else None
                run = aircall.run(*sorted(selected), state=state)
                for stream in selected:
                    key = "id" if stream in {"calls", "tags"} else "call_id"
                    brought[stream] |= {record[key] for record in run.records(stream)}
                written = run.states[-1].get("bookmarks", {}) if run.states else {}
                for stream, mark in written.items():  # as Meltano merges states: stream by stream
                    if stream in selected:
                        kept[stream] = mark
                    else:
                        assert state is not None
                        assert mark == state["bookmarks"][stream]
            for stream in ("calls", *KINDS):
                assert brought[stream] == set(aircall.world.calls), stream
    finally:
        logging.disable(logging.NOTSET)
