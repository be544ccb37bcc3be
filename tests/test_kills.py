"""Runs that are cut short at random moments, and go on from the last state that the target kept.

Real processes are killed or terminated, lose their target or fill the disk. However often that happens, the target ends
up with what Aircall has, and no run repeats more than what came after the last state.
"""

from __future__ import annotations

import errno
import json
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault, Sandbox, World
from aircall_sandbox.intelligence import RESULT_KINDS
from tap_aircall.reading.states import PAGES_PER_STATE
from tests.clock import NOW, SPEED, FastClock
from tests.conftest import Aircall
from tests.messages import each_names, names
from tests.processes import PATIENCE_SECONDS, Command, Mishap, Process
from tests.slow import few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T0 = int(NOW)
TOKEN = "/v1/oauth/token"
FOLLOWERS = ("call_topics", "call_action_items")
EXPECTED: dict[Mishap, dict[int, list[tuple[str, ...]]]] = {
    Mishap.KILL: {-9: []},
    Mishap.TERMINATE: {143: [("state",)], -15: []},  # in a shell 143 as well; a signal after the last write
    Mishap.CLOSED_PIPE: {1: [("target", "state")]},
    Mishap.FULL_DISK: {1: [(os.strerror(errno.EFBIG), "standard output")]},
}
"""The facts in each line that a run logs, by its exit code."""


def check_end(mishap: Mishap, done: Process) -> None:
    """Check how a run ended that a mishap cut short."""
    assert done.exit_code in EXPECTED[mishap], done.stderr
    each_names(done.problems(), *EXPECTED[mishap][done.exit_code])


REPEATED = {"calls": 500, "contacts": 500}
"""How many records may come again after a mishap in a first run: ten pages, after which the state is written."""
FOLLOWED = 50
"""Of how many calls AI results may be asked for again."""
AGES = 7
"""How many cursors of calls move on while the clock runs, each with a request a run and now and then a call."""
CALL_EVERY = 600
"""Seconds from one call to the next."""
LISTS = 4
"""Pages of users and tags, which each run reads whole."""


class Company:
    """A sandbox, a running clock, and the tap's command for them."""

    def __init__(self, sandbox: Sandbox, clock: FastClock, folder: Path, dice: random.Random) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.aircall = Aircall(sandbox, clock)  # type: ignore[arg-type] # the same object
        self.clock = clock
        self.dice = dice
        self.is_cut_short: Counter[Mishap] = Counter()
        self._folder = folder

    def command(self, *streams: str, **settings: Any) -> Command:
        """Return the command for some streams."""
        config = {name: value for name, value in self.aircall.config(**settings).items() if value is not None}
        return Command(self._folder, config, self.aircall.catalog(*streams), self.clock)

    def pass_time(self, seconds: float) -> None:
        """Move the clock on."""
        self.clock.began -= seconds / SPEED
        self.world.move_on(self.clock.time())

    def truth(self, *streams: str) -> Warehouse:
        """Read everything anew, undisturbed."""
        truth = Warehouse()
        truth.load(self.aircall.run(*streams).messages)
        return truth

    def interrupt(self, command: Command, state: dict[str, Any], *, requests: int, size: int) -> Process:
        """Make a run with some mishap at some moment, and check how it ends.

        Args:
            command: What to run.
            state: Where to begin.
            requests: About how many it would make.
            size: About how many bytes it would write.
        """
        mishap = self.dice.choice(list(Mishap))
        before = len(self.sandbox.requests)
        asked, written = self.dice.randrange(1, requests + 1), self.dice.randrange(size)
        by_requests = self.dice.random() < 1 / 2
        delay = self.dice.random() / 100
        moment: list[float] = []

        def when(output: bytearray) -> bool:
            if not moment and (len(self.sandbox.requests) - before >= asked if by_requests else len(output) > written):
                moment.append(time.monotonic() + delay)
            return bool(moment) and time.monotonic() >= moment[0]

        done = command.run(state, mishap, when=when, room=written // 3)
        if done.exit_code == 0:  # it was already over, perhaps before the target that died had read everything
            assert done.problems() == []
            done.is_cut_short = mishap is Mishap.CLOSED_PIPE and done.is_cut_short
        else:
            check_end(mishap, done)
        self.is_cut_short[mishap] += done.is_cut_short
        return done


@pytest.fixture
def make_company(tmp_path: Path, record_property: Callable[[str, object], None]) -> Iterator[Callable[..., Company]]:
    """Make a company driven by a seed; `--junitxml` reports how often each mishap hit its runs."""
    made: list[Company] = []

    def make(seed: int, **options: Any) -> Company:
        clock = FastClock(time.time())
        sandbox = Sandbox(World(now=NOW), clock=clock.time, **options)
        dice = random.Random(seed)  # noqa: S311 - not for secrets
        made.append(Company(sandbox.__enter__(), clock, tmp_path, dice))
        return made[-1]

    yield make
    for company in made:
        company.sandbox.__exit__(None, None, None)
        for mishap, times in company.is_cut_short.items():
            record_property(mishap.name, times)


def go_through(company: Company, command: Command, warehouse: Warehouse, *, size: int, mishaps: int) -> Counter[str]:
    """Run a command until it gets to its end, with mishaps on the way, and load everything that it writes.

    Returns:
        How many records of each stream were written, and how many `requests` were made.
    """
    spent: Counter[str] = Counter()
    before = len(company.sandbox.requests)
    requests = max(2, size // 60_000)
    for number in range(mishaps + 1):
        if number < mishaps:
            done = company.interrupt(command, warehouse.state, requests=requests, size=size)
        else:
            done = command.run(warehouse.state)
            assert (done.exit_code, done.problems()) == (0, [])
        spent.update(message["stream"] for message in done.messages if message["type"] == "RECORD")
        warehouse.load(done.messages)
        if not done.is_cut_short:
            break
    spent["requests"] = len(company.sandbox.requests) - before
    return spent


@pytest.mark.parametrize("seed", range(few_or_many(2, 12)))
def test_a_first_run_ends_complete_however_often_it_dies(make_company: Callable[..., Company], seed: int) -> None:
    company = make_company(seed)
    world = company.world
    followers = FOLLOWERS[: 2 * (seed % 2)]
    calls = few_or_many(400, 1_400) if followers else 1_400  # each follower makes a request per call
    for began in range(T0 - 24_000 - calls * CALL_EVERY, T0 - 24_000, CALL_EVERY):
        call = world.add_call(started_at=began)
        if len(world.calls) % 40 == 0:
            for kind in RESULT_KINDS:
                world.intelligence.add(call["id"], kind)
        world.add_contact(created_at=began)
    for _ in range(60):
        world.add("users")
        world.add("tags")
    streams = ("calls", "contacts", "users", "tags", *followers)
    truth = company.truth(*streams)
    undisturbed = len(company.sandbox.requests)

    for _ in range(few_or_many(1, 3)):
        warehouse = Warehouse()
        before, beginning = company.is_cut_short.total(), company.clock.time()
        spent = go_through(company, company.command(*streams), warehouse, size=3_000 * calls, mishaps=few_or_many(3, 6))
        mishaps = company.is_cut_short.total() - before
        aged = AGES * (mishaps + 1 + int(company.clock.time() - beginning) // CALL_EVERY)

        assert warehouse.tables == truth.tables
        for stream, most in REPEATED.items():
            assert spent[stream] <= calls + mishaps * most + aged
        again = 1 + 2 * PAGES_PER_STATE + company.aircall.in_flight + LISTS + FOLLOWED * len(followers)
        assert spent["requests"] <= undisturbed + mishaps * again + aged * (1 + len(followers))


@pytest.mark.parametrize("seed", range(few_or_many(1, 8)))
def test_incremental_runs_lose_no_change_however_often_they_die(
    make_company: Callable[..., Company], seed: int
) -> None:
    company = make_company(seed)
    world, dice = company.world, company.dice
    calls = [world.add_call(started_at=T0 - 5 * 3600 + n)["id"] for n in range(700)]
    contacts = [world.add_contact(created_at=T0 - 86_400 + n)["id"] for n in range(400)]
    command = company.command("calls", "contacts")
    warehouse = Warehouse()
    warehouse.load(command.run().messages)

    for _ in range(few_or_many(2, 10)):
        company.pass_time(3600)
        for identity in dice.sample(calls, 30):
            world.edit_call(identity, archived=bool(dice.getrandbits(1)))
        for identity in dice.sample(contacts, 60):
            at = company.clock.time() - dice.randrange(60)
            world.edit_contact(identity, at=at, first_name=str(dice.random()))
        state, before = warehouse.state, company.is_cut_short.total()
        spent = go_through(company, command, warehouse, size=150_000, mishaps=2)
        mishaps = company.is_cut_short.total() - before
        undisturbed = company.aircall.run("calls", "contacts", state=state)

        assert spent["calls"] <= len(undisturbed.records("calls")) + mishaps * REPEATED["calls"]
        assert spent["contacts"] <= len(undisturbed.records("contacts")) * (mishaps + 1)  # what changed comes again
        for identity in contacts:
            assert warehouse.tables["contacts"][identity,]["first_name"] == world.contacts[identity]["first_name"]

    company.pass_time(40 * 86_400)
    warehouse.load(command.run(warehouse.state).messages)
    assert warehouse.tables == company.truth("calls", "contacts").tables


@pytest.mark.parametrize("seed", range(few_or_many(1, 4)))
def test_a_killed_renewal_needs_a_login_only_if_its_answer_was_lost(
    make_company: Callable[..., Company], tmp_path: Path, seed: int
) -> None:
    company = make_company(seed, oauth="rotating")
    company.world.add("tags", name="VIP")
    oauth, dice = company.sandbox.oauth, company.dice
    command = company.command("tags", **company.aircall.oauth(tmp_path))
    file = tmp_path / "tokens.json"
    log_in(company, file)

    for _ in range(few_or_many(4, 20)):
        oauth.end_access()
        company.sandbox.faults.append(Fault(path=TOKEN, delay=0.1))
        before, granted, saved = len(company.sandbox.requests), len(oauth.grants), file.read_bytes()
        mishap = dice.choice((Mishap.KILL, Mishap.TERMINATE))
        asked, moment = dice.randrange(1, 4), time.monotonic() + PATIENCE_SECONDS

        def when(_: bytearray) -> bool:
            nonlocal moment
            if len(company.sandbox.requests) - before >= asked:  # noqa: B023 - called at once
                moment = min(moment, time.monotonic() + dice.random() / 5)
            return time.monotonic() >= moment

        done = command.run(None, mishap, when=when)
        company.sandbox.faults.clear()
        if done.exit_code != 0:
            check_end(mishap, done)
            company.is_cut_short[mishap] += 1
        answer_was_lost = mishap is Mishap.KILL and file.read_bytes() == saved
        first = done
        done = command.run()

        if done.exit_code == 0:
            assert [tag["name"] for tag in done.records("tags")] == ["VIP"]
        else:
            assert answer_was_lost, (mishap, first.exit_code, first.stderr, done.stderr)
            assert len(oauth.grants) == granted + 1
            assert names(done.problems()[-1], "--login")
            log_in(company, file)


def log_in(company: Company, file: Path) -> None:
    """Put tokens where a login would have put them."""
    granted = company.sandbox.oauth.tokens()
    entry = {name: granted[name] for name in ("access_token", "refresh_token")}
    entry |= {"expires_at": None, "lifetime": None, "company": None, "ancestors": []}
    file.write_text(json.dumps({f"{company.sandbox.url} {company.sandbox.oauth.client_id}": entry}), encoding="utf-8")
