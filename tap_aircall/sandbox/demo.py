"""The demo: a made-up company into DuckDB through Meltano, three times, and a look at the result.

`make demo` sets up what it needs and runs it from the project's folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from tap_aircall.sandbox import Sandbox, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

FOLDER = Path("demo-data")
WAREHOUSE = FOLDER / "warehouse.duckdb"
LOG = FOLDER / "meltano.log"
OTHERS_SETTINGS = ("MELTANO_", "TAP_AIRCALL_", "TARGET_DUCKDB_")
BAR_WIDTH = 48
LATEST_CALLS = 200
NEW_CALLS = 30
EDITED_CONTACTS = 12


class DemoError(Exception):
    """The demo cannot go on; the message says why in one line."""


@dataclass(frozen=True)
class Load:
    """What one run of Meltano took."""

    name: str
    seconds: float
    requests: int


def main() -> int:
    """Run the demo; return the exit code."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        for line in _demo():
            print(line, flush=True)  # noqa: T201 - it is for people to read
    except DemoError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _demo() -> Iterator[str]:
    """Go through the demo and yield what to show."""
    _make_folder()
    yield "Making up a company ..."
    world = World.generate(seed=1, now=time.time())
    with Sandbox(world) as sandbox:
        size = f"{len(world.calls):,} calls, {len(world.contacts):,} contacts"
        yield f"{world.company_name}: {size}; Aircall sandbox at {sandbox.url}"
        yield "First run: everything ..."
        first = _load("first run", sandbox)
        changes = _live_on(sandbox)
        yield f"Meanwhile: {changes}."
        yield "Second run: what changed ..."
        second = _load("second run", sandbox)
        yield "Third run: the transcripts of the latest calls, a request a call ..."
        third = _load("transcripts", sandbox, **_transcripts(world))
    yield ""
    loads = (first, second, third)
    yield from _table(("run", "seconds", "requests"), [(r.name, f"{r.seconds:.1f}", r.requests) for r in loads])
    yield ""
    with duckdb.connect(str(WAREHOUSE), read_only=True) as connection:
        yield from _table(("table", "rows"), _counts(connection))
        yield ""
        yield from _chart(connection)
        yield ""
        yield from _quote(connection)
    yield ""
    yield f"The warehouse is {WAREHOUSE}, the log of Meltano {LOG}."


def _make_folder() -> None:
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(exist_ok=True)
        LOG.touch()
        WAREHOUSE.unlink(missing_ok=True)
    except OSError as error:
        message = f"The folder {FOLDER.absolute()} cannot be written to: {error.strerror}."
        raise DemoError(message) from error


def _transcripts(world: World) -> dict[str, str]:
    """Give the latest calls transcripts, most of them; return the settings that read those."""
    calls = sorted(world.calls.values(), key=lambda call: int(call["started_at"]))[-LATEST_CALLS:]
    for call in calls:
        if call["answered_at"] and call["id"] % 4:
            world.intelligence.add(call["id"], "transcription")
    return {
        "TAP_AIRCALL_START_DATE": datetime.fromtimestamp(calls[0]["started_at"], UTC).isoformat(),
        "TAP_AIRCALL__SELECT": '["call_transcriptions.*"]',
        "MELTANO_RUN_STATE_ID_SUFFIX": "transcripts",  # a state of its own, so that these calls are new to it
    }


def _load(name: str, sandbox: Sandbox, **settings: str) -> Load:
    """Run Meltano from the sandbox into the warehouse, with settings of the demo's own.

    What the user has set for their own account, in the environment or an .env file, would make another demo of it.
    """
    environment = (
        {name: value for name, value in os.environ.items() if not name.startswith(OTHERS_SETTINGS)}
        | {
            "MELTANO_DATABASE_URI": f"sqlite:///{FOLDER.absolute()}/meltano.db",  # the demo has a state of its own
            "MELTANO_AUTO_INSTALL": "false",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "XDG_STATE_HOME": str(FOLDER.absolute()),  # where Meltano writes its logs
            "TAP_AIRCALL_API_URL": sandbox.url,
            "TAP_AIRCALL_USER": sandbox.api_id,
            "TAP_AIRCALL_PASSWORD": sandbox.api_token,
            "TAP_AIRCALL_REQUESTS_PER_MINUTE": "100000",  # the real Aircall allows 120
            "TARGET_DUCKDB_FILEPATH": str(WAREHOUSE),
        }
        | settings
    )
    before, began = len(sandbox.requests), time.monotonic()
    with LOG.open("a", encoding="utf-8") as log:
        meltano = str(Path(sys.executable).parent / "meltano")
        command = [meltano, "--env-file", os.devnull, "run", "tap-aircall", "target-duckdb"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        message = f"Meltano failed with exit code {code}; {LOG} says why."
        raise DemoError(message)
    return Load(name, time.monotonic() - began, len(sandbox.requests) - before)


def _live_on(sandbox: Sandbox) -> str:
    """Let the company go on working for a moment, and say what happened."""
    world = sandbox.world
    with sandbox.lock:
        now = int(sandbox.now())
        template = list(world.calls.values())
        for number in range(NEW_CALLS):
            world.add_call(
                started_at=now,  # later than what the first run has read, however fast it was
                number=template[number]["number"],
                user=template[number]["user"],
                talk_seconds=None if number % 5 == 0 else 60,
            )
        for identity in list(world.contacts)[:EDITED_CONTACTS]:
            world.edit_contact(identity, at=now, information="Edited during the demo")
    return f"{NEW_CALLS} calls begin, {EDITED_CONTACTS} contacts are edited"


def _counts(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'aircall' ORDER BY 1"
    ).fetchall()
    counts = []
    for (table,) in tables:
        row = connection.execute(f'SELECT count(*) FROM aircall."{table}"').fetchone()  # noqa: S608 - names of ours
        counts.append((table, f"{row[0]:,}" if row else ""))
    return counts


def _chart(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Draw the calls of each hour of the day, answered and missed."""
    hours = connection.execute(
        """
        SELECT hour(started_at), count(answered_at), count(*) - count(answered_at)
        FROM aircall.calls GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    most = max((answered + missed for _, answered, missed in hours), default=1)
    yield f"Calls by hour of the day (UTC): {'█' * 3} answered, {'░' * 3} missed"
    for hour, answered, missed in hours:
        bar = "█" * round(BAR_WIDTH * answered / most) + "░" * round(BAR_WIDTH * missed / most)
        yield f"  {hour:02d}h  {bar} {answered:,} + {missed:,}"


def _quote(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Quote a transcript."""
    row = connection.execute(
        "SELECT call_id, content::JSON FROM aircall.call_transcriptions ORDER BY call_id LIMIT 1"
    ).fetchone()
    if row:
        yield f"What was said in call {row[0]}"
        for utterance in json.loads(row[1])["utterances"]:
            yield f"  {utterance['participant_type']}: {utterance['text']}"


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """Lay out rows in columns, the first to the left, the others to the right."""
    cells = [header, *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join([row[0].ljust(len(first)), *others])


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
