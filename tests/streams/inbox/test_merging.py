"""Merging all events about one object, in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.inbox.store import Event
from tap_aircall.streams.inbox.streams import merged

Record = dict[str, Any]
SECOND = 1_000


def event(name: str = "message.sent", at: int = 0, identity: str = "a", **data: Any) -> Event:
    """Make an event that happened so many seconds after another."""
    return Event(1, identity, "Acme", name, "message", "m", at * SECOND, 0, {"event": name, "data": data})


def test_fields_that_an_event_omits_stay() -> None:
    events = [
        event(at=0, body="Hello", status="sent"),
        event("message.status_updated", at=1, identity="b", status="read"),
    ]
    assert merged(events) == {"body": "Hello", "status": "read"}


def test_null_clears_a_field_and_a_later_value_sets_it_again() -> None:
    told = event(at=0, body="Hello"), event(at=1, identity="b", body=None), event(at=2, identity="c", body="Again")
    assert merged(told[:2]) == {"body": None}
    assert merged(told) == {"body": "Again"}


def test_a_late_event_does_not_override_a_newer_one() -> None:
    new, old = event(at=9, identity="b", status="read"), event(at=1, status="sent", body="Hello")
    assert merged([new, old]) == merged([old, new]) == {"status": "read", "body": "Hello"}


def test_nested_objects_with_one_id_are_merged() -> None:
    first = event(at=0, number={"id": 1, "name": "Sales"}, contact={"id": 5, "first_name": "Ada"})
    second = event(at=1, identity="b", number={"id": 1, "country": "FR"}, contact={"id": 6}, user={})
    assert merged([first, second]) == {"number": {"id": 1, "name": "Sales", "country": "FR"}, "contact": {"id": 6}}


def test_an_empty_object_changes_nothing() -> None:
    assert merged([event(at=0, contact={"id": 5}), event(at=1, identity="b", contact={})]) == {"contact": {"id": 5}}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"status": "sent", "updated_at": 1_700_000_000}, {"status": "pending", "updated_at": 1_700_000_000_500}),
        ({"status": "sent", "updated_at": "2026-11-23T13:00:00Z"}, {"status": "x", "updated_at": 1_795_438_801}),
        ({"status": "pending"}, {"status": "delivered"}),
        ({"status": "sent"}, {"status": "failed"}),
    ],
)
def test_within_a_second_the_objects_time_and_then_its_status_decide(earlier: Record, later: Record) -> None:
    name = "message.status_updated"
    for ids in ("ab", "ba"):
        events = [event(name, identity=ids[0], **earlier), event(name, identity=ids[1], **later)]
        assert merged(events)["status"] == merged(events[::-1])["status"] == later["status"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("message.sent", "message.status_updated"),
        ("ai_voice_agent.started", "ai_voice_agent.escalated"),
        ("ai_voice_agent.escalated", "ai_voice_agent.ended"),
        ("ai_voice_agent.ended", "ai_voice_agent.summary"),
    ],
)
def test_within_a_second_events_follow_each_other(earlier: str, later: str) -> None:
    for ids in ("ab", "ba"):
        events = [event(later, identity=ids[0], x="later"), event(earlier, identity=ids[1], x="earlier")]
        assert merged(events) == {"x": "later"}


@pytest.mark.parametrize("data", [None, 7, "text", [1]])
def test_an_event_without_an_object_changes_nothing(data: Any) -> None:
    odd = Event(1, "a", "Acme", "message.sent", "message", "m", 0, 0, {"data": data})
    assert merged([odd, event(at=-1, identity="b", body="x")]) == {"body": "x"}


VALUES: st.SearchStrategy[Any] = st.one_of(st.none(), st.integers(0, 3), st.text("ab", max_size=2), st.just({}))
OBJECTS = st.dictionaries(st.sampled_from(["id", "name"]), VALUES, max_size=2)
DATA = st.dictionaries(st.sampled_from(["body", "status", "updated_at", "number"]), VALUES | OBJECTS, max_size=4)
NAMES = st.sampled_from(["message.sent", "message.status_updated", "ai_voice_agent.ended", "message"])


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw events about one object, each with its own id."""
    parts = draw(st.lists(st.tuples(NAMES, st.integers(0, 3), DATA), max_size=8))
    return [event(name, at, f"{number:02x}", **data) for number, (name, at, data) in enumerate(parts)]


@given(histories(), st.data())
def test_order_and_repetition_do_not_matter(history: list[Event], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=8)) if history else []
    shuffled = data.draw(st.permutations([*history, *repeated]))
    assert merged(shuffled) == merged(history)


@given(histories())
def test_each_field_has_its_latest_value(history: list[Event]) -> None:
    said: Record = {}
    for each in sorted(history, key=lambda e: e.happened_at):
        for field, value in each.body["data"].items():
            if value != {}:
                said.setdefault(field, {}).setdefault(each.happened_at, []).append(value)
    record = merged(history)
    assert record.keys() == said.keys()
    for field, by_time in said.items():
        latest = by_time[max(by_time)]
        assert record[field] in latest or isinstance(record[field], dict)
