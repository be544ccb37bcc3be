"""Tokens in a database: one renewal at a time across machines, and no token lost."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from aircall_sandbox import Sandbox, World
from tap_aircall.auth import database
from tap_aircall.auth.database import TokenDatabase
from tap_aircall.auth.tokens import Tokens
from tap_aircall.errors import InputError, UnavailableError
from tap_aircall.tap import TapAircall
from tests.catalogs import catalog
from tests.messages import refused
from tests.people import Admin
from tests.processes import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

API = "https://api.example.com"
TOKENS = Tokens(
    access_token="a-1",
    refresh_token="r-1",
    expires_at=datetime(2026, 11, 23, 13, tzinfo=UTC),
    company="Acme",
    ancestors=("before",),
)
CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
def address(postgres: Postgres) -> str:
    return f"postgresql://postgres@/{postgres.name}?host={postgres.host}"


def store(address: str, customer: str = "acme", client: str = "app") -> TokenDatabase:
    return TokenDatabase(f"{address}#{customer}", API, client)


def test_tokens_are_kept_for_each_customer_and_app(address: str) -> None:
    one = store(address)
    assert one.load() is None
    with one.locked():
        one.save(TOKENS)

    assert store(address).load() == TOKENS
    assert store(address, customer="globex").load() is None
    assert store(address, client="other").load() is None


def test_one_tap_at_a_time_has_the_lock(address: str) -> None:
    order: list[str] = []
    first, second = store(address), store(address)
    with first.locked():
        thread = threading.Thread(target=lambda: _note(second, order))
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def _note(second: TokenDatabase, order: list[str]) -> None:
    with second.locked():
        order.append("second")


def test_a_lock_that_stays_held_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1.0)
    with store(address).locked():
        other = store(address)
        with refused(UnavailableError, "acme", "oauth_settings_location"), other.locked():
            pass


def test_new_tokens_are_saved_even_if_the_connection_breaks_meanwhile(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SAVE_PAUSE_SECONDS", 0.0)
    one = store(address)
    with one.locked():
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(CUT)
        one.save(TOKENS)

    assert store(address).load() == TOKENS


def test_a_row_that_holds_something_else_is_told_without_its_content(address: str) -> None:
    with store(address).locked():
        pass
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("INSERT INTO tap_aircall_tokens VALUES ('acme', %s, 'secret')", (f"{API} app",))

    with refused(InputError, "acme", "oauth_settings_location") as raised:
        store(address).load()

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("location", "named"), [("s3://secret/tokens#acme", "postgresql://"), ("postgresql://me:secret@db/tokens", "#")]
)
def test_a_place_where_rotation_is_not_safe_is_refused(location: str, named: str) -> None:
    with refused(InputError, "oauth_settings_location", named) as raised:
        TokenDatabase(location, API, "app")

    assert "secret" not in str(raised.value)


def test_a_database_that_is_down_is_told_without_its_password() -> None:
    with refused(UnavailableError, "oauth_settings_location", "URL") as raised:
        TokenDatabase("postgresql://me:secret@127.0.0.1:1/none#acme", API, "app").load()

    assert "secret" not in str(raised.value)


def test_two_machines_that_find_the_token_ended_renew_it_once(address: str, tmp_path: Path) -> None:
    world = World(now=time.time())
    world.add("tags", name="VIP")
    (tmp_path / "catalog.json").write_text(json.dumps(catalog("tags")), encoding="utf-8")
    with Sandbox(world, oauth="rotating", latency=0.05) as sandbox:
        config = {
            "auth_scheme": "OAUTH",
            "oauth_client_id": sandbox.oauth.client_id,
            "oauth_client_secret": sandbox.oauth.client_secret,
            "callback_url": "https://partner.example.com/callback",
            "api_url": sandbox.url,
            "dashboard_url": sandbox.url,
            "oauth_settings_location": f"{address}#acme",
            "requests_per_minute": 100_000,
        }
        tap = TapAircall(config=dict(config))
        admin = Admin(pastes=str)
        tap.this_run.person = admin
        tap.log_in()
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        files = ["--config", tmp_path / "config.json", "--catalog", tmp_path / "catalog.json"]
        for _ in range(2):
            sandbox.oauth.end_access()
            with ThreadPoolExecutor(2) as machines:
                done = list(machines.map(lambda _: run(*files), range(2)))
            assert [(each.returncode, "VIP" in each.stdout) for each in done] == [(0, True)] * 2, done

    assert sandbox.oauth.grants == ["authorization_code", "refresh_token", "refresh_token"]
