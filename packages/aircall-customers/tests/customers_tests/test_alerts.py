"""Alerts: one for each trouble and one for its end, over real HTTP."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from aircall_customers.alerts import announce
from aircall_customers.customers import Customer
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_customers.guard import Guard

ACME = Customer.model_validate({"name": "acme", "credentials": {"environment": "ACME"}})


class Hook:
    """Receives what is posted, unless it is down."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.got.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                hook.got.append(self.path)  # nobody should

            @override
            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{self.server.server_port}/secret"
        self.server.shutdown()
        thread.join()
        self.server.server_close()


def fail(guard: Guard, *, is_final: bool = False) -> None:
    with guard.claim("acme", "machine 1") as claim:
        guard.end(claim, "Credentials", "Aircall rejects the key.", is_final=is_final)


def test_each_trouble_is_told_once_and_so_is_its_end(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = Hook()
    with hook.running() as address:
        monkeypatch.setenv("AIRCALL_ALERT_URL", address)
        told = []
        for is_final in (False, False, False, False, True):
            fail(guard, is_final=is_final)
            told.append(announce({"acme": ACME}, guard))
        with guard.claim("acme", "machine 1") as claim:
            guard.end(claim)
        told += [announce({"acme": ACME}, guard) for _ in range(2)]

    assert told == [[], [], ["acme"], [], ["acme"], ["acme"], []]
    assert hook.got == [
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
    guard: Guard, monkeypatch: pytest.MonkeyPatch, status: int, kind: str
) -> None:
    hook = Hook()
    fail(guard, is_final=True)
    with hook.running() as address:
        monkeypatch.setenv("AIRCALL_ALERT_URL", address)
        hook.status = status
        with refused(ConnectionError, "AIRCALL_ALERT_URL", kind) as raised:
            announce({"acme": ACME}, guard)
        assert address not in str(raised.value)
        hook.status = 200
        told = announce({"acme": ACME}, guard)

    assert told == ["acme"]
    assert [message["trouble"] for message in hook.got] == ["marked"]


def test_without_an_address_nothing_is_told(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRCALL_ALERT_URL", raising=False)
    fail(guard, is_final=True)

    assert announce({"acme": ACME}, guard) == []
    assert guard.records()["acme"].alerted_for is None
