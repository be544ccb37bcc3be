"""Demo: loads a made-up company into DuckDB with Meltano, in three runs, and shows the result.

`make demo` installs the plugins and runs it from the project's folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from aircall_sandbox import Sandbox, generate_company
from aircall_sandbox.events import EVENTS
from tap_aircall.streams.calls.stream import OPTED_INTO
from tap_aircall.streams.registry import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from duckdb import DuckDBPyConnection

    from aircall_sandbox import World

MELTANO = Path(sys.executable).parent / "meltano"
FOLDER = Path("demo-data")
WAREHOUSE = FOLDER / "warehouse.duckdb"
PAGE = FOLDER / "report.html"
LOG = FOLDER / "meltano.log"
OTHERS_SETTINGS = ("MELTANO_", "TAP_AIRCALL_", "TARGET_DUCKDB_", "DBT_")
BUILD = ("dbt-duckdb:build",) if sys.version_info < (3, 14) else ()
"""Plugins to run after the last load; dbt 1.11 does not run on Python 3.14."""
BAR_WIDTH = 48
LATEST_CALLS = 200
SHARE_WITH_TRANSCRIPT = 0.75
WIDTH = 100
NEW_CALLS = 30
WAITING_SECONDS = 3_600
"""Longer than the demo, so that these calls are not missed yet."""
EDITED_CONTACTS = 12
OLD_SECONDS = 2 * 86_400
"""The next run re-reads an older call only because of a webhook event."""
COMMENT = "Called back, issue resolved."
RECEIVER = MELTANO.with_name("aircall-inbox")
INBOX = FOLDER / "inbox.db"
PUBLIC = "https://inbox.example.com"
"""Public URL of the webhooks; the sandbox forwards it to the receiver, like a proxy."""
SUBSCRIBED = ",".join(name for name in EVENTS if name.endswith(".v2") or not name.startswith("user."))
"""Events to deliver: all except the deprecated forms of user events."""
FROM_INBOX = ("messages", "deleted_objects", "user_events")
"""Streams to read from the inbox."""


class DemoError(Exception):
    """The demo failed; the message is one line."""


def main() -> int:
    """Run the demo; return the exit code."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        for line in _demo():
            print(line, flush=True)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _demo() -> Iterator[str]:
    """Run the demo and yield the lines to show."""
    _check()
    _make_folder()
    yield "Making up a company ..."
    world = generate_company(seed=1, now=time.time())
    with Sandbox(world) as sandbox:
        size = f"{len(world.calls):,} calls, {len(world.contacts):,} contacts"
        yield f"{world.company_name}: {size}; Aircall sandbox at {sandbox.url}"
        yield "First run: everything ..."
        first = _load("first run", sandbox)
        with _receiving(sandbox):
            sandbox.webhooks.retell()
            changes = _work(sandbox)
            sandbox.webhooks.deliver()
        yield from textwrap.wrap(f"Meanwhile: {changes}.", WIDTH)
        yield "Second run: changes, and events that webhooks sent ..."
        second = _load("second run", sandbox, **_inbox_settings())
        yield "Third run: transcripts of the latest calls, one request per call; then the dbt models ..."
        third = _load("transcripts", sandbox, *BUILD, **_transcripts(world))
    yield ""
    yield from _table(("run", "seconds", "requests"), [first, second, third])
    with duckdb.connect(str(WAREHOUSE), read_only=True) as connection:
        for show in (_counts, _from_webhooks, _chart, _teams, _quote):
            yield ""
            yield from show(connection)
    yield ""
    yield f"The warehouse is {WAREHOUSE}, Meltano's log {LOG}."
    if BUILD:
        _make_page(world.company_name)
        yield f"The HTML report is {PAGE.absolute().as_uri()}"
    yield "More queries: docs/models.md and docs/recipes.md"


def _check() -> None:
    """Check for Meltano and its project.

    Raises:
        DemoError: One of them is missing.
    """
    if not MELTANO.exists():
        message = "The demo needs Meltano: pip install meltano, or run make demo in a clone of tap-aircall."
        raise DemoError(message)
    if not Path("meltano.yml").exists():
        message = "The demo needs tap-aircall's meltano.yml: run it in a clone of tap-aircall."
        raise DemoError(message)


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
    """Give most calls transcripts; return settings to read those of the latest calls."""
    world.intelligence.share = SHARE_WITH_TRANSCRIPT
    start = sorted(call["started_at"] for call in world.calls.values())[-LATEST_CALLS:][0]
    return {
        "TAP_AIRCALL_START_DATE": datetime.fromtimestamp(start, UTC).isoformat(),
        "TAP_AIRCALL__SELECT": '["call_transcriptions.*"]',
        "MELTANO_RUN_STATE_ID_SUFFIX": "transcripts",  # a separate state, to which these calls are new
    }


def _inbox_settings() -> dict[str, str]:
    """Return settings that add the streams of the inbox."""
    selected = [name for name, stream in STREAMS.items() if stream.selected_by_default or name in FROM_INBOX]
    select = [*(f"{name}.*" for name in selected), *(f"!calls.{field}" for field in OPTED_INTO)]
    return {"TAP_AIRCALL_INBOX": str(INBOX.absolute()), "TAP_AIRCALL__SELECT": json.dumps(select)}


@contextmanager
def _receiving(sandbox: Sandbox) -> Iterator[None]:
    """Receive the sandbox's webhook deliveries with `aircall-inbox`.

    Raises:
        DemoError: The receiver does not start.
    """
    command = [str(RECEIVER), "--config", "ENV"]
    environment = _environment() | _settings(sandbox) | {"TAP_AIRCALL_INBOX": str(INBOX.absolute())}
    options: dict[str, Any] = {"env": environment, "cwd": FOLDER, "text": True, "encoding": "utf-8"}
    registered = subprocess.run(  # noqa: S603 - our own
        [*command, "register", "--url", PUBLIC, "--events", SUBSCRIBED], check=False, capture_output=True, **options
    )
    with subprocess.Popen(  # noqa: S603 - our own
        [*command, "serve", "--port", "0"], stderr=subprocess.PIPE, **options
    ) as receiver:
        try:
            lines = receiver.stderr or ()
            address = next((found[0] for line in lines if (found := re.search(r"http://[\d.]+:\d+", line))), None)
            if registered.returncode or address is None:
                message = f"The webhook receiver does not start: {registered.stderr.strip()}"
                raise DemoError(message)
            sandbox.webhooks.forwards[PUBLIC] = address
            sandbox.webhooks.delay = 0
            yield
        finally:
            receiver.terminate()


def _environment() -> dict[str, str]:
    """Return the environment without settings for the user's own account."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OTHERS_SETTINGS)}


def _settings(sandbox: Sandbox) -> dict[str, str]:
    return {
        "TAP_AIRCALL_API_URL": sandbox.url,
        "TAP_AIRCALL_USER": sandbox.api_id,
        "TAP_AIRCALL_PASSWORD": sandbox.api_token,
    }


def _load(name: str, sandbox: Sandbox, *further: str, **settings: str) -> tuple[str, str, int]:
    """Load the sandbox into the warehouse with Meltano; return the name, and the load's seconds and requests."""
    environment = (
        _environment()
        | _settings(sandbox)
        | {
            "MELTANO_DATABASE_URI": f"sqlite:///{FOLDER.absolute()}/meltano.db",  # separate from the project's state
            "MELTANO_AUTO_INSTALL": "false",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "XDG_STATE_HOME": str(FOLDER.absolute()),  # where Meltano writes its logs
            "TAP_AIRCALL_REQUESTS_PER_MINUTE": "100000",  # the real Aircall allows 120
            "TARGET_DUCKDB_FILEPATH": str(WAREHOUSE),
        }
        | settings
    )
    before, began = len(sandbox.requests), time.monotonic()
    with LOG.open("a", encoding="utf-8") as log:
        command = [str(MELTANO), "--env-file", os.devnull, "run", "tap-aircall", "target-duckdb", *further]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        message = f"Meltano failed with exit code {code}; see {LOG}."
        raise DemoError(message)
    return name, f"{time.monotonic() - began:.1f}", len(sandbox.requests) - before


def _make_page(company: str) -> None:
    """Write the HTML report about the models.

    Raises:
        DemoError: The report fails.
    """
    command = [sys.executable, "-m", "aircall_report", "--database", str(WAREHOUSE), "--output", str(PAGE)]
    done = subprocess.run(  # noqa: S603 - our own
        [*command, "--company", company],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(done.stderr.strip())


def _work(sandbox: Sandbox) -> str:
    """Simulate a working day at the company; return a sentence about it."""
    world = sandbox.world
    with sandbox.lock:
        now = int(sandbox.now())
        before = [call for call in world.calls.values() if call["direction"] == "inbound"]
        copied = ("number", "raw_digits", "contact", "country_code_a2", "teams")
        for call in before[:NEW_CALLS]:
            # Later than the calls that the first run has read.
            parts = {name: call[name] for name in copied}
            world.add_call(started_at=now, ring_seconds=WAITING_SECONDS, talk_seconds=None, **parts)
        for identity in list(world.contacts)[:EDITED_CONTACTS]:
            world.edit_contact(identity, at=now, information="Edited during the demo")
        old = next(call for call in reversed(before) if call["ended_at"] and call["ended_at"] < now - OLD_SECONDS)
        comment = {"id": 1, "content": COMMENT, "posted_at": now, "posted_by": None}
        world.edit_call(old["id"], comments=[*old["comments"], comment])
        world.delete_contact(list(world.contacts)[-1])
        message = sandbox.texts.add(body="Where is my order?", external_number=before[-1]["raw_digits"])
        sandbox.texts.edit(message["id"], status="read")
    return (
        f"{NEW_CALLS} people call and wait, {EDITED_CONTACTS} contacts are edited and one is deleted, an old call gets "
        "a comment, and a message arrives; agents log in and out"
    )


def _counts(connection: DuckDBPyConnection) -> Iterator[str]:
    """Show the row count of each table."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'aircall' ORDER BY 1"
    ).fetchall()
    counts = []
    for (table,) in tables:
        row = connection.execute(f'SELECT count(*) FROM aircall."{table}"').fetchone()  # noqa: S608 - names of ours
        counts.append((table, *(row or ())))
    yield from _table(("table", "rows"), counts)


def _from_webhooks(connection: DuckDBPyConnection) -> Iterator[str]:
    """Show data from webhooks: a message, an edit of an old call, and a deletion."""
    rows = connection.execute(
        """
        SELECT 'message', strftime(created_at, '%d %b %H:%M'), body || ' (' || status || ')' FROM aircall.messages
        UNION ALL
        SELECT 'comment', strftime(started_at, '%d %b %H:%M'), comment
        FROM (SELECT started_at, json_extract_string(comments::JSON, '$[#-1].content') AS comment FROM aircall.calls)
        WHERE comment = $comment
        UNION ALL
        SELECT 'deletion', strftime(deleted_at, '%d %b %H:%M'), concat_ws(' ', object_type, first_name, last_name)
        FROM aircall.deleted_objects LEFT JOIN aircall.contacts ON contacts.id::VARCHAR = object_id
        """,
        {"comment": COMMENT},
    ).fetchall()
    yield from _table(("from webhooks", "time (UTC)", "in the next run"), rows)


ANSWERABLE = "direction = 'inbound' AND ended_at IS NOT NULL"
"""Inbound calls that have ended; one that still rings is not missed yet."""


def _chart(connection: DuckDBPyConnection) -> Iterator[str]:
    """Chart the answered and missed inbound calls by hour of the day."""
    hours = connection.execute(
        f"""
        SELECT
          hour(started_at AT TIME ZONE 'UTC' AT TIME ZONE (number->>'time_zone')),
          count(answered_at),
          count(*) - count(answered_at)
        FROM aircall.calls WHERE {ANSWERABLE} GROUP BY 1 ORDER BY 1
        """  # noqa: S608 - ours
    ).fetchall()
    rows = [(f"{hour:02d}h", answered, missed) for hour, answered, missed in hours if answered]
    closed = sum(missed for _, answered, missed in hours if not answered)
    most = max((answered + missed for _, answered, missed in rows), default=1)
    yield f"Inbound calls by local hour: {'█' * 3} answered, {'░' * 3} missed"
    for hour, answered, missed in rows:
        bar = "█" * round(BAR_WIDTH * answered / most) + "░" * round(BAR_WIDTH * missed / most)
        yield f"  {hour}  {bar} {answered:,} + {missed:,}"
    yield f"  other hours, all missed: {closed:,}"


def _teams(connection: DuckDBPyConnection) -> Iterator[str]:
    """Show the answer rate and waiting time of each team."""
    teams = connection.execute(
        f"""
        SELECT
          team->>'name',
          count(*),
          count(answered_at),
          round(avg(epoch(answered_at - started_at)))::INTEGER || ' s',
          round(100 * count(*) FILTER (WHERE epoch(answered_at - started_at) <= 20) / count(*))::INTEGER || ' %'
        FROM aircall.calls, unnest(teams::JSON[]) AS t(team)
        WHERE {ANSWERABLE} GROUP BY 1 ORDER BY 2 DESC, 1
        """  # noqa: S608 - ours
    ).fetchall()
    yield from _table(("team", "calls", "answered", "waiting", "within 20 s"), teams)


def _quote(connection: DuckDBPyConnection) -> Iterator[str]:
    """Show a transcript."""
    row = connection.execute(
        """
        SELECT
          calls.number->>'name', strftime(calls.started_at, '%d %b %H:%M'), calls."user"->>'name',
          calls.contact->>'first_name', content::JSON
        FROM aircall.call_transcriptions JOIN aircall.calls ON calls.id = call_id
        WHERE calls.answered_at IS NOT NULL
        ORDER BY calls.contact->>'first_name' IS NULL, json_array_length(content::JSON, '$.utterances') DESC, call_id
        LIMIT 1
        """
    ).fetchone()
    if row is None:
        return
    number, time_of_call, agent, customer, content = row
    yield f"Transcript of a call on {time_of_call} (UTC), {number}"
    names = {"internal": agent.split()[0], "external": customer or "Caller"}
    for utterance in json.loads(content)["utterances"]:
        line = f"  {names[utterance['participant_type']]}: {utterance['text']}"
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="    ")


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """Format rows in columns: the first aligned left, the others right."""
    cells = [header, *(tuple(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join([row[0].ljust(len(first)), *others])


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
