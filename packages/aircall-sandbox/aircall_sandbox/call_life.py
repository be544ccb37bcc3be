"""The life of a call, from its first ring to the last correction (facts: Changes after the call)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from aircall_sandbox.recordings import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_sandbox.templates import Record


@dataclass(frozen=True, kw_only=True)
class CallLife:
    """How a call goes. Times are UNIX seconds."""

    started_at: int
    """May be in the future."""
    ring_seconds: int = 5
    talk_seconds: int | None = 55
    """None for a missed call."""
    visible_at: float | None = None
    """When the API first shows it; None for at once."""
    recalculated_after: int | None = 300
    """Seconds from its end until Aircall sets its cost and pricing; None for never."""
    duration_excess: int = 0
    """Excess seconds in `duration` until then."""
    moves_start: bool = False
    """Whether the recalculation adds a second to `started_at`."""
    missed_call_reason: str | None = None
    leaves_voicemail: bool = False

    @property
    def answered_at(self) -> int | None:
        """When it is answered; None for a missed call."""
        return None if self.talk_seconds is None else self.started_at + self.ring_seconds

    @property
    def ended_at(self) -> int:
        """When it ends."""
        return self.started_at + self.ring_seconds + (self.talk_seconds or 0)

    @property
    def appears_at(self) -> float:
        """When the API first shows it."""
        return max(self.started_at, self.visible_at or 0)

    def stages(self, identity: int) -> Iterator[tuple[float, Record]]:
        """Yield the times of changes, and the fields that change.

        Args:
            identity: Id of the call, for the addresses of its audio.
        """
        if self.answered_at is not None:
            yield self._seen(self.answered_at), {"status": "answered", "answered_at": self.answered_at}
        yield self._seen(self.ended_at), self._end(identity)
        if self.recalculated_after is not None:
            yield self._seen(self.ended_at + self.recalculated_after), self._recalculation()

    def _seen(self, at: float) -> float:
        """Return the time of a change, but not before the API shows the call."""
        return max(self.appears_at, at)

    def _end(self, identity: int) -> Record:
        ended = {
            "status": "done",
            "ended_at": self.ended_at,
            "duration": self.ended_at - self.started_at + self.duration_excess,
        }
        if self.missed_call_reason is not None:
            ended["missed_call_reason"] = self.missed_call_reason
        if self.answered_at is not None:
            ended |= {
                "recording": address_of(identity, "recording"),
                "recording_short_url": f"https://short.example.com/r/{identity}",
                "asset": f"https://assets.aircall.io/calls/{identity}/recording",
            }
        if self.leaves_voicemail:
            ended |= {
                "voicemail": address_of(identity, "voicemail"),
                "voicemail_short_url": f"https://short.example.com/v/{identity}",
                "asset": f"https://assets.aircall.io/calls/{identity}/voicemail",
            }
        return ended

    def _recalculation(self) -> Record:
        changes: Record = {"cost": "0.0" if self.answered_at is None else "3.0", "pricing_type": "in_bundle"}
        if self.duration_excess or self.moves_start:
            begin = self.started_at + self.moves_start
            changes |= {"started_at": begin, "duration": self.ended_at - begin}
        return changes


OPTIONS = frozenset(field.name for field in fields(CallLife))
