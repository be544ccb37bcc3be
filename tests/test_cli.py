"""The command line as users meet it: processes, what they print, and how they end.

Most are forked from one that has imported the tap already, since Python takes seconds to start; where the start itself
or the way to the end matters, a test starts the installed command.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault, Sandbox, generate_company
from tap_aircall.command import read_json
from tap_aircall.errors import RUN_TERMINATED, InputError
from tap_aircall.settings import DEFINITION
from tap_aircall.streams.registry import STREAMS
from tests.catalogs import SNAPSHOT, catalog, summary
from tests.clock import NOW
from tests.inboxes import FROM_API, fill, one_of_each
from tests.messages import each_names, names, refused
from tests.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TAP = Path(sys.executable).parent / "tap-aircall"
DEFAULT = {name for name, stream in STREAMS.items() if stream.selected_by_default}
SECRET = "s3cret-t0ken"
CAMPAIGNS = {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}
"""A custom stream."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = generate_company(seed=2, now=time.time(), calls=2_300, contacts=80, users=3)
    with Sandbox(world) as sandbox:
        sandbox.api_token = SECRET
        yield sandbox


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    return write(
        tmp_path / "config.json",
        {"user": sandbox.api_id, "password": SECRET, "api_url": sandbox.url, "requests_per_minute": 100_000},
    )


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def changed(config: Path, **settings: Any) -> Path:
    return write(config, json.loads(config.read_text(encoding="utf-8")) | settings)


def start(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run([TAP, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


def problems(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the warnings and errors on stderr, without time stamps."""
    lines = [line for line in done.stderr.splitlines() if "| INFO " not in line]
    return [line.split("|", 3)[-1].strip() for line in lines]


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return all lines on stderr, without time stamps."""
    return [line.split("|", 3)[-1].strip() for line in done.stderr.splitlines()]


def marked(done: subprocess.CompletedProcess[str], mark: str) -> set[str]:
    """Return the streams of a catalog whose metadata has a mark."""
    items = [(entry["stream"], item) for entry in json.loads(done.stdout)["streams"] for item in entry["metadata"]]
    return {name for name, item in items if not item["breadcrumb"] and item["metadata"].get(mark)}


def streams_in(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the streams with records in a run's output."""
    messages = map(json.loads, done.stdout.splitlines())
    return {message["stream"] for message in messages if message["type"] == "RECORD"}


def call_ids(messages: Iterable[dict[str, Any]]) -> list[int]:
    return [m["record"]["id"] for m in messages if m["type"] == "RECORD" and m["stream"] == "calls"]


def fails_with(done: subprocess.CompletedProcess[str], *facts: object) -> None:
    each_names(problems(done), facts)
    assert done.returncode == 1
    assert done.stdout == ""
    assert SECRET not in done.stderr


def test_discovery_needs_neither_config_nor_network() -> None:
    done = start("--discover")

    assert done.returncode == 0
    assert summary(json.loads(done.stdout)) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert problems(done) == []


def test_a_run_is_quiet_and_ends_with_0(config: Path, sandbox: Sandbox) -> None:
    done = start("--config", config)

    assert done.returncode == 0
    assert problems(done) == []
    calls = [json.loads(line)["record"] for line in done.stdout.splitlines() if '"stream":"calls","record"' in line]
    assert [call["id"] for call in calls] == sorted(sandbox.world.calls)
    assert SECRET not in done.stdout + done.stderr
    lines = lines_of(done)
    assert lines[0].startswith("tap-aircall v")
    assert "credentials" in lines[1]
    assert re.search(r"\b2,\d{3} ", lines[2])
    assert len(lines) == 3 + len(DEFAULT) + 1


def test_debug_logs_include_the_sdks_lines(config: Path) -> None:
    done = run("--config", changed(config, streams=["tags"]), LOGLEVEL="DEBUG")

    for words in ("METRIC: ", "Skipping deselected stream 'calls'.", "Beginning "):
        assert words in done.stderr
    assert any(names(line, "tags", 9, 1) for line in lines_of(done))


def test_settings_come_from_the_environment(config: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    del config
    done = run(
        "--config=ENV",
        "--test",
        TAP_AIRCALL_USER=sandbox.api_id,
        TAP_AIRCALL_PASSWORD=SECRET,
        TAP_AIRCALL_API_URL=sandbox.url,
        TAP_AIRCALL_REQUESTS_PER_MINUTE="99999.5",
        TAP_AIRCALL_MAX_CONCURRENT_REQUESTS="2",
        TAP_AIRCALL_REREAD_AFTER_HOURS="[1, 2.5]",
    )
    assert (done.returncode, problems(done)) == (0, [])

    fails_with(
        run("--config=ENV", TAP_AIRCALL_MAX_CONCURRENT_REQUESTS="many", HOME=str(tmp_path)),
        "max_concurrent_requests",
        "integer",
    )


def test_discovery_refuses_settings_that_a_run_would_refuse() -> None:
    done = run("--config=ENV", "--discover", TAP_AIRCALL_REQUESTS_PER_MINUTE="fast")

    fails_with(done, "requests_per_minute", "number")


def test_discovery_lists_the_streams_of_a_user(tmp_path: Path) -> None:
    done = run("--config", write(tmp_path / "config.json", {"custom_streams": [CAMPAIGNS]}), "--discover")

    assert (done.returncode, problems(done)) == (0, [])
    assert "campaigns" in [entry["tap_stream_id"] for entry in json.loads(done.stdout)["streams"]]

    fails_with(
        run("--config=ENV", "--discover", TAP_AIRCALL_CUSTOM_STREAMS=json.dumps([CAMPAIGNS | {"path": "campaigns"}])),
        "custom_streams.0.path",
        "/v1/",
        "/v2/",
    )


def test_about_describes_each_setting_with_its_default() -> None:
    done = run("--about")

    assert (done.returncode, problems(done)) == (0, [])
    text = " ".join(done.stdout.split())
    for name, definition in DEFINITION["properties"].items():
        assert f" {name} (" in text
        assert definition["description"] in text
    assert "requests_per_minute (number, default 60) The tap's share" in text
    assert "password (string, secret) API token" in text
    assert "reread_after_hours (array, default [0.5, 6, 24, 72, 168, 720]) Ages" in text
    assert max(map(len, done.stdout.splitlines())) <= 120


class TestStreams:
    """The setting `streams`."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (["tags", "teams"], {"tags", "teams"}),
            (["call_s*", "campaigns"], {"call_sentiments", "call_summaries", "campaigns"}),
            (["*"], {*STREAMS, "campaigns"}),
            ([], set()),
            (None, DEFAULT | {"campaigns"}),
        ],
        ids=["names", "patterns", "all", "none", "default"],
    )
    def test_discovery_marks_what_it_names(self, tmp_path: Path, value: Any, expected: set[str]) -> None:
        settings = {"custom_streams": [CAMPAIGNS], "streams": value}

        done = run("--config", write(tmp_path / "config.json", settings), "--discover")

        assert problems(done) == []
        assert marked(done, "selected-by-default") == marked(done, "selected") == expected

    @pytest.mark.parametrize("variable", ['["tags", "tea*"]', "tags, tea*"])
    def test_comes_from_the_environment(self, variable: str) -> None:
        assert marked(run("--config=ENV", "--discover", TAP_AIRCALL_STREAMS=variable), "selected") == {"tags", "teams"}

    def test_says_what_a_run_reads(self, config: Path) -> None:
        done = run("--config", changed(config, streams=["tags", "tea*"]))

        assert (done.returncode, problems(done)) == (0, [])
        assert streams_in(done) == {"tags", "teams"}

    def test_yields_to_a_catalog(self, config: Path, tmp_path: Path) -> None:
        discovered = run("--config", changed(config, streams=["teams"]), "--discover")
        catalog = write(tmp_path / "catalog.json", discovered.stdout)

        done = run("--config", changed(config, streams=["tags"]), "--catalog", catalog)

        assert done.returncode == 0
        each_names(problems(done), ("Setting streams", "catalog", "Meltano"))
        assert streams_in(done) == {"teams"}

    @pytest.mark.parametrize(
        ("value", "facts"),
        [
            (["tags", "cals"], ["streams.1", "cals", "calls"]),
            (["Tags"], ["streams.0", "Tags", "tags"]),
            (["user_nubmers*"], ["streams.0", "user_nubmers*", "user_numbers"]),
            (["campaigna"], ["streams.0", "campaigna", "campaigns"]),
            (["zz*"], ["streams.0", "zz*", *STREAMS]),
            ("calls", ["streams", "array"]),
            ([1], ["streams.0", "string"]),
        ],
        ids=str,
    )
    def test_a_pattern_that_matches_no_stream_gets_one_line(self, config: Path, value: Any, facts: list[str]) -> None:
        for option in ["--discover"] if value != ["zz*"] else ["--discover", "--test"]:
            fails_with(run("--config", changed(config, streams=value), option), *facts)


class TestTest:
    def test_says_that_the_credentials_are_refused(self, config: Path) -> None:
        fails_with(run("--config", changed(config, password="wrong"), "--test"), *REJECTED)
        fails_with(run("--config", changed(config, password="wrong")), *REJECTED)
        fails_with(run("--config", changed(config, password=None)), "Setting password", "OAUTH", "--config=ENV")

    def test_says_all_in_one_line(self, config: Path) -> None:
        done = run("--config", config, "--test")

        assert (done.returncode, done.stdout) == (0, "")
        each_names(lines_of(done), (f"{len(DEFAULT)} of {len(DEFAULT)}",))

    def test_makes_one_request_a_selected_stream_at_most(self, config: Path, sandbox: Sandbox, tmp_path: Path) -> None:
        before = len(sandbox.requests)
        fill(str(tmp_path / "inbox.db"), one_of_each(int(NOW)))
        settings = {
            "analytics_reports": ["CALLS_HISTORY"],
            "inbox": str(tmp_path / "inbox.db"),
            "recordings_location": str(tmp_path / "recordings"),
        }
        done = run("--config", changed(config, streams=["*"], **settings), "--test")

        asked = [re.sub("[0-9]+", "N", log.path.split("?")[0]) for log in sandbox.requests[before:]]
        assert (done.returncode, done.stdout) == (0, "")
        # One ping, but no integrations (they need OAuth) and no recording. Child streams request one call, user or
        # number, and there is no campaign. Calls and their counts share a path.
        assert len(asked) == len(set(asked)) + 1 == len(FROM_API) - 3
        each_names(problems(done), ("integrations", "OAuth"))
        assert names(lines_of(done)[-1], f"{len(STREAMS) - 1} of {len(STREAMS)}")

    def test_reads_what_a_catalog_selects(self, config: Path, tmp_path: Path, sandbox: Sandbox) -> None:
        catalog = write(
            tmp_path / "catalog.json", run("--config", changed(config, streams=["tags"]), "--discover").stdout
        )
        before = len(sandbox.requests)

        for options in ("--test", "--catalog", catalog), ("--catalog", catalog, "--test"):
            assert names(lines_of(run("--config", config, *options))[-1], "1 of 1")
        assert [log.path.split("?")[0] for log in sandbox.requests[before:]] == ["/v1/ping", "/v1/tags"] * 2

    def test_fails_where_a_setting_is_missing(self, config: Path) -> None:
        streams = ["tags", "analytics_reports", "call_recordings"]
        done = run("--config", changed(config, streams=streams), "--test")

        assert done.returncode == 1
        each_names(
            problems(done),
            ("'analytics_reports'", "Setting analytics_reports"),
            ("'call_recordings'", "recordings_location"),
            ("1 of 3",),
        )

    def test_has_a_line_for_each_stream_that_fails(self, config: Path, sandbox: Sandbox) -> None:
        sandbox.faults += [Fault(path="/v1/teams", status=410), Fault(path="/v1/tags", status=410)]

        done = run("--config", config, "--test")

        assert (done.returncode, done.stdout) == (1, "")
        each_names(
            problems(done),
            ("'teams'", "/v1/teams", 410, "api_url"),
            ("'tags'", "/v1/tags", 410, "api_url"),
            (f"{len(DEFAULT) - 2} of {len(DEFAULT)}",),
        )
        assert lines_of(done) == problems(done)

    def test_looks_at_the_fields(self, config: Path, sandbox: Sandbox) -> None:
        sandbox.faults.append(Fault(path="/v1/tags", mutate=lambda _: {"tags": [{"id": [], "name": "y"}]}))

        done = run("--config", changed(config, streams=["tags"]), "--test")

        assert (done.returncode, done.stdout) == (0, "")
        each_names(problems(done), ("'tags'", "id"))

    def test_of_the_schema_has_the_fields_of_all_streams(self, config: Path) -> None:
        done = run("--config", changed(config, streams=["tags"]), "--test=schema")

        assert (done.returncode, problems(done)) == (0, [])
        schemas = {message["stream"]: message["schema"] for message in map(json.loads, done.stdout.splitlines())}
        assert schemas.keys() == STREAMS.keys()
        assert all(set(schema["properties"]) >= set(STREAMS[name].primary_keys) for name, schema in schemas.items())
        assert {"content", "call_id"} < set(schemas["call_transcriptions"]["properties"])


STRUCTURED = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "singer_sdk.logging.StructuredFormatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "structured", "stream": "ext://sys.stderr"}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
}
"""The log config that Meltano passes to the tap."""


def test_a_structured_log_has_counts_and_the_kind_of_a_failure_for_machines(
    config: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    environment = {"SINGER_SDK_LOG_CONFIG": str(write(tmp_path / "log.json", STRUCTURED))}

    well = run("--config", changed(config, streams=["tags"]), **environment)
    failed = run("--config", changed(config, password="wrong"), **environment)

    lines = [json.loads(line) for line in well.stderr.splitlines()]
    (facts,) = (line["extra"] for line in lines if "requests" in line.get("extra", {}))
    assert facts == {"requests": 2, "records": {"tags": len(sandbox.world.kinds["tags"])}}
    last = json.loads(failed.stderr.splitlines()[-1])
    assert (last["level"], last["extra"]) == ("error", {"error_kind": "Forbidden"})


REJECTED = ("/v1/ping", 403, "user", "password")


def test_an_unreachable_host_gets_one_line(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    fails_with(run("--config", changed(config, api_url=url)), url, "api_url", "refused")


@pytest.mark.parametrize(
    ("option", "content", "facts"),
    [
        ("--config", '{"user": "a', ["Config {}", "line 1, column 10"]),
        ("--config", "[]", ["Config {}", "JSON object"]),
        ("--state", "\n", ["State {}", "JSON object"]),
        ("--state", '{"bookmarks": {"calls": {"curs', ["State {}", "line 1, column 26"]),
        ("--state", '{"bookmarks": {"orders": {}}}', ["State", "orders"]),
        ("--state", '{"bookmarks": []}', ["State", "'bookmarks'"]),
        ("--catalog", '{"stream', ["Catalog {}", "line 1, column 2"]),
        ("--catalog", "{}", ["Catalog", "--discover"]),
        (
            "--catalog",
            '{"streams": [{"tap_stream_id": "orders", "stream": "orders", "schema": {}, "metadata": []}]}',
            ["Catalog", "orders", "--discover"],
        ),
    ],
)
def test_bad_files_get_one_line(config: Path, tmp_path: Path, option: str, content: str, facts: list[str]) -> None:
    path = write(tmp_path / "bad.json", content)
    good = [] if option == "--config" else ["--config", config]

    fails_with(run(*good, option, path), *(fact.format(path) for fact in facts))


@pytest.mark.parametrize(("option", "what"), [("--config", "Config"), ("--state", "State"), ("--catalog", "Catalog")])
def test_a_file_that_cannot_be_read_gets_one_line(config: Path, tmp_path: Path, option: str, what: str) -> None:
    good = [] if option == "--config" else ["--config", config]
    for path, number in ((tmp_path / "none.json", errno.ENOENT), (tmp_path, errno.EISDIR)):
        fails_with(run(*good, option, path), f"{what} {path}", os.strerror(number))
    fails_with(run(*good, option, f' {{"password": "{SECRET}"}}'), what, "file")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b'{"x": NaN}', "NaN"),
        (b'{"bookmarks": {"calls": {"cursors": {"0": -Infinity}}}}', "Infinity"),
        (b'{"x": 1e400}', "number"),
        (b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}", "nested"),
        (b'{"x": ' + b"[" * 99_999, "JSON"),
        (b'{"x": ' + b"9" * 9_999 + b"}", "JSON"),
        (b'{"x": "\xff"}', "UTF-8"),
        (b"", "JSON object"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("what", ["Config", "State", "Catalog"])
def test_odd_json_gets_one_line(tmp_path: Path, what: str, content: bytes, fact: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)

    with refused(InputError, f"{what} {path}", fact):
        read_json(str(path), what)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_may_be_as_any_shell_writes_them(config: Path, tmp_path: Path, encoding: str) -> None:
    catalog = {
        "streams": [entry for entry in json.loads(run("--discover").stdout)["streams"] if entry["stream"] == "tags"]
    }
    files: list[Any] = []
    contents = {"config": json.loads(config.read_text()), "catalog": catalog, "state": {"bookmarks": {}}}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(f"{json.dumps(content)}\r\n".encode(encoding))
        files += [f"--{name}", path]

    done = run(*files)

    assert (done.returncode, problems(done)) == (0, [])
    assert '"stream":"tags"' in done.stdout


class TestStandardError:
    """A run does not need it."""

    def run(self, config: Path, redirect: str) -> subprocess.CompletedProcess[str]:
        command = f'"{TAP}" --config "{config}" {redirect}'
        return subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=False, timeout=60)  # noqa: S607

    @pytest.mark.parametrize("redirect", ["2>&-", pytest.param("2>/dev/full", marks=pytest.mark.slow)])
    def test_a_run_that_cannot_write_to_it_still_succeeds(self, config: Path, sandbox: Sandbox, redirect: str) -> None:
        done = self.run(config, redirect)

        assert done.returncode == 0
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        assert set(call_ids(messages)) == set(sandbox.world.calls)
        assert messages[-1]["type"] == "STATE"

    @pytest.mark.parametrize("redirect", ["2>/dev/full", pytest.param("2>&-", marks=pytest.mark.slow)])
    def test_a_run_that_fails_without_it_still_ends_with_1(self, config: Path, redirect: str) -> None:
        assert self.run(changed(config, password="wrong"), redirect).returncode == 1


def test_a_closed_standard_output_gets_one_line(config: Path) -> None:
    command = f'"{TAP}" --config "{config}" >&-'
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, timeout=60)  # noqa: S607

    each_names(problems(done), (os.strerror(errno.EBADF), "standard output"))
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["LOGLEVEL", "TAP_AIRCALL_LOGLEVEL"])
def test_an_unknown_log_level_gets_one_line(config: Path, name: str) -> None:
    for arguments in (("--config", config), ("--about",)):
        fails_with(run(*arguments, **{name: "bogus"}), name, "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def test_an_empty_log_level_means_the_default(config: Path) -> None:
    done = run("--config", changed(config, password="wrong"), LOGLEVEL="")

    fails_with(done, *REJECTED)


def test_a_start_date_older_than_aircall_serves_is_pointed_out_once(config: Path, tmp_path: Path) -> None:
    first = run("--config", changed(config, start_date="2024-01-01"))
    state = write(tmp_path / "state.json", first.stdout.splitlines()[-1].removeprefix('{"type":"STATE","value":')[:-1])
    second = run("--config", config, "--state", state)

    each_names(problems(first), ("start_date",))
    assert [done.returncode for done in (first, second)] == [0, 0]
    assert problems(second) == []


def test_a_run_with_nothing_selected_says_so(config: Path, tmp_path: Path) -> None:
    done = run("--config", config, "--catalog", write(tmp_path / "catalog.json", catalog()))

    assert (done.returncode, done.stdout) == (0, "")
    each_names(problems(done), ("catalog", "setting streams"))


def test_no_log_level_shows_a_token_that_no_header_can_carry(config: Path) -> None:
    settings = {"auth_scheme": "OAUTH", "initiate_oauth": "OFF", "oauth_access_token": f"{SECRET}\nX-Forged: 1"}
    done = run("--config", changed(config, **settings), LOGLEVEL="DEBUG")

    assert done.returncode == 1
    assert SECRET not in done.stderr
    assert names(problems(done)[-1], "oauth_access_token")


class Endless:
    """A run in the middle of its calls, with its output in a file."""

    def __init__(self, config: Path, sandbox: Sandbox, output: Path) -> None:
        self.output = output
        sandbox.faults.append(Fault(path="/v1/calls", query={"page": "30"}, delay=60))
        with output.open("w") as stdout:
            command: list[str | Path] = [TAP, "--config", changed(config, max_concurrent_requests=1)]
            self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 30
        while self.records() < 1_400 and time.monotonic() < until:
            time.sleep(0.02)

    def records(self) -> int:
        return self.output.read_text(encoding="utf-8").count('"type":"RECORD","stream":"calls"')


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_leaves_whole_lines_and_a_usable_state(
    config: Path, sandbox: Sandbox, tmp_path: Path, signum: int
) -> None:
    endless = Endless(config, sandbox, tmp_path / "out.jsonl")

    endless.process.send_signal(signum)
    _, stderr = endless.process.communicate(timeout=20)
    sandbox.faults.clear()

    assert endless.process.returncode == 128 + signum
    assert stderr.splitlines()[-1].endswith(RUN_TERMINATED)
    messages = [json.loads(line) for line in endless.output.read_text(encoding="utf-8").splitlines()]
    state = next(m["value"] for m in reversed(messages) if m["type"] == "STATE")
    done = run("--config", config, "--state", write(tmp_path / "state.json", state))
    first, second = (call_ids(lines) for lines in (messages, map(json.loads, done.stdout.splitlines())))
    assert set(first) | set(second) == set(sandbox.world.calls)
    assert len(first) + len(second) - len(sandbox.world.calls) <= 1_000


def test_ctrl_c_while_loading_just_ends_it(config: Path) -> None:
    command: list[str | Path] = [sys.executable, "-X", "importtime", TAP, "--config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any(line.endswith(" singer_sdk.exceptions\n") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)

    assert (process.returncode, stdout) == (-signal.SIGINT, "")
    assert [line for line in stderr.splitlines() if not line.startswith("import time:")] == []


def test_a_target_that_dies_ends_the_run_with_one_line(config: Path) -> None:
    process = subprocess.Popen([TAP, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()

    assert process.wait() == 1
    lines = [line for line in stderr.splitlines() if "| INFO " not in line]
    each_names(lines, ("ERROR", "target", "state"))


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("options", [(), ("--about",), pytest.param(("--discover",), marks=pytest.mark.slow)], ids=str)
def test_a_disk_that_fills_at_the_very_end_ends_the_run_with_one_line(
    config: Path, tmp_path: Path, options: tuple[str, ...], unbuffered: str
) -> None:
    command = [str(TAP), "--config", str(config), *options]
    room = len(run("--config", config, *options).stdout.encode()) - 30  # less than the last message
    limited = "import os, resource"
    limited += f"; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room})); os.execv({command[0]!r}, {command})"

    with (tmp_path / "disk").open("wb") as disk:
        done = subprocess.run(
            [sys.executable, "-c", limited],
            stdout=disk,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    each_names(problems(done), (os.strerror(errno.EFBIG), "standard output"))
    assert done.returncode == 1
