"""What stands for Meltano where many runs are needed: the tap and a small target in one process, which starts quickly.

The states are the guard's, in the form in which Meltano writes them, and the log has the form of Meltano's. What
Meltano itself does is tried in `test_meltano`.

A file `overlap` in the folder of the warehouse says that two runs were there at once.

`PIPELINE` in the environment says what befalls a run:

- `hang`: it stops at its first state, and makes the file `hangs` in the folder of the warehouse;
- `<kind> <line>`: it fails so.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from aircall_customers.guard import CLAIM, Claim, Guard, database_address
from tap_aircall.errors import TapAircallError
from tap_aircall.reading.clock import Clock
from tap_aircall.tap import TapAircall
from tap_aircall.writer import InterruptibleWriter
from tests.warehouse import CHANGING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk.singerlib.encoding.simple import Message

    Record = dict[str, Any]

TABLES = """
CREATE TABLE IF NOT EXISTS rows (stream, key, version, record, PRIMARY KEY (stream, key));
"""


class ShiftedClock(Clock):
    """The machine's clock, put forward."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @override
    def time(self) -> float:
        return super().time() + self._seconds


class Target(InterruptibleWriter):
    """Keeps rows by their key in SQLite, and then the state with the guard."""

    def __init__(self, database: Path, guard: Guard, claim: Claim, state_id: str, mishap: str) -> None:
        super().__init__()
        self._connection = sqlite3.connect(database)
        self._connection.executescript(TABLES)
        self._folder = database.parent
        self._guard = guard
        self._claim = claim
        self._state_id = state_id
        self._mishap = mishap
        self._keys: dict[str, list[str]] = {}

    @override
    def send(self, singer_message: Message) -> None:
        message = singer_message.to_dict()
        stream = message.get("stream", "")
        match message["type"]:
            case "SCHEMA":
                self._keys[stream] = message["key_properties"]
            case "RECORD":
                record = {name: value for name, value in message["record"].items() if name not in CHANGING}
                key = json.dumps([record[name] for name in self._keys[stream]])
                row = (stream, key, message.get("version"), json.dumps(record, sort_keys=True, default=str))
                self._connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", row)
            case "ACTIVATE_VERSION":
                old = (stream, message["version"])
                self._connection.execute("DELETE FROM rows WHERE stream = ? AND version IS NOT ?", old)
            case "STATE":
                self._connection.commit()
                state = json.loads(json.dumps(message["value"], default=str))
                with self._guard.writing(self._state_id, self._claim):
                    meltanos = {"completed": {"singer_state": state}, "partial": {}}
                    self._guard.put(self._state_id, self._claim, meltanos)
                if self._mishap == "hang":
                    (self._folder / "hangs").touch()
                    time.sleep(600)

    def close(self) -> None:
        """Keep what came after the last state."""
        self._connection.commit()
        self._connection.close()


def read(database: Path) -> dict[str, list[Record]]:
    """Return the rows of a warehouse by stream, in the order of their keys."""
    tables: dict[str, list[Record]] = {}
    with sqlite3.connect(database) as connection:
        for stream, record in connection.execute("SELECT stream, record FROM rows ORDER BY stream, key"):
            tables.setdefault(stream, []).append(json.loads(record))
    connection.close()
    return tables


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Be Meltano: `run --force --state-id-suffix=acme tap-aircall target-jsonl`; return the exit code."""
    if "tap-aircall" not in arguments:
        _log(f"did {arguments[-1]}", level="info")
        return 0
    suffix = next(each.partition("=")[2] for each in arguments if each.startswith("--state-id-suffix="))
    return load(suffix, environment)


def load(suffix: str, environment: Mapping[str, str]) -> int:
    """Load a customer; return the exit code."""
    mishap = environment.get("PIPELINE", "")
    kind, _, line = mishap.partition(" ")
    if line:
        _log(line, level="error", error_kind=kind)
        return 1
    state_id = f"dev:tap-aircall-to-target-jsonl:{suffix}"
    settings: dict[str, Any] = {
        name.removeprefix("TAP_AIRCALL_").lower(): value
        for name, value in environment.items()
        if name.startswith("TAP_AIRCALL_") and not name.startswith("TAP_AIRCALL__")
    }
    streams = json.loads(environment.get("TAP_AIRCALL__SELECT", "[]"))
    settings["streams"] = [each.removesuffix(".*") for each in streams if not each.startswith("!")] or ["calls", "tags"]
    database = Path(environment["TARGET_JSONL_DESTINATION_PATH"]) / "warehouse.sqlite"
    guard, claim = Guard(database_address()), Claim.parse(environment[CLAIM])
    state = guard.state(state_id, claim)
    lock = os.open(database.parent / "lock", os.O_CREAT | os.O_WRONLY)  # held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        (database.parent / "overlap").touch()
    target = Target(database, guard, claim, state_id, mishap)
    tap = TapAircall(
        config=settings,
        state=state and state["completed"]["singer_state"],
        message_writer=target,
        clock=ShiftedClock(float(environment.get("SHIFT", "0"))),
    )
    try:
        tap.run()
    except TapAircallError as error:
        _log(error.line, level="error", error_kind=error.kind, error_stream=error.stream)
        return 1
    finally:
        target.close()
        guard.close()
    counts = {stream.name: stream.row().records for stream in tap.aircall_streams if stream.selected}
    _log("Read it.", level="info", requests=tap.this_run.client.requests_sent, records=counts)
    return 0


def _log(event: str, **more: Any) -> None:
    sys.stdout.write(json.dumps({"name": "tap-aircall", "event": event, **more}) + "\n")
    sys.stdout.flush()


def install(folder: Path) -> Path:
    """Make a command of it, and return its path: what `AIRCALL_MELTANO` is to name."""
    command = folder / "meltano"
    paths = os.pathsep.join([*(str(Path(__file__).parents[up]) for up in (4, 1)), "$PYTHONPATH"])
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{paths}" exec "{sys.executable}" -m customers_tests.pipeline "$@"\n',
        "utf-8",
    )
    command.chmod(0o755)
    return command


def spawn(arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start `python -m aircall_customers`, and return its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "aircall_customers", *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
