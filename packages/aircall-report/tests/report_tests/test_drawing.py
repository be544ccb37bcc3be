"""Whatever the figures are, charts stay in their frame, and no call is lost between columns."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aircall_report import drawing, wording
from aircall_report.figures import Bucket, Period, buckets
from aircall_report.marts import Tally

DAYS = st.dates(min_value=date(2010, 1, 1), max_value=date(2030, 1, 1))


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Draw a day's figures, as far as charts show them."""
    answered = draw(st.integers(0, 10**9))
    missed = draw(st.integers(0, 10**9))
    return Tally(inbound=answered + missed, answered=answered, missed=missed, in_sla=draw(st.integers(0, answered)))


@given(st.lists(tallies(), min_size=1, max_size=100))
def test_charts_stay_in_their_frame(days: list[Tally]) -> None:
    chart = drawing.columns([Bucket(date(2026, 1, 1), date(2026, 1, 1), tally) for tally in days])
    assert len(chart.columns) == len(days)
    assert 1 <= len(chart.labelled) <= drawing.LABELS
    assert 2 <= len(chart.ticks) <= drawing.TICKS + 1
    assert (chart.ticks[0].at, chart.ticks[-1].at) == (100, 0)
    for tally, column in zip(days, chart.columns, strict=True):
        top = chart.ticks[-1].value
        assert column.answered.height == pytest.approx(100 * tally.answered / top)
        assert column.missed.height == pytest.approx(100 * tally.missed / top)
        assert column.answered.y + column.answered.height == pytest.approx(100)
        assert column.missed.y + column.missed.height == pytest.approx(column.answered.y)
        assert column.missed.y >= -1e-9
        assert 0 <= column.answered.x < column.answered.x + column.answered.width <= 100 + 1e-9
    line = drawing.in_sla(chart_buckets := [column.bucket for column in chart.columns])
    assert len(line.dots) == sum(bucket.tally.answered > 0 for bucket in chart_buckets)
    assert all(0 <= dot.y <= 100 for _, dot in line.dots)


@given(st.dictionaries(st.integers(3, 20), st.tuples(*[st.integers(0, 1_800)] * 4)))
def test_a_day_is_drawn_hour_by_hour(hours: dict[int, tuple[int, ...]]) -> None:
    drawn = list(drawing.day(hours, 3, 20))
    assert len(drawn) == 4 * len(hours)
    for hour, lasted in hours.items():
        parts = [part for _, part in drawn if part.x == pytest.approx((hour - 3) * 100 / 18)]
        share = min(sum(lasted) / 3_600, 1)  # an hour that comes twice has the time of two
        assert sum(part.height for part in parts) == pytest.approx(100 * share)
        assert parts[-1].y == pytest.approx(100 - 100 * share)
        assert all(one.y == pytest.approx(other.y + other.height) for one, other in pairwise(parts))
        assert parts[0].x + parts[0].width <= 100 + 1e-9


@given(DAYS, st.integers(1, 1830), st.data())
def test_columns_cover_a_period_and_lose_no_call(last: date, days: int, data: st.DataObject) -> None:
    first = last - timedelta(days=days - 1)
    called = data.draw(st.dictionaries(st.integers(0, days - 1), st.integers(1, 9), max_size=5))
    found = list(
        buckets(
            Period("all", first, last, 3),
            {first + timedelta(days=day): Tally(inbound=calls) for day, calls in called.items()},
        )
    )
    assert (found[0].first, found[-1].last) == (first, last)
    assert all(other.first == one.last + timedelta(days=1) for one, other in pairwise(found))
    assert sum(bucket.tally.inbound for bucket in found) == sum(called.values())
    assert len(found) <= 107


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_shades_grow_with_the_value_and_none_is_nothing(value: int, other: int) -> None:
    most = max(value, other)
    assert drawing.shade(0, most) == 0
    assert drawing.shade(most, most) == (drawing.SHADES if most else 0)
    if value <= other:
        assert drawing.shade(value, most) <= drawing.shade(other, most)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_share_is_all_or_nothing_only_if_it_is(part: int, rest: int) -> None:
    share = wording.share(part, part + rest)
    assert (share == "100%") == (part > 0 and rest == 0)
    assert (share == "0%") == (part == 0 and rest > 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, wording.NOTHING),
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3_600, "1 h"),
        (18_600, "5 h 10 min"),
        (172_799, "47 h 59 min"),
        (172_800, "2 days"),
        (86_400_000, "1,000 days"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text
