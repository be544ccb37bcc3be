"""Makes one record of all that the inbox holds about one thing, whatever order it came in.

Deliveries come in any order, and more than once (facts: Deliveries). So the events of a thing are put into the order in
which they happened, and each is laid over those before it: what an event leaves out stays as it was, `null` empties a
field, and an old event that comes late changes nothing that a newer one said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tap_aircall.reading.times import told_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Record

Moment: TypeAlias = tuple[int, int, int, int, str]
"""When something happened, as far as it can be told; no two events have the same."""

STAGES = (
    ("sent", "received", "created", "started"),
    ("escalated",),
    ("ended",),
    ("status_updated", "updated", "result_updated", "summary"),
)
"""What follows what among the events of one thing, where their times do not tell."""
STATUSES = ("pending", "queued", "sent", "received", "delivered", "read")
"""What follows what among the statuses of a message, where times do not tell; a failure is final."""
DEPTH = 3
"""How deep objects within a record are laid over each other; what is deeper is taken whole."""


def moment_of(event: Event) -> Moment:
    """Return what to order events by that are about one thing.

    The envelope counts seconds. Within one, the object's own `updated_at` decides, then what must come after what; the
    id of the event only sees to it that the order is always the same.
    """
    updated_at = told_milliseconds(event.data.get("updated_at")) or 0
    name, status = event.event.partition(".")[2], str(event.data.get("status"))
    stage = next((place for place, names in enumerate(STAGES) if name in names), 0)
    progress = STATUSES.index(status) if status in STATUSES else len(STATUSES)
    return event.happened_at, updated_at, stage, progress, event.event_id


def merged(events: Iterable[Event]) -> Record:
    """Return what all events about one thing say together.

    Args:
        events: In any order, and each as often as it came.
    """
    record: Record = {}
    for event in sorted(events, key=moment_of):
        record = _laid_over(record, event.data, DEPTH)
    return record


def _laid_over(known: Record, said: Record, depth: int) -> Record:
    """Return what is known when something more was said."""
    result = dict(known)
    for name, value in said.items():
        before = result.get(name)
        if value == {}:
            continue  # says nothing (facts: What deliveries hold)
        if depth and isinstance(value, dict) and isinstance(before, dict) and _are_one(before, value):
            result[name] = _laid_over(before, value, depth - 1)
        else:
            result[name] = value
    return result


def _are_one(known: Record, said: Record) -> bool:
    """Say whether two objects may be one: a message that moved to another contact must not get parts of both."""
    ids: list[Any] = [each.get("id") for each in (known, said)]
    return None in ids or str(ids[0]) == str(ids[1])
