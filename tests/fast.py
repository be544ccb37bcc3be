"""Runs the tap by the fast clock, in a process of its own.

Usage: `python -m tests.fast BEGAN CONFIG STREAM...`, with the real time at which the fast clock showed `NOW`.
"""

from __future__ import annotations

import json
import sys

from tap_aircall.tap import TapAircall
from tests.catalogs import catalog
from tests.clock import FastClock


def main() -> None:
    """Run the tap."""
    began, config, *streams = sys.argv[1:]
    TapAircall(config=json.loads(config), catalog=catalog(*streams), clock=FastClock(float(began))).run()


if __name__ == "__main__":
    main()
