"""Runs commands against the benchmarks' server and measures whole processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_aircall.tap import TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator

TAP = str(Path(sys.executable).parent / "tap-aircall")


@dataclass(frozen=True)
class Usage:
    """What one process took."""

    cpu: float
    """Seconds of user and system time."""
    wall: float
    """Seconds."""
    peak: float
    """Megabytes of resident memory at the most."""


def measure(*command: str) -> Usage:
    """Run a command to its end and return what it took; its output is buffered as usual, and thrown away.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=buffered)  # noqa: S603 - ours
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            message = f"{command[0]} failed: {errors.read().decode()[-2000:]}"
            raise RuntimeError(message)
        return Usage(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)


@contextmanager
def server(calls: int) -> Iterator[str]:
    """Run the server with a number of calls; yields its address."""
    command = [sys.executable, "-m", "benchmarks.server", "--calls", str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin  # noqa: S101
        assert process.stdout  # noqa: S101
        yield process.stdout.readline().strip()
        process.stdin.close()


def requests(url: str) -> int:
    """Return how many requests the server got."""
    with urllib.request.urlopen(f"{url}/requests") as answer:  # noqa: S310 - our own server
        return int(answer.read())


@contextmanager
def tap_command(url: str) -> Iterator[list[str]]:
    """Yield a command with which the tap reads all calls of a server."""
    catalog: Any = json.loads(TapAircall(config={}, validate_config=False).catalog_json_text)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["tap_stream_id"] == "calls"
    config = {"user": "id", "password": "token", "api_url": url, "requests_per_minute": 1_000_000}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in (("config", config), ("catalog", catalog)):
            paths[name] = Path(folder) / f"{name}.json"
            paths[name].write_text(json.dumps(content), encoding="utf-8")
        yield [TAP, "--config", str(paths["config"]), "--catalog", str(paths["catalog"])]


def median(values: list[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)
