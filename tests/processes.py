"""Runs the tap's command in processes that can be killed or fail.

The processes are forked from one that has imported the tap, since tests run many.
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
"""Bytes; the simulated full disk is a limit on the size of any file of the process."""
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["tests.processes", "tap_aircall.command", "tap_aircall.tap", "tap_aircall.http.client", "tap_aircall.auth.login"]
)


def run(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tap-aircall`.

    Args:
        *arguments: Command-line arguments.
        **environment: Environment variables to add.
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
        leaks.WATCH.search_output("a process", output)
    return subprocess.CompletedProcess(arguments, exit_code, *outputs)


def _run(arguments: list[str], environment: dict[str, str], files: list[Path]) -> None:
    """Run the command in this process, with its output in files."""
    from tap_aircall.command import main  # noqa: PLC0415 - loaded before this module was

    for number, file in enumerate(files, 1):
        with file.open("wb") as output:
            os.dup2(output.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tap-aircall", *arguments]
    main()


class Mishap(Enum):
    """Event that ends a run early."""

    KILL = "SIGKILL"
    TERMINATE = "SIGTERM"
    CLOSED_PIPE = "the target dies"
    FULL_DISK = "the disk is full"


@dataclass
class Process:
    """A run, as a target and an operator see it."""

    exit_code: int | None = None
    """Of the process; negative for a signal."""
    stderr: str = ""
    messages: list[Record] = field(default_factory=list)
    """Complete lines on the target's side."""
    is_cut_short: bool = False
    """Whether the mishap happened before the end of the run."""

    def problems(self) -> list[str]:
        """Return the log lines above INFO."""
        lines = (line.split(" | ", 3) for line in self.stderr.splitlines())
        return [parts[-1] for parts in lines if len(parts) < 4 or parts[1].strip() != "INFO"]

    def records(self, stream: str) -> list[Record]:
        """Return the records of a stream."""
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]


class Command:
    """The tap's command, with its files in a folder.

    Args:
        folder: Folder for config, catalog and state.
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
        """Run the command.

        Args:
            state: State to start from.
            mishap: The mishap, if any.
            when: Takes the output so far; returns whether the mishap is due. Not used for a full disk.
            room: Size of the disk in bytes; at least `ROOM_FOR_STDERR`.
        """
        arguments = list(self._arguments)
        if state:
            arguments += ["--state", self._write("state", state)]
        errors, disk = self._folder / "stderr.txt", self._folder / "out.jsonl"
        reader, writer = FORKED.Pipe(duplex=False)
        room = max(room, ROOM_FOR_STDERR)
        full = (str(disk), room) if mishap is Mishap.FULL_DISK else None
        process = FORKED.Process(target=_run_forked, args=(self._clock.began, arguments, writer, str(errors), full))
        process.start()
        writer.close()
        done = Process()
        try:
            output = bytearray()
            until = time.monotonic() + PATIENCE_SECONDS
            while not reader.closed:
                assert time.monotonic() < until
                if mishap is not None and full is None and not done.is_cut_short and when(output):
                    done.is_cut_short = True
                    _trigger(mishap, process.pid, reader)
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
            done.is_cut_short = done.exit_code != 0
        whole = output[: output.rfind(b"\n") + 1]
        done.messages = [json.loads(line) for line in whole.splitlines()]
        done.stderr = errors.read_text(encoding="utf-8")
        return done

    def _write(self, name: str, content: Record) -> str:
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


def _trigger(mishap: Mishap, pid: int | None, reader: Connection) -> None:
    assert pid
    with suppress(ProcessLookupError):  # it may have just ended
        match mishap:
            case Mishap.KILL:
                os.kill(pid, 9)
            case Mishap.TERMINATE:
                os.kill(pid, 15)
            case Mishap.CLOSED_PIPE:
                reader.close()


def _run_forked(
    began: float, arguments: list[str], output: Connection, errors: str, full: tuple[str, int] | None
) -> None:
    """Run the command in this process, with another clock and redirected output."""
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
