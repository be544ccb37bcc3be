"""Seconds from a call's webhook delivery to its row in the warehouse, with `aircall-inbox serve --then`.

Calls of a company with 1,000 on a day of nine hours end at random. Three events of each are delivered when they happen,
and the row counts once it has the call's end. Run `make install` first.
Usage: `python -m benchmarks.minutes [target]`; `MINUTES=3` measures for three minutes rather than 15.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import duckdb
import psycopg
import requests

from aircall_customers.local import make_database, postgres_server
from aircall_sandbox import Sandbox, generate_company
from tap_aircall.inbox.store import Inbox
from tests.inbox.conftest import SECRET, event, known
from tests.inbox.processes import free_port
from tests.targets.conftest import make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aircall_sandbox import World
    from tests.targets.conftest import Project

MEAN_SECONDS = 9 * 3_600 / 1_000
"""Mean time between calls."""
MINUTES = float(os.environ.get("MINUTES", "15"))
LATENCY_SECONDS = 0.2
"""Of Aircall's answers."""
PATIENCE_SECONDS = 300
BIN = Path(sys.executable).parent


@contextmanager
def warehouse(target: str, folder: Path) -> Iterator[tuple[dict[str, str], Callable[[Iterable[int]], list[int]]]]:
    """Yield the variables of a loader, and a function that returns which of some calls are loaded with their end."""
    query = "SELECT id FROM aircall.calls WHERE ended_at IS NOT NULL AND id IN "
    if target == "target-duckdb":
        path, starts, looked = folder / "warehouse.duckdb", folder / "starts.txt", [0]

        def in_duckdb(calls: Iterable[int]) -> list[int]:
            runs, is_under_way = divmod(len(starts.read_text(encoding="utf-8").split()), 2)
            if is_under_way or runs == looked[0]:
                return []  # whoever opened the file while a run is under way would make it fail
            looked[0] = runs
            with duckdb.connect(str(path), read_only=True) as connection:
                return [identity for (identity,) in connection.execute(f"{query}({_listed(calls)})").fetchall()]

        yield {"TARGET_DUCKDB_FILEPATH": str(path)}, in_duckdb
        return
    with postgres_server() as server:
        address = make_database(server, "warehouse")
        with psycopg.connect(address, autocommit=True) as connection:

            def in_postgres(calls: Iterable[int]) -> list[int]:
                found = connection.execute(f"{query}({_listed(calls)})".encode()).fetchall()
                return [identity for (identity,) in found]

            yield {"TARGET_POSTGRES_SQLALCHEMY_URL": address.replace("://", "+psycopg://")}, in_postgres


def _listed(calls: Iterable[int]) -> str:
    return ", ".join(str(call) for call in (0, *calls))


def measure(target: str, folder: Path) -> dict[str, list[float]]:
    """Return the seconds from ends of calls to their rows, of runs and of starts, and the requests of runs."""
    world = generate_company(seed=3, now=time.time(), calls=30_000, contacts=3_000, users=50, days=30)
    location, starts, url = folder / "inbox.db", folder / "starts.txt", f"http://127.0.0.1:{free_port()}"
    with Sandbox(world, latency=LATENCY_SECONDS) as sandbox, warehouse(target, folder) as (variables, loaded):
        with closing(Inbox.open(str(location), create=True)) as inbox:
            inbox.add_webhook(known())
        project = make_project(folder / "project", sandbox)
        project.environment |= {**variables, "TAP_AIRCALL_INBOX": str(location), "TAP_AIRCALL_INBOX_COMPANY": "Acme"}
        project.environment["TAP_AIRCALL_REQUESTS_PER_MINUTE"] = "100000"
        project.meltano("run", "tap-aircall", target)  # the calls before
        del project.environment["TAP_AIRCALL_REQUESTS_PER_MINUTE"]
        now = f"date +%s.%N >> {starts}"
        starts.touch()
        load = shlex.quote(f"{now}; {BIN}/meltano run --force tap-aircall {target}; code=$?; {now}; exit $code")
        serve = [str(BIN / "aircall-inbox"), "--config", "ENV", "serve", "--port", url.rpartition(":")[2]]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(  # noqa: S603 - ours
                [*serve, "--then", f"sh -c {load}"], cwd=project.folder, env=project.environment, stdout=log, stderr=log
            ) as receiver,
        ):
            wait_until(lambda: requests.get(f"{url}/health", timeout=5).ok)
            with sandbox.lock:
                due = deque(sorted(deliveries(world)))
            taken: list[float] = []
            delivered: dict[int, float] = {}
            until = time.time() + MINUTES * 60 + PATIENCE_SECONDS
            while due or delivered:
                while due and due[0][0] <= time.time():
                    at, name, call = due.popleft()
                    body = event(name, token=SECRET, timestamp=at, data={"id": call})
                    requests.post(f"{url}/aircall", json=body, timeout=5).raise_for_status()
                    if name == "call.ended":
                        delivered[call] = time.time()
                taken += [time.time() - delivered.pop(call) for call in loaded(delivered)]
                if time.time() > until:
                    raise TimeoutError
                time.sleep(0.1)
            receiver.terminate()
        times = [float(line) for line in starts.read_text(encoding="utf-8").split()]
        runs = list(zip(times[::2], times[1::2], strict=False))
        made = [[log.at for log in sandbox.requests if began <= log.at <= ended] for began, ended in runs]
        return {
            "to the row, seconds": taken,
            "a run, seconds": [ended - began for began, ended in runs],
            "before its first request, seconds": [each[0] - began for each, (began, _) in zip(made, runs, strict=True)],
            "starts of the tap alone, seconds": [start_of_tap(project) for _ in range(3)],
            "requests of a run": [float(len(each)) for each in made],
        }


def deliveries(world: World) -> Iterator[tuple[int, str, int]]:
    """Let calls happen; yield the UNIX second, event and call of each delivery."""
    world.move_on(time.time())
    draw = random.Random(1)  # noqa: S311 - no secret
    began = ends = time.time()
    while (ends := ends + draw.expovariate(1 / MEAN_SECONDS)) < began + MINUTES * 60:
        talk = draw.randint(20, 300)
        call = world.add_call(started_at=int(ends) - talk - 5, ring_seconds=5, talk_seconds=talk)["id"]
        times = (int(ends) - talk - 5, "call.created"), (int(ends) - talk, "call.answered"), (int(ends), "call.ended")
        yield from ((at, name, call) for at, name in times if at >= began)


def start_of_tap(project: Project) -> float:
    """Return how many seconds the tap needs to write its catalog."""
    began = time.monotonic()
    command = [str(BIN / "tap-aircall"), "--config", "ENV", "--discover"]
    subprocess.run(command, env=project.environment, check=True, capture_output=True)  # noqa: S603 - ours
    return time.monotonic() - began


def wait_until(is_true: Callable[[], bool]) -> None:
    """Poll until a condition is true."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with suppress(requests.ConnectionError):
            if is_true():
                return
        time.sleep(0.1)
    raise TimeoutError


def main() -> None:
    """Measure and print the figures."""
    for target in sys.argv[1:] or ("target-duckdb", "target-postgres"):
        with tempfile.TemporaryDirectory() as folder:
            for what, figures in measure(target, Path(folder)).items():
                line = f"{target}, {what}: median {median(figures):.1f}, worst {max(figures):.1f} (of {len(figures)})"
                print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
