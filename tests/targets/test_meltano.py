"""Meltano's own checks of meltano.yml."""

from __future__ import annotations

import importlib.resources
import json
import os
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from tests.targets.conftest import Project

SOAK = "SOAK" in os.environ
"""Whether `make soak` asks for more of it."""
COMMANDS = {
    "compile --lint": "Compiled",
    "config test tap-aircall": "Plugin configuration is valid",
    "job list": "aircall-to-duckdb: ['tap-aircall target-duckdb']",
    "schedule list": "[@hourly] job aircall-hourly: aircall-to-postgres",
}
"""What Meltano is asked, and a part of its answer. It takes seconds to start: without time, it is asked once."""


def test_the_file_is_as_meltanos_schema_has_it() -> None:
    schema = json.loads((importlib.resources.files("meltano.schemas") / "meltano.schema.json").read_text("utf-8"))
    content = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))

    errors = jsonschema.Draft202012Validator(schema).iter_errors(content)

    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("command", COMMANDS if SOAK else ["compile --lint"])
def test_meltano_has_nothing_to_say_against_it(project: Project, command: str) -> None:
    log = project.meltano(*command.split())

    assert COMMANDS[command] in log
    assert "[warning" not in log
    assert "[error" not in log
