"""Items that a stream set aside, and gaps in its list, as its state keeps them.

An item is a record, or a call's result or file, named by an id. It is retried at the ages in `reread_after_hours`,
counted from when it was set aside, for a week at most. A gap is a part of a list of which Aircall counts more records
than it shows.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.reading.pages import Gap
from tap_aircall.reading.states import ASKED_AT
from tap_aircall.reading.times import DAY_SECONDS, to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEY = "later"
"""Key of the items in a stream's state."""
GAPS = "gaps"
"""Key of the gaps in a stream's state."""
WEEK_SECONDS = 7 * DAY_SECONDS
"""After this, an item is retried for the last time."""
YOUNG_SECONDS = 3 * DAY_SECONDS
"""For this long, Aircall may still produce a missing result."""
SOON_SECONDS = 20 * 60
"""An item is first retried after this; Aircall recalculates a call until then."""
MOST = 10_000
"""Limit of items for each reason; keeps a state below some 100 kB."""
MOST_GAPS = 50
"""Limit of gaps in a state; the latest are kept."""


class Reason(StrEnum):
    """Why something was set aside."""

    EARLY = "too_early"
    """Its call has not settled yet, or the next run fetches its file."""
    MISSING = "not_ready"
    """Aircall has none, or none yet (404)."""
    REFUSED = "refused"
    """Aircall refuses this one (403)."""
    UNUSABLE = "unusable"
    """The response cannot be used."""


class Item(NamedTuple):
    """Why and when an item was set aside."""

    reason: Reason
    since: int
    """UNIX seconds."""

    @property
    def ends_at(self) -> int:
        """When it is retried for the last time (UNIX seconds)."""
        return self.since + (WEEK_SECONDS if self.reason in {Reason.REFUSED, Reason.UNUSABLE} else YOUNG_SECONDS)


class Later:
    """The items of one stream.

    Args:
        state: The result of `to_state`, or empty.
        ages: Ages in seconds at which calls are read again.

    Raises:
        AttributeError, TypeError, ValueError: If the state is anything else.
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
        """Return whether an item is set aside."""
        return identity in self._items

    def __len__(self) -> int:
        """Count the items."""
        return len(self._items)

    def room(self, reason: Reason) -> int:
        """Return how many more items may be set aside for a reason; negative if there are too many."""
        return MOST - sum(item.reason is reason for item in self._items.values())

    def add(self, identity: int, reason: Reason, now: int) -> bool:
        """Set an item aside, or change its reason.

        Args:
            identity: Its id.
            reason: Why.
            now: UNIX seconds; an item that is already set aside keeps its time.

        Returns:
            Whether it is new or its reason changed.
        """
        before = self._items.get(identity)
        self._items[identity] = Item(reason, before.since if before else now)
        return before is None or before.reason is not reason

    def settle(self, identity: int) -> None:
        """Drop an item, if it is there: it was read, or is given up."""
        self._items.pop(identity, None)

    def is_last_try(self, identity: int, now: int) -> bool:
        """Return whether a run at a UNIX second is the last to retry an item."""
        return identity in self._items and self._items[identity].ends_at <= now

    def due(self, now: int) -> list[int]:
        """Return the items to retry at a UNIX second: those that reached an age since the last run."""
        return [identity for identity, item in self._items.items() if self._is_due(item, now)]

    def _is_due(self, item: Item, now: int) -> bool:
        times = [*(min(item.since + age, item.ends_at) for age in self._ages), item.ends_at]
        return any(time <= now and (self._asked_at is None or self._asked_at < time) for time in times)

    def tried(self, now: int) -> dict[int, Reason]:
        """Record that all items due at a UNIX second were retried; drop and return those that have expired."""
        self._asked_at = now
        over = {identity: item.reason for identity, item in self._items.items() if item.ends_at <= now}
        for identity in over:
            self.settle(identity)
        return over

    def to_state(self) -> dict[str, Any]:
        """Return the state for the next run: the latest `MOST` items for each reason; empty if there are none."""
        by_reason: dict[Reason, dict[int, int]] = defaultdict(dict)
        for identity, item in sorted(self._items.items(), key=lambda pair: pair[1].since, reverse=True):
            if len(by_reason[item.reason]) < MOST:
                by_reason[item.reason][identity] = item.since
        state: dict[str, Any] = {str(reason): ids_to_state(ids) for reason, ids in sorted(by_reason.items())}
        return state | ({ASKED_AT: to_rfc3339(self._asked_at)} if state and self._asked_at is not None else {})


def parse_gaps(state: Iterable[Mapping[str, Any]]) -> list[Gap]:
    """Parse the result of `gaps_to_state`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: If it is anything else.
    """
    gaps = []
    for each in state:
        after, until = (None if each[name] is None else to_seconds(each[name]) for name in ("after", "until"))
        if type(each["counted"]) is not int or type(each["shown"]) is not int:
            raise TypeError("not a gap")
        gaps.append(Gap(after, until, each["counted"], each["shown"]))
    return gaps


def gaps_to_state(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Return the latest `MOST_GAPS` gaps for a state, readable by people."""
    state = []
    for gap in list(gaps)[-MOST_GAPS:]:
        bounds = {"after": gap.after, "until": gap.until}
        known = {name: to_rfc3339(second) for name, second in bounds.items() if second is not None}
        state.append(gap._asdict() | known)
    return state


def is_known(gap: Gap, known: Iterable[Gap]) -> bool:
    """Return whether a gap is no larger than the known gaps that it overlaps."""
    return gap.missing <= sum(each.missing for each in known if _overlap(each, gap))


def merged_gaps(known: Iterable[Gap], seen: Sequence[Gap], forgotten_before: int | None) -> list[Gap]:
    """Return the gaps to keep in the state.

    Args:
        known: Gaps of earlier runs.
        seen: Gaps of this run.
        forgotten_before: UNIX seconds; later runs do not read the list before this. None for a list that each run reads
            whole: only gaps of this run count.
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
    """Return whether two gaps may hide the same records."""
    return all(
        first.after is None or second.until is None or first.after < second.until
        for first, second in ((one, other), (other, one))
    )


def parse_ids(state: Mapping[str, list[int]]) -> dict[int, int]:
    """Parse the result of `ids_to_state`.

    Raises:
        AttributeError, TypeError, ValueError: If it is anything else.
    """
    ids: dict[int, int] = {}
    for time, differences in state.items():
        second = to_seconds(time)
        if not all(type(difference) is int for difference in differences):
            raise TypeError("not an id")
        ids.update(dict.fromkeys(itertools.accumulate(differences), second))
    return ids


def ids_to_state(ids: Mapping[int, int]) -> dict[str, list[int]]:
    """Return ids and their UNIX seconds for a state, delta-encoded but readable.

    Returns:
        By time, the ids in ascending order: the first, then differences.
    """
    by_second: dict[int, list[int]] = defaultdict(list)
    for second, identity in sorted((second, identity) for identity, second in ids.items()):
        by_second[second].append(identity)
    return {
        to_rfc3339(second): [group[0], *(later - earlier for earlier, later in itertools.pairwise(group))]
        for second, group in by_second.items()
    }
