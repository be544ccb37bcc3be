"""Runs the tap with the fast clock, as a process.

Usage: `python -m tests.fast BEGAN CONFIG STREAM...`; for BEGAN see `FastClock`.
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
