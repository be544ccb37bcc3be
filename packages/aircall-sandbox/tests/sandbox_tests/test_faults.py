"""A client sees each fault as a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from aircall_sandbox import Fault
from sandbox_tests.asking import get

if TYPE_CHECKING:
    from aircall_sandbox import RequestLog
    from tests.conftest import Aircall


def test_a_fault_hits_matching_requests(aircall: Aircall) -> None:
    aircall.sandbox.faults.append(Fault(path="/v1/tags", query={"page": "2"}, after=1, times=2, status=500))
    statuses = [get(aircall, "/v1/tags", page=page).status_code for page in (1, 2, 2, 2, 2)]
    assert statuses == [200, 200, 500, 500, 200]


def test_the_same_seed_hits_the_same_requests() -> None:
    def hits(seed: int) -> list[bool]:
        fault = Fault(probability=0.5, seed=seed, times=1000, status=500)
        return [fault.hits("/v1/ping", {}) for _ in range(100)]

    assert hits(1) == hits(1) != hits(2)
    assert 30 < sum(hits(1)) < 70


def test_a_fault_can_set_status_body_and_headers(aircall: Aircall) -> None:
    aircall.sandbox.faults.append(Fault(status=503, body=b"later", headers={"Retry-After": "7"}))
    answer = get(aircall, "/v1/ping")
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (503, b"later", "7")


def test_connections_and_bodies_can_break(aircall: Aircall) -> None:
    faults = aircall.sandbox.faults
    faults.append(Fault(failure="reset"))
    with pytest.raises(requests.ConnectionError, match="ConnectionResetError"):
        get(aircall, "/v1/ping")
    faults.append(Fault(failure="cut"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get(aircall, "/v1/ping")
    faults.append(Fault(failure="cut_json"))
    half = get(aircall, "/v1/ping")
    assert (half.status_code, half.content, half.headers["Content-Length"]) == (200, b'{"ping"', "7")
    faults.append(Fault(failure="html"))
    page = get(aircall, "/v1/ping")
    assert (page.status_code, page.content[:6]) == (200, b"<html>")
    faults.append(Fault(failure="empty"))
    empty = get(aircall, "/v1/ping")
    assert (empty.status_code, empty.content) == (200, b"")
    assert get(aircall, "/v1/ping").json() == {"ping": "pong"}


def test_a_payload_can_be_changed_and_delayed(aircall: Aircall) -> None:
    aircall.sandbox.faults.append(Fault(mutate=lambda payload: payload | {"more": [1]}))
    assert get(aircall, "/v1/ping").json() == {"ping": "pong", "more": [1]}
    aircall.sandbox.faults.append(Fault(delay=30))
    with pytest.raises(requests.ReadTimeout):
        requests.get(aircall.sandbox.url + "/v1/ping", timeout=0.05)


def test_the_world_can_change_between_pages(aircall: Aircall) -> None:
    for _ in range(3):
        aircall.world.add("tags")
    tags = aircall.world.kinds["tags"]

    def on_request(log: RequestLog) -> None:
        if log.query["page"] == "2":
            aircall.world.delete("tags", min(tags))

    aircall.sandbox.on_request = on_request
    walked = [get(aircall, "/v1/tags", per_page=1, page=page).json()["tags"][0]["id"] for page in (1, 2)]
    assert walked == [1001, 1003]
