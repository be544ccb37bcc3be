"""Every block of the documents works: commands run as printed, in a fresh folder, and those that load run twice.

How a block is tried follows from its kind, and from a comment right before it: `<!-- file: NAME -->` for the content of
a file, `<!-- not run: REASON -->` for what cannot be tried. The queries in SQL are in test_recipes.py and crm.py,
the maps for personal data in test_personal_data.py.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import jsonschema
import pytest
import yaml
from typing_extensions import override

from tap_aircall.streams.registry import STREAMS
from tap_aircall.tap import TapAircall
from tests.receiving import receiver
from tests.slow import RUN_SLOW
from tests.targets.conftest import PLUGINS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aircall_sandbox import Sandbox
    from tests.postgres import Postgres

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?: *<!-- (?P<what>file|not run): (?P<detail>[^>]*) -->\n)?(?P<indent> *)```(?P<kind>\S*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
IN_THE_CLONE = ("README.md", "CONTRIBUTING.md", "oauth.md", "models.md", "html-report.md", "tasks.md")
COMMANDS = (*IN_THE_CLONE, "quick-start.md", "meltano.md")
"""Pages with commands, which run in the clone for the first six, and beside it for the others."""
DRAWN = ("{mermaid}", "mermaid", "{toctree}", "text")
"""Kinds of blocks that do not run: `make docs` draws diagrams, and `text` is what a command prints."""
AGAIN = re.compile("tap-aircall --config|meltano run" if RUN_SLOW else "tap-aircall --config (?!.*login)")
"""Blocks to run twice; Meltano is slow to start, so only `make soak` runs its blocks twice."""
LAST_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
"""In place of the one on the pages: Aircall serves six months, by the clock of this machine."""
CALLS = 500
"""How many calls the sandbox has on the pages."""
UV = Path(sys.executable).parent / "uv"
PULLED = """
git init --quiet --initial-branch main
git -c user.name=x -c user.email=x@example.com commit --quiet --allow-empty --message x
git clone --quiet --bare . ../origin.git
git remote add origin ../origin.git
git fetch --quiet origin
git branch --quiet --set-upstream-to origin/main
"""
"""Makes a clone of a clone, which has somewhere to pull from."""
TRANSCRIBED = "SELECT call_id FROM aircall.call_transcriptions"
BROWSER = """
import sys
from urllib.parse import parse_qsl, urlsplit
import requests

parts = urlsplit(sys.argv[1])
form = dict(parse_qsl(parts.query)) | {"decision": "allow"}
requests.post(f"{parts.scheme}://{parts.netloc}{parts.path}", data=form, timeout=10)
"""


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: str
    line: int
    kind: str
    text: str
    file: str | None = None
    not_run: str | None = None

    @override
    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Yield every block of every page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            mark = {str(found["what"]).replace(" ", "_"): found["detail"]} if found["what"] else {}
            lines = (line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True))
            yield Block(page.name, text.count("\n", 0, found.start()) + 1, found["kind"], "".join(lines), **mark)


BLOCKS = list(blocks())
OF_CUSTOMERS = "customers.md"
"""The page whose blocks packages/aircall-customers/tests tries."""
CONFIGS = [block for block in BLOCKS if block.kind == "json" and block.page != OF_CUSTOMERS]
PARTS = [block for block in BLOCKS if block.kind == "yaml" and not block.not_run and block.page != OF_CUSTOMERS]


def covered(block: Block) -> bool:
    """Return whether a test tries a block."""
    if block.kind == "shell" or block.file:
        return block.page in COMMANDS
    in_sql = block.kind == "sql" and block.page in {"recipes.md", "tasks.md", "crm.md"}
    return in_sql or block.kind in {"json", "yaml", *DRAWN}


def test_every_block_is_tried_or_says_why_not() -> None:
    assert [str(block) for block in BLOCKS if not covered(block) and not block.not_run] == []
    fences = sum(len(re.findall("^ *```", page.read_text("utf-8"), re.MULTILINE)) for page in PAGES)
    assert 2 * len(BLOCKS) == fences


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_with_states_by_suffix_says_that_two_runs_at_once_mix_them_up(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert ("meltano run" in text and "--state-id-suffix" in text) <= ("MELTANO_SYS_DIR_ROOT" in text)


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_config_is_valid_as_printed(block: Block) -> None:
    TapAircall(config={"user": "id", "password": "token", **json.loads(block.text)})


@pytest.mark.parametrize("block", PARTS, ids=str)
def test_a_part_of_the_meltano_file_fits_into_the_definition_of_the_tap(block: Block) -> None:
    schema = json.loads((importlib.resources.files("meltano.schemas") / "meltano.schema.json").read_text("utf-8"))
    content = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    part = yaml.safe_load(block.text)
    content["plugins"]["extractors"][0] |= part
    jsonschema.Draft202012Validator(schema).validate(content)
    assert set(part["metadata"]) <= set(STREAMS)


def test_what_the_pages_have_meltano_run_is_defined() -> None:
    """The pages are followed in `make soak`; README in `make test`, too."""
    files = [ROOT / "meltano.yml", *(ROOT / "meltano").glob("*.meltano.yml")]
    kinds = [yaml.safe_load(file.read_text(encoding="utf-8"))["plugins"] for file in files]
    names = {plugin["name"] for kind in kinds for plugins in kind.values() for plugin in plugins}
    text = "".join(block.text for block in BLOCKS)
    ran = {
        word
        for line in re.findall("meltano run (.*)", text)
        for word in re.findall("(?:tap|target|dbt)-[a-z:-]+", line)
    }

    assert {"target-duckdb", "target-postgres", "dbt-duckdb:build"} <= ran
    assert {name.removesuffix(":build") for name in ran} <= names


@dataclass
class Reader:
    """Somebody who follows a page to the letter.

    Args:
        folder: A fresh one, with a clone of the project, and the home of the reader.
        port: Where the sandbox listens, in place of the port on the pages.
        environment: Variables to set besides those that every reader has.
        values: What to write in place of `...`, by variable.
    """

    folder: Path
    port: int
    environment: dict[str, str]
    values: Mapping[str, str]
    patience: float = 600
    """Seconds that a script may take."""

    def follow(self, page: str) -> None:
        """Do what a page says; repeat what loads."""
        script = ["set -eux -o pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
        of_page = [block for block in BLOCKS if block.page == page and not block.not_run]
        script += [self._do(block) for block in of_page if block.file or block.kind == "shell"]
        script += [self._do(block) for block in of_page if block.kind == "shell" and AGAIN.search(block.text)]
        self.run("\n".join(script), self.clone if page in IN_THE_CLONE else self.folder)

    def run(self, script: str, cwd: Path) -> None:
        """Run a script of bash to its end, and stop what it leaves behind."""
        log = self.folder / "log.txt"
        with log.open("w", encoding="utf-8") as out:
            bash = subprocess.Popen(
                ["bash", "-c", script],  # noqa: S607 - the one of the machine
                cwd=cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = bash.wait(self.patience)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(bash.pid, signal.SIGKILL)
                bash.wait()
        assert code == 0, log.read_text("utf-8")[-6000:]

    @property
    def clone(self) -> Path:
        """The folder of the clone."""
        return self.folder / "tap-aircall"

    def _do(self, block: Block) -> str:
        text = re.sub(r"(\w+)=\.\.\.", lambda found: f"{found[1]}={self.values[found[1]]}", block.text)
        text = (
            text.replace("2026-10-", f"{LAST_MONTH:%Y-%m}-")
            .replace("8025", str(self.port))
            .replace("/secrets/", f"{self.folder}/secrets/")
        )
        if block.file == "config.json":
            text = json.dumps(json.loads(text) | {"requests_per_minute": 100_000})
        if block.file:
            return f"cat >> {block.file} <<'END'\n{text.rstrip()}\nEND"
        # From the cache that `make install` filled with the locked versions, so that the test needs no network.
        text = re.sub(
            r"(?:(\S+)/bin/)?pip install (target-)?",
            lambda found: (
                f"{UV} pip install --quiet --python {found[1] or '$VIRTUAL_ENV'} "
                + (found[2] or f"--constraint {ROOT / 'requirements.lock'} ")
            ),
            text,
        )
        if "aircall_sandbox" in text:
            listens = f"until (: </dev/tcp/127.0.0.1/{self.port}) 2>/dev/null; do sleep 0.1; done"
            return f"{text.rstrip().removesuffix('&')} >sandbox.log &\n{listens}"
        return text


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def reader(tmp_path: Path, port: int) -> Reader:
    """Somebody with an empty home and a fresh clone."""
    clone = tmp_path / "tap-aircall"
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    (tmp_path / "home").mkdir()
    (tmp_path / "secrets").mkdir()
    (clone / ".venv").symlink_to(sys.prefix)
    for plugin in PLUGINS.glob("*/*/venv"):
        link = clone / ".meltano" / plugin.relative_to(PLUGINS)
        link.parent.mkdir(parents=True)
        link.symlink_to(plugin)
    cache = subprocess.run([UV, "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": os.pathsep.join([f"{sys.base_prefix}/bin", os.environ["PATH"]]),
        "LANG": "C.UTF-8",
        "MAKEFLAGS": "n",  # the tests must not set everything up again, or run themselves
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": cache,
        "UV_NO_CONFIG": "1",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_AUTO_INSTALL": "false",
        "TAP_AIRCALL_API_URL": f"http://127.0.0.1:{port}",
        "TAP_AIRCALL_REQUESTS_PER_MINUTE": "100000",
    }
    values = {"TAP_AIRCALL_USER": "sandbox-id", "TAP_AIRCALL_PASSWORD": "sandbox-token"}
    return Reader(tmp_path, port, environment, values)


def use_environment(reader: Reader) -> None:
    """Put the project's own environment, with Meltano, on the reader's path."""
    reader.environment["PATH"] = f"{sys.prefix}/bin{os.pathsep}{reader.environment['PATH']}"


def use_postgres(reader: Reader, postgres: Postgres) -> None:
    """Give the reader a database. The address wins over host, user and password, which a socket lacks."""
    reader.environment["TARGET_POSTGRES_SQLALCHEMY_URL"] = postgres.url
    reader.values = dict(reader.values) | {
        f"TARGET_POSTGRES_{name}": "postgres" for name in ("USER", "PASSWORD", "DATABASE")
    }


def one_block(kind: str, page: str, part: str = "") -> Block:
    """Return the only block of a kind on a page that has some text in it."""
    (found,) = (block for block in BLOCKS if (block.kind, block.page) == (kind, page) and part in block.text)
    return found


def ids(folder: Path) -> set[int]:
    """Return the ids of the calls in the files of target-jsonl, one a run."""
    lines = [line for path in folder.glob("calls-*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return {json.loads(line)["id"] for line in lines}


def bookmarks(path: Path) -> set[str]:
    """Return the streams of a file with a state."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return set(content["bookmarks"])


def test_the_readme_can_be_followed(reader: Reader, live_sandbox: Sandbox) -> None:
    reader.environment["TAP_AIRCALL_API_URL"] = live_sandbox.url
    before = {path.name for path in reader.clone.iterdir()}

    reader.follow("README.md")

    made = {path.name for path in reader.clone.iterdir()} - before
    ignored = subprocess.run(["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    assert set(ignored.stdout.split()) == made
    with duckdb.connect(str(reader.clone / "output/warehouse.duckdb"), read_only=True) as connection:
        calls = connection.execute("SELECT id FROM aircall.calls").fetchall()
    assert sorted(calls) == [(call,) for call in sorted(live_sandbox.world.calls)]


def test_the_quick_start_can_be_followed(reader: Reader) -> None:
    reader.follow("quick-start.md")

    assert len(ids(reader.folder)) == CALLS
    assert list(reader.folder.glob("contacts-*.jsonl")) == []
    assert "calls" in bookmarks(reader.folder / "state.json")
    messages = (reader.folder / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(messages[-1])["type"] == "STATE"


@pytest.mark.slow
def test_the_page_on_meltano_can_be_followed(reader: Reader, live_sandbox: Sandbox, postgres: Postgres) -> None:
    use_environment(reader)
    use_postgres(reader, postgres)
    reader.environment["TAP_AIRCALL_API_URL"] = live_sandbox.url

    reader.follow("meltano.md")

    with duckdb.connect(str(reader.folder / "my-project/output/warehouse.duckdb"), read_only=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        calls = connection.execute("SELECT id FROM aircall.calls").fetchall()
    assert sorted(calls) == [(call,) for call in sorted(live_sandbox.world.calls)]
    assert tables == {name for name, stream in STREAMS.items() if stream.selected_by_default}
    assert postgres.query("SELECT count(*) FROM aircall.calls") == [(len(calls),)]


@pytest.mark.slow
def test_the_page_on_oauth_can_be_followed(reader: Reader, live_sandbox: Sandbox, postgres: Postgres) -> None:
    use_environment(reader)
    use_postgres(reader, postgres)
    oauth = live_sandbox.oauth
    secrets = {"oauth_client_id": oauth.client_id, "oauth_client_secret": oauth.client_secret}
    addresses = {
        "api_url": live_sandbox.url,
        "dashboard_url": live_sandbox.url,
        "callback_url": f"http://localhost:{reader.port}/callback",
    }
    sample = json.loads((ROOT / "sample_config.oauth.json").read_text(encoding="utf-8"))
    config = reader.clone / "config.json"
    config.write_text(json.dumps(sample | secrets | addresses), encoding="utf-8")
    reader.values = dict(reader.values) | {f"TAP_AIRCALL_{name.upper()}": value for name, value in secrets.items()}
    browser = reader.folder / "browser.py"
    browser.write_text(BROWSER, encoding="utf-8")
    reader.environment |= {f"TAP_AIRCALL_{name.upper()}": value for name, value in addresses.items()}
    reader.environment["BROWSER"] = f"{sys.executable} {browser} %s &"

    reader.follow("oauth.md")

    page = (ROOT / "docs/oauth.md").read_text(encoding="utf-8")
    assert f"`{oauth.client_id}`, the secret `{oauth.client_secret}`" in page
    assert (reader.folder / "secrets/acme.json").stat().st_mode & 0o777 == 0o600
    assert postgres.query("SELECT count(*) FROM aircall.calls") == [(len(live_sandbox.world.calls),)]


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="dbt 1.11 does not run on Python 3.14")
def test_the_pages_on_models_and_the_report_can_be_followed(reader: Reader, live_sandbox: Sandbox) -> None:
    use_environment(reader)
    reader.environment["TAP_AIRCALL_API_URL"] = live_sandbox.url

    reader.follow("models.md")
    reader.follow("html-report.md")

    assert "(Europe/Paris)" in (reader.clone / "report.html").read_text("utf-8")
    with duckdb.connect(str(reader.clone / "output/warehouse.duckdb"), read_only=True) as connection:
        calls = connection.execute("SELECT call_id FROM analytics.aircall__calls").fetchall()
        zones = connection.execute("SELECT DISTINCT started_at_local - started_at FROM analytics.aircall__calls")
        assert {zone.total_seconds() for (zone,) in zones.fetchall()} <= {3_600, 7_200}
    assert sorted(calls) == [(call,) for call in sorted(live_sandbox.world.calls)]


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_the_operators_tasks_can_be_done(reader: Reader, live_sandbox: Sandbox, postgres: Postgres) -> None:
    use_environment(reader)
    use_postgres(reader, postgres)
    reader.environment["TAP_AIRCALL_API_URL"] = live_sandbox.url
    reader.patience = 1_000  # Meltano starts a dozen times
    (reader.clone / ".env").write_text("TAP_AIRCALL_USER=old\nTAP_AIRCALL_PASSWORD=old\n", encoding="utf-8")
    reader.run(PULLED, reader.clone)
    world = live_sandbox.world
    begin, end = LAST_MONTH.replace(day=1).timestamp(), LAST_MONTH.replace(day=28).timestamp()
    answered = [call for call in world.calls.values() if call["answered_at"]]
    within = [call["id"] for call in answered if begin <= call["started_at"] <= end][:3]
    for call in {*within, answered[0]["id"], answered[-1]["id"]}:
        world.intelligence.add(call, "transcription")
        world.intelligence.add(call, "topics")

    reader.follow("tasks.md")

    assert (
        {call for (call,) in postgres.query("SELECT call_id FROM aircall.call_transcriptions")} == set(within) != set()
    )
    assert postgres.query("SELECT count(*) FROM aircall.calls") == [(len(world.calls),)]
    assert postgres.query("SELECT count(*) FROM aircall.call_topics") == [(0,)]
    state = json.loads((reader.clone / "state-after.json").read_text(encoding="utf-8"))
    assert "contacts" not in state["singer_state"]["bookmarks"]
    moved = json.loads((reader.clone / "state-moved.json").read_text(encoding="utf-8"))
    assert {"calls", "contacts", "call_topics"} <= set(moved["singer_state"]["bookmarks"])

    number = world.calls[within[0]]["raw_digits"]
    postgres.query(one_block("sql", "tasks.md").text.replace("+33 6 12 34 56 78", number))
    erased = {call["id"] for call in world.calls.values() if call["raw_digits"] == number}
    left = {call for (call,) in postgres.query("SELECT id FROM aircall.calls")}
    assert left == set(world.calls) - erased
    assert {call for (call,) in postgres.query("SELECT call_id FROM aircall.call_transcriptions")} == set(
        within
    ) - erased
    assert number not in str(postgres.query("SELECT phone_numbers FROM aircall.contacts"))


def test_data_that_is_late_is_told(tmp_path: Path) -> None:
    check = one_block("shell", "tasks.md", "are {age} behind").text.partition(" | ")[2]
    for hours, line in ((2, ""), (4, "Calls are 4:00:0")):
        read_through = (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        state = {"singer_state": {"bookmarks": {"calls": {"cursors": {"0": read_through}}}}}
        done = subprocess.run(
            ["bash", "-c", check.replace("python ", f"{sys.executable} ")],  # noqa: S607
            input=json.dumps(state),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.startswith(line)
        assert done.returncode == (1 if line else 0)


@pytest.mark.parametrize("stands_in", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["stand-in", "Meltano"])
def test_the_example_without_an_orchestrator_loads_and_tells_of_a_failure(
    reader: Reader, live_sandbox: Sandbox, postgres: Postgres, *, stands_in: bool
) -> None:
    folder = reader.clone / "examples/container"
    lines = (folder / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if re.match("[A-Z]", line)]
    assert [step[0] for step in steps] == ["FROM", "RUN", "WORKDIR", "COPY", "RUN", "ENV", "CMD"]
    assert steps[4][1] == "make install"  # as the clone was set up
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())
    assert ignored >= {".env", ".meltano", ".venv", "config.json"}
    use_environment(reader)
    use_postgres(reader, postgres)
    reader.environment |= dict(re.findall(r'(MELTANO_\w+)="?([^" ]+)', steps[5][1]))
    reader.environment |= {
        "TAP_AIRCALL_API_URL": live_sandbox.url,
        "TAP_AIRCALL_USER": live_sandbox.api_id,
        "TAP_AIRCALL_PASSWORD": live_sandbox.api_token,
        "MELTANO_DATABASE_URI": postgres.url,
    }
    load = shlex.join(json.loads(steps[6][1]))
    if stands_in:
        meltano = reader.folder / "bin/meltano"
        meltano.parent.mkdir()
        right = f"run tap-aircall target-postgres {live_sandbox.api_token}"
        meltano.write_text(f'#!/bin/sh\n[ "$* $TAP_AIRCALL_PASSWORD" = "{right}" ]\n', encoding="utf-8")
        meltano.chmod(0o755)
        reader.environment["PATH"] = f"{meltano.parent}{os.pathsep}{reader.environment['PATH']}"

    with receiver() as chat:
        reader.environment["ALERT_URL"] = chat.url
        reader.run(f"rm -rf output\n{load}", reader.clone)
        assert chat.bodies == []
        reader.environment["TAP_AIRCALL_PASSWORD"] = "wrong"
        reader.run(f"! {load}", reader.clone)

    assert chat.bodies == [{"text": "The load of Aircall failed with exit code 1; see its log."}]
    if stands_in:
        return
    assert postgres.query("SELECT count(*) FROM aircall.calls") == [(len(live_sandbox.world.calls),)]
    assert postgres.query("SELECT state_id FROM state") == [("prod:tap-aircall-to-target-postgres",)]


def test_the_commands_for_contributors_exist(reader: Reader) -> None:
    reader.follow("CONTRIBUTING.md")


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if "tail -n 1 states.jsonl > state.json" in block.text], ids=str
)
@pytest.mark.parametrize(
    ("said", "before", "after"),
    [("", None, {}), ("", {"a": 1}, {"a": 1}), ('{"a": 1}\n{"a": 2}\n', None, {"a": 2})],
    ids=["nothing at first", "nothing later", "two states"],
)
def test_the_next_run_finds_the_last_state_however_a_run_ended(
    block: Block, said: str, before: Any, after: Any, tmp_path: Path
) -> None:
    if before is not None:
        (tmp_path / "state.json").write_text(json.dumps(before), encoding="utf-8")
    (tmp_path / "said").write_text(said, encoding="utf-8")
    stubs = "set -e\ntap-aircall() { cat said; }\ntarget-jsonl() { cat; }\n"
    script = stubs + block.text.replace("./jsonl/bin/", "")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)  # noqa: S607
    assert json.loads((tmp_path / "state.json").read_text(encoding="utf-8")) == after
