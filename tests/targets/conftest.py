"""Real targets from `meltano install`, a real PostgreSQL, and Meltano itself.

`MELTANO_SYS_DIR_ROOT` names a folder to use in place of `.meltano`, as `make compat` needs for other Pythons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aircall_sandbox import Sandbox, generate_company

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Run

ROOT = Path(__file__).parents[2]
PLUGINS = Path(os.environ.get("MELTANO_SYS_DIR_ROOT", ROOT / ".meltano"))
EXECUTABLES = {"target-duckdb": "target-duckdb-exact", "target-postgres": "target-postgres-typed"}


def executable(name: str) -> Path:
    """Return the path of a target that `meltano install` installed."""
    return PLUGINS / f"loaders/{name}/venv/bin/{EXECUTABLES.get(name, name)}"


def definition(name: str) -> dict[str, Any]:
    """Return the definition of a loader for Meltano."""
    files = [ROOT / "meltano.yml", *(ROOT / "meltano").glob("*.meltano.yml")]
    plugins = [each for file in files for each in yaml.safe_load(file.read_text("utf-8"))["plugins"].get("loaders", [])]
    return next((plugin for plugin in plugins if plugin["name"] == name), {"settings": []})


def settings(name: str) -> dict[str, Any]:
    """Return what the definition of a loader sets."""
    return {setting["name"]: setting["value"] for setting in definition(name)["settings"] if "value" in setting}


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Return a function that feeds what a run wrote to a target."""

    def run_target(name: str, run: Run, config: dict[str, Any]) -> None:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        lines = "".join(json.dumps(message) + "\n" for message in run.messages)
        done = subprocess.run(
            [executable(name), "--config", path],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return run_target


@dataclass
class Project:
    """A copy of the project's Meltano configuration, with the installed plugins."""

    folder: Path
    environment: dict[str, str]

    def meltano(self, *arguments: str) -> str:
        """Run Meltano and return its log."""
        done = subprocess.run(
            [Path(sys.executable).parent / "meltano", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout + done.stderr


@pytest.fixture
def live_sandbox() -> Iterator[Sandbox]:
    """A small company by the clock of this machine, for processes that have no other clock."""
    import time  # noqa: PLC0415

    with Sandbox(generate_company(seed=3, now=time.time(), calls=700, contacts=120, users=7)) as sandbox:
        yield sandbox


@pytest.fixture
def project(tmp_path: Path, live_sandbox: Sandbox) -> Project:
    """A Meltano project that reads the live sandbox."""
    project = make_project(tmp_path / "project", live_sandbox)
    project.environment["TAP_AIRCALL_REQUESTS_PER_MINUTE"] = "100000"
    return project


def make_project(folder: Path, sandbox: Sandbox) -> Project:
    """Make a Meltano project that reads a sandbox."""
    (folder / ".meltano").mkdir(parents=True)
    (folder / "output").mkdir()
    shutil.copy(ROOT / "meltano.yml", folder)
    (folder / "dbt").symlink_to(ROOT / "dbt")
    for kind in ("extractors", "loaders", "utilities"):
        (folder / ".meltano" / kind).mkdir()
        for plugin in (PLUGINS / kind).iterdir():
            (folder / ".meltano" / kind / plugin.name).mkdir()
            (folder / ".meltano" / kind / plugin.name / "venv").symlink_to(plugin / "venv")
    settings = {
        "MELTANO_PROJECT_ROOT": str(folder),
        "MELTANO_SYS_DIR_ROOT": str(folder / ".meltano"),
        "MELTANO_AUTO_INSTALL": "false",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        "XDG_STATE_HOME": str(folder),  # where Meltano writes its logs
        "TAP_AIRCALL_API_URL": sandbox.url,
        "TAP_AIRCALL_USER": sandbox.api_id,
        "TAP_AIRCALL_PASSWORD": sandbox.api_token,
    }
    return Project(folder, os.environ | settings)
