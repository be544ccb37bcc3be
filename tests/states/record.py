"""The states that the commits of this project have written, and how they were recorded.

`python -m tests.states.record` goes through the commits that changed the tap, oldest first. For each it runs this file
once more, with the code of that commit on the path (a git worktree; nothing is installed): the tap of that commit reads
a small company out of the sandbox of that commit, in the `WAYS` below; whole, an hour later, and cut short. A state is
kept if a stream in it has a form that no kept one has; those from the end of a run count apart from those from before
it. The tap of that commit then goes on from it after another hour, and what it reads is kept beside it.

Whoever changes the form of a state commits that, runs this again, and commits what it wrote.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Record = dict[str, Any]

FOLDER = Path(__file__).parent
NOW = 1_795_438_800
"""2026-11-23T13:00:00Z, as in tests/clock.py."""
HOUR = 3600
REPORT = "CALLS_HISTORY"


@dataclass(frozen=True)
class Way:
    """How a tap is run."""

    streams: tuple[str, ...]
    calls: int = 0
    """How many the company has."""
    contacts: int = 0
    settings: Record = field(default_factory=dict)
    replication: str | None = None
    """What the catalog says of it."""
    signals: tuple[int, ...] = (6, 12, 24)
    """When to interrupt a run: after the tap has asked the clock so often."""
    calls_change: bool = True
    """Whether calls are edited, as those have to be read again that are."""


def define(name: str, path: str, **more: str) -> Record:
    """Define a stream of the user's own."""
    return {"name": name, "path": f"/v1/{path}", "records_key": path, "primary_keys": ["id"], **more}


WAYS = {
    "everyday": Way(("calls", "contacts", "users", "tags", "company"), calls=520, contacts=520),
    "read-once": Way(("calls",), calls=520, settings={"reread_after_hours": []}, calls_change=False),
    "nothing": Way(("calls", "contacts", "users")),
    "full-table": Way(("calls", "contacts"), calls=520, contacts=60, replication="FULL_TABLE"),
    "ai-results": Way(("calls", "call_topics", "call_action_items"), calls=120),
    "ai-results-alone": Way(("call_topics",), calls=120),
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
KINDS = {"name": "[a-z_]+", "number": "[0-9]+", "day": r"[0-9-]{10}", "time": r"[0-9-]{10}T[0-9:]{8}Z"}
"""What a value or key may be, by pattern; anything else is text."""
WALKED = ("calls", "contacts", "call_topics", "call_action_items", "analytics_reports", "my_calls", "my_contacts")
"""Streams of which a run need not read all."""


def populate(sandbox: Any, way: Way) -> None:
    """Make up the company as it is at `NOW`."""
    world = sandbox.world
    for n in range(way.calls):
        add_call(world, NOW - 600 * (way.calls - n), with_ai_results=n % 10 == 0)
    for n in range(way.contacts):
        world.add_contact(created_at=NOW - 600 * (way.contacts - n))
    for kind in ("users", "tags"):
        for _ in range(3):
            world.add(kind)
    if hasattr(sandbox, "analytics"):
        sandbox.analytics.seconds = 0
        for day in ("20", "21", "22"):
            sandbox.analytics.rows[f"{REPORT} 2026-11-{day}"] = [{"Cell": day}] * 2


def add_call(world: Any, started_at: int, *, with_ai_results: bool) -> None:
    """Add a call, perhaps with what Aircall's AI makes of it."""
    identity = world.add_call(started_at=started_at)["id"]
    if with_ai_results and hasattr(world, "intelligence"):
        world.intelligence.add(identity, "topics")
        items = {"call_id": identity, "action_items": [{"id": 1}, {"id": 2}]}  # as many as when states were recorded
        world.intelligence.add(identity, "action_items", items)


def live_on(sandbox: Any, way: Way, now: int) -> None:
    """Let an hour pass, which ends now."""
    world = sandbox.world
    world.move_on(now)
    for n in range(3):
        add_call(world, now - 2 * HOUR // 3 + 600 * n, with_ai_results=True)
    for identity in list(world.calls)[:-50:7] if way.calls_change else ():
        world.edit_call(identity, archived=not world.calls[identity]["archived"])
    world.add_contact(created_at=now - 1200)
    for identity in list(world.contacts)[1::97]:
        world.edit_contact(identity, at=now - 600, first_name=f"At {now}")
    world.add("tags")
    if hasattr(sandbox, "analytics"):
        sandbox.analytics.rows[f"{REPORT} 2026-11-21"] = [{"Cell": f"at {now}"}]


def shapes(value: Any, path: str = "") -> Iterator[str]:
    """Tell what a value looks like, whatever it says: the paths of all that is in it, without their data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from shapes(inner, f"{path}.{kind(key)}")
    elif isinstance(value, list):
        for inner in value:
            yield from shapes(inner, f"{path}[]")
    else:
        yield f"{path}: {kind(value)}"


def kind(value: Any) -> str:
    """Tell of what kind a value or a key is; names stand for themselves."""
    if not isinstance(value, str):
        return type(value).__name__
    for name, pattern in KINDS.items():
        if re.fullmatch(pattern, value):
            return value if name == "name" else name
    return "text"


def keys(fixture: Record) -> set[tuple[str, ...]]:
    """Tell the form of each stream in a recorded state, with whether its run had ended; what is empty has none."""
    moment = "interrupted" if "interrupted" in fixture["moment"] else "ended"
    marks = fixture["state"].get("bookmarks", {})
    return {(moment, stream, *sorted(set(shapes(mark)))) for stream, mark in marks.items() if mark}


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """Shorten a set of ids to the first and last of those without a gap."""
    groups = itertools.groupby(enumerate(sorted(set(ids))), key=lambda pair: pair[1] - pair[0])
    members = ([identity for _, identity in group] for _, group in groups)
    return [[group[0], group[-1]] for group in members]


def read_records(messages: Iterable[Record]) -> dict[str, list[Any]]:
    """Tell which records there are of the streams that are walked: ids, or days of reports."""
    found: dict[str, list[Any]] = {}
    for message in messages:
        if message["type"] == "RECORD" and message["stream"] in WALKED:
            found.setdefault(message["stream"], []).append(identify(message["record"]))
    days = {stream: sorted(set(ids)) for stream, ids in found.items() if stream == "analytics_reports"}
    return {stream: ranges(ids) for stream, ids in found.items() if stream not in days} | days


def identify(record: Record) -> Any:
    """Tell what a record is known by here."""
    return record.get("report_date") or int(record.get("call_id") or record["id"])


# With the code of a commit


class Tapped:
    """The tap of the commit that is on the path, with its sandbox."""

    def __init__(self, way: Way) -> None:
        from tap_aircall.clock import Clock  # noqa: PLC0415 - of that commit
        from tap_aircall.sandbox import Sandbox, World  # noqa: PLC0415

        class Standing(Clock):
            now = float(NOW)
            asked = 0
            ends_after: int | None = None

            @override
            def time(self) -> float:
                self.asked += 1
                if self.asked == self.ends_after:
                    raise KeyboardInterrupt
                return self.now

            @override
            def monotonic(self) -> float:
                return self.now

            @override
            def wait(self, seconds: float, interrupt: Any) -> None:
                del interrupt
                self.now += seconds

        self.way = way
        self.clock = Standing()
        self.sandbox = Sandbox(World(now=NOW), clock=lambda: self.clock.now)
        populate(self.sandbox, way)

    def __enter__(self) -> Self:
        self.sandbox.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.sandbox.__exit__(None, None, None)

    def run(self, state: Record | None = None, ends_after: int | None = None) -> list[Record]:
        """Run the tap and return its messages."""
        from tap_aircall.tap import TapAircall  # noqa: PLC0415

        catalog = json.loads(json.dumps(TapAircall(config=dict(self.way.settings), validate_config=False).catalog_dict))
        for entry in catalog["streams"]:
            if self.way.replication:
                entry["replication_method"] = self.way.replication
            for item in entry["metadata"]:
                if not item["breadcrumb"]:
                    item["metadata"]["selected"] = entry["tap_stream_id"] in self.way.streams
        config = {
            "user": self.sandbox.api_id,
            "password": self.sandbox.api_token,
            "api_url": self.sandbox.url,
            "requests_per_minute": 1_000_000,
            "max_concurrent_requests": 1,
        }
        self.clock.asked, self.clock.ends_after = 0, ends_after
        copy = json.loads(json.dumps(state)) if state else None
        lines: list[str] = []
        with captured(lines), contextlib.suppress(KeyboardInterrupt):
            TapAircall(config=self.way.settings | config, catalog=catalog, state=copy, clock=self.clock).run()
        self.clock.ends_after = None
        return [json.loads(line) for line in lines]

    def streams(self) -> set[str]:
        """Return the names of the streams that there are."""
        from tap_aircall.tap import TapAircall  # noqa: PLC0415

        known = TapAircall(config={}, validate_config=False)
        if self.way.settings.keys() <= known.config_jsonschema["properties"].keys():
            return set(TapAircall(config=dict(self.way.settings), validate_config=False).streams)
        return set()


@contextlib.contextmanager
def captured(lines: list[str]) -> Iterator[None]:
    """Keep what this process writes to its standard output."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += file.readlines()


def write_states(way: Way) -> Iterator[Record]:
    """Let the tap of the commit write all its states in one way."""
    with Tapped(way) as tapped:
        if not set(way.streams) <= tapped.streams():
            return
        first = tapped.run()
        yield from split("first", 1, first)
        for ends_after in way.signals:
            yield from split("first", 1, tapped.run(ends_after=ends_after), is_whole=False)
        tapped.clock.now += HOUR
        live_on(tapped.sandbox, way, int(tapped.clock.now))
        complete = last_state(first)
        yield from split("later", 2, tapped.run(complete))
        for ends_after in way.signals:
            yield from split("later", 2, tapped.run(complete, ends_after=ends_after), is_whole=False)


def last_state(messages: list[Record]) -> Record:
    """Return the state that a target has in the end."""
    states: list[Record] = [message["value"] for message in messages if message["type"] == "STATE"]
    return states[-1]


def split(run: str, number: int, messages: list[Record], *, is_whole: bool = True) -> Iterator[Record]:
    """Tell of each state of a run, and what came before it."""
    places = [place for place, message in enumerate(messages) if message["type"] == "STATE"]
    for place in places:
        is_end = is_whole and place == places[-1]
        yield {
            "moment": run if is_end else f"{run}-interrupted",
            "run": number,
            "state": messages[place]["value"],
            "loaded": read_records(messages[:place]),
        }


def go_on(way: Way, run: int, state: Record) -> dict[str, list[Any]]:
    """Let the tap of the commit go on from a state an hour later, and tell what it reads."""
    with Tapped(way) as tapped:
        for _ in range(run):
            tapped.clock.now += HOUR
            live_on(tapped.sandbox, way, int(tapped.clock.now))
        return read_records(tapped.run(state))


def record(seen: set[tuple[str, ...]]) -> Iterator[Record]:
    """Record the states with a form that was not seen yet."""
    for name, way in WAYS.items():
        for found in write_states(way):
            fresh = keys(found) - seen
            if fresh:
                seen |= fresh
                yield {"way": name, **found, "reads": go_on(way, found["run"], found["state"])}


# With all commits


def main() -> None:
    """Go through the commits."""
    root = FOLDER.parents[1]
    known = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    seen = {key for fixture in known for key in keys(fixture)}
    commits = git(root, "log", "--reverse", "--format=%h %cs", "--", "tap_aircall", ":!tap_aircall/sandbox")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git(root, "worktree", "add", "--detach", str(tree), "HEAD")
        try:
            for commit, date in (line.split() for line in commits.splitlines()):
                git(tree, "checkout", "--quiet", commit)
                for fixture in of_commit(tree, seen):
                    seen |= keys(fixture)
                    save({"commit": commit, "date": date, **fixture})
        finally:
            git(root, "worktree", "remove", "--force", str(tree))


def of_commit(tree: Path, seen: set[tuple[str, ...]]) -> list[Record]:
    """Run this file with the code of a worktree."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(sorted(seen))],
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    fixtures: list[Record] = json.loads(done.stdout)
    return fixtures


def save(fixture: Record) -> None:
    """Write one state, under a name that says what it is."""
    stem = f"{fixture['way']}-{fixture['moment']}"
    number = 1 + len(list(FOLDER.glob(f"{stem}-[0-9]*.json")))
    path = FOLDER / f"{stem}-{number}.json"
    path.write_text(write(fixture), encoding="utf-8")
    print(fixture["commit"], path.name)  # noqa: T201


def write(fixture: Record) -> str:
    """Write JSON with short lists in one line."""
    text = json.dumps(fixture, indent=2)
    return re.sub(r"\[\s+([^][{}]+?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n"


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S607


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(list(record({tuple(each) for each in json.loads(sys.argv[1])}))))  # noqa: T201
    else:
        main()
