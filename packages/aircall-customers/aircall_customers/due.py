"""Decides which customers are due for a load, and in which order."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aircall_customers.customers import Customer
    from aircall_customers.guard import Record

FIRST_PAUSE = timedelta(minutes=1)
"""Back-off after a failure; it doubles with each further failure in a row."""
LONGEST_PAUSE = timedelta(hours=1)
INBOX_PAUSE = timedelta(minutes=1)
"""Minimum time between the starts of two runs that new events cause."""
LONG = timedelta(days=2)
"""Time without a success after which a load counts as long, since it has much to catch up on."""
QUEUE = 2
"""Longest queue, as a multiple of the maximum number of concurrent runs; short queues are fair."""


class Due(NamedTuple):
    """A customer that is due."""

    since: datetime
    name: str
    reason: str
    """The reason, for people to read."""
    is_long: bool
    """Whether the load may take hours: a first load, or one after a long pause."""


def due(customer: Customer, record: Record | None, now: datetime, news: int | None = None) -> Due | None:
    """Return since when and why a customer is due; None if it is not.

    A marked customer is never due: it needs a person.

    Args:
        customer: The customer.
        record: Its record in the guard; None if it has none.
        now: The current time.
        news: Position of its latest event in the inbox; None without an inbox.
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
            since, reason = min((since, reason), (record.began_at + INBOX_PAUSE, "new events in the inbox"))
    is_long = record.succeeded_at is None or now - record.succeeded_at > LONG
    return Due(since, customer.name, reason, is_long) if since <= now else None


def pause(failures: int) -> timedelta:
    """Return the back-off after a number of failures in a row."""
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
    """Return the runs to request now, longest wait first, and few enough to keep the queue short.

    Args:
        customers: All customers.
        records: Their records in the guard, by name.
        now: The current time.
        news: Positions of their latest events in the inbox, by name.
        busy: Names of customers with a queued or started run.
        long_loads: Number of long loads among them.
        at_once: Maximum number of concurrent runs. Long loads get at most half.
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
