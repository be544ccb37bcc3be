"""Followers: streams that read something more of each call, whenever `calls` has read it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, cast

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.times import to_seconds
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_aircall.reading.cursors import Cursors
    from tap_aircall.reading.pages import Record

SETTLE_SECONDS = 20 * 60
"""How long after its end a call has settled; Aircall recalculates it until then (facts: Changes after the call)."""
YOUNG_SECONDS = 72 * 3600
"""Until a call is this old, something may still appear."""
FOLLOWED = ("id", "started_at", "duration", "recording", "voicemail")
"""The fields of a call that followers need."""


class Reading(NamedTuple):
    """When calls are read, and what is known of earlier readings. Times are UNIX seconds."""

    now: int
    settled_through: int
    """All calls up to here were read before, at an age at which they could have settled."""
    last_age: int
    """At this age (seconds) a call is read for the last time."""
    read_through: int | None = None
    """All calls up to here were read at least once; None before a first run."""

    @classmethod
    def of(cls, cursors: Cursors, now: int) -> Reading:
        """Describe a run that begins with these cursors."""
        last_age = max(cursors.ages[-1], TRAIL_SECONDS)
        return cls(now, cursors.position_at(SETTLE_SECONDS), last_age, cursors.read_through)

    def is_ripe(self, call: Record) -> bool:
        """Say whether a call can have anything, and has settled or will not be read again."""
        if call.get("status") != "done" or not (call.get("answered_at") or call.get("voicemail")):
            return False
        started_at = to_seconds(call["started_at"])
        try:
            ended_at = to_seconds(call.get("ended_at") or started_at)
        except ValueError:
            return False  # `calls` says what is wrong with it
        return ended_at + SETTLE_SECONDS <= self.now or started_at + self.last_age <= self.now

    def ripe(self, calls: Iterable[Record]) -> list[Record]:
        """Return what followers need of those calls that can have anything."""
        return [{name: call.get(name) for name in FOLLOWED} for call in calls if self.is_ripe(call)]

    def is_open(self, started_at: int) -> bool:
        """Say whether what was not found yet may still be found."""
        return started_at > self.forgets_before

    @property
    def forgets_before(self) -> int:
        """Up to which start of a call nothing is asked for again."""
        return min(self.now - YOUNG_SECONDS, self.settled_through)


class Followed(Protocol):
    """What a follower asks of the stream `calls`."""

    was_read: bool

    def get_records(self, context: None) -> Iterable[Record]:
        """Read the calls."""

    def sample(self) -> list[Record]:
        """Read a few calls."""


class CallFollower(AircallStream):
    """A stream that follows the calls.

    `calls` begins it, hands it each page of calls after writing them, has it catch up with what it lacks and with what
    webhooks told, and finishes it. Before `calls` writes its state, it has each follower note its own. When `calls`
    itself is not selected, it is read all the same.
    """

    selected_by_default = False
    turn = 1  # after the calls
    asks_for_each: ClassVar[bool] = True
    """Whether it takes a request for each call."""

    _has_begun = False

    @property
    def calls(self) -> Followed:
        """The stream that it follows."""
        return cast("Followed", self.tap.streams["calls"])

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # it reads what `calls` reads, and no version of the whole

    @override
    def write_schema(self) -> None:
        if not self._has_begun:
            super().write_schema()

    @override
    def extract(self) -> Iterable[list[Record]]:
        if not self.calls.was_read:
            for _ in self.calls.get_records(None):
                pass  # of interest to those that follow only
        return ()

    def begin(self, reading: Reading) -> None:  # noqa: ARG002 - for subclasses
        """Tell the target what will come, before the first call is read.

        Args:
            reading: When the run begins.
        """
        self.write_schema()
        self._has_begun = True
        _ = self.progress  # which begins to count the time

    @abstractmethod
    def follow(self, calls: Sequence[Record], reading: Reading) -> None:
        """Read what belongs to some calls, and hand it to the target.

        Args:
            calls: The ripe ones, with the fields `FOLLOWED`.
            reading: When they were read.

        Raises:
            AircallError: If something cannot be read that is there.
        """

    @property
    @abstractmethod
    def lacks_after(self) -> int | None:
        """From which second on (exclusive, UNIX) calls are to be read once more for this stream; None for none."""

    @abstractmethod
    def catch_up(self, calls: Sequence[Record], reading: Reading, through: int | None) -> None:
        """Read what belongs to calls that were passed by while this stream was left out.

        Args:
            calls: As for `follow`, in the order of their start.
            reading: When they were read.
            through: All calls up to this UNIX second were handed over; None if that is not known.

        Raises:
            AircallError: As `follow` does.
        """

    def follow_events(self) -> None:
        """Read what webhooks say is ready, if `follow` has not; a subclass that nothing tells of does nothing.

        Raises:
            AircallError: As `follow` does.
        """

    @abstractmethod
    def note(self, reading: Reading) -> None:
        """Put into the state what was found and refused; the caller writes it."""

    @abstractmethod
    def finish(self) -> None:
        """Ask once more for what was refused, and come to an end."""
