"""Ids of calls in a state: what streams that follow the calls have of them already."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tap_aircall.reading.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOUR = 3600
MOST = 5_000
"""How many calls a state holds: the latest ones."""


class CallIds:
    """Ids of calls, each with an hour. Its state has a bounded size."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}

    @classmethod
    def parse(cls, state: Mapping[str, list[int]]) -> CallIds:
        """Read what `to_state` wrote.

        Raises:
            AttributeError, TypeError, ValueError: If it is something else.
        """
        ids = cls()
        for hour, differences in state.items():
            second = to_seconds(hour)
            if not all(type(difference) is int for difference in differences):
                message = "an id that is no number"
                raise TypeError(message)
            for call_id in itertools.accumulate(differences):
                ids.add(call_id, second)
        return ids

    def add(self, call_id: int, second: int) -> None:
        """Remember a call, with the hour of a UNIX second."""
        self._hours[call_id] = second // HOUR

    def discard(self, call_id: int) -> None:
        """Forget a call, if it is remembered."""
        self._hours.pop(call_id, None)

    def __contains__(self, call_id: int) -> bool:
        """Say whether a call is remembered."""
        return call_id in self._hours

    def __iter__(self) -> Iterator[int]:
        """Go through the calls."""
        return iter(self._hours)

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._hours)

    def hour_of(self, call_id: int) -> int:
        """Return the hour of a remembered call, as its first UNIX second."""
        return self._hours[call_id] * HOUR

    def to_state(self, forgotten_before: int) -> dict[str, list[int]]:
        """Forget what is not needed any more, and return the rest.

        Args:
            forgotten_before: Calls of the hours before this UNIX second are forgotten.

        Returns:
            Hours with the ids of their calls: the first, then the difference of each to the one before.
        """
        first_hour = forgotten_before // HOUR
        kept = sorted(((hour, call_id) for call_id, hour in self._hours.items() if hour >= first_hour), reverse=True)
        self._hours = {call_id: hour for hour, call_id in kept[:MOST]}
        state = {}
        for hour, group in itertools.groupby(reversed(kept[:MOST]), key=lambda pair: pair[0]):
            ids = [call_id for _, call_id in group]
            state[to_rfc3339(hour * HOUR)] = [ids[0], *(later - earlier for earlier, later in itertools.pairwise(ids))]
        return state
