"""Customers loaded by Meltano itself, into a real target, with the guard behind its states."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from aircall_sandbox import Sandbox, generate_company
from customers_tests.test_run import PATIENCE_SECONDS, Site, processes_of, wait_for
from tests.targets.conftest import PLUGINS
from tests.targets.test_models import needs_dbt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aircall_customers.guard import Guard
    from tests.postgres import Postgres

STATE = "dev:tap-aircall-to-target-duckdb:acme"


@pytest.fixture
def site(tmp_path: Path, database: str) -> Iterator[Site]:
    """A machine with Meltano, and a customer whose load takes some seconds."""
    world = generate_company(seed=3, now=time.time(), calls=1_500, contacts=10, users=3)
    with Sandbox(world, latency=0.1) as sandbox:
        here = Site(tmp_path, database, sandbox)
        here.write(
            acme={
                "target": "target-duckdb",
                "schema": "acme",
                "target_settings": {"filepath": str(tmp_path / "warehouse.duckdb"), "batch_size_rows": 200},
                "streams": ["calls", "tags"],
            }
        )
        here.variables |= {"AIRCALL_MELTANO": "", "MELTANO_SYS_DIR_ROOT": str(PLUGINS)}
        yield here


def test_a_load_by_meltano_is_killed_superseded_and_taken_up_again(
    site: Site, guard: Guard, connect: Callable[[], Guard]
) -> None:
    work = str(site.folder / "work")
    killed = site.start("load", "acme")
    wait_for(lambda: guard.states() or killed.poll() is not None)
    assert killed.poll() is None, killed.communicate()
    killed.kill()
    killed.communicate()

    wait_for(lambda: not guard.records()["acme"].is_held)
    with connect().claim("acme", "another machine") as claim:
        began_from = guard.state(STATE, claim)
        wait_for(lambda: not processes_of(work))  # Meltano ends, since it cannot write its state
        assert guard.state(STATE, claim) == began_from
    code, output, errors = site.run("load", "acme")
    listed = meltano(site, "state", "list")
    kept = guard.state(STATE, None)
    written = site.folder / "state.json"
    written.write_text(meltano(site, "state", "get", STATE), encoding="utf-8")
    meltano(site, "state", "set", "--force", "--input-file", str(written), STATE)

    assert kept is not None
    assert "schema acme" in kept.pop("place")
    assert guard.state(STATE, None) == kept
    assert began_from is not None
    assert (code, errors) == (0, ""), output
    assert STATE in listed
    assert site.left == []
    with duckdb.connect(str(site.folder / "warehouse.duckdb")) as connection:
        calls = connection.execute("SELECT id FROM acme.calls ORDER BY id").fetchall()
        tags = connection.execute("SELECT id FROM acme.tags ORDER BY id").fetchall()
    assert calls == [(identity,) for identity in sorted(site.sandbox.world.calls)]
    assert tags == [(identity,) for identity in sorted(site.sandbox.world.kinds["tags"])]
    record = guard.records()["acme"]
    assert (record.epoch, record.failures, record.run) == (3, 0, None)
    assert record.calls_until is not None


@needs_dbt
@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_the_models_of_a_customer_are_built_beside_what_was_loaded(site: Site, postgres: Postgres) -> None:
    site.sandbox.latency = 0.0
    site.write(
        acme={
            "target": "target-postgres",
            "schema": "acme",
            "target_settings": {},
            "streams": ["calls", "users", "numbers"],
            "build": "dbt-postgres:build",
            "build_settings": {"time_zone": "Asia/Tokyo"},
            "name_rows": True,
        }
    )
    site.variables |= {
        "DBT_RESOURCE_TYPES": "model",  # the demo's build tests the data, too
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.url,
        "TARGET_POSTGRES_HOST": str(postgres.host),
        "TARGET_POSTGRES_USER": "postgres",
        "TARGET_POSTGRES_DATABASE": postgres.name,
    }

    code, output, errors = site.run("load", "acme")

    assert (code, errors) == (0, ""), output
    assert site.left == []
    schemas = postgres.query(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' ORDER BY 1"
    )
    assert schemas == [("acme",), ("acme_analytics",), ("acme_analytics_staging",), ("public",)]
    days = postgres.query("""
        SELECT call_id, call_date = (started_at AT TIME ZONE 'Asia/Tokyo')::date FROM acme_analytics.aircall__calls
        ORDER BY 1
    """)
    assert days == [(identity, True) for identity in sorted(site.sandbox.world.calls)]

    assert postgres.query("SELECT DISTINCT aircall_customer FROM acme.calls") == [("acme",)]
    assert site.run("views") == (0, "acme: 3 views in the schema all_customers\n", "")
    assert postgres.query("SELECT count(*) FROM all_customers.calls") == [(len(days),)]

    site.write(acme=site.entries["acme"] | {"build_settings": {"target": "none"}})
    assert site.run("build", "acme")[::2] == (1, "The build failed; see the log of the run.\n")


def meltano(site: Site, *arguments: str) -> str:
    """Run Meltano as a person does who looks after states; return what it printed."""
    done = subprocess.run(
        [Path(sys.executable).parent / "meltano", *arguments],
        env=site.environment
        | {
            "MELTANO_PROJECT_ROOT": site.environment["AIRCALL_PROJECT"],
            "MELTANO_STATE_BACKEND_URI": "aircall://",
            "MELTANO_DATABASE_URI": f"sqlite:///{site.folder}/meltano.db",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_SYS_DIR_ROOT": str(site.folder / "meltano"),
            "XDG_STATE_HOME": str(site.folder),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
