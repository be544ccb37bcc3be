"""Number of examples for random tests: few, or many when slow tests run, as in `make soak`.

Tests that take minutes per example have the marker `slow`, and are skipped otherwise.
"""

from __future__ import annotations

RUN_SLOW = False
"""Whether slow tests run; set before collection."""


def few_or_many(few: int, many: int) -> int:
    """Return `few`, or `many` when slow tests run."""
    return many if RUN_SLOW else few
