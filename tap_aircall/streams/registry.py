"""All streams of the tap."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tap_aircall.errors import InputError, hint, one_line
from tap_aircall.streams import directory
from tap_aircall.streams.analytics.stream import AnalyticsReports
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.calls.counts import CallCounts
from tap_aircall.streams.calls.stream import Calls
from tap_aircall.streams.contacts import Contacts
from tap_aircall.streams.custom import campaigns
from tap_aircall.streams.custom.stream import stream_of
from tap_aircall.streams.inbox import streams as inbox
from tap_aircall.streams.intelligence import streams as intelligence
from tap_aircall.streams.kinds import ReferenceStream
from tap_aircall.streams.recordings.stream import CallRecordings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from types import ModuleType

    from singer_sdk import Tap

    from tap_aircall.streams.custom.definitions import Definition
    from tap_aircall.streams.run import Run


def _defined_in(module: ModuleType) -> Iterator[type[AircallStream]]:
    """Yield the streams that a module defines, in its order; classes without a `name` are base classes."""
    for each in vars(module).values():
        if isinstance(each, type) and each.__module__ == module.__name__ and "name" in vars(each):
            assert issubclass(each, AircallStream)  # noqa: S101 - nothing else there has a name
            yield each


_CLASSES: list[type[AircallStream]] = [
    Calls,
    Contacts,
    *_defined_in(directory),
    *_defined_in(intelligence),
    AnalyticsReports,
    *campaigns.STREAMS,
    CallRecordings,
    CallCounts,
    *_defined_in(inbox),
]
STREAMS: dict[str, type[AircallStream]] = {vars(stream)["name"]: stream for stream in _CLASSES}
"""Built-in stream classes by stream name, in the order of the documentation."""
TAKEN = STREAMS.keys() - {each.name for each in campaigns.DEFINITIONS}
"""Names that custom streams cannot have."""
PARENTS = [name for name, each in STREAMS.items() if issubclass(each, ReferenceStream) and each.primary_keys == ("id",)]
"""Built-in streams that custom streams may have as parents."""
SETTING = "streams"


def choose(patterns: Sequence[str], names: Collection[str]) -> set[str]:
    """Return the streams that the setting `streams` selects.

    Args:
        patterns: The setting: names of streams, and patterns such as `call_*`.
        names: All streams.

    Raises:
        InputError: If a pattern matches no stream.
    """
    chosen: set[str] = set()
    for number, pattern in enumerate(patterns):
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            advice = hint(pattern.lower(), names, f"there are {', '.join(names)}.")
            raise InputError(f"Setting {SETTING}.{number}: '{one_line(pattern)}' is unknown; {advice}")
        chosen |= found
    return chosen


def all_streams(tap: Tap, run: Run, definitions: Iterable[Definition]) -> list[AircallStream]:
    """Return every stream of a tap; a custom stream may replace a built-in one of the same name."""
    custom = {definition.name: stream_of(definition) for definition in definitions}
    replaced = {name.lower() for name in custom}
    own = {name: stream for name, stream in STREAMS.items() if name not in replaced}
    return [stream(tap, run) for stream in (own | custom).values()]
