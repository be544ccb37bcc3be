"""The command line of the sandbox."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from typing import NoReturn

from typing_extensions import override


class _Parser(argparse.ArgumentParser):
    """Tells of a bad option in one line."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main() -> int:
    """Serve a made-up company until a signal comes; return the exit code."""
    options = _parser().parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            return _serve(options)
        except ModuleNotFoundError as error:
            print(f"The sandbox needs {error.name}: pip install 'tap-aircall[sandbox]'", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m tap_aircall.sandbox",
        description="A local Aircall with made-up data. It listens on this machine only.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=_count, default=8787, help="port to listen on; 0 for a free one")
    parser.add_argument("--seed", type=_whole, default=1, help="same seed, same data")
    parser.add_argument("--calls", type=_count, default=12_500, help="how many calls")
    parser.add_argument("--contacts", type=_count, default=11_000, help="how many contacts")
    parser.add_argument("--users", type=_positive, default=45, help="how many users")
    parser.add_argument("--days", type=_positive, default=90, help="days that the calls are spread over")
    parser.add_argument("--rate-limit", type=_count, default=0, help="requests allowed in a minute; 0 for no limit")
    parser.add_argument("--block", type=_seconds, default=60, help="seconds of block after too many requests")
    parser.add_argument("--latency", type=_seconds, default=0, help="seconds before each answer")
    kinds = ("permanent", "expiring", "rotating")
    parser.add_argument("--oauth", choices=kinds, default="permanent", help="kind of tokens that OAuth grants")
    return parser


def _serve(options: argparse.Namespace) -> int:
    from tap_aircall.sandbox import Sandbox, World  # noqa: PLC0415 - needs the extra

    world = World.generate(
        seed=options.seed,
        now=time.time(),
        calls=options.calls,
        contacts=options.contacts,
        users=options.users,
        days=options.days,
    )
    sandbox = Sandbox(
        world,
        port=options.port,
        requests_per_minute=options.rate_limit or None,
        block_seconds=options.block,
        latency=options.latency,
        oauth=options.oauth,
    )
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


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = "must be a whole number"
        raise argparse.ArgumentTypeError(message) from None


def _count(text: str) -> int:
    number = _whole(text)
    if number < 0:
        message = "must not be negative"
        raise argparse.ArgumentTypeError(message)
    return number


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        message = "must be at least 1"
        raise argparse.ArgumentTypeError(message)
    return number


def _seconds(text: str) -> float:
    message = "must be a number of seconds, not negative"
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(message) from None
    if not (math.isfinite(seconds) and seconds >= 0):
        raise argparse.ArgumentTypeError(message)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
