"""Whether the page says what the marts by day and hour say, which it does not read: it counts calls itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aircall_report.marts import STATES
from aircall_report.wording import breaks, duration, hours, number, share, weekday
from report_tests.company import COLUMNS, PageReader, page_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from report_tests.company import View

    Query = Callable[[str], list[dict[str, Any]]]

IN_DUCKDB = {"character varying": "varchar", "timestamp without time zone": "timestamp", "text": "varchar"}


def columns_that_differ(query: Query) -> list[str]:
    """Return which columns of the made-up marts of these tests are not those of DuckDB's real ones."""
    rows = query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'analytics'"
    )
    real = {(row["table_name"], row["column_name"]): row["data_type"].lower() for row in rows}
    return [
        f"{mart}.{name}: {kind}, not {real.get((mart, name))}"
        for mart, columns in COLUMNS.items()
        for name, kind in columns.items()
        if real.get((mart, name)) != kind
    ]


def page_against_marts(database: str, query: Query) -> list[str]:
    """Return where the page of a database and its marts differ.

    Args:
        database: As `--database` takes it.
        query: Returns the rows of a query to it, by name of the column.
    """
    (last,) = query("SELECT max(call_date) AS day FROM analytics.aircall__hours")
    now = datetime.combine(last["day"], datetime.max.time(), UTC)
    page = PageReader(page_of(database, now=now))
    views = page.views | {"28 all": page.opened}
    found = []
    for period, days in (("7", 7), ("28", 28), ("all", 10_000)):
        first = last["day"] - timedelta(days=days - 1)
        for what, (said, true) in _pairs(views[f"{period} all"], query, first).items():
            found += [f"{period}: {what}: {one} is wrong" for one in said if one not in true]
            found += [f"{period}: {what}: {one} is lacking" for one in true if one not in said]
        sql = f"SELECT sum(voicemails) AS n FROM analytics.aircall__hours WHERE call_date >= DATE '{first}'"
        left = number(int(query(sql)[0]["n"]))
        if f"In {left} of them, the caller left a voicemail." not in views[f"{period} all"].text:
            found.append(f"{period}: not {left} voicemails")
    found += [f"shifts: {row} is wrong" for row in _shifts_that_differ(page.opened, query, last["day"])]
    waiting = query("SELECT count(*) AS n FROM analytics.aircall__missed_callers WHERE is_waiting")[0]["n"]
    if f"{number(waiting)} callers were missed" not in page.opened.text:
        found.append(f"not {waiting} callers to call back")
    return found


def _shifts_that_differ(view: View, query: Query, day: date) -> list[list[str]]:
    """Return which rows of the agents' day are on the page or in the marts alone."""
    said = [row[:8] for row in view.tables["Time of each agent by state"][1:]]
    true = [
        [
            row["user_name"],
            breaks(row["breaks"] or ""),
            *(row[f"{name}_at_local"].strftime("%H:%M") for name in ("began", "ended")),
            *(duration(row[f"{state}_seconds"]) for state in STATES),
        ]
        for row in query(
            "SELECT * FROM analytics.aircall__agent_shifts WHERE date = "
            f"(SELECT max(date) FROM analytics.aircall__agent_shifts WHERE date <= DATE '{day}')"
        )
    ]
    return [row for row in said if row not in true] + [row for row in true if row not in said]


def _pairs(view: View, query: Query, first: date) -> dict[str, tuple[list[list[str]], list[list[str]]]]:
    """Return rows of the page, and what they should be, by what they are."""

    def rows(columns: str, mart: str, day: str = "call_date", groups: str = "") -> list[dict[str, Any]]:
        return query(f"SELECT {columns} FROM analytics.aircall__{mart} WHERE {day} >= DATE '{first}' {groups}")

    sums = "sum(inbound_calls) AS i, sum(answered_calls) AS a, sum(missed_calls) AS m"
    (total,) = rows(
        f"{sums}, sum(outbound_calls) AS o, sum(missed_and_waiting) AS w, sum(missed_and_reached_later) AS r", "hours"
    )
    figures = view.figures
    agents = (
        "max(user_name) AS name, sum(answered_calls) AS a, sum(outbound_calls) AS o, sum(connected_calls) AS c, "
        "sum(callbacks) AS b, sum(inbound_talk_seconds + outbound_talk_seconds) AS t"
    )
    return {
        "figures": (
            [
                [figures["Inbound calls"][0], figures["Inbound calls"][1]],
                [figures["Missed"][0]],
                figures["Missed, still waiting"],
            ],
            [
                [number(int(total["i"])), f"{number(int(total['o']))} outbound"],
                [number(int(total["m"]))],
                [number(int(total["w"])), f"{number(int(total['r']))} reached later"],
            ],
        ),
        "days": (
            [row[:4] for row in view.tables["Inbound calls over time"][1:] if row[1] != "0"],
            [
                [weekday(row["call_date"]), *(number(int(row[name])) for name in "iam")]
                for row in rows(
                    f"call_date, {sums}", "hours", groups="GROUP BY call_date HAVING sum(inbound_calls) > 0"
                )
            ],
        ),
        "hours": (
            [
                [str(day), row[0][:2], cell]
                for row in view.tables["Inbound calls"][1:]
                for day, cell in enumerate(row[1:], 1)
                if cell != "0"
            ],
            [
                [str(row["d"]), f"{row['h']:02d}", number(int(row["i"]))]
                for row in rows(
                    f"day_of_week AS d, call_hour AS h, {sums}",
                    "hours",
                    groups="GROUP BY 1, 2 HAVING sum(inbound_calls) > 0",
                )
            ],
        ),
        "numbers": (
            [row[:4] for row in view.tables["Calls of each of the numbers"][1:]],
            [
                [row["name"], *(number(int(row[name])) for name in "iam")]
                for row in rows(f"max(number_name) AS name, {sums}", "number_days", groups="GROUP BY number_id")
            ],
        ),
        "teams": (
            [row[:4] for row in view.tables["Calls of each of the teams"][1:]],
            [
                [row["name"], *(number(int(row[name])) for name in "iam")]
                for row in rows(f"max(team_name) AS name, {sums}", "team_days", groups="GROUP BY team_id")
            ],
        ),
        "agents": (
            [[row[0], row[1], *row[4:]] for row in view.tables["Calls of each agent"][1:]],
            [
                [
                    row["name"],
                    number(int(row["a"])),
                    number(int(row["o"])),
                    share(int(row["c"]), int(row["o"])),
                    number(int(row["b"])),
                    hours(int(row["t"])),
                ]
                for row in rows(agents, "agent_days", groups="GROUP BY user_id HAVING sum(handled_calls) > 0")
            ],
        ),
        "sentiments": (
            [[row[0].upper(), row[1]] for row in view.tables["Conversations by sentiment of the other party"][1:]],
            [
                [sentiment, number(sum(row["sentiment"] == sentiment for row in rows("sentiment", "conversations")))]
                for sentiment in ("POSITIVE", "NEUTRAL", "NEGATIVE")
            ],
        ),
    }
