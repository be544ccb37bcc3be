"""The figures of the page: a view for each period, and for all numbers together or one of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from aircall_report.marts import PERIODS, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aircall_report.marts import Labelled, Marts, Span

NUMBERS_TO_CHOOSE = 12
"""Maximum number of numbers with their own view; the busiest ones get it."""
ROWS = 40
"""Limit of rows in a table."""
LABELS = 12
"""Limit of tags and of topics."""
LONGEST_IN_DAYS = 92
LONGEST_IN_WEEKS = 2 * 366
"""Longest periods, in days, with a column per day or week; longer ones have a column per month."""
USUAL_DAYS = 28
"""The period that the page opens with."""


class Period(NamedTuple):
    """A number of days up to the latest.

    Args:
        age: The highest age of calls in it; see `marts.PERIODS`.
    """

    key: str
    first: date
    last: date
    age: int

    @property
    def days(self) -> int:
        """Length in days."""
        return (self.last - self.first).days + 1


class Bucket(NamedTuple):
    """The calls of a day, week or month; at the edges of the period, of the part inside it."""

    first: date
    last: date
    tally: Tally


@dataclass
class Row:
    """A number, team or agent with its calls."""

    name: str
    tally: Tally


@dataclass
class Label:
    """A tag or topic with its calls."""

    name: str
    calls: int = 0
    missed: int = 0


@dataclass
class View:
    """The figures for one choice of period and number.

    Args:
        number: Name of the number; None for all.
        before: Figures of the previous period of the same length, if the data covers it.
        hours: Inbound and missed calls by day of the week, 1 for Monday, and hour.
        numbers: Only in the view of all numbers, like teams, which the marts do not have by number.
        numbers_left_out: How many numbers are beyond the end of the list; the same for teams and agents.
        sentiments: Conversations by sentiment.
        scored: Number of conversations with a predicted satisfaction.
        score: Sum of the predicted satisfactions, from 0 to 100 each.
        messages: Messages by channel and direction.
    """

    period: Period
    number: str | None
    line: str
    tally: Tally = field(default_factory=Tally)
    before: Tally | None = None
    buckets: list[Bucket] = field(default_factory=list)
    hours: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    numbers: list[Row] = field(default_factory=list)
    numbers_left_out: int = 0
    teams: list[Row] = field(default_factory=list)
    teams_left_out: int = 0
    agents: list[Row] = field(default_factory=list)
    agents_left_out: int = 0
    tags: list[Label] = field(default_factory=list)
    topics: list[Label] = field(default_factory=list)
    sentiments: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    score: int = 0
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class Figures:
    """All views, and the choices that select them.

    Args:
        lines: Names of all numbers and of those that can be chosen, by key.
        line_of: The key of each number that can be chosen.
        views: The views by the keys of period and line.
    """

    periods: list[Period]
    lines: dict[str, str]
    line_of: dict[int | None, str]
    views: dict[tuple[str, str], View]

    @property
    def usual(self) -> Period:
        """The period that the report opens with."""
        return next((period for period in self.periods if period.days == USUAL_DAYS), self.periods[-1])


ALL = "all"
"""Key of the view of all numbers, and of the period of all days."""


def count(marts: Marts, span: Span) -> Figures:
    """Compute the figures from the marts."""
    periods = _periods(span)
    names = marts.number_names()
    days = list(marts.days(span))
    busy: dict[int | None, int] = defaultdict(int)
    for number_id, _, tally in days:
        busy[number_id] += tally.inbound + tally.outbound
    ranked = sorted(busy, key=lambda number_id: (-busy[number_id], names[number_id], number_id or 0))
    line_of = {number_id: f"number{place}" for place, number_id in enumerate(ranked[:NUMBERS_TO_CHOOSE], 1)}
    if len(line_of) == 1:
        line_of = {}  # a view of the only number would equal that of all
    lines = {ALL: "All numbers"} | {line_of[number_id]: names[number_id] for number_id in line_of}
    views = {
        (period.key, line): View(period, None if line == ALL else name, line)
        for period in periods
        for line, name in lines.items()
    }
    figures = Figures(periods, lines, line_of, views)
    _add_days(figures, span, days)
    _add_numbers(figures, days, names)
    _add_agents(figures, marts.agents(span), marts.agent_names())
    _add_teams(figures, marts.teams(span))
    _add_labels(figures, marts.tags(span), "tags")
    _add_labels(figures, marts.topics(span), "topics")
    for row in marts.hours(span):
        for view in _views(figures, row["number_id"], row["age"]):
            inbound, missed = view.hours.get((row["day"], row["hour"]), (0, 0))
            view.hours[row["day"], row["hour"]] = (inbound + row["inbound"], missed + row["missed"])
    for row in marts.sentiments(span):
        for view in _views(figures, row["number_id"], row["age"]):
            if row["sentiment"]:
                view.sentiments[row["sentiment"]] += row["conversations"]
            view.scored += row["scored"]
            view.score += row["score"]
    for row in marts.messages(span):
        for view in _views(figures, row["number_id"], row["age"]):
            view.messages[row["channel"], row["direction"] or ""] += row["messages"]
    return figures


def _periods(span: Span) -> list[Period]:
    found = [
        Period(f"{days}", span.last - timedelta(days=days - 1), span.last, age)
        for age, days in enumerate(PERIODS)
        if span.last - timedelta(days=days - 1) > span.first
    ]
    return [*found, Period(ALL, span.first, span.last, len(PERIODS))]


def _views(figures: Figures, number_id: int | None, age: int) -> Iterator[View]:
    """Yield the keys of the views that include a number and an age in days."""
    for period in figures.periods:
        if age <= period.age:
            yield figures.views[period.key, ALL]
            if number_id in figures.line_of:
                yield figures.views[period.key, figures.line_of[number_id]]


def _add_days(figures: Figures, span: Span, days: list[tuple[int | None, date, Tally]]) -> None:
    of_line: dict[str, dict[date, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for number_id, day, tally in days:
        of_line[ALL][day].add(tally)
        if number_id in figures.line_of:
            of_line[figures.line_of[number_id]][day].add(tally)
    for view in figures.views.values():
        period, of_day = view.period, of_line[view.line]
        view.buckets = list(buckets(period, of_day))
        for bucket in view.buckets:
            view.tally.add(bucket.tally)
        before = period.first - timedelta(days=period.days)
        if before >= span.first and period.key != ALL:
            view.before = _sum(tally for day, tally in of_day.items() if before <= day < period.first)


def _add_numbers(figures: Figures, days: list[tuple[int | None, date, Tally]], names: dict[int | None, str]) -> None:
    for period in figures.periods:
        rows: dict[int | None, Row] = {}
        for number_id, day, tally in days:
            if day >= period.first:
                rows.setdefault(number_id, Row(names[number_id], Tally())).tally.add(tally)
        view = figures.views[period.key, ALL]
        view.numbers, view.numbers_left_out = _busiest(rows.values())


def _busiest(rows: Iterable[Row]) -> tuple[list[Row], int]:
    """Return the rows with the most calls, and the number of rows left out."""
    ranked = sorted(rows, key=lambda row: (-row.tally.inbound - row.tally.outbound, row.name))
    return ranked[:ROWS], max(len(ranked) - ROWS, 0)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def buckets(period: Period, of_day: dict[date, Tally]) -> Iterator[Bucket]:
    """Split a period into days, weeks or months, whichever fits its length."""
    first = period.first
    while first <= period.last:
        if period.days <= LONGEST_IN_DAYS:
            after = first + timedelta(days=1)
        elif period.days <= LONGEST_IN_WEEKS:
            after = first + timedelta(days=7 - first.weekday())
        else:
            after = (first.replace(day=1) + timedelta(days=31)).replace(day=1)
        after = min(after, period.last + timedelta(days=1))
        days = (first + timedelta(days=offset) for offset in range((after - first).days))
        yield Bucket(first, after - timedelta(days=1), _sum(of_day[day] for day in days if day in of_day))
        first = after


def _add_agents(figures: Figures, calls: Iterable[tuple[int | None, int, int, Tally]], names: dict[int, str]) -> None:
    rows: dict[tuple[str, str], dict[int, Row]] = defaultdict(dict)
    for number_id, age, user_id, tally in calls:
        for view in _views(figures, number_id, age):
            rows[view.period.key, view.line].setdefault(user_id, Row(names[user_id], Tally())).tally.add(tally)
    for key, agents in rows.items():
        view = figures.views[key]
        view.agents, view.agents_left_out = _busiest(agents.values())


def _add_teams(figures: Figures, days: Iterable[tuple[int, str, int, Tally]]) -> None:
    rows: dict[str, dict[int, Row]] = defaultdict(dict)
    for team_id, name, age, tally in days:
        for period in figures.periods:
            if age <= period.age:
                rows[period.key].setdefault(team_id, Row(name, Tally())).tally.add(tally)
    for period_key, teams in rows.items():
        view = figures.views[period_key, ALL]
        view.teams, view.teams_left_out = _busiest(teams.values())


def _add_labels(figures: Figures, found: Iterable[Labelled], name: str) -> None:
    labels: dict[tuple[str, str], dict[str, Label]] = defaultdict(dict)
    for labelled in found:
        for view in _views(figures, labelled.number_id, labelled.age):
            label = labels[view.period.key, view.line].setdefault(labelled.label, Label(labelled.label))
            label.calls += labelled.calls
            label.missed += labelled.missed
    for key, of_view in labels.items():
        ranked = sorted(of_view.values(), key=lambda label: (-label.calls, label.name))
        setattr(figures.views[key], name, ranked[:LABELS])
