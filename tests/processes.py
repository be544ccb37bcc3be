"""Runs the tap's command in processes that may come to grief.

There are many of them, so they are forked from one that has already imported the tap.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.clock import FastClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Record = dict[str, Any]

PATIENCE_SECONDS = 60
ROOM_FOR_STDERR = 8_192
"""A full disk is simulated by a limit on the size of each file of a process."""
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["tests.processes", "tap_aircall.command", "tap_aircall.tap", "tap_aircall.http.client", "tap_aircall.auth.login"]
)


def run(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tap-aircall` to its end.

    Args:
        *arguments: Those of the command line.
        **environment: Variables to add.
    """
    from tests import leaks  # noqa: PLC0415 - the processes have no use for pytest, which it imports

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = FORKED.Process(target=_run, args=([*map(str, arguments)], {**os.environ, **environment}, files))
        process.start()
        process.join(PATIENCE_SECONDS)
        process.kill()
        process.join()
        exit_code = process.exitcode
        process.close()
        outputs = [file.read_text(encoding="utf-8") for file in files]
    assert exit_code is not None
    for output in outputs:
        leaks.WATCH.look_through_output("a process", output)
    return subprocess.CompletedProcess(arguments, exit_code, *outputs)


def _run(arguments: list[str], environment: dict[str, str], files: list[Path]) -> None:
    """Be the command, with its output in files."""
    from tap_aircall.command import main  # noqa: PLC0415 - loaded before this module was

    for number, file in enumerate(files, 1):
        with file.open("wb") as output:
            os.dup2(output.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tap-aircall", *arguments]
    main()


class Mishap(Enum):
    """What ends a run before its time."""

    KILL = "SIGKILL"
    TERMINATE = "SIGTERM"
    CLOSED_PIPE = "the target dies"
    FULL_DISK = "the disk is full"


@dataclass
class Process:
    """One run, as a target and an operator see it."""

    exit_code: int | None = None
    """Of the process; negative for the signal that killed it."""
    stderr: str = ""
    messages: list[Record] = field(default_factory=list)
    """The whole lines that a target got."""
    befell: bool = False
    """Whether the mishap came in time."""

    def problems(self) -> list[str]:
        """Return the lines that are more than information."""
        lines = (line.split(" | ", 3) for line in self.stderr.splitlines())
        return [parts[-1] for parts in lines if len(parts) < 4 or parts[1].strip() != "INFO"]

    def records(self, stream: str) -> list[Record]:
        """Return the records of one stream."""
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]


class Command:
    """The tap's command, with its files in a folder.

    Args:
        folder: Where to write config, catalog and state.
        config: The config.
        catalog: The catalog.
        clock: The clock of the tap.
    """

    def __init__(self, folder: Path, config: Record, catalog: Record, clock: FastClock) -> None:
        self._folder = folder
        self._clock = clock
        self._arguments = ["--config", self._write("config", config), "--catalog", self._write("catalog", catalog)]

    def run(
        self,
        state: Record | None = None,
        mishap: Mishap | None = None,
        *,
        when: Callable[[bytearray], bool] = lambda _: True,
        room: int = 0,
    ) -> Process:
        """Run it to its end.

        Args:
            state: Where to begin.
            mishap: What goes wrong, if anything.
            when: Given what the run has written so far, whether it is time for that; not used for a full disk.
            room: How many bytes fit on the disk; at least `ROOM_FOR_STDERR`.
        """
        arguments = list(self._arguments)
        if state:
            arguments += ["--state", self._write("state", state)]
        errors, disk = self._folder / "stderr.txt", self._folder / "out.jsonl"
        reader, writer = FORKED.Pipe(duplex=False)
        room = max(room, ROOM_FOR_STDERR)
        full = (str(disk), room) if mishap is Mishap.FULL_DISK else None
        process = FORKED.Process(target=_live, args=(self._clock.began, arguments, writer, str(errors), full))
        process.start()
        writer.close()
        done = Process()
        try:
            output = bytearray()
            until = time.monotonic() + PATIENCE_SECONDS
            while not reader.closed:
                assert time.monotonic() < until
                if mishap is not None and full is None and not done.befell and when(output):
                    done.befell = True
                    _befall(mishap, process.pid, reader)
                elif select.select([reader.fileno()], [], [], 0.002)[0]:
                    piece = os.read(reader.fileno(), 65_536)
                    output += piece
                    if not piece:
                        reader.close()
            process.join(PATIENCE_SECONDS)
            done.exit_code = process.exitcode
        finally:
            process.kill()
            process.join()
            process.close()
        if full is not None:
            output = bytearray(disk.read_bytes())
            done.befell = done.exit_code != 0
        whole = output[: output.rfind(b"\n") + 1]
        done.messages = [json.loads(line) for line in whole.splitlines()]
        done.stderr = errors.read_text(encoding="utf-8")
        return done

    def _write(self, name: str, content: Record) -> str:
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


def _befall(mishap: Mishap, pid: int | None, reader: Connection) -> None:
    assert pid
    with suppress(ProcessLookupError):  # it may have ended a moment ago
        match mishap:
            case Mishap.KILL:
                os.kill(pid, 9)
            case Mishap.TERMINATE:
                os.kill(pid, 15)
            case Mishap.CLOSED_PIPE:
                reader.close()


def _live(began: float, arguments: list[str], output: Connection, errors: str, full: tuple[str, int] | None) -> None:
    """Run the command in this process, with another clock and its output in files."""
    from tap_aircall import command, tap  # noqa: PLC0415 - loaded before this module was

    with open(errors, "w", encoding="utf-8") as file:  # noqa: PTH123 - short
        os.dup2(file.fileno(), 2)
    os.dup2(output.fileno(), 1)
    output.close()
    if full is not None:
        path, room = full
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        with open(path, "wb") as disk:  # noqa: PTH123
            os.dup2(disk.fileno(), 1)
    logging.shutdown()
    vars(tap)["Clock"] = lambda: FastClock(began)
    command.main(arguments)
