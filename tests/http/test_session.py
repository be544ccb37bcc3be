"""What a request looks like on the wire, and which way it takes."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import ssl
import struct
import threading
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tap_aircall.auth.authenticators import BasicAuthenticator
from tap_aircall.errors import InputError, UnavailableError
from tests.hostile import Hostile
from tests.http.test_client import make_client
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_aircall.http.client import AircallClient
    from tests.clock import FakeClock


class Listener:
    """Keeps requests, and responds to each with an empty object."""

    def __init__(self, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.requests: list[tuple[bytes, bytes]] = []
        """Heads and bodies."""
        self._listening = listening
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def close(self) -> None:
        """Stop it, and close its socket."""
        self.thread.join(5)
        self._listening.close()

    def _listen(self) -> None:
        connection, _ = self._listening.accept()
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
def certify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ssl.SSLContext]:
    """Make a certificate for a host, of an authority that this machine trusts or not."""
    authority = trustme.CA()

    def make(host: str = "127.0.0.1", *, is_trusted: bool = True) -> ssl.SSLContext:
        if is_trusted:
            authority.cert_pem.write_to_path(tmp_path / "authority.pem")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        return context

    return make


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
    assert b"\r\nAccept-Encoding: gzip\r\n" in heads[0]
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


def test_an_invalid_address_is_blamed_on_the_setting(clock: FakeClock) -> None:
    client = make_client("http://a..b", clock)

    with refused(UnavailableError, "http://a..b", "api_url"):
        client.ping()


# Proxies and certificates of the environment


def test_the_host_of_a_file_decides_whether_a_proxy_is_used(
    listener: Listener, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", listener.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hostile() as server:
        client = make_client(server.url, clock)
        client.ping()
        client.downloader.fetch("http://localhost:9/a%2Fb/?X-Signature=c%2Bd%3D&e=/", 100).close()
        client.close()

    ((head, _),) = listener.requests
    assert head.startswith(b"GET http://localhost:9/a%2Fb/?X-Signature=c%2Bd%3D&e=/ HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert [head.partition(b" ")[2][:8] for head in server.requests] == [b"/v1/ping"]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(("content", "facts"), [(None, [os.strerror(errno.ENOENT)]), ("no certificate", [])])
def test_certificates_that_cannot_be_used_are_named_with_their_variable(
    *,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    content: str | None,
    facts: list[str],
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv(variable, str(path))
    client = make_client("https://127.0.0.1:9", clock)

    for use in (client.ping, lambda: client.downloader.fetch("https://127.0.0.1:9/file", 100)):
        with refused(InputError, variable, path, *facts):
            use()
    client.close()


def test_credentials_that_no_header_can_carry_are_not_shown(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    with Hostile() as server:
        client = make_client(server.url, clock, authenticator=Bearer("planted-token\nX-Other: planted words"))
        with caplog.at_level(logging.DEBUG), refused(InputError, "credentials") as raised:
            client.ping()
        client.close()

    assert server.connections == 0
    assert "planted" not in caplog.text + str(raised.value)


@pytest.mark.parametrize("agent", ["tap\u2013aircall", "tap\nX-Other: 1", "tap\x00"])
def test_a_user_agent_that_no_header_can_carry_is_blamed_on_the_setting(clock: FakeClock, agent: str) -> None:
    with refused(InputError, "user_agent"):
        make_client("http://127.0.0.1:9", clock, user_agent=agent)


# What fails, and why


class Bearer(BasicAuthenticator):
    """Knows an access token."""

    def __init__(self, token: str) -> None:
        super().__init__("", "")
        self._authorization = f"Bearer {token}"


def ask_for_calls(client: AircallClient, _: str) -> Any:
    return client.get("/v1/calls", {}, lambda payload: payload)


def fetch_a_file(client: AircallClient, url: str) -> Any:
    with client.downloader.fetch(f"{url}/file", 100) as file:
        return json.load(file)


USES = {"API": ask_for_calls, "file": fetch_a_file}


def place(use: str, url: str) -> list[str]:
    """Return what an error calls a server."""
    return [url, "api_url"] if use == "API" else ["127.0.0.1"]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("host", "is_trusted", "reason"),
    [
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("aircall.example", True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_refused_certificate_ends_the_run_at_once(
    *, certify: Callable[..., ssl.SSLContext], clock: FakeClock, use: str, host: str, is_trusted: bool, reason: str
) -> None:
    with Hostile(tls=certify(host, is_trusted=is_trusted)) as server:
        client = make_client(server.url, clock)
        with refused(UnavailableError, *place(use, server.url), reason):
            USES[use](client, server.url)
        client.close()

    assert (server.connections, server.requests, clock.waits) == (1, [], [])


def close_at_once(connection: socket.socket) -> None:
    connection.recv(65536)


def reset(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say(content: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    return answer


TLS_FAULTS: dict[str, Callable[[socket.socket], None]] = {
    "end of stream in the handshake": close_at_once,
    "reset": reset,
    "alert": say(b"\x15\x03\x03\x00\x02\x02\x28"),
    "plain text": say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "half a record": say(b"\x16\x03\x03\x01"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("fault", TLS_FAULTS)
def test_a_passing_tls_fault_is_survived(
    certify: Callable[..., ssl.SSLContext], clock: FakeClock, fault: str, use: str
) -> None:
    with Hostile(tls=certify(), before_tls=TLS_FAULTS[fault], times=3) as server:
        client = make_client(server.url, clock)
        assert USES[use](client, server.url) == {}
        client.close()

    assert (server.connections, len(server.requests), len(clock.waits)) == (4, 1, 3)


@pytest.mark.parametrize("use", USES)
def test_a_bad_record_after_the_handshake_is_survived(
    certify: Callable[..., ssl.SSLContext], clock: FakeClock, use: str
) -> None:
    def spoil(stream: socket.socket) -> None:
        with socket.socket(fileno=os.dup(stream.fileno())) as bare:
            bare.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

    with Hostile(spoil, tls=certify(), times=3) as server:
        client = make_client(server.url, clock)
        assert USES[use](client, server.url) == {}
        client.close()

    assert (server.connections, len(clock.waits)) == (4, 3)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("fault", ["alert", "plain text", "half a record"])
def test_a_lasting_tls_fault_is_reported_as_one(
    certify: Callable[..., ssl.SSLContext], clock: FakeClock, fault: str, use: str
) -> None:
    with Hostile(tls=certify(), before_tls=TLS_FAULTS[fault]) as server:
        client = make_client(server.url, clock)
        with refused(UnavailableError, *place(use, server.url), "TLS"):
            USES[use](client, server.url)
        client.close()


def test_a_host_that_cannot_be_resolved_is_named(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = make_client("https://api.aircal.io", clock)

    with refused(UnavailableError, "https://api.aircal.io", "api_url", "name"):
        client.ping()


@pytest.mark.parametrize(
    ("answer", "facts"),
    [(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", [407]), (b"", [])],
)
def test_a_proxy_that_refuses_to_connect_is_named(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answer: bytes, facts: list[int]
) -> None:
    with Hostile(answer) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@{server.host}")
        client = make_client("https://api.aircall.example", clock)
        with refused(UnavailableError, "https://api.aircall.example", "api_url", "HTTPS_PROXY", *facts) as raised:
            client.ping()

    assert "s3cret" not in str(raised.value)
