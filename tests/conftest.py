"""Fixtures: a sandbox on the loopback interface, and the tap run against it in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from singer_sdk.contrib.msgspec import encoder
from typing_extensions import override

from aircall_sandbox import Sandbox, World
from tap_aircall.reading import walks
from tap_aircall.tap import TapAircall
from tap_aircall.writer import InterruptibleWriter
from tests import catalogs, leaks
from tests.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from singer_sdk.singerlib.encoding.simple import Message

Record = dict[str, Any]


@dataclass
class Run:
    """Output of a run of the tap."""

    messages: list[Record] = field(default_factory=list)
    requests: int = 0
    """Requests to the sandbox, apart from pings."""

    def records(self, stream: str) -> list[Record]:
        """Return the records of a stream, in order."""
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def ids(self, stream: str) -> list[Any]:
        """Return the ids of a stream's records, in order."""
        return [record["id"] for record in self.records(stream)]

    @property
    def states(self) -> list[Record]:
        """All states, in order."""
        return [m["value"] for m in self.messages if m["type"] == "STATE"]

    @property
    def state(self) -> Record:
        """The last state."""
        return self.states[-1]

    def types(self, stream: str) -> list[str]:
        """Return the message types of a stream, without consecutive repeats."""
        types = [m["type"] for m in self.messages if m.get("stream") == stream]
        return [kind for kind, before in zip(types, [None, *types], strict=False) if kind != before]


class Recorder(InterruptibleWriter):
    """Records the messages of a tap, and kills the run after some of them."""

    def __init__(self, run: Run, die_after: int | None = None) -> None:
        super().__init__()
        self._run = run
        self._die_after = die_after

    @override
    def send(self, message: Message) -> None:
        if self._die_after is not None and len(self._run.messages) >= self._die_after:
            raise KilledError
        line = encoder.encode(message.to_dict())
        self._run.messages.append(json.loads(line))
        kind = self._run.messages[-1]["type"]
        leaks.WATCH.search(f"a {kind}", line.decode(), is_record=kind == "RECORD")


class KilledError(BaseException):
    """The process was killed."""


class Aircall:
    """A sandbox, and taps with its clock."""

    in_flight: ClassVar[int]

    def __init__(self, sandbox: Sandbox, clock: FakeClock) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.clock = clock

    def config(self, **settings: Any) -> Record:
        """Return a config for the sandbox."""
        return {
            "user": self.sandbox.api_id,
            "password": self.sandbox.api_token,
            "api_url": self.sandbox.url,
            "requests_per_minute": 1_000_000,
            "max_concurrent_requests": self.in_flight,
            **settings,
        }

    def oauth(self, folder: Path, **settings: Any) -> Record:
        """Return settings for OAuth, with tokens in a folder."""
        return {
            "auth_scheme": "OAUTH",
            "user": None,
            "password": None,
            "oauth_client_id": self.sandbox.oauth.client_id,
            "oauth_client_secret": self.sandbox.oauth.client_secret,
            "dashboard_url": self.sandbox.url,
            "oauth_settings_location": str(folder / "tokens.json"),
            **settings,
        }

    def tap(self, run: Run | None = None, **options: Any) -> TapAircall:
        """Make a tap; for `options` see `run`."""
        streams, catalog = options.pop("streams", None), options.pop("catalog", None)
        state, die_after = options.pop("state", None), options.pop("die_after", None)
        if streams is not None:
            catalog = self.catalog(*streams)
        return TapAircall(
            config=self.config(**options),
            state=json.loads(json.dumps(state)) if state else None,
            catalog=catalog,
            clock=self.clock,
            message_writer=Recorder(run or Run(), die_after),
        )

    def run(
        self,
        *streams: str,
        state: Record | None = None,
        catalog: Record | None = None,
        die_after: int | None = None,
        **settings: Any,
    ) -> Run:
        """Run the tap.

        Args:
            *streams: Streams to select; by default those of the catalog, or the tap's default.
            state: State to start from.
            catalog: Catalog to use.
            die_after: Kill the run after this many messages.
            **settings: Settings to change or add.
        """
        run = Run()
        before = len(self.sandbox.requests)
        tap = self.tap(run, streams=streams or None, catalog=catalog, state=state, die_after=die_after, **settings)
        try:
            tap.run()
        except KilledError:
            pass
        finally:
            run.requests = len([log for log in self.sandbox.requests[before:] if log.path != "/v1/ping"])
        return run

    def catalog(self, *streams: str, **settings: Any) -> Record:
        """Discover the catalog and select streams in it."""
        return catalogs.catalog(*streams, **settings)


@pytest.fixture
def low_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the tap's idea of Aircall's pagination cap to 200 records."""
    monkeypatch.setattr(walks, "CAP", 200)
    monkeypatch.setattr(walks, "LAST_PAGE", 4)


@pytest.fixture
def clock() -> FakeClock:
    """A clock, stopped at 2026-11-23T13:00:00Z."""
    return FakeClock()


@pytest.fixture
def aircall(clock: FakeClock) -> Iterator[Aircall]:
    """An empty Aircall."""
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock)


@pytest.fixture
def make_aircall(clock: FakeClock) -> Iterator[Callable[..., Aircall]]:
    """Return a function that makes an Aircall with options of the sandbox."""
    running: list[Sandbox] = []

    def make(world: World | None = None, **options: Any) -> Aircall:
        sandbox = Sandbox(world or World(now=clock.now), clock=clock.time, **options)
        running.append(sandbox.__enter__())
        return Aircall(sandbox, clock)

    yield make
    for sandbox in running:
        sandbox.__exit__(None, None, None)
