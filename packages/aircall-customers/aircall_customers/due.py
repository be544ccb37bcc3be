"""Who is to be loaded now, and who first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aircall_customers.customers import Customer
    from aircall_customers.guard import Record

FIRST_PAUSE = timedelta(minutes=1)
"""How long to wait after a failure; twice as long after each further one in a row."""
LONGEST_PAUSE = timedelta(hours=1)
INBOX_PAUSE = timedelta(minutes=1)
"""How soon after a run has begun another may, for events that came since."""
LONG = timedelta(days=2)
"""Who has not been loaded to the end for longer than this has much to catch up with."""
QUEUE = 2
"""How many runs are asked for at most, times those that may run at once: short queues are fair."""


class Due(NamedTuple):
    """A customer who is to be loaded."""

    since: datetime
    name: str
    reason: str
    """For people."""
    is_long: bool
    """Whether the load may take hours: the first one, or one after a long pause."""


def due(customer: Customer, record: Record | None, now: datetime, news: int | None = None) -> Due | None:
    """Say whether a customer is to be loaded now.

    Args:
        customer: Whom.
        record: What the guard knows of it; None for nothing.
        now: The time of day.
        news: How far the inbox goes; None without one.

    Returns:
        Since when, and why; None if there is nothing to do. A customer who is marked waits for a person.
    """
    if record is None or record.began_at is None:
        return Due(now, customer.name, "never loaded", is_long=True)
    if record.is_held or record.marked_at is not None:
        return None
    failures = record.failures + record.was_killed
    if failures:
        ended = record.began_at if record.was_killed or record.ended_at is None else record.ended_at
        since, reason = ended + pause(failures), "was killed" if record.was_killed else f"failed {failures} times"
    else:
        since, reason = customer.next_after(record.began_at), "on schedule"
        if news is not None and news > (record.inbox_position or 0):
            since, reason = min((since, reason), (record.began_at + INBOX_PAUSE, "the inbox has news"))
    is_long = record.succeeded_at is None or now - record.succeeded_at > LONG
    return Due(since, customer.name, reason, is_long) if since <= now else None


def pause(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 30)), LONGEST_PAUSE)


def choose(
    customers: Iterable[Customer],
    records: Mapping[str, Record],
    now: datetime,
    *,
    news: Mapping[str, int],
    busy: Collection[str],
    long_loads: int,
    at_once: int,
) -> list[Due]:
    """Choose the runs to ask for: those that wait longest first, and few enough that nobody waits behind a long queue.

    Args:
        customers: All of them.
        records: What the guard knows of them.
        now: The time of day.
        news: How far the inbox goes, by customer.
        busy: Those with a run that waits or is under way.
        long_loads: How many of those are long loads.
        at_once: How many runs may be under way at once. Long ones take half of them at most.
    """
    waiting = sorted(
        wanted
        for customer in customers
        if customer.name not in busy
        and (wanted := due(customer, records.get(customer.name), now, news.get(customer.name)))
    )
    room, room_for_long = QUEUE * at_once - len(busy), max(at_once // 2, 1) - long_loads
    long = [each for each in waiting if each.is_long][: max(room_for_long, 0)]
    return sorted([each for each in waiting if not each.is_long] + long)[: max(room, 0)]
