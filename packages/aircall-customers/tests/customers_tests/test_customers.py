"""The list of customers: what it may hold, and what becomes of it."""

from __future__ import annotations

import errno
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aircall_customers.customers import SPREAD, Credentials, Customer, CustomersError, Project, read_customers
from aircall_customers.local import ROOT
from tap_aircall.tap import TapAircall
from tests.messages import refused

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001
PROJECT = Project(ROOT)
HEAD = "customers: {acme: {credentials: {environment: ACME}, schema: acme"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "customers.yml"


def test_a_customer_has_what_its_entry_and_the_defaults_say(listed: Path) -> None:
    listed.write_text(
        """
defaults:
  schedule: "@daily"
  target: target-duckdb
customers:
  acme:
    credentials: {environment: ACME}
    schema: acme
  globex:
    credentials: {file: /secrets/globex.json}
    target_settings: {filepath: globex.duckdb}
    schedule: "15 * * * *"
    streams: [calls, "call_*"]
"""
    )

    customers = read_customers(listed, PROJECT)

    assert list(customers) == ["acme", "globex"]
    assert (customers["acme"].schedule, customers["acme"].target) == ("@daily", "target-duckdb")
    assert customers["globex"].credentials.file == Path("/secrets/globex.json")
    assert customers["globex"].next_after(datetime(2026, 1, 1, 10, 15, tzinfo=UTC)) == datetime(
        2026, 1, 1, 11, 15, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "facts"),  # the reasons are Pydantic's where they are sentences
    [
        ("", ["customers", "Field required"]),
        ("defaults: {schedule: '@daily'}", ["customers", "Field required"]),
        ("customers: [", ["YAML", "line 1"]),
        pytest.param("customers: " + "[" * 5000, ["YAML"], id="nested too deeply"),
        *((f"customers: {{acme: !!{tag} x}}", ["YAML"]) for tag in ("int", "bool", "timestamp", "float")),
        ("customers: [acme]", ["customers", "Input should be a valid dictionary"]),
        ("clients: {}", ["clients", "Extra inputs are not permitted"]),
        ("customers: {acme: {schema: acme}}", ["acme", "credentials", "Field required"]),
        ("customers: {acme: {credentials: {}}}", ["acme", "credentials", "environment", "file"]),
        ("customers: {Acme Inc.: {credentials: {environment: A}}}", ["Acme Inc.", "name", "String should match"]),
        (HEAD + ", password: secret}}", ["acme", "password", "Extra inputs are not permitted"]),
        ("customers:\n  acme: {}\n  'acme': {}", ["acme", "line 3"]),
        (HEAD + ", streams: [calls], streams: [tags]}}", ["streams", "line 1"]),
        (HEAD + ", streams: []}}", ["acme", "streams", "List should have at least 1 item"]),
        (HEAD + ", settings: {streams: [tags]}}}", ["acme", "settings", "streams"]),
        (
            "customers: {target: {credentials: {environment: TARGET_POSTGRES}}}",
            ["customer target", "TARGET_POSTGRES_PASSWORD", "target-postgres"],
        ),
        ("customers: {ours: {credentials: {environment: AIRCALL}}}", ["customer ours", "AIRCALL_INBOX"]),
        (
            HEAD + "}, other: {credentials: {environment: ACME_CUSTOM}, schema: other}}",
            ["customer other", "ACME_CUSTOM_STREAMS", "ACME"],
        ),
        *(
            (HEAD + f', target: target-duckdb, target_settings: {{filepath: "{path}"}}}}}}', ["acme", "path"])
            for path in ("~nosuchuser/x", "a\\0b")
        ),
        (
            (
                f"customers: {{a: {{credentials: {{environment: A}}, schema: {'x' * 63}y}}, "
                f"b: {{credentials: {{environment: B}}, schema: {'x' * 63}z}}}}"
            ),
            ["customer b", "schema", "a"],  # PostgreSQL cuts names
        ),
        (HEAD + ", schedule: hourly}}", ["acme", "schedule", "hourly", "@hourly", "@daily"]),
        (
            HEAD + ", build: 'dbt-postgres:build', build_settings: {schema: acme}}}",
            ["acme", "build_settings", "schema"],
        ),
        (
            HEAD + ", build: 'dbt-postgres:build'}, globex: {credentials: {environment: G}, schema: acme_analytics}}",
            ["globex", "schema", "acme"],
        ),
    ],
)
def test_each_mistake_is_named_with_its_place_and_without_secrets(listed: Path, text: str, facts: list[str]) -> None:
    listed.write_text(text)

    with refused(CustomersError, *facts) as raised:
        read_customers(listed, PROJECT)

    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_list_and_its_files_are_read_in_every_encoding_of_unicode(listed: Path, encoding: str) -> None:
    key = listed.with_name("key.json")
    key.write_text('{"user": "é", "password": "secret"}', encoding=encoding)
    listed.write_text(f"customers: {{acme: {{credentials: {{file: {key}}}, schema: é}}}}", encoding=encoding)

    if encoding == "latin-1":
        with refused(CustomersError, listed, "UTF-8"):
            read_customers(listed, PROJECT)
        with refused(CustomersError, key, "JSON"):
            Credentials(file=key).read(PROJECT.plugins["tap-aircall"])
    else:
        acme = read_customers(listed, PROJECT)["acme"]
        assert acme.schema_name == "é"
        assert acme.credentials.read(PROJECT.plugins["tap-aircall"]) == {"user": "é", "password": "secret"}


def test_dates_and_times_of_day_need_no_quotes(listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PASSWORD", "secret")
    settings = "{start_date: 2026-06-01, end_date: 2026-06-02T10:00:00+02:00}"
    build = "build: 'dbt-duckdb:build', build_settings: {business_hours: {1: [9:00, 18:30]}}"
    listed.write_text(f"{HEAD}, target: target-duckdb, settings: {settings}, {build}}}}}")

    variables = PROJECT.environment(read_customers(listed, PROJECT)["acme"], tmp_path)

    assert variables["TAP_AIRCALL_START_DATE"] == "2026-06-01"
    assert variables["TAP_AIRCALL_END_DATE"] == "2026-06-02T10:00:00+02:00"
    assert variables["DBT_DUCKDB_BUSINESS_HOURS"] == '{"1": ["9:00", "18:30"]}'


def test_rows_are_named_beside_the_maps_that_there_are(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PASSWORD", "secret")
    maps = {"contacts": {"emails": None}, "company": None}

    def read(**own: object) -> object:
        entry = {"credentials": {"environment": "ACME"}, "schema": "acme", "name_rows": True, "settings": own}
        listed.write_text(json.dumps({"customers": {"acme": entry}}))
        return json.loads(
            PROJECT.environment(read_customers(listed, PROJECT)["acme"], tmp_path)["TAP_AIRCALL_STREAM_MAPS"]
        )

    named = {"aircall_customer": "'acme'"}
    assert read() == {"*": named}
    assert read(stream_maps=maps) == {"*": named, "contacts": {"emails": None} | named, "company": None}
    assert read(stream_maps={"tags": {}, "__else__": None}) == {"tags": named, "__else__": None}
    monkeypatch.setenv("TAP_AIRCALL_STREAM_MAPS", json.dumps(maps))
    assert read() == read(stream_maps=maps)


@st.composite
def entries(draw: st.DrawFn) -> tuple[object, dict[str, object]]:
    """Return where a customer's rows lead, and one of many ways to write that."""
    number, schema = draw(st.sampled_from("12")), draw(st.sampled_from(["one", "two"]))
    written = draw(st.sampled_from([schema, schema.upper(), schema.title()]))
    within = {"default_target_schema": written} if draw(st.booleans()) else {}
    entry: dict[str, object] = {} if within else {"schema": written}
    target = draw(st.sampled_from(["target-duckdb", "target-postgres"]))
    if target == "target-duckdb":
        base = f"output/file{number}"
        roots = ["", "./", "output/../", f"{ROOT}/", "$MELTANO_PROJECT_ROOT/"]
        how: dict[str, object] = {"filepath": draw(st.sampled_from(roots)) + base}
        place: object = number
    else:
        host = draw(st.sampled_from(["db1", "DB1"] if number == "1" else ["localhost", "127.0.0.1", "::1"]))
        how = {"host": host, "hard_delete": draw(st.booleans())} | draw(st.sampled_from([{}, {"port": 5432}]))
        place = (number, schema)
    return (target, place), {**entry, "target": target, "target_settings": {**how, **within}}


@given(first=entries(), second=entries())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each list replaces the one before
def test_no_two_customers_lead_to_one_schema_or_file_however_it_is_written(
    listed: Path, first: tuple[object, dict[str, object]], second: tuple[object, dict[str, object]]
) -> None:
    customers = {"a": first[1], "b": second[1]}
    written = {name: {**entry, "credentials": {"environment": name.upper()}} for name, entry in customers.items()}
    listed.write_text(json.dumps({"customers": written}))

    if first[0] == second[0]:
        with refused(CustomersError, "customer b", "a"):
            read_customers(listed, PROJECT)
    else:
        assert len(read_customers(listed, PROJECT)) == 2


@pytest.mark.parametrize("path", ["there/x", "there/X", "hard"])
def test_a_link_and_a_plugin_that_inherits_lead_where_the_others_do(tmp_path: Path, listed: Path, path: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    if path == "hard":
        (tmp_path / "there/x").touch()
        (tmp_path / "hard").hardlink_to(tmp_path / "there/x")
    (tmp_path / "meltano.yml").write_text(
        """
plugins:
  extractors: [{name: tap-aircall, settings: [{name: user}]}]
  loaders:
  - {name: target-file, settings: [{name: filepath}]}
  - {name: target-file--link, inherit_from: target-file, config: {filepath: link/x}, settings: [{name: log_path}]}
"""
    )
    listed.write_text(
        f"""
customers:
  a: {{target: target-file--link, credentials: {{environment: A}}}}
  b: {{target: target-file, target_settings: {{filepath: {path}}}, credentials: {{environment: B}}}}
"""
    )

    with refused(CustomersError, "customer b", "file", "a"):
        read_customers(listed, Project(tmp_path))


def test_the_lists_that_are_printed_can_be_used(listed: Path) -> None:
    page = (ROOT / "docs/customers.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    listed.write_text(printed)

    customers = read_customers(listed, PROJECT)

    example = read_customers(ROOT / "packages/aircall-customers/customers.yml", PROJECT)
    assert list(customers) == list(example) == ["acme", "globex"]
    plugin = Project(ROOT).plugins["tap-aircall"]
    assert plugin.environment(customers["globex"].settings, secrets=False)
    table = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))))
    entries = {field.alias or name for name, field in Customer.model_fields.items()} - {"name"}
    assert entries <= table


def test_the_objects_that_are_printed_can_be_used() -> None:
    page = (ROOT / "docs/customers.md").read_text(encoding="utf-8")
    config, alert = map(json.loads, re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL))

    TapAircall(config={"oauth_client_id": "id", "oauth_client_secret": "secret", **config})
    assert sorted(alert) == ["customer", "error_kind", "text", "trouble"]


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with refused(CustomersError, tmp_path / "customers.yml", os.strerror(errno.ENOENT)):
        read_customers(tmp_path / "customers.yml", PROJECT)


def test_the_variables_of_a_load_come_from_the_entry_and_the_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_USER", "me")
    monkeypatch.setenv("ACME_PASSWORD", "secret")
    project = Project(ROOT)
    acme = Customer.model_validate(
        {
            "name": "acme",
            "credentials": {"environment": "ACME"},
            "schema": "acme",
            "streams": ["calls", "call_*"],
            "settings": {"requests_per_minute": 30, "start_date": "2026-06-01"},
            "build": "dbt-postgres:build",
            "build_settings": {"business_hours": {"1": ["09:00", "18:00"]}},
        }
    )
    (tmp_path / "globex.json").write_text('{"oauth_access_token": "hidden", "auth_scheme": "OAUTH"}')
    globex = Customer.model_validate({"name": "globex", "credentials": {"file": tmp_path / "globex.json"}})

    variables = project.environment(acme, tmp_path)

    select = json.loads(variables.pop("TAP_AIRCALL__SELECT"))
    assert select[:2] == ["calls.*", "call_*.*"]
    assert "!calls.recording_short_url" in select
    assert variables == {
        "TAP_AIRCALL_USER": "me",
        "TAP_AIRCALL_PASSWORD": "secret",
        "TAP_AIRCALL_REQUESTS_PER_MINUTE": "30",
        "TAP_AIRCALL_START_DATE": "2026-06-01",
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "acme",
        "DBT_POSTGRES_TARGET_PATH": f"{tmp_path}/dbt/target",
        "DBT_POSTGRES_LOG_PATH": f"{tmp_path}/dbt/logs",
        "DBT_POSTGRES_SOURCE_SCHEMA": "acme",
        "DBT_POSTGRES_SCHEMA": "acme_analytics",
        "DBT_POSTGRES_BUSINESS_HOURS": '{"1": ["09:00", "18:00"]}',
    }
    assert project.environment(globex, tmp_path) == {
        "TAP_AIRCALL_OAUTH_ACCESS_TOKEN": "hidden",
        "TAP_AIRCALL_AUTH_SCHEME": "OAUTH",
    }


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        ({"settings": {"password": "hidden"}}, ["password", "tap-aircall", "secret"]),
        ({"target_settings": {"password": "hidden"}}, ["password", "target-postgres", "secret"]),
        ({"settings": {"start": "2026-01-01"}}, ["tap-aircall", "start"]),
        ({"target": "target-none"}, ["meltano.yml", "target-none"]),
        ({"build": "dbt-none:build"}, ["meltano.yml", "dbt-none"]),
        ({"build": "dbt-postgres:build", "build_settings": {"timezone": "UTC"}}, ["dbt-postgres", "timezone"]),
        ({"credentials": {"environment": "NOBODY"}}, ["NOBODY_"]),
        ({"credentials": {"file": "/none/acme.json"}}, ["/none/acme.json", os.strerror(errno.ENOENT)]),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    entry: dict[str, object], facts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PASSWORD", "hidden")
    customer = Customer.model_validate({"name": "acme", "credentials": {"environment": "ACME"}, **entry})

    with refused(CustomersError, "acme", *facts) as raised:
        Project(ROOT).environment(customer, tmp_path)

    assert "hidden" not in str(raised.value)


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with refused(CustomersError, tmp_path, "meltano.yml"):
        Project(tmp_path)


@given(
    moment=MOMENTS, schedule=st.sampled_from(sorted(SPREAD)), name=st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
)
def test_customers_are_spread_over_their_schedule_and_keep_their_minute(
    moment: datetime, schedule: str, name: str
) -> None:
    customer = Customer.model_validate({"name": name, "credentials": {"environment": "A"}, "schedule": schedule})
    length = timedelta(minutes=SPREAD[schedule])

    following = customer.next_after(moment)

    assert moment < following <= moment + length
    assert customer.next_after(following) == following + length
    assert (following.second, following.microsecond) == (0, 0)
