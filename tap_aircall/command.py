"""The commands `tap-aircall` and `aircall-inbox`: their options, whole lines, one line for each failure, a prompt end.

This module is light, and loads the rest only when a command runs: until then, a signal just ends the process.
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
from tap_aircall.http.decoding import is_deep
from tap_aircall.http.logs import be_brief, be_discreet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_aircall.inbox.store import Inbox
    from tap_aircall.inbox.webhooks import AircallsWebhook, Webhooks
    from tap_aircall.tap import TapAircall

NAME = "aircall-inbox"
ABOUT_WIDTH = 90
"""Characters in a line of a description."""
SERVER_PATIENCE_SECONDS = 3.0
"""How long the server waits for others who write: less than Aircall waits for an answer."""
LAST_SECONDS = 5.0
"""How long to wait for a look at Aircall that is under way when the server ends."""
SWITCH_SECONDS = 0.0005
"""After so long a busy server lets the thread go on that stores. Python's own 5 ms pass several times in a commit."""
HOUR = 3_600_000
"""Milliseconds."""
DAY = 24 * HOUR
LONGEST_DAYS = 10_000
"""Before Aircall sent any event."""

logger = logging.getLogger(NAME)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tap-aircall`.

    Args:
        arguments: Its words; None for those of the process.
    """
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
    """Let a signal that comes while a command is being loaded just end it, since nothing has begun."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.__stderr__ is None:
        # It was closed. The next file or connection would take its number, and get the lines that are meant for it.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole run


# What every command does


class OneLineCommand(click.Command):
    """A command line, where every failure is one line and an exit code."""

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
                for signum in (signal.SIGINT, signal.SIGTERM):  # nothing is left that they could interrupt
                    signal.signal(signum, signal.SIG_DFL)
        except (Exception, TerminatedError) as error:  # noqa: BLE001 - each ends in one line
            self._end(signal_behind(error) or error)
        finally:
            forgive_stderr()

    def _end(self, error: BaseException) -> NoReturn:
        """End the process as an error says."""
        match error:
            case StreamsFailedError():
                self.fail(*(each.line for each in error.errors), kind=error.kind)
            case TapAircallError():
                self.fail(error.line, kind=error.kind, stream=error.stream)
            case TerminatedError():
                self.logger.error(error.line)
                logging.shutdown()
                # Threads may still wait for an answer of Aircall that nobody needs.
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
        """End the process with these lines and exit code 1; a structured log has the kind and the stream as well."""
        extra = {"error_kind": kind} | ({"error_stream": stream} if stream else {})
        for line in lines:
            self.logger.error(" ".join(line.split()), extra=extra)
        sys.exit(1)


class OneLineGroup(OneLineCommand, click.Group):
    """Commands under one name."""


def signal_behind(error: BaseException | None) -> TerminatedError | None:
    """Return the signal that caused an error, if one did.

    A signal that comes while Python waits for a lock may find it released for a moment. Python then releases it twice,
    and raises an error of its own in place of the signal's.
    """
    while error is not None and not isinstance(error, TerminatedError):
        error = error.__context__
    return error


@contextmanager
def whole_stdout() -> Iterator[None]:
    """Write all that goes to standard output, or fail.

    Without a buffer (`PYTHONUNBUFFERED`, as in many container images), Python believes that a write is done even if a
    full disk took only a part of it. And if the flush at exit failed, Python would print a line of its own.

    Raises:
        OSError: From the end of the context at the latest.
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


def forgive_stderr() -> None:
    """Do not fail over lines that could not be written, such as to a full disk: what matters is standard output.

    Python would try again at exit, and take a failure for one of the process.
    """
    try:
        sys.stderr.flush()
    except OSError:
        from tap_aircall.writer import discard  # noqa: PLC0415 - loaded by now

        discard(sys.stderr.fileno())


@dataclass
class Given:
    """What `--config` gave."""

    config: dict[str, Any]
    parse_env: bool
    """Whether to read environment variables as well."""


def read_config(_context: click.Context, _option: click.Parameter, paths: tuple[str, ...]) -> Given:
    """Read what `--config` names: files, and `ENV` for environment variables.

    Raises:
        InputError: If a file cannot be used.
    """
    config: dict[str, Any] = {}
    for path in paths:
        if path != "ENV":
            config |= read_json(path, "Config")
    return Given(config, parse_env="ENV" in paths)


def pop_bad_log_level(prefix: str) -> str:
    """Return a line if LOGLEVEL names no level, and take it out of the environment; otherwise an empty text.

    Args:
        prefix: What the tap's variables begin with.
    """
    for name in (f"{prefix}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name)
        if level is not None and level.upper() not in logging.getLevelNamesMapping():
            del os.environ[name]  # the SDK ends with a traceback over it, even when it is empty
            if level:
                return f"Variable {name}: must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
    return ""


def read_json(path: str, what: str) -> dict[str, Any]:
    """Read a JSON object from a file, in UTF-8, or in UTF-16 as PowerShell writes what is redirected.

    Args:
        path: The file; `-` for standard input.
        what: What to call it in an error, which also names the file.

    Raises:
        InputError: If it cannot be read, or holds something else.
    """
    what = f"{what} {path}"
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        value = json.loads(content.decode(json.detect_encoding(content)), parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        message = f"{what}: cannot be read: {error.strerror}."
    except UnicodeDecodeError:
        message = f"{what}: cannot be read: it is not text in UTF-8."
    except OverflowError:
        message = f"{what}: has NaN, Infinity or a number too large for any use, which is not valid JSON."
    except json.JSONDecodeError as error:
        message = f"{what}: is not JSON (line {error.lineno}, column {error.colno})."
        if not content.strip():
            message = f"{what}: is empty; it must be a JSON object, such as {{}}."
    except (ValueError, RecursionError):
        message = f"{what}: is not JSON that anything could use."
    else:
        if isinstance(value, dict) and not is_deep(value):
            return value
        message = f"{what}: is nested too deeply." if isinstance(value, dict) else f"{what}: must be a JSON object."
    raise InputError(message)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise OverflowError
    return number


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
        help="Read one record of each selected stream and say whether all is well; --test=schema writes the schemas of "
        "all streams.",
    ),
    click.Option(["--login"], is_flag=True, help="Log in over OAuth with a browser, and save the tokens."),
    click.Option(
        ["--verify"],
        is_flag=True,
        help="Ask Aircall whether it behaves as the tap relies on, and print a table; at most 60 requests.",
    ),
]
"""The tap's own options, beside those of the SDK or in place of them.

The SDK's would read files in UTF-8 only, take NaN for a number, and have tracebacks for what is no JSON; its `--test`
knows neither catalog nor state, and reads streams that nobody selected."""


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
    """Do what the options of `tap-aircall` ask for.

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
    trying = test == "all"
    if not trying:
        TapAircall.print_version(print_fn=TapAircall.logger.info)
    tap = TapAircall(
        config=config.config,
        parse_env_config=config.parse_env,
        message_writer=SilentWriter() if trying or verify else None,
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
        tap.point_out_doubts()
        tap.try_streams() if trying else tap.run()


def readable_about(tap: type[TapAircall], prefix: str) -> str:
    """Say what the tap is and which settings it has: the SDK's own text has neither descriptions nor defaults."""
    schema = tap.config_jsonschema
    tap.append_builtin_config(schema)
    return "\n".join(
        [
            f"{tap.name} {tap.plugin_version} (Meltano SDK {tap.sdk_version})",
            f"{tap.__doc__}",
            f"Python: {', '.join(tap.get_supported_python_versions() or ())}",
            f"Capabilities: {', '.join(capability.value for capability in tap.capabilities)}",
            "",
            f"Settings, for a config file, or as variables such as {prefix}USER:",
            *(line for name, definition in schema["properties"].items() for line in _about_setting(name, definition)),
        ]
    )


def _about_setting(name: str, definition: Mapping[str, Any]) -> list[str]:
    facts = [kind for kind in definition["type"] if kind != "null"]
    facts += ["secret"] if definition.get("secret") else []
    facts += [f"default {json.dumps(definition['default'])}"] if definition.get("default") is not None else []
    description = textwrap.wrap(definition["description"], ABOUT_WIDTH)
    return ["", f"  {name} ({', '.join(facts)})", *(f"      {line}" for line in description)]


# The receiver of webhooks


@click.group(
    NAME,
    cls=OneLineGroup,
    context_settings={"help_option_names": ["--help"]},
    help="Receive what Aircall's webhooks tell, and keep it for tap-aircall. See docs/inbox.md on how to run it.",
)
@click.version_option(package_name="tap-aircall", prog_name=NAME, message="%(prog)s v%(version)s")
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
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address to listen on.")
@click.option("--port", default=8788, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--certificate", metavar="FILE", help="Certificate to serve HTTPS with, and those that lead to it.")
@click.option("--key", metavar="FILE", help="Its key, unless it is in the same file.")
@click.option(
    "--then",
    metavar="COMMAND",
    help="Command to run when events came, such as 'meltano run tap-aircall target-postgres': at most once a minute, "
    "never twice at once.",
)
@click.option(
    "--most-gib",
    default=16.0,
    show_default=True,
    type=click.FloatRange(min=0.001),
    help="How many GiB of events each company may have in the store; what comes beyond that is refused.",
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
    """Receive deliveries until a signal comes.

    Deliveries may arrive at any path, and /health says whether the store can be written. Every ten minutes, webhooks
    that Aircall has switched off are switched on again.
    """
    from tap_aircall.inbox.followup import GRACE_SECONDS, FollowUp  # noqa: PLC0415 - need the extra
    from tap_aircall.inbox.server import GIB, Receiver, Server, allow_open_files  # noqa: PLC0415 - takes its time

    if key and not certificate:
        raise InputError("Option --key: goes with --certificate.")
    with opened(config, create=True, patience=SERVER_PATIENCE_SECONDS) as (tap, inbox, webhooks):
        allow_open_files()
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
            logger.warning("No webhook is registered yet, so that nothing is accepted: %s register does it.", NAME)
        sys.setswitchinterval(SWITCH_SECONDS)
        server.serve_until_signal()
        ended.set()
        tap.this_run.client.close()
        for thread in threads:
            thread.join(LAST_SECONDS + GRACE_SECONDS)
        logger.info("Ended. All that was answered with 200 is stored.")


@commands.command()
@click.option(
    "--url", required=True, help="Public https address of the receiver; /aircall is added to one without a path."
)
@click.option("--events", help="Names of events, with commas in between. Default: all, future ones included.")
@click.option(
    "--messages",
    is_flag=True,
    help="Instead of making a webhook, read from standard input the token of a number in proxy mode, which posts its "
    "messages to that address by itself.",
)
@click.pass_obj
def register(config: Given, url: str, events: str | None, *, messages: bool) -> None:
    """Make the webhook in Aircall, or take over the one that delivers to this address already.

    Only a fingerprint of its token is kept. To repeat the command is safe.
    """
    from tap_aircall.inbox.deliveries import DELIVERIES  # noqa: PLC0415 - takes its time

    url = checked_url(url, f"{DELIVERIES}/messages" if messages else DELIVERIES)
    names = list(dict.fromkeys(name.strip() for name in (events or "").split(",") if name.strip()))
    with opened(config, create=True) as (_, _, webhooks):
        if messages:
            token = sys.stdin.readline().strip()
            if not token:
                raise InputError("Option --messages: there is no token on standard input.")
            webhooks.register_messages(token, url)
            click.echo(f"Messages of {webhooks.company} are accepted at {url}.")
            prove(webhooks, url, token)
            return
        webhook = webhooks.register(url, names)
        what = ", ".join(names) or "all events"
        click.echo(f"Webhook {webhook.webhook_id} of {webhooks.company} delivers {what} to {url}.")
        prove(webhooks, url)


def prove(webhooks: Webhooks, url: str, token: str | None = None) -> None:
    """Try whether what is delivered to an address comes in here; see `Webhooks.problem_at`.

    Raises:
        InputError: If it goes elsewhere.
    """
    try:
        problem = webhooks.problem_at(url, token)
    except (TransientError, UnavailableError) as error:
        logger.warning(
            "Whether deliveries come in could not be tried from here: %s Aircall may reach it nevertheless.", error
        )
        return
    if problem:
        raise InputError(f"Option --url: it is registered, but deliveries to {url} do not come in: {problem}.")
    click.echo("A delivery to that address came in.")


@commands.command()
@click.pass_obj
def status(config: Given) -> None:
    """Say which webhooks are active, and what has come in."""
    with opened(config) as (tap, inbox, webhooks):
        now = int(tap.this_run.clock.time() * 1000)
        click.echo(f"The inbox has {inbox.size() / 2**20:,.1f} MiB.")
        for company in inbox.companies():
            last = inbox.last_event(company)
            said = "no event yet" if last is None else f"last event {last[0]} at {moment(last[1])}"
            count, day = inbox.count_since(company, now - HOUR), inbox.count_since(company, now - DAY)
            click.echo(
                f"{company}: {said}; {count:,} events in the last hour, {day / 24:,.1f} an hour in the last day."
            )
        known, mine = inbox.webhooks(), webhooks.company
        there = webhooks.in_aircall() if known else {}
        for each in known:
            place = f"{each.webhook_id or 'messages in proxy mode'} of {each.company}, {each.url}"
            state = state_of(there.get(each.webhook_id or ""), each.webhook_id, is_mine=each.company == mine)
            click.echo(f"Webhook {place}: {state}")
        if not known:
            click.echo(f"No webhook is registered; {NAME} register does it.")


@commands.command()
@click.pass_obj
def unregister(config: Given) -> None:
    """Remove the company's webhooks in Aircall, and forget their tokens. Events stay."""
    with opened(config) as (_, _, webhooks):
        gone = webhooks.unregister()
        for webhook in gone:
            click.echo(f"Removed {webhook.webhook_id or 'the token of messages'}, which delivered to {webhook.url}.")
        if not gone:
            click.echo(f"No webhook of {webhooks.company} is registered.")


@commands.command()
@click.option(
    "--older-than", required=True, type=click.FloatRange(min=0), metavar="DAYS", help="Forget what came before."
)
@click.option(
    "--everything",
    is_flag=True,
    help="Also forget the events that messages and sessions of AI voice agents are merged from, and that no other "
    "source has.",
)
@click.pass_obj
def forget(config: Given, older_than: float, *, everything: bool) -> None:
    """Forget old events: of the setting inbox_company, or of all companies without it."""
    if not older_than <= LONGEST_DAYS:  # nor NaN
        raise InputError(f"Option --older-than: must be a number of days from 0 to {LONGEST_DAYS:,}.")
    with opened(config) as (tap, inbox, _):
        before = int(tap.this_run.clock.time() * 1000 - older_than * DAY)
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
) -> Iterator[tuple[TapAircall, Inbox, Webhooks]]:
    """Open what the config names.

    Args:
        config: What `--config` gave.
        create: Whether to make the store if there is none.
        patience: Seconds to wait for others who are writing; None for the default.

    Yields:
        The tap, which has the settings and the client of Aircall; the store; and the company's webhooks.

    Raises:
        InputError: If something cannot be used.
    """
    from tap_aircall.inbox.store import PATIENCE_SECONDS, Inbox  # noqa: PLC0415 - need the extra
    from tap_aircall.inbox.webhooks import Webhooks  # noqa: PLC0415
    from tap_aircall.tap import TapAircall  # noqa: PLC0415

    tap = TapAircall(config=config.config, parse_env_config=config.parse_env)
    if not tap.this_run.settings.inbox:
        raise InputError("Setting inbox: missing; name a file, or the address of a PostgreSQL database.")
    inbox = Inbox.open(tap.this_run.settings.inbox, create=create, patience=patience or PATIENCE_SECONDS)
    try:
        yield tap, inbox, Webhooks(tap.this_run.client, inbox, tap.this_run.clock, tap.this_run.settings.inbox_company)
    finally:
        tap.this_run.client.close()
        inbox.close()


def checked_url(url: str, path: str) -> str:
    """Return a public address, with a path if it has none.

    Raises:
        InputError: If Aircall could not deliver there.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
        _ = parts.port
    except ValueError:
        is_usable = False
    if not is_usable or not url.isprintable():
        raise InputError("Option --url: must be a public address that begins with https://.")
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{path}"


def moment(milliseconds: int) -> str:
    """Write a time in UNIX milliseconds for people."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat().replace("+00:00", "Z")


def state_of(webhook: AircallsWebhook | None, webhook_id: str | None, *, is_mine: bool) -> str:
    """Say how a webhook is doing.

    Args:
        webhook: What Aircall shows of it; None for nothing.
        webhook_id: Its id; None for messages in proxy mode.
        is_mine: Whether it is one of the config's company.
    """
    if not is_mine:
        return "of another company; ask with its config"
    if webhook_id is None:
        return "accepted"
    if webhook is None:
        return "gone in Aircall; register makes a new one"
    return "active" if webhook.is_active else "switched off by Aircall; serve or register switches it on"
