"""Snowflake and BigQuery as fakesnow and bqemulator imitate them, on DuckDB, in environments of their own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Record

SCRIPTS = {"snowflake": "on_fakesnow.py", "bigquery": "on_bqemulator.py"}
CONFIG = {
    "snowflake": {"account": "fake", "user": "fake", "password": "fake", "database": "RAW", "schema": "AIRCALL"},
    "bigquery": {"project": "warehouse"},
}


def python_of(warehouse: str) -> Path:
    """Return the Python that has the emulator."""
    return Path(sys.prefix) / f"emulators/{warehouse}/bin/python"


def command(warehouse: str, folder: Path) -> tuple[str | Path, ...]:
    """Return what runs `load` or `dbt` in an emulator that keeps its data in a folder."""
    script = Path(__file__).with_name(SCRIPTS[warehouse])
    return (python_of(warehouse), "-P", "-W", "ignore", script, folder)


def load(warehouse: str, folder: Path, config: Record, runs: Iterable[Iterable[Record]], *before: Path) -> None:
    """Load the messages of runs with the warehouse's target into its schema `aircall`."""
    settings = folder / "config.json"
    settings.write_text(json.dumps(CONFIG[warehouse] | config), encoding="utf-8")
    paths = []
    for number, messages in enumerate(runs):
        paths.append(folder / f"run{number}.jsonl")
        paths[-1].write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
    arguments = (*command(warehouse, folder), "load", *before, settings, *paths)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


def tables(folder: Path) -> tuple[dict[str, list[Record]], dict[tuple[str, str], str]]:
    """Return the rows of the tables that the last command left, and the type of each column."""
    rows, types = pickle.loads((folder / "tables.pickle").read_bytes())  # noqa: S301 - our own
    return rows, types
