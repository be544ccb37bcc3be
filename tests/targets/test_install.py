"""What `make install`, CI and a release take from elsewhere: only what the lock, or a commit, names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
import yaml

from tests.messages import names
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "UV_", "PIP_"))}
    return subprocess.run(
        ["make", *arguments],  # noqa: S607
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_uv_than_the_locked_one_is_refused(tmp_path: Path) -> None:
    clone, index = tmp_path / "Büro", tmp_path / "index"
    index.mkdir()
    for path in (ROOT / "Makefile", ROOT / "requirements.lock", *ROOT.glob("**/pyproject.toml")):
        if not path.relative_to(ROOT).parts[0].startswith("."):
            copy = clone / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    found = re.search(r"^uv==(\S+) ", LOCK, re.MULTILINE)
    assert found
    about = f"uv-{found[1]}.dist-info"
    with ZipFile(index / f"uv-{found[1]}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {found[1]}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")

    places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PYTHON": sys.executable}
    done = make(clone, ".venv/ready", LC_ALL="C.UTF-8", **places)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list(clone.glob(".venv/lib/*/site-packages/uv*")) == []


def test_an_umlaut_in_the_path_needs_a_locale_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "Büro").mkdir()
    shutil.copy2(ROOT / "Makefile", tmp_path / "Büro")

    done = make(tmp_path / "Büro", "help", LC_ALL="C")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert names(done.stderr, "LC_ALL=C.UTF-8")
    for folder, locale in (("Büro", "C.UTF-8"), (".", "C")):
        shutil.copy2(ROOT / "Makefile", tmp_path)
        assert make(tmp_path / folder, "help", LC_ALL=locale).returncode == 0


def test_the_environment_does_not_decide_where_packages_go() -> None:
    names = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "UV_REQUIRE_HASHES")
    shown = make(ROOT, "--eval", "show: ; @env", "show", **dict.fromkeys(("PIP_INDEX_URL", *names), "1")).stdout
    assert [name for name in ("PIP_INDEX_URL", *names) if f"{name}=" in shown] == ["PIP_INDEX_URL"]


def test_every_step_has_its_settings_from_the_makefile() -> None:
    steps = make(ROOT, "--always-make", "--dry-run", "install", "lock").stdout.splitlines()
    installing = [step for step in steps if re.search(r"\.venv/bin/(uv|meltano) ", step)]
    assert len(installing) == 4 + 2 * len([*(ROOT / "tests/targets").glob("*.txt")])
    for step in installing:
        assert step.startswith("UV_NO_CONFIG=1 UV_SYSTEM_CERTS=1 UV_BUILD_CONSTRAINT=requirements.lock "), step


@pytest.mark.parametrize("folder", [ROOT, *sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))])
def test_the_lock_has_what_builds_packages(folder: Path) -> None:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in ("uv", *project["build-system"]["requires"]):
        name = re.split("[<>=]", requirement)[0]
        assert re.search(rf"^{name}==\S+ \\\n +--hash=sha256:", LOCK, re.MULTILINE), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_commits_and_end(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    for name, job in jobs.items():
        assert job["timeout-minutes"] <= 350, name
        for step in job["steps"]:
            assert re.fullmatch(r"\S+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}")), step
