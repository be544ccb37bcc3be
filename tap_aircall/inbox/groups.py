"""Process groups for commands: they end with this process, even if it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LEADER = "trap '' HUP INT TERM; read -r _; kill -s KILL 0"
"""Shell command that leads a group. It kills the group once our end of its input closes."""
POLL_SECONDS = 0.02
"""Interval between checks whether a group has ended."""


@contextmanager
def process_group() -> Iterator[int]:
    """Create a process group; yield its id, for `Popen`. The group is killed at the end of the context.

    Raises:
        OSError: If no process can be started.
    """
    with subprocess.Popen(  # noqa: S603 - the shell
        ["/bin/sh", "-c", LEADER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as leader:
        yield leader.pid


def end_group(group: int, process: subprocess.Popen[Any], grace: float) -> None:
    """Terminate a process, so that it can clean up, then kill its group; return once none of it runs.

    `grace` is the time limit in seconds for the process to exit, and again for the group to end.
    """
    if process.poll() is None:
        os.killpg(group, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    until = time.monotonic() + grace
    while time.monotonic() < until:
        os.killpg(group, signal.SIGKILL)
        process.poll()
        if not _runs(group):
            break
        time.sleep(POLL_SECONDS)


def _runs(group: int) -> bool:
    """Return whether any process of a group is running; zombies, which may never be reaped, do not count."""
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = process.read_bytes().rpartition(b")")[2].split()[:3]
            if int(its_group) == group and state not in b"ZX":
                return True
    return False
