"""Decides when to read calls again: cursors that trail Aircall's clock.

Aircall changes calls for weeks without notice (facts: Changes after the call). One cursor follows the clock and reads
new calls; one more for each age in `reread_after_hours` trails it by that age. A run moves each cursor as far as its
age allows by reading the calls in between. So each call is read when new and once at each age, however often the tap
runs.

Even the first cursor trails by `TRAIL_SECONDS`, since Aircall may list a call late. A run still reads up to the
present; it just does not count the last seconds as read.

Invariant, for each age: all calls up to its cursor were read when at least that old, and at least `TRAIL_SECONDS` old.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.states import CLOCK_TOLERANCE_SECONDS
from tap_aircall.reading.times import DAY_SECONDS, to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEW = 0
"""Age of the cursor that reads new calls."""
BEGINNING = -(2**62)
"""Position of a cursor that has read nothing."""

LATE = DAY_SECONDS
"""Maximum number of seconds by which Aircall may list a call late."""
OLD = 30 * DAY_SECONDS
"""Seconds after which a call may disappear from Aircall's list while it is read."""

POSITIONS = "cursors"
FIRST_RUN = "first_run_at"


class Window(NamedTuple):
    """Calls to read: `after < started_at <= until`, in UNIX seconds; None for no lower bound."""

    after: int | None
    until: int


class Cursors:
    """The cursors of one run.

    Args:
        state: The result of `to_state` after an earlier run, or an empty mapping.
        bookmark: The replication key value of that state, if any. If the state has nothing else, as from another tap,
            the bookmark also counts as the time of its run.
        ages: Ages in seconds at which to read calls again.
        now: Lower bound of Aircall's time, in UNIX seconds; the lower, the more the next run repeats.
        start: First second to read (UNIX); None for no limit.
        end: Last second to read (UNIX); None for no limit.
        horizon: Last second at which a call can have started (UNIX).

    Raises:
        ValueError: If the state holds anything but times.
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
            # The clock was ahead when this was written, perhaps by as much as now: read what the run missed.
            back = horizon - now + CLOCK_TOLERANCE_SECONDS
            self._first_run -= back
            known = {age: position - back for age, position in known.items()}
        self._positions = {age: self._resume(age, known) for age in sorted({NEW, *ages})}

    def _resume(self, age: int, known: Mapping[int, int]) -> int:
        """Return where the cursor of an age resumes, even if the age is new in the settings.

        Calls up to the cursor of a greater age were read late enough for this age too, and so were those that had this
        age when the first run read them.
        """
        newest = known.get(NEW, BEGINNING)
        reached = [position for other, position in known.items() if other >= age]
        return min(newest, max([*reached, self._first_run - age]))

    def windows(self) -> list[Window]:
        """Return the windows to read in this run, oldest first: adjacent ones merged, then divided where needed."""
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

        No window has both calls that may disappear and calls that may still appear: if both happen between two pages,
        the total does not show that the list moved (facts: Lists and pages).
        """
        border = self._now - LATE
        borders = [after, until]
        if after < self._now - OLD and border < until:
            borders.insert(1, border)
        return [Window(None if first == BEGINNING else first, last) for first, last in itertools.pairwise(borders)]

    @property
    def read_through(self) -> int | None:
        """The UNIX second up to which all calls were read at least once; None before the first run."""
        return None if self._positions[NEW] == BEGINNING else self._positions[NEW]

    @property
    def read_for_good(self) -> int:
        """The UNIX second up to which no cursor reads calls again."""
        return min(self._positions.values())

    def advance(self, through: int, now: int) -> None:
        """Note that all calls of the current window up to a second were emitted.

        Args:
            through: The second (UNIX).
            now: Lower bound of Aircall's time when the run began to read calls; it may rise within a run.
        """
        self._first_run = min(self._first_run, now)
        for age in self._positions:
            self._positions[age] = max(self._positions[age], min(through, self._target(age, now)))

    def _target(self, age: int, now: int) -> int:
        """Return how far the cursor of an age may move."""
        return min(now - max(age, TRAIL_SECONDS), self._last)

    def to_state(self) -> dict[str, Any]:
        """Return the state for the next run, readable by people."""
        return {
            FIRST_RUN: to_rfc3339(self._first_run),
            POSITIONS: {
                str(age): to_rfc3339(position) for age, position in self._positions.items() if position > BEGINNING
            },
        }
