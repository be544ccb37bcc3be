"""Other processes control a sandbox over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox_tests.asking import get, listed
from tests.clock import NOW

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)


def post(aircall: Aircall, path: str, body: Any) -> Any:
    return requests.post(f"{aircall.sandbox.url}/_sandbox/{path}", json=body, timeout=10).json()


def test_records_can_be_added_changed_and_deleted(aircall: Aircall) -> None:
    call = post(aircall, "calls", {"started_at": T0 - 10})["id"]
    url = f"{aircall.sandbox.url}/_sandbox/calls/{call}"
    requests.patch(url, json={"archived": True}, timeout=10)
    assert get(aircall, f"/v1/calls/{call}").json()["call"]["archived"] is True
    requests.delete(url, timeout=10)
    assert listed(aircall, "/v1/calls") == []
    tag = post(aircall, "tags", {"name": "VIP"})["id"]
    requests.delete(f"{aircall.sandbox.url}/_sandbox/tags/{tag}", timeout=10)
    assert listed(aircall, "/v1/tags") == []


def test_the_clock_can_be_moved(aircall: Aircall) -> None:
    assert post(aircall, "clock", {"advance": 100}) == {"now": NOW + 100}
    assert post(aircall, "clock", {"set": NOW + 7}) == {"now": NOW + 7}


def test_faults_can_be_set_and_requests_listed(aircall: Aircall) -> None:
    post(aircall, "faults", {"status": 503, "times": 1})
    assert [get(aircall, "/v1/ping", x="y").status_code for _ in range(2)] == [503, 200]
    told = requests.get(f"{aircall.sandbox.url}/_sandbox/requests", params={"since": 1}, timeout=10).json()
    logged = {"method": "GET", "path": "/v1/ping", "query": {"x": "y"}, "status": 200, "at": NOW}
    assert told == {"count": 2, "requests": [logged]}
    requests.delete(f"{aircall.sandbox.url}/_sandbox/requests", timeout=10)
    told = requests.get(f"{aircall.sandbox.url}/_sandbox/requests", timeout=10).json()
    assert told == {"count": 0, "requests": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("PATCH", "calls/1", "{}", (404, "no such record: calls 1")),
        ("DELETE", "webhooks/x", "", (404, "no such record: webhooks x")),
        ("POST", "pigeons", "{}", (404, "no such kind: pigeons")),
        ("POST", "clock", "{}", (400, "KeyError: 'advance'")),
        ("POST", "faults", '{"colour": 1}', (400, "TypeError: Fault.__init__() got an unexpected keyword")),
        ("POST", "calls", "{", (400, "JSONDecodeError: ")),
    ],
)
def test_a_bad_request_is_explained(
    lasting: Aircall, method: str, path: str, body: str, refusal: tuple[int, str]
) -> None:
    answer = requests.request(method, f"{lasting.sandbox.url}/_sandbox/{path}", data=body, timeout=10)
    status, error = refusal
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)
