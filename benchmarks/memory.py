"""Peak memory and requests of a run: 10,000 calls against twenty times as many.

Usage: `python -m benchmarks.memory [calls]`.
"""

from __future__ import annotations

import sys

from benchmarks.harness import measure, server, tap_command

FEW = 10_000


def main() -> None:
    """Measure and print both runs."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    peaks = []
    for calls in (FEW, many):
        with server(calls=calls) as served, tap_command(served.url) as tap:
            usage = measure(*tap)
        sent = served.requests
        peaks.append(usage.peak)
        ratio = sent / (calls / 50)
        print(f"{calls:,} calls: {usage.peak:.0f} MB peak, {sent:,} requests, {ratio:.4f} per page")  # noqa: T201
    print(f"memory at {many:,} / at {FEW:,}: {peaks[1] / peaks[0]:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
