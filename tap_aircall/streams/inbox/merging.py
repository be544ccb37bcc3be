"""Merges all events about an object into one record, in whatever order they arrived.

Deliveries come in any order, and repeatedly (facts: Deliveries). So events are sorted by when they happened, and each
updates the record: fields that it omits stay, and null empties a field. An old event that comes late never overrides a
newer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tap_aircall.reading.times import event_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Record

Moment: TypeAlias = tuple[int, int, int, int, str]
"""Sort key of an event; no two events share one."""

STAGES = (
    ("sent", "received", "created", "started"),
    ("escalated",),
    ("ended",),
    ("status_updated", "updated", "result_updated", "summary"),
)
"""Order of an object's events with equal times."""
STATUSES = ("pending", "queued", "sent", "received", "delivered", "read")
"""Order of a message's statuses with equal times; a failure comes last."""
DEPTH = 3
"""Levels of nested objects to merge; deeper objects are replaced."""


def moment_of(event: Event) -> Moment:
    """Return the sort key of an event among those of its object.

    The envelope's time is in whole seconds. Within one, the object's `updated_at` decides, then the stage; the event id
    makes the order unique.
    """
    updated_at = event_milliseconds(event.data.get("updated_at")) or 0
    name, status = event.event.partition(".")[2], str(event.data.get("status"))
    stage = next((place for place, names in enumerate(STAGES) if name in names), 0)
    progress = STATUSES.index(status) if status in STATUSES else len(STATUSES)
    return event.happened_at, updated_at, stage, progress, event.event_id


def merged(events: Iterable[Event]) -> Record:
    """Return the merged record of all events about one object, which may be unordered and repeated."""
    record: Record = {}
    for event in sorted(events, key=moment_of):
        record = _laid_over(record, event.data, DEPTH)
    return record


def _laid_over(known: Record, said: Record, depth: int) -> Record:
    """Return a record updated by another, merging nested objects down to `depth` levels."""
    result = dict(known)
    for name, value in said.items():
        before = result.get(name)
        if value == {}:
            continue  # no information (facts: Payloads of deliveries)
        if depth and isinstance(value, dict) and isinstance(before, dict) and _are_one(before, value):
            result[name] = _laid_over(before, value, depth - 1)
        else:
            result[name] = value
    return result


def _are_one(known: Record, said: Record) -> bool:
    """Return whether two objects may be the same: a message whose contact changed must not mix both contacts."""
    ids: list[Any] = [each.get("id") for each in (known, said)]
    return None in ids or str(ids[0]) == str(ids[1])
