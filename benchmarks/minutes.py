"""Seconds from a call's webhook delivery to its row in the warehouse, with `aircall-inbox serve --then`.

Calls of a company with 1,000 a day end at random; each is delivered as three events. Run `make install` first.
Usage: `python -m benchmarks.minutes [target]`.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
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
    from collections.abc import Callable, Iterator

MEAN_SECONDS = 86.4
"""Mean time between calls, at 1,000 a day."""
CALLS = int(os.environ.get("CALLS", "8"))
PATIENCE_SECONDS = 300
BIN = Path(sys.executable).parent


@contextmanager
def warehouse(target: str, folder: Path) -> Iterator[tuple[dict[str, str], Callable[[int], bool]]]:
    """Yield the variables of a loader, and a function that returns whether a call is loaded."""
    query = "SELECT count(*) > 0 FROM aircall.calls WHERE id = "
    if target == "target-duckdb":
        path, starts = folder / "warehouse.duckdb", folder / "starts.txt"

        def is_in_duckdb(call: int) -> bool:
            if len(starts.read_text(encoding="utf-8").split()) % 2:
                return False  # whoever opened the file while a run is under way would make it fail
            with duckdb.connect(str(path), read_only=True) as connection:
                return connection.execute(f"{query}{call}").fetchone() == (True,)

        yield {"TARGET_DUCKDB_FILEPATH": str(path)}, is_in_duckdb
        return
    with postgres_server() as server:
        address = make_database(server, "warehouse")

        def is_in_postgres(call: int) -> bool:
            with psycopg.connect(address) as connection:
                return connection.execute(f"{query}{call}".encode()).fetchone() == (True,)

        yield {"TARGET_POSTGRES_SQLALCHEMY_URL": address.replace("://", "+psycopg://")}, is_in_postgres


def measure(target: str, folder: Path) -> dict[str, list[float]]:
    """Return the seconds from calls to their rows, of runs, and from the start of runs to their first request."""
    world = generate_company(seed=3, now=time.time(), calls=1_000, contacts=300, users=10)
    location, starts, url = folder / "inbox.db", folder / "starts.txt", f"http://127.0.0.1:{free_port()}"
    with Sandbox(world) as sandbox, warehouse(target, folder) as (variables, is_loaded):
        with closing(Inbox.open(str(location), create=True)) as inbox:
            inbox.add_webhook(known())
        project = make_project(folder / "project", sandbox)
        project.environment |= {**variables, "TAP_AIRCALL_INBOX": str(location), "TAP_AIRCALL_INBOX_COMPANY": "Acme"}
        project.meltano("run", "tap-aircall", target)  # the calls before
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
            taken, gaps = [], random.Random(1)  # noqa: S311 - no secret
            for _ in range(CALLS):
                with sandbox.lock:
                    call: int = world.add_call(started_at=int(time.time()) - 120, talk_seconds=60)["id"]
                for name in ("call.created", "call.answered", "call.ended"):
                    body = event(name, token=SECRET, timestamp=int(time.time()), data={"id": call})
                    requests.post(f"{url}/aircall", json=body, timeout=5).raise_for_status()
                delivered = time.time()
                wait_until(lambda call=call: is_loaded(call))  # type: ignore[misc]
                taken.append(time.time() - delivered)
                time.sleep(max(0.0, gaps.expovariate(1 / MEAN_SECONDS) - taken[-1]))
            receiver.terminate()
        times = [float(line) for line in starts.read_text(encoding="utf-8").split()]
        runs = list(zip(times[::2], times[1::2], strict=False))
        return {
            "to the row": taken,
            "a run": [ended - began for began, ended in runs],
            "before its first request": [
                next(log.at for log in sandbox.requests if log.at >= began) - began for began, _ in runs
            ],
        }


def wait_until(is_true: Callable[[], bool]) -> None:
    """Poll until a condition is true; a warehouse may be locked during a load."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with suppress(duckdb.Error, psycopg.Error, requests.ConnectionError):
            if is_true():
                return
        time.sleep(0.1)
    raise TimeoutError


def main() -> None:
    """Measure and print the seconds."""
    for target in sys.argv[1:] or ("target-duckdb", "target-postgres"):
        with tempfile.TemporaryDirectory() as folder:
            for what, seconds in measure(target, Path(folder)).items():
                line = f"{target}, {what}: median {median(seconds):.1f} s, worst {max(seconds):.1f} s ({len(seconds)})"
                print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
