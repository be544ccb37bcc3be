"""The recipes in the documents, run as printed on what real targets loaded, against the sandbox's own figures."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest

from aircall_sandbox import Sandbox, World, generate_company
from tap_aircall.streams.calls.details import SETTLE_SECONDS
from tests.clock import FakeClock
from tests.conftest import Aircall
from tests.postgres import Postgres
from tests.targets.conftest import ROOT, executable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Query = Callable[[str], list[tuple[Any, ...]]]
    Rows = list[tuple[Any, ...]]

PAGE = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
RECIPES = dict(section.split("\n", 1) for section in re.split(r"^## \d+\. ", PAGE, flags=re.MULTILINE)[1:])
DATABASES = ("DuckDB", "PostgreSQL")
STREAMS = ("calls", "contacts", "users", "numbers", "call_sentiments", "call_counts")


@pytest.fixture(scope="module")
def aircall() -> Iterator[Aircall]:
    clock = FakeClock()
    world = generate_company(seed=6, now=clock.now, calls=1_500, contacts=150, users=9, days=20)
    world.intelligence.share = 0.4
    with Sandbox(world, clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock)


@pytest.fixture(scope="module")
def queries(aircall: Aircall, postgres_server: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Query]:
    """Load the company with both targets, and return a function for each that answers a query."""
    folder = tmp_path_factory.mktemp("recipes")
    with psycopg.connect(host=str(postgres_server), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE recipes")
        connection.execute("ALTER DATABASE recipes SET timezone = 'Asia/Tokyo'")  # analysts may live anywhere
    postgres, path = Postgres(postgres_server, "recipes"), folder / "warehouse.duckdb"
    lines = "".join(json.dumps(message) + "\n" for message in aircall.run(*STREAMS).messages)
    configs: dict[str, dict[str, Any]] = {
        "target-duckdb": {"filepath": str(path)},
        "target-postgres": {"sqlalchemy_url": postgres.url, "hard_delete": True},
    }
    for name, config in configs.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(config | {"default_target_schema": "aircall"}), encoding="utf-8")
        subprocess.run([executable(name), "--config", file], input=lines, text=True, check=True, capture_output=True)

    def query_duckdb(sql: str) -> Rows:
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return {"DuckDB": query_duckdb, "PostgreSQL": postgres.query}


def sql(title: str, database: str) -> str:
    """Return the query that the page gives for a database."""
    blocks = re.findall(r"(?:^(\w+):\n\n)?^```sql\n(.*?)^```", RECIPES[title], re.DOTALL | re.MULTILINE)
    (block,) = [block for name, block in blocks if name in {"", database}]
    return str(block)


def utc(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def missed(call: dict[str, Any]) -> bool:
    return call["direction"] == "inbound" and call["answered_at"] is None and call["ended_at"] is not None


def by_hour_and_team(_world: World, calls: list[dict[str, Any]]) -> Rows:
    counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for call in calls:
        if call["direction"] == "inbound" and call["ended_at"]:
            hour = datetime.fromtimestamp(call["started_at"], ZoneInfo(call["number"]["time_zone"])).hour
            for team in call["teams"]:
                counts[team["name"], hour][0] += 1
                counts[team["name"], hour][1] += missed(call)
    return [(*key, *counts[key]) for key in sorted(counts)]


def waiting(_world: World, calls: list[dict[str, Any]]) -> Rows:
    waits: dict[str, list[int]] = defaultdict(list)
    for call in calls:
        if call["direction"] == "inbound" and call["answered_at"]:
            waits[call["number"]["name"]].append(call["answered_at"] - call["started_at"])
    return [
        (
            name,
            len(waits[name]),
            floor(Fraction(sum(waits[name]), len(waits[name])) + Fraction(1, 2)),
            max(waits[name]),
            len([wait for wait in waits[name] if wait <= 20]),
        )
        for name in sorted(waits)
    ]


def talk(_world: World, calls: list[dict[str, Any]]) -> Rows:
    talks: dict[Any, list[int]] = defaultdict(list)
    for call in calls:
        if call["answered_at"] and call["ended_at"]:
            key = (utc(call["started_at"]).date(), call["user"]["id"])
            talks[key].append(call["ended_at"] - call["answered_at"])
    return [(*key, len(talks[key]), sum(talks[key])) for key in sorted(talks)]


def never_called_back(_world: World, calls: list[dict[str, Any]]) -> Rows:
    open_calls: dict[str, list[dict[str, Any]]] = {}
    for call in sorted(calls, key=lambda call: int(call["started_at"])):
        if call["raw_digits"] == "anonymous":
            continue
        if missed(call):
            open_calls.setdefault(call["raw_digits"], []).append(call)
        elif call["direction"] == "outbound" or call["answered_at"]:
            open_calls.pop(call["raw_digits"], None)
    rows: Rows = [
        (phone, found[-1]["contact"] and found[-1]["contact"]["id"], len(found), utc(found[-1]["started_at"]))
        for phone, found in open_calls.items()
    ]
    return sorted(rows, key=lambda row: row[3], reverse=True)


def tags(_world: World, calls: list[dict[str, Any]]) -> Rows:
    tagged = Counter(tag["name"] for call in calls for tag in call["tags"])
    answered = Counter(tag["name"] for call in calls for tag in call["tags"] if call["answered_at"])
    return [(name, tagged[name], answered[name]) for name in sorted(tagged, key=lambda name: (-tagged[name], name))]


def contacts(world: World, calls: list[dict[str, Any]]) -> Rows:
    of: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        if call["contact"]:
            of[call["contact"]["id"]].append(call)
    return [
        (
            identity,
            world.contacts[identity]["first_name"],
            world.contacts[identity]["company_name"],
            len(of[identity]),
            len([call for call in of[identity] if call["direction"] == "inbound"]),
            utc(max(call["started_at"] for call in of[identity])),
        )
        for identity in sorted(of, key=lambda identity: (-len(of[identity]), identity))
    ]


def sentiments(world: World, calls: list[dict[str, Any]]) -> Rows:
    moods: Counter[tuple[int, str]] = Counter()
    for call in calls:
        _, found = world.intelligence.find("sentiments", call["id"])
        if found and call["ended_at"] + SETTLE_SECONDS <= world.now:
            moods[call["user"]["id"], found["participants"][0]["value"]] += 1
    return [
        (
            user,
            world.kinds["users"][user]["name"],
            moods[user, "POSITIVE"],
            moods[user, "NEUTRAL"],
            moods[user, "NEGATIVE"],
        )
        for user in sorted({user for user, _ in moods})
    ]


def costs(_world: World, calls: list[dict[str, Any]]) -> Rows:
    of: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for call in calls:
        if call["pricing_type"]:
            of[call["number"]["name"], call["pricing_type"]].append(Decimal(call["cost"]))
    rows = [(*key, len(found), sum(found, Decimal())) for key, found in of.items()]
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def busiest(world: World, calls: list[dict[str, Any]]) -> Rows:
    rows = []
    for number in world.kinds["numbers"].values():
        theirs = [call for call in calls if call["number"]["id"] == number["id"]]
        inbound = [call for call in theirs if call["direction"] == "inbound"]
        lost = [call for call in inbound if missed(call)]
        rows.append((number["name"], number["country"], len(theirs), len(inbound), len(lost)))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def first_calls(_world: World, calls: list[dict[str, Any]]) -> Rows:
    first: dict[int, dict[str, Any]] = {}
    for call in sorted(calls, key=lambda call: (call["started_at"], call["id"])):
        if call["contact"]:
            first.setdefault(call["contact"]["id"], call)
    return [
        (identity, call["id"], utc(call["started_at"]), call["direction"], call["user"] and call["user"]["name"])
        for identity, call in sorted(first.items())
    ]


def complete(world: World, calls: list[dict[str, Any]]) -> Rows:
    days = Counter(utc(call["started_at"]).date() for call in calls)
    today = utc(int(world.now)).date()
    first = min(days)
    dates = [first + timedelta(days=n) for n in range((today - first).days)]
    return [(day, days[day], days[day], 0) for day in reversed(dates)]


TRUTH: dict[str, Callable[[World, list[dict[str, Any]]], Rows]] = {
    "Calls by hour and team": by_hour_and_team,
    "Waiting time": waiting,
    "Talk time per day": talk,
    "Missed and never called back": never_called_back,
    "Tags": tags,
    "Calls per contact": contacts,
    "Sentiment per user": sentiments,
    "Costs": costs,
    "Busiest numbers": busiest,
    "First call of a contact": first_calls,
    "Is every call there?": complete,
}


def plain(value: Any) -> Any:
    """Return a time of DuckDB as UTC."""
    return value.replace(tzinfo=value.tzinfo or UTC) if isinstance(value, datetime) else value


def test_every_recipe_has_an_expected_result_and_a_query_for_each_database() -> None:
    assert list(RECIPES) == list(TRUTH)
    for title in RECIPES:
        for database in DATABASES:
            assert sql(title, database)


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("title", TRUTH)
def test_a_recipe_gives_the_expected_result(
    title: str, database: str, queries: dict[str, Query], aircall: Aircall
) -> None:
    world = aircall.world
    expected = TRUTH[title](world, [call for call in world.calls.values() if world.shown_call(call["id"])])

    rows = [tuple(map(plain, row)) for row in queries[database](sql(title, database))]

    assert rows == expected
    assert len(rows) > 3


def test_user_without_quotes_means_something_else_in_postgresql(queries: dict[str, Query]) -> None:
    assert queries["PostgreSQL"]("SELECT DISTINCT user FROM aircall.calls") == [("postgres",)]
