"""The wheel works without the checkout, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import yaml

from tap_aircall.streams.registry import STREAMS
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
OFFLINE = {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
"""Install the locked versions, from the cache that `make install` filled."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the archives that a release publishes."""
    folder = tmp_path_factory.mktemp("dist")
    run(BIN / "python", "-m", "build", "--installer", "uv", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that has nothing but the wheels of the tap and the sandbox."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    run(BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / "packages/aircall-sandbox", cwd=folder)
    (sandbox,) = folder.glob("*.whl")
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder / "env", cwd=folder)
    python = folder / "env/bin/python"
    locked = ("--constraint", ROOT / "requirements.lock")
    run(BIN / "uv", "pip", "install", "--quiet", "--python", python, *locked, wheel, sandbox, cwd=folder)
    return python.parent


@pytest.fixture
def sandbox(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the sandbox that the wheel brings."""
    options = ("--port", "0", "--calls", "120", "--contacts", "20", "--users", "3")
    with subprocess.Popen(
        [installed / "python", "-m", "aircall_sandbox", *options],
        cwd=tmp_path,
        env=clean(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found
        yield found[0]
        process.terminate()


def clean() -> dict[str, str]:
    """Return an environment in which nothing leads to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TAP_", "VIRTUAL_"))}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end, and return what it wrote to standard output."""
    done = subprocess.run(command, cwd=cwd, env=clean() | OFFLINE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_a_package_index_accepts_the_archives(built: Path) -> None:
    archives = sorted(built.iterdir())
    assert [path.suffix for path in archives] == [".whl", ".gz"]
    assert run(BIN / "python", "-m", "twine", "check", "--strict", *archives, cwd=built).count("PASSED") == 2


def test_the_wheel_has_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    folders = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert folders == {"tap_aircall", wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"}


def test_it_reads_the_sandbox(installed: Path, sandbox: str, tmp_path: Path) -> None:
    config = {"user": "sandbox-id", "password": "sandbox-token", "api_url": sandbox}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    lines = run(installed / "tap-aircall", "--config", "config.json", cwd=tmp_path).splitlines()

    messages = [json.loads(line) for line in lines]
    records = [message["stream"] for message in messages if message["type"] == "RECORD"]
    assert (records.count("calls"), records.count("contacts"), records.count("users")) == (120, 20, 3)
    assert messages[-1]["type"] == "STATE"


def test_it_describes_itself(installed: Path, built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    about = json.loads(run(installed / "tap-aircall", "--about", "--format", "json", cwd=tmp_path))
    catalog = json.loads(run(installed / "tap-aircall", "--discover", cwd=tmp_path))
    entry = yaml.safe_load((ROOT / "meltano/tap-aircall.yml").read_text(encoding="utf-8"))

    assert about["name"] == entry["name"]
    assert about["version"] == wheel.name.split("-")[1]
    assert list(about["settings"]["properties"]) == [setting["name"] for setting in entry["settings"]]
    assert sorted(about["capabilities"]) == entry["capabilities"]
    assert sorted(stream["tap_stream_id"] for stream in catalog["streams"]) == sorted(STREAMS)


def test_the_sandbox_has_all_that_it_imports(installed: Path, tmp_path: Path) -> None:
    modules = [path.stem for path in (ROOT / "packages/aircall-sandbox/aircall_sandbox").glob("[a-z]*.py")]
    run(installed / "python", "-c", "".join(f"import aircall_sandbox.{name}\n" for name in modules), cwd=tmp_path)
