"""CPU per call: the tap against the floor and against the plain SDK, run in turn, as ratios of one session.

What a process costs before its first call (imports) is measured with an empty list, and subtracted.
Usage: `python -m benchmarks.cpu [calls] [rounds]`.
"""

from __future__ import annotations

import sys

from benchmarks.harness import measure, median, server, tap_command


def main() -> None:
    """Measure and print."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5  # noqa: PLR2004
    with (
        server(calls=calls) as full,
        server(calls=0) as empty,
        tap_command(full) as tap,
        tap_command(empty) as tap_start,
    ):
        commands = {
            "floor": ([sys.executable, "-m", "benchmarks.floor"], [full], [empty]),
            "tap": ([], tap, tap_start),
            "plain SDK": ([sys.executable, "-m", "benchmarks.plain_sdk"], [full], [empty]),
        }
        microseconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, at_work, at_start) in commands.items():
                spent = measure(*command, *at_work).cpu - measure(*command, *at_start).cpu
                microseconds[name].append(spent / calls * 1e6)
    for name, values in microseconds.items():
        print(f"{name:10} {median(values):6.1f} us a call (from {min(values):.1f} to {max(values):.1f})")  # noqa: T201
    for name, other in (("tap", "floor"), ("plain SDK", "tap")):
        ratios = [one / two for one, two in zip(microseconds[name], microseconds[other], strict=True)]
        print(f"{name} / {other}: {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")  # noqa: T201


if __name__ == "__main__":
    main()
