"""Snowflake as fakesnow imitates it: an emulator on DuckDB, in processes and an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Record

PYTHON = Path(sys.prefix) / "emulators/snowflake/bin/python"
CONFIG = {"account": "fake", "user": "fake", "password": "fake", "database": "RAW", "schema": "AIRCALL"}


@dataclass
class Snowflake:
    """An account whose databases are files in a folder."""

    folder: Path

    def load(self, *runs: Iterable[Record], **config: Any) -> None:
        """Load runs of messages with target-snowflake into RAW.AIRCALL."""
        paths = [self.folder / f"run{number}.jsonl" for number in range(len(runs))]
        for path, messages in zip(paths, runs, strict=True):
            path.write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
        settings = self.folder / "target-snowflake.json"
        settings.write_text(json.dumps(CONFIG | config), encoding="utf-8")
        self.run("load", settings, *paths).check_returncode()

    def query(self, *sql: str) -> list[list[Record]]:
        """Return the rows of queries; times and decimals as text, objects and lists as JSON."""
        rows = self.folder / "rows.jsonl"
        self.run("query", rows, *sql).check_returncode()
        return [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of `on_fakesnow`: `load` or `query`."""
        databases = self.folder / "databases"
        databases.mkdir(exist_ok=True)
        return subprocess.run(
            [PYTHON, "-m", "tests.targets.on_fakesnow", databases, *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
