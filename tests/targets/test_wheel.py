"""The wheel works without the checkout, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
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
    run(BIN / "python", "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
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


def files_in(path: Path) -> dict[str, bytes]:
    """Return the files of an archive by name, without the folder that a source archive has around them."""
    if path.suffix == ".whl":
        with ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(path) as sdist:
        return {each.name.partition("/")[2]: file.read() for each in sdist if (file := sdist.extractfile(each))}


def test_every_package_has_a_licence_and_a_readme_and_no_tests(built: Path, tmp_path: Path) -> None:
    packages = [path.parent for path in (ROOT / "packages").glob("*/pyproject.toml")]
    for package in packages:
        run(BIN / "hatchling", "build", "--directory", tmp_path, cwd=package)
    archives = [*built.iterdir(), *tmp_path.iterdir()]
    assert len(archives) == 2 * (1 + len(packages))
    for path in archives:
        files = files_in(path)
        (about,) = (files[name].decode() for name in files if re.search("(^|/)(METADATA|PKG-INFO)$", name))
        (licence,) = (files[name] for name in files if re.search("(^|/)LICENSE$", name))
        readme = about.partition("\n\n")[2]
        assert licence == (ROOT / "LICENSE").read_bytes(), path
        assert readme.strip(), path
        assert not re.search(r"\]\((?!https://)", readme), path  # an index could not follow such a link
        assert not [name for name in files if "test" in name], path


def test_an_export_without_git_knows_its_version(tmp_path: Path) -> None:
    clone, export = tmp_path / "clone", tmp_path / "export"
    run("git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), clone, cwd=tmp_path)
    for name in (".gitattributes", ".git_archival.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, clone)
    for arguments in (["add", "."], ["commit", "--quiet", "--allow-empty", "--message", "x"], ["tag", "v9.8.7"]):
        run("git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments, cwd=clone)
    run("git", "archive", "--output", tmp_path / "export.tar", "HEAD", cwd=clone)
    run("tar", "-xf", tmp_path / "export.tar", "--one-top-level=export", cwd=tmp_path)

    assert run(BIN / "hatchling", "version", cwd=export).strip() == "9.8.7"


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
