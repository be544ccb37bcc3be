"""States that the tap has written: one of each form there ever was, and what the tap read from it.

`python -m tests.states.record` runs today's tap over a small company in the `WAYS` below, and again an hour later. If a
stream in one of the states has a form that no recorded state has, that state is kept, with what the run had written
before it and what the next run reads from it. Whoever changes the form of a state runs this, and commits the new file.
"""

from __future__ import annotations

import itertools
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from aircall_sandbox import Sandbox, World
from aircall_sandbox.api import Api
from tests.clock import NOW, FakeClock
from tests.conftest import Aircall, Record
from tests.moving import DirectClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aircall_sandbox.messages import ApiResponse
    from tap_aircall.tap import TapAircall
    from tests.conftest import Run

FOLDER = Path(__file__).parent
HOUR = 3600
REPORT = "CALLS_HISTORY"
KINDS = {"name": "[a-z_]+", "number": "[0-9]+", "day": r"[0-9-]{10}", "time": r"[0-9-]{10}T[0-9:]{8}Z"}
"""What a value or key may be, by pattern; anything else is text."""
WALKED = ("calls", "contacts", "call_topics", "call_action_items", "analytics_reports", "my_calls", "my_contacts")
"""Streams of which a run need not read everything."""


@dataclass(frozen=True, eq=False)
class Way:
    """A way to run the tap."""

    streams: tuple[str, ...]
    calls: int = 0
    """How many the company has."""
    contacts: int = 0
    settings: Record = field(default_factory=dict)
    calls_change: bool = True
    """Whether calls are edited, and have to be read again."""


def define(name: str, path: str, **more: str) -> Record:
    """Define a custom stream."""
    return {"name": name, "path": f"/v1/{path}", "records_key": path, "primary_keys": ["id"], **more}


WAYS = {
    "everyday": Way(("calls", "contacts", "users", "tags", "company"), calls=520, contacts=520),
    "nothing": Way(("calls", "contacts", "users")),
    "owned-lists": Way(("users", "user_numbers")),
    "ai-results": Way(("calls", "call_topics", "call_action_items"), calls=120),
    "reports": Way(
        ("analytics_reports",), calls=3, settings={"analytics_reports": [REPORT], "start_date": "2026-11-20"}
    ),
    "custom": Way(
        ("my_calls", "my_contacts", "my_tags"),
        calls=520,
        contacts=60,
        calls_change=False,
        settings={
            "custom_streams": [
                define("my_calls", "calls", replication="from_to", replication_key="started_at"),
                define("my_contacts", "contacts", replication="newest_first", replication_key="updated_at"),
                define("my_tags", "tags"),
            ]
        },
    ),
}

# The company


class Direct(Aircall):
    """An Aircall that taps reach without HTTP."""

    def respond(self, path: str, params: Mapping[str, str]) -> ApiResponse:
        """Respond to a request."""
        return Api(self.world).respond(path, params)

    @override
    def tap(self, run: Run | None = None, **options: Any) -> TapAircall:
        tap = super().tap(run, **options)
        tap.this_run.client = DirectClient(self, lambda _: None, 1)
        return tap


@contextmanager
def company(way: Way) -> Iterator[Aircall]:
    """Make up the company that a state was recorded with, as it was at `NOW`."""
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        world = sandbox.world
        for n in range(way.calls):
            add_call(world, int(NOW) - 600 * (way.calls - n), with_ai_results=n % 10 == 0)
        for n in range(way.contacts):
            world.add_contact(created_at=int(NOW) - 600 * (way.contacts - n))
        for _ in range(3):
            world.add("users")
        for _ in range(3):
            world.add("tags")
        sandbox.analytics.seconds = 0
        for day in ("20", "21", "22"):
            sandbox.analytics.rows[f"{REPORT} 2026-11-{day}"] = [{"Cell": day}] * 2
        yield (Aircall if "analytics_reports" in way.streams else Direct)(sandbox, clock)


def add_call(world: World, started_at: int, *, with_ai_results: bool) -> None:
    """Add a call, perhaps with AI results."""
    identity = world.add_call(started_at=started_at)["id"]
    if with_ai_results:
        world.intelligence.add(identity, "topics")
        items = {"call_id": identity, "action_items": [{"id": 1}, {"id": 2}]}  # as many as when states were recorded
        world.intelligence.add(identity, "action_items", items)


def pass_an_hour(aircall: Aircall, way: Way) -> None:
    """Let an hour pass, in which things happen."""
    aircall.clock.now += HOUR
    now, world = int(aircall.clock.now), aircall.world
    world.move_on(now)
    for n in range(3):
        add_call(world, now - 2 * HOUR // 3 + 600 * n, with_ai_results=True)
    for identity in list(world.calls)[:-50:7] if way.calls_change else ():
        world.edit_call(identity, archived=not world.calls[identity]["archived"])
    world.add_contact(created_at=now - 1200)
    for identity in list(world.contacts)[1::97]:
        world.edit_contact(identity, at=now - 600, first_name=f"At {now}")
    world.add("tags")
    aircall.sandbox.analytics.rows[f"{REPORT} 2026-11-21"] = [{"Cell": f"at {now}"}]


def run(aircall: Aircall, way: Way, state: Record | None = None) -> Run:
    """Run the tap in a way."""
    return aircall.run(catalog=aircall.catalog(*way.streams, **way.settings), state=state, **way.settings)


# Forms of states, and what was read


def shapes(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path and kind of everything in a value, without its data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from shapes(inner, f"{path}.{kind(key)}")
    elif isinstance(value, list):
        for inner in value:
            yield from shapes(inner, f"{path}[]")
    else:
        yield f"{path}: {kind(value)}"


def kind(value: Any) -> str:
    """Return the kind of a value or key; names stand for themselves."""
    if not isinstance(value, str):
        return type(value).__name__
    for name, pattern in KINDS.items():
        if re.fullmatch(pattern, value):
            return value if name == "name" else name
    return "text"


def forms(state: Record) -> set[tuple[str, ...]]:
    """Return the form of each stream in a state."""
    return {(stream, *sorted(set(shapes(mark)))) for stream, mark in state.get("bookmarks", {}).items() if mark}


def read_records(messages: Iterable[Record]) -> dict[str, list[Any]]:
    """Return what was read of walked streams: days of reports, and the first and last of each range of ids."""
    found: dict[str, list[Any]] = {}
    for message in messages:
        if message["type"] == "RECORD" and message["stream"] in WALKED:
            found.setdefault(message["stream"], []).append(identify(message["record"]))
    days = {stream: sorted(set(ids)) for stream, ids in found.items() if stream == "analytics_reports"}
    return {stream: ranges(ids) for stream, ids in found.items() if stream not in days} | days


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """Return the first and last of each range of ids without a gap."""
    groups = itertools.groupby(enumerate(sorted(set(ids))), key=lambda pair: pair[1] - pair[0])
    members = ([identity for _, identity in group] for _, group in groups)
    return [[group[0], group[-1]] for group in members]


def identify(record: Record) -> Any:
    """Return what identifies a record here: the day of a report, or the id of a call or contact."""
    return record.get("report_date") or int(record.get("call_id") or record["id"])


# Recording


def main() -> None:
    """Keep each state in a new form."""
    known = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")]
    seen = {form for recorded in known for form in forms(recorded["state"])}
    for name, way in WAYS.items():
        for recorded in record(way):
            if new := forms(recorded["state"]) - seen:
                seen |= new
                save({"way": name, **recorded, "reads": next_reads(way, recorded)})


def record(way: Way) -> Iterator[Record]:
    """Yield each state of a first run and of one an hour later, with what came before it in its run."""
    with company(way) as aircall:
        first = run(aircall, way)
        pass_an_hour(aircall, way)
        later = run(aircall, way, first.state)
    for number, done in enumerate((first, later), start=1):
        for place, message in enumerate(done.messages):
            if message["type"] == "STATE":
                yield {"run": number, "state": message["value"], "loaded": read_records(done.messages[:place])}


def next_reads(way: Way, recorded: Record) -> dict[str, list[Any]]:
    """Return what the tap reads an hour after a state was written."""
    with company(way) as aircall:
        for _ in range(recorded["run"]):
            pass_an_hour(aircall, way)
        return read_records(run(aircall, way, recorded["state"]).messages)


def save(recorded: Record) -> None:
    """Write a state to a file, with short lists on one line."""
    number = 1 + len(list(FOLDER.glob(f"{recorded['way']}-*.json")))
    path = FOLDER / f"{recorded['way']}-{number}.json"
    text = json.dumps(recorded, indent=2)
    text = re.sub(r"\[\s+([^][{}]+?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")
    print(path.name)  # noqa: T201


if __name__ == "__main__":
    Aircall.in_flight = 1
    main()
