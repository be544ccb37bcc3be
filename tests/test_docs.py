"""The documents, --about, meltano.yml and the sample configs agree with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import generate
from tap_aircall.settings import DEFINITION, REPORTS
from tap_aircall.streams.custom.definitions import FIELDS, Replication, parse_definitions
from tap_aircall.streams.registry import STREAMS, TAKEN
from tap_aircall.tap import TapAircall

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
SAMPLES = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("sample_config*.json")}
(EXTRACTOR,) = MELTANO["plugins"]["extractors"]
OWN = [name for name in DEFINITION["properties"] if not re.match("stream_map|flattening|faker", name)]


@pytest.mark.parametrize(("path", "text"), generate.documents().items(), ids=lambda value: getattr(value, "name", ""))
def test_what_is_generated_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make generate`"


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = TEXT["README.md"].splitlines()
    assert len(lines) <= 150
    assert {"make demo", "make test"} <= {line.split("   #")[0] for line in lines[:25]}


def test_the_readme_says_which_streams_are_selected_by_default() -> None:
    chosen = [f"`{name}`" for name, stream in STREAMS.items() if stream.selected_by_default]
    assert f"- **Selected by default**: {', '.join(chosen)}\n" in TEXT["README.md"]


def test_every_setting_has_a_title_and_a_description() -> None:
    for name, setting in generate.all_settings().items():
        assert setting.get("title"), name
        assert setting.get("description"), name


def test_every_field_of_every_stream_has_a_description() -> None:
    tap = TapAircall(config={}, validate_config=False)
    for name in STREAMS:
        for path, definition in generate.walk(tap.streams[name].schema):
            assert definition.get("description"), f"{name}.{path}"


def test_the_page_on_reports_names_every_report() -> None:
    assert set(re.findall("- `([A-Z_]+)`", TEXT["analytics.md"])) == set(REPORTS)


def test_the_page_on_custom_streams_lists_every_field() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT["custom-streams.md"], re.MULTILINE))
    assert tuple(table) == FIELDS
    for replication in Replication:
        assert f"`{replication}`" in table["replication"]


def test_the_custom_streams_of_the_documents_can_be_used() -> None:
    example = json.loads(TEXT["custom-streams.md"].split("```json\n")[1].split("```")[0])
    names = [definition.name for definition in parse_definitions(example["custom_streams"], taken=TAKEN)]
    assert names == ["campaigns", "trackers"]


def test_meltano_has_every_capability() -> None:
    assert EXTRACTOR["capabilities"] == sorted(capability.value for capability in TapAircall.capabilities)


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
    assert sample.keys() <= set(OWN)
    TapAircall(config=dict(sample))
    for setting, value in sample.items():
        default = DEFINITION["properties"][setting].get("default")
        assert default is None or value == default or setting == "auth_scheme"


def commands() -> set[str]:
    """Return the make targets that the documents mention."""
    return {found for text in TEXT.values() for found in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)}


@pytest.mark.parametrize("command", sorted(commands()))
def test_commands_of_make_exist(command: str) -> None:
    assert f"\n{command}: " in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, _, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(#([^)]+))?\)", TEXT[page.name]):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def placed(text: str) -> list[Any]:
    """Return the paths of this project that a text names, marked as code."""
    return re.findall(r"`((?:tap_aircall|tests|docs|meltano|benchmarks|packages|examples)/[\w/.-]*)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_the_documents_name_exist(page: Path) -> None:
    assert [path for path in placed(TEXT[page.name]) if not (ROOT / path).exists()] == []


def test_every_fact_that_the_code_cites_has_a_heading() -> None:
    headings = set(re.findall(r"^#+ (.*)", TEXT["aircall-api.md"], re.MULTILINE))
    for path in [path for folder in ("packages", "tap_aircall", "tests") for path in ROOT.glob(f"{folder}/**/*.py")]:
        text = re.sub(r"\n\s*(# )?", " ", path.read_text(encoding="utf-8"))
        for cited in re.findall(r"\bfacts: ([A-Z][^):;.]+)", text):
            assert {part.strip() for part in cited.split(" and ")} <= headings or cited.strip() in headings, (
                f"{path.name}: {cited}"
            )
