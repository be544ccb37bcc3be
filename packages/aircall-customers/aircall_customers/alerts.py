"""Alerts: one message when a customer gets into trouble, and one when the customer recovers."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aircall_customers.customers import Customer
    from aircall_customers.guard import Guard, Record

URL = "AIRCALL_ALERT_URL"
"""Environment variable: the address that alerts are posted to. It may be secret, as Slack's are."""
FAILURES = 3
"""Failures in a row that raise an alert."""
SLACK = timedelta(hours=1)
"""How overdue the second run after a success may be before an alert."""
TIMEOUT_SECONDS = 10


def trouble(customer: Customer, record: Record | None, now: datetime) -> tuple[str, str] | None:
    """Return a customer's trouble as a keyword, constant while it lasts, and a line of text; None if there is none."""
    if record is None:
        return None
    if record.marked_at is not None:
        return "marked", f"{customer.name} is no longer loaded: {record.error}"
    if record.failures >= FAILURES:
        return "failing", f"{customer.name} failed {record.failures} times in a row: {record.error}"
    if record.succeeded_at is not None:
        second = customer.next_after(customer.next_after(record.succeeded_at))
        if now > second + SLACK:
            return (
                "behind",
                f"{customer.name} is behind: its last success was {record.succeeded_at:%Y-%m-%d %H:%M} UTC.",
            )
    return None


def announce(customers: Mapping[str, Customer], guard: Guard) -> list[str]:
    """Post an alert for each customer whose trouble is new or over; again if an earlier one may not have arrived.

    Args:
        customers: All customers, by name.
        guard: Where their records and past alerts are kept.

    Returns:
        The names of the customers announced; empty when no address is set.

    Raises:
        ConnectionError: If an alert cannot be posted.
    """
    url, told, now = os.environ.get(URL), [], guard.now()
    if not url:
        return []
    for name, record in guard.records(customers).items():
        wrong = trouble(customers[name], record, now)
        subject = wrong[0] if wrong else None
        if subject == record.alerted_for:
            continue
        line = wrong[1] if wrong else f"{name} is well again."
        message = {"text": line, "customer": name, "trouble": subject, "error_kind": record.error_kind}
        try:
            # No redirects: they could lead to an internal address.
            answer = requests.post(url, json=message, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True)
            answer.close()
            answer.raise_for_status()
            if answer.is_redirect:
                raise requests.TooManyRedirects
        except requests.RequestException as error:
            # The text of the error would reveal the address.
            problem = f"Alerts cannot be sent to {URL} ({type(error).__name__})."
            raise ConnectionError(problem) from None
        guard.alerted(name, subject)
        told.append(name)
    return told
