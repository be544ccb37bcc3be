"""How much of the rate limit a run uses: 50 requests a second, answers after half a second, 32 or 1 in flight.

Usage: `python -m benchmarks.budget [calls]`. The default takes just over a minute, as it must: the limit is for
a minute.
"""

from __future__ import annotations

import sys

from benchmarks.harness import Usage, counts, measure, server, tap_command

LIMIT = 50
"""Requests a second."""
LATENCY = 0.5


def read(calls: int, in_flight: int) -> tuple[Usage, dict[str, int]]:
    """Read all calls under the limit; return what it took and the requests."""
    limit = {"requests_per_minute": LIMIT * 60, "max_concurrent_requests": in_flight}
    with server(calls=calls, latency=LATENCY, limit=LIMIT * 60) as url, tap_command(url, ("calls",), **limit) as tap:
        usage = measure(*tap)
        return usage, counts(url)


def main() -> None:
    """Measure and print."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 160_000
    start = read(0, 1)[0].wall - 2 * LATENCY
    for calls, in_flight in ((many, 32), (1_000, 1)):
        usage, asked = read(calls, in_flight)
        share = asked["requests"] / (usage.wall - start) / LIMIT
        print(  # noqa: T201
            f"{in_flight} in flight: {asked['requests']:,} requests in {usage.wall - start:.1f} s, {share:.1%} of the "
            f"allowed rate; {asked['refused']} refused"
        )


if __name__ == "__main__":
    main()
