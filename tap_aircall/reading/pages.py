"""One page of a list, and what Aircall says about the list on it.

A page is believed only as far as it agrees with itself and with what was asked for. What it must satisfy:

- it is the page that was asked for, where Aircall says which one it is;
- it is full, unless neither the total nor the next link says that more follows;
- its records are in the order that was asked for, and within `from` and `to`.

The client treats any other page as a fault on the way, and asks for it again. If that does not help, the run ends,
since reading on would lose records in silence.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tap_aircall.errors import MisorderedError, ResponseError
from tap_aircall.reading.times import to_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Record: TypeAlias = dict[str, Any]
Query: TypeAlias = dict[str, str]
Reader: TypeAlias = "Callable[[Iterable[Query]], Iterator[Page]]"

PAGE_SIZE = 50
"""The most that Aircall puts on a page; more is silently clamped."""
_COMPARABLE = (str, int, tuple)
TOLERANCE_SECONDS = 2
"""`started_at` may move by a second after a call was listed, so that order and bounds are exact only to two seconds."""


class Page(NamedTuple):
    """One page of a list."""

    records: list[Record]
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
            message = f"Aircall answered without the list '{envelope}'."
            raise ResponseError(message)
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

    def checked(self, query: Query, name: str, time: str | None = None) -> Page:
        """Return the page, with its times, if it agrees with itself and with what was asked for.

        Args:
            query: What was asked for.
            name: What to call the list in an error.
            time: The time that an ordered list is ordered by (anything that `to_seconds` takes).

        Raises:
            ResponseError: If it does not.
            MisorderedError: If it is in another order, or holds records that were not asked for.
        """
        number = int(query["page"])
        if self.number not in {None, number}:
            message = f"Aircall sent page {self.number} of the {name} where page {number} was asked for."
            raise ResponseError(message)
        self._check_count(number, int(query["per_page"]), name)
        if time is None or "order" not in query:
            return self
        times = [stamp(record, time, name) for record in self.records]
        _check_times(times, query, name, time)
        return self._replace(times=times)

    def _check_count(self, number: int, asked: int, name: str) -> None:
        count = len(self.records)
        if self.size is None and (count or number > 1):
            more = self.linked and not count  # how many belong on a page is not known
        else:
            size = min(asked, self.size or asked)
            more = count < size and (self.linked or (self.total or 0) > (number - 1) * size + count)
        if more:
            message = (
                f"Aircall's list of {name} contradicts itself: page {number} has {count} records, but more are said to "
                "follow it."
            )
            raise ResponseError(message)

    def is_full(self, asked: int = PAGE_SIZE) -> bool:
        """Say whether it has all the records that belong on a page; Aircall may put fewer on one than was asked for."""
        return len(self.records) >= min(asked, self.size or asked)

    def is_last(self, through: int, asked: int = PAGE_SIZE) -> bool:
        """Say whether the list ends with this page.

        Something has to say so, and nothing may speak against it: the total, the link, an empty page. For a full page
        both the total and the link have to, since one more request is cheaper than a page lost to a wrong total.

        Args:
            through: How many records the list has up to the end of this page.
            asked: How many records were asked for.
        """
        complete = None if self.total is None else self.total <= through
        if self.is_full(asked):
            return self.linked is False and complete is True
        says_so = self.linked is False or complete is True or not self.records
        return says_so and self.linked is not True and complete is not False


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
        message = f"Aircall ignores 'from' and 'to' in its list of {name}: it lists others than asked for."
        raise MisorderedError(message)


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
    try:
        return to_seconds(record[key])
    except (KeyError, ValueError) as error:
        raise _unusable(key, name) from error


def identity(record: Record, key: str, name: str) -> Any:
    """Return what identifies a record in its list.

    Args:
        record: The record.
        key: The field to tell by.
        name: What to call the list in an error.

    Raises:
        ResponseError: If the field is absent, or cannot identify anything.
    """
    value = record.get(key)
    if not isinstance(value, _COMPARABLE):
        raise _unusable(key, name)
    return value


def misordered(name: str, time: str) -> MisorderedError:
    """Return the error for a list that is not in the order that was asked for."""
    return MisorderedError(f"Aircall does not list the {name} in the order of '{time}', as it was asked to.")


def _unusable(key: str, name: str) -> ResponseError:
    return ResponseError(f"Aircall sent one of the {name} without a usable '{key}'.")
