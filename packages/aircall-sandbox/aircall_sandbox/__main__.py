"""Command line of the sandbox."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from typing_extensions import override

from aircall_sandbox import Sandbox, generate_company
from aircall_sandbox.extras import add_campaigns, add_messaging, add_outbound_campaigns
from aircall_sandbox.replay import Replay


class _Parser(argparse.ArgumentParser):
    """Reports an invalid option in one line."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main() -> int:
    """Serve a made-up company until a signal stops it; return the exit code."""
    options = _parser().parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        return _serve(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    count, positive = partial(_whole, least=0), partial(_whole, least=1)
    share = partial(_number, most=1, message="must be a number from 0 to 1")
    seconds = partial(_number, most=math.inf, message="must be a number of seconds, not negative")
    parser = _Parser(
        prog="python -m aircall_sandbox",
        description=(
            "Run a local Aircall with a made-up company. It listens on the loopback interface only, and prints its "
            "address and credentials."
        ),
        epilog="Example: python -m aircall_sandbox --calls 2000 --ai 0.8 --campaigns",
    )
    company = parser.add_argument_group("the company")
    company.add_argument("--seed", type=_whole, default=1, metavar="N", help="same seed, same data (default: 1)")
    company.add_argument("--calls", type=count, default=12_500, metavar="N", help="number of calls (default: 12500)")
    company.add_argument(
        "--contacts", type=count, default=11_000, metavar="N", help="number of contacts (default: 11000)"
    )
    company.add_argument("--users", type=positive, default=45, metavar="N", help="number of users (default: 45)")
    company.add_argument("--days", type=positive, default=90, metavar="N", help="days of call history (default: 90)")
    company.add_argument(
        "--ai",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="share of answered calls with AI results, such as transcripts and summaries; 1 for all (default: 0)",
    )
    company.add_argument(
        "--campaigns", action="store_true", help="give users dialer campaigns, and the company an outbound campaign"
    )
    company.add_argument(
        "--messaging", action="store_true", help="give numbers registrations, messaging and WhatsApp, with templates"
    )
    company.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="replay the account that tap-aircall --verify recorded in this file",
    )
    server = parser.add_argument_group("the server")
    server.add_argument(
        "--port", type=count, default=8787, metavar="N", help="port to listen on; 0 for any free port (default: 8787)"
    )
    server.add_argument(
        "--rate-limit",
        type=count,
        default=0,
        metavar="N",
        help="allowed requests per minute; 0 for no limit (default: 0)",
    )
    server.add_argument(
        "--latency", type=seconds, default=0, metavar="SECONDS", help="delay of each response (default: 0)"
    )
    kinds = ("permanent", "expiring", "rotating")
    server.add_argument("--oauth", choices=kinds, default="permanent", help="kind of OAuth tokens (default: permanent)")
    return parser


def _serve(options: argparse.Namespace) -> int:
    world = generate_company(
        seed=options.seed,
        now=time.time(),
        calls=options.calls,
        contacts=options.contacts,
        users=options.users,
        days=options.days,
    )
    world.intelligence.share = options.ai
    if options.campaigns:
        add_campaigns(world)
        add_outbound_campaigns(world)
    if options.messaging:
        add_messaging(world)
    sandbox = Sandbox(
        world,
        port=options.port,
        requests_per_minute=options.rate_limit or None,
        latency=options.latency,
        oauth=options.oauth,
        seed=options.seed,
    )
    if options.trace is not None:
        try:
            replay = Replay.read(options.trace, sandbox.now)
        except (OSError, ValueError) as error:
            print(f"The trace {options.trace} cannot be used: {error}", file=sys.stderr)  # noqa: T201
            return 2
        sandbox.faults.append(replay)
        sandbox.date = replay.date
    try:
        sandbox.listen()
    except (OSError, OverflowError) as error:
        print(f"Port {options.port} cannot be used: {error}. Choose another with --port.", file=sys.stderr)  # noqa: T201
        return 1
    print(f"Aircall sandbox at {sandbox.url}, user {sandbox.api_id}, password {sandbox.api_token}", flush=True)  # noqa: T201
    oauth = sandbox.oauth
    print(f"OAuth ({oauth.mode} tokens): client id {oauth.client_id}, client secret {oauth.client_secret}", flush=True)  # noqa: T201
    sandbox.serve()
    return 0


def _whole(text: str, least: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        message = "must be a whole number"
        raise argparse.ArgumentTypeError(message) from None
    if least is not None and number < least:
        message = f"must be at least {least}"
        raise argparse.ArgumentTypeError(message)
    return number


def _number(text: str, most: float, message: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and 0 <= number <= most):
        raise argparse.ArgumentTypeError(message)
    return number


if __name__ == "__main__":
    sys.exit(main())
