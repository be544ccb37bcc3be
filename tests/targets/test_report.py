"""The page reads PostgreSQL and changes nothing there. That its figures are right is in test_models.py."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aircall_report.database import PageError, reading
from tests.messages import each_names

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres


def test_postgresql_is_read_only(postgres: Postgres) -> None:
    with (
        reading(postgres.url.replace("+psycopg", "")) as database,
        pytest.raises(PageError, match=r"cannot execute CREATE TABLE"),  # as PostgreSQL says it
    ):
        database.rows("create table mine (id bigint)")
    assert postgres.query("select count(*) from information_schema.tables where table_schema = 'public'") == [(0,)]


def test_without_models_it_says_so_in_one_line(postgres: Postgres, tmp_path: Path) -> None:
    database, output = postgres.url.replace("+psycopg", "").replace("postgres@", "postgres:secret@"), tmp_path / "page"
    done = subprocess.run(
        [sys.executable, "-m", "aircall_report", "--database", database, "--output", output, "--schema", "mine"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    each_names(done.stderr.splitlines(), ("mine", "dbt-duckdb:build", "dbt-postgres:build", "--schema"))
    assert not output.exists()
