"""Who is loaded when: nobody too often, nobody for ever, and nobody behind a long queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aircall_customers.alerts import trouble
from aircall_customers.customers import Customer
from aircall_customers.due import LONGEST_PAUSE, QUEUE, choose, due, pause
from aircall_customers.guard import Record

NOW = datetime(2026, 11, 23, 13, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def customer(name: str = "acme", schedule: str = "0 * * * *") -> Customer:
    return Customer.model_validate({"name": name, "credentials": {"environment": "A"}, "schedule": schedule})


def record(**given: Any) -> Record:
    well: dict[str, Any] = {
        "customer": "acme",
        "epoch": 1,
        "run": None,
        "is_held": False,
        "began_at": NOW - HOUR,
        "ended_at": NOW - HOUR + MINUTE,
        "succeeded_at": NOW - HOUR + MINUTE,
        "calls_until": NOW - HOUR,
        "failures": 0,
        "error_kind": None,
        "error": None,
        "marked_at": None,
        "inbox_position": None,
        "alerted_for": None,
    }
    return Record(**(well | given))


@pytest.mark.parametrize(
    ("given", "since", "reason", "is_long"),
    [
        ({}, NOW - 30 * timedelta(seconds=1), "on schedule", False),
        ({"began_at": NOW - 20 * timedelta(seconds=1)}, None, "", False),
        ({"is_held": True, "run": "machine 1"}, None, "", False),
        ({"marked_at": NOW - HOUR, "failures": 9}, None, "", False),
        ({"run": "machine 1"}, NOW - HOUR + MINUTE, "was killed", False),
        ({"run": "machine 1", "began_at": NOW - 30 * timedelta(seconds=1)}, None, "", False),
        ({"failures": 3}, NOW - HOUR + 5 * MINUTE, "failed 3 times", False),
        ({"failures": 3, "ended_at": NOW - 3 * MINUTE}, None, "", False),
        ({"failures": 1, "succeeded_at": None}, NOW - HOUR + 2 * MINUTE, "failed 1 times", True),
        (
            {"succeeded_at": NOW - timedelta(days=3), "began_at": NOW - HOUR},
            NOW - 30 * timedelta(seconds=1),
            "on schedule",
            True,
        ),
    ],
)
def test_a_customer_is_due_when_its_schedule_or_a_failure_says_so(
    given: dict[str, Any], since: datetime | None, reason: str, *, is_long: bool
) -> None:
    wanted = due(customer(), record(**given), NOW)

    assert wanted == (None if since is None else (since, "acme", reason, is_long))


def test_a_customer_that_was_never_loaded_is_due_at_once() -> None:
    assert due(customer(), None, NOW) == (NOW, "acme", "never loaded", True)
    assert due(customer(), record(began_at=None, ended_at=None, succeeded_at=None), NOW) is not None


def test_news_in_the_inbox_make_a_customer_due_soon() -> None:
    fresh = record(began_at=NOW - 2 * MINUTE, inbox_position=7)

    assert due(customer(schedule="30 * * * *"), fresh, NOW, news=7) is None
    assert due(customer(schedule="30 * * * *"), fresh, NOW, news=8) == (
        NOW - MINUTE,
        "acme",
        "new events in the inbox",
        False,
    )
    assert due(customer(schedule="30 * * * *"), replace(fresh, began_at=NOW), NOW, news=8) is None


def test_pauses_double_up_to_an_hour() -> None:
    assert [pause(count) // MINUTE for count in (1, 2, 3, 6, 7, 10_000)] == [1, 2, 4, 32, 60, 60]
    assert pause(10_000) == LONGEST_PAUSE


@given(data=st.data(), count=st.integers(0, 40), at_once=st.integers(1, 6))
def test_queues_are_short_and_those_who_wait_longest_are_first(data: st.DataObject, count: int, at_once: int) -> None:
    customers = [customer(f"c{number}") for number in range(count)]
    records = {}
    for each in customers:
        age = data.draw(st.integers(0, 10_000))
        new = data.draw(st.booleans())
        records[each.name] = record(began_at=NOW - age * MINUTE, succeeded_at=None if new else NOW - HOUR)
    busy = (
        data.draw(st.sets(st.sampled_from([each.name for each in customers]), max_size=2 * at_once)) if count else set()
    )
    long_loads = data.draw(st.integers(0, len(busy)))

    chosen = choose(customers, records, NOW, news={}, busy=busy, long_loads=long_loads, at_once=at_once)

    assert len(chosen) + len(busy) <= max(QUEUE * at_once, len(busy))
    assert not {each.name for each in chosen} & busy
    assert sum(each.is_long for each in chosen) + long_loads <= max(at_once // 2, 1, long_loads)
    assert chosen == sorted(chosen)
    ordinary = [each for each in (due(one, records[one.name], NOW) for one in customers) if each and not each.is_long]
    passed_over = [each for each in ordinary if each not in chosen and each.name not in busy]
    if passed_over and len(chosen) + len(busy) < QUEUE * at_once:
        raise AssertionError(passed_over)


def test_first_loads_of_hours_do_not_keep_hourly_loads_waiting() -> None:
    """Forty customers come at once to forty that are there: a load takes a minute, a first one five hours."""
    at_once = 4
    customers = {
        name: customer(name, "@hourly") for name in [f"old{n}" for n in range(40)] + [f"new{n}" for n in range(40)]
    }
    records = {
        name: record(customer=name, succeeded_at=NOW - HOUR, began_at=NOW - HOUR)
        for name in customers
        if name[0] == "o"
    }
    running: dict[str, tuple[datetime, bool]] = {}
    waiting: list[tuple[str, bool]] = []
    latest = dict.fromkeys(records, timedelta())
    now = NOW
    for _ in range(24 * 60):
        now += MINUTE
        for name in [name for name, (until, _) in running.items() if until <= now]:
            del running[name]
            before = records.get(name) or record(customer=name, began_at=now)
            records[name] = replace(before, ended_at=now, succeeded_at=now)
        chosen = choose(
            customers.values(),
            records,
            now,
            news={},
            busy={*running, *(name for name, _ in waiting)},
            long_loads=sum(is_long for _, is_long in [*running.values(), *waiting]),
            at_once=at_once,
        )
        waiting += [(each.name, each.is_long) for each in chosen]
        while waiting and len(running) < at_once:
            name, is_long = waiting.pop(0)
            if name in latest:
                latest[name] = max(latest[name], now - records[name].began_at)  # type: ignore[operator]
            records[name] = replace(records.get(name) or record(customer=name, succeeded_at=None), began_at=now)
            running[name] = (now + (5 * HOUR if is_long else MINUTE), is_long)

    assert max(latest.values()) <= timedelta(minutes=75)
    assert sum(records[name].succeeded_at is not None for name in records if name[0] == "n") >= 6


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ({}, None),
        ({"failures": 2, "error": "no"}, None),
        ({"failures": 3, "error": "no"}, "failing"),
        ({"failures": 3, "error": "no", "marked_at": NOW}, "marked"),
        ({"succeeded_at": NOW - 2 * HOUR}, None),
        ({"succeeded_at": NOW - 4 * HOUR}, "behind"),
    ],
)
def test_trouble_is_what_a_person_has_to_look_at(given: dict[str, Any], subject: str | None) -> None:
    wrong = trouble(customer(), record(**given), NOW)

    assert (wrong and wrong[0]) == subject
    assert trouble(customer(), None, NOW) is None
