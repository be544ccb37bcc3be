"""Processes that start at once: forked from one that has imported everything already.

A day of 200 customers takes some ten thousand processes, and Python takes seconds to start one. A command of the zygote
is a small client, which hands its arguments and variables over and waits for the end. When the client is killed, so is
its process. The client of a load ends when the run worker is gone, as `aircall_customers.run.Stop` ends a load. A run
outlives the daemon that started it, as it does without the zygote.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes.config_class import ConfigurableClassData

SOCKET = "ZYGOTE"
"""The variable with the path of the socket."""
CLIENT = """
import json, os, select, socket, sys
parent = os.getppid()
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["ZYGOTE"])
environment = dict(os.environ)
handle = environment.pop("AIRCALL_DATABASE_HANDLE", None)
if handle:
    environment["AIRCALL_DATABASE"] = os.pread(int(handle), 65536, 0).decode()
body = json.dumps({"arguments": sys.argv[1:], "environment": environment, "folder": os.getcwd()}).encode()
socket.send_fds(connection, [len(body).to_bytes(4, "big")], [0, 1, 2])
connection.sendall(body)
while os.getppid() == parent or sys.argv[1] != "customers":
    if select.select([connection], [], [], 0.3)[0]:
        sys.exit(int(connection.recv(16) or b"1"))
sys.exit(1)
"""

IMPORTS = (
    "aircall_customers.__main__",
    "dagster._cli.api",
    "dagster._utils.log",
    "dagster_postgres",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "structlog",
    "tap_aircall.streams.registry",
    "customers_tests.day",
    "customers_tests.pipeline",
)
"""What the processes would each import otherwise."""


def command() -> list[str]:
    """Return the command of the client; arguments are to follow."""
    return [sys.executable, "-I", "-S", "-c", CLIENT]


class ZygoteLauncher(RunLauncher, ConfigurableClass):
    """Launches Dagster's runs by the zygote."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    @override
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    @override
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    @override
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data)

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        assert run.job_code_origin
        arguments = ExecuteRunArgs(
            job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        ).get_command_args()
        process = subprocess.Popen(
            [*command(), "worker", arguments[-1]], stdin=subprocess.DEVNULL, start_new_session=True
        )
        threading.Thread(target=process.wait, daemon=True).start()

    @override
    def terminate(self, run_id: str) -> bool:
        return False


def serve(path: Path, registry: Path) -> None:
    """Be the zygote.

    Args:
        path: Where to make its socket.
        registry: A folder where each process has a file, named after it, while it lives.
    """
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # so that no collection in a child copies what it shares with this process

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(100)
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, *children.values()], [], [], 0.05)
        for pid, connection in list(children.items()):
            if connection in ready and not connection.recv(16):  # the client is gone
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                (registry / str(pid)).unlink()
                with suppress(OSError):
                    connection.sendall(str(abs(os.waitstatus_to_exitcode(status))).encode())
                connection.close()
                del children[pid]
        if listener in ready:  # last: a process that is to be gone by now is
            _begin(listener, children, registry)


def _begin(listener: socket.socket, children: dict[int, socket.socket], registry: Path) -> None:
    """Fork a process for the client that has come."""
    connection, _ = listener.accept()
    wish, descriptors = _receive(connection)
    if not descriptors:
        connection.close()
        return
    pid = os.fork()
    if pid == 0:
        for each in (listener, connection, *children.values()):
            each.close()
        _live(wish, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    (registry / str(pid)).touch()
    children[pid] = connection


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return what a client asks for, and its standard streams; none if it was killed meanwhile."""
    size, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    body = b""
    while len(size) == 4 and len(body) < int.from_bytes(size, "big"):
        piece = connection.recv(1 << 16)
        if not piece:
            break
        body += piece
    try:
        return json.loads(body), list(descriptors)
    except ValueError:
        for descriptor in descriptors:
            os.close(descriptor)
        return {}, []


def _live(wish: dict[str, Any], descriptors: list[int]) -> None:
    """Be what a client asks for, to the end."""
    code = 1
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(wish["folder"])
        os.environ.clear()
        os.environ.update(wish["environment"])
        code = _run(*wish["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it was, it is the end of this process alone
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(kind: str, *arguments: str) -> int:
    if kind == "worker":
        from dagster._cli.api import api_cli

        api_cli.main(["execute_run", *arguments], standalone_mode=False)
        return 0
    if kind == "customers":
        import aircall_customers
        from aircall_customers.__main__ import main

        aircall_customers.BEGUN_BY = os.getppid()
        sys.argv = ["aircall_customers", *arguments]
        return main()
    from customers_tests import pipeline

    return pipeline.main(list(arguments), os.environ)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
