"""Files from presigned addresses: what the tap sends there, and what it does not."""

from __future__ import annotations

import gzip
import socket
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aircall_sandbox import Fault
from aircall_sandbox.analytics import EXPORT_PATH, FILE_PATH
from tap_aircall.errors import ExpiredError, RejectedRequestError, ResponseError, UnavailableError
from tap_aircall.http.downloads import DOWNLOAD_ATTEMPTS, IN_MEMORY
from tests.damage import damaged
from tests.http.test_client import make_client, ping
from tests.messages import refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_aircall.http.client import AircallClient
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

    with client.downloader.fetch(url, LARGEST) as file:
        assert file.read() == content

    log = aircall.sandbox.requests[-1]
    assert "authorization" not in log.headers
    assert log.headers["accept-encoding"] == "gzip"
    assert client.requests_sent == sent


def test_it_does_not_count_against_the_rate_limit(aircall: Aircall, address: Any) -> None:
    url = address(b"A")
    client = make_client(aircall.sandbox.url, aircall.clock, requests_per_minute=1)
    ping(client)

    client.downloader.fetch(url, LARGEST).close()

    assert aircall.clock.waits == []


@pytest.mark.parametrize("failure", [{"failure": "reset"}, {"failure": "cut"}, {"status": 500}, {"status": 429}])
def test_it_is_tried_again_for_half_a_minute(
    aircall: Aircall, client: AircallClient, address: Any, failure: dict[str, Any]
) -> None:
    url = address(b"A" * 1000)
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=DOWNLOAD_ATTEMPTS - 1, **failure))
    with client.downloader.fetch(url, LARGEST) as file:
        assert len(file.read()) == 1000
    assert 15 <= sum(aircall.clock.waits) <= 31

    aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=DOWNLOAD_ATTEMPTS, **failure))
    with refused(UnavailableError, "127.0.0.1"):
        client.downloader.fetch(url, LARGEST)


CONTENT = b"A\n" + b"1\n" * 100_000
CODED = {"gzip": gzip.compress(CONTENT), "x-gzip": gzip.compress(CONTENT), "deflate": zlib.compress(CONTENT)}


def send(aircall: Aircall, coding: str, body: bytes, times: float = 1) -> None:
    """Let storage answer with a body that is encoded as it says, or only says so; its length is always right."""
    headers = {"content-encoding": coding}
    aircall.sandbox.faults[:] = [Fault(path=FILE_PATH, times=times, status=200, body=body, headers=headers)]


def fetched(client: AircallClient, url: str) -> bytes:
    with client.downloader.fetch(url, LARGEST) as file:
        return file.read()


def test_an_encoding_that_nobody_asked_for_is_named(aircall: Aircall, client: AircallClient, address: Any) -> None:
    url = address(CONTENT)
    send(aircall, "br", CONTENT, times=DOWNLOAD_ATTEMPTS)

    with refused(UnavailableError, "127.0.0.1", "compression"):
        fetched(client, url)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=few_or_many(50, 5_000))
@given(st.data())
def test_a_damaged_encoded_file_arrives_whole_or_not_at_all(
    aircall: Aircall, client: AircallClient, address: Any, data: st.DataObject
) -> None:
    url, coding = address(b""), data.draw(st.sampled_from(sorted(CODED)))
    send(aircall, coding, data.draw(damaged(CODED[coding])), times=DOWNLOAD_ATTEMPTS)

    try:
        assert fetched(client, url) == CONTENT
    except UnavailableError:
        assert sum(1 for log in aircall.sandbox.requests if url.endswith(log.path)) == DOWNLOAD_ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_expired_address_is_reported_at_once_as_such(
    aircall: Aircall, client: AircallClient, address: Any, status: int
) -> None:
    url = address(b"A")
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, status=status))

    with pytest.raises(ExpiredError):
        client.downloader.fetch(url, LARGEST)
    assert aircall.clock.waits == []


def test_it_follows_no_redirect(aircall: Aircall, client: AircallClient, address: Any) -> None:
    url = address(b"A")
    elsewhere = {"location": f"{aircall.sandbox.url}/v1/ping"}
    aircall.sandbox.faults.append(Fault(path=FILE_PATH, status=302, headers=elsewhere))

    with pytest.raises(RejectedRequestError):
        client.downloader.fetch(url, LARGEST)
    assert aircall.sandbox.requests[-1].path.startswith(FILE_PATH)


def test_a_file_that_is_too_large_is_given_up(client: AircallClient, address: Any) -> None:
    with refused(ResponseError, "127.0.0.1", 10):
        client.downloader.fetch(address(b"A" * 11), 10)


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
        *(
            ("http://127.0.0.1:1", f"https://{host}/x.csv")
            for host in ("a" * 64, f"b.{'ü' * 60}.com", "a..b", "\ud800")
        ),
        ("https://api.aircall.io", "http://127.0.0.1/x.csv"),
    ],
)
def test_an_address_that_is_not_safe_is_refused(aircall: Aircall, api_url: str, url: str) -> None:
    client = make_client(api_url, aircall.clock)

    with refused(ResponseError, "https"):
        client.downloader.fetch(url, LARGEST)
    client.close()


def receive(client: AircallClient, url: str, redirects: int = 3) -> bytes:
    return client.downloader.receive(url, lambda incoming: b"".join(incoming.pieces(LARGEST)), redirects=redirects)


def redirect(aircall: Aircall, location: str, times: float = 1, status: int = 302) -> None:
    headers = {"location": location}
    aircall.sandbox.faults[:] = [Fault(path=FILE_PATH, status=status, headers=headers, times=times)]


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_file_may_be_elsewhere(self, aircall: Aircall, client: AircallClient, address: Any, status: int) -> None:
        url = address(b"A")
        redirect(aircall, url, status=status)
        assert receive(client, f"{aircall.sandbox.url}{FILE_PATH}old") == b"A"

        redirect(aircall, url.removeprefix(aircall.sandbox.url), status=status)
        assert receive(client, f"{aircall.sandbox.url}{FILE_PATH}old") == b"A"
        assert "authorization" not in aircall.sandbox.requests[-1].headers

    def test_they_end(self, aircall: Aircall, client: AircallClient, address: Any) -> None:
        url = address(b"A")
        redirect(aircall, url, times=3)
        assert receive(client, url) == b"A"

        redirect(aircall, url, times=4)
        with pytest.raises(RejectedRequestError):
            receive(client, url)

    @pytest.mark.parametrize(
        "location",
        [
            *("http://example.com/x", "file:///etc/passwd", "https://10.1.2.3/x", "https://[fe80::1]/x"),
            *("https://a:b@c.d/", f"https://{'a' * 64}.com/x", "https://a..b/", "https://[::1/x", "//["),
        ],
    )
    def test_they_are_as_safe_as_the_first_address(
        self, aircall: Aircall, client: AircallClient, address: Any, location: str
    ) -> None:
        url = address(b"A")
        redirect(aircall, location)

        with refused(ResponseError, "URL"):
            receive(client, url)


class TestPrivateNetworks:
    @pytest.fixture
    def far(self, aircall: Aircall) -> Iterator[AircallClient]:
        """A client of an Aircall that is not on this machine."""
        client = make_client("https://api.aircall.io", aircall.clock)
        yield client
        client.close()

    @pytest.mark.parametrize(
        "host",
        [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "127.0.0.1",
            "localhost",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104 - never bound
            "224.0.0.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "2130706433",
        ],
    )
    def test_no_file_comes_from_one(self, far: AircallClient, host: str) -> None:
        with refused(ResponseError, "network"):
            far.downloader.fetch(f"https://{host}/x.csv", LARGEST)

    @pytest.mark.parametrize("found", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["fd00::1"], ["127.0.0.1"]])
    def test_nor_from_a_name_that_leads_there(
        self, far: AircallClient, found: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def look_up(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in found]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr(socket, "socket", None)  # nothing is sent

        with refused(ResponseError, "network"):
            far.downloader.fetch("https://files.example.com/x.csv", LARGEST)

    def test_nor_from_one_that_leads_there_the_next_moment(
        self, aircall: Aircall, far: AircallClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = int(aircall.sandbox.url.rpartition(":")[2])
        answers = iter(["93.184.216.34", "127.0.0.1"])

        def look_up(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        with refused(ResponseError, "network"):
            far.downloader.fetch(f"https://files.example.com:{port}/x.csv", LARGEST)
        assert aircall.sandbox.requests == []

    def test_nor_from_another_name_of_this_machine(
        self, aircall: Aircall, client: AircallClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = int(aircall.sandbox.url.rpartition(":")[2])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        with refused(ResponseError, "network"):
            client.downloader.fetch(f"https://files.example.com:{port}/x.csv", LARGEST)

    def test_a_proxy_may_be_on_one(self, aircall: Aircall, far: AircallClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

        with refused(UnavailableError, "HTTPS_PROXY"):
            far.downloader.fetch("https://files.example.com/x.csv", LARGEST)
        with refused(ResponseError, "network"):
            far.downloader.fetch("https://192.168.1.1/x.csv", LARGEST)
        assert aircall.sandbox.requests == []
