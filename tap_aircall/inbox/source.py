"""Reads the inbox in a run of the tap, and keeps positions in the state.

A run reads the events of one company up to a fixed position, so that all streams see the same events. Each position in
the state comes with the inbox and the company, since it means nothing in another inbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.errors import InputError, hint, needs_extra, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tap_aircall.inbox.store import Event, Inbox

MARK = "inbox"
"""Key of the position in a stream's state."""
SETTING, COMPANY_SETTING = "inbox", "inbox_company"


class Mark(NamedTuple):
    """A stream's position in an inbox."""

    inbox: str
    """Identifier of the inbox."""
    company: str
    position: int
    """Position of the last event read; 0 for none."""
    event: str | None = None
    """Identifier of that event, since a restored inbox may reuse its position; None if unknown."""

    @classmethod
    def parse(cls, state: Mapping[str, Any]) -> Mark | None:
        """Parse the position in a stream's state; return None if there is none.

        Raises:
            KeyError, TypeError, ValueError: If it is invalid.
        """
        if MARK not in state:
            return None
        mark = cls(**state[MARK])
        if type(mark.position) is not int or mark.position < 0:
            raise ValueError("not a position")
        return mark


class EventSource:
    """The events of one company.

    Args:
        location: The setting `inbox`.
        company: The setting `inbox_company`; empty for the only company in the inbox.

    Raises:
        InputError: If the inbox is unusable, or the company is ambiguous.
        InboxError: If the inbox cannot be read at the moment.
    """

    def __init__(self, location: str, company: str) -> None:
        self._inbox = _open(location)
        try:
            self.company = chosen(self._inbox.companies(), company)
            """Name of the company; empty if the inbox has none yet."""
            self.through = self._inbox.last_position(self.company)
            """Position of the last event to read."""
        except BaseException:  # including signals: nothing else could close it
            self._inbox.close()
            raise

    @property
    def forgotten(self) -> int:
        """Position up to which events may have been forgotten."""
        return self._inbox.forgotten_position(self.company)

    def resume(self, mark: Mark | None, stream: str) -> int:
        """Return the position after which a stream resumes, from the one in its state.

        Raises:
            InputError: If the state belongs to another inbox or company, or is ahead of this inbox.
        """
        if mark is None:
            return 0
        if (problem := self._problem_with(mark)) is not None:
            raise InputError(
                f"State of stream '{stream}': {problem}; restore a matching state and inbox, or remove this one."
            )
        return mark.position

    def _problem_with(self, mark: Mark) -> str | None:
        if mark.inbox != self._inbox.inbox_id:
            return f"its position belongs to another inbox than that of setting {SETTING}"
        if mark.company != self.company:
            return f"its position belongs to another company than that of setting {COMPANY_SETTING}"
        if mark.position > self.through:
            return f"its position {mark.position} is beyond the end of the inbox at {self.through}"
        there = self._inbox.event_id(mark.position)
        if mark.event not in {None, there} and (there is not None or mark.position > self.forgotten):
            return "its position now has another event: an older copy of the inbox was restored and continued"
        return None

    def mark(self, position: int | None = None) -> dict[str, Any]:
        """Return the position of the last event read, or of the run's last, for a state; empty without a company."""
        if not self.company:
            return {}
        position = self.through if position is None else position
        mark = Mark(self._inbox.inbox_id, self.company, position, self._inbox.event_id(position))
        return {MARK: {name: value for name, value in mark._asdict().items() if value is not None}}

    def news(self, state: dict[str, Any], since: int | None, kinds: Collection[str]) -> Iterator[Event]:
        """Read events since a stream's last run, for a stream that does not depend on the inbox.

        Args:
            state: The stream's state. If it has no position in this inbox, one is added at once, so that a run that
                crashes does not lose the time of the last run.
            since: UNIX second at which to start if the state has no position; None to read no events, for a stream
                that reads everything in any case.
            kinds: Patterns of event names.
        """
        mark = Mark.parse(state)
        if mark is None or self._problem_with(mark) is not None:
            state.update(self.mark(self.through if since is None else self._before(since, kinds)))
            mark = Mark.parse(state)
        for events in self.events(mark.position, kinds) if mark is not None else ():
            yield from events

    def _before(self, since: int, kinds: Collection[str]) -> int:
        """Return the position before the first event that happened at a UNIX second or later."""
        before = 0
        for events in self.events(0, kinds):
            for event in events:
                if event.happened_at >= since * 1000:
                    return before
                before = event.position
        return self.through

    def events(self, after: int, kinds: Collection[str] = ()) -> Iterator[list[Event]]:
        """Read events after a position, as `Inbox.events` does."""
        return self._inbox.events(self.company, after, self.through, kinds=kinds)

    def histories(
        self, object_type: str, object_ids: Collection[str], kinds: Collection[str], until: int
    ) -> Iterator[list[Event]]:
        """Read the events about objects, up to the last position of this run; see `Inbox.histories`."""
        return self._inbox.histories(
            self.company, object_type, object_ids, kinds=kinds, through=self.through, until=until
        )

    def close(self) -> None:
        """Close the inbox."""
        self._inbox.close()


def _open(location: str) -> Inbox:
    try:
        from tap_aircall.inbox.store import Inbox  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise InputError(needs_extra(f"Setting {SETTING}", "inbox")) from error
    return Inbox.open(location, create=False)


def chosen(companies: list[str], wanted: str) -> str:
    """Return the company to read.

    Raises:
        InputError: If it is not in the inbox, or none is named and the inbox has several.
    """
    names = ", ".join(one_line(name) for name in companies)
    if wanted and wanted not in companies:
        advice = hint(wanted, companies, f"it has {names}." if companies else "it has no company yet.")
        raise InputError(f"Setting {COMPANY_SETTING}: the inbox has no company '{one_line(wanted)}'; {advice}")
    if len(companies) > 1 and not wanted:
        raise InputError(f"Setting {COMPANY_SETTING}: missing; the inbox has several companies ({names}).")
    return wanted or next(iter(companies), "")
