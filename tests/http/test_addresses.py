"""No id that a server sends leads a request elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aircall_sandbox import Fault
from tap_aircall.errors import ResponseError
from tap_aircall.http.addresses import path_of
from tests.messages import refused

if TYPE_CHECKING:
    from tests.conftest import Aircall

STRAY = ["", ".", "..", "../../v1/company", "1/../..", "1/availability", "1?a=b", "1#a", "1%2F..", "1 2", "1\n2", "é"]


@pytest.mark.parametrize("identity", STRAY)
def test_an_id_that_would_change_the_path_is_refused(identity: str) -> None:
    with refused(ResponseError, "/v2/users/.../numbers"):
        path_of("/v2/users/{}/numbers", identity)


@given(st.integers() | st.text() | st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True))
def test_an_id_is_one_segment_of_a_path(identity: int | str) -> None:
    try:
        path = path_of("/v2/users/{}/numbers", identity)
    except ResponseError:
        assert isinstance(identity, str)
    else:
        assert path.split("/") == ["", "v2", "users", str(identity), "numbers"]
        assert path.isascii()


@pytest.mark.parametrize("stream", ["user_numbers", "dialer_campaigns"])
def test_a_bad_id_ends_the_run_before_a_request_is_made(aircall: Aircall, stream: str) -> None:
    aircall.world.add("users")

    def stray(payload: Any) -> Any:
        payload["users"][0]["id"] = "../../v1/company"
        return payload

    aircall.sandbox.faults.append(Fault(path="/v2/users", times=99, mutate=stray))

    with refused(ResponseError, "/users/...", stream=stream):
        aircall.run(stream)
    assert {log.path for log in aircall.sandbox.requests} == {"/v1/ping", "/v2/users"}
