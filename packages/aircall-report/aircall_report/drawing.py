"""Geometry of the charts, in percent of their width and height, so that they fit any screen and text keeps its size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aircall_report.figures import Bucket

SHADES = 6
"""Shades of a heat map, besides none."""
TICKS = 4
"""Limit of grid lines, besides the base line."""
HOUR = 3_600
"""Seconds."""
LABELS = 5
"""Limit of labels below a chart."""
COLUMN = 0.72
"""Share of its slot that a column fills."""
WIDEST = 4.0
"""Maximum width of a column in percent of the chart, so that a single day is not one block."""


class Rect(NamedTuple):
    """A rectangle, in percent."""

    x: float
    y: float
    width: float
    height: float


class Point(NamedTuple):
    """A point, in percent."""

    x: float
    y: float


class Tick(NamedTuple):
    """A tick of an axis, at a position in percent."""

    at: float
    value: int


class Column(NamedTuple):
    """The column of a bucket, and its slot."""

    bucket: Bucket
    place: Rect
    answered: Rect
    missed: Rect


@dataclass(frozen=True)
class Columns:
    """A chart with one column per bucket.

    Args:
        labelled: The columns to write a date below.
    """

    columns: list[Column]
    ticks: list[Tick]
    labelled: list[Column]


@dataclass(frozen=True)
class Line:
    """A share over time: a dot for each bucket that has one, and a segment between neighbours."""

    segments: list[tuple[Point, Point]]
    dots: list[tuple[Bucket, Point]]
    ticks: list[Tick]


def columns(buckets: Sequence[Bucket]) -> Columns:
    """Draw inbound calls over time: missed calls stacked on answered ones."""
    top = _top(max((bucket.tally.inbound for bucket in buckets), default=0))
    place = 100 / max(len(buckets), 1)
    width = min(place * COLUMN, WIDEST)
    drawn = []
    for position, bucket in enumerate(buckets):
        x = place * position + (place - width) / 2
        answered = 100 * bucket.tally.answered / top
        missed = 100 * bucket.tally.missed / top
        drawn.append(
            Column(
                bucket,
                Rect(place * position, 0, place, 100),
                Rect(x, 100 - answered, width, answered),
                Rect(x, 100 - answered - missed, width, missed),
            )
        )
    return Columns(drawn, _ticks(top), _labelled(drawn))


def in_sla(buckets: Sequence[Bucket]) -> Line:
    """Draw the share of answered calls within the SLA over time."""
    place = 100 / max(len(buckets), 1)
    points = []
    for position, bucket in enumerate(buckets):
        within, answered = bucket.tally.in_sla, bucket.tally.answered
        points.append((bucket, Point(place * (position + 0.5), 100 - 100 * within / answered) if answered else None))
    segments = [(one, other) for (_, one), (_, other) in pairwise(points) if one and other]
    dots = [(bucket, point) for bucket, point in points if point]
    return Line(segments, dots, [Tick(100 - value, value) for value in (0, 50, 100)])


def day(hours: Mapping[int, Sequence[int]], first: int, last: int) -> Iterator[tuple[int, Rect]]:
    """Draw an agent's day, with a stacked column of their states for each hour.

    Args:
        hours: Seconds of each state by hour of the day; one hour may have the time of two.
        first: The hour at the left.
        last: The hour at the right.

    Yields:
        The index of each state, and its part of the column.
    """
    width = 100 / (last - first + 1)
    for hour, lasted in hours.items():
        top = 100.0
        for place, seconds in enumerate(lasted):
            height = 100 * seconds / max(sum(lasted), HOUR)
            top -= height
            yield place, Rect(width * (hour - first), top, width, height)


def shade(value: int, most: int) -> int:
    """Return the shade of a value, from 0 for none to `SHADES` for the maximum."""
    return -(-value * SHADES // most) if most else 0


def _top(most: int) -> int:
    """Return the value of an axis' last tick."""
    step = _step(most)
    return max(-(-most // step) * step, 1)


def _step(most: int) -> int:
    """Return the distance between ticks: 1, 2 or 5 times a power of ten."""
    magnitude = 1
    while True:
        for factor in (1, 2, 5):
            if factor * magnitude * TICKS >= most:
                return factor * magnitude
        magnitude *= 10


def _ticks(top: int) -> list[Tick]:
    return [Tick(100 - 100 * value / top, value) for value in range(0, top + 1, _step(top))]


def _labelled(drawn: list[Column]) -> list[Column]:
    """Return columns to label, evenly spaced and centred."""
    step = max(-(-len(drawn) // LABELS), 1)
    return drawn[(len(drawn) - 1) % step // 2 :: step]
