"""The ways to read a list of Aircall to its end.

Aircall has page numbers and nothing else: no cursor, no lower bound on changes, and nothing beyond position 10,000
(facts, section 3). A page number is an offset, so whatever is added or removed in front of it moves the rest. The
walks read such lists completely nevertheless. They make no request themselves: each is given a `Reader`, a function
that turns queries into pages, in order, and may have several under way.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tap_aircall.errors import ResponseError, UnreadableError
from tap_aircall.times import to_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Record: TypeAlias = dict[str, Any]
Query: TypeAlias = dict[str, str]
Reader: TypeAlias = "Callable[[Iterable[Query]], Iterator[Page]]"

PAGE_SIZE = 50
"""The most that Aircall puts on a page; more is silently clamped."""
CAP = 10_000
"""Aircall lets nobody read beyond this position of a list."""
LAST_PAGE = CAP // PAGE_SIZE
"""Pages beyond this one are refused with a 400, whatever the list holds."""
SLACK_SECONDS = (2, 1)
"""How far behind the last record to start again. `started_at` may move by a second after a call was listed, so that the
order is exact to a second only; where two seconds hold more than a chunk, one has to do."""
PATIENCE = 10
"""A list that moves during so many readings in a row, none of which brings anything new, is taken as it is."""


class Page(NamedTuple):
    """One page of a list."""

    records: list[Record]
    total: int | None
    """How many records the whole list has, as far as Aircall says."""
    linked: bool | None
    """Whether Aircall names a next page; None where it does not say (webhooks)."""
    size: int | None = None
    """How many records Aircall says it puts on a page."""

    @classmethod
    def parse(cls, payload: Any, envelope: str) -> Page:
        """Take a page out of a decoded answer.

        Args:
            payload: The decoded JSON.
            envelope: Key of the list in it.

        Raises:
            ResponseError: If the list is not there. Anything odd in `meta` is taken for "not said".
        """
        records = payload.get(envelope) if isinstance(payload, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            message = f"Aircall answered without the list '{envelope}'."
            raise ResponseError(message)
        meta = payload.get("meta")
        if not isinstance(meta, dict):
            meta = {}
        total, size = meta.get("total"), meta.get("per_page")
        return cls(
            records=records,
            total=total if isinstance(total, int) and total >= 0 else None,
            linked=meta["next_page_link"] is not None if "next_page_link" in meta else None,
            size=size if isinstance(size, int) and size > 0 else None,
        )

    def is_last(self, number: int, asked: int = PAGE_SIZE) -> bool:
        """Say whether the list ends with this page.

        A full page ends the list only when the total and the missing link agree: a request more is cheaper than a page
        lost to a wrong total. What is full Aircall decides: it may put less on a page than was asked for.

        Args:
            number: Number of the page.
            asked: How many records were asked for.
        """
        size = min(asked, self.size or asked)
        if len(self.records) < size:
            return True
        return self.linked is False and self.total is not None and self.total <= number * size


def pages(read: Reader, params: Query, size: int = PAGE_SIZE, *, planned: int = 1) -> Generator[tuple[int, Page]]:
    """Read a list page by page, as far as its last page or position 10,000.

    The first page says how many there are; the rest is then asked for at once.

    Args:
        read: Reads the pages.
        params: Further query parameters.
        size: How many records to ask for on a page.
        planned: How many pages to ask for at once before any has said how many there are.

    Yields:
        Page numbers from 1 on, with their pages.
    """
    number = 1
    last = CAP // size
    while number <= last:
        queries = ({**params, "page": str(n), "per_page": str(size)} for n in range(number, planned + 1))
        total = None
        for page in read(queries):
            yield number, page
            if page.is_last(number, size):
                return
            number, total = number + 1, page.total
        planned = min(last, max(number, math.ceil((total or 0) / size)))


def whole_list(read: Reader, key: str, name: str, size: int = PAGE_SIZE) -> Iterator[Page]:
    """Read a short list whole.

    When the total shrinks on the way, something in front of us was deleted and something else slid past: the list is
    read again, and what was given out before is not repeated.

    Args:
        read: Reads the pages.
        key: The field that identifies a record.
        name: What to call the list in an error.
        size: How many records to ask for on a page.

    Yields:
        Pages with the records not given out before.

    Raises:
        UnreadableError: If the list goes on past position 10,000.
    """
    seen: set[Any] = set()
    for _ in range(1 + PATIENCE):
        total: int | None = None
        shrank = False
        for number, page in pages(read, {}, size):
            shrank = shrank or (total is not None and page.total is not None and page.total < total)
            total = page.total
            fresh = [record for record in page.records if record.get(key) not in seen]
            seen.update(record.get(key) for record in fresh)
            yield page._replace(records=fresh)
            if page.total is None and page.records and not fresh:
                return  # a list without pages, which gives all of it whatever page is asked for
            if number == CAP // size and not page.is_last(number, size):
                message = f"Aircall has more than 10,000 {name}, and does not let anyone read the rest."
                raise UnreadableError(message)
        if not shrank:
            return


def behind_tokens(ask: Callable[[Query], Any], envelope: str, key: str) -> Iterator[list[Record]]:
    """Read a list whose pages are found by a token (facts, section 4.6: the templates of WhatsApp).

    Args:
        ask: Sends a query and returns the decoded answer.
        envelope: Key of the list in it.
        key: The field that identifies a record.

    Yields:
        Records not given out before, page by page, until there is no further token, or one that was there before.

    Raises:
        ResponseError: If the list is not there.
    """
    seen: set[Any] = set()
    tokens: set[str] = set()
    query: Query = {}
    while True:
        payload = ask(query)
        records = Page.parse(payload, envelope).records
        fresh = [record for record in records if record.get(key) not in seen]
        seen.update(record.get(key) for record in fresh)
        yield fresh
        info = payload.get("pageInfo")
        following = info.get("nextToken") if isinstance(info, dict) else None
        if not records or following in {None, ""} or str(following) in tokens:
            return
        tokens.add(str(following))
        query = {"token": str(following)}


class End(NamedTuple):
    """How the reading of one chunk ended."""

    complete: bool = False
    """Whether everything was read; otherwise it goes on."""
    behind: int | None = None
    """The last second seen, or an earlier one: where to start again; None: where the chunk began."""
    moved: bool = False
    """Whether because the list moved, rather than at the cap."""
    pages_left: int = 1
    """How many full pages the next chunk has at least, as far as is known: they need not wait for its first page."""


@dataclass(frozen=True)
class Step:
    """What one page of an ascending walk brought."""

    records: list[Record]
    through: int | None
    """No record up to this second (UNIX, inclusive) is missing any more; None: nothing is known yet."""
    last: int | None
    """The latest time (UNIX seconds) among the records given out so far."""
    remaining: int | None = None
    """Records still to come when the page was read, its own included, as far as Aircall says."""


class AscendingWalk:
    """Reads a list that is ordered by a time, oldest first, past the cap of 10,000.

    At the cap it starts again just before the last record seen, and drops what it gave out already. The same is done
    whenever the list shows that it moved: it repeats a record, its total shrinks, or it ends short of its total. One
    mechanism, and one extra request each time.

    Args:
        read: Reads the pages.
        key: Name of the time (UNIX seconds) that the list is ordered by and filtered with.
        from_is_exclusive: Whether the API's `from` excludes its own second (calls) or not (contacts).
        params: Further query parameters.
        name: What to call the list in an error.
    """

    def __init__(self, read: Reader, key: str, *, from_is_exclusive: bool, params: Query, name: str) -> None:
        self._read = read
        self._key = key
        self._from_offset = 0 if from_is_exclusive else 1
        self._params = params
        self._name = name

    def steps(self, after: int | None, until: int) -> Iterator[Step]:
        """Read everything in `after < time <= until`.

        Args:
            after: UNIX seconds, exclusive; None for "from the beginning".
            until: UNIX seconds, inclusive.

        Yields:
            The pages in order, without repeats; a last one without records says that all is read.

        Raises:
            UnreadableError: If 10,000 records or more share one second.
            ResponseError: If a record lacks its id or its time.
        """
        anchor = after
        given: dict[Any, int] = {}
        idle, planned = 0, 1
        while True:
            known = len(given)
            end = yield from self._chunk(anchor, after, until, given, idle=idle, planned=planned)
            if end.complete:
                yield Step([], until, end.behind)
                return
            idle = 0 if len(given) > known else idle + 1
            ahead = self._anchor(end.behind, anchor)
            if ahead == anchor and not end.moved:
                message = (
                    f"10,000 {self._name} or more share one second; Aircall's API cannot show them all, so that "
                    "reading on would lose some."
                )
                raise UnreadableError(message)
            anchor, planned = ahead, end.pages_left
            given = {key: second for key, second in given.items() if anchor is None or second > anchor}

    def _chunk(
        self,
        anchor: int | None,
        after: int | None,
        until: int,
        given: dict[Any, int],
        *,
        idle: int,
        planned: int,
    ) -> Generator[Step, None, End]:
        """Read from an anchor as far as page 200, or until the list shows that it moved.

        Args:
            anchor: Where to read from, exclusive.
            after: Where the walk began, exclusive.
            until: Where it ends, inclusive.
            given: Ids given out since the anchor, with their times; grows.
            idle: How many readings before this one brought nothing new.
            planned: How many pages to ask for before one has said how many there are.

        Returns:
            How the chunk ended.
        """
        here: set[Any] = set()
        last = max(given.values(), default=None)
        total: int | None = None
        with closing(pages(self._read, self._query(anchor, until), planned=planned)) as numbered:
            for number, page in numbered:
                stamped = [stamp(record, self._key, self._name) for record in page.records]
                keys = {key for key, _ in stamped}
                if idle < PATIENCE:
                    repeated = [given[key] for key in keys & here if key in given]
                    if repeated:
                        return End(behind=min(repeated), moved=True)
                    if total is not None and page.total is not None and page.total < total:
                        return End(behind=last, moved=True)
                total = page.total
                remaining = None if total is None else total - len(here)
                here |= keys
                fresh = []
                for record, (key, second) in zip(page.records, stamped, strict=True):
                    if key in given or second > until or (after is not None and second <= after):
                        continue
                    given[key] = second
                    last = second if last is None else max(last, second)
                    fresh.append(record)
                through = None if last is None else last - SLACK_SECONDS[0]
                yield Step(fresh, through, last, remaining)
                # Nobody knows whether a total beyond 10,000 is exact: a full page 200 is never taken for the last.
                if page.is_last(number) and (number < LAST_PAGE or len(page.records) < PAGE_SIZE):
                    # A total that stays too high after another reading is just wrong.
                    moved = idle == 0 and total is not None and len(here) < total
                    return End(complete=not moved, behind=last, moved=moved)
        return End(behind=last, pages_left=min(LAST_PAGE, max(1, ((total or 0) - CAP) // PAGE_SIZE)))

    def _query(self, anchor: int | None, until: int) -> Query:
        query = {**self._params, "order": "asc", "to": str(until)}
        if anchor is not None:
            query["from"] = str(anchor + self._from_offset)
        return query

    @staticmethod
    def _anchor(behind: int | None, anchor: int | None) -> int | None:
        """Step back from a second as far as there is room since the last anchor."""
        if behind is None:
            return anchor
        for slack in SLACK_SECONDS:
            if anchor is None or behind - slack > anchor:
                return behind - slack
        return anchor


def stamp(record: Record, key: str, name: str) -> tuple[Any, int]:
    """Return what identifies a record, and its time.

    Args:
        record: The record.
        key: Name of the time.
        name: What to call the list in an error.

    Raises:
        ResponseError: If it lacks one of them.
    """
    try:
        return record["id"], to_seconds(record[key])
    except (KeyError, ValueError) as error:
        message = f"Aircall sent one of the {name} without a usable 'id' or '{key}'."
        raise ResponseError(message) from error


def newest_of(times: Iterable[int], now: int) -> int | None:
    """Return the latest time that can be one of a change, to be a bookmark.

    A single record that claims to have changed in years to come would otherwise hide all changes until then.

    Args:
        times: UNIX seconds.
        now: UNIX seconds; the later one if Aircall's clock and this machine's differ.
    """
    return max((second for second in times if second <= now), default=None)


def newest_first(read: Reader, key: str, bookmark: int, params: Query, name: str) -> Generator[Page, None, bool]:
    """Read a list that is ordered by its time of change, newest first, back to a bookmark.

    Changes during the walk go to the front, where the next run finds them. A deletion slides unread records onto pages
    that were read, so that as many pages are read again as it takes.

    Args:
        read: Reads the pages.
        key: Name of the time of change (UNIX seconds).
        bookmark: UNIX seconds; records of this very second are read again, since more may have changed within it.
        params: Further query parameters.
        name: What to call the list in an error.

    Yields:
        Pages with the records that changed at the bookmark or later and were not given out before.

    Returns:
        Whether the bookmark was reached; False if the list is cut at 10,000 before.

    Raises:
        ResponseError: If a record lacks its id or its time.
    """
    given: dict[Any, int] = {}
    number, total = 1, None
    while number <= LAST_PAGE:
        query = {**params, "order": "desc", "page": str(number), "per_page": str(PAGE_SIZE)}
        page = next(read([query]))
        if total is not None and page.total is not None and page.total < total and number > 1:
            number = max(1, number - math.ceil((total - page.total) / PAGE_SIZE))
            total = page.total
            continue
        total = page.total
        fresh = []
        reached = page.is_last(number)
        for record in page.records:
            identity, changed = stamp(record, key, name)
            if changed < bookmark:
                reached = True
            elif given.get(identity) != changed:
                given[identity] = changed
                fresh.append(record)
        yield page._replace(records=fresh)
        if reached:
            return True
        number += 1
    return False
