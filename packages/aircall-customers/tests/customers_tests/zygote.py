"""Processes that start at once: forked from one that has imported everything already.

A day of 200 customers takes some ten thousand processes, and Python takes seconds to start one. A command of the zygote
is a small client, which hands its arguments and variables over and waits for the end. When the client is killed, so is
its process. The client of a load ends when the run worker is gone, as `aircall_customers.run` ends a load. A run
outlives the daemon that started it, as it does without the zygote.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import traceback
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


class Zygote(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks a process for each client.

    Args:
        path: Where to make its socket.
        registry: A folder where each process has a file, named after it, while it lives.
    """

    request_queue_size = 100
    max_children = 1_000

    def __init__(self, path: Path, registry: Path) -> None:
        for name in IMPORTS:
            importlib.import_module(name)
        gc.freeze()  # so that no collection in a child copies what it shares with this process
        self.registry = registry
        super().__init__(str(path), _Child)


class _Child(socketserver.BaseRequestHandler):
    """Is what a client asks for, in a process of its own."""

    server: Zygote
    request: socket.socket

    @override
    def handle(self) -> None:
        self.server.socket.close()
        size, descriptors, _, _ = socket.recv_fds(self.request, 4, 3)
        body = self.request.makefile("rb").read(int.from_bytes(size, "big"))
        if not body or len(body) < int.from_bytes(size, "big"):
            return  # the client was killed meanwhile
        entry = self.server.registry / str(os.getpid())
        entry.touch()
        threading.Thread(target=self._die_with_the_client, args=(entry,), daemon=True).start()
        code = _live(json.loads(body), descriptors)
        entry.unlink(missing_ok=True)
        self.request.sendall(str(code).encode())

    def _die_with_the_client(self, entry: Path) -> None:
        if not self.request.recv(16):
            entry.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)


def _live(wish: dict[str, Any], descriptors: list[int]) -> int:
    """Be what a client asks for; return the exit code."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(wish["folder"])
    os.environ.clear()
    os.environ.update(wish["environment"])
    try:
        return _run(*wish["arguments"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it was, it is the end of this process alone
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


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
    Zygote(Path(sys.argv[1]), Path(sys.argv[2])).serve_forever()
