"""What the state remembers of calls' AI results: which were found, and which Aircall refused."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_aircall.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOUR = 3600
MOST = 5_000
"""How many calls a state holds: the latest ones."""
CALLS, AFTER, ASKED_AT = "calls", "after", "asked_at"
"""Keys of the state of what was refused."""


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


@dataclass
class Refused:
    """What Aircall refused (403), and so is still to be asked for."""

    calls: CallIds = field(default_factory=CallIds)
    """Single calls, each with the hour in which it was first refused."""
    after: int | None = None
    """Of the calls that started after this UNIX second, some were never asked for; None if all were."""
    asked_at: int | None = None
    """When all of this was last asked for (UNIX seconds)."""

    @classmethod
    def parse(cls, state: Mapping[str, Any]) -> Refused:
        """Read what `to_state` wrote.

        Raises:
            AttributeError, TypeError, ValueError: If it is something else.
        """
        after, asked_at = (to_seconds(state[key]) if key in state else None for key in (AFTER, ASKED_AT))
        return cls(CallIds.parse(state.get(CALLS, {})), after, asked_at)

    def to_state(self) -> dict[str, Any]:
        """Return what the next run has to know; empty if nothing was refused."""
        if not self.calls and self.after is None:
            return {}
        times = {AFTER: self.after, ASKED_AT: self.asked_at}
        return {
            CALLS: self.calls.to_state(0),
            **{key: to_rfc3339(second) for key, second in times.items() if second is not None},
        }
