"""A page of a list, and what it says about the list.

A page must be consistent with itself and with the query:

- it has the number that was asked for, if it has one;
- it is full, unless neither the total nor the next link says that more follows;
- its records are in the order that was asked for, and within `from` and `to`.

The client retries any other page. If that does not help, the stream fails, since reading on would silently lose
records. There are two exceptions, each for up to a tenth of the records:

- a page that stays shorter than the total says is read as it is; the missing records are reported as a gap;
- a record without a usable id or time is set aside.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tap_aircall.errors import MisorderedError, ResponseError
from tap_aircall.reading.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Record: TypeAlias = dict[str, Any]
Query: TypeAlias = dict[str, str]
Reader: TypeAlias = "Callable[[Iterable[Query]], Iterator[Page]]"

PAGE_SIZE = 50
"""Maximum number of records on a page; Aircall silently clamps `per_page` to it."""
_COMPARABLE = (str, int, tuple)
MOST_MISSING = 10
"""A list that hides more than one record in this many (and more than one in all) is broken. A stale index often counts
a few records that are gone, but not a tenth."""
MOST_ODD = 10
"""A page of at least this many records, with more than one in this many unusable, is refused: otherwise a renamed field
would set everything aside."""
SHORT_ATTEMPTS = 3
"""Requests for a short page before it is read as it is; records that are merely late appear within seconds."""
TOLERANCE_SECONDS = 2
"""`started_at` may move by a second after a call was listed, so order and bounds are exact only to two seconds."""


class Gap(NamedTuple):
    """Records of a list that Aircall counts but does not show. Times are UNIX seconds."""

    after: int | None
    """Lower bound, exclusive; None if the list has no times, or for its beginning."""
    until: int | None
    """Upper bound, inclusive; None if the list has no times, or for its end."""
    counted: int
    """Records that Aircall counts: on the short pages, or in the whole list or window."""
    shown: int
    """Records that it shows of these."""

    @property
    def missing(self) -> int:
        """Records that it hides."""
        return self.counted - self.shown

    def describe(self, name: str) -> str:
        """Describe the gap in one line; `name` names the list."""
        bounds = [
            f"{word} {to_rfc3339(second)}"
            for word, second in (("after", self.after), ("until", self.until))
            if second is not None
        ]
        return (
            f"Aircall counts {self.counted:,} {name} {' '.join(bounds)}".rstrip()
            + f" and shows {self.shown:,}: {self.missing:,} cannot be read."
        )


class Page(NamedTuple):
    """One page of a list."""

    records: list[Record]
    """Its usable records; all of them before `checked`."""
    total: int | None
    """Records in the whole list; None if Aircall does not say."""
    linked: bool | None
    """Whether Aircall links a next page; None if it does not say (webhooks)."""
    size: int | None = None
    """Records per page, according to Aircall."""
    number: int | None = None
    """Its number, according to Aircall."""
    times: Sequence[int] = ()
    """The time of each record, in UNIX seconds; set by `checked` if the list is ordered by time."""
    odd: Sequence[Record] = ()
    """Records that `checked` set aside: without an id, or without a time in a list ordered by time."""
    hidden: int = 0
    """Records that it lacks, according to the total."""
    name: str = "records"
    """Aircall's name of the list, for errors."""
    order: str | None = None
    """Name of the time that orders the list, for errors; set by `checked`."""

    @classmethod
    def parse(cls, payload: Any, envelope: str) -> Page:
        """Parse a decoded response. Invalid values in `meta` are ignored.

        Raises:
            ResponseError: If there is no list of objects.
        """
        records = payload.get(envelope) if isinstance(payload, dict) else None
        if not isinstance(records, list) or not {*map(type, records)} <= {dict}:
            raise ResponseError(f"Aircall responded without the list '{envelope}'.")
        meta = payload.get("meta")
        if not isinstance(meta, dict):
            meta = {}
        return cls(
            records=records,
            total=_whole(meta.get("total"), 0),
            linked=meta["next_page_link"] is not None if "next_page_link" in meta else None,
            size=_whole(meta.get("per_page"), 1),
            number=_whole(meta.get("current_page"), 1),
            name=envelope,
        )

    def checked(self, query: Query, time: str | None = None, key: str = "id") -> Page:
        """Return the page with its times, if it is consistent with itself and the query.

        Args:
            query: The query.
            time: Name of the time that an ordered list is sorted by.
            key: Name of the field that identifies a record.

        Raises:
            ResponseError: If it is not.
            MisorderedError: If it is in another order, or has records outside the bounds.
            ShortPageError: If it only lacks records.
        """
        number = int(query["page"])
        if self.number not in {None, number}:
            raise ResponseError(f"Aircall sent page {self.number} of the {self.name} instead of page {number}.")
        hidden, is_refuted = self._lack(number)
        message = (
            f"Aircall's list of {self.name} contradicts itself: page {number} has {len(self.records)} records, but the "
            "list goes on."
        )
        if is_refuted:
            raise ResponseError(message)
        page = self.placed(key, time if "order" in query else None)
        if page.order is not None:
            _check_times(page, query)
        if hidden:
            raise ShortPageError(message, page._replace(hidden=hidden))
        return page

    def _lack(self, number: int) -> tuple[int, bool]:
        """Return how many records the page lacks according to the total, and whether the link implies even more."""
        count = len(self.records)
        if self.size is None and (count or number > 1):  # the page size is unknown
            return 0, self.linked is True and not count
        size = min(PAGE_SIZE, self.size or PAGE_SIZE)
        hidden = max(0, min(size, (self.total or 0) - (number - 1) * size) - count)
        return hidden, self.linked is True and count + hidden < size

    def placed(self, key: str, time: str | None = None) -> Page:
        """Set aside records without a usable key, or without a usable time if `time` is given.

        Raises:
            ResponseError: If they are too many.
        """
        records: list[Record] = []
        times: list[int] = []
        odd: list[Record] = []
        for record in self.records:
            second = None if time is None else second_of(record, time)
            if not isinstance(record.get(key), _COMPARABLE) or (time is not None and second is None):
                odd.append(record)
                continue
            records.append(record)
            if second is not None:
                times.append(second)
        if is_too_odd(len(odd), len(self.records)):
            raise _unusable(key if time is None else f"{key}' or '{time}", self.name)
        return self._replace(records=records, times=times, odd=odd, order=time)

    @property
    def shown(self) -> int:
        """Records on it."""
        return len(self.records) + len(self.odd)

    @property
    def places(self) -> int:
        """Positions of the list that it covers."""
        return self.shown + self.hidden

    def is_full(self) -> bool:
        """Return whether it covers as many positions as a page has; Aircall may use smaller pages."""
        return self.places >= min(PAGE_SIZE, self.size or PAGE_SIZE)

    def is_last(self, through: int) -> bool:
        """Return whether the list ends with this page.

        The total, the link or an empty page must say so, and none of them may contradict it. For a full page, both the
        total and the link must say so: one more request is cheaper than a page lost to a wrong total.

        Args:
            through: Positions of the list up to the end of this page.
        """
        complete = None if self.total is None else self.total <= through
        if self.is_full():
            return self.linked is False and complete is True
        says_so = self.linked is False or complete is True or not self.places
        return says_so and self.linked is not True and complete is not False


class ShortPageError(ResponseError):
    """A page lacks records that the total counts, and is valid otherwise."""

    attempts = SHORT_ATTEMPTS

    def __init__(self, message: str, page: Page) -> None:
        super().__init__(message)
        self.page = page


def is_too_odd(odd: int, count: int) -> bool:
    """Return whether too many records of a page are unusable for it to have the expected shape."""
    return count >= MOST_ODD and odd * MOST_ODD > count


def check_hidden(hidden: int, counted: int, name: str) -> None:
    """Refuse a list that hides too many records.

    Raises:
        ResponseError: If it hides more than one record, and more than one in `MOST_MISSING`.
    """
    if hidden > max(1, counted // MOST_MISSING):
        raise ResponseError(
            f"Aircall's list of {name} contradicts itself: of {counted:,} that it counts, it does not show {hidden:,} "
            "or more."
        )


def second_of(record: Record, key: str) -> int | None:
    """Return a time of a record in UNIX seconds; None if it is missing or invalid."""
    try:
        return to_seconds(record[key])
    except (KeyError, ValueError):
        return None


def _check_times(page: Page, query: Query) -> None:
    """Check that times are in the order and within the bounds of a query."""
    ascending = page.times if query["order"] == "asc" else page.times[::-1]
    latest = itertools.accumulate(ascending, max)
    if any(second < before - TOLERANCE_SECONDS for second, before in zip(ascending, latest, strict=True)):
        raise misordered(page)
    if ascending and (
        ascending[0] < int(query.get("from", ascending[0])) - TOLERANCE_SECONDS
        or ascending[-1] > int(query.get("to", ascending[-1])) + TOLERANCE_SECONDS
    ):
        raise MisorderedError(f"Aircall ignores 'from' and 'to' in its list of {page.name}.")


def _whole(value: Any, smallest: int) -> int | None:
    """Return an integer that is large enough as it is, and None for anything else."""
    return value if type(value) is int and value >= smallest else None


def stamp(record: Record, key: str, name: str) -> int:
    """Return a time of a record in UNIX seconds.

    Raises:
        ResponseError: If it is missing or invalid.
    """
    second = second_of(record, key)
    if second is None:
        raise _unusable(key, name)
    return second


def misordered(page: Page) -> MisorderedError:
    """Return the error for a list in another order than asked for."""
    return MisorderedError(f"Aircall does not list the {page.name} in the order of '{page.order}'.")


def _unusable(key: str, name: str) -> ResponseError:
    return ResponseError(f"Aircall sent one of the {name} without a usable '{key}'.")
