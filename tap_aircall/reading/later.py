"""What a stream could not have or use yet, and when it is to be tried again: the one list of it in the stream's state.

An item is something of a call, or a record, that is named by a number. It is tried again at the ages at which calls are
read again, counted from when it was set aside; after a week nothing more is expected of it. A gap is a part of a list
in which Aircall counts more than it shows.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.reading.pages import Gap
from tap_aircall.reading.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEY = "later"
"""Key of a stream's state."""
GAPS = "gaps"
"""Key of a stream's state for what its list hides."""
ASKED_AT = "asked_at"
WEEK_SECONDS = 7 * 86_400
"""Seconds after which an item is tried for the last time."""
YOUNG_SECONDS = 3 * 86_400
"""Seconds for which Aircall may still make what is not there yet."""
SOON_SECONDS = 20 * 60
"""Seconds after which an item is first tried again; Aircall recalculates a call for so long after its end."""
MOST = 10_000
"""How many items the list has at most for each reason, so that a state stays below some 100 kB."""
MOST_GAPS = 50
"""How many gaps a state has at most; the latest are kept."""


class Reason(StrEnum):
    """Why something was set aside."""

    EARLY = "too_early"
    """Its call has not settled yet, or its file is fetched by the next run."""
    MISSING = "not_ready"
    """Aircall has nothing, or nothing yet (404)."""
    REFUSED = "refused"
    """Aircall refuses this one (403)."""
    UNUSABLE = "unusable"
    """What came cannot be used."""


class Item(NamedTuple):
    """Why an item was set aside, and since when."""

    reason: Reason
    since: int
    """UNIX seconds."""

    @property
    def ends_at(self) -> int:
        """When it is tried for the last time (UNIX seconds)."""
        return self.since + (WEEK_SECONDS if self.reason in {Reason.REFUSED, Reason.UNUSABLE} else YOUNG_SECONDS)


class Later:
    """The items of one stream.

    Args:
        state: What `to_state` returned; empty for none.
        ages: Ages in seconds at which calls are read again.

    Raises:
        AttributeError, TypeError, ValueError: If the state is something else.
    """

    def __init__(self, state: Mapping[str, Any], ages: Iterable[int]) -> None:
        self._ages = sorted({SOON_SECONDS, *ages})
        self._asked_at = to_seconds(state[ASKED_AT]) if ASKED_AT in state else None
        self._items: dict[int, Item] = {}
        for name, groups in state.items():
            if name != ASKED_AT:
                reason = Reason(name)
                self._items |= {each: Item(reason, second) for each, second in parse_ids(groups).items()}

    def __contains__(self, identity: int) -> bool:
        """Say whether an item is on the list."""
        return identity in self._items

    def __len__(self) -> int:
        """Count the items."""
        return len(self._items)

    def room(self, reason: Reason) -> int:
        """Return how many more items may be set aside for a reason."""
        return MOST - sum(item.reason is reason for item in self._items.values())

    def add(self, identity: int, reason: Reason, now: int) -> bool:
        """Set an item aside, or note another reason for one that is.

        Args:
            identity: What names it.
            reason: Why.
            now: UNIX seconds; an item that was set aside before keeps its time.

        Returns:
            Whether it is new, or was set aside for another reason.
        """
        before = self._items.get(identity)
        self._items[identity] = Item(reason, before.since if before else now)
        return before is None or before.reason is not reason

    def settle(self, identity: int) -> None:
        """Take an item off the list, if it is there: it was had, or is given up."""
        self._items.pop(identity, None)

    def is_last_try(self, identity: int, now: int) -> bool:
        """Say whether a run at a UNIX second is the last that tries an item."""
        return identity in self._items and self._items[identity].ends_at <= now

    def due(self, now: int) -> list[int]:
        """Return the items that a run at a UNIX second is to try: those of which an age has come since the last run."""
        return [identity for identity, item in self._items.items() if self._is_due(item, now)]

    def _is_due(self, item: Item, now: int) -> bool:
        times = [*(min(item.since + age, item.ends_at) for age in self._ages), item.ends_at]
        return any(time <= now and (self._asked_at is None or self._asked_at < time) for time in times)

    def tried(self, now: int) -> dict[int, Reason]:
        """Note that all that was due at a UNIX second was tried; return, off the list, what nothing is expected of."""
        self._asked_at = now
        over = {identity: item.reason for identity, item in self._items.items() if item.ends_at <= now}
        for identity in over:
            self.settle(identity)
        return over

    def to_state(self) -> dict[str, Any]:
        """Return what the next run needs, empty if there is nothing: of each reason, the latest `MOST` items."""
        by_reason: dict[Reason, dict[int, int]] = defaultdict(dict)
        for identity, item in sorted(self._items.items(), key=lambda pair: pair[1].since, reverse=True):
            if len(by_reason[item.reason]) < MOST:
                by_reason[item.reason][identity] = item.since
        state: dict[str, Any] = {str(reason): ids_to_state(ids) for reason, ids in sorted(by_reason.items())}
        return state | ({ASKED_AT: to_rfc3339(self._asked_at)} if state and self._asked_at is not None else {})


def parse_gaps(state: Iterable[Mapping[str, Any]]) -> list[Gap]:
    """Read what `gaps_to_state` wrote.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: If it is something else.
    """
    gaps = []
    for each in state:
        after, until = (None if each[name] is None else to_seconds(each[name]) for name in ("after", "until"))
        if type(each["counted"]) is not int or type(each["shown"]) is not int:
            raise TypeError("a gap that cannot be counted")
        gaps.append(Gap(after, until, each["counted"], each["shown"]))
    return gaps


def gaps_to_state(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Write gaps in a form that people can read, the latest `MOST_GAPS` of them."""
    state = []
    for gap in list(gaps)[-MOST_GAPS:]:
        bounds = {"after": gap.after, "until": gap.until}
        known = {name: to_rfc3339(second) for name, second in bounds.items() if second is not None}
        state.append(gap._asdict() | known)
    return state


def is_known(gap: Gap, known: Iterable[Gap]) -> bool:
    """Say whether a gap is no larger than those that were seen before and may be the same."""
    return gap.missing <= sum(each.missing for each in known if _overlap(each, gap))


def merged_gaps(known: Iterable[Gap], seen: Sequence[Gap], forgotten_before: int | None) -> list[Gap]:
    """Return the gaps to remember.

    Args:
        known: Those of earlier runs.
        seen: Those of this run.
        forgotten_before: UNIX seconds; a list is read no more before this. None if it is always read whole, so that
            only what this run saw counts.
    """
    if forgotten_before is None:
        return list(seen)
    kept = [
        gap
        for gap in known
        if (gap.until is None or gap.until > forgotten_before) and not any(_overlap(gap, each) for each in seen)
    ]
    return sorted([*kept, *seen], key=lambda gap: (gap.until is None, gap.until))


def _overlap(one: Gap, other: Gap) -> bool:
    """Say whether two gaps may have the same records in them."""
    return all(
        first.after is None or second.until is None or first.after < second.until
        for first, second in ((one, other), (other, one))
    )


def parse_ids(state: Mapping[str, list[int]]) -> dict[int, int]:
    """Read what `ids_to_state` wrote.

    Raises:
        AttributeError, TypeError, ValueError: If it is something else.
    """
    ids: dict[int, int] = {}
    for time, differences in state.items():
        second = to_seconds(time)
        if not all(type(difference) is int for difference in differences):
            raise TypeError("an id that is no number")
        ids.update(dict.fromkeys(itertools.accumulate(differences), second))
    return ids


def ids_to_state(ids: Mapping[int, int]) -> dict[str, list[int]]:
    """Write ids, each with a UNIX second, in a short form that people can read.

    Returns:
        Times with their ids: the first, then the difference of each to the one before.
    """
    by_second: dict[int, list[int]] = defaultdict(list)
    for second, identity in sorted((second, identity) for identity, second in ids.items()):
        by_second[second].append(identity)
    return {
        to_rfc3339(second): [group[0], *(later - earlier for earlier, later in itertools.pairwise(group))]
        for second, group in by_second.items()
    }
