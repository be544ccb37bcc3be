"""What every stream's state must be like.

A stream would ignore what it does not understand of its state, and then read everything again, or nothing for a long
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_aircall.errors import InputError, one_line
from tap_aircall.reading.times import to_rfc3339, to_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

SINGER_KEYS = frozenset(
    {
        "partitions",
        "progress_markers",
        "replication_key",
        "replication_key_signpost",
        "replication_key_value",
        "starting_replication_value",
    }
)
"""Keys that other taps built with the SDK write into a stream's state; this one goes on from their bookmark."""
TOLERANCE_SECONDS = 600
"""How far ahead a clock may be when a state is written; more is refused."""
PAGES_PER_STATE = 10
"""A state is written after this many pages, usually 500 records."""
NOT_OURS = "not as tap-aircall writes it; restore it, or start without."
"""What is wrong with a state that cannot be read."""


def bookmark(replication_key: str | None, second: int, before: int | None) -> dict[str, str | None]:
    """Build the bookmark that every Singer tap has in its state; it never goes backwards.

    Args:
        replication_key: The field that it is of.
        second: How far the stream is (UNIX).
        before: Where the bookmark was; None for nowhere.
    """
    latest = second if before is None else max(second, before)
    return {"replication_key": replication_key, "replication_key_value": to_rfc3339(latest)}


def is_due(last: int | None, every: float, now: int) -> bool:
    """Say whether something that is done every so often is to be done by this run.

    Args:
        last: When it was done last (UNIX seconds); None for never. A time to come was written by a clock that was
            ahead, and tells nothing.
        every: Seconds between two times. A little less is enough, for runs that begin unevenly.
        now: UNIX seconds.
    """
    return last is None or not last <= now < last + every - TOLERANCE_SECONDS


def bookmarks_of(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the states of all streams in a state.

    Raises:
        InputError: If it is not a Singer state; for example the whole message in which one came.
    """
    bookmarks = state.get("bookmarks") if state else {}
    if not isinstance(bookmarks, dict) or not all(isinstance(mark, dict) for mark in bookmarks.values()):
        for wrapping in {"singer_state", "value"} & state.keys():  # of `meltano state get`, of a STATE message
            raise InputError(f"State: not a Singer state; give what is in its '{wrapping}'.")
        raise InputError("State: not a Singer state; it must be an object with 'bookmarks'.")
    return bookmarks


def check_keys(stream: str, mark: Mapping[str, Any], keys: Collection[str]) -> None:
    """Refuse keys that no stream reads.

    Args:
        stream: Name of the stream.
        mark: Its state.
        keys: Its own keys, besides Singer's.

    Raises:
        InputError: If there is anything else.
    """
    if unknown := sorted(mark.keys() - SINGER_KEYS - set(keys)):
        raise InputError(
            f"State of stream '{stream}': has '{one_line(unknown[0])}', which this version of tap-aircall does not "
            "know; use the version that wrote it, restore an earlier state, or start without."
        )


def check_times(stream: str, mark: Mapping[str, Any], now: float) -> None:
    """Refuse a state that lies in the future by every clock.

    Args:
        stream: Name of the stream.
        mark: Its state.
        now: UNIX seconds; the later one if Aircall's clock and this machine's differ.

    Raises:
        InputError: If it holds a time to come.
    """
    latest = max(_times(mark), default=0)
    if latest > now + TOLERANCE_SECONDS:
        raise InputError(
            f"State of stream '{stream}': goes on from {to_rfc3339(latest)}, which is still to come; set this "
            "machine's clock right, restore an earlier state, or start without."
        )


def _times(value: Any) -> Iterator[int]:
    """Find all times in a state, which the tap writes as text; among keys, too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _times(key)
            yield from _times(inner)
    elif isinstance(value, str) and "-" in value:
        try:
            yield to_seconds(value)
        except ValueError:
            return
