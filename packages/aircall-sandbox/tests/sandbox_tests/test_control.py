"""Other processes control the sandbox over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox_tests.asking import control, get, listed
from tests.clock import NOW

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)


def post(aircall: Aircall, path: str, body: Any) -> Any:
    return control(aircall, "POST", path, body).json()


def test_records_can_be_added_changed_and_deleted(aircall: Aircall) -> None:
    call = post(aircall, "calls", {"started_at": T0 - 10})["id"]
    control(aircall, "PATCH", f"calls/{call}", {"archived": True})
    assert get(aircall, f"/v1/calls/{call}").json()["call"]["archived"] is True
    control(aircall, "DELETE", f"calls/{call}")
    assert listed(aircall, "/v1/calls") == []
    tag = post(aircall, "tags", {"name": "VIP"})["id"]
    control(aircall, "DELETE", f"tags/{tag}")
    assert listed(aircall, "/v1/tags") == []


def test_the_clock_can_be_moved(aircall: Aircall) -> None:
    assert post(aircall, "clock", {"advance": 100}) == {"now": NOW + 100}
    assert post(aircall, "clock", {"set": NOW + 7}) == {"now": NOW + 7}


def test_faults_can_be_set_and_requests_listed(aircall: Aircall) -> None:
    post(aircall, "faults", {"status": 503, "times": 1})
    assert [get(aircall, "/v1/ping", x="y").status_code for _ in range(2)] == [503, 200]
    logged = {"method": "GET", "path": "/v1/ping", "query": {"x": "y"}, "status": 200, "at": NOW}
    assert control(aircall, "GET", "requests?since=1").json() == {"count": 2, "requests": [logged]}
    control(aircall, "DELETE", "requests")
    assert control(aircall, "GET", "requests").json() == {"count": 0, "requests": []}


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
