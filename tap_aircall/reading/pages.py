"""One page of a list, and what Aircall says about the list on it.

A page is believed only as far as it agrees with itself and with what was asked for. What it must satisfy:

- it is the page that was asked for, where Aircall says which one it is;
- it is full, unless neither the total nor the next link says that more follows;
- its records are in the order that was asked for, and within `from` and `to`.

The client treats any other page as a fault on the way, and asks for it again. If that does not help, the run ends,
since reading on would lose records in silence. There are two exceptions, both up to a tenth of what is read:

- a page that stays shorter than the total says is read as it is; what it lacks is a gap, which has a name;
- a record that has no usable id or time is set aside.
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
"""The most that Aircall puts on a page; more is silently clamped."""
_COMPARABLE = (str, int, tuple)
MOST_MISSING = 10
"""A list that hides more than one record in so many (but for a single one) is broken: reading the rest would look like
success. An index that counts a few records which it does not show is common; one that hides a tenth is not."""
MOST_ODD = 10
"""A page of so many records or more, of which more than one in so many cannot be placed, has another shape than is
known: a renamed field must not set everything aside."""
SHORT_ATTEMPTS = 3
"""How often to ask for a page before it is believed that it is short: what is only late shows within seconds."""
TOLERANCE_SECONDS = 2
"""`started_at` may move by a second after a call was listed, so that order and bounds are exact only to two seconds."""


class Gap(NamedTuple):
    """Records that Aircall counts in a list and does not show. Times are UNIX seconds."""

    after: int | None
    """They are later than this; None if the list has no times, or for its beginning."""
    until: int | None
    """They are not later than this; None if the list has no times, or for its end."""
    counted: int
    """How many records Aircall counts around them: on the short pages, or in the whole list or window."""
    shown: int
    """How many of these it shows."""

    @property
    def missing(self) -> int:
        """How many it hides."""
        return self.counted - self.shown

    def describe(self, name: str) -> str:
        """Return a line about it; `name` is what to call the list."""
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
    """Those on it that can be placed; of an unchecked page, all."""
    total: int | None
    """How many records the whole list has, as far as Aircall says."""
    linked: bool | None
    """Whether Aircall names a next page; None where it does not say (webhooks)."""
    size: int | None = None
    """How many records Aircall says it puts on a page."""
    number: int | None = None
    """Which page Aircall says this is."""
    times: Sequence[int] = ()
    """The time of each record, in UNIX seconds, if `checked` has seen that they are in the order of one."""
    odd: Sequence[Record] = ()
    """Those that `checked` has set aside: they lack an id, or a time in a list that is ordered by one."""
    hidden: int = 0
    """How many more records belong on it, by the total of its list."""

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
        if not isinstance(records, list) or not {*map(type, records)} <= {dict}:
            raise ResponseError(f"Aircall answered without the list '{envelope}'.")
        meta = payload.get("meta")
        if not isinstance(meta, dict):
            meta = {}
        return cls(
            records=records,
            total=_whole(meta.get("total"), 0),
            linked=meta["next_page_link"] is not None if "next_page_link" in meta else None,
            size=_whole(meta.get("per_page"), 1),
            number=_whole(meta.get("current_page"), 1),
        )

    def checked(self, query: Query, name: str, time: str | None = None, key: str = "id") -> Page:
        """Return the page, with its times, if it agrees with itself and with what was asked for.

        Args:
            query: What was asked for.
            name: What to call the list in an error.
            time: The time that an ordered list is ordered by (anything that `to_seconds` takes).
            key: The field that identifies a record.

        Raises:
            ResponseError: If it does not.
            MisorderedError: If it is in another order, or holds records that were not asked for.
            ShortPageError: If nothing is wrong but that it lacks records.
        """
        number = int(query["page"])
        if self.number not in {None, number}:
            raise ResponseError(f"Aircall sent page {self.number} of the {name} where page {number} was asked for.")
        hidden, is_refuted = self._lack(number)
        message = (
            f"Aircall's list of {name} contradicts itself: page {number} has {len(self.records)} records, but more are "
            "said to follow it."
        )
        if is_refuted:
            raise ResponseError(message)
        time = time if "order" in query else None
        page = self.placed(key, time, name)
        if time is not None:
            _check_times(page.times, query, name, time)
        if hidden:
            raise ShortPageError(message, page._replace(hidden=hidden))
        return page

    def _lack(self, number: int) -> tuple[int, bool]:
        """Say how many records the total counts and the page lacks, and whether the link speaks of still more."""
        count = len(self.records)
        if self.size is None and (count or number > 1):  # how many belong on a page is not known
            return 0, self.linked is True and not count
        size = min(PAGE_SIZE, self.size or PAGE_SIZE)
        hidden = max(0, min(size, (self.total or 0) - (number - 1) * size) - count)
        return hidden, self.linked is True and count + hidden < size

    def placed(self, key: str, time: str | None, name: str) -> Page:
        """Set aside what has no usable key, or no usable time where there has to be one.

        Raises:
            ResponseError: If that is too much of the page.
        """
        records: list[Record] = []
        times: list[int] = []
        odd: list[Record] = []
        for record in self.records:
            second = None if time is None else _second(record, time)
            if not isinstance(record.get(key), _COMPARABLE) or (time is not None and second is None):
                odd.append(record)
                continue
            records.append(record)
            if second is not None:
                times.append(second)
        if is_too_odd(len(odd), len(self.records)):
            raise _unusable(key if time is None else f"{key}' or '{time}", name)
        return self._replace(records=records, times=times, odd=odd)

    @property
    def shown(self) -> int:
        """How many records are on it."""
        return len(self.records) + len(self.odd)

    @property
    def places(self) -> int:
        """How many places of the list it covers."""
        return self.shown + self.hidden

    def is_full(self) -> bool:
        """Say whether it covers all places that a page has; Aircall may give it fewer than were asked for."""
        return self.places >= min(PAGE_SIZE, self.size or PAGE_SIZE)

    def is_last(self, through: int) -> bool:
        """Say whether the list ends with this page.

        Something has to say so, and nothing may speak against it: the total, the link, an empty page. For a full page
        both the total and the link have to, since one more request is cheaper than a page lost to a wrong total.

        Args:
            through: How many places the list has up to the end of this page.
        """
        complete = None if self.total is None else self.total <= through
        if self.is_full():
            return self.linked is False and complete is True
        says_so = self.linked is False or complete is True or not self.places
        return says_so and self.linked is not True and complete is not False


class ShortPageError(ResponseError):
    """A page lacks records that the total of its list counts, and is as it should be otherwise.

    Args:
        message: The line.
        page: The page, for a reader that goes on with it.
    """

    attempts = SHORT_ATTEMPTS

    def __init__(self, message: str, page: Page) -> None:
        super().__init__(message)
        self.page = page


def is_too_odd(odd: int, count: int) -> bool:
    """Say whether so many of the records of a page cannot be placed that it has another shape than is known."""
    return count >= MOST_ODD and odd * MOST_ODD > count


def check_hidden(hidden: int, counted: int, name: str) -> None:
    """Refuse a list that hides too much to be read without it.

    Args:
        hidden: How many records it has hidden so far.
        counted: How many it counts.
        name: What to call the list in an error.

    Raises:
        ResponseError: If that is more than one, and more than one in `MOST_MISSING`.
    """
    if hidden > max(1, counted // MOST_MISSING):
        raise ResponseError(
            f"Aircall's list of {name} contradicts itself: of {counted:,} that it counts, it does not show {hidden:,} "
            "or more."
        )


def _second(record: Record, key: str) -> int | None:
    """Return a time of a record in UNIX seconds; None if there is no usable one."""
    try:
        return to_seconds(record[key])
    except (KeyError, ValueError):
        return None


def _check_times(times: Sequence[int], query: Query, name: str, time: str) -> None:
    """Refuse times that are not in the order, or not within the bounds, of a query."""
    ascending = times if query["order"] == "asc" else times[::-1]
    latest = itertools.accumulate(ascending, max)
    # Most pages are in order to the second, which is quickly seen.
    if ascending != sorted(ascending) and any(
        second < before - TOLERANCE_SECONDS for second, before in zip(ascending, latest, strict=True)
    ):
        raise misordered(name, time)
    if ascending and (
        ascending[0] < int(query.get("from", ascending[0])) - TOLERANCE_SECONDS
        or ascending[-1] > int(query.get("to", ascending[-1])) + TOLERANCE_SECONDS
    ):
        raise MisorderedError(f"Aircall ignores 'from' and 'to' in its list of {name}: it lists others than asked for.")


def _whole(value: Any, smallest: int) -> int | None:
    """Return a whole number as it is, and None in place of anything else."""
    return value if type(value) is int and value >= smallest else None


def stamp(record: Record, key: str, name: str) -> int:
    """Return a time of a record in UNIX seconds.

    Args:
        record: The record.
        key: Name of the time.
        name: What to call the list in an error.

    Raises:
        ResponseError: If there is no such time.
    """
    second = _second(record, key)
    if second is None:
        raise _unusable(key, name)
    return second


def misordered(name: str, time: str) -> MisorderedError:
    """Return the error for a list that is not in the order that was asked for."""
    return MisorderedError(f"Aircall does not list the {name} in the order of '{time}', as it was asked to.")


def _unusable(key: str, name: str) -> ResponseError:
    return ResponseError(f"Aircall sent one of the {name} without a usable '{key}'.")
