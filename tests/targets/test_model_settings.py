"""What the macros of the dbt package make of settings and numbers, asked of dbt without models or a warehouse."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
import phonenumbers
import pytest
import yaml

from tests.messages import names
from tests.targets import served_dbt
from tests.targets.conftest import ROOT
from tests.targets.test_models import PYTHON, needs_dbt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

pytestmark = [needs_dbt, pytest.mark.timeout(600)]
WRONG: dict[str, list[Any]] = {
    "time_zone": ["UTC+1", "Paris", "", "europe/paris", "UTC'; drop table calls; --", 5],
    "sla_seconds": ["abc", "20 or true", "-1", 1.5, True, ""],
    "callback_hours": ["a week"],
    "stale_after_hours": ["2 days"],
    "allow_empty": ["yes"],
    "business_hours": [
        *("9 to 5", [], {"8": ["09:00", "18:00"]}, {"12": ["09:00", "18:00"]}, {"1": ["09:00", "12:00", "18:00"]}),
        *({"1": "09:00"}, {"1": ["18:00", "09:00"]}, {"1": [540, 1080]}, {"1": ["9", "18"]}, {"1": None}),
    ],
}
RIGHT: list[dict[str, Any]] = [
    {},
    {"aircall_time_zone": "America/New_York", "aircall_sla_seconds": 5, "aircall_allow_empty": True},
    {"aircall_business_hours": {1: ["9:00", "18:00"], "7": ["00:00", "24:00"]}, "aircall_callback_hours": "24"},
    {"aircall_business_hours": '{"1": ["09:00", "18:00"]}'},
]


def ask(folder: Path, *questions: list[str]) -> list[tuple[bool, str]]:
    """Run commands of dbt in a project with the macros alone; return whether each succeeded, and what it printed."""
    project = {"name": "aircall", "profile": "p", "macro-paths": [str(ROOT / "dbt/macros")], "model-paths": ["none"]}
    profile = {"p": {"target": "t", "outputs": {"t": {"type": "duckdb", "path": ":memory:"}}}}
    for name, content in {"dbt_project.yml": project, "profiles.yml": profile}.items():
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = os.environ | {"DBT_QUIET": "true", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    done = [served_dbt.run(PYTHON, *question, folder=folder, environment=environment) for question in questions]
    return [(each.returncode == 0, each.stdout) for each in done]


def test_settings_are_checked_before_they_come_near_sql(tmp_path: Path) -> None:
    wrong = [(name, value) for name, values in WRONG.items() for value in values]
    variables = [{f"aircall_{name}": value} for name, value in wrong] + RIGHT
    schemas = ("air'call", 'air"; drop schema analytics; --', "a\nb", "")

    found = ask(
        tmp_path,
        *(["run-operation", "check_settings", "--vars", json.dumps(each)] for each in variables),
        *(["run-operation", "check_name", "--args", json.dumps({"variable": "V", "value": name})] for name in schemas),
    )

    for (name, value), (is_right, said) in zip(wrong, found, strict=False):
        variables_of_it = (f"DBT_AIRCALL_{name.upper()}", f"aircall_{name}")
        assert not is_right, (name, value)
        assert sum(names(line, *variables_of_it) for line in said.splitlines()) == 1, said
    assert [is_right for is_right, _ in found[len(wrong) :]] == [True] * len(RIGHT) + [False] * len(schemas)


def test_times_mean_the_same_in_every_warehouse(tmp_path: Path, postgres: Postgres) -> None:
    """Though PostgreSQL takes some time zones for abbreviations, and DuckDB drops offsets."""
    january, july = (datetime(2020, month, 15, 12, tzinfo=UTC) for month in (1, 7))
    both = f"unnest(array[timestamptz '{january}', timestamptz '{july}']) as times(t)"
    local = "{{ aircall.postgres__local_time('t', zone) }}"
    select = f"{{{{ ' union all ' if not loop.first }}}} select '{{{{ zone }}}}', t, {local} from {both}"
    every = "{% for zone in modules.pytz.all_timezones %}" + select + "{% endfor %}"
    texts = [f"2026-01-01T10:00:00{offset}" for offset in ("", "Z", "+00", "+00:00", "+02:00", "-05", "+14:00")]
    read = "select {{ aircall.parsed('t', 'time') }} from texts"
    (_, sql), (_, of_texts) = ask(tmp_path, ["compile", "--inline", every], ["compile", "--inline", read])

    found = postgres.query(sql)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE texts AS SELECT unnest(?) AS t", [texts])
        times = [time for (time,) in connection.execute(of_texts).fetchall()]

    assert times == [datetime(2026, 1, 1, 10)] * 4 + [None] * 3  # noqa: DTZ001 - as DuckDB has it
    assert len(found) > 1000
    assert [row for row in found if row[1].astimezone(ZoneInfo(row[0])).replace(tzinfo=None) != row[2]] == []


def test_a_number_has_an_e164_only_where_it_is_certain(tmp_path: Path) -> None:
    """As Google's library reads it, wherever ours says anything; and whatever is written with a calling code."""
    examples: set[str] = set()
    written: set[tuple[str, str]] = {("anonymous", "FR"), ("sip:a@b.example", "FR"), ("+33 1 99 00 12 34 ext. 5", "FR")}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            if not (number := phonenumbers.example_number_for_type(region, kind)):
                continue
            for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL):
                text = phonenumbers.format_number(number, form)
                examples |= {text} if text.startswith("+") else set()
                written |= {(text, country) for country in (region, "FR", "US", "GB", "DE", "IT")}
                written |= {(text[:-1], region), (text + "7", region), (text.replace(" ", " (0) ", 1), region)}
    ((_, sql),) = ask(
        tmp_path,
        ["compile", "--inline", "select {{ aircall.e164('digits', aircall.phone_key('digits'), 'country') }} from n"],
    )

    with duckdb.connect() as connection:
        pairs = "unnest(from_json(?, '[[\"VARCHAR\"]]'))"  # DuckDB is slow to take thousands of values one by one
        connection.execute(
            f"CREATE TABLE n AS SELECT p[1] AS digits, p[2] AS country FROM (SELECT {pairs} AS p)",
            [json.dumps(sorted(written))],
        )
        found = connection.execute(f"SELECT n.digits, n.country, e FROM n POSITIONAL JOIN ({sql}) AS t(e)").fetchall()

    wrong = []
    unknown = set()
    for digits, country, ours in found:
        try:
            number = phonenumbers.parse(digits, country)
        except phonenumbers.NumberParseException:
            continue
        theirs = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number) and theirs != ours and not theirs.startswith("+672"):  # drops a 1
            wrong += [(digits, country, ours, theirs)] if ours else []
            unknown |= {digits} if digits in examples else set()
    assert wrong == []
    assert {digits[:4] for digits in unknown} <= {"+241"}, "Gabon's 0, which may belong to the number or not"
    assert len([ours for _, _, ours in found if ours]) > len(found) / 2
