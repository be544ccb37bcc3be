"""README, --about, meltano.yml and sample_config.json say the same as the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_aircall.custom import FIELDS, Replication, parse_definitions
from tap_aircall.report_names import REPORTS
from tap_aircall.settings import DEFINITION
from tap_aircall.streams import STREAMS
from tap_aircall.streams.calls import FETCH_FLAGS
from tap_aircall.streams.intelligence import CallIntelligence
from tap_aircall.tap import TapAircall

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
SAMPLES = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("sample_config*.json")}
(EXTRACTOR,) = MELTANO["plugins"]["extractors"]
OWN = [name for name in DEFINITION["properties"] if not re.match("stream_map|flattening|faker", name)]


def about() -> dict[str, Any]:
    """Return the settings as `--about` prints them, those of the SDK included."""
    TapAircall.append_builtin_config(TapAircall.config_jsonschema)
    properties: dict[str, Any] = TapAircall.config_jsonschema["properties"]
    return properties


def test_the_readme_says_which_streams_are_selected_by_default() -> None:
    assert [stream.selected_by_default for stream in STREAMS.values()].index(False) == 10
    assert not any(stream.selected_by_default for stream in list(STREAMS.values())[10:])
    assert "The first ten are selected by default" in README


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading of the README by the name in their first cell."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {first.split("`")[1]: [cell.strip() for cell in rest] for first, *rest in cells}


def test_every_setting_has_a_title_and_a_description() -> None:
    for name, setting in about().items():
        assert setting.get("title"), name
        assert setting.get("description"), name


def test_readme_lists_every_setting_with_its_default() -> None:
    table = rows("Settings")
    assert list(table) == OWN
    for name, (default, meaning) in table.items():
        assert meaning
        expected = DEFINITION["properties"][name].get("default")
        if expected is not None:
            shown = expected if isinstance(expected, str) else json.dumps(expected)
            assert default == f"`{shown}`"
    for name in about():
        assert f"`{name}`" in README


def test_readme_marks_secrets() -> None:
    for name in OWN:
        secret = DEFINITION["properties"][name].get("secret", False)
        assert (f"`{name}` (secret)" in README) == secret


def test_readme_lists_every_stream_with_key_and_replication() -> None:
    table = rows("Streams")
    assert list(table) == list(STREAMS)
    for name, (key, replication, cost) in table.items():
        stream = STREAMS[name]
        assert key == ", ".join(f"`{part}`" for part in stream.primary_keys)
        follows = "follows `calls`" if issubclass(stream, CallIntelligence) else "whole"
        assert replication == (f"incremental, `{stream.replication_key}`" if stream.replication_key else follows)
        assert cost
    for field in FETCH_FLAGS:
        assert f"`{field}`" in README


def test_readme_names_every_report() -> None:
    section = README.split("\n## Analytics reports\n")[1].split("\n## ")[0]
    assert set(re.findall("`([A-Z_]+)`", section)) == set(REPORTS)


def test_readme_lists_every_field_of_a_custom_stream() -> None:
    table = rows("Lists that the tap does not know yet")
    assert tuple(table) == FIELDS
    for replication in Replication:
        assert f"`{replication}`" in str(table["replication"])


def test_the_custom_streams_of_the_readme_can_be_used() -> None:
    section = README.split("\n## Lists that the tap does not know yet\n")[1]
    example = json.loads(section.split("```json\n")[1].split("```")[0])
    names = [definition.name for definition in parse_definitions(example["custom_streams"], taken=STREAMS)]
    assert names == ["campaigns", "trackers"]


def test_meltano_has_every_setting() -> None:
    settings = {setting["name"]: setting for setting in EXTRACTOR["settings"]}
    assert settings.keys() == about().keys()
    for name, setting in settings.items():
        definition = about()[name]
        assert setting.get("value") == definition.get("default")
        assert setting.get("sensitive", False) == definition.get("secret", False)
        assert setting["label"]
        assert setting["description"]
        kinds = {"string": "string", "number": "string", "integer": "integer", "boolean": "boolean"}
        kinds |= {"array": "array", "object": "object"}
        assert setting["kind"] == kinds[definition["type"][0]]


def test_meltano_has_every_capability_and_stream() -> None:
    assert EXTRACTOR["capabilities"] == sorted(capability.value for capability in TapAircall.capabilities)
    selected = [pattern for pattern in EXTRACTOR["select"] if not pattern.startswith("!")]
    excluded = [pattern for pattern in EXTRACTOR["select"] if pattern.startswith("!")]
    assert selected == [f"{name}.*" for name, stream in STREAMS.items() if stream.selected_by_default]
    assert excluded == [f"!calls.{field}" for field in FETCH_FLAGS]


def test_meltano_installs_without_the_hub() -> None:
    for kind in ("extractors", "loaders"):
        for plugin in MELTANO["plugins"][kind]:
            assert plugin["namespace"]
            assert plugin["pip_url"]
    jobs = {job["name"] for job in MELTANO["jobs"]}
    assert [schedule["job"] in jobs for schedule in MELTANO["schedules"]] == [True]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_config_is_valid_and_shows_what_users_change(name: str) -> None:
    sample = SAMPLES[name]
    assert f"({name})" in README
    assert sample.keys() <= set(OWN)
    TapAircall(config=dict(sample))
    for setting, value in sample.items():
        default = DEFINITION["properties"][setting].get("default")
        assert default is None or value == default or setting == "auth_scheme"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))))
def test_commands_of_the_readme_exist(command: str) -> None:
    assert f"\n{command}: " in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_files_of_the_readme_exist() -> None:
    for path in re.findall(r"\]\((?!http|#)([^)]+)\)|`(tap_aircall/[\w/]+\.py)`", README):
        assert (ROOT / (path[0] or path[1])).exists()


def test_links_within_the_readme_have_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
