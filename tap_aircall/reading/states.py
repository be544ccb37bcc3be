"""Validates the states of streams.

A stream that ignored what it does not understand in its state might read everything again, or nothing for a long time.
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
"""Keys that the SDK writes into a stream's state; the tap resumes from the bookmark of another tap."""
ASKED_AT = "asked_at"
"""State key: the time of the last reading, or of the last request for what Aircall refuses."""
CLOCK_TOLERANCE_SECONDS = 600
"""Seconds that the clock may be ahead when a state is written; a later state is refused."""
PAGES_PER_STATE = 10
"""Pages between two states, usually 500 records."""
NOT_OURS = "not as tap-aircall writes it; restore it, or remove it from the state."
"""End of the error for a state that cannot be parsed."""


def bookmark(replication_key: str | None, second: int, before: int | None) -> dict[str, str | None]:
    """Return a Singer bookmark that never goes backwards.

    Args:
        replication_key: The replication key.
        second: New position (UNIX seconds).
        before: Previous position; None for none.
    """
    latest = second if before is None else max(second, before)
    return {"replication_key": replication_key, "replication_key_value": to_rfc3339(latest)}


def is_due(last: int | None, every: float, now: int) -> bool:
    """Return whether a periodic task is due.

    Args:
        last: When it was last done (UNIX seconds); None for never. A time in the future, from a clock that was ahead,
            counts as never.
        every: Seconds between two times; slightly less is enough, since runs do not start on the second.
        now: UNIX seconds.
    """
    return last is None or not last <= now < last + every - CLOCK_TOLERANCE_SECONDS


def bookmarks_of(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the states of all streams, by name.

    Raises:
        InputError: If it is not a Singer state; for example, the message around one.
    """
    bookmarks = state.get("bookmarks") if state else {}
    if not isinstance(bookmarks, dict) or not all(isinstance(mark, dict) for mark in bookmarks.values()):
        for wrapping in {"singer_state", "value"} & state.keys():  # `meltano state get`, a STATE message
            raise InputError(f"State: not a Singer state; pass the value of its '{wrapping}'.")
        raise InputError("State: not a Singer state; it must be an object with 'bookmarks'.")
    return bookmarks


def check_keys(stream: str, mark: Mapping[str, Any], keys: Collection[str]) -> None:
    """Refuse unknown keys in a stream's state.

    Args:
        stream: Name of the stream.
        mark: Its state.
        keys: Its own keys, in addition to the SDK's.

    Raises:
        InputError: If there are others.
    """
    if unknown := sorted(mark.keys() - SINGER_KEYS - set(keys)):
        raise InputError(
            f"State of stream '{stream}': has '{one_line(unknown[0])}', which this version of tap-aircall does not "
            "know; use the version that wrote it, restore an earlier state, or remove it."
        )


def check_times(stream: str, mark: Mapping[str, Any], now: float) -> None:
    """Refuse a state from the future.

    Args:
        stream: Name of the stream.
        mark: Its state.
        now: UNIX seconds, by whichever clock is later.

    Raises:
        InputError: If it holds a time in the future.
    """
    latest = max(_times(mark), default=0)
    if latest > now + CLOCK_TOLERANCE_SECONDS:
        raise InputError(
            f"State of stream '{stream}': resumes at {to_rfc3339(latest)}, which is in the future; correct this "
            "machine's clock, restore an earlier state, or remove it."
        )


def _times(value: Any) -> Iterator[int]:
    """Find all times in a state, in keys and values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _times(key)
            yield from _times(inner)
    elif isinstance(value, str) and "-" in value:
        try:
            yield to_seconds(value)
        except ValueError:
            return
