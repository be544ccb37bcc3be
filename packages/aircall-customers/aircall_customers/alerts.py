"""Alerts: a message for each customer who is in trouble, and one when that is over."""

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
"""The variable with the address to which alerts are posted. It may hold a secret, as those of Slack do."""
FAILURES = 3
"""So many failures in a row are worth an alert."""
SLACK = timedelta(hours=1)
"""How late the second run after a success may be."""
TIMEOUT_SECONDS = 10


def trouble(customer: Customer, record: Record | None, now: datetime) -> tuple[str, str] | None:
    """Return what is wrong with a customer: a word that stays the same while it lasts, and a line."""
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
    """Tell of customers whose trouble is new or over, once; and once more if nobody can say whether it arrived.

    Args:
        customers: All of them.
        guard: Knows how they are, and what was told of them.

    Returns:
        The names of those of whom something was told. Without an address nothing is.
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
            # Another server must not choose where it goes.
            answer = requests.post(url, json=message, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True)
            answer.close()
            answer.raise_for_status()
            if answer.is_redirect:
                raise requests.TooManyRedirects
        except requests.RequestException as error:
            # Its text would show the address.
            problem = f"Alerts cannot be sent to {URL} ({type(error).__name__})."
            raise ConnectionError(problem) from None
        guard.alerted(name, subject)
        told.append(name)
    return told
