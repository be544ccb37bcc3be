"""The command `aircall-inbox`: receives what Aircall's webhooks tell, and keeps it for the tap."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import singer_sdk.logging
from typing_extensions import override

from tap_aircall.cli import OneLineCommand, pop_bad_log_level
from tap_aircall.errors import InputError
from tap_aircall.tap import VARIABLES, TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_aircall.inbox.store import Inbox
    from tap_aircall.inbox.webhooks import AircallsWebhook, Webhooks

NAME = "aircall-inbox"
SERVER_PATIENCE_SECONDS = 3.0
"""How long the server waits for others who write: less than Aircall waits for an answer."""
LAST_SECONDS = 5.0
"""How long to wait for a look at Aircall that is under way when the server ends."""
SWITCH_SECONDS = 0.0005
"""After so long a busy server lets the thread go on that stores. Python's own 5 ms pass several times in a commit."""
HOUR = 3_600_000
"""Milliseconds."""
DAY = 24 * HOUR
OPEN_FILES = 16_384
"""How many files and connections the server may have open, if the system lets it."""

logger = logging.getLogger(NAME)


class InboxCommands(OneLineCommand, click.Group):
    """The command line, where every failure is one line."""

    logger = logger

    @override
    def invoke(self, ctx: click.Context) -> Any:
        if problem := pop_bad_log_level(VARIABLES):
            self.fail(problem)
        return super().invoke(ctx)


@click.group(
    NAME,
    cls=InboxCommands,
    context_settings={"help_option_names": ["--help"]},
    help="Receive what Aircall's webhooks tell, and keep it for tap-aircall. See docs/inbox.md on how to run it.",
)
@click.version_option(package_name="tap-aircall", prog_name=NAME, message="%(prog)s v%(version)s")
@click.option(
    "--config",
    multiple=True,
    default=(),
    callback=TapAircall.cb_config,
    help="The tap's config file, or 'ENV' for environment variables. Its setting inbox names the store.",
)
@click.pass_context
def commands(context: click.Context, config: Any) -> None:
    """Keep the config for the command that follows."""
    context.obj = config


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address to listen on.")
@click.option("--port", default=8788, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--certificate", metavar="FILE", help="Certificate to serve HTTPS with, and those that lead to it.")
@click.option("--key", metavar="FILE", help="Its key, unless it is in the same file.")
@click.pass_obj
def serve(config: Any, host: str, port: int, certificate: str | None, key: str | None) -> None:
    """Receive deliveries until a signal comes.

    Deliveries of webhooks arrive at /aircall, messages of numbers in proxy mode at /aircall/messages, and /health says
    whether the store can be written. Every ten minutes, webhooks that Aircall has switched off are switched on again.
    """
    from tap_aircall.inbox.server import Receiver, Server  # noqa: PLC0415 - takes its time

    if key and not certificate:
        message = "Option --key: goes with --certificate."
        raise InputError(message)
    with opened(config, create=True, patience=SERVER_PATIENCE_SECONDS) as (tap, inbox, webhooks):
        allow_open_files()
        receiver = Receiver(inbox, tap.this_run.clock)
        server = Server(receiver, host=host, port=port, certificate=certificate, key=key)
        ended = threading.Event()
        watch = threading.Thread(target=webhooks.watch, args=[ended], name="webhooks", daemon=True)
        watch.start()
        logger.info("Receiving at %s.", server.url)
        if not inbox.webhooks():
            logger.warning("No webhook is registered yet, so that nothing is accepted: %s register does it.", NAME)
        sys.setswitchinterval(SWITCH_SECONDS)
        server.serve_until_signal()
        ended.set()
        tap.this_run.client.close()
        watch.join(LAST_SECONDS)
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
def register(config: Any, url: str, events: str | None, *, messages: bool) -> None:
    """Make the webhook in Aircall, or take over the one that delivers to this address already.

    Only a fingerprint of its token is kept. To repeat the command is safe.
    """
    url = checked_url(url, "/aircall/messages" if messages else "/aircall")
    names = list(dict.fromkeys(name.strip() for name in (events or "").split(",") if name.strip()))
    with opened(config, create=True) as (_, _, webhooks):
        if messages:
            token = sys.stdin.readline().strip()
            if not token:
                message = "Option --messages: there is no token on standard input."
                raise InputError(message)
            webhooks.register_messages(token, url)
            click.echo(f"Messages of {webhooks.company} are accepted at {url}.")
            return
        webhook = webhooks.register(url, names)
        what = ", ".join(names) or "all events"
        click.echo(f"Webhook {webhook.webhook_id} of {webhooks.company} delivers {what} to {url}.")


@commands.command()
@click.pass_obj
def status(config: Any) -> None:
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
def unregister(config: Any) -> None:
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
def forget(config: Any, older_than: float, *, everything: bool) -> None:
    """Forget old events: of the setting inbox_company, or of all companies without it."""
    with opened(config) as (tap, inbox, _):
        before = int(tap.this_run.clock.time() * 1000 - older_than * DAY)
        wanted = tap.this_run.settings.inbox_company
        for company in [wanted] if wanted else inbox.companies():
            click.echo(f"{company}: forgot {inbox.forget(company, before, everything=everything):,} events.")


@contextmanager
def opened(
    config: Any, *, create: bool = False, patience: float | None = None
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

    tap = TapAircall(config=config.config, parse_env_config=config.parse_env)
    if not tap.this_run.settings.inbox:
        message = "Setting inbox: missing; name a file, or the address of a PostgreSQL database."
        raise InputError(message)
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
        message = "Option --url: must be a public address that begins with https://."
        raise InputError(message)
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


def allow_open_files() -> None:
    """Ask the system for as many open files and connections as the server may need."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not everywhere

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def main() -> None:
    """Run the command."""
    handler = logging.StreamHandler()
    handler.setFormatter(singer_sdk.logging.ConsoleFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        commands()
    except ModuleNotFoundError as error:
        sys.exit(f"{NAME} needs {error.name}: pip install 'tap-aircall[inbox]'")


if __name__ == "__main__":
    main()
