"""When a stream fails, the others are still read, and the run fails with a line for each failure."""

from __future__ import annotations

import math
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault, Sandbox, World
from tap_aircall.errors import (
    AircallError,
    BlockedError,
    CredentialsError,
    ForbiddenError,
    RejectedRequestError,
    ResponseError,
    StreamsFailedError,
    UnavailableError,
    UnreadableError,
)
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW, FakeClock, FastClock
from tests.companies import furnish
from tests.conftest import Aircall, Run
from tests.messages import check, each_names
from tests.processes import Command, Mishap
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

T0 = int(NOW)
DEFAULT = tuple(name for name, stream in STREAMS.items() if stream.selected_by_default)
FOREVER: dict[str, Any] = {"times": math.inf}
GONE = {**FOREVER, "status": 410}


@pytest.fixture
def small(aircall: Aircall) -> Aircall:
    """A company with some of everything."""
    furnish(aircall.world, calls=120, contacts=120, users=3)
    return aircall


def failed(aircall: Aircall, *streams: str, **options: Any) -> tuple[Run, AircallError]:
    """Make a run that fails; return what it wrote and why it failed."""
    run = Run()
    with pytest.raises(AircallError) as caught:
        aircall.tap(run, streams=streams or None, **options).run()
    return run, caught.value


def tables(run: Run) -> dict[str, Any]:
    warehouse = Warehouse()
    warehouse.load(run.messages)
    return {stream: table for stream, table in warehouse.tables.items() if table}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """What a target gets of that company when nothing fails."""
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        furnish(sandbox.world, calls=120, contacts=120, users=3)
        return tables(Aircall(sandbox, clock).run())


STREAMS_OF = {
    "/v1/calls": "calls",
    "/v1/contacts": "contacts",
    "/v1/users/availabilities": "user_availabilities",
    "/v2/users/": "user_numbers",
    "/v1/teams": "teams",
    "/v1/company": "company",
}
FAULTS: list[tuple[dict[str, Any], type[AircallError]]] = [
    ({"status": 410}, RejectedRequestError),
    ({"status": 403}, ForbiddenError),
    ({"status": 500}, UnavailableError),
    ({"mutate": lambda _: []}, ResponseError),
]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        pytest.param(path, fault, marks=pytest.mark.slow if path != "/v1/calls" and fault != FAULTS[0] else ())
        for path in STREAMS_OF
        for fault in FAULTS
    ],
)
def test_when_one_stream_fails_the_others_are_still_read(
    small: Aircall, whole: dict[str, Any], path: str, fault: tuple[dict[str, Any], type[AircallError]]
) -> None:
    stream, (what, kind) = STREAMS_OF[path], fault
    small.sandbox.faults.append(Fault(path=path, **FOREVER | what))

    run, error = failed(small)

    check(error, kind, f"'{stream}'", *([what["status"]] if "status" in what else []), stream=stream)
    assert "status" not in what or path in str(error)
    assert tables(run) == {name: table for name, table in whole.items() if name != stream}
    assert "ACTIVATE_VERSION" not in run.types(stream)
    assert run.state["bookmarks"].get(stream, {}).keys() <= {"backfill", "starting_replication_value"}


def test_every_failed_stream_has_a_line(small: Aircall) -> None:
    small.sandbox.faults += [Fault(path=path, **GONE) for path in ("/v1/tags", "/v1/teams", "/v1/contacts")]

    run, error = failed(small)

    assert isinstance(error, StreamsFailedError)
    for each, name in zip(sorted(error.errors, key=attrgetter("stream")), ("contacts", "tags", "teams"), strict=True):
        check(each, RejectedRequestError, f"/v1/{name}", 410, "api_url", stream=name)
    assert set(tables(run)) == set(DEFAULT) - {"tags", "teams", "contacts"}


def test_a_failed_stream_goes_on_from_its_state_later(small: Aircall) -> None:
    small.sandbox.faults += [Fault(path="/v1/calls", query={"page": "3"}, **GONE), Fault(path="/v1/tags", **GONE)]
    first, _ = failed(small)
    small.sandbox.faults.clear()

    second = small.run(state=first.state)

    assert set(first.ids("calls")) | set(second.ids("calls")) == set(small.world.calls)
    assert set(second.ids("tags")) == set(small.world.kinds["tags"])
    assert second.types("tags")[-1] == "ACTIVATE_VERSION"


def test_a_failing_list_that_several_streams_need_is_waited_for_once(small: Aircall) -> None:
    small.sandbox.faults.append(Fault(path="/v2/users", status=500, **FOREVER))
    began = small.clock.now

    _, error = failed(small, "users", "user_numbers", "dialer_campaigns", "tags")

    assert isinstance(error, StreamsFailedError)
    for each, name in zip(
        sorted(error.errors, key=attrgetter("stream")), ("dialer_campaigns", "user_numbers", "users"), strict=True
    ):
        check(each, UnavailableError, "/v2/users", 500, stream=name)
    assert small.clock.now - began < 300


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 401}, CredentialsError),
        ({"status": 403}, CredentialsError),
        ({"status": 429}, BlockedError),
        ({"status": 503}, UnavailableError),
        ({"failure": "reset"}, UnavailableError),
    ],
)
def test_an_error_that_concerns_all_streams_ends_the_run(
    small: Aircall, fault: dict[str, Any], kind: type[AircallError]
) -> None:
    small.sandbox.faults.append(Fault(after=6, **FOREVER | fault))

    _, error = failed(small)

    assert type(error) in {kind, *kind.__subclasses__()}
    assert error.stream is None
    asked = {log.path for log in small.sandbox.requests[6:]}
    assert len(asked - {"/v1/ping"}) == 1


class TestFollowers:
    """Streams that follow calls share the state of the calls."""

    STREAMS = ("calls", "call_topics", "call_summaries", "tags")

    @pytest.fixture
    def calls(self, aircall: Aircall) -> list[int]:
        calls = [aircall.world.add_call(started_at=T0 - 80_000 + n)["id"] for n in range(60)]
        for call in calls:
            aircall.world.intelligence.add(call, "topics")
            aircall.world.intelligence.add(call, "summary")
        aircall.world.add("tags")
        return calls

    @pytest.mark.parametrize(("streams", "bad"), [(STREAMS, 0), (STREAMS, 59), (STREAMS[1:], 52)])
    def test_a_failed_follower_does_not_stop_calls_or_other_followers(
        self, aircall: Aircall, calls: list[int], bad: int, streams: tuple[str, ...]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{calls[bad]}/topics", **GONE))

        run, error = failed(aircall, *streams)

        check(error, RejectedRequestError, f"/v1/calls/{calls[bad]}/topics", 410, stream="call_topics")
        assert run.ids("calls") == (calls if "calls" in streams else [])
        assert [record["call_id"] for record in run.records("call_summaries")] == calls
        assert run.ids("tags") == list(aircall.world.kinds["tags"])

        aircall.sandbox.faults.clear()
        later = aircall.run(*streams, state=run.state)

        topics = [record["call_id"] for record in run.records("call_topics") + later.records("call_topics")]
        assert set(topics) == set(calls)

    def test_a_lasting_failure_does_not_hold_up_new_calls(self, aircall: Aircall, calls: list[int]) -> None:
        aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{calls[3]}/topics", **GONE))
        first, _ = failed(aircall, *self.STREAMS)
        new = aircall.world.add_call(started_at=T0 + 10)["id"]
        aircall.clock.now += 3600

        second, _ = failed(aircall, *self.STREAMS, state=first.state)

        assert new in second.ids("calls")

    def test_when_calls_fail_each_follower_is_named_once(self, aircall: Aircall, calls: list[int]) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/calls", query={"page": "2"}, **GONE))

        run, error = failed(aircall, *self.STREAMS)

        assert isinstance(error, StreamsFailedError)
        assert [each.stream for each in error.errors] == [*self.STREAMS[:3]]
        assert run.ids("calls") == calls[:50]
        assert len(run.ids("tags")) == 1


def test_each_failure_has_one_line_even_if_the_run_is_killed(small: Aircall, tmp_path: Path) -> None:
    clock = FastClock(time.time())
    small.sandbox.faults += [Fault(path=path, **GONE) for path in ("/v1/calls", "/v1/tags")]
    command = Command(tmp_path, small.config(), small.catalog(*DEFAULT), clock)

    killed = command.run(mishap=Mishap.TERMINATE, when=lambda written: b'"stream":"numbers","record"' in written)
    states = [message["value"] for message in killed.messages if message["type"] == "STATE"]
    whole = command.run(states[-1])

    assert (killed.exit_code, whole.exit_code) == (143, 1)
    each_names(sorted(whole.problems()), *((f"'{name}'", f"/v1/{name}", 410, "api_url") for name in ("calls", "tags")))
    both = killed.records("contacts") + whole.records("contacts")
    assert {record["id"] for record in both} == set(small.world.contacts)


@pytest.mark.usefixtures("low_cap")
def test_too_many_calls_in_a_second_do_not_hold_up_other_streams(aircall: Aircall) -> None:
    for _ in range(201):
        aircall.world.add_call(started_at=T0 - 3600)
    aircall.world.add("tags")

    run, error = failed(aircall, "calls", "tags")

    check(error, UnreadableError, 10_000, stream="calls")
    assert len(run.ids("tags")) == 1
