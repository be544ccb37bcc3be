"""The commands `tap-aircall` and `aircall-inbox`: options, errors in one line each, and exit codes.

This module imports little, and loads the rest only when a command runs: until then, a signal just ends the process.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import signal
import sys
import textwrap
import threading
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import click
from typing_extensions import override

from tap_aircall.errors import (
    InputError,
    StreamsFailedError,
    TapAircallError,
    TerminatedError,
    TransientError,
    UnavailableError,
    needs_extra,
    reason_of,
)
from tap_aircall.http.decoding import finite, is_deep
from tap_aircall.http.logs import be_brief, be_discreet
from tap_aircall.reading.times import DAY_MILLISECONDS, HOUR_MILLISECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_aircall.inbox.store import Inbox
    from tap_aircall.inbox.webhooks import AircallsWebhook, CompanyWebhooks
    from tap_aircall.tap import TapAircall

PROGRAM = "aircall-inbox"
ABOUT_WIDTH = 90
"""Characters per line of a description."""
SERVER_PATIENCE_SECONDS = 3.0
"""How long the server waits for other writers: less than Aircall waits for a response."""
LAST_CHECK_SECONDS = 5.0
"""How long a stopping server waits for a check of the webhooks in progress."""
UNUSABLE = "is not usable JSON: it contains NaN, Infinity or too large a number, or is nested too deeply"
LONGEST_DAYS = 10_000
"""Limit of days; goes back to before Aircall's first event."""

logger = logging.getLogger(PROGRAM)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tap-aircall` with these arguments, or with those of the process."""
    prepare()
    from tap_aircall.tap import VARIABLES, TapAircall  # noqa: PLC0415 - takes its time

    problem = pop_bad_log_level(VARIABLES)
    sdk = TapAircall.cli  # sets up the SDK's logging as well
    ours = {option.name for option in OPTIONS}
    command = OneLineCommand(
        sdk.name,
        callback=run,
        params=[*(option for option in sdk.params if option.name not in ours), *OPTIONS],
        help=sdk.help,
        context_settings=sdk.context_settings,
    )
    command.logger = TapAircall.logger
    if problem:
        command.fail(problem)
    command.main(arguments)


def inbox() -> None:
    """Run `aircall-inbox`."""
    prepare()
    import singer_sdk.logging  # noqa: PLC0415 - takes its time

    from tap_aircall.tap import VARIABLES  # noqa: PLC0415

    handler = logging.StreamHandler()
    handler.setFormatter(singer_sdk.logging.ConsoleFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if problem := pop_bad_log_level(VARIABLES):
        commands.fail(problem)
    commands()


def prepare() -> None:
    """Let a signal end the process while it loads a command, since nothing has started yet."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The SDK loads joblib, which nothing here uses, and which warns where shared memory is missing or full.
    warnings.filterwarnings("ignore", message=".* joblib will operate in serial mode")
    if sys.__stderr__ is None:
        # It is closed. The next file or connection would get its descriptor, and so its lines.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole run


# All commands


class OneLineCommand(click.Command):
    """A command that reports every failure as one line and an exit code."""

    logger = logger

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        be_discreet()
        be_brief()
        logging.captureWarnings(capture=True)
        try:
            try:
                with whole_stdout():
                    return super().main(*args, **kwargs)
            finally:
                for signum in (signal.SIGINT, signal.SIGTERM):  # nothing is left to interrupt
                    signal.signal(signum, signal.SIG_DFL)
        except (Exception, TerminatedError) as error:  # noqa: BLE001 - each ends in one line
            self._end(signal_behind(error) or error)
        finally:
            ignore_stderr_errors()

    def _end(self, error: BaseException) -> NoReturn:
        """End the process with the lines and the exit code of an error."""
        match error:
            case StreamsFailedError():
                self.fail(*(each.line for each in error.errors), kind=error.kind)
            case TapAircallError():
                self.fail(error.line, kind=error.kind, stream=error.stream)
            case TerminatedError():
                self.logger.error(error.line)
                logging.shutdown()
                # Threads may still wait for a response that is no longer needed.
                os._exit(error.exit_code)
            case ModuleNotFoundError():
                self.fail(needs_extra(f"{self.name}, which uses {error.name},", "inbox"))
            case OSError():
                from tap_aircall.writer import discard_stdout  # noqa: PLC0415 - loaded by now

                discard_stdout()
                self.fail(f"{reason_of(error)}: {error.filename or 'standard output'}")
        self.logger.debug("Details of the failure:", exc_info=error)
        self.fail(f"Unexpected {type(error).__name__}; LOGLEVEL=DEBUG shows where. Please report it.")

    def fail(self, *lines: str, kind: str = "Unexpected", stream: str | None = None) -> NoReturn:
        """Log these lines, with the kind and the stream for structured logs, and exit with code 1."""
        extra = {"error_kind": kind} | ({"error_stream": stream} if stream else {})
        for line in lines:
            self.logger.error(" ".join(line.split()), extra=extra)
        sys.exit(1)


class Amount(click.FloatRange):
    """A number in a range; Click would accept NaN in any."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class OneLineGroup(OneLineCommand, click.Group):
    """Commands under one name."""


def signal_behind(error: BaseException | None) -> TerminatedError | None:
    """Return the signal behind an error, if there is one.

    If a signal arrives while Python waits for a lock, Python may release the lock twice, and raise its own error in
    place of the signal's.
    """
    while error is not None and not isinstance(error, TerminatedError):
        error = error.__context__
    return error


@contextmanager
def whole_stdout() -> Iterator[None]:
    """Write everything to standard output, or fail.

    Without a buffer (`PYTHONUNBUFFERED`, as in many container images), Python ignores a partial write to a full disk.
    And if the flush at exit fails, Python prints its own message.

    Raises:
        OSError: If a write fails; at the end of the context at the latest.
    """
    if sys.__stdout__ is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    raw = isinstance(sys.stdout.buffer, io.RawIOBase)
    stdout = open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) if raw else sys.stdout  # noqa: SIM115
    with redirect_stdout(stdout):
        try:
            yield
        finally:
            stdout.flush()


def ignore_stderr_errors() -> None:
    """Ignore log lines that cannot be written, such as to a full disk: only standard output matters.

    Otherwise Python would retry at exit, and change the exit code.
    """
    try:
        sys.stderr.flush()
    except OSError:
        from tap_aircall.writer import discard  # noqa: PLC0415 - loaded by now

        discard(sys.stderr.fileno())


@dataclass
class Given:
    """The values of `--config`."""

    config: dict[str, Any]
    parse_env: bool
    """Whether to read environment variables too."""


def read_config(_context: click.Context, _option: click.Parameter, paths: tuple[str, ...]) -> Given:
    """Read the files that `--config` names; `ENV` stands for the environment variables.

    Raises:
        InputError: If a file cannot be used.
    """
    config: dict[str, Any] = {}
    for path in paths:
        if path != "ENV":
            config |= read_json(path, "Config")
    return Given(config, parse_env="ENV" in paths)


def pop_bad_log_level(prefix: str) -> str:
    """Remove an invalid LOGLEVEL from the environment; return a line about it, or an empty string."""
    for name in (f"{prefix}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name)
        if level is not None and level.upper() not in logging.getLevelNamesMapping():
            del os.environ[name]  # the SDK fails with a traceback, even if it is empty
            if level:
                return f"Variable {name}: must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
    return ""


def read_json(path: str, what: str) -> dict[str, Any]:
    """Read a JSON object from a file, in UTF-8, or in UTF-16 as PowerShell redirects output.

    Args:
        path: The file; `-` for standard input.
        what: Its name in errors, before the path.

    Raises:
        InputError: If it cannot be read, or contains something else.
    """
    if path.lstrip().startswith("{"):  # never repeated, since a config has secrets
        raise InputError(f"{what}: must be the name of a file, not its content.")
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        value = json.loads(content.decode(json.detect_encoding(content)), parse_float=finite, parse_constant=finite)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except json.JSONDecodeError as error:
        problem = f"is not JSON (line {error.lineno}, column {error.colno})"
        if not content.strip():
            problem = "is empty; it must be a JSON object, such as {}"
    except (ValueError, RecursionError):
        problem = UNUSABLE
    else:
        if isinstance(value, dict) and not is_deep(value):
            return value
        problem = UNUSABLE if isinstance(value, dict) else "must be a JSON object"
    raise InputError(f"{what} {path}: {problem}.")


# The tap


OPTIONS = [
    click.Option(
        ["--config"],
        multiple=True,
        is_eager=True,
        callback=read_config,
        help="Configuration file location or 'ENV' to use environment variables.",
    ),
    click.Option(["--catalog"], help="Use a Singer catalog file with the tap."),
    click.Option(["--state"], help="Use a bookmarks file for incremental replication."),
    click.Option(
        ["--test"],
        is_flag=False,
        flag_value="all",
        type=click.Choice(["all", "schema"]),
        help="Read one record of each selected stream, and report any failure; --test=schema writes the schemas of all "
        "streams.",
    ),
    click.Option(["--login"], is_flag=True, help="Log in over OAuth in a browser, and save the tokens."),
    click.Option(
        ["--verify"],
        is_flag=True,
        help="Check that Aircall behaves as the tap expects, and print a table. Takes at most 60 requests.",
    ),
]
"""The tap's own options, and those that replace the SDK's.

The SDK's read only UTF-8, accept NaN, and fail with tracebacks for invalid JSON. Its `--test` ignores the catalog and
the state, and reads deselected streams."""


def run(
    *,
    config: Given,
    about: bool,
    about_format: str | None,
    state: str | None,
    catalog: str | None,
    test: str | None,
    login: bool,
    verify: bool,
) -> None:
    """Run `tap-aircall` with these options.

    Raises:
        TapAircallError: If the run fails.
    """
    from tap_aircall.tap import VARIABLES, TapAircall  # noqa: PLC0415 - takes its time
    from tap_aircall.writer import SilentWriter  # noqa: PLC0415

    if about:
        if about_format:
            TapAircall.print_about(about_format)
        else:
            click.echo(readable_about(TapAircall, VARIABLES))
        return
    is_test = test == "all"
    if not is_test:
        TapAircall.print_version(print_fn=TapAircall.logger.info)
    tap = TapAircall(
        config=config.config,
        parse_env_config=config.parse_env,
        message_writer=SilentWriter() if is_test or verify else None,
        state=None if state is None else read_json(state, "State"),
        catalog=None if catalog is None else read_json(catalog, "Catalog"),
    )
    if login:
        tap.log_in()
    elif test == "schema":
        tap.select_all()
        tap.write_schemas()
    elif verify:
        tap.verify()
    else:
        tap.warn_of_mistakes()
        tap.try_streams() if is_test else tap.run()


def readable_about(tap: type[TapAircall], prefix: str) -> str:
    """Describe the tap and its settings. The SDK's own text has neither descriptions nor defaults."""
    schema = tap.config_jsonschema
    tap.append_builtin_config(schema)
    return "\n".join(
        [
            f"{tap.name} {tap.plugin_version} (Meltano SDK {tap.sdk_version})",
            f"{tap.__doc__}",
            f"Python: {', '.join(tap.get_supported_python_versions() or ())}",
            f"Capabilities: {', '.join(capability.value for capability in tap.capabilities)}",
            "",
            f"Settings, for a config file or as variables such as {prefix}USER:",
            *(line for name, definition in schema["properties"].items() for line in _about_setting(name, definition)),
        ]
    )


def _about_setting(name: str, definition: Mapping[str, Any]) -> list[str]:
    facts = [kind for kind in definition["type"] if kind != "null"]
    facts += ["secret"] if definition.get("secret") else []
    facts += [f"default {json.dumps(definition['default'])}"] if definition.get("default") is not None else []
    description = textwrap.wrap(definition["description"], ABOUT_WIDTH, break_on_hyphens=False)
    return ["", f"  {name} ({', '.join(facts)})", *(f"      {line}" for line in description)]


# The receiver of webhooks


@click.group(
    PROGRAM,
    cls=OneLineGroup,
    context_settings={"help_option_names": ["--help"]},
    help="Receive events from Aircall's webhooks, and store them for tap-aircall. See docs/inbox.md.",
)
@click.version_option(package_name="tap-aircall", prog_name=PROGRAM, message="%(prog)s v%(version)s")
@click.option(
    "--config",
    multiple=True,
    default=(),
    callback=read_config,
    help="The tap's config file, or 'ENV' for environment variables. Its setting inbox names the store.",
)
@click.pass_context
def commands(context: click.Context, config: Given) -> None:
    """Keep the config for the command that follows."""
    context.obj = config


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Host name or address to listen on.")
@click.option("--port", default=8788, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--certificate", metavar="FILE", help="Certificate chain for HTTPS, in PEM.")
@click.option("--key", metavar="FILE", help="Private key of the certificate, unless the same file contains it.")
@click.option(
    "--then",
    metavar="COMMAND",
    help="Command to run after events arrive, such as 'meltano run tap-aircall target-postgres'; at most once a minute "
    "and one at a time.",
)
@click.option(
    "--most-gib",
    default=16.0,
    show_default=True,
    type=Amount(min=0.001),
    help="Maximum GiB of events that each company may store; further deliveries are refused.",
)
@click.pass_obj
def serve(
    config: Given,
    *,
    host: str,
    port: int,
    certificate: str | None,
    key: str | None,
    then: str | None,
    most_gib: float,
) -> None:
    """Receive deliveries until stopped by a signal.

    Deliveries may arrive at any path; /health reports whether the store is writable. Every ten minutes, webhooks that
    Aircall has disabled are enabled again.
    """
    from tap_aircall.inbox.followup import EXIT_SECONDS, FollowUp  # noqa: PLC0415 - need the extra
    from tap_aircall.inbox.server import GIB, Receiver, Server  # noqa: PLC0415 - takes its time

    if key and not certificate:
        raise InputError("Option --key: needs --certificate.")
    with opened(config, create=True, patience=SERVER_PATIENCE_SECONDS) as (tap, inbox, webhooks):
        receiver = Receiver(inbox, tap.this_run.clock, most_gib * GIB)
        server = Server(receiver, host=host, port=port, certificate=certificate, key=key)
        ended = threading.Event()
        watches = [webhooks.watch]
        if then is not None:
            watches.append(FollowUp(then, partial(last_position, tap, inbox), tap.this_run.clock).watch)
        threads = [threading.Thread(target=each, args=[ended], daemon=True) for each in watches]
        for thread in threads:
            thread.start()
        if not inbox.webhooks():
            logger.warning("No webhook is registered yet, so nothing is accepted. Run %s register.", PROGRAM)
        server.serve_until_signal()
        ended.set()
        tap.this_run.client.close()
        for thread in threads:
            thread.join(LAST_CHECK_SECONDS + EXIT_SECONDS)
        logger.info("Stopped. Every delivery that got a 200 is stored.")


@commands.command()
@click.option("--url", required=True, help="Public https URL of the receiver; without a path, /aircall is added.")
@click.option("--events", help="Names of events, separated by commas. Default: all, including future ones.")
@click.option(
    "--messages",
    is_flag=True,
    help="Create no webhook. Instead, read from standard input the token of a number in proxy mode, which posts its "
    "messages to that URL.",
)
@click.pass_obj
def register(config: Given, url: str, events: str | None, *, messages: bool) -> None:
    """Create the webhook in Aircall, or reuse one that already delivers to this URL.

    Only a fingerprint of its token is stored. You can repeat this safely.
    """
    from tap_aircall.inbox.deliveries import DELIVERIES  # noqa: PLC0415 - takes its time

    url = checked_url(url, f"{DELIVERIES}/messages" if messages else DELIVERIES)
    names = list(dict.fromkeys(name.strip() for name in (events or "").split(",") if name.strip()))
    with opened(config, create=True) as (_, _, webhooks):
        if messages:
            token = sys.stdin.readline().strip()
            if not token:
                raise InputError("Option --messages: no token on standard input.")
            webhooks.register_messages(token, url)
            click.echo(f"Messages of {webhooks.company} are accepted at {url}.")
            check_delivery(webhooks, url, token)
            return
        webhook = webhooks.register(url, names)
        what = ", ".join(names) or "all events"
        click.echo(f"Webhook {webhook.webhook_id} of {webhooks.company} delivers {what} to {url}.")
        check_delivery(webhooks, url)


def check_delivery(webhooks: CompanyWebhooks, url: str, token: str | None = None) -> None:
    """Check that a delivery to a URL arrives in this inbox; see `CompanyWebhooks.problem_at`.

    Raises:
        InputError: If it does not.
    """
    try:
        problem = webhooks.problem_at(url, token)
    except (TransientError, UnavailableError) as error:
        logger.warning("Cannot check from here whether deliveries arrive: %s Aircall may still reach the URL.", error)
        return
    if problem:
        raise InputError(f"Option --url: registered, but deliveries to {url} do not arrive: {problem}.")
    click.echo("A test delivery to that URL arrived.")


@commands.command()
@click.pass_obj
def status(config: Given) -> None:
    """Show which webhooks are active, and what has arrived."""
    with opened(config) as (tap, inbox, webhooks):
        now = int(tap.this_run.clock.time() * 1000)
        click.echo(f"The inbox has {sum(inbox.sizes().values()) / 2**20:,.1f} MiB of events.")
        for company in inbox.companies():
            last = inbox.last_event(company)
            said = "no event yet" if last is None else f"last event {last[0]} at {moment(last[1])}"
            hour = inbox.count_since(company, now - HOUR_MILLISECONDS)
            day = inbox.count_since(company, now - DAY_MILLISECONDS)
            click.echo(
                f"{company}: {said}; {hour:,} events in the last hour, {day / 24:,.1f} per hour in the last day."
            )
        known, mine = inbox.webhooks(), webhooks.company
        there = webhooks.in_aircall() if known else {}
        for each in known:
            place = f"{each.webhook_id or 'messages in proxy mode'} of {each.company}, {each.url}"
            state = state_of(there.get(each.webhook_id or ""), each.webhook_id, is_mine=each.company == mine)
            click.echo(f"Webhook {place}: {state}")
        if not known:
            click.echo(f"No webhook is registered. Run {PROGRAM} register.")


@commands.command()
@click.pass_obj
def unregister(config: Given) -> None:
    """Delete the company's webhooks in Aircall, and their tokens here. Events stay."""
    with opened(config) as (_, _, webhooks):
        gone = webhooks.unregister()
        for webhook in gone:
            click.echo(f"Removed {webhook.webhook_id or 'the token of messages'}, which delivered to {webhook.url}.")
        if not gone:
            click.echo(f"No webhook of {webhooks.company} is registered.")


@commands.command()
@click.option(
    "--older-than",
    required=True,
    type=Amount(min=0, max=LONGEST_DAYS),
    metavar="DAYS",
    help="Age of the events to delete.",
)
@click.option(
    "--everything",
    is_flag=True,
    help="Also delete the events that messages and sessions of AI voice agents are merged from, which no other source "
    "has.",
)
@click.pass_obj
def forget(config: Given, older_than: float, *, everything: bool) -> None:
    """Delete old events of the company in the setting inbox_company, or of all companies."""
    from tap_aircall.inbox.source import chosen  # noqa: PLC0415 - takes its time

    with opened(config) as (tap, inbox, _):
        if wanted := tap.this_run.settings.inbox_company:
            chosen(inbox.companies(), wanted)
        before = int(tap.this_run.clock.time() * 1000 - older_than * DAY_MILLISECONDS)
        for company in companies(tap, inbox):
            click.echo(f"{company}: forgot {inbox.forget(company, before, everything=everything):,} events.")


def companies(tap: TapAircall, inbox: Inbox) -> list[str]:
    """Return the company of the setting inbox_company, or all in the inbox without it."""
    wanted = tap.this_run.settings.inbox_company
    return [wanted] if wanted else inbox.companies()


def last_position(tap: TapAircall, inbox: Inbox) -> int:
    """Return the position of the last event of those companies."""
    return max(map(inbox.last_position, companies(tap, inbox)), default=0)


@contextmanager
def opened(
    config: Given, *, create: bool = False, patience: float | None = None
) -> Iterator[tuple[TapAircall, Inbox, CompanyWebhooks]]:
    """Open the inbox that the config names; see `Inbox.open`.

    Yields:
        The tap, with its settings and its client; the store; and the company's webhooks.

    Raises:
        InputError: If the config or the store cannot be used.
    """
    from tap_aircall.inbox.databases import PATIENCE_SECONDS  # noqa: PLC0415 - needs the extra
    from tap_aircall.inbox.store import Inbox  # noqa: PLC0415
    from tap_aircall.inbox.webhooks import CompanyWebhooks  # noqa: PLC0415
    from tap_aircall.tap import TapAircall  # noqa: PLC0415

    tap = TapAircall(config=config.config, parse_env_config=config.parse_env)
    if not tap.this_run.settings.inbox:
        raise InputError("Setting inbox: missing; name a file, or the URL of a PostgreSQL database.")
    inbox = Inbox.open(tap.this_run.settings.inbox, create=create, patience=patience or PATIENCE_SECONDS)
    try:
        yield (
            tap,
            inbox,
            CompanyWebhooks(tap.this_run.client, inbox, tap.this_run.clock, tap.this_run.settings.inbox_company),
        )
    finally:
        tap.this_run.client.close()
        inbox.close()


def checked_url(url: str, path: str) -> str:
    """Return a public URL, with `path` added if it has none.

    Raises:
        InputError: If Aircall cannot deliver to it.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
        _ = parts.port
    except ValueError:
        is_usable = False
    if not is_usable or not url.isprintable():
        raise InputError("Option --url: must be a public URL that begins with https://.")
    return url if parts.path.strip("/") else parts._replace(path=path).geturl()


def moment(milliseconds: int) -> str:
    """Format a time in UNIX milliseconds."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat().replace("+00:00", "Z")


def state_of(webhook: AircallsWebhook | None, webhook_id: str | None, *, is_mine: bool) -> str:
    """Describe the state of a webhook of the config's company, or of messages in proxy mode, which have no id."""
    if not is_mine:
        return "belongs to another company; use its config"
    if webhook_id is None:
        return "accepted"
    if webhook is None:
        return "deleted in Aircall; register creates a new one"
    return "active" if webhook.active else "disabled by Aircall; serve or register enables it"
