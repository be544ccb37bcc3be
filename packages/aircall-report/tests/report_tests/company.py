"""A DuckDB file with the columns of the marts that the report reads, to be filled by hand, and a reader of its page.

tests/targets/test_models.py makes sure that the marts which dbt builds have these columns, of these types.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
from typing_extensions import override

from aircall_report.content import Content
from aircall_report.database import reading
from aircall_report.marts import Marts
from aircall_report.page import write

if TYPE_CHECKING:
    from pathlib import Path

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 24, 20, 30, tzinfo=UTC)
"""A Tuesday, 21:30 in Paris."""
SLA_SECONDS = 20
STATES = ("on_call_seconds", "after_call_work_seconds", "available_seconds", "away_seconds")
COLUMNS = {
    "aircall__calls": {
        "call_id": "bigint",
        "direction": "varchar",
        "is_ended": "boolean",
        "is_answered": "boolean",
        "is_missed": "boolean",
        "missed_call_reason": "varchar",
        "has_voicemail": "boolean",
        "started_at": "timestamp",
        "started_at_local": "timestamp",
        "call_date": "date",
        "call_hour": "integer",
        "day_of_week": "integer",
        "number_id": "bigint",
        "number_name": "varchar",
        "main_user_id": "bigint",
        "main_user_name": "varchar",
        "time_to_answer_seconds": "bigint",
        "is_in_sla": "boolean",
        "is_sla_uncertain": "boolean",
        "talk_seconds": "bigint",
        "callback_status": "varchar",
        "is_callback": "boolean",
    },
    "aircall__team_days": {
        "team_id": "bigint",
        "call_date": "date",
        "team_name": "varchar",
        "inbound_calls": "bigint",
        "answered_calls": "bigint",
        "missed_calls": "bigint",
        "calls_in_sla": "bigint",
        "calls_sla_uncertain": "bigint",
        "time_to_answer_seconds_total": "bigint",
    },
    "aircall__call_tags": {"number_id": "bigint", "call_date": "date", "tag_name": "varchar", "is_missed": "boolean"},
    "aircall__conversations": {
        "number_id": "bigint",
        "call_date": "date",
        "topics": "varchar",
        "topics_count": "bigint",
        "sentiment": "varchar",
        "csat_score": "bigint",
    },
    "aircall__messages": {
        "number_id": "bigint",
        "message_date": "date",
        "kind": "varchar",
        "channel": "varchar",
        "direction": "varchar",
    },
    "aircall__agent_shifts": {
        "user_id": "bigint",
        "date": "date",
        "user_name": "varchar",
        "began_at_local": "timestamp",
        "ended_at_local": "timestamp",
        "on_call_seconds": "bigint",
        "after_call_work_seconds": "bigint",
        "available_seconds": "bigint",
        "away_seconds": "bigint",
        "occupancy": "double",
        "breaks": "varchar",
    },
    "aircall__agent_hours": {
        "user_id": "bigint",
        "date": "date",
        "hour": "integer",
        "on_call_seconds": "bigint",
        "after_call_work_seconds": "bigint",
        "available_seconds": "bigint",
        "away_seconds": "bigint",
    },
    "aircall__missed_callers": {
        "caller_key": "varchar",
        "raw_digits": "varchar",
        "contact_name": "varchar",
        "contact_company": "varchar",
        "is_waiting": "boolean",
        "waiting_since": "timestamp",
        "missed_calls_waiting": "bigint",
        "voicemails_waiting": "bigint",
        "last_missed_at": "timestamp",
        "last_missed_at_local": "timestamp",
        "last_missed_call_id": "bigint",
        "last_missed_call_reason": "varchar",
        "last_number_id": "bigint",
        "last_number_name": "varchar",
        "last_team_names": "varchar",
        "assigned_to_name": "varchar",
    },
    "aircall__freshness": {
        "stream": "varchar",
        "is_loaded": "boolean",
        "row_count": "bigint",
        "latest_record_at": "timestamp",
        "extracted_at": "timestamp",
    },
    "aircall__completeness": {
        "date": "date",
        "calls_at_aircall": "bigint",
        "calls_here": "bigint",
        "calls_lacking": "bigint",
        "is_complete": "boolean",
    },
}


class Company:
    """A made-up company, whose marts are filled row by row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls = 0
        self._connection: duckdb.DuckDBPyConnection | None = None
        self.execute("create schema analytics")
        for mart, columns in COLUMNS.items():
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            self.execute(f"create table analytics.{mart} ({listed})")

    @property
    def path(self) -> str:
        """The file, with all that was added."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return str(self._path)

    def execute(self, sql: str, values: list[Any] | None = None) -> None:
        """Run a statement."""
        if self._connection is None:
            self._connection = duckdb.connect(str(self._path), config={"threads": 1})
        self._connection.execute(sql, values)

    def add(self, mart: str, *rows: dict[str, Any]) -> None:
        """Add rows to a mart; what they leave out is null."""
        for row in rows:
            marks = ", ".join("?" * len(row))
            self.execute(
                f"insert into analytics.aircall__{mart} ({', '.join(row)}) values ({marks})", list(row.values())
            )

    def call(self, at: str, **columns: Any) -> dict[str, Any]:
        """Return a call that is over.

        Args:
            at: When it began, by the clock of Paris.
            columns: What is not as in an inbound call to number 1 that was answered in 12 s, and took a minute.
        """
        local = datetime.fromisoformat(at)
        self._calls += 1
        row: dict[str, Any] = {
            "call_id": self._calls,
            "direction": "inbound",
            "is_ended": True,
            "is_answered": True,
            "is_missed": False,
            "started_at": local.replace(tzinfo=PARIS).astimezone(UTC).replace(tzinfo=None),
            "started_at_local": local,
            "call_date": local.date(),
            "call_hour": local.hour,
            "day_of_week": local.isoweekday(),
            "number_id": 1,
            "number_name": "Support",
            "is_callback": False,
            "is_sla_uncertain": False,
        } | columns
        if row["direction"] == "inbound" and row["is_answered"]:
            row = {"time_to_answer_seconds": 12, "talk_seconds": 60} | row
            row = {"is_in_sla": row["time_to_answer_seconds"] <= SLA_SECONDS} | row
        return row

    def missed(self, at: str, **columns: Any) -> dict[str, Any]:
        """Return a missed call, likewise."""
        return self.call(at, **{"is_answered": False, "is_missed": True} | columns)

    def caller(self, at: str, **columns: Any) -> dict[str, Any]:
        """Return somebody who was missed then, and waits since."""
        local = datetime.fromisoformat(at)
        utc = local.replace(tzinfo=PARIS).astimezone(UTC).replace(tzinfo=None)
        return {
            "caller_key": at,
            "raw_digits": "+33 1 99 00 12 34",
            "is_waiting": True,
            "waiting_since": utc,
            "missed_calls_waiting": 1,
            "voicemails_waiting": 0,
            "last_missed_at": utc,
            "last_missed_at_local": local,
            "last_missed_call_id": 900,
            "last_number_id": 1,
            "last_number_name": "Support",
        } | columns

    def shift(self, user_id: int, name: str, **columns: Any) -> None:
        """Add an agent's day, the last one, with an hour on the phone and one of lunch; and the hours of it.

        Args:
            user_id: The agent.
            name: Their name.
            columns: What is otherwise.
        """
        who = {"user_id": user_id, "date": days_ago(0)[:10]}
        times = dict(zip(STATES, (3_600, 60, 3_540, 3_600), strict=True)) | columns
        shift = {"began_at_local": days_ago(0, 9), "ended_at_local": days_ago(0, 12), "occupancy": 3_660 / 7_200}
        self.add("agent_shifts", who | {"user_name": name, "breaks": "Out for lunch: 3600"} | shift | times)
        for hour, lasted in ((9, (3_600, 0, 0, 0)), (10, (0, 60, 3_540, 0)), (11, (0, 0, 0, 3_600))):
            self.add("agent_hours", who | {"hour": hour} | dict(zip(STATES, lasted, strict=True)))

    def page(self, *, anonymous: bool = False, company: str = "") -> str:
        """Return the page."""
        return page_of(self.path, anonymous=anonymous, company=company)


def page_of(
    database: str,
    *,
    anonymous: bool = False,
    time_zone: str | None = "Europe/Paris",
    company: str = "",
    now: datetime = NOW,
) -> str:
    """Return the page of a database."""
    with reading(database) as opened:
        marts = Marts(opened, "analytics", sla_seconds=SLA_SECONDS, anonymous=anonymous)
        content = Content(marts, company=company, now=now, time_zone=time_zone)
    return write(content)


def days_ago(days: int, hour: int = 10) -> str:
    """Return a time so many days before that of the page, by the clock of Paris."""
    return f"{NOW.date() - timedelta(days=days)}T{hour:02d}:00:00"


class View:
    """What a reader of the page finds in one view of it: tables by caption, rows as texts, and all text."""

    def __init__(self) -> None:
        self.tables: dict[str, list[list[str]]] = {}
        self.figures: dict[str, list[str]] = {}
        self.text = ""


class PageReader(HTMLParser):
    """Reads a page: the view that it opens with, and those to choose."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.opened = View()
        self.views: dict[str, View] = {}
        self.callers: dict[str, View] = {}
        self._view = self.opened
        self._tags: list[str] = []
        self._table: list[list[str]] = []
        self._caption = ""
        self._in_figures = False
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "template":
            self._view = View()
            if line := given.get("data-callers"):
                self.callers[line] = self._view
            else:
                self.views[str(given["data-view"])] = self._view
        elif tag == "dl":
            self._in_figures = given.get("class") == "figures"
        elif tag == "table":
            self._table, self._caption = [], ""
        elif tag == "tr":
            self._table.append([])
        elif tag in {"td", "th"}:
            self._table[-1].append("")
        if tag not in {"meta", "input"}:
            self._tags.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Shapes have no text."""

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self._tags.pop() == tag
        if tag == "table":
            self._view.tables[self._caption] = self._table
        elif tag == "template":
            self._view = self.opened

    @override
    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self._tags):
            return
        self._view.text += data
        if "caption" in self._tags:
            self._caption += data
        elif {"td", "th"} & set(self._tags):
            cell = self._table[-1]
            cell[-1] = f"{cell[-1]} {data}".strip() if "small" in self._tags else cell[-1] + data
        elif "dt" in self._tags and self._in_figures:
            self._view.figures[data] = []
        elif "dd" in self._tags and self._in_figures:
            list(self._view.figures.values())[-1].append(data)


NAMES = (
    "",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; drop table calls; --",
    "{{ 7 * 7 }}{% raw %}",
    "</template></table><style>*{display:none}</style>",
    "&lt;b&gt; &amp; <!-- ",
    "\u202egnp.exe \u2066 \u200f",
    "x" * 10_000,
    "line\nbreak\ttab \x07\x1b[31m",
    "日本語 \U0001f600 עברית",
)
"""What names may be."""


def hostile(company: Company) -> None:
    """Give a company names that no browser and no terminal should be given as they are."""
    today = days_ago(0)[:10]
    for place, name in enumerate(NAMES, 1):
        agent = {"main_user_id": place, "main_user_name": name}
        number = {"number_id": place, "number_name": name}
        label = {"number_id": place, "call_date": today}
        counts = dict.fromkeys(list(COLUMNS["aircall__team_days"])[3:], 1)
        company.add("calls", company.call(days_ago(0), **agent, **number), company.missed(days_ago(0), **number))
        company.add("team_days", {"team_id": place, "team_name": name, "call_date": today} | counts)
        company.shift(place, name, breaks=name)
        company.add("call_tags", label | {"tag_name": name, "is_missed": False})
        company.add("conversations", label | {"topics": name, "topics_count": 1, "sentiment": "POSITIVE"})
        caller = {"contact_name": name, "contact_company": name, "raw_digits": name, "last_number_name": name}
        company.add("missed_callers", company.caller(days_ago(0, place), **caller, last_team_names=name))


def large(company: Company, *, calls: int) -> None:
    """Give a company many calls: a third of them outbound, 2,000 agents, 500 numbers, over six months."""
    company.execute(
        f"""
        insert into analytics.aircall__calls by name
        select
          i as call_id,
          case when i % 3 = 0 then 'outbound' else 'inbound' end as direction,
          true as is_ended,
          i % 3 <> 1 or i % 2 = 0 as is_answered,
          i % 3 = 1 and i % 2 = 1 as is_missed,
          case when i % 3 = 1 and i % 2 = 1 then 'no_available_agent' end as missed_call_reason,
          utc as started_at,
          local as started_at_local,
          cast(local as date) as call_date,
          hour(local) as call_hour,
          isodow(local) as day_of_week,
          i * 7 % 500 as number_id,
          'Number ' || (i * 7 % 500) as number_name,
          i * 13 % 2000 as main_user_id,
          'Agent ' || (i * 13 % 2000) as main_user_name,
          case when i % 3 = 2 or (i % 3 = 1 and i % 2 = 0) then i % 100 end as time_to_answer_seconds,
          case when i % 3 = 2 or (i % 3 = 1 and i % 2 = 0) then i % 100 <= {SLA_SECONDS} end as is_in_sla,
          false as is_sla_uncertain,
          i % 1000 as talk_seconds,
          false as is_callback
        from (
          select i, utc, utc + interval 1 hour as local
          from (
            select i, timestamp '2026-11-24 19:00' - to_seconds(i * {15_000_000 // calls}) as utc
            from range({calls}) as t(i)
          )
        )
        """
    )
    company.execute(
        """
        insert into analytics.aircall__conversations by name
        select number_id, call_date, 'topic ' || (call_id % 5000) as topics, 1 as topics_count, 'NEUTRAL' as sentiment
        from analytics.aircall__calls
        """
    )
    company.execute(
        """
        insert into analytics.aircall__missed_callers by name
        select
          'k' || call_id as caller_key, '+33 1 99 00 00 00' as raw_digits, true as is_waiting,
          started_at as waiting_since,
          1 as missed_calls_waiting, 0 as voicemails_waiting, started_at as last_missed_at,
          started_at_local as last_missed_at_local, call_id as last_missed_call_id, number_id as last_number_id,
          number_name as last_number_name
        from analytics.aircall__calls where is_missed
        """
    )
