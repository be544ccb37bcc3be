"""Command line of the sandbox."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

import click

from aircall_sandbox import Sandbox, generate_company
from aircall_sandbox.extras import add_campaigns, add_messaging, add_outbound_campaigns
from aircall_sandbox.oauth import Mode
from aircall_sandbox.replay import Replay

NAME = "python -m aircall_sandbox"


def main() -> int:
    """Serve a made-up company until a signal stops it; return the exit code."""
    try:
        serve.main(prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"{NAME}: {error.format_message()}", err=True)
        return error.exit_code
    except click.Abort:  # Ctrl-C
        return 0
    return 0


@click.command(context_settings={"show_default": True}, epilog=f"Example: {NAME} --calls 2000 --ai 0.8 --campaigns")
@click.option("--seed", default=1, help="Same seed, same data.")
@click.option("--calls", type=click.IntRange(0), default=12_500, help="Number of calls.")
@click.option("--contacts", type=click.IntRange(0), default=11_000, help="Number of contacts.")
@click.option("--users", type=click.IntRange(1), default=45, help="Number of users.")
@click.option("--days", type=click.IntRange(1), default=90, help="Days of call history.")
@click.option(
    "--ai",
    type=click.FloatRange(0, 1),
    default=0,
    help="Share of answered calls with AI results, such as transcripts and summaries; 1 for all.",
)
@click.option("--campaigns", is_flag=True, help="Give users dialer campaigns, and the company an outbound campaign.")
@click.option("--messaging", is_flag=True, help="Give numbers registrations, messaging and WhatsApp, with templates.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Replay the account that tap-aircall --verify recorded in this file.",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=8787, help="Port to listen on; 0 for any free port.")
@click.option("--rate-limit", type=click.IntRange(0), default=0, help="Allowed requests per minute; 0 for no limit.")
@click.option("--latency", type=click.FloatRange(0), default=0, help="Delay of each response, in seconds.")
@click.option("--oauth", type=click.Choice(get_args(Mode)), default="permanent", help="Kind of OAuth tokens.")
def serve(
    *,
    seed: int,
    calls: int,
    contacts: int,
    users: int,
    days: int,
    ai: float,
    campaigns: bool,
    messaging: bool,
    trace: Path | None,
    port: int,
    rate_limit: int,
    latency: float,
    oauth: Mode,
) -> None:
    """Run a local Aircall with a made-up company.

    It listens on the loopback interface only, and prints its address and credentials.
    """
    world = generate_company(seed=seed, now=time.time(), calls=calls, contacts=contacts, users=users, days=days)
    world.intelligence.share = ai
    if campaigns:
        add_campaigns(world)
        add_outbound_campaigns(world)
    if messaging:
        add_messaging(world)
    sandbox = Sandbox(world, port=port, requests_per_minute=rate_limit or None, latency=latency, oauth=oauth, seed=seed)
    if trace is not None:
        try:
            replay = Replay.read(trace, sandbox.now)
        except (OSError, ValueError) as error:
            message = f"The trace {trace} cannot be used: {error}"
            raise click.UsageError(message) from error
        sandbox.faults.append(replay)
        sandbox.date = replay.date
    try:
        sandbox.listen()
    except OSError as error:
        message = f"Port {port} cannot be used: {error}. Choose another with --port."
        raise click.ClickException(message) from error
    click.echo(f"Aircall sandbox at {sandbox.url}, user {sandbox.api_id}, password {sandbox.api_token}")
    app = sandbox.oauth
    click.echo(f"OAuth ({app.mode} tokens): client id {app.client_id}, client secret {app.client_secret}")
    with suppress(KeyboardInterrupt):  # Click would end the line
        sandbox.serve()


if __name__ == "__main__":
    sys.exit(main())
