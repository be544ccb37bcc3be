"""What is set aside: when it is tried again, when it is given up, and how a state keeps it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.reading.later import (
    MOST,
    SOON_SECONDS,
    WEEK_SECONDS,
    YOUNG_SECONDS,
    Later,
    Reason,
    ids_to_state,
    parse_ids,
)

NOW = 1_795_438_800  # 2026-11-23T13:00:00Z
HOUR = 3600
AGES = (1800, 6 * HOUR, 24 * HOUR)


def again(later: Later) -> Later:
    """Return the list as the next run finds it."""
    return Later(json.loads(json.dumps(later.to_state())), AGES)


def test_an_item_is_due_when_an_age_has_come_since_the_last_run() -> None:
    later = Later({}, AGES)
    later.add(1, Reason.REFUSED, NOW)
    later.tried(NOW)
    due = []
    for hours in range(1, 8 * 24):
        later = again(later)
        if later.due(NOW + hours * HOUR):
            due.append(hours)
        later.tried(NOW + hours * HOUR)
    assert due == [1, 6, 24, 7 * 24]


def test_an_item_whose_call_had_not_settled_is_due_soon_whatever_the_ages() -> None:
    later = Later({}, ())
    later.add(1, Reason.EARLY, NOW)
    later.tried(NOW)
    assert later.due(NOW + SOON_SECONDS - 1) == []
    assert later.due(NOW + SOON_SECONDS) == [1]


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        (Reason.REFUSED, WEEK_SECONDS),
        (Reason.UNUSABLE, WEEK_SECONDS),
        (Reason.MISSING, YOUNG_SECONDS),
        (Reason.EARLY, YOUNG_SECONDS),
    ],
)
def test_an_item_is_given_up_after_its_last_try(reason: Reason, seconds: int) -> None:
    later = Later({}, AGES)
    later.add(1, reason, NOW)
    assert later.tried(NOW + seconds - 1) == {}
    assert later.due(NOW + seconds) == [1]
    assert later.is_last_try(1, NOW + seconds)
    assert later.tried(NOW + seconds) == {1: reason}
    assert 1 not in later


def test_a_run_that_comes_late_tries_everything_once() -> None:
    later = Later({}, AGES)
    later.add(1, Reason.REFUSED, NOW)
    later.tried(NOW)
    assert again(later).due(NOW + 100 * WEEK_SECONDS) == [1]


def test_another_reason_is_news_but_keeps_the_time() -> None:
    later = Later({}, AGES)
    assert later.add(1, Reason.EARLY, NOW)
    assert not later.add(1, Reason.EARLY, NOW + HOUR)
    assert later.add(1, Reason.UNUSABLE, NOW + 2 * HOUR)
    assert later.is_last_try(1, NOW + WEEK_SECONDS)
    assert later.due(NOW + WEEK_SECONDS) == [1]


def test_a_list_without_items_leaves_nothing_in_the_state() -> None:
    later = Later({}, AGES)
    later.add(1, Reason.MISSING, NOW)
    later.settle(1)
    later.settle(2)
    later.tried(NOW)
    assert later.to_state() == {}


def test_the_state_is_bounded_and_keeps_the_latest() -> None:
    later = Later({}, AGES)
    for number in range(MOST + 5):
        later.add(10**12 + number, Reason.MISSING, NOW + number // 50)
    later.add(1, Reason.REFUSED, NOW)
    assert (later.room(Reason.MISSING), later.room(Reason.REFUSED)) == (-5, MOST - 1)
    state = again(later)
    assert (state.room(Reason.MISSING), state.room(Reason.REFUSED)) == (0, MOST - 1)
    assert 1 in state
    assert 10**12 + MOST + 4 in state
    assert len(json.dumps(later.to_state())) < 100_000


@given(ids=st.dictionaries(st.integers(-(2**63), 2**63), st.integers(0, 4_000_000_000), max_size=30))
def test_ids_are_the_same_after_a_state(ids: dict[int, int]) -> None:
    assert parse_ids(json.loads(json.dumps(ids_to_state(ids)))) == ids


@given(
    items=st.dictionaries(
        st.integers(1, 2**60), st.tuples(st.sampled_from(Reason), st.integers(NOW, NOW + WEEK_SECONDS)), max_size=20
    ),
    hours=st.lists(st.integers(1, 400), max_size=20),
)
def test_every_item_is_tried_for_the_last_time_once_however_runs_are_spread(
    items: dict[int, tuple[Reason, int]], hours: list[int]
) -> None:
    later = Later({}, AGES)
    for identity, (reason, since) in items.items():
        later.add(identity, reason, since)
    given_up: list[int] = []
    for moment in sorted({*hours, 500}):
        now = NOW + moment * HOUR
        later = again(later)
        due = set(later.due(now))
        over = later.tried(now)
        assert over.keys() <= due
        given_up += over
    assert sorted(given_up) == sorted(items)
    assert later.to_state() == {}


@pytest.mark.parametrize(
    "state",
    [
        {"refused": {"2026-11-23T13:00:00Z": ["1"]}},
        {"refused": {"yesterday": [1]}},
        {"refused": [1]},
        {"lost": {}},
        {"asked_at": "yesterday"},
        {"refused": {"2026-11-23T13:00:00Z": [True]}},
    ],
)
def test_something_else_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((AttributeError, TypeError, ValueError)):
        Later(state, ())
