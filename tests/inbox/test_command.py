from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import requests

from aircall_sandbox import Sandbox, World
from tap_aircall import command
from tap_aircall.errors import InputError
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery
from tap_aircall.inbox.store import Inbox
from tap_aircall.inbox.webhooks import AircallsWebhook, CompanyWebhooks
from tests.clock import FakeClock
from tests.conftest import Aircall
from tests.inbox.conftest import delivery, ids
from tests.messages import each_names, names, refused, warnings
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).parent / "aircall-inbox"
URL = "https://localhost:1"
"""Where nothing listens."""


def run(*arguments: Any) -> None:
    """Run a command in this process, without what makes lines of errors."""
    words = [str(argument) for argument in arguments]
    with command.commands.make_context("aircall-inbox", words) as context:
        command.commands.invoke(context)


@pytest.fixture
def aircall() -> Iterator[Aircall]:
    """An Aircall in which it is now, as for the processes."""
    clock = FakeClock(time.time())
    with Sandbox(World(now=clock.now), clock=time.time) as sandbox:
        yield Aircall(sandbox, clock)


@pytest.fixture
def config(aircall: Aircall, tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(aircall.config(inbox=str(tmp_path / "inbox.db"))), encoding="utf-8")
    return path


@contextmanager
def serving(config: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve on a free port; yields the process and its address."""
    command = [str(COMMAND), "--config", str(config), "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            for line in process.stderr:
                if found := re.search(r" (http://\S+)\.$", line):
                    yield process, found[1]
                    break
            else:
                pytest.fail("It did not start.")
        finally:
            process.kill()


def test_from_the_webhook_to_the_event_and_back(
    aircall: Aircall, config: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(config) as (process, url):
        for _ in range(2):
            run("--config", config, "register", "--url", URL)
            (webhook,) = aircall.world.kinds["webhooks"].values()
            identity = webhook["webhook_id"]
            each_names(capsys.readouterr().out.splitlines(), (identity, "Acme", f"{URL}/aircall"))
            each_names(warnings(caplog)[-1:], ("localhost:1", "refused"))
        assert requests.post(f"{url}/aircall", data=delivery(1, token=webhook["token"]), timeout=60).status_code == 200
        webhook["active"] = False
        run("--config", config, "status")
        shown = capsys.readouterr().out.splitlines()
        facts = (identity, "Acme", f"{URL}/aircall", "serve", "register")  # which enable it again
        each_names(shown, ("MiB",), ("Acme", "call.tagged", 1, "0.0"), facts)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert names(log.splitlines()[-1], "INFO", 200)

    run("--config", config, "unregister")
    run("--config", config, "unregister")
    each_names(capsys.readouterr().out.splitlines(), (identity, f"{URL}/aircall"), ("Acme",))
    assert aircall.world.kinds["webhooks"] == {}
    with closing(Inbox.open(str(config.parent / "inbox.db"), create=False)) as inbox:
        assert ids(inbox) == [1]


def test_ctrl_c_finishes_accepted_deliveries(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("s3cret\n"))
    run("--config", config, "register", "--url", URL, "--messages")
    body = json.dumps({"event_name": "message.received", "token": "s3cret", "data": {"id": "m1"}}).encode()

    head = b"POST /aircall/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with serving(config) as (process, url):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as connection:
            connection.sendall(head % len(body))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # it has begun with this one
            process.send_signal(signal.SIGINT)
            connection.sendall(body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        process.communicate(timeout=60)
        assert process.returncode == 0
    with closing(Inbox.open(str(config.parent / "inbox.db"), create=False)) as inbox:
        assert ids(inbox) == ["m1"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_it_at_any_time(config: Path, signum: int) -> None:
    for _ in range(few_or_many(1, 30)):
        with serving(config) as (process, _):
            process.send_signal(signum)
            _, log = process.communicate(timeout=60)
        assert (process.returncode, log.count("Stopped.")) == (0, 1)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_follow_up_command_ends_with_the_receiver(config: Path, signum: int) -> None:
    with closing(Inbox.open(str(config.parent / "inbox.db"), create=True)) as inbox:
        inbox.append([Delivery(delivery(1)).row("Acme", WEBHOOK, 1_600_000_000_000)])
    child = "trap '' TERM; while :; do sleep 1; done"  # ends only if it is killed

    with serving(config, "--then", f'sh -c "sh -c \\"{child}\\" & echo $!; wait"') as (process, _):
        assert process.stdout
        stat = Path("/proc", process.stdout.readline().strip(), "stat")
        assert stat.exists()
        process.send_signal(signum)
        process.communicate(timeout=60)  # not before all have ended that write to the same place
    assert not stat.exists() or stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX"


def test_forget_deletes_old_events_and_messages_only_when_asked(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Inbox.open(str(config.parent / "inbox.db"), create=True)) as inbox:
        for number, name in enumerate(("call.ended", "message.sent")):
            for company in ("Acme", "Zoo"):
                inbox.append([Delivery(delivery(number, event=name)).row(company, WEBHOOK, 1_600_000_000_000)])

        run("--config", config, "forget", "--older-than", 90)
        each_names(capsys.readouterr().out.splitlines(), ("Acme", 1), ("Zoo", 1))
        assert ids(inbox) == [1]
        change(config, inbox_company="Zoo")
        run("--config", config, "forget", "--older-than", 90, "--everything")
        each_names(capsys.readouterr().out.splitlines(), ("Zoo", 1))
        assert (ids(inbox), ids(inbox, "Zoo")) == ([1], [])
        change(config, inbox_company="Zooo")
        with refused(InputError, "inbox_company", "Zooo"):
            run("--config", config, "forget", "--older-than", 90)


def change(config: Path, **settings: Any) -> None:
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | settings), encoding="utf-8")


def test_a_failure_is_one_line_and_an_exit_code(config: Path) -> None:
    change(config, inbox="postgresql://me:s3cret@127.0.0.1:1/x")

    on_full_disk = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]  # where libraries may warn as they load
    done = subprocess.run(
        [*on_full_disk, COMMAND, "--config", config, "serve"], capture_output=True, text=True, check=False, timeout=60
    )

    each_names(done.stderr.splitlines(), ("ERROR", "aircall-inbox", "Setting inbox"))
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (["status"], {}, ["Setting inbox", "inbox.db", "aircall-inbox serve"]),
        (["status"], {"inbox": None}, ["Setting inbox", "PostgreSQL"]),
        (["serve"], {"inbox": "/missing/inbox.db"}, ["Setting inbox", "/missing"]),
        pytest.param(
            *(["serve"], {"inbox": "/proc/inbox.db"}, ["Setting inbox", "/proc/inbox.db"]),
            marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc"),
        ),
        (["serve", "--key", "key.pem"], {}, ["--key", "--certificate"]),
        (["register", "--url", "http://a.b"], {}, ["--url", "https://"]),
        (["register", "--url", URL, "--messages"], {}, ["--messages", "token"]),
        (["unregister"], {"password": None}, ["Setting password", "user"]),
    ],
    ids=range(8),
)
def test_bad_input_is_one_line(
    config: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], settings: dict[str, Any], named: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    change(config, **settings)

    with refused(InputError, *named):
        run("--config", config, *arguments)


@pytest.mark.parametrize("option", [("forget", "--older-than"), ("serve", "--most-gib")])
@pytest.mark.parametrize("number", ["nan", "-nan", "-1", "-inf"])
def test_a_number_out_of_range_is_refused(config: Path, option: tuple[str, str], number: str) -> None:
    with pytest.raises(click.BadParameter) as raised:
        run("--config", config, *option, number)

    assert raised.value.param
    assert raised.value.param.opts == [option[1]]


@pytest.mark.parametrize("days", ["inf", "1e9"])
def test_events_older_than_aircall_are_refused(config: Path, days: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not in the range 0(\.0)?<=x<=10000"):
        run("--config", config, "forget", "--older-than", days)


@pytest.mark.parametrize("problem", ["", "status 307"])
def test_register_fails_if_the_url_leads_elsewhere(
    aircall: Aircall, config: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    monkeypatch.setattr(CompanyWebhooks, "problem_at", lambda *_: problem)
    with refused(InputError, "--url", problem) if problem else nullcontext():
        run("--config", config, "register", "--url", URL)
    assert len(aircall.world.kinds["webhooks"]) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.b", "https://a.b/aircall"),
        ("https://a.b/", "https://a.b/aircall"),
        ("https://a.b:8443", "https://a.b:8443/aircall"),
        ("https://a.b?x=1", "https://a.b/aircall?x=1"),
        ("https://a.b/hooks", "https://a.b/hooks"),
        ("https://a.b/hooks/aircall", "https://a.b/hooks/aircall"),
    ],
)
def test_a_url_without_a_path_gets_one(url: str, expected: str) -> None:
    assert command.checked_url(url, "/aircall") == expected


@pytest.mark.parametrize(
    "url", ["http://a.b", "https://", "a.b", "https://u:p@a.b", "https://a.b/\n", "https://[", "https://a.b:x"]
)
def test_a_url_must_be_public_https(url: str) -> None:
    with refused(InputError, "--url", "https://"):
        command.checked_url(url, "/aircall")


def test_status_describes_the_state_of_a_webhook() -> None:
    active = AircallsWebhook("id", URL)
    states = [
        command.state_of(active, "id", is_mine=True),
        command.state_of(AircallsWebhook("id", URL, active=False), "id", is_mine=True),
        command.state_of(None, "id", is_mine=True),
        command.state_of(None, None, is_mine=True),
        command.state_of(active, "id", is_mine=False),
    ]

    assert len(set(states)) == len(states)
    each_names(states, (), ("serve", "register"), ("register",), (), ("config",))


def test_a_missing_extra_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "tap_aircall.inbox.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    with pytest.raises(SystemExit):
        command.commands.main(["--config", str(config), "serve"])

    assert names(caplog.messages[-1], "aircall-inbox", "uvicorn", "pip install '.[inbox]'")
