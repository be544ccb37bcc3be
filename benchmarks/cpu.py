"""CPU per call of the tap and of a plain SDK tap, run alternately in one session.

The cost before the first call (imports) is measured with an empty list, and subtracted.
Usage: `python -m benchmarks.cpu [calls] [rounds]`.
"""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.harness import measure, server, tap_command


def main() -> None:
    """Measure and print the ratios."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5  # noqa: PLR2004
    with (
        server(calls=calls) as full,
        server(calls=0) as empty,
        tap_command(full.url) as tap,
        tap_command(empty.url) as tap_start,
    ):
        plain = [sys.executable, "-m", "benchmarks.plain_sdk"]
        commands = {"tap": (tap, tap_start), "plain SDK": ([*plain, full.url], [*plain, empty.url])}
        microseconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (at_work, at_start) in commands.items():
                spent = measure(*at_work).cpu - measure(*at_start).cpu
                microseconds[name].append(spent / calls * 1e6)
    for name, values in microseconds.items():
        print(f"{name:10} {median(values):6.1f} µs per call (from {min(values):.1f} to {max(values):.1f})")  # noqa: T201
    ratios = [plain / tap for plain, tap in zip(microseconds["plain SDK"], microseconds["tap"], strict=True)]
    print(f"plain SDK / tap: {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")  # noqa: T201


if __name__ == "__main__":
    main()
