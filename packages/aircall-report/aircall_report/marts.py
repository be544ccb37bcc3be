"""The report's queries of the marts, in SQL that DuckDB and PostgreSQL share.

They read names of people only to show them. All texts are sanitized: printable, on one line, of limited length.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from aircall_report.database import PageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aircall_report.database import Database

HORIZON_DAYS = 5 * 366
"""Days of data in the report, counted back from the last day, to limit its size."""
OLDEST = date(2010, 1, 1)
"""Aircall did not exist before, so an earlier call is an error in the data."""
PERIODS = (7, 28, 90)
"""Lengths in days of the periods that end with the last day. One more period has all days within the horizon."""
REASONS = (
    "out_of_opening_hours",
    "abandoned_in_ivr",
    "abandoned_in_classic",
    "short_abandoned",
    "no_available_agent",
    "agents_did_not_answer",
)
"""Aircall's reasons for missed calls."""
CALLERS_LISTED = 100
CALLERS_LISTED_PER_NUMBER = 25
"""Maximum number of waiting callers listed, for all numbers and for each."""
WAIT_BOUNDS = (10, 20, 30, 60, 120)
"""Upper bounds in seconds of the classes of the time to answer. The SLA is another one; the last class has none."""
STATES = ("on_call", "after_call_work", "available", "away")
"""States of agents other than offline, named after the columns of the marts."""
NAMELESS = "(no name)"


@dataclass
class Tally:
    """Figures of a group of ended calls, as the marts define them; times are in seconds.

    Args:
        waits: Number of calls in each class of the time to answer.
    """

    inbound: int = 0
    answered: int = 0
    missed: int = 0
    in_sla: int = 0
    sla_uncertain: int = 0
    waited: int = 0
    talk: int = 0
    outbound: int = 0
    connected: int = 0
    voicemails: int = 0
    reached_later: int = 0
    waiting: int = 0
    callbacks: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    waits: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add the figures of another group."""
        mine, others = vars(self), vars(other)
        for name in COUNTS:
            mine[name] += others[name]
        for reason, calls in other.reasons.items():
            self.reasons[reason] += calls
        for high, calls in other.waits.items():
            self.waits[high] += calls


COUNTS = {
    "inbound": "count(case when direction = 'inbound' then 1 end)",
    "answered": "count(case when direction = 'inbound' and is_answered then 1 end)",
    "missed": "count(case when is_missed then 1 end)",
    "in_sla": "count(case when is_in_sla then 1 end)",
    "sla_uncertain": "count(case when is_sla_uncertain then 1 end)",
    "waited": "cast(coalesce(sum(time_to_answer_seconds), 0) as bigint)",
    "talk": "cast(coalesce(sum(talk_seconds), 0) as bigint)",
    "outbound": "count(case when direction = 'outbound' then 1 end)",
    "connected": "count(case when direction = 'outbound' and is_answered then 1 end)",
    "voicemails": "count(case when is_missed and has_voicemail then 1 end)",
    "reached_later": "count(case when callback_status in ('called_back', 'called_again') then 1 end)",
    "waiting": "count(case when callback_status = 'waiting' then 1 end)",
    "callbacks": "count(case when is_callback then 1 end)",
}
"""Expressions that count rows of `aircall__calls`, by field of a tally. The rules are in its columns."""
TEAM_COUNTS = {
    "inbound": "inbound_calls",
    "answered": "answered_calls",
    "missed": "missed_calls",
    "in_sla": "calls_in_sla",
    "sla_uncertain": "calls_sla_uncertain",
    "waited": "time_to_answer_seconds_total",
}
"""The same for `aircall__team_days`."""


class Labelled(NamedTuple):
    """Calls with a tag or a topic."""

    number_id: int | None
    age: int
    label: str
    calls: int
    missed: int


class Caller(NamedTuple):
    """A missed caller who has been neither called back nor answered since."""

    name: str
    company: str
    digits: str
    number_id: int | None
    number: str
    teams: str
    assignee: str
    waiting_since: datetime
    last_missed: datetime
    missed: int
    voicemails: int
    reason: str | None
    call_id: int


class Shift(NamedTuple):
    """An agent's day.

    Args:
        began: When they were first not offline, in the company's time zone; `ended` is when they were last.
        lasted: Seconds in each of `STATES`; None if it is only known from events or polls, and there are none.
        busy: Time on calls and in after-call work, as a share of that time plus the available time.
        hours: Seconds of each of `STATES` by hour of the day.
    """

    name: str
    began: datetime
    ended: datetime
    lasted: list[int | None]
    busy: float | None
    breaks: str
    hours: dict[int, list[int]]


class Stream(NamedTuple):
    """The age of a stream's data; times are in UTC."""

    name: str
    is_loaded: bool
    rows: int
    latest: datetime | None
    extracted: datetime | None


class Completeness(NamedTuple):
    """Number of days with a count from Aircall, number of those with missing calls, and the latest of these."""

    days: int
    first: date | None
    last: date | None
    lacking_days: int
    lacking_calls: int
    worst: list[tuple[date, int, int]]


class Span(NamedTuple):
    """The days in the report, and the number of calls outside them.

    Args:
        latest_call: When the latest call began (UTC).
        offset: Offset of the models' time zone from UTC at that time.
    """

    first: date
    last: date
    latest_call: datetime
    offset: timedelta
    left_out: int


class Marts:
    """The marts of one schema.

    Args:
        database: The database.
        schema: Its schema with the marts.
        sla_seconds: The models' variable `aircall_sla_seconds`.
        anonymous: Whether names and phone numbers of people are not read.

    Raises:
        PageError: If the marts have not been built yet.
    """

    def __init__(self, database: Database, schema: str, *, sla_seconds: int, anonymous: bool) -> None:
        self._database = database
        self._schema = schema
        self.sla_seconds = sla_seconds
        self.anonymous = anonymous
        tables = database.rows("select table_schema, table_name from information_schema.tables")
        if (schema, "aircall__calls") not in tables:
            message = (
                f"There are no models in the schema {one_line(schema)}: build them (meltano run dbt-duckdb:build or "
                "dbt-postgres:build), or name their schema with --schema."
            )
            raise PageError(message)

    def span(self, now: datetime) -> Span | None:
        """Return the days to report on; None without ended calls.

        Args:
            now: The current time in UTC. Days that are in the future in every time zone are left out.
        """
        limit = now.date() + timedelta(days=1)
        (found,) = self._select({"last": "max(call_date)"}, "calls", f"is_ended and {_between(OLDEST, limit)}")
        last = found["last"]
        if last is None:
            return None
        within = _between(max(last - timedelta(days=HORIZON_DAYS - 1), OLDEST), last)
        (borders,) = self._select(
            {
                "first": f"min(case when {within} then call_date end)",
                "left_out": f"count(case when not ({within}) then 1 end)",
            },
            "calls",
            "is_ended",
        )
        (latest,) = self._select(
            {"started": "started_at", "local": "started_at_local"},
            "calls",
            f"is_ended and {within} order by started_at desc limit 1",
        )
        started = _utc(latest["started"])
        return Span(last=last, latest_call=started, offset=latest["local"] - started.replace(tzinfo=None), **borders)

    def check_sla(self) -> None:
        """Check that the models were built with the SLA of the report.

        Raises:
            PageError: If the calls show another SLA.
        """
        (found,) = self._select(
            {
                "within": "max(case when is_in_sla then time_to_answer_seconds end)",
                "beyond": "min(case when not is_in_sla then time_to_answer_seconds end)",
            },
            "calls",
        )
        within, beyond = found["within"], found["beyond"]
        sla = self.sla_seconds
        if (within is not None and within > sla) or (beyond is not None and beyond <= sla):
            message = (
                f"The models were built with another SLA than {sla} s: give theirs with --sla-seconds, or in "
                "DBT_AIRCALL_SLA_SECONDS."
            )
            raise PageError(message)

    def days(self, span: Span) -> Iterator[tuple[int | None, date, Tally]]:
        """Yield the figures of each number and day."""
        bounds = sorted({*WAIT_BOUNDS, self.sla_seconds})
        reasons = {
            reason: f"count(case when is_missed and missed_call_reason = '{reason}' then 1 end)" for reason in REASONS
        }
        wait = "time_to_answer_seconds"
        waits = {f"wait_{bounds[0]}": f"count(case when {wait} <= {bounds[0]} then 1 end)"} | {
            f"wait_{high}": f"count(case when {wait} > {low} and {wait} <= {high} then 1 end)"
            for low, high in pairwise(bounds)
        }
        for row in self._select(
            {"number_id": "number_id", "day": "call_date", **COUNTS, **reasons, **waits},
            "calls",
            f"is_ended and {_within(span)}",
            groups=2,
        ):
            yield (
                row["number_id"],
                row["day"],
                Tally(
                    **{name: row[name] for name in COUNTS},
                    reasons=Counter({reason: row[reason] for reason in REASONS}),
                    waits=Counter({high: row[f"wait_{high}"] for high in bounds}),
                ),
            )

    def hours(self, span: Span) -> Iterator[dict[str, Any]]:
        """Yield the calls of each number, age and hour of the week, 1 for Monday."""
        columns = {"day": "day_of_week", "hour": "call_hour"}
        counts = {name: COUNTS[name] for name in ("inbound", "missed")}
        return self._select(
            _number_and_age(span) | columns | counts, "calls", f"is_ended and {_within(span)}", groups=4
        )

    def agents(self, span: Span) -> Iterator[tuple[int | None, int, int, Tally]]:
        """Yield a number, an age, an agent, and the calls of which they are the main user."""
        for row in self._select(
            _number_and_age(span) | {"user_id": "main_user_id"} | COUNTS,
            "calls",
            f"is_ended and main_user_id is not null and {_within(span)}",
            groups=3,
        ):
            yield row.pop("number_id"), row.pop("age"), row.pop("user_id"), Tally(**row)

    def agent_names(self) -> dict[int, str]:
        """Return the agents' names; if anonymous, numbers in place of names."""
        found = {
            row["user_id"]: _text(row["name"]) or f"User {row['user_id']}"
            for mart, user in (("agent_shifts", "user"), ("calls", "main_user"))
            for row in self._select(
                {"user_id": f"{user}_id", "name": self._personal(f"max({user}_name)")},
                mart,
                f"{user}_id is not null",
                groups=1,
            )
        }
        return (
            {user_id: f"Agent {place}" for place, user_id in enumerate(sorted(found), 1)} if self.anonymous else found
        )

    def shifts(self, day: date) -> list[Shift]:
        """Return the shift of each agent on the last day until this one with any, in the order of their beginning."""
        (found,) = self._select({"worked": "max(date)"}, "agent_shifts", f"date <= {_day(day)}")
        if found["worked"] is None:
            return []
        names, where = self.agent_names(), f"date = {_day(found['worked'])}"
        hours: dict[int, dict[int, list[int]]] = defaultdict(dict)
        lasted = {state: f"{state}_seconds" for state in STATES}
        known = {state: f"coalesce({column}, 0)" for state, column in lasted.items()}
        for row in self._select({"user_id": "user_id", "hour": "hour"} | known, "agent_hours", where):
            hours[row["user_id"]][row["hour"]] = [row[state] for state in STATES]
        columns = {"user_id": "user_id", "began": "began_at_local", "ended": "ended_at_local", "busy": "occupancy"}
        return [
            Shift(
                names[row["user_id"]],
                row["began"],
                row["ended"],
                [row[state] for state in STATES],
                row["busy"],
                _text(row["breaks"]),
                hours[row["user_id"]],
            )
            for row in self._select(
                columns | {"breaks": "breaks"} | lasted, "agent_shifts", f"{where} order by began_at_local, user_id"
            )
        ]

    def number_names(self) -> dict[int | None, str]:
        """Return the names of the company's numbers."""
        names = self._select({"number_id": "number_id", "name": "max(number_name)"}, "calls", groups=1)
        nameless = {None: "No number"}
        return {
            row["number_id"]: _text(row["name"]) or nameless.get(row["number_id"], f"Number {row['number_id']}")
            for row in names
        }

    def teams(self, span: Span) -> Iterator[tuple[int, str, int, Tally]]:
        """Yield the id and name of each team, an age, and its figures."""
        counts = {name: f"cast(sum({column}) as bigint)" for name, column in TEAM_COUNTS.items()}
        for row in self._select(
            {"team_id": "team_id", "age": _age(span), "name": "max(team_name)"} | counts,
            "team_days",
            _within(span),
            groups=2,
        ):
            team_id, age, name = row.pop("team_id"), row.pop("age"), row.pop("name")
            yield team_id, _text(name) or f"Team {team_id}", age, Tally(**row)

    def tags(self, span: Span) -> Iterator[Labelled]:
        """Yield the calls of each number, age and tag."""
        columns = _number_and_age(span) | {"label": "tag_name", "calls": "count(*)", "missed": COUNTS["missed"]}
        for row in self._select(columns, "call_tags", _within(span), groups=3):
            yield Labelled(**row | {"label": _text(row["label"]) or NAMELESS})

    def topics(self, span: Span) -> Iterator[Labelled]:
        """Yield the calls of each number, age and topic.

        The mart has the topics of a call as one text, separated by commas. A text with further commas is not split,
        since they may belong to topics.
        """
        columns = _number_and_age(span) | {"topics": "topics", "count": "topics_count", "calls": "count(*)"}
        for row in self._select(columns, "conversations", f"topics_count > 0 and {_within(span)}", groups=4):
            parts = row["topics"].split(", ")
            for topic in dict.fromkeys(map(_text, parts if len(parts) == row["count"] else [row["topics"]])):
                yield Labelled(row["number_id"], row["age"], topic or NAMELESS, row["calls"], 0)

    def sentiments(self, span: Span) -> Iterator[dict[str, Any]]:
        """Yield the conversations of each number, age and sentiment, and the sum of their predicted satisfaction."""
        columns = _number_and_age(span) | {
            "sentiment": "sentiment",
            "conversations": "count(*)",
            "scored": "count(csat_score)",
            "score": "cast(coalesce(sum(csat_score), 0) as bigint)",
        }
        return self._select(columns, "conversations", _within(span), groups=3)

    def messages(self, span: Span) -> Iterator[dict[str, Any]]:
        """Yield the number of messages by number, age, channel and direction."""
        columns = _number_and_age(span, "message_date") | {
            "channel": "case when kind = 'group' then 'group' else channel end",
            "direction": "direction",
            "messages": "count(*)",
        }
        for row in self._select(columns, "messages", _within(span, "message_date"), groups=4):
            yield row | {"channel": _text(row["channel"])}

    def waiting(self) -> dict[int | None, int]:
        """Return the number of waiting callers, by the number that they called last."""
        columns = {"number_id": "last_number_id", "callers": "count(*)"}
        found = self._select(columns, "missed_callers", "is_waiting", groups=1)
        return {row["number_id"]: row["callers"] for row in found}

    def callers(self) -> list[Caller]:
        """Return the waiting callers, latest first: the first ones of all numbers, and of each."""
        latest = "order by last_missed_at desc, caller_key"
        columns = {
            "position": f"row_number() over ({latest})",
            "of_number": f"row_number() over (partition by last_number_id {latest})",
            "name": self._personal("contact_name"),
            "company": self._personal("contact_company"),
            "digits": self._personal("raw_digits"),
            "number_id": "last_number_id",
            "number": "last_number_name",
            "teams": "last_team_names",
            "assignee": self._personal("assigned_to_name"),
            "waiting_since": "waiting_since",
            "last_missed": "last_missed_at_local",
            "missed": "missed_calls_waiting",
            "voicemails": "voicemails_waiting",
            "reason": "last_missed_call_reason",
            "call_id": "last_missed_call_id",
        }
        texts = ("name", "company", "digits", "number", "teams", "assignee")
        return [
            Caller(**row | {name: _text(row[name]) for name in texts} | {"waiting_since": _utc(row["waiting_since"])})
            for row in self._select(columns, "missed_callers", f"is_waiting {latest}")
            if min(row.pop("position") - CALLERS_LISTED, row.pop("of_number") - CALLERS_LISTED_PER_NUMBER) <= 0
        ]

    def streams(self) -> list[Stream]:
        """Return the age of the streams' data."""
        columns = {
            "name": "stream",
            "is_loaded": "is_loaded",
            "rows": "row_count",
            "latest": "latest_record_at",
            "extracted": "extracted_at",
        }
        return [
            Stream(**row | {name: row[name] and _utc(row[name]) for name in ("latest", "extracted")})
            for row in self._select(columns, "freshness", "true order by stream")
        ]

    def completeness(self) -> Completeness:
        """Return whether calls are missing."""
        columns = {
            "days": "count(*)",
            "first": "min(date)",
            "last": "max(date)",
            "lacking_days": "count(case when not is_complete then 1 end)",
            "lacking_calls": "cast(coalesce(sum(calls_lacking), 0) as bigint)",
        }
        (found,) = self._select(columns, "completeness")
        lacking = self._select(
            {"day": "date", "theirs": "calls_at_aircall", "ours": "calls_here"},
            "completeness",
            "not is_complete order by date desc limit 5",
        )
        return Completeness(**found, worst=[tuple(row.values()) for row in lacking])

    def _select(
        self, columns: Mapping[str, str], mart: str, where: str = "true", *, groups: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query by name of the column.

        Args:
            columns: SQL expressions by name.
            mart: Name of the mart.
            where: SQL after WHERE.
            groups: Number of leading columns to group by.
        """
        listed = ", ".join(f'{expression} as "{name}"' for name, expression in columns.items())
        grouped = f" group by {', '.join(map(str, range(1, groups + 1)))}" if groups else ""
        query = f"select {listed} from {self._quoted_schema}.aircall__{mart} where {where}{grouped}"  # noqa: S608 - ours
        for row in self._database.rows(query):
            yield dict(zip(columns, row, strict=True))

    def _personal(self, column: str) -> str:
        return "null" if self.anonymous else column

    @property
    def _quoted_schema(self) -> str:
        return '"' + self._schema.replace('"', '""') + '"'


def _number_and_age(span: Span, column: str = "call_date") -> dict[str, str]:
    return {"number_id": "number_id", "age": _age(span, column)}


def _within(span: Span, column: str = "call_date") -> str:
    return _between(span.first, span.last, column)


def _between(first: date, last: date, column: str = "call_date") -> str:
    return f"{column} between {_day(first)} and {_day(last)}"


def _age(span: Span, column: str = "call_date") -> str:
    """Return SQL for the index of the shortest of `PERIODS` that contains a day."""
    cases = (f"when {column} > {_day(span.last - timedelta(days=days))} then {age}" for age, days in enumerate(PERIODS))
    return f"case {' '.join(cases)} else {len(PERIODS)} end"


def _day(day: date) -> str:
    return f"date '{day.isoformat()}'"


def _text(value: Any) -> str:
    return one_line(str(value or ""))


def _utc(time: datetime) -> datetime:
    """Return a time of a mart in UTC; in DuckDB, it has no time zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
