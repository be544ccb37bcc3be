"""How often to try what is drawn or random: a few times, or many where slow tests are asked for, as `make soak` does.

Tests that take minutes even once have the marker `slow`, and are left out otherwise.
"""

from __future__ import annotations

ASKED = False
"""Whether slow tests are asked for; set before tests are collected."""


def few_or_many(few: int, many: int) -> int:
    """Return one of two numbers: the second where slow tests are asked for."""
    return many if ASKED else few
