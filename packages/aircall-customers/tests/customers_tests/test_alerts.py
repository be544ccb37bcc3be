"""Alerts: one for each trouble and one for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aircall_customers.alerts import announce
from aircall_customers.customers import Customer
from tests.messages import refused

if TYPE_CHECKING:
    from requests_mock import Mocker

    from aircall_customers.guard import Guard

ADDRESS = "https://hooks.example.com/secret"
ACME = Customer.model_validate({"name": "acme", "credentials": {"environment": "ACME"}})


def fail(guard: Guard, *, is_final: bool = False) -> None:
    with guard.claim("acme", "machine 1") as claim:
        guard.end(claim, "Credentials", "Aircall rejects the key.", is_final=is_final)


@pytest.fixture
def hook(requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch) -> Mocker:
    """What takes the alerts."""
    monkeypatch.setenv("AIRCALL_ALERT_URL", ADDRESS)
    requests_mock.post(ADDRESS)
    return requests_mock


def got(hook: Mocker) -> list[Any]:
    return [each.json() for each in hook.request_history]


def test_each_trouble_is_told_once_and_so_is_its_end(guard: Guard, hook: Mocker) -> None:
    told = []
    for is_final in (False, False, False, False, True):
        fail(guard, is_final=is_final)
        told.append(announce({"acme": ACME}, guard))
    with guard.claim("acme", "machine 1") as claim:
        guard.end(claim)
    told += [announce({"acme": ACME}, guard) for _ in range(2)]

    assert told == [[], [], ["acme"], [], ["acme"], ["acme"], []]
    assert got(hook) == [
        {
            "text": "acme failed 3 times in a row: Aircall rejects the key.",
            "customer": "acme",
            "trouble": "failing",
            "error_kind": "Credentials",
        },
        {
            "text": "acme is no longer loaded: Aircall rejects the key.",
            "customer": "acme",
            "trouble": "marked",
            "error_kind": "Credentials",
        },
        {"text": "acme has recovered.", "customer": "acme", "trouble": None, "error_kind": None},
    ]


@pytest.mark.parametrize(("status", "kind"), [(503, "HTTPError"), (302, "TooManyRedirects"), (307, "TooManyRedirects")])
def test_an_alert_that_is_not_taken_is_sent_later_and_never_elsewhere(
    guard: Guard, hook: Mocker, status: int, kind: str
) -> None:
    fail(guard, is_final=True)
    hook.post(ADDRESS, [{"status_code": status, "headers": {"Location": "/elsewhere"}}, {}])
    with refused(ConnectionError, "AIRCALL_ALERT_URL", kind) as raised:
        announce({"acme": ACME}, guard)
    assert ADDRESS not in str(raised.value)

    assert announce({"acme": ACME}, guard) == ["acme"]
    assert [each.url for each in hook.request_history] == [ADDRESS] * 2
    assert [message["trouble"] for message in got(hook)] == ["marked"] * 2


def test_without_an_address_nothing_is_told(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRCALL_ALERT_URL", raising=False)
    fail(guard, is_final=True)

    assert announce({"acme": ACME}, guard) == []
    assert guard.records()["acme"].alerted_for is None
