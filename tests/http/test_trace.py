"""The trace of requests: what it tells, and that it has no values."""

from __future__ import annotations

import itertools
import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from aircall_sandbox.replay import EXAMPLES, Replay
from tap_aircall.http.client import Response
from tap_aircall.http.trace import OTHER, Trace, kind_of, shown_name, squeezed, template
from tap_aircall.reading.times import DAY_SECONDS
from tests.clock import NOW, FakeClock

distances = st.lists(st.integers(-3 * DAY_SECONDS, 10) | st.integers(-40, 0), max_size=30)


def traced(body: Any, path: str = "/v1/calls", **headers: str) -> dict[str, Any]:
    """Trace one answer."""
    trace = Trace(FakeClock())
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    trace.note("GET", path, {"page": "1"}, Response(200, headers, raw), 0.26)
    line: dict[str, Any] = json.loads(trace.lines("tap")[1])
    return line


def replayed(line: dict[str, Any]) -> Any:
    replay = Replay(lines=[line], clock=FakeClock().time)
    assert replay.hits(line["path"], {"page": "1"})
    return json.loads(replay.body)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_kind_has_an_example(kind: str) -> None:
    assert kind_of(EXAMPLES[kind]) == kind


def test_a_line_tells_the_shape_of_an_answer_and_no_value() -> None:
    calls = [
        {"id": 4_100_000_007, "started_at": int(NOW) - 9_000, "user": {"name": "Planted Person"}, "tags": ["a", "b"]},
        {"id": 4_100_000_003, "started_at": int(NOW) - 8_999, "user": None, "cost": "0.10"},
        {"id": {}, "started_at": "", "+33 6 12 34 56 78": 1.5},
        {"user": {"name": "", "created_at": "2026-01-01T00:00:00Z"}},
    ]
    meta = {"total": 130, "per_page": "50", "next_page_link": "https://api.aircall.io/v1/calls?page=2"}
    headers = {
        "Date": "Mon, 23 Nov 2026 12:59:58 GMT",
        "X-AircallApi-Limit": "120",
        "X-AircallApi-Remaining": "planted words",
        "X-AircallApi-Reset": str(int(NOW) + 27),
    }

    assert traced({"calls": calls, "meta": meta}, **headers) == {
        "request": 1,
        "method": "GET",
        "path": "/v1/calls",
        "query": {"page": "1"},
        "seconds": 0.3,
        "status": 200,
        "date": -2,
        "limits": {"X-AircallApi-Limit": 120, "X-AircallApi-Remaining": "text", "X-AircallApi-Reset": "27 s"},
        "fields": {
            "": {"object": 1},
            "calls": {"array": 1},
            "calls[]": {"object": 4},
            "calls[].id": {"integer": 2, "object": 1},
            "calls[].started_at": {"integer": 2, "empty text": 1},
            "calls[].user": {"object": 2, "null": 1},
            "calls[].user.name": {"text": 1, "empty text": 1},
            "calls[].tags": {"array": 1},
            "calls[].tags[]": {"text": 2},
            "calls[].cost": {"number in text": 1},
            f"calls[].{OTHER}": {"number": 1},
            "calls[].user.created_at": {"time": 1},
            "meta": {"object": 1},
            "meta.total": {"integer": 1},
            "meta.per_page": {"integer in text": 1},
            "meta.next_page_link": {"text": 1},
        },
        "counts": {"meta.total": 130},
        "ids": {"calls[].id": [1, 2, "object", "absent"]},
        "times": {"calls[].started_at": [-5, -4, "empty text", "absent"]},
    }


def test_a_record_keeps_its_number_from_answer_to_answer() -> None:
    trace = Trace(FakeClock())
    for ids in ([7, 5], [5, 9], ["5"]):
        body = json.dumps({"calls": [{"id": each} for each in ids]}).encode()
        trace.note("GET", "/v1/calls", {}, Response(200, {}, body), 0)
    trace.note("GET", "/v1/calls", {}, None, 0)
    trace.note("GET", "/v1/calls", {}, Response(502, {}, b"<html>"), 0)

    lines = [json.loads(line) for line in trace.lines("tap")[1:]]

    assert [line["ids"]["calls[].id"] for line in lines[:3]] == [[1, 2], [2, 3], [4]]
    assert (lines[3]["status"], lines[4]["status"], lines[4]["body"]) == (None, 502, "not JSON")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/v1/calls", "/v1/calls"),
        ("/v1/calls/4100000007/transcription", "/v1/calls/{id}/transcription"),
        ("/v1/webhooks/0b7c9f1e-aaaa-bbbb-cccc-1234567890ab", "/v1/webhooks/{id}"),
        ("/v2/users/somebody@example.com/numbers", "/v2/users/{id}/numbers"),
        (
            "Aircall responded to /v2/users/4100000007/numbers with status 500.",
            "Aircall responded to /v2/users/{id}/numbers with status 500.",
        ),
        ("Aircall has no /v1/calls/4100000007: check it.", "Aircall has no /v1/calls/{id} check it."),
    ],
)
def test_ids_in_paths_are_left_out(text: str, shown: str) -> None:
    assert template(text) == shown


@pytest.mark.parametrize(
    "name", ["+33612345678", "a b", "a.b", "a[]", "", "x|y", "`x`", "n123456", "é", "\x1b[31m", "x" * 41]
)
def test_names_that_may_be_data_are_not_told(name: str) -> None:
    assert shown_name(name) == OTHER
    assert shown_name("externalCaller_2") == "externalCaller_2"


@example([-259_197, -259_200])
@given(distances)
def test_times_keep_their_order_their_day_and_their_near_neighbours_and_nothing_else(drawn: list[int]) -> None:
    shown = squeezed(drawn)

    ordered = sorted({*drawn, 0})
    for before, after in itertools.pairwise(ordered):
        gap = after - before
        kept = shown[after] - shown[before]
        assert kept == gap if gap <= 3 else kept > 3
    for each in drawn:
        is_near = any(abs(each - other) <= 3 and abs(other) < abs(each) for other in ordered)  # maybe of the day before
        assert is_near or abs(shown[each]) // DAY_SECONDS == abs(each) // DAY_SECONDS
    assert squeezed(shown[each] for each in drawn) == {shown[each]: shown[each] for each in [*drawn, 0]}


scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-9, 9) | st.text(max_size=3)
names = st.sampled_from(["id", "name", "tags", "user", "started_at", "mood", "+33 6", "a.b"])
anything = st.recursive(
    scalars | st.sampled_from(["7", "2026-01-02T03:04:05Z", "1.50"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
records = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(1, 9)}, optional={"started_at": st.integers(int(NOW) - 9, int(NOW)), "user": anything}
    ),
    max_size=4,
)


@example({"calls": [], "meta": [{"id": -1}, {"id": 2}, {"id": "x"}, {"id": 2**70}, {"id": "7"}]})
@given(anything | st.fixed_dictionaries({"calls": records, "meta": anything}))
def test_a_trace_of_what_the_sandbox_replays_is_the_same_trace(payload: Any) -> None:
    line = traced(payload)

    assert traced(replayed(line)) == line
