"""Walks: ways to read one of Aircall's lists to its end.

Aircall has page numbers and nothing else: no cursor, no filter by time of change, and nothing past position 10,000
(facts: Lists and pages). A page number is an offset, so a record added or removed before it shifts the rest. The walks
read such lists completely all the same. They send no requests: each gets a `Reader`, a function that turns queries into
pages, in order, and may have several in flight.

A walk succeeds only if everything that Aircall says agrees that the list was read to its end:

- each page is consistent with itself and its query (the `Reader` calls `Page.checked`);
- the total, the links or an empty page say that the list ends (`Page.is_last`);
- by then, the list showed as many records as its total says, or lacked them on pages that stayed short when retried.
  Otherwise it moved, and is read again;
- each new reading finds new records; otherwise the list contradicts itself, and the walk fails;
- the pages of an ordered list are in order; nothing counts as read before the order is evident.

Missing records are a gap if the pages around them agree that the list did not move. The walk reports it once, with its
bounds, and reads on; a list that hides more than `check_hidden` allows is broken. No walk skips a record silently.
"""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.errors import ResponseError, UnreadableError
from tap_aircall.reading.pages import (
    PAGE_SIZE,
    TOLERANCE_SECONDS,
    Gap,
    Page,
    check_hidden,
    misordered,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from tap_aircall.reading.pages import Query, Reader, Record

CAP = 10_000
"""Last position of a list that can be read."""
LAST_PAGE = CAP // PAGE_SIZE
"""Aircall refuses later pages with a 400."""
SLACK_SECONDS = (TOLERANCE_SECONDS, 1)
"""Seconds before the last record at which to start again, since the order is only that exact. Where two seconds have
more records than a chunk, one must do."""
MOST_RETRIES = 10
"""Successive readings that may find nothing new before a list counts as contradictory."""


class Step(NamedTuple):
    """One page of a walk."""

    records: list[Record]
    """Records not yielded before."""
    through: int | None = None
    """All records up to this UNIX second (inclusive) were yielded; of a walk that goes backwards, from it on. None if
    that is not known yet."""
    last: int | None = None
    """Latest time (UNIX seconds) of a record that a forward walk has yielded so far."""
    remaining: int | None = None
    """Records left to read, including this page, according to Aircall."""
    gap: Gap | None = None
    """A gap that this page confirmed; reported once."""
    odd: Sequence[Record] = ()
    """Unusable records of the page; repeated if it is read again."""


def pages(read: Reader, params: Query) -> Generator[tuple[int, Page]]:
    """Read a list page by page, up to its last page or position 10,000.

    The first page has the total; the other pages are then requested concurrently.

    Args:
        read: Reads the pages.
        params: Query parameters.

    Yields:
        Page numbers from 1 on, with their pages.

    Raises:
        ResponseError: If a page is empty although the list continues.
    """
    number, through, planned = 1, 0, 1
    while number <= LAST_PAGE:
        numbers = range(number, max(number, planned) + 1)
        queries = ({**params, "page": str(each), "per_page": str(PAGE_SIZE)} for each in numbers)
        total = None
        for page in read(queries):
            yield number, page
            through += page.places
            if page.is_last(through):
                return
            if not page.places:
                raise _contradicts_itself(page)
            number, total = number + 1, page.total
        left = (total or 0) - through
        planned = min(LAST_PAGE, number - 1 + math.ceil(left * (number - 1) / through))


def whole_list(read: Reader, key: str) -> Iterator[Step]:
    """Read a short list whole; `key` identifies its records.

    If the total shrinks during the walk, a deletion may have shifted unread records to pages already read. If the list
    ends with fewer records than its total, some were hidden. Either way, it is read again, without repeating records.

    Raises:
        ResponseError: If the list contradicts itself, or hides too much.
        UnreadableError: If it has more than 10,000 records.
    """
    given: set[Any] = set()
    for _ in range(1 + MOST_RETRIES):
        here: set[Any] = set()
        shown, hidden, total, shrank = 0, 0, None, False
        for number, page in pages(read, {}):
            shrank = shrank or (total is not None and page.total is not None and page.total < total)
            total = total if page.total is None else page.total
            keys = [record[key] for record in page.records]
            odd = [repr(record) for record in page.odd]
            if total is None and keys and here.issuperset(keys):
                if page.linked or len(keys) == min(PAGE_SIZE, page.size or PAGE_SIZE):
                    raise _contradicts_itself(page)
                return  # the list has no pages: it is the same whichever page is asked for
            shown += page.shown - len(here.intersection([*keys, *odd]))
            hidden += page.hidden
            check_hidden(hidden, total or 0, page.name)
            here.update(keys, odd)
            yield Step(
                [record for record, each in zip(page.records, keys, strict=True) if each not in given],
                remaining=None if total is None else total - len(given),
                odd=[record for record, each in zip(page.odd, odd, strict=True) if each not in given],
            )
            given.update(keys, odd)
            if number == LAST_PAGE and not page.is_last(CAP):
                raise UnreadableError(f"Aircall has more than 10,000 {page.name}, and its API cannot list the rest.")
        missing = 0 if total is None else max(0, total - shown)
        if not shrank and missing <= hidden:
            if missing:
                yield Step([], gap=Gap(None, None, shown + missing, shown))
            return
    raise _contradicts_itself(page)


def behind_tokens(read: Callable[[Query], tuple[Page, Any]], key: str) -> Iterator[Step]:
    """Read a list that is paged by tokens: WhatsApp templates (facts: Optional features).

    `read` returns a page, and what Aircall says about the next one (`pageInfo`).

    It ends without a next token, once it has shown as many records as its total; or when two readings in a row lack the
    same number of records, which is a gap.

    Raises:
        ResponseError: If it contradicts itself or hides too many records.
    """
    given: set[Any] = set()
    before: Gap | None = None
    for _ in range(1 + MOST_RETRIES):
        tokens: set[str] = set()
        query: Query = {}
        idle = 0
        while True:
            page, info = read(query)
            known = len(given)
            fresh: dict[Any, Record] = {}
            for record in page.records:
                if record[key] not in given:
                    fresh.setdefault(record[key], record)
            odd = {repr(record): record for record in page.odd if repr(record) not in given}
            given.update(fresh, odd)
            yield Step([*fresh.values()], odd=[*odd.values()])
            info = info if isinstance(info, dict) else {}
            following = str(info.get("nextToken") or "")
            idle = 0 if len(given) > known else idle + 1
            if not following or following in tokens or idle > MOST_RETRIES:
                break
            tokens.add(following)
            query = {"token": following}
        total = info.get("totalCount")
        if total <= len(given) if type(total) is int else not following:
            return
        gap = Gap(None, None, total, len(given)) if type(total) is int and not following else None
        if gap is not None and gap == before:
            check_hidden(gap.missing, gap.counted, page.name)
            yield Step([], gap=gap)
            return
        before = gap
    raise _contradicts_itself(page)


def crowded(name: str) -> UnreadableError:
    """Return the error for more records in one second than a query can list (facts: The cap)."""
    return UnreadableError(
        f"10,000 {name} or more share one second; Aircall's API cannot list them all, so reading on would lose some."
    )


def _contradicts_itself(page: Page) -> ResponseError:
    return ResponseError(f"Aircall's list of {page.name} contradicts itself, however often it is read.")


class End(NamedTuple):
    """How the reading of one chunk ended."""

    complete: bool = False
    """Whether the walk is complete."""
    behind: int | None = None
    """Where to start again (UNIX seconds): the last time seen, or earlier; None for the chunk's beginning."""
    moved: bool = False
    """Whether it ended because the list moved, rather than at the cap."""
    gap: Gap | None = None
    """A gap at the end or anywhere in the chunk; not reported yet."""


class Chunk:
    """The part of a list read from one anchor: at most 10,000 records.

    Short pages are a hole until later pages show where it ends and that the list did not move. Then it is reported as a
    gap, and the chunk ends, so that the next one starts past the gap.

    Args:
        anchor: Its beginning (UNIX seconds, exclusive); None for the beginning of the list.
        until: End of the walk (UNIX seconds, inclusive).
        given: Ids yielded since the anchor, with their times; grows.
    """

    def __init__(self, anchor: int | None, until: int, given: dict[Any, int]) -> None:
        self.anchor = anchor
        self.given = given
        self.hidden = 0
        """Records that its pages lack."""
        self.gap: Gap | None = None
        """The gap, once it was reported."""
        self.page: Page
        """The last page read."""
        self.until = until
        self._here: set[Any] = set()
        self._places = 0
        self._total: int | None = None
        self._first: int | None = None
        self._latest: int | None = None
        self._is_vague = False
        self._hole: Gap | None = None

    @property
    def counted(self) -> int:
        """Records that Aircall counts in it."""
        return max(self._total or 0, self._places)

    @property
    def _behind(self) -> int | None:
        """Where to start again (UNIX seconds): before a hole, or else after the last record."""
        return self._latest if self._hole is None else self._hole.after

    def moved_at(self, page: Page, keys: list[Any]) -> End | None:
        """Return how the chunk ends if a page shows that the list moved since the previous one; None if it did not.

        A record shifts here from an earlier page if the total grows or its own time changes. If records repeat for no
        such reason, others may have been skipped, and the chunk is read again from its beginning.
        """
        growth = 0 if self._total is None or page.total is None else page.total - self._total
        repeated = [key for key in keys if key in self._here and key in self.given]
        if repeated:
            same = [key for key, second in zip(keys, page.times, strict=True) if self.given.get(key) == second]
            is_explained = growth >= len(repeated) or not set(same).intersection(repeated)
            if not is_explained or self._behind is None:
                return End(moved=True)
            return End(behind=min(self._behind, *map(self.given.__getitem__, repeated)), moved=True)
        return End(behind=self._behind, moved=True) if growth < 0 else None

    def follows(self, page: Page) -> bool:
        """Return whether a page continues the order of the previous ones."""
        return not page.times or self._latest is None or min(page.times) >= self._latest - TOLERANCE_SECONDS

    def take(self, page: Page, keys: list[Any]) -> int | None:
        """Note that a page was read; return how many records are left, including its own, if known."""
        self.page = page
        remaining = None if page.total is None else page.total - len(self._here)
        self._total = self._total if page.total is None else page.total
        self._is_vague = self._is_vague or (page.size is None and not page.is_full())
        self._places += page.places
        self.hidden += page.hidden
        self._here.update(keys, map(repr, page.odd))
        if page.hidden:
            after = self.anchor if self._latest is None else self._latest - TOLERANCE_SECONDS
            before = self._hole or Gap(after, None, 0, 0)
            self._hole = Gap(before.after, None, before.counted + page.places, before.shown + page.shown)
        elif self._hole is not None and self._hole.until is None and page.times:
            self._hole = self._hole._replace(until=min(page.times[0] + TOLERANCE_SECONDS, self.until))
        if page.times:
            self._first = page.times[0] if self._first is None else self._first
            self._latest = max(page.times) if self._latest is None else max(self._latest, *page.times)
        return remaining

    @property
    def last(self) -> int | None:
        """Latest time (UNIX seconds) of a record yielded."""
        return max(self.given.values(), default=None)

    @property
    def through(self) -> int | None:
        """The UNIX second up to which no record can be missing; it stops before a hole.

        None until a record is clearly later than the first, which shows that the list is ordered; and if a page is not
        full and Aircall does not state the page size, since records may be missing between pages.
        """
        if (
            self._is_vague
            or self._first is None
            or self._latest is None
            or self._latest - self._first <= TOLERANCE_SECONDS
        ):
            return None
        return self._latest - TOLERANCE_SECONDS if self._hole is None else self._hole.after

    def report(self) -> Gap | None:
        """Return the hole as a gap, if a chunk that starts after the last page is past it."""
        hole = self._hole
        if hole is None or hole.until is None or (self._latest or 0) - SLACK_SECONDS[0] < hole.until:
            return None
        self._hole, self.gap = None, hole
        return hole

    def end(self, page: Page, number: int) -> End | None:
        """Return how the chunk ends with a page; None if there is a next one.

        A total above 10,000 may be inexact, so a full page 200 is never the last.
        """
        is_last = page.is_last(self._places)
        is_cut = number == LAST_PAGE and (not is_last or page.places >= PAGE_SIZE)
        if is_last and not is_cut and (self._total is None or self._total <= len(self._here) + self.hidden):
            gap = self._hole
            if page.hidden:  # the missing records may be anywhere
                gap = Gap(self.anchor, self.until, len(self._here) + self.hidden, len(self._here))
            return End(complete=True, behind=self.last, gap=gap and gap._replace(until=gap.until or self.until))
        if is_cut or self.gap:
            return End(behind=self._behind)
        return End(moved=True) if is_last else None


def oldest_first(
    read: Reader, after: int | None, until: int, *, from_is_exclusive: bool = True, order_by: str | None = None
) -> Iterator[Step]:
    """Read a list that is ordered by a time, oldest first, past the cap of 10,000.

    At the cap it starts again just before the last record, and drops records already yielded. It does the same after a
    gap, and whenever the list moved: a record repeats, the total shrinks, or the list ends short of its total. Each
    time costs one extra request (after a gap, also those in flight).

    Args:
        read: Reads the pages.
        after: Lower bound of times (UNIX seconds), exclusive; None for the beginning.
        until: Upper bound (UNIX seconds), inclusive.
        from_is_exclusive: Whether the API's `from` excludes its own second (calls) or not (contacts).
        order_by: Aircall's name of the time, for a list that takes this parameter.

    Yields:
        The pages in order, without repeated records; the last step has no records and means that all were read.

    Raises:
        UnreadableError: If 10,000 records or more share one second.
        ResponseError: If the list contradicts itself, or hides too many records.
    """
    anchor = after
    given: dict[Any, int] = {}
    passed = Gap(after, until, 0, 0)
    idle = 0
    while idle <= MOST_RETRIES:
        known = len(given)
        chunk = Chunk(anchor, until, given)
        query = {"order": "asc", "to": str(until)}
        if order_by is not None:
            query["order_by"] = order_by
        if anchor is not None:
            query["from"] = str(anchor if from_is_exclusive else anchor + 1)
        end = yield from _read_chunk(chunk, pages(read, query), passed)
        if end.complete:
            yield Step([], until, end.behind, gap=end.gap)
            return
        idle = 0 if len(given) > known else idle + 1
        before, anchor = anchor, _anchor(end.behind, anchor)
        if anchor == before and not end.moved:
            raise crowded(chunk.page.name)
        there = {key: second for key, second in given.items() if anchor is None or second > anchor}
        shown = len(given) - len(there)
        missing = 0 if chunk.gap is None else chunk.gap.missing
        passed = Gap(after, anchor, passed.counted + shown + missing, passed.shown + shown)
        given = there
    raise _contradicts_itself(chunk.page)


def _read_chunk(chunk: Chunk, numbered: Generator[tuple[int, Page]], passed: Gap) -> Generator[Step, None, End]:
    """Read from an anchor up to page 200, to a gap, or until the list moves.

    Args:
        chunk: The chunk; grows.
        numbered: Its pages.
        passed: Counts of the walk before the anchor.

    Returns:
        How the chunk ended.
    """
    with closing(numbered):
        for number, page in numbered:
            keys = [record["id"] for record in page.records]
            if not chunk.follows(page):
                raise misordered(page)
            if end := chunk.moved_at(page, keys):
                return end
            remaining = chunk.take(page, keys)
            check_hidden(passed.missing + chunk.hidden, passed.counted + chunk.counted, page.name)
            fresh = []
            for record, key, second in zip(page.records, keys, page.times, strict=True):
                if key not in chunk.given and second <= chunk.until and (passed.after is None or second > passed.after):
                    chunk.given[key] = second
                    fresh.append(record)
            gap = chunk.report()
            yield Step(fresh, chunk.through, chunk.last, remaining, gap, page.odd)
            if end := chunk.end(page, number):
                return end
    raise AssertionError  # the last page ends the chunk


def _anchor(behind: int | None, anchor: int | None) -> int | None:
    """Step back from a second, but not beyond the last anchor."""
    if behind is None:
        return anchor
    for slack in SLACK_SECONDS:
        if anchor is None or behind - slack > anchor:
            return behind - slack
    return anchor


def newest_of(times: Iterable[int], now: int) -> int | None:
    """Return the latest plausible time of a change, for a bookmark; None if there is none.

    Otherwise a single record from the future would hide all changes until then.

    Args:
        times: UNIX seconds.
        now: UNIX seconds, by whichever clock is later.
    """
    return max((second for second in times if second <= now), default=None)


def newest_first(read: Reader, order_by: str, bookmark: int) -> Iterator[Step]:
    """Read a list that is ordered by time of change, newest first, back to a bookmark.

    Records that change meanwhile move to the front, where the next run finds them. After a deletion, which shifts
    unread records onto pages already read, the walk goes back as many pages as necessary.

    Args:
        read: Reads the pages.
        order_by: Aircall's name of the time of change.
        bookmark: UNIX seconds; records of this second are read again, since more may have changed within it.

    Yields:
        The records that changed at the bookmark or later. The last step has no records: its `through` is the bookmark,
        or None if the list was cut at 10,000 before, and its gap is what the pages lack.

    Raises:
        ResponseError: If the list is in another order, contradicts itself, or hides too many records.
    """
    given: dict[Any, int] = {}
    short: dict[int, Page] = {}
    number, furthest, size = 1, 0, 0
    total, oldest, reached = None, None, False
    while number <= LAST_PAGE:
        query = {"order_by": order_by, "order": "desc", "page": str(number), "per_page": str(PAGE_SIZE)}
        page = next(read([query]))
        size = size or page.size or len(page.records) or PAGE_SIZE
        if total is not None and page.total is not None and page.total < total and number > 1:
            number = max(1, number - math.ceil((total - page.total) / size))
            total, oldest = page.total, None
            short = {each: page for each, page in short.items() if each < number}
            continue
        total = page.total
        fresh = []
        reached = page.is_last((number - 1) * size + page.places)
        short.pop(number, None)
        if page.hidden:
            short[number] = page
            check_hidden(sum(each.hidden for each in short.values()), total or 0, page.name)
        keys = [record["id"] for record in page.records]
        if not reached and number > furthest and not (page.hidden or page.odd) and all(key in given for key in keys):
            raise _contradicts_itself(page)
        furthest = max(furthest, number)
        for each, record, changed in zip(keys, page.records, page.times, strict=True):
            if oldest is not None and changed > oldest + TOLERANCE_SECONDS:
                raise misordered(page)
            oldest = changed if oldest is None else min(oldest, changed)
            if changed < bookmark:
                reached = True
            elif given.get(each) != changed:
                given[each] = changed
                fresh.append(record)
        yield Step(fresh, odd=page.odd)
        if reached:
            break
        number += 1
    counted, shown = (sum(getattr(page, count) for page in short.values()) for count in ("places", "shown"))
    gap = Gap(bookmark - 1, None, counted, shown) if short else None
    yield Step([], bookmark if reached else None, gap=gap)
