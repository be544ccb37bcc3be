"""What the state remembers of AI results that Aircall refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.streams.calls.ids import CallIds

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLS, AFTER, ASKED_AT = "calls", "after", "asked_at"
"""Keys of the state of what was refused."""


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
