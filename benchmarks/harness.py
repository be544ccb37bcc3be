"""Runs commands against the benchmark server and measures their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_aircall.tap import TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "sandbox-id", "sandbox-token"
TAP = str(Path(sys.executable).parent / "tap-aircall")


@dataclass(frozen=True)
class Usage:
    """Resources that a process used."""

    cpu: float
    """User and system time in seconds."""
    peak: float
    """Peak resident memory in megabytes."""


def measure(*command: str) -> Usage:
    """Run a command and return its usage; its output is buffered as usual, and discarded.

    Raises:
        RuntimeError: The command fails.
    """
    with tempfile.TemporaryFile() as errors:
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=buffered)  # noqa: S603 - ours
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            message = f"{command[0]} failed: {errors.read().decode()[-2000:]}"
            raise RuntimeError(message)
        return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@dataclass
class Served:
    """What a server tells."""

    url: str
    requests: int = 0
    """Requests for calls, once the server has ended."""


@contextmanager
def server(calls: int) -> Iterator[Served]:
    """Run the server with a number of calls."""
    command = [sys.executable, "-m", "benchmarks.server", str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin  # noqa: S101
        assert process.stdout  # noqa: S101
        served = Served(process.stdout.readline().strip())
        yield served
        process.stdin.close()
        served.requests = int(process.stdout.readline())


@contextmanager
def tap_command(url: str) -> Iterator[list[str]]:
    """Yield a command that makes the tap read all calls of a server."""
    catalog: Any = json.loads(TapAircall(config={}, validate_config=False).catalog_json_text)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["tap_stream_id"] == "calls"
    config = {"user": USER, "password": PASSWORD, "api_url": url, "requests_per_minute": 1_000_000}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in (("config", config), ("catalog", catalog)):
            paths[name] = Path(folder) / f"{name}.json"
            paths[name].write_text(json.dumps(content), encoding="utf-8")
        yield [TAP, "--config", str(paths["config"]), "--catalog", str(paths["catalog"])]
