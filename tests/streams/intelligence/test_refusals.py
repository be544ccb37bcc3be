"""Temporary and lasting 403 responses: refused calls are requested again, and a missing plan costs little."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Fault
from aircall_sandbox.intelligence import NO_PLAN
from tap_aircall.reading import later as later_module
from tests.messages import each_names, names, warnings
from tests.moving import AI_RESULTS, Company, Plan, outcomes
from tests.slow import RUN_SLOW, few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aircall_sandbox.messages import ApiResponse
    from tests.conftest import Aircall, Run

pytestmark = pytest.mark.timeout(few_or_many(120, 1_200))
HOUR, DAY = 3600, 86_400
WIDTHS = pytest.mark.parametrize("width", [1, 8])
Record = dict[str, Any]


# Histories


class Refusals(NamedTuple):
    """The requests of a run to refuse."""

    kinds: frozenset[str]
    """Only of these kinds, by the end of the path."""
    first: int
    """From this request of each kind on."""
    last: int
    """Up to this request."""
    every: int
    """Every how many of those."""

    def befall(self, kind: str, number: int) -> bool:
        """Return whether a request is refused, by its number among those of its kind."""
        return kind in self.kinds and number in range(self.first, self.last + 1, self.every)


class Step(NamedTuple):
    """One run, and what happens before it."""

    plan: Plan
    arrivals: int
    refusals: list[Refusals]
    denied: set[int]
    """Numbers of the calls for which everything is refused."""


class Gatekeeper(Company):
    """A company whose AI results are refused at times."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[Refusals] = []
        self.asked = dict.fromkeys(AI_RESULTS.values(), 0)
        self.truth: set[int] = set()
        """Calls that have results."""

    def call(self, ago: int) -> None:
        """Add a call that began some seconds ago, with results unless told otherwise."""
        number: int = self.world.add_call(started_at=int(self.clock.now) - ago, talk_seconds=55)["id"]
        if len(self.world.calls) % 5 == 0:
            return
        self.truth.add(number)
        for stream, kind in AI_RESULTS.items():
            payload: Record = {"id": number, "call_id": number, "content": ["billing"]}
            if stream == "call_action_items":
                payload = {"action_items": [{"id": 1, "content": "Call back"}]}
            self.world.intelligence.add(number, kind, payload)

    @override
    def respond(self, path: str, params: Mapping[str, str]) -> ApiResponse:
        kind: Any = path.rsplit("/", 1)[1]
        if kind in self.asked:
            number = self.asked[kind] = self.asked[kind] + 1
            if any(refusals.befall(kind, number) for refusals in self.refusals):
                return NO_PLAN
        return super().respond(path, params)

    def begin_run(self, step: Step) -> None:
        """Set what the run will meet."""
        self.refusals, self.asked = step.refusals, dict.fromkeys(self.asked, 0)
        calls = sorted(self.world.calls)
        self.world.intelligence.denied_calls = {calls[n % len(calls)] for n in step.denied if calls}
        for n in range(step.arrivals):
            self.call(60 + 1_700 * n)


def steps() -> st.SearchStrategy[list[Step]]:
    kinds = st.sets(st.sampled_from(sorted(AI_RESULTS.values())), min_size=1).map(frozenset)
    first = st.integers(1, 8) | st.integers(1, 60)
    last = st.integers(1, 8) | st.just(10_000)
    refusals = st.builds(Refusals, kinds, first, last, st.integers(1, 3))
    die_after = st.none() | st.none() | st.integers(1, 120)
    plan = st.builds(Plan, st.sampled_from([0.1, 1, 7, 25, 30]), die_after, st.sampled_from([1, 4]))
    denied = st.sets(st.integers(0, 80), max_size=20)
    step = st.builds(Step, plan, st.integers(0, 4), st.lists(refusals, max_size=2), denied | st.just(set()))
    return st.lists(step, min_size=1, max_size=5)


ALL = frozenset(AI_RESULTS.values())
PLAIN = Plan(1)
MOST = few_or_many(15, 40)


@settings(
    max_examples=few_or_many(8, 1_000),
    derandomize=not RUN_SLOW,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(old=st.integers(0, MOST), young=st.integers(0, MOST), most=st.sampled_from([4, 5_000]), history=steps())
@example(old=15, young=15, most=5_000, history=[Step(PLAIN, 0, [Refusals(ALL, 8, 18, 1)], set())])
@example(old=15, young=15, most=5_000, history=[Step(PLAIN, 0, [Refusals(ALL, 1, 3, 1)], set())])
@example(old=15, young=15, most=4, history=[Step(PLAIN, 0, [Refusals(ALL, 8, 18, 1)], set())])
@example(
    old=10,
    young=10,
    most=5_000,
    history=[Step(PLAIN, 1, [], set()), *[Step(Plan(30), 2, [Refusals(ALL, 1, 9_999, 1)], set())] * 4],
)
def test_refused_results_arrive_once_they_are_granted(old: int, young: int, most: int, history: list[Step]) -> None:
    company, warehouse = Gatekeeper(), Warehouse()
    for n in range(old):
        company.call(60 * DAY - n * HOUR)
    for n in range(young):
        company.call(4 * DAY - n * 2 * HOUR)
    logging.disable()
    try:
        with mock.patch.object(later_module, "MOST", most):
            for step in [*history, *[Step(Plan(25), 0, [], set())] * 8]:
                company.begin_run(step)
                for _ in outcomes(company, warehouse, ("calls", *AI_RESULTS), [step.plan]):
                    kinds = [warehouse.state.get("bookmarks", {}).get(kind, {}) for kind in AI_RESULTS]
                    sizes = [sum(map(len, kind.get("later", {}).get("refused", {}).values())) for kind in kinds]
                    assert max(sizes) <= most
    finally:
        logging.disable(logging.NOTSET)

    for stream in AI_RESULTS:
        rows = warehouse.tables.get(stream, {}).values()
        assert {row["call_id"] for row in rows} == company.truth, stream
        assert "refused" not in warehouse.state["bookmarks"][stream], stream
        assert "refused" not in warehouse.state["bookmarks"][stream].get("later", {}), stream


# One thing at a time, over HTTP


def add_calls(aircall: Aircall, count: int, ago: int = 2 * DAY) -> list[int]:
    """Add calls a second apart, each with topics and action items."""
    calls = [aircall.world.add_call(started_at=int(aircall.clock.now) - ago + n, talk_seconds=55) for n in range(count)]
    for call in calls:
        for kind in AI_RESULTS.values():
            aircall.world.intelligence.add(call["id"], kind)
    return [call["id"] for call in calls]


def brought(stream: str, *runs: Run) -> list[int]:
    """Return the calls whose results the runs brought; fails if one came twice."""
    return sorted({record["call_id"] for run in runs for record in run.records(stream)})


def asked(aircall: Aircall, before: int = 0) -> int:
    """Count the requests for AI results."""
    return sum(log.path.count("/") > 3 for log in aircall.sandbox.requests[before:])


def later(aircall: Aircall, run: Run, seconds: int, *streams: str, **settings: Any) -> Run:
    """Let time pass, and run again from the state."""
    aircall.clock.now += seconds
    return aircall.run(*streams, state=run.state, **settings)


def refused(run: Run, stream: str) -> Any:
    """Return the calls that are set aside since Aircall refuses them."""
    return run.state["bookmarks"][stream].get("later", {}).get("refused")


@pytest.mark.parametrize(
    ("stream", "width"),
    [("call_topics", 1), ("call_action_items", 8), pytest.param("call_topics", 8, marks=pytest.mark.slow)],
)
class TestRefusalsOfCalls:
    def test_a_few_in_the_middle_are_asked_for_again_soon(
        self, aircall: Aircall, stream: str, width: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = add_calls(aircall, 110)
        aircall.sandbox.faults.append(Fault(path="/v1/calls/", status=403, after=30, times=51))
        first = aircall.run(stream, max_concurrent_requests=width)
        assert len(brought(stream, first)) == 110 - 51
        assert len(warnings(caplog)) == 10
        before = asked(aircall)

        run = later(aircall, first, HOUR, stream, max_concurrent_requests=width)

        assert brought(stream, first, run) == calls
        assert asked(aircall) == before + 51
        assert refused(run, stream) is None

    def test_calls_that_stay_refused_are_asked_for_at_their_ages(
        self, aircall: Aircall, stream: str, width: int
    ) -> None:
        old, young = add_calls(aircall, 60, ago=100 * DAY), add_calls(aircall, 40)
        denied = {*old[30:55], *young[:11]}
        aircall.world.intelligence.denied_calls = denied
        run = first = aircall.run(stream, max_concurrent_requests=width)
        assert brought(stream, first) == sorted({*old, *young} - denied)

        run = later(aircall, run, HOUR, stream, max_concurrent_requests=width)
        before = asked(aircall)
        for _ in range(4):
            run = later(aircall, run, HOUR, stream, max_concurrent_requests=width)
        assert asked(aircall) <= before + 4 * 3  # a few, to see whether they are granted

        aircall.world.intelligence.denied_calls = set()
        run = later(aircall, run, 20 * HOUR, stream, max_concurrent_requests=width)
        assert set(brought(stream, run)) >= denied
        assert brought(stream, first, run) == [*old, *young]
        assert refused(run, stream) is None

    def test_a_refusal_does_not_hide_results_that_appear_later(self, aircall: Aircall, stream: str, width: int) -> None:
        calls = add_calls(aircall, 20, ago=HOUR)
        aircall.world.intelligence.denied_calls = set(calls[5:9])
        run = first = aircall.run(stream, max_concurrent_requests=width)
        aircall.world.intelligence.denied_calls = set()

        run = later(aircall, run, 6 * HOUR, stream, max_concurrent_requests=width)  # read again at that age

        assert brought(stream, first, run) == calls

    @pytest.mark.parametrize("times", [3, 4])
    def test_the_first_three_cost_a_day_and_nothing_else(
        self, aircall: Aircall, stream: str, width: int, times: int
    ) -> None:
        calls = add_calls(aircall, 30, ago=100 * DAY) + add_calls(aircall, 60)
        aircall.sandbox.faults.append(Fault(path="/v1/calls/", status=403, times=times))
        run = first = aircall.run("calls", stream, max_concurrent_requests=width)
        assert (asked(aircall), brought(stream, first), first.ids("calls")) == (3, [], calls)

        run = later(aircall, run, HOUR, "calls", stream, max_concurrent_requests=width)
        assert brought(stream, run) == []
        new = add_calls(aircall, 10, ago=HOUR)
        run = later(aircall, run, DAY, "calls", stream, max_concurrent_requests=width)

        again = later(aircall, run, HOUR, stream, max_concurrent_requests=width)
        assert brought(stream, run, again) == [*calls, *new]
        assert len(brought(stream, again)) == times - 3
        assert refused(again, stream) is None
        assert set(run.ids("calls")) & set(calls[:30]) == set()  # caught up with for this stream alone

    def test_the_first_three_calls_may_stay_refused_for_good(self, aircall: Aircall, stream: str, width: int) -> None:
        calls = add_calls(aircall, 60)
        aircall.world.intelligence.denied_calls = set(calls[:3])

        assert brought(stream, aircall.run(stream, max_concurrent_requests=width)) == calls[3:]

    def test_more_than_the_state_can_hold_is_read_on_the_next_day(
        self, aircall: Aircall, stream: str, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(later_module, "MOST", 20)
        calls = add_calls(aircall, 120)
        aircall.sandbox.faults.append(Fault(path="/v1/calls/", status=403, after=60, times=9_999))
        first = aircall.run("calls", stream, max_concurrent_requests=width)
        granted = brought(stream, first)
        assert len(granted) == 60
        assert first.ids("calls") == calls
        aircall.sandbox.faults.clear()

        second = later(aircall, first, DAY, stream, max_concurrent_requests=width)

        assert brought(stream, first, second) == calls


class TestAPlanWithoutAKind:
    def test_costs_three_requests_a_day(self, aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
        aircall.world.intelligence.plan = False
        add_calls(aircall, 60)
        plain = aircall.run("calls")
        run = aircall.run("calls", "call_topics", "call_summaries")
        told = [(stream, "2026-11-24T12:59:59Z", 403) for stream in ("call_topics", "call_summaries")]
        each_names(warnings(caplog), *told)
        assert (run.requests - plain.requests, asked(aircall)) == (6 + 1, 6)  # with the first page of the list
        caplog.clear()

        for _ in range(5):
            add_calls(aircall, 3, ago=-HOUR)
            plain = later(aircall, plain, 4 * HOUR, "calls")
            caplog.clear()
            run = aircall.run("calls", "call_topics", "call_summaries", state=run.state)
            assert run.requests == plain.requests
            assert warnings(caplog) == []
            assert all(any(names(line, *facts) for line in caplog.messages) for facts in told)
        assert asked(aircall) == 6

        add_calls(aircall, 3, ago=HOUR)
        run = later(aircall, run, 4 * HOUR, "calls", "call_topics", "call_summaries")
        assert asked(aircall) == 12
        assert len(json.dumps(run.state["bookmarks"]["call_topics"])) < 200

    @pytest.mark.parametrize("count", [1, 2])
    def test_costs_no_more_when_calls_are_few(self, aircall: Aircall, count: int) -> None:
        aircall.world.intelligence.plan = False
        run = aircall.run("call_topics")
        for number in range(7):
            add_calls(aircall, count, ago=-HOUR)
            run = later(aircall, run, 4 * HOUR, "call_topics")
            assert asked(aircall) <= (3 if number < 6 else 6)

        assert len(json.dumps(run.state["bookmarks"]["call_topics"])) < 200

    def test_catches_up_with_everything_when_the_plan_is_bought(self, aircall: Aircall) -> None:
        aircall.world.intelligence.plan = False
        calls = add_calls(aircall, 55, ago=30 * DAY)
        run = aircall.run("calls", "call_topics")
        for _ in range(3):
            calls += add_calls(aircall, 5, ago=2 * HOUR)
            run = later(aircall, run, DAY, "calls", "call_topics")
        assert brought("call_topics", run) == []

        aircall.world.intelligence.plan = True
        run = later(aircall, run, DAY, "calls", "call_topics")
        after = later(aircall, run, DAY, "calls", "call_topics")

        assert brought("call_topics", run) == calls
        assert brought("call_topics", after) == []

    def test_catching_up_goes_on_after_a_kill(self, aircall: Aircall) -> None:
        aircall.world.intelligence.plan = False
        calls = add_calls(aircall, 120, ago=30 * DAY)
        refusing = aircall.run("call_topics")
        aircall.world.intelligence.plan = True
        aircall.clock.now += DAY

        killed = aircall.run("call_topics", state=refusing.state, die_after=110)
        before = asked(aircall)
        resumed = aircall.run("call_topics", state=killed.state)

        assert brought("call_topics", killed, resumed) == calls
        assert asked(aircall) - before <= len(calls) - 50

    def test_a_full_table_catalog_costs_no_more(self, aircall: Aircall) -> None:
        aircall.world.intelligence.plan = False
        calls = add_calls(aircall, 60)
        catalog = aircall.catalog("calls", "call_topics")
        for entry in catalog["streams"]:
            if entry["tap_stream_id"] == "calls":
                entry["metadata"][-1 if entry["metadata"][-1]["breadcrumb"] == [] else 0]["metadata"][
                    "forced-replication-method"
                ] = "FULL_TABLE"
                entry["replication_method"] = "FULL_TABLE"
        run = aircall.run(catalog=catalog)
        run = aircall.run(catalog=catalog, state=run.state)
        assert asked(aircall) == 3

        aircall.world.intelligence.plan = True
        aircall.clock.now += DAY
        assert brought("call_topics", aircall.run(catalog=catalog, state=run.state)) == calls


def test_a_call_refused_for_a_week_is_given_up(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    calls = add_calls(aircall, 30)
    aircall.world.intelligence.denied_calls = {calls[4], calls[7]}
    run = aircall.run("call_topics")
    assert len(warnings(caplog)) == 2
    caplog.clear()
    for _ in range(7):
        assert refused(run, "call_topics") is not None
        assert warnings(caplog) == []
        add_calls(aircall, 3, ago=HOUR)
        run = later(aircall, run, DAY, "call_topics")

    each_names(warnings(caplog), ("call_topics", 2, "refused"))
    before = asked(aircall)
    run = later(aircall, run, 2 * DAY, "call_topics")
    assert refused(run, "call_topics") is None
    assert asked(aircall) == before


# Streams of users and numbers follow the same rule


@WIDTHS
class TestRefusalsOfOwners:
    @pytest.mark.parametrize("denied", [(0, 1, 2), (0, 1, 4), (3, 4, 5), (0, 2, 4), (1, 3)])
    def test_owners_that_are_not_refused_are_read(
        self, aircall: Aircall, width: int, denied: tuple[int, ...], caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = [aircall.world.add("numbers")["id"] for _ in range(6)]
        aircall.world.optional.whatsapp_statuses = {number: {"status": "ONLINE"} for number in ids}
        aircall.world.optional.denied_ids = {ids[place] for place in denied}

        run = aircall.run("number_whatsapp_statuses", max_concurrent_requests=width)

        read = [record["number_id"] for record in run.records("number_whatsapp_statuses")]
        assert read == [number for place, number in enumerate(ids) if place not in denied]
        assert run.types("number_whatsapp_statuses") == ["SCHEMA", "RECORD"]  # the target keeps its rows
        assert run.requests == 1 + 6
        each_names(warnings(caplog), ("number_whatsapp_statuses", len(denied), 6, 403))

    @pytest.mark.parametrize("count", [1, 2, 3, 40])
    def test_three_requests_are_made_if_all_owners_are_refused(self, aircall: Aircall, width: int, count: int) -> None:
        for _ in range(count):
            aircall.world.add("numbers")
        aircall.sandbox.faults.append(Fault(path="/v1/numbers/", status=403, times=99))

        run = aircall.run("number_whatsapp_statuses", max_concurrent_requests=width)

        assert run.requests == 1 + min(count, 3)
        assert run.types("number_whatsapp_statuses") == ["SCHEMA"]
