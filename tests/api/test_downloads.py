"""Files from presigned addresses: what the tap sends there, and what it does not."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_aircall.api.downloads import ATTEMPTS, IN_MEMORY
from tap_aircall.errors import ExpiredError, RejectedRequestError, ResponseError, UnavailableError
from tap_aircall.sandbox import Fault
from tap_aircall.sandbox.analytics import EXPORT_PATH, FILE_PATH
from tests.api.test_client import make_client, ping
from tests.damage import damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_aircall.api.client import AircallClient
    from tests.conftest import Aircall

LARGEST = 2**30
DAY = "2026-11-22"


@pytest.fixture
def client(aircall: Aircall) -> Iterator[AircallClient]:
    client = make_client(aircall.sandbox.url, aircall.clock)
    yield client
    client.close()


@pytest.fixture
def address(aircall: Aircall, client: AircallClient) -> Callable[[bytes], str]:
    """Return a function that puts a file somewhere and says where."""

    def store(content: bytes) -> str:
        analytics = aircall.sandbox.analytics
        analytics.files = {"CALLS_HISTORY": content}
        analytics.seconds = 0
        window = {"fromDate": DAY, "toDate": DAY}
        wish = {"reportName": "CALLS_HISTORY", "filter": {"dateFilter": {"absoluteRange": window}, "timezone": "UTC"}}
        export = client.post(EXPORT_PATH, {"input": wish}, lambda payload: payload["exportID"])
        url: str = client.get(f"{EXPORT_PATH}/{export}", {}, lambda payload: payload["downloadUrl"])
        return url

    return store


@pytest.mark.parametrize("content", [b"", b"A\n1\n", b"x" * (IN_MEMORY + 1)])
def test_a_file_arrives_whole_and_no_credentials_are_sent(
    aircall: Aircall, client: AircallClient, address: Any, content: bytes
) -> None:
    url = address(content)
    sent = client.requests_sent

    with client.download(url, LARGEST) as file:
        assert file.read() == content

    log = aircall.sandbox.requests[-1]
    assert "authorization" not in log.headers
    assert client.requests_sent == sent


def test_it_does_not_count_against_the_rate_limit(aircall: Aircall, address: Any) -> None:
    url = address(b"A")
    client = make_client(aircall.sandbox.url, aircall.clock, requests_per_minute=1)
    ping(client)

    client.download(url, LARGEST).close()

    assert aircall.clock.waits == []


@pytest.mark.parametrize("failure", [{"failure": "reset"}, {"failure": "cut"}, {"status": 500}, {"status": 429}])
def test_it_is_tried_again_for_half_a_minute(
    aircall: Aircall, client: AircallClient, address: Any, failure: dict[str, Any]
) -> None:
    url = address(b"A" * 1000)
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=ATTEMPTS - 1, **failure))
    with client.download(url, LARGEST) as file:
        assert len(file.read()) == 1000
    assert 15 <= sum(aircall.clock.waits) <= 31

    aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=ATTEMPTS, **failure))
    with pytest.raises(UnavailableError, match=r"^The (server|connection to|file from) 127\.0\.0\.1 "):
        client.download(url, LARGEST)


CONTENT = b"A\n" + b"1\n" * 100_000
CODED = {"gzip": gzip.compress(CONTENT), "x-gzip": gzip.compress(CONTENT), "deflate": zlib.compress(CONTENT)}


def send(aircall: Aircall, coding: str, body: bytes, times: float = 1) -> None:
    """Let storage answer with a body that is encoded as it says, or only says so; its length is always right."""
    headers = {"content-encoding": coding}
    aircall.sandbox.faults[:] = [Fault(path=FILE_PATH, times=times, status=200, body=body, headers=headers)]


def fetched(client: AircallClient, url: str) -> bytes:
    with client.download(url, LARGEST) as file:
        return file.read()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        *CODED.items(),
        ("GZip", CODED["gzip"]),
        ("identity", CONTENT),
        ("gzip", gzip.compress(CONTENT[:70_000]) + gzip.compress(CONTENT[70_000:])),
    ],
)
def test_an_encoded_file_is_decoded(
    aircall: Aircall, client: AircallClient, address: Any, coding: str, body: bytes
) -> None:
    url = address(b"")
    send(aircall, coding, body)

    assert fetched(client, url) == CONTENT
    assert aircall.sandbox.requests[-1].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_an_encoded_file_that_is_cut_is_fetched_again(
    aircall: Aircall, client: AircallClient, address: Any, coding: str, part: float
) -> None:
    url, body = address(CONTENT), CODED[coding]
    cut = body[: int(len(body) * part)]
    send(aircall, coding, cut, times=ATTEMPTS - 1)
    assert fetched(client, url) == CONTENT
    assert len(aircall.clock.waits) == ATTEMPTS - 1

    send(aircall, coding, cut, times=ATTEMPTS)
    with pytest.raises(UnavailableError, match=r"^The file from 127\.0\.0\.1 is broken or was cut short\.$"):
        fetched(client, url)


def test_an_encoding_that_nobody_asked_for_is_named(aircall: Aircall, client: AircallClient, address: Any) -> None:
    url = address(CONTENT)
    send(aircall, "br", CONTENT, times=ATTEMPTS)

    with pytest.raises(UnavailableError, match=r" is packed in a way that the tap did not ask for\.$"):
        fetched(client, url)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5_000 if "SOAK" in os.environ else 150
)
@given(st.data())
def test_a_damaged_encoded_file_arrives_whole_or_not_at_all(
    aircall: Aircall, client: AircallClient, address: Any, data: st.DataObject
) -> None:
    url, coding = address(b""), data.draw(st.sampled_from(sorted(CODED)))
    send(aircall, coding, data.draw(damaged(CODED[coding])), times=ATTEMPTS)

    try:
        assert fetched(client, url) == CONTENT
    except UnavailableError:
        assert sum(1 for log in aircall.sandbox.requests if url.endswith(log.path)) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_expired_address_is_reported_at_once_as_such(
    aircall: Aircall, client: AircallClient, address: Any, status: int
) -> None:
    url = address(b"A")
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, status=status))

    with pytest.raises(ExpiredError):
        client.download(url, LARGEST)
    assert aircall.clock.waits == []


def test_it_follows_no_redirect(aircall: Aircall, client: AircallClient, address: Any) -> None:
    url = address(b"A")
    elsewhere = {"location": f"{aircall.sandbox.url}/v1/ping"}
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, status=302, headers=elsewhere))

    with pytest.raises(RejectedRequestError):
        client.download(url, LARGEST)
    assert aircall.sandbox.requests[-1].path.startswith(FILE_PATH)


def test_a_file_that_is_too_large_is_given_up(client: AircallClient, address: Any) -> None:
    with pytest.raises(ResponseError, match=r"^The file from 127\.0\.0\.1 has more than 10 bytes\.$"):
        client.download(address(b"A" * 11), 10)


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("http://127.0.0.1:1", "http://example.com/x.csv"),
        ("http://127.0.0.1:1", "http://127.0.0.1.example.com/x.csv"),
        ("http://127.0.0.1:1", "ftp://127.0.0.1/x.csv"),
        ("http://127.0.0.1:1", "file:///etc/passwd"),
        ("http://127.0.0.1:1", "https://user:password@example.com/x.csv"),
        ("http://127.0.0.1:1", "https://"),
        ("http://127.0.0.1:1", "https://[::1/x.csv"),
        ("http://127.0.0.1:1", ""),
        ("https://api.aircall.io", "http://127.0.0.1/x.csv"),
    ],
)
def test_an_address_that_is_not_safe_is_refused(aircall: Aircall, api_url: str, url: str) -> None:
    client = make_client(api_url, aircall.clock)

    with pytest.raises(ResponseError, match=r"^Aircall gave an address for the file that does not begin with https"):
        client.download(url, LARGEST)
    client.close()
