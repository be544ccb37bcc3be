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
"""Environment variable: URL to send alerts to. It may be secret, as Slack's are."""
FAILURES = 3
"""Consecutive failures that cause an alert."""
SLACK = timedelta(hours=1)
"""Tolerated delay of the second run after a success."""
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
    """Send an alert for each customer whose trouble is new or over; repeat alerts that may not have arrived.

    Returns:
        The names of the customers with an alert; empty if no URL is set.

    Raises:
        ConnectionError: If an alert cannot be sent.
    """
    url, told, now = os.environ.get(URL), [], guard.now()
    if not url:
        return []
    for name, record in guard.records(customers).items():
        wrong = trouble(customers[name], record, now)
        subject = wrong[0] if wrong else None
        if subject == record.alerted_for:
            continue
        line = wrong[1] if wrong else f"{name} has recovered."
        message = {"text": line, "customer": name, "trouble": subject, "error_kind": record.error_kind}
        try:
            # No redirects: they could lead to an internal host.
            response = requests.post(url, json=message, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True)
            response.close()
            response.raise_for_status()
            if response.is_redirect:
                raise requests.TooManyRedirects
        except requests.RequestException as error:
            # The text of the error would reveal the URL.
            problem = f"Alerts cannot be sent to {URL} ({type(error).__name__})."
            raise ConnectionError(problem) from None
        guard.alerted(name, subject)
        told.append(name)
    return told
