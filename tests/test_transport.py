"""What a request looks like on the wire, and which way it takes."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tap_aircall.errors import UnavailableError
from tests.test_client import make_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clock import FakeClock
    from tests.conftest import Aircall


class Listener:
    """Keeps requests, and answers each with an empty object."""

    def __init__(self, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.requests: list[tuple[bytes, bytes]] = []
        """Heads and bodies."""
        self._listening = listening
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as lines:
            while head := b"".join(iter(lines.readline, b"\r\n")):
                _, _, length = head.partition(b"Content-Length: ")
                self.requests.append((head, lines.read(int(length.split()[0])) if length else b""))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(listening)
        yield listener
        listener.thread.join(5)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(url: str, clock: FakeClock, **params: str) -> None:
    client = make_client(url, clock)
    client.get("/v1/calls", params, lambda payload: payload)
    client.get("/v1/calls", {}, lambda payload: payload)
    client.post("/v1/reports", {"name": "CALLS"}, lambda payload: payload)
    client.close()


def test_requests_go_below_the_root_over_one_connection(listener: Listener, clock: FakeClock) -> None:
    ask(f"{listener.url}/aircall/", clock, order="asc", to="1 &2")

    heads = [head for head, _ in listener.requests]
    assert [head.split(b"\r\n")[0] for head in heads] == [
        b"GET /aircall/v1/calls?order=asc&to=1+%262 HTTP/1.1",
        b"GET /aircall/v1/calls HTTP/1.1",
        b"POST /aircall/v1/reports HTTP/1.1",
    ]
    assert b"\r\nAccept-Encoding: gzip, deflate" in heads[0]
    assert b"\r\nUser-Agent: test\r\n" in heads[0]
    assert b"\r\nAuthorization: Basic " in heads[0]
    assert b"\r\nContent-Type: application/json\r\n" in heads[2]
    assert [body for _, body in listener.requests] == [b"", b"", b'{"name":"CALLS"}']


def test_a_proxy_of_the_environment_is_used(
    listener: Listener, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", listener.url)
    ask("http://127.0.0.1:9/aircall", clock)

    assert listener.requests[0][0].startswith(b"GET http://127.0.0.1:9/aircall/v1/calls HTTP/1.1\r\n")


def test_an_address_that_is_none_is_the_settings_fault(clock: FakeClock) -> None:
    client = make_client("http://a..b", clock)

    with pytest.raises(UnavailableError, match="check the setting api_url"):
        client.ping()


def test_what_does_not_speak_tls_ends_the_run(aircall: Aircall) -> None:
    client = make_client(aircall.sandbox.url.replace("http", "https"), aircall.clock)

    with pytest.raises(UnavailableError, match="No secure connection"):
        client.ping()
    client.close()
