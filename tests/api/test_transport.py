"""What a request looks like on the wire, and which way it takes."""

from __future__ import annotations

import socket
import ssl
import threading
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest
import trustme

from tap_aircall.errors import UnavailableError
from tests.api.test_client import make_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_aircall.api.client import AircallClient
    from tests.clock import FakeClock
    from tests.conftest import Aircall


class Listener:
    """Keeps requests, and answers each with an empty object."""

    def __init__(self, listening: socket.socket) -> None:
        scheme = "https" if isinstance(listening, ssl.SSLSocket) else "http"
        self.url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        self.requests: list[tuple[bytes, bytes]] = []
        """Heads and bodies."""
        self._listening = listening
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def close(self) -> None:
        """Wait for its end, and close its door."""
        self.thread.join(5)
        self._listening.close()

    def _listen(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return  # who came does not trust the certificate
        with connection, connection.makefile("rb") as lines:
            while head := b"".join(takewhile(lambda line: line != b"\r\n", iter(lines.readline, b""))):
                _, _, length = head.partition(b"Content-Length: ")
                self.requests.append((head, lines.read(int(length.split()[0])) if length else b""))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(socket.create_server(("127.0.0.1", 0)))
    yield listener
    listener.close()


@pytest.fixture
def make_secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listener]]:
    """Make a listener with a certificate for a host, of an authority that this machine trusts or not."""
    authority = trustme.CA()
    running: list[Listener] = []

    def make(host: str, *, is_trusted: bool) -> Listener:
        if is_trusted:
            authority.cert_pem.write_to_path(tmp_path / "authority.pem")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        running.append(Listener(listening))
        return running[-1]

    yield make
    for listener in running:
        listener.close()


@pytest.fixture(params=[("127.0.0.1", False), ("aircall.example", True)], ids=["unknown authority", "another host"])
def refused(make_secure: Callable[..., Listener], request: pytest.FixtureRequest) -> Listener:
    """A listener whose certificate is not right."""
    host, is_trusted = request.param
    return make_secure(host, is_trusted=is_trusted)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
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


@pytest.mark.parametrize(
    ("use", "line"),
    [
        (lambda client, _: client.ping(), "No secure connection to {url}: its certificate was not accepted."),
        (lambda client, url: client.download(f"{url}/file", 100), "No secure connection to 127.0.0.1."),
    ],
    ids=["credentials", "file"],
)
def test_nothing_is_sent_to_a_host_whose_certificate_is_not_right(
    refused: Listener, clock: FakeClock, use: Callable[[AircallClient, str], None], line: str
) -> None:
    client = make_client(refused.url, clock)

    with pytest.raises(UnavailableError) as raised:
        use(client, refused.url)
    client.close()
    assert str(raised.value) == line.format(url=refused.url)
    assert refused.requests == []


def test_a_certificate_that_is_right_is_accepted(make_secure: Callable[..., Listener], clock: FakeClock) -> None:
    listener = make_secure("127.0.0.1", is_trusted=True)

    ask(listener.url, clock)

    assert len(listener.requests) == 3
