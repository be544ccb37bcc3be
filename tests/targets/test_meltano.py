"""Meltano's own checks of meltano.yml."""

from __future__ import annotations

import importlib.resources
import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from tap_aircall.tap import TapAircall
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from tests.targets.conftest import Project

COMMANDS = {
    "compile --lint": "Compiled",
    "config test tap-aircall": "Plugin configuration is valid",
    "job list": "aircall-to-duckdb: ['tap-aircall target-duckdb']",
    "schedule list": "[@hourly] job aircall-hourly: aircall-to-postgres",
}
"""Questions to Meltano, with a part of its answer. It takes seconds to start, so only `make soak` asks them all."""

OF_THE_HUB = {
    *("name", "variant", "label", "description", "namespace", "executable", "pip_url", "logo_url"),
    *(
        "domain_url",
        "keywords",
        "maintenance_status",
        "capabilities",
        "settings",
        "settings_group_validation",
        "select",
    ),
    *("schema", "metadata", "commands", "requires", "hidden"),
}
"""What an entry on the hub may have besides free text."""


def test_meltano_yml_is_valid_against_meltanos_schema() -> None:
    schema = json.loads((importlib.resources.files("meltano.schemas") / "meltano.schema.json").read_text("utf-8"))
    content = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))

    errors = jsonschema.Draft202012Validator(schema).iter_errors(content)

    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_hub_entry_is_valid_for_meltano_and_the_hub() -> None:
    schema = json.loads((importlib.resources.files("meltano.schemas") / "meltano.schema.json").read_text("utf-8"))
    entry = yaml.safe_load((ROOT / "meltano/tap-aircall.yml").read_text(encoding="utf-8"))

    plugin = {name: entry[name] for name in entry.keys() - {"domain_url", "keywords", "maintenance_status"}}
    jsonschema.Draft202012Validator(schema).validate({"version": 1, "plugins": {"extractors": [plugin]}})

    assert entry.keys() <= OF_THE_HUB
    assert OF_THE_HUB - entry.keys() == {"schema", "metadata", "commands", "requires", "hidden"}
    assert entry["maintenance_status"] in {"active", "beta", "development", "inactive", "unknown"}
    assert entry["domain_url"].startswith("https://")
    names = [setting["name"] for setting in entry["settings"]]
    assert {name for group in entry["settings_group_validation"] for name in group} <= set(names)
    assert len(names) == len(set(names))
    assert all(setting["label"] and setting["description"] and setting["kind"] for setting in entry["settings"])


@pytest.mark.parametrize(
    "command", ["compile --lint", *(pytest.param(each, marks=pytest.mark.slow) for each in list(COMMANDS)[1:])]
)
def test_meltano_accepts_the_project(project: Project, command: str) -> None:
    log = project.meltano(*command.split())

    assert COMMANDS[command] in log
    assert "[warning" not in log
    assert "[error" not in log


def test_numbers_arrive_in_whatever_form_they_were_written(project: Project) -> None:
    project.environment |= {
        "TAP_AIRCALL_PASSWORD": "token",  # it is printed
        "TAP_AIRCALL_REQUESTS_PER_MINUTE": "0.5",
        "TAP_AIRCALL_REQUEST_TIMEOUT": "2.5e0",
        "TAP_AIRCALL_MAX_CONCURRENT_REQUESTS": "3",
        "TAP_AIRCALL_REREAD_AFTER_HOURS": "[0.5, 24.0, 7.2e1]",
    }

    log = project.meltano("invoke", "--dump=config", "tap-aircall")
    settings = TapAircall(config=json.loads(log[log.index("{") : log.rindex("}") + 1])).this_run.settings

    assert settings.requests_per_minute == 0.5
    assert settings.request_timeout == 2.5
    assert settings.max_concurrent_requests == 3
    assert settings.reread_after_seconds == (1800, 86_400, 259_200)
