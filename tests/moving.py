"""A company that changes while a tap reads it, without a network between them.

Events happen *at* a request: just before Aircall responds to it. So all changes between the requests of a run are a
list of events, which Hypothesis can draw and repeat. Pages are short, for many page boundaries.
"""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from unittest import mock

import msgspec
from typing_extensions import override

from aircall_sandbox import World, api
from tap_aircall.errors import ForbiddenError, NotFoundError
from tap_aircall.http.client import ATTEMPTS, AircallClient
from tap_aircall.http.limiter import RateLimiter
from tap_aircall.reading.clock import TRAIL_SECONDS, AircallClock
from tap_aircall.tap import TapAircall
from tests.catalogs import catalog
from tests.clock import NOW, FakeClock
from tests.conftest import KilledError, Recorder, Run
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aircall_sandbox.intelligence import ResultKind
    from aircall_sandbox.messages import ApiResponse
    from aircall_sandbox.templates import Kind
    from tests.states.record import Direct

T = TypeVar("T")
S = TypeVar("S")
Record = dict[str, Any]
PER_PAGE = 5
LISTS: tuple[Kind, ...] = ("users", "tags", "webhooks")
AI_RESULTS: Mapping[str, ResultKind] = {"call_topics": "topics", "call_action_items": "action_items"}
NEVER = float("inf")
AGES = (1_800, 6 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
"""Ages in seconds at which the tap re-reads calls."""


class Event(NamedTuple):
    """A change at the company."""

    run: int
    """Number of the run, from 0, modulo the number of runs."""
    request: int
    """Number of the request in the run, from 1; 0 for before the run."""
    what: str
    """Name of a method of `Company`."""
    which: int
    """Any number; selects the object and the change."""


class Plan(NamedTuple):
    """Parameters of a run."""

    hours: float
    """Hours since the run before."""
    die_after: int | None = None
    """Number of messages before it is killed."""
    width: int = 1
    """Number of concurrent requests."""


@dataclass
class Outcome:
    """State at the start of a run, and its output."""

    began: float
    there: dict[str, dict[Any, Record]]
    """Copies of the records that Aircall showed then, by stream and key."""
    before: Warehouse
    """The warehouse then."""
    kept: Run
    """Output loaded into the warehouse: all of it, or up to the last state if the run was killed."""
    is_complete: bool


class Company:
    """A company, its possible events, and its changes since the start of a run."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.world = World(now=self.clock.now)
        self.world.intelligence.is_wrapped = False
        self._api = api.Api(self.world)
        self.starts: dict[int, set[int]] = {}
        """Each `started_at` of a call since the start of the run."""
        self.ever: set[tuple[str, Any]] = set()
        """All records that existed at some time since the start of the run, by stream and key."""
        self.touched: set[tuple[str, Any]] = set()
        """Records that appeared or changed since then."""
        self.gone: set[tuple[str, Any]] = set()
        """Records deleted since then."""
        self.settled: set[int] = set()
        """Calls that changed after the last age, which the tap need not notice."""
        self.borders: set[int] = set()
        """Boundaries of the windows that the stream of calls reads, in UNIX seconds."""
        self._gap: str | None = None

    def furnish(
        self, *, calls: int = 0, old_calls: int = 0, per_second: int = 1, contacts: int = 0, members: int = 0
    ) -> None:
        """Add the initial records."""
        for n in range(old_calls):
            self.world.add_call(started_at=int(NOW) - 120 * 86_400 + n // per_second)
        for n in range(calls):
            self.world.add_call(started_at=int(NOW) - 7_000 + n // per_second)
        for n in range(contacts):
            self.world.add_contact(created_at=int(NOW) - 90_000 + n // per_second)
        number = self.world.add("numbers")["id"]
        for kind in LISTS * members:
            self.world.add(kind)
        for numbers in self.world.user_numbers.values():
            numbers.append(number)

    def begin(self) -> dict[str, dict[Any, Record]]:
        """Forget earlier changes; return copies of the records that Aircall shows, by stream and key."""
        world = self.world
        world.move_on(self.clock.now)
        there: dict[str, dict[Any, Record]] = {
            "calls": {key: call for key, call in world.calls.items() if world.shown_call(key) is not None},
            "contacts": world.contacts,
            **{kind: world.kinds[kind] for kind in LISTS},
        }
        self.starts, self.touched, self.gone = {}, set(), set()
        self.note_starts()
        self.borders |= {int(self.clock.now) - 1 - age for age in (0, TRAIL_SECONDS, *AGES)}
        self.ever = {(stream, key) for stream, records in there.items() for key in records}
        return {stream: {key: dict(record) for key, record in of.items()} for stream, of in there.items()}

    def respond(self, path: str, params: Mapping[str, str]) -> ApiResponse:
        """ApiResponse a request."""
        if path.count("/") == 2:
            self._gap = None  # the gap between two requests for a list ends
        return self._api.respond(path, params)

    def note_starts(self) -> None:
        """Record the `started_at` of each call."""
        for identity, call in self.world.calls.items():
            self.starts.setdefault(identity, set()).add(call["started_at"])

    def ai_result(self, stream: str, call: int) -> Any:
        """Return an AI result of a call; None if there is none."""
        response = self._api.respond(f"/v1/calls/{call}/{AI_RESULTS[stream]}", {})
        return response.payload if response.status == 200 else None

    # Events

    def call_arrives(self, which: int) -> None:
        """A call begins, or appears minutes or hours late; it lasts a while, and may be recalculated."""
        if not self._may("grow"):
            return
        late = (0, 1, 600, 5_000, 20_000)[which % 5]
        call = self.world.add_call(
            started_at=int(self.clock.now) - late, talk_seconds=which % 700, moves_start=which % 4 == 1
        )
        self._appears("calls", call["id"])

    def call_moves(self, which: int) -> None:
        """A call's start moves by a second, at most once per run."""
        call = _pick(self.world.calls, which)
        if call is None or len(self.starts.get(call, ())) > 1:
            return
        started_at = self.world.calls[call]["started_at"]
        if not self.borders & {started_at - 1, started_at, started_at + 1} and self._may("move"):
            self.move(call, 1 if which % 2 else -1)

    def call_is_edited(self, which: int) -> None:
        """A call gets a tag and a comment."""
        if (call := _pick(self.world.calls, which)) is not None:
            tag = {"id": which, "name": str(which), "created_at": 0, "tagged_by": None}
            comment = {"id": which, "content": str(which), "posted_at": 0, "posted_by": None}
            self._change_call(call, tags=[tag], comments=[comment])

    def call_disappears(self, which: int) -> None:
        """A call is deleted."""
        if (call := _pick(self.world.calls, which)) is not None and self._may("shrink"):
            self.world.delete_call(call)
            self.gone.add(("calls", call))

    def call_expires_as_another_arrives(self, which: int) -> None:
        """Between two requests, the oldest call expires, and a new one appears late."""
        oldest = min(self.world.calls, key=lambda call: self.world.calls[call]["started_at"], default=None)
        if self._gap is None and oldest and self.world.calls[oldest]["started_at"] < self.clock.now - AGES[-1]:
            self.call_disappears(list(self.world.calls).index(oldest))
            self._gap = None
            self.call_arrives(which)
            self._gap = "both"

    def time_passes(self, which: int) -> None:
        """Minutes pass; calls end."""
        self.clock.now += which % 400
        self.world.move_on(self.clock.now)
        self.note_starts()

    def ai_result_appears(self, which: int) -> None:
        """A call gets a new or changed AI result."""
        if (call := _pick(self.world.calls, which)) is not None:
            stream = list(AI_RESULTS)[which % 2]
            payload: Record = {"id": call, "call_id": call, "content": [str(which)]}
            if stream == "call_action_items":
                payload = {"action_items": [{"id": 1, "content": str(which)}]}
            self.world.intelligence.add(call, AI_RESULTS[stream], payload)
            self.touched.add((stream, call))

    def ai_result_disappears(self, which: int) -> None:
        """A call loses its AI result: 404."""
        if (call := _pick(self.world.calls, which)) is not None:
            stream = list(AI_RESULTS)[which % 2]
            self.world.intelligence.add(call, AI_RESULTS[stream], {}, visible_at=NEVER)
            self.touched.add((stream, call))

    def contact_appears(self, which: int) -> None:
        """A contact is added, not in the second in which a run begins."""
        self.clock.now += 1
        contact = self.world.add_contact(created_at=int(self.clock.now), first_name=str(which))
        self._appears("contacts", contact["id"])

    def contact_is_edited(self, which: int) -> None:
        """A contact is edited."""
        if (contact := _pick(self.world.contacts, which)) is not None:
            self.world.edit_contact(contact, at=self.clock.now, first_name=str(which))
            self.touched.add(("contacts", contact))

    def contact_disappears(self, which: int) -> None:
        """A contact is deleted."""
        if (contact := _pick(self.world.contacts, which)) is not None:
            self.world.delete_contact(contact)
            self.gone.add(("contacts", contact))

    def list_grows(self, which: int) -> None:
        """A user, tag or webhook is added."""
        kind = LISTS[which % len(LISTS)]
        if not self._may("grow"):
            return
        record = self.world.add(kind)
        self._appears(kind, record["webhook_id" if kind == "webhooks" else "id"])

    def list_shrinks(self, which: int) -> None:
        """A user, tag or webhook is deleted."""
        kind = LISTS[which % len(LISTS)]
        if (identity := _pick(self.world.kinds[kind], which)) is not None and self._may("shrink"):
            self.world.delete(kind, identity)
            self.gone.add((kind, identity))

    def move(self, call: int, seconds: int) -> None:
        """Move the start of a call by some seconds."""
        self._change_call(call, started_at=self.world.calls[call]["started_at"] + seconds)
        self.note_starts()

    def _change_call(self, call: int, **changes: Any) -> None:
        if self.world.calls[call]["started_at"] <= self.clock.now - AGES[-1] + 2:
            self.settled.add(call)
        self.world.edit_call(call, **changes)
        self.touched.add(("calls", call))

    def _may(self, change: str) -> bool:
        """Return whether a list may grow, shrink or move now; only one of these happens between two requests."""
        self._gap = self._gap or change
        return self._gap == change

    def _appears(self, stream: str, key: Any) -> None:
        self.note_starts()
        self.ever.add((stream, key))
        self.touched.add((stream, key))


def _pick(keys: Iterable[Any], which: int) -> Any:
    listed = list(keys)
    return listed[which % len(listed)] if listed else None


class DirectClient(AircallClient):
    """Calls a company without HTTP. Concurrent requests get responses in random order."""

    def __init__(self, company: Company | Direct, at_request: Callable[[int], None], width: int) -> None:
        clock = company.clock
        super().__init__(
            api_url="http://unused.invalid",
            authenticator=None,
            limiter=RateLimiter(60, clock),
            clock=clock,
            aircall_clock=AircallClock(clock),
            user_agent="tests",
            timeout=1,
            max_concurrent_requests=width,
        )
        self._company = company
        self._at_request = at_request
        self._most = width
        self._random = random.Random(width)  # noqa: S311 - not for secrets

    @override
    def counting_apart(self) -> Self:
        return self  # events count the requests of the whole run

    @override
    def ping(self, attempts: int = ATTEMPTS) -> None:
        pass

    @override
    def get(self, path: str, params: Mapping[str, str], parse: Callable[[Any], T]) -> T:
        self.requests_sent += 1
        self._at_request(self.requests_sent)
        response = self._company.respond(path, params)
        if response.status == 404:
            raise NotFoundError(path)
        if response.status == 403:
            raise ForbiddenError(path)
        assert response.status == 200, response
        return parse(msgspec.json.decode(msgspec.json.encode(response.payload)))

    @override
    def in_flight(self, function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        ahead: deque[tuple[S, list[T]]] = deque()

        def first() -> T:
            while not ahead[0][1]:
                item, results = self._random.choice([waiting for waiting in ahead if not waiting[1]])
                results.append(function(item))
            return ahead.popleft()[1][0]

        for item in items:
            ahead.append((item, []))
            if len(ahead) >= self._most:
                yield first()
        while ahead:
            yield first()


def outcomes(
    company: Company, warehouse: Warehouse, streams: Sequence[str], plans: Iterable[Plan], events: Sequence[Event] = ()
) -> Iterator[Outcome]:
    """Run the tap repeatedly while the company changes, and load its output into a warehouse.

    Yields:
        The outcome of each run, after it.
    """
    plans = list(plans)
    for number, plan in enumerate(plans):
        due: dict[int, list[Event]] = {}
        for event in events:
            if event.run % len(plans) == number:
                due.setdefault(event.request, []).append(event)

        def at_request(request: int, due: dict[int, list[Event]] = due) -> None:
            for event in due.pop(request, ()):
                getattr(company, event.what)(event.which)

        company.clock.now += plan.hours * 3600
        company.begin()
        at_request(0)
        there, began, before = company.begin(), company.clock.now, Warehouse()
        before.tables = {stream: dict(table) for stream, table in warehouse.tables.items()}
        before.state = json.loads(json.dumps(warehouse.state))
        written = Run()
        tap = TapAircall(
            config={"user": "id", "password": "token", "owned_lists_every_hours": 0},
            state=json.loads(json.dumps(before.state)) or None,
            catalog=catalog(*streams),
            clock=company.clock,
            message_writer=Recorder(written, plan.die_after),
        )
        tap.this_run.client = DirectClient(company, at_request, plan.width)
        is_complete = True
        try:
            with mock.patch.object(api, "LARGEST_PAGE", PER_PAGE):
                tap.run()
        except KilledError:
            is_complete = False
        kept = Run(list(written.messages))
        while not is_complete and kept.messages and kept.messages[-1]["type"] != "STATE":
            kept.messages.pop()
        for message in kept.messages:
            if "version" in message:
                message["version"] = int(began)  # the SDK has its own clock
        warehouse.load(kept.messages)
        company.world.move_on(company.clock.now)
        company.note_starts()
        yield Outcome(began, there, before, kept, is_complete)
