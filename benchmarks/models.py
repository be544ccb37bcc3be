"""A full build of the dbt models on many calls in DuckDB, by the clock: all of `dbt build`, and dbt's start alone.

Usage: `python -m benchmarks.models [calls]`, after `make install`. A company with a twentieth of the calls is loaded
through the tap and the target, and is then copied to as many as are asked for, each copy a day earlier.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from aircall_sandbox import Sandbox, generate_company
from benchmarks.harness import measure

COPIES = 20
ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / ".meltano"
TARGET = PLUGINS / "loaders/target-duckdb/venv/bin/target-duckdb-exact"
DBT = PLUGINS / "utilities/dbt-duckdb/venv/bin/dbt"
STREAMS = [
    "calls",
    "contacts",
    "users",
    "numbers",
    "teams",
    "tags",
    "call_transcriptions",
    "call_sentiments",
    "call_topics",
]


def load(folder: Path, calls: int) -> Path:
    """Load a company, and copy its calls; return the file."""
    warehouse = folder / "warehouse.duckdb"
    with Sandbox(generate_company(now=time.time(), calls=calls // COPIES, contacts=calls // COPIES)) as sandbox:
        sandbox.world.intelligence.share = 0.3
        config = {
            "user": sandbox.api_id,
            "password": sandbox.api_token,
            "api_url": sandbox.url,
            "requests_per_minute": 1_000_000,
            "streams": STREAMS,
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        target = {"filepath": str(warehouse), "default_target_schema": "aircall", "add_metadata_columns": True}
        (folder / "target.json").write_text(json.dumps(target), encoding="utf-8")
        tap = f"'{Path(sys.executable).parent / 'tap-aircall'}' --config config.json"
        subprocess.run(  # noqa: S602 - ours
            f"set -o pipefail; {tap} | '{TARGET}' --config target.json", shell=True, check=True, cwd=folder,
            executable="/bin/bash", capture_output=True,
        )  # fmt: skip
    with duckdb.connect(str(warehouse)) as connection:
        for table, key in [("calls", "id"), *((name, "call_id") for name in STREAMS if name.startswith("call_"))]:
            moved = ["started_at", "answered_at", "ended_at"] if table == "calls" else []
            changes = [f"{key} + copy * 1000000000 AS {key}"]
            changes += [f"{name} - to_days(copy::INTEGER) AS {name}" for name in moved]
            connection.execute(
                f"INSERT INTO aircall.{table} SELECT * EXCLUDE (copy) REPLACE ({', '.join(changes)}) "  # noqa: S608
                f"FROM aircall.{table}, range(1, {COPIES}) AS copies(copy)"
            )
    return warehouse


def main() -> None:
    """Measure and print."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "TARGET_DUCKDB_FILEPATH": str(load(folder, calls)),
            "DBT_PROJECT_DIR": str(ROOT / "dbt"),
            "DBT_PROFILES_DIR": str(ROOT / "dbt"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        start = measure(str(DBT), "parse", "--no-partial-parse")
        build = measure(str(DBT), "build", "--exclude-resource-type", "unit_test")
        results = json.loads((folder / "target/run_results.json").read_text(encoding="utf-8"))["results"]
        slowest = sorted(results, key=lambda result: -float(result["execution_time"]))[:5]
        print(f"{calls:,} calls: {build.wall:.1f} s, {build.cpu:.1f} s of CPU, {build.peak:.0f} MB")  # noqa: T201
        print(f"to read the project alone: {start.wall:.1f} s, {start.cpu:.1f} s of CPU")  # noqa: T201
        for result in slowest:
            print(f"  {result['unique_id'].split('.')[2]}: {result['execution_time']:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
