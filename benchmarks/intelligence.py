"""Requests and peak memory of a first run with three AI results for each call.

Usage: `python -m benchmarks.intelligence [calls]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aircall_sandbox import Sandbox, World
from benchmarks.harness import measure, tap_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_sandbox.intelligence import ResultKind

FEW = 2_000
KINDS: dict[str, ResultKind] = {
    "call_transcriptions": "transcription",
    "call_summaries": "summary",
    "call_action_items": "action_items",
}


def main() -> None:
    """Measure and print."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    peaks = []
    for calls in (FEW, many):
        settings = {"user": "sandbox-id", "password": "sandbox-token"}
        with sandbox(calls) as url, tap_command(url, tuple(KINDS), **settings) as tap:
            usage = measure(*tap)
            with urllib.request.urlopen(f"{url}/_sandbox/requests?since=1000000000") as answer:  # noqa: S310 - ours
                asked = json.load(answer)["count"] - calls // 50 - 1
        peaks.append(usage.peak)
        ratio = asked / (calls * len(KINDS))
        print(f"{calls:,} calls: {usage.peak:.0f} MB at most, {asked:,} requests, {ratio:.4f} a result")  # noqa: T201
    print(f"memory at {many:,} / at {FEW:,}: {peaks[1] / peaks[0]:.2f}")  # noqa: T201


@contextmanager
def sandbox(calls: int) -> Iterator[str]:
    """Run a sandbox in its own process: a forked process inherits the peak memory of its parent."""
    command = [sys.executable, "-m", "benchmarks.intelligence", "serve", str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin  # noqa: S101
        assert process.stdout  # noqa: S101
        yield process.stdout.readline().strip()
        process.stdin.close()


def serve(calls: int) -> None:
    """Serve a company with three results for each call, until standard input ends."""
    world = World(now=time.time())
    for number in range(calls):
        call = world.add_call(started_at=int(world.now) - 86_400 * 90 + 300 * number)
        for kind in KINDS.values():
            world.intelligence.add(call["id"], kind)
    with Sandbox(world) as running:
        print(running.url, flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        main()
