"""Start-up: `tap-aircall --discover` against importing the SDK's tap class alone.

Usage: `python -m benchmarks.startup [rounds]`.
"""

from __future__ import annotations

import sys

from benchmarks.harness import TAP, measure, median


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ratios = []
    for _ in range(rounds):
        discovery = measure(TAP, "--discover").wall
        ratios.append(discovery / measure(sys.executable, "-c", "from singer_sdk import Tap").wall)
    print(f"discovery / import: {median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")  # noqa: T201


if __name__ == "__main__":
    main()
