"""Contacts: first all of them, then changed ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import override

from tap_aircall.errors import ResponseError
from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading import states, walks
from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.pages import PAGE_SIZE
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from tap_aircall.reading.pages import Page, Record

BACKFILL = "backfill"
"""State key: progress of an interrupted reading of all contacts."""
NAMED_BY = ("contact.updated", "contact.deleted")
"""Events that report changes; the contact's `updated_at` may not move (facts: Contacts)."""


class Backfill(NamedTuple):
    """Progress of a reading of all contacts, in UNIX seconds."""

    bookmark: int | None
    """The next bookmark, once all are read; None without one."""
    created_through: int | None
    """All contacts created up to then have been emitted."""

    def to_state(self) -> dict[str, str]:
        """Return it as RFC 3339 times."""
        return {name: to_rfc3339(value) for name, value in self._asdict().items()}


class Contacts(AircallStream):
    """Shared contacts of the company; Aircall shows no others (facts: Contacts).

    The bookmark is the newest `updated_at` that Aircall showed *before* a walk began: the next run finds anything that
    changes during the walk. It stays `TRAIL_SECONDS` behind the present, because Aircall may show a change late. A walk
    through all contacts ends with the newest one created before it began, since new ones could hide deletions.
    """

    name = "contacts"
    cost = "one per 50 contacts; later, one per 50 that changed"
    primary_keys = ("id",)
    replication_key = "updated_at"
    path = "/v1/contacts"
    envelope = "contacts"
    state_keys = (BACKFILL, MARK)
    follows_aircalls_clock = True

    @override
    def pages(self) -> Generator[list[Record]]:
        if self.is_full_table:
            yield from self._all(Backfill(None, None))
            return
        named = self._named()
        for contacts in self._listed():
            named.difference_update(contact["id"] for contact in contacts)
            yield contacts
        for contact in self.client.in_flight(partial(self.read_one, "contact", {}), sorted(named)):
            if contact is not None and contact.get("is_shared") is not False:
                yield [contact]
        if self.run.events is not None:
            self.write_state(self.run.events.mark())

    def _named(self) -> set[int]:
        """Return the contacts that webhooks named since the last run."""
        source = self.run.events
        if source is None:
            return set()
        bookmark, _ = self.parse_state(self.stream_state)
        news = source.news(self.stream_state, bookmark, NAMED_BY)
        return {number for event in news if (number := event.number) is not None}

    def _listed(self) -> Iterator[list[Record]]:
        """Read changed contacts from the list, or all of them."""
        bookmark, backfill = self.parse_state(self.stream_state)
        if bookmark is not None and backfill is None:
            newest, reached = yield from self._changed_since(bookmark)
            if reached:
                self._finish(newest)
                return
            backfill = Backfill(newest, None)
            self.logger.info("More than 10,000 contacts changed, so all contacts are read instead.")
        elif backfill is None:
            backfill = Backfill(self._newest_of(self._newest_by("updated_at").records), None)
        yield from self._all(backfill)
        self._finish(backfill.bookmark)

    @override
    def sample(self) -> list[Record]:
        return self.first_page

    @override
    def parse_state(self, state: Mapping[str, Any]) -> tuple[int | None, Backfill | None]:
        """Return the bookmark and the interrupted reading; ignore times in the future."""
        now = self.aircall_clock.horizon()
        Mark.parse(state)
        bookmark = state.get("replication_key_value")
        if bookmark is not None:
            bookmark = walks.newest_of([to_seconds(bookmark)], now)
        backfill = None
        if BACKFILL in state:
            saved = state[BACKFILL]
            backfill = Backfill(to_seconds(saved["bookmark"]), to_seconds(saved["created_through"]))
            if backfill.bookmark and backfill.bookmark > now:
                backfill = None
        return bookmark, backfill

    def _changed_since(self, bookmark: int) -> Generator[list[Record], None, tuple[int | None, bool]]:
        """Read changed contacts, newest first; return the next bookmark, and whether the old one was reached."""
        newest: int | None = None
        through: int | None = None
        for step in self.with_notes(walks.newest_first(self.read_pages, "updated_at", bookmark)):
            newest, through = newest or self._newest_of(step.records), step.through
            yield step.records
        return newest, through is not None

    def _all(self, backfill: Backfill) -> Iterator[list[Record]]:
        """Read all contacts in order of creation; keep no state unless there is a next bookmark."""
        newest = self._newest_created()
        if newest is None:
            if backfill.bookmark is not None:
                raise self._empty()
            return
        steps = walks.oldest_first(
            self.read_pages, backfill.created_through, newest, from_is_exclusive=False, order_by="created_at"
        )
        for number, step in enumerate(self.with_notes(steps), start=1):
            if step.last is None and not step.remaining and backfill.created_through is None:
                raise self._empty()
            self.progress.expect(step.remaining or 0)
            yield step.records
            if backfill.bookmark and step.through is not None and number % states.PAGES_PER_STATE == 0:
                self.write_state({BACKFILL: Backfill(backfill.bookmark, step.through).to_state()})

    def _newest_by(self, time: str) -> Page:
        """Request the newest contacts by a time: a whole page, since only that proves the order."""
        return self.read_page(self.path, {"order_by": time, "order": "desc", "page": "1", "per_page": str(PAGE_SIZE)})

    def _newest_created(self) -> int | None:
        """Request the newest `created_at`."""
        page = self._newest_by("created_at")
        none = self.aircall_clock.horizon() if page.places else None  # a page of hidden records
        return max(page.times, default=none)

    def _empty(self) -> ResponseError:
        """Return the error for a list that is suddenly empty."""
        return ResponseError(f"Aircall suddenly lists no {self.name}; try again later.")

    def _newest_of(self, contacts: Sequence[Record]) -> int | None:
        """Return the bookmark for a first page; None if the page is empty."""
        times = (to_seconds(contact["updated_at"]) for contact in contacts)
        newest = walks.newest_of(times, self.aircall_clock.horizon())
        return None if newest is None else min(newest, self.aircall_clock.reached() - TRAIL_SECONDS)

    def _finish(self, newest: int | None) -> None:
        """Set the bookmark."""
        before, _ = self.parse_state(self.stream_state)
        bookmark = {} if newest is None else states.bookmark(self.replication_key, newest, before)
        self.write_state({**bookmark, BACKFILL: None})
