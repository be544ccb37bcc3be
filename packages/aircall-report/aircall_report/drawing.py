"""The geometry of the charts, in percent of their width and height: so they fit any screen, and text keeps its size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aircall_report.figures import Bucket

SHADES = 6
"""How many shades a heat map has, apart from none."""
TICKS = 4
"""How many lines a chart has at most, apart from that at the bottom."""
LABELS = 5
"""How many labels there are below a chart at most."""
COLUMN = 0.72
"""Which part of its place a column fills."""
WIDEST = 4.0
"""Width of a column in percent of the chart at most, or a chart of one day would be one block."""


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
    """A value at an axis, in percent."""

    at: float
    value: int


class Column(NamedTuple):
    """The column of a bucket, and the whole of the place that it has."""

    bucket: Bucket
    place: Rect
    answered: Rect
    missed: Rect


@dataclass(frozen=True)
class Columns:
    """A chart with a column for each bucket.

    Args:
        labelled: The columns to write a date below.
    """

    columns: list[Column]
    ticks: list[Tick]
    labelled: list[Column]


@dataclass(frozen=True)
class Line:
    """A share over time: segments between buckets next to each other that have one, and a dot for each."""

    segments: list[tuple[Point, Point]]
    dots: list[tuple[Bucket, Point]]
    ticks: list[Tick]


def columns(buckets: Sequence[Bucket]) -> Columns:
    """Draw inbound calls over time, the answered ones below, the missed ones on top of them."""
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
    """Draw the share of answered calls in SLA over time."""
    place = 100 / max(len(buckets), 1)
    points = []
    for position, bucket in enumerate(buckets):
        within, answered = bucket.tally.in_sla, bucket.tally.answered
        points.append((bucket, Point(place * (position + 0.5), 100 - 100 * within / answered) if answered else None))
    segments = [(one, other) for (_, one), (_, other) in pairwise(points) if one and other]
    dots = [(bucket, point) for bucket, point in points if point]
    return Line(segments, dots, [Tick(100 - value, value) for value in (0, 50, 100)])


def shade(value: int, most: int) -> int:
    """Return how dark a value is, from 0 for nothing to `SHADES` for the most."""
    return -(-value * SHADES // most) if most else 0


def _top(most: int) -> int:
    """Return the value at the top of an axis: that of the last tick."""
    step = _step(most)
    return max(-(-most // step) * step, 1)


def _step(most: int) -> int:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten."""
    magnitude = 1
    while True:
        for factor in (1, 2, 5):
            if factor * magnitude * TICKS >= most:
                return factor * magnitude
        magnitude *= 10


def _ticks(top: int) -> list[Tick]:
    return [Tick(100 - 100 * value / top, value) for value in range(0, top + 1, _step(top))]


def _labelled(drawn: list[Column]) -> list[Column]:
    """Return some of the columns, evenly, and as far from one end as from the other."""
    step = max(-(-len(drawn) // LABELS), 1)
    return drawn[(len(drawn) - 1) % step // 2 :: step]
