"""Ids sorted by time, to find a range without a scan."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort


class TimeIndex:
    """Ids ordered by a time in UNIX seconds, then by id."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []

    def add(self, time: int, identity: int) -> None:
        """Add an id."""
        if not self._entries or (time, identity) > self._entries[-1]:
            self._entries.append((time, identity))
        else:
            insort(self._entries, (time, identity))

    def remove(self, time: int, identity: int) -> None:
        """Remove an id.

        Raises:
            KeyError: The id is not there at that time.
        """
        position = bisect_left(self._entries, (time, identity))
        if self._entries[position : position + 1] != [(time, identity)]:
            raise KeyError(identity)
        del self._entries[position]

    def select(self, first: float, last: float, start: int, count: int, *, descending: bool) -> tuple[list[int], int]:
        """Return a slice of the ids with times from `first` to `last`, both inclusive, and the total of these ids."""
        low = bisect_left(self._entries, (first, float("-inf")))
        high = bisect_right(self._entries, (last, float("inf")))
        total = max(0, high - low)
        if descending:
            stop = max(low, high - start)
            chosen = self._entries[max(low, stop - count) : stop][::-1]
        else:
            chosen = self._entries[min(low + start, high) : min(low + start + count, high)]
        return [identity for _, identity in chosen], total
