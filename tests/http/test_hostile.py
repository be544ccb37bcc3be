"""Answers that break the rules of HTTP or JSON, or never end: each gets one line, in little time and memory."""

from __future__ import annotations

import contextlib
import errno
import gzip
import logging
import os
import sys
import tempfile
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_aircall.errors import AircallError, InputError, RejectedRequestError, ResponseError, UnavailableError
from tap_aircall.http import client as client_module
from tap_aircall.http import downloads
from tests.hostile import Hostile
from tests.http.test_client import make_client
from tests.messages import names, refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_aircall.http.client import AircallClient
    from tests.clock import FakeClock

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SECRET = b"planted words"
"""Every answer has it, and no line may."""
CSV = b"name,number\n" + b"a,1\n" * 5_000


def whole(body: bytes, *headers: bytes) -> bytes:
    """Return an answer with a matching length."""
    return b"".join([OK, *(header + b"\r\n" for header in headers), b"Content-Length: %d\r\n\r\n" % len(body), body])


def ask(client: AircallClient, _: str) -> Any:
    return client.get("/v1/calls", {}, lambda payload: payload)


def fetch(client: AircallClient, url: str) -> bytes:
    with client.downloader.fetch(f"{url}/file?X-Signature=planted-token", 2**20) as file:
        return file.read()


MALFORMED = {
    "nothing": b"",
    "no status": b"planted words\r\n\r\n",
    "status 0": b"HTTP/1.1 0 planted words\r\n\r\n",
    "status of letters": b"HTTP/1.1 OK planted words\r\n\r\n",
    "HTTP/3.7": b"HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: planted words\r\n\r\n" + whole(b"{}"),
    "half a head": OK + b"X-Planted: planted words",
    "a header without end": OK + b"X-Planted: " + b"planted words" * 10_000,
    "a thousand headers": OK + b"X-Planted: planted words\r\n" * 1_000 + b"\r\n",
    "negative length": OK + b"Content-Length: -2\r\n\r\n{}",
    "huge length": OK + b"Content-Length: 999999999999999\r\n\r\n{}",
    "length beyond all measure": OK + b"Content-Length: 1" + b"0" * 5_000 + b"\r\n\r\n{}",
    "length of letters": OK + b"Content-Length: planted words\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk of -1": CHUNKED + b"-1\r\n" + SECRET * 1_000,
    "huge chunk": CHUNKED + b"ffffffffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk size without end": CHUNKED + b"1" * 200_000,
    "chunk of letters": CHUNKED + b"planted words\r\n{}\r\n0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "chunked twice": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "nothing of gzip": whole(b"", b"Content-Encoding: gzip"),
    "not gzip": whole(b"{}", b"Content-Encoding: gzip"),
    "half of gzip": whole(gzip.compress(CSV)[:40], b"Content-Encoding: gzip"),
    "gzip without its sum": whole(gzip.compress(b"{}")[:-8], b"Content-Encoding: gzip"),
    "gzip with a wrong sum": whole(gzip.compress(b"{}")[:-8] + bytes(8), b"Content-Encoding: gzip"),
    "half of deflate": whole(zlib.compress(CSV)[:40], b"Content-Encoding: deflate"),
    "gzip twice": whole(gzip.compress(gzip.compress(b"{}")), b"Content-Encoding: gzip, gzip"),
    "not asked for": whole(b"{}", b"Content-Encoding: br"),
}


@pytest.mark.parametrize("use", [ask, fetch])
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_answer_is_asked_for_again_and_ends_in_one_line(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, name: str, use: Callable[[AircallClient, str], Any]
) -> None:
    with caplog.at_level(logging.DEBUG), Hostile(MALFORMED[name], times=3) as server:
        client = make_client(server.url, clock)
        assert use(client, server.url) in ({}, b"{}")
        assert server.connections == 4
        server.connections = -100
        with refused(UnavailableError) as raised:
            use(client, server.url)
        client.close()

    line = str(raised.value)
    assert names(line, "127.0.0.1") if use is fetch else names(line, "/v1/calls") or names(line, server.url, "api_url")
    assert "planted" not in caplog.text + line
    assert {record.name.split(".")[0] for record in caplog.records} == {"tap_aircall"}


HEADS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 200\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n",
            b"Content-Length: 2\r\n",
            b"Content-Length: -1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Encoding: deflate\r\n",
            b"Connection: keep-alive\r\n",
            b"planted words without a colon\r\n",
            b" folded planted words\r\n",
            b"X-Planted: \xff\x00\r\n",
            b"\r\n",
        ]
    ),
    max_size=6,
).map(b"".join)
BODIES = st.lists(
    st.sampled_from(
        [b"{}", b"2\r\n{}\r\n", b"0\r\n\r\n", b"-1\r\n", gzip.compress(b"{}"), zlib.compress(b"{}")[:-1], b"["]
    )
    | st.binary(max_size=20),
    max_size=4,
).map(b"".join)


@pytest.fixture(scope="module")
def any_server() -> Iterator[Hostile]:
    with Hostile() as server:
        yield server


@given(head=HEADS, body=BODIES)
@settings(max_examples=few_or_many(50, 1_500), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_an_answer_or_one_line(
    any_server: Hostile, clock: FakeClock, caplog: pytest.LogCaptureFixture, head: bytes, body: bytes
) -> None:
    client = make_client(any_server.url, clock, timeout=0.2)
    any_server.answer = OK + head + b"\r\n" + body if head[:5] != b"HTTP/" else head + b"\r\n" + body
    with caplog.at_level(logging.DEBUG):
        for use in (ask, fetch):
            with contextlib.suppress(AircallError):  # whose texts are searched by tests/leaks.py
                use(client, any_server.url)
    client.close()
    assert "planted" not in caplog.text


@pytest.mark.parametrize("location", [b"http://[::1", b"/elsewhere", b"planted words\xff", b"http://a..b/"])
def test_where_a_redirect_leads_is_not_even_looked_at(clock: FakeClock, location: bytes) -> None:
    def answer(stream: socket.socket) -> None:
        stream.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 999999999\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                stream.sendall(bytes(2**20))

    with Hostile(answer) as server:
        client = make_client(server.url, clock)
        with refused(ResponseError, "/v1/calls", client_module.LARGEST_RESPONSE):
            ask(client, server.url)
        with refused(RejectedRequestError, "127.0.0.1", 302):
            fetch(client, server.url)
        client.close()

    assert server.connections == 2


def test_a_file_without_a_known_end_is_refused(clock: FakeClock) -> None:
    with Hostile(OK + b"\r\n" + CSV) as server:
        client = make_client(server.url, clock)
        with refused(UnavailableError, "127.0.0.1", "length"):
            fetch(client, server.url)
        client.close()


# Size


def test_an_answer_that_unpacks_to_gigabytes_is_given_up_in_little_memory(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LARGEST_RESPONSE", 2**20)
    bomb = whole(gzip.compress(bytes(2**28), 1), b"Content-Encoding: gzip")

    with Hostile(bomb) as server:
        client = make_client(server.url, clock)
        tracemalloc.start()
        with refused(ResponseError, "/v1/calls", 2**20):
            ask(client, server.url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.close()

    assert clock.waits == []
    assert most < 8 * 2**20


def test_a_file_is_measured_as_it_is_unpacked(clock: FakeClock) -> None:
    with Hostile(whole(gzip.compress(bytes(2**24)), b"Content-Encoding: gzip")) as server:
        client = make_client(server.url, clock)
        with refused(ResponseError, "127.0.0.1", 2**20):
            fetch(client, server.url)
        client.close()


PACKED = {
    "gzip": gzip.compress(CSV),
    "GZIP": gzip.compress(CSV[:100]) + gzip.compress(CSV[100:]),
    "x-gzip": gzip.compress(CSV),
    "deflate": zlib.compress(CSV),
    "Deflate": zlib.compress(CSV, 1),
    "identity": CSV,
    "utf-8": CSV,
}


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_file_is_unpacked_whole(clock: FakeClock, coding: str, step: int) -> None:
    packed = PACKED[coding]
    pieces = [packed[at : at + step] for at in range(0, min(len(packed), 300 * step), step)]
    pieces.append(packed[len(b"".join(pieces)) :])
    head = OK + b"Content-Encoding: " + coding.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece]

    with Hostile([head, *chunks, b"0\r\n\r\n"]) as server:
        client = make_client(server.url, clock)
        assert fetch(client, server.url) == CSV
        client.close()


# Time


def dripping(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Make an answer that keeps coming, bit by bit."""

    def answer(stream: socket.socket) -> None:
        stream.sendall(head)
        while True:  # until the other side has enough
            stream.sendall(drop)
            time.sleep(0.01)

    return answer


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (OK + b"Content-Length: 100000\r\n\r\n", b" "),
        (OK, b"X"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED, b"1"),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"0\r\n", b"X-Planted: planted words\r\n"),
        (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    ],
    ids=["body", "header", "status", "chunk size", "chunk", "trailer", "empty gzip"],
)
@pytest.mark.parametrize("use", [ask, fetch])
def test_an_answer_that_drips_has_an_end(
    clock: FakeClock, use: Callable[[AircallClient, str], Any], head: bytes, drop: bytes
) -> None:
    with Hostile(dripping(head, drop), times=1) as server:
        client = make_client(server.url, clock, timeout=0.1)
        assert use(client, server.url) in ({}, b"{}")
        client.close()


def test_an_answer_that_drips_has_an_end_for_whoever_uses_the_session(clock: FakeClock) -> None:
    with Hostile(dripping(OK + b"Content-Length: 100000\r\n\r\n", b" ")) as server:
        client = make_client(server.url, clock, timeout=0.1)
        with pytest.raises(requests.RequestException):
            client.session.get(f"{server.url}/v1/calls")
        client.close()


def test_an_answer_that_drips_is_reported_as_such(clock: FakeClock) -> None:
    with Hostile(dripping(OK + b"\r\n", b" ")) as server:
        client = make_client(server.url, clock, timeout=0.1)
        with refused(UnavailableError, "/v1/calls", 0.1, "request_timeout"):
            ask(client, server.url)
        client.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("flood", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"])
def test_a_flood_of_headers_ends_at_once(clock: FakeClock, flood: bytes) -> None:
    def answer(stream: socket.socket) -> None:
        while True:
            stream.sendall(flood * 1_000)

    with Hostile(answer, times=3) as server:
        client = make_client(server.url, clock, timeout=60)
        assert ask(client, server.url) == {}
        client.close()


def test_a_large_file_has_the_time_that_its_size_takes(clock: FakeClock) -> None:
    def answer(stream: socket.socket) -> None:
        stream.sendall(OK + b"Content-Length: 131072\r\n\r\n")
        for _ in range(16):
            stream.sendall(bytes(8192))
            time.sleep(0.02)

    with Hostile(answer) as server:
        client = make_client(server.url, clock, timeout=0.1)
        assert fetch(client, server.url) == bytes(131072)
        client.close()

    assert server.connections == 1


# This machine


def test_a_folder_that_is_missing_is_named_with_its_variable(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(downloads, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    with Hostile(whole(bytes(100))) as server:
        client = make_client(server.url, clock)
        with refused(InputError, "TMPDIR", tmp_path / "gone", os.strerror(errno.ENOENT)):
            fetch(client, server.url)
        client.close()


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_disk_that_is_full_is_named_with_its_variable(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(downloads, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", "/a/disk")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: PTH123, SIM115

    with Hostile(whole(bytes(size))) as server:
        client = make_client(server.url, clock)
        with refused(InputError, "TMPDIR", "/a/disk", os.strerror(errno.ENOSPC)):
            fetch(client, server.url)
        client.close()


# JSON


# Since Python 3.12, code in C may nest deeper than code in Python.
@pytest.mark.parametrize("depth", [1_100 if sys.version_info < (3, 12) else 11_000, 100_000])
@pytest.mark.parametrize("body", [b"[%s]", b'{"a": 1e400, "b": %s}', b'{"a": "\\u0000", "b": %s}'])
def test_json_nested_too_deeply_is_reported_as_such(clock: FakeClock, body: bytes, depth: int) -> None:
    with Hostile(whole(body % (b"[" * depth + b"]" * depth))) as server:
        client = make_client(server.url, clock)
        with refused(UnavailableError, "/v1/calls", "JSON"):
            ask(client, server.url)
        client.close()
