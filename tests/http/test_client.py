"""What the client survives, and what it gives up on, over real HTTP."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from aircall_sandbox import Fault
from tap_aircall.auth.authenticators import BasicAuthenticator
from tap_aircall.errors import (
    AircallError,
    BlockedError,
    CredentialsError,
    ForbiddenError,
    LoginNeededError,
    NotFoundError,
    RejectedRequestError,
    ResponseError,
    UnavailableError,
)
from tap_aircall.http.client import ATTEMPTS, ATTEMPTS_BEFORE_FIRST_RESPONSE, AircallClient, block_seconds
from tap_aircall.http.limiter import RateLimiter
from tap_aircall.reading.clock import AircallClock
from tests.clock import NOW, FakeClock
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import requests
    import requests_mock

    from tests.conftest import Aircall


def make_client(url: str, clock: FakeClock, **options: Any) -> AircallClient:
    defaults: dict[str, Any] = {"user_agent": "test", "timeout": 5, "max_concurrent_requests": 4}
    defaults["aircall_clock"] = AircallClock(clock)
    limiter = RateLimiter(options.pop("requests_per_minute", 1_000_000), clock)
    defaults["authenticator"] = BasicAuthenticator("sandbox-id", "sandbox-token")
    return AircallClient(api_url=url, limiter=limiter, clock=clock, **defaults | options)


@pytest.fixture
def client(aircall: Aircall) -> Iterator[AircallClient]:
    client = make_client(aircall.sandbox.url, aircall.clock)
    yield client
    client.close()


def ping(client: AircallClient) -> Any:
    return client.get("/v1/ping", {}, lambda payload: payload)


def test_authenticates_and_names_itself(aircall: Aircall, client: AircallClient) -> None:
    assert ping(client) == {"ping": "pong"}

    (log,) = aircall.sandbox.requests
    assert base64.b64decode(log.headers["authorization"].removeprefix("Basic ")) == b"sandbox-id:sandbox-token"
    assert log.headers["user-agent"] == "test"


@pytest.mark.parametrize(
    "fault",
    [
        *({"status": status} for status in (500, 502, 503, 504, 408)),
        *({"failure": failure} for failure in ("reset", "cut", "cut_json", "html", "empty")),
    ],
    ids=str,
)
def test_a_passing_failure_is_survived_with_growing_waits(
    aircall: Aircall, client: AircallClient, fault: dict[str, Any]
) -> None:
    ping(client)
    aircall.sandbox.faults.append(Fault(times=5, **fault))

    assert ping(client) == {"ping": "pong"}
    assert client.requests_sent == 5 + 2
    waits = [wait for wait in aircall.clock.waits if wait]
    assert len(waits) == 5
    assert all(2.0**n / 2 <= wait <= 2.0**n for n, wait in enumerate(waits))


def test_a_time_out_is_survived(aircall: Aircall) -> None:
    client = make_client(aircall.sandbox.url, aircall.clock, timeout=0.2)
    ping(client)
    aircall.sandbox.faults.append(Fault(delay=0.5))

    assert ping(client) == {"ping": "pong"}


def test_asks_again_when_an_answer_has_the_wrong_shape(aircall: Aircall, client: AircallClient) -> None:
    aircall.sandbox.faults.append(Fault(mutate=lambda _: []))

    def parse(payload: Any) -> Any:
        if not isinstance(payload, dict):
            message = "no object"
            raise ResponseError(message)
        return payload

    assert client.get("/v1/ping", {}, parse) == {"ping": "pong"}


@pytest.mark.parametrize(("attempts", "sent"), [(1, 1), (3, 3), (None, ATTEMPTS), (ATTEMPTS + 1, ATTEMPTS)])
def test_an_error_may_say_how_often_to_ask(
    clock: FakeClock, requests_mock: requests_mock.Mocker, attempts: int | None, sent: int
) -> None:
    requests_mock.get("https://api.aircall.io/v1/calls", json={})
    client = make_client("https://api.aircall.io", clock)

    def parse(_: Any) -> None:
        error = ResponseError("a short page")
        error.attempts = attempts
        raise error

    with pytest.raises(ResponseError):
        client.get("/v1/calls", {}, parse)
    assert client.requests_sent == requests_mock.call_count == sent


def test_what_cannot_be_signed_is_not_sent(clock: FakeClock, requests_mock: requests_mock.Mocker) -> None:
    class Ended(BasicAuthenticator):
        @override
        def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            message = "log in again"
            raise LoginNeededError(message)

    client = make_client("https://api.aircall.io", clock, authenticator=Ended("", ""))

    with pytest.raises(LoginNeededError):
        client.ping()
    assert client.requests_sent == requests_mock.call_count == 0


def test_all_requests_have_a_limit(clock: FakeClock, requests_mock: requests_mock.Mocker) -> None:
    requests_mock.get("https://api.aircall.io/v1/ping", json={})
    client = make_client("https://api.aircall.io", clock)
    client.most_requests = 3
    apart = client.counting_apart()
    apart.ping()
    client.ping()
    apart.ping()

    with refused(UnavailableError, 3):
        client.ping()
    assert (client.requests_sent, apart.requests_sent, requests_mock.call_count) == (3, 2, 3)


def test_no_credentials_come_from_the_home_folder(
    aircall: Aircall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login planted password planted", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    client = make_client(aircall.sandbox.url, aircall.clock, authenticator=None)

    with pytest.raises(CredentialsError):
        ping(client)
    (log,) = aircall.sandbox.requests
    assert "authorization" not in log.headers


def test_gives_up_after_some_minutes_with_the_reason(aircall: Aircall, client: AircallClient) -> None:
    ping(client)
    aircall.sandbox.faults.append(Fault(status=503, times=100))

    with refused(UnavailableError, "/v1/ping", 503):
        ping(client)
    assert client.requests_sent == 1 + ATTEMPTS
    assert 120 < aircall.clock.now - NOW < 300


def test_gives_up_sooner_when_no_request_ever_succeeded(clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    client = make_client(f"http://127.0.0.1:{port}", clock)

    with refused(UnavailableError, "api_url", "refused"):
        ping(client)
    assert client.requests_sent == ATTEMPTS_BEFORE_FIRST_RESPONSE
    assert clock.now - NOW < 10


@pytest.mark.parametrize(
    ("status", "kind", "facts"),
    [
        (401, CredentialsError, ["user", "password"]),
        (403, ForbiddenError, ["user", "password"]),
        (404, NotFoundError, ["/v1/ping", 404]),
        (400, RejectedRequestError, ["/v1/ping", 400]),
        (410, RejectedRequestError, ["/v1/ping", 410]),
        (301, RejectedRequestError, ["/v1/ping", 301]),
    ],
)
def test_does_not_repeat_what_is_refused(
    aircall: Aircall, client: AircallClient, status: int, kind: type[AircallError], facts: list[object]
) -> None:
    fault = Fault(status=status, times=9, body=b'{"error": "+33612345678"}', headers={"Location": "/v1/company"})
    aircall.sandbox.faults.append(fault)

    with refused(kind, *facts) as caught:
        ping(client)
    assert client.requests_sent == 1
    assert "+33612345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 61),
        ({"X-AircallApi-Reset": str(int(NOW) + 42)}, 43),
        ({"X-AircallApi-Reset": str((int(NOW) + 42) * 1000)}, 43),
        ({"X-AircallApi-Reset": str(int(NOW) - 42)}, 61),
        ({"X-AircallApi-Reset": str(int(NOW) + 86_400)}, 61),
        ({"X-AircallApi-Reset": "soon"}, 61),
        ({"Retry-After": "7"}, 8),
        ({"X-AircallApi-Reset": "soon", "Retry-After": "7"}, 8),
        ({"Retry-After": "Mon, 23 Nov 2026 14:00:00 GMT"}, 61),
        ({"Retry-After": "nan"}, 61),
    ],
)
def test_a_429_is_waited_out_as_long_as_aircall_says(headers: dict[str, str], seconds: float) -> None:
    assert block_seconds(headers, NOW) == seconds


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "none"])
def test_a_429_stops_everyone_until_the_block_is_over(make_aircall: Callable[..., Aircall], unit: str) -> None:
    aircall = make_aircall(requests_per_minute=5, reset_unit=unit)
    client = make_client(aircall.sandbox.url, aircall.clock)

    assert list(client.in_flight(lambda _: ping(client), range(7))) == [{"ping": "pong"}] * 7

    statuses = [log.status for log in aircall.sandbox.requests]
    blocked = [log.at for log in aircall.sandbox.requests if log.status == 429]
    assert statuses.count(200) == 7
    # Requests that were under way together may be refused together; after that all wait.
    assert 1 <= len(blocked) <= 4
    assert aircall.clock.now - blocked[0] >= 60


def test_a_run_within_the_companys_limit_sees_no_429(make_aircall: Callable[..., Aircall]) -> None:
    aircall = make_aircall(requests_per_minute=60)
    # One at a time, since this clock moves on for all threads when one of them waits.
    client = make_client(aircall.sandbox.url, aircall.clock, requests_per_minute=60, max_concurrent_requests=1)

    list(client.in_flight(lambda _: ping(client), range(200)))

    assert {log.status for log in aircall.sandbox.requests} == {200}


def test_a_limit_that_never_ends_ends_the_run(make_aircall: Callable[..., Aircall]) -> None:
    aircall = make_aircall()
    aircall.sandbox.faults.append(Fault(status=429, times=1000))
    client = make_client(aircall.sandbox.url, aircall.clock)

    with refused(BlockedError, "requests_per_minute"):
        ping(client)


def test_results_keep_their_order_and_are_not_asked_for_too_early(client: AircallClient) -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(40):
            taken.append(n)
            yield n

    results = client.in_flight(lambda n: n * n, items())

    assert next(results) == 0
    assert len(taken) <= 4
    assert list(results) == [n * n for n in range(1, 40)]


def test_an_error_in_one_request_stops_the_others(aircall: Aircall, client: AircallClient) -> None:
    aircall.sandbox.faults.append(Fault(status=400, query={"page": "3"}))

    with pytest.raises(RejectedRequestError):
        list(client.in_flight(lambda n: client.get("/v1/tags", {"page": str(n)}, lambda p: p), range(1, 1000)))
    assert client.requests_sent < 12


def test_no_cookie_is_kept(aircall: Aircall, client: AircallClient) -> None:
    aircall.sandbox.faults.append(Fault(status=200, body=b"{}", headers={"Set-Cookie": "a=b; Path=/"}))
    ping(client)
    ping(client)

    assert all("cookie" not in log.headers for log in aircall.sandbox.requests)
