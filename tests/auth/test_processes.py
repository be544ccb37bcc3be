"""OAuth with real processes: logins at a terminal, and several taps at once. tests/test_kills.py kills renewals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault, Sandbox, World
from tests import processes
from tests.catalogs import catalog as select_streams
from tests.messages import names
from tests.people import Admin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAP = Path(sys.executable).parent / "tap-aircall"
TOKEN = "/v1/oauth/token"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    world = World(now=time.time())
    world.add("tags", name="VIP")
    with Sandbox(world, oauth="rotating") as sandbox:
        yield sandbox


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        callback = f"http://127.0.0.1:{unused.getsockname()[1]}/callback"
    config = {
        "auth_scheme": "OAUTH",
        "oauth_client_id": sandbox.oauth.client_id,
        "oauth_client_secret": sandbox.oauth.client_secret,
        "callback_url": callback,
        "api_url": sandbox.url,
        "dashboard_url": sandbox.url,
        "oauth_settings_location": str(tmp_path / "tokens.json"),
        "initiate_oauth": "GETANDREFRESH",
        "requests_per_minute": 100_000,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path / "config.json"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "catalog.json").write_text(json.dumps(select_streams("tags")), encoding="utf-8")
    return tmp_path / "catalog.json"


@pytest.fixture
def start(config: Path, catalog: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a run of the tap."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "BROWSER"}}
        command: list[str | Path] = [TAP, "--config", config, "--catalog", catalog, *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, env=environment | {"LOGLEVEL": "DEBUG"}, **{**pipes, **options})
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def run(config: Path, catalog: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Return a function that runs the tap in a forked process, which starts at once."""
    return lambda: processes.run("--config", config, "--catalog", catalog, LOGLEVEL="DEBUG")


def tags(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["record"]["name"] for line in done.stdout.splitlines() if '"RECORD"' in line]


def tokens(config: Path) -> dict[str, Any]:
    (entry,) = json.loads((config.parent / "tokens.json").read_text()).values()
    found: dict[str, Any] = entry
    return found


def keep_granted(sandbox: Sandbox, config: Path) -> None:
    """Save tokens as a login would."""
    granted = sandbox.oauth.tokens()
    entry = {name: granted.get(name) for name in ("access_token", "refresh_token")}
    entry |= {"expires_at": None, "company": None, "ancestors": []}
    path = config.parent / "tokens.json"
    path.write_text(json.dumps({f"{sandbox.url} {sandbox.oauth.client_id}": entry}), encoding="utf-8")


def shown_address(read: Callable[[], str]) -> str:
    """Read a login's output until it shows the address to open."""
    shown = ""
    while not (found := re.search(r"(http://\S+/oauth/authorize\S+)\s", shown)):
        piece = read()
        assert piece, f"It ended before it showed an address: {shown}"
        shown += piece
    return found[1]


def consent(url: str) -> None:
    admin = Admin()
    admin.open_browser(url)
    assert admin.page.status_code == 200


def assert_nothing_secret(sandbox: Sandbox, config: Path, *shown: str) -> None:
    secrets = {sandbox.oauth.client_secret, *re.findall(r"(?:access|refresh|code)-\d{4}-of-the-sandbox", str(shown))}
    secrets |= {tokens(config)[name] for name in ("access_token", "refresh_token")}
    for text in shown:
        assert not [secret for secret in secrets if secret in text]
        assert not re.search(r"(access|refresh|code)-\d{4}", text)
    for log in sandbox.requests:
        assert not re.search(r"(access|refresh|code)-\d{4}|secret", log.path + str(log.query))


def test_a_login_and_a_run_after_it_show_no_secret_even_when_debugging(
    sandbox: Sandbox,
    config: Path,
    start: Callable[..., subprocess.Popen[str]],
    run: Callable[[], subprocess.CompletedProcess[str]],
) -> None:
    login = start("--login")
    assert login.stderr
    shown = ""

    def read() -> str:
        nonlocal shown
        assert login.stderr
        line = login.stderr.readline()
        shown += line
        return line

    url = shown_address(read)
    arguments = Path(f"/proc/{login.pid}/cmdline")
    command_line = arguments.read_text() if arguments.exists() else ""
    consent(url)
    stdout, rest = login.communicate(timeout=30)
    assert (login.returncode, stdout) == (0, "")
    assert names(rest, "Acme")

    sandbox.oauth.end_access()
    done = run()

    assert (done.returncode, tags(done)) == (0, ["VIP"])
    assert sandbox.oauth.grants == ["authorization_code", "refresh_token"]
    assert f"POST {TOKEN}" in done.stderr  # at level DEBUG, requests are logged
    assert_nothing_secret(sandbox, config, shown, rest, done.stdout, done.stderr, command_line)


def test_a_refused_token_shows_no_secret_even_when_debugging(
    sandbox: Sandbox, config: Path, run: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    keep_granted(sandbox, config)
    sandbox.oauth.uninstall()

    done = run()

    assert done.returncode == 1
    assert names(done.stderr.splitlines()[-1], "ERROR", "--login")
    assert_nothing_secret(sandbox, config, done.stdout, done.stderr)


def test_a_run_at_a_terminal_starts_with_the_login(
    sandbox: Sandbox, config: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    master, terminal = pty.openpty()
    run = start(stdin=terminal, stderr=terminal)
    os.close(terminal)

    consent(shown_address(lambda: os.read(master, 4096).decode()))
    assert run.stdout
    messages = [json.loads(line) for line in run.stdout]
    run.wait(timeout=30)
    os.close(master)

    assert run.returncode == 0
    assert [m["record"]["name"] for m in messages if m["type"] == "RECORD"] == ["VIP"]
    assert tokens(config)["company"] == "Acme"
    assert sandbox.oauth.grants == ["authorization_code"]


def test_a_run_without_a_terminal_fails_at_once(
    run: Callable[[], subprocess.CompletedProcess[str]], sandbox: Sandbox
) -> None:
    done = run()

    assert (done.returncode, done.stdout, sandbox.requests) == (1, "", [])
    assert names(done.stderr.splitlines()[-1], "ERROR", "--login")


def test_ctrl_c_ends_a_login(start: Callable[..., subprocess.Popen[str]], config: Path) -> None:
    login = start("--login")
    assert login.stderr
    shown_address(login.stderr.readline)

    login.send_signal(signal.SIGINT)
    _, log = login.communicate(timeout=20)

    assert login.returncode == 130
    assert names(log.splitlines()[-1], "nothing")
    assert not (config.parent / "tokens.json").exists()


CTRL_C_IN_A_WAIT = """
import signal, sys
from tap_aircall.auth.login import Login
from tap_aircall.command import main

def without_its_lock(frame, event, _):
    if frame.f_code.co_name == "_release_save" and event == "return":
        sys.settrace(None)
        signal.raise_signal(signal.SIGINT)
    return without_its_lock

def wait_for(*arguments, whole=Login._wait_for):
    sys.settrace(without_its_lock)
    return whole(*arguments)

Login._wait_for = wait_for
main(["--config", sys.argv[1], "--login"])
"""


def test_ctrl_c_between_two_steps_of_a_wait_ends_a_login(config: Path) -> None:
    command = [sys.executable, "-c", CTRL_C_IN_A_WAIT, str(config)]
    login = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)

    assert names(login.stderr.splitlines()[-1], "nothing")
    assert login.returncode == 130


def test_several_taps_renew_an_expired_token_once(
    sandbox: Sandbox, config: Path, run: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    keep_granted(sandbox, config)
    sandbox.oauth.end_access()
    sandbox.faults.append(Fault(path=TOKEN, delay=1.5))  # so that all of them start before the answer

    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: run(), range(3)))

    assert [(done.returncode, tags(done)) for done in runs] == [(0, ["VIP"])] * 3, runs
    assert sandbox.oauth.grants == ["refresh_token"]
    assert sandbox.oauth.refusals == 0
    assert [log.path for log in sandbox.requests].count("/v1/tags") == 3
