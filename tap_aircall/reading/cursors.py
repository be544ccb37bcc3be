"""When to read a call again: cursors that trail Aircall's clock.

Aircall rewrites calls for weeks without saying so (facts: Changes after the call). One cursor follows the clock and
reads what is new; one more for each age of `reread_after_hours` follows at that distance. A run moves each cursor up to
its distance from now, by reading the calls in between. So a call is read when it is new and once more at each age,
however often the tap runs, and however long it did not run.

Even the newest cursor trails by `TRAIL_SECONDS`, since Aircall may show a call some seconds late. A run still reads up
to the present; it only does not count the last seconds as read.

What holds at any time, for each age: all calls up to the cursor were read when they were at least that old, and at
least `TRAIL_SECONDS` old.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.states import TOLERANCE_SECONDS
from tap_aircall.reading.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEW = 0
"""The age of the cursor that reads what is new."""
BEGINNING = -(2**62)
"""Position of a cursor that has read nothing: before all calls."""

LATE = 86_400
"""How many seconds late Aircall may show a call, at most."""
OLD = 30 * 86_400
"""Calls that began longer ago than this may soon be too old for Aircall to show."""

POSITIONS = "cursors"
FIRST_RUN = "first_run_at"


class Window(NamedTuple):
    """Calls to read: `after < started_at <= until`, in UNIX seconds; `after` None is the beginning."""

    after: int | None
    until: int


class Cursors:
    """The cursors of one run.

    Args:
        state: What `to_state` returned after an earlier run, or an empty mapping. A state with a bookmark alone, as
            other taps write it, is taken for that of a run that was made at the time of the bookmark.
        bookmark: The replication key value of that state, if any.
        ages: Ages in seconds at which to read again.
        now: Second that Aircall's clock has reached (UNIX); an earlier one makes the next run repeat more.
        start: First second to read (UNIX); None for as far back as there is.
        end: Last second to read (UNIX); None for as far as there is.
        horizon: Where "as far as there is" ends: the last second at which a call can have begun (UNIX).

    Raises:
        ValueError: If the state holds something else than times.
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        bookmark: Any,
        *,
        ages: Iterable[int],
        now: int,
        start: int | None,
        end: int | None,
        horizon: int,
    ) -> None:
        self._now = now
        self._last = horizon if end is None else min(horizon, end)
        self._floor = BEGINNING if start is None else start - 1
        known: dict[int, int] = {}
        if POSITIONS in state:
            self._first_run = to_seconds(state[FIRST_RUN])
            known = {int(age): to_seconds(position) for age, position in state[POSITIONS].items()}
        elif bookmark is not None:
            self._first_run = to_seconds(bookmark)
            known[NEW] = self._first_run - 1
        else:
            self._first_run = now
        if max(self._first_run, known.get(NEW, BEGINNING)) > now:
            # A clock that was ahead wrote it, perhaps as far ahead as the one now: read what it missed.
            back = horizon - now + TOLERANCE_SECONDS
            self._first_run -= back
            known = {age: position - back for age, position in known.items()}
        self._positions = {age: self._resume(age, known) for age in sorted({NEW, *ages})}

    def _resume(self, age: int, known: Mapping[int, int]) -> int:
        """Say where the cursor of an age goes on, even if the age is new in the settings.

        Calls up to the cursor of a longer age were read late enough for this one too, and so was all that the first run
        read of calls that were old by then.
        """
        newest = known.get(NEW, BEGINNING)
        reached = [position for other, position in known.items() if other >= age]
        return min(newest, max([*reached, self._first_run - age]))

    def windows(self) -> list[Window]:
        """Return what to read in this run, oldest first; what touches is one window, divided where it must be."""
        merged: list[tuple[int, int]] = []
        for after, until in sorted(
            (max(position, self._floor), self._last if age == NEW else self._target(age, self._now))
            for age, position in self._positions.items()
        ):
            if until <= after:
                continue
            if merged and after <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
            else:
                merged.append((after, until))
        return [window for after, until in merged for window in self.divided(after, until)]

    def divided(self, after: int, until: int) -> list[Window]:
        """Divide `after < started_at <= until` (UNIX seconds) into windows that can be read safely.

        No window has both calls that may be about to disappear and calls that may be about to appear: between two
        pages, the one would hide that the other has moved what is in between (facts: Lists and pages).
        """
        border = self._now - LATE
        borders = [after, until]
        if after < self._now - OLD and border < until:
            borders.insert(1, border)
        return [Window(None if first == BEGINNING else first, last) for first, last in itertools.pairwise(borders)]

    @property
    def ages(self) -> list[int]:
        """Ages in seconds at which calls are read, in order; the first is that of new ones."""
        return list(self._positions)

    @property
    def read_through(self) -> int | None:
        """Up to which start all calls have been read at least once (UNIX second); None before a first run."""
        return None if self._positions[NEW] == BEGINNING else self._positions[NEW]

    def position_at(self, age: int) -> int:
        """Return where the first cursor stands that trails by so many seconds or more, or else the last (UNIX)."""
        ages = self.ages
        return self._positions[next((each for each in ages if each >= age), ages[-1])]

    def advance(self, through: int, now: int) -> None:
        """Note that all calls of the current window up to a second were emitted.

        Args:
            through: The second (UNIX).
            now: What Aircall's clock had reached when the run began to read calls, as far as it is known by now.
        """
        self._first_run = min(self._first_run, now)
        for age in self._positions:
            self._positions[age] = max(self._positions[age], min(through, self._target(age, now)))

    def _target(self, age: int, now: int) -> int:
        """Return how far the cursor of an age may go."""
        return min(now - max(age, TRAIL_SECONDS), self._last)

    def to_state(self) -> dict[str, Any]:
        """Return what the next run needs, in a form that people can read."""
        return {
            FIRST_RUN: to_rfc3339(self._first_run),
            POSITIONS: {
                str(age): to_rfc3339(position) for age, position in self._positions.items() if position > BEGINNING
            },
        }
