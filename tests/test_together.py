"""Processes that docs/promises.md lets run at once do, on one store: drawn ones, that begin together and are killed."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import random
import re
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tap_aircall.auth.tokens import TokenFile, Tokens
from tap_aircall.http.limiter import RateLimiter
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery
from tap_aircall.inbox.store import Inbox
from tap_aircall.inbox.webhooks import CompanyWebhooks
from tap_aircall.reading.clock import Clock
from tap_aircall.streams.recordings.archive import ASIDE, Archive
from tap_aircall.tap import TapAircall
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Semaphore
    from threading import Event

    from tests.conftest import Aircall
    from tests.postgres import Postgres

PAGE = (Path(__file__).parents[1] / "docs/promises.md").read_text(encoding="utf-8")
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.test_together"])
COMPANY, URL, BUDGET = "Acme", "https://hooks.example.com/aircall", 7
EVENTS = 40
"""How many events each of those who receive stores."""
OLD = 1_600_000_000_000
"""When those came that may be forgotten (UNIX milliseconds)."""


class NeverWaits(Clock):
    """Ends a process that would have to wait."""

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        raise SystemExit


@dataclass
class Me:
    """One of the processes."""

    config: dict[str, Any]
    number: int
    shared: Path
    """A folder that all have."""
    notes: Path

    def say(self, what: str, value: Any) -> None:
        """Note something that was done; a kill after that does not undo it."""
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([what, value])}\n")


def create(me: Me) -> None:
    """Open the store, and make it if there is none."""
    with closing(Inbox.open(me.config["inbox"], create=True)) as inbox:
        me.say("inbox", inbox.inbox_id)


def receive(me: Me) -> None:
    """Store events, of which every other one is old."""
    with closing(Inbox.open(me.config["inbox"], create=True)) as inbox:
        for each in range(me.number * EVENTS, me.number * EVENTS + EVENTS):
            body = json.dumps({"event": "call.tagged", "data": {"id": each}}).encode()
            at = OLD if each % 2 else int(time.time() * 1000)
            inbox.append([Delivery(body).row(COMPANY, WEBHOOK, at)])
            me.say("kept", each)


def follow(me: Me) -> None:
    """Read as taps do: each time from the last position that was seen."""
    with closing(Inbox.open(me.config["inbox"], create=True)) as inbox:
        after = 0
        for _ in range(20):
            for page in inbox.events(COMPANY, after, inbox.last_position(COMPANY)):
                after = page[-1].position
                for event in page:
                    me.say(f"seen {me.number}", event.body["data"]["id"])
            time.sleep(0.01)


def forget(me: Me) -> None:
    """Forget what is old."""
    with closing(Inbox.open(me.config["inbox"], create=True)) as inbox:
        for _ in range(3):
            inbox.forget(COMPANY, OLD + 1)


def register(me: Me) -> None:
    """Have Aircall make the webhook."""
    tap = TapAircall(config=me.config)
    with closing(Inbox.open(me.config["inbox"], create=True)) as inbox:
        webhooks = CompanyWebhooks(tap.this_run.client, inbox, Clock(), COMPANY)
        me.say("webhook", webhooks.register(URL, []).webhook_id)
    tap.this_run.client.close()


def ask(me: Me) -> None:
    """Send requests for as long as the shared limit has room."""
    limiter = RateLimiter(BUDGET, NeverWaits(), str(me.shared / "limit"))
    while True:
        limiter.acquire()
        me.say("request", me.number)


def renew(me: Me) -> None:
    """Renew tokens, each from the last ones."""
    store = TokenFile(me.shared / "tokens.json", "https://api.aircall.io", "app")
    for _ in range(5):
        with store.locked():
            last = store.load()
            number = 1 + int(last.access_token or 0) if last else 1
            store.save(Tokens(access_token=str(number)))
        me.say("renewed", number)


def keep(me: Me) -> None:
    """Keep the same recording."""
    archive = Archive(str(me.shared / "recordings"))
    for _ in range(5):
        me.say("file", archive.keep("2026/11/23", "1-recording.mp3", [b"x" * 100_000] * 3).sha256)


def load(me: Me) -> None:
    """Hold a customer, as a load does."""
    from aircall_customers.guard import Guard, RefusedError  # noqa: PLC0415 - not where `make compat` runs

    with Guard(me.config["inbox"].replace("+psycopg", "")) as guard:
        for _ in range(5):
            with suppress(RefusedError), guard.claim(COMPANY, str(me.number)):
                began = time.monotonic()
                time.sleep(0.01)
                me.say("load", [began, time.monotonic()])


ROLES = (create, receive, follow, forget, register, ask, renew, keep)
ON_A_DATABASE = (load,) if find_spec("aircall_customers") else ()
"""What needs one."""


def play(role: Callable[[Me], None], me: Me, ready: Semaphore, go: Semaphore) -> None:
    """Wait for the others, and do it. A process that is killed as it leaves a barrier would keep the others there."""
    ready.release()
    go.acquire()
    role(me)


def let_go(ready: Semaphore, go: Semaphore, number: int) -> None:
    """Let processes begin once all are ready."""
    for _ in range(number):
        ready.acquire()
    for _ in range(number):
        go.release()


def survive(
    aircall: Aircall, folder: Path, location: str, seed: int, roles: Sequence[Callable[[Me], None]] = ()
) -> None:
    """Let some processes run at once, kill some of them, and hold what is left against what is promised.

    Args:
        aircall: Aircall.
        folder: Where their files are.
        location: The inbox.
        seed: What the dice are cast with.
        roles: What they do; drawn by default.
    """
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    config = aircall.config(inbox=location)
    drawn = [*ROLES, *(ON_A_DATABASE if "://" in location else ())]
    roles = roles or [*dice.choices(drawn, k=5), *dice.choices((receive, register), k=2)]
    (folder / str(seed)).mkdir()
    ready, go = FORKED.Semaphore(0), FORKED.Semaphore(0)
    notes = [folder / f"{seed} {number}.jsonl" for number in range(len(roles))]
    processes = [
        FORKED.Process(target=play, args=(role, Me(config, number, folder / str(seed), notes[number]), ready, go))
        for number, role in enumerate(roles)
    ]
    for process in processes:
        process.start()
    let_go(ready, go, len(roles))
    doomed = dice.sample(range(len(roles)), k=dice.randint(0, 3))
    for number in doomed:
        time.sleep(dice.random() / 20)
        processes[number].kill()
    for number, process in enumerate(processes):
        process.join(60)
        assert process.exitcode == 0 or number in doomed, (roles[number], process.exitcode)

    said = [
        json.loads(line) for path in notes if path.exists() for line in path.read_text(encoding="utf-8").splitlines()
    ]
    told = {what: [value for kind, value in said if kind == what] for what, _ in said}
    with closing(Inbox.open(location, create=True)) as inbox:
        assert set(told.get("inbox", ())) <= {inbox.inbox_id}
        there = [event.body["data"]["id"] for page in inbox.events(COMPANY, 0, 10**15) for event in page]
        assert max(Counter(there).values(), default=1) == 1
        missing = set(told.get("kept", ())) - set(there)
        assert all(each % 2 for each in missing)
        assert not missing or forget in roles
        for what, seen in told.items():
            if what.startswith("seen"):
                assert len(seen) == len(set(seen))
                assert [each for each in there if each in seen] == [each for each in seen if each in there]
        in_aircall = set(aircall.world.kinds["webhooks"])
        if register in roles and not any(roles[number] is register for number in doomed):
            assert set(told["webhook"]) == in_aircall == {each.webhook_id for each in inbox.webhooks()}
        if register in roles:  # what a killed one has left, the next one notices
            client = aircall.tap().this_run.client
            last = CompanyWebhooks(client, inbox, Clock(), COMPANY).register(URL, [])
            client.close()
            assert {last.webhook_id} == set(aircall.world.kinds["webhooks"])
            assert [last] == inbox.webhooks()
    assert len(told.get("request", ())) <= BUDGET
    renewed = told.get("renewed", [])
    assert len(renewed) == len(set(renewed))
    if renewed:
        (entry,) = json.loads((folder / str(seed) / "tokens.json").read_text(encoding="utf-8")).values()
        assert int(entry["access_token"]) >= max(renewed)
    loads = sorted(told.get("load", ()))
    assert all(sooner[1] <= later[0] for sooner, later in itertools.pairwise(loads))
    files = [path for path in (folder / str(seed) / "recordings").glob("*/*/*/*") if path.suffix != ASIDE]
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in files} >= set(told.get("file", ()))
    assert len(files) <= 1


@pytest.mark.timeout(1800)
def test_what_may_run_at_once_on_a_file_does(aircall: Aircall, tmp_path: Path) -> None:
    for seed in range(5, 5 + few_or_many(3, 100)):  # the first ones draw each role
        aircall.world.kinds["webhooks"].clear()
        survive(aircall, tmp_path, str(tmp_path / f"{seed}.db"), seed)


def test_four_that_forget_at_once_lose_no_delivery(aircall: Aircall, tmp_path: Path) -> None:
    survive(aircall, tmp_path, str(tmp_path / "inbox.db"), 7, [forget] * 4 + [receive] * 2)


@pytest.mark.timeout(1800)
def test_what_may_run_at_once_on_a_database_does(aircall: Aircall, tmp_path: Path, postgres: Postgres) -> None:
    survive(aircall, tmp_path, postgres.url, 2)


def test_the_page_names_what_is_drawn() -> None:
    (table,) = re.findall(r"^## What may run at once\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(\w+)`\s*\|$", table, re.MULTILINE))

    assert named == {role.__name__ for role in (*ROLES, load)}
