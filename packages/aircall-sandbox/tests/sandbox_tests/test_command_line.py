"""The command `python -m aircall_sandbox`."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from aircall_sandbox import Sandbox, World
from aircall_sandbox.__main__ import main
from tests.messages import each_names

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]

COMMAND = [sys.executable, "-m", "aircall_sandbox"]
BEGUN = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
"""A request whose response tells that the server waits for its body."""
SMALL = ["--calls=5", "--contacts=5", "--users=2"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command in this process, and returns its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["aircall_sandbox", *arguments])
        code = main()
        return (code, *capsys.readouterr())

    return run


def test_a_port_in_use_gets_one_line(run: Command) -> None:
    with Sandbox(World()) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        code, _, errors = run("--port", port, *SMALL)
    assert code == 1
    each_names(errors.splitlines(), (port, "--port"))


@pytest.mark.parametrize(
    ("option", "facts"),
    [
        ("--calls=-1", [0]),
        ("--seed=one", ["one"]),
        ("--users=0", [1]),
        ("--ai=80", [0, 1]),
        ("--latency=-1", [0]),
    ],
)
def test_a_bad_option_gets_one_line(run: Command, option: str, facts: list[object]) -> None:
    code, output, errors = run(option)
    name = option.partition("=")[0]
    assert (code, output) == (2, "")
    each_names(errors.splitlines(), ("python -m aircall_sandbox", name, *facts))


def test_help_lists_every_option_with_its_default(run: Command) -> None:
    code, output, _ = run("--help")
    assert code == 0
    text = " ".join(output.split())
    defaults = dict(re.findall(r"--([\w-]+) (?:(?! --).)*?\[default: ([\w.]+)", text))
    assert defaults == {
        "seed": "1",
        "calls": "12500",
        "contacts": "11000",
        "users": "45",
        "days": "90",
        "ai": "0",
        "port": "8787",
        "rate-limit": "0",
        "latency": "0",
        "oauth": "permanent",
    }
    assert "--campaigns Give users dialer campaigns" in text
    assert "--messaging Give numbers" in text


def test_options_add_features_to_the_company() -> None:
    arguments = [*COMMAND, "--port=0", "--calls=300", "--contacts=100", "--users=6", "--ai=1"]
    with subprocess.Popen([*arguments, "--campaigns", "--messaging"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        words = process.stdout.readline().replace(",", "").split()
        url, auth = words[3], (words[5], words[7])

        def get(path: str, **query: str) -> Any:
            answer = requests.get(f"{url}/v1/{path}", query, auth=auth, timeout=10)
            return answer.json() if answer.ok else answer.status_code

        calls = get("calls", order="desc", per_page="50")["calls"]
        answered = [call["id"] for call in calls if call["pricing_type"] and call["answered_at"]]
        summaries = [get(f"calls/{call}/summary") for call in answered]
        team = get("teams")["teams"][0]
        campaigns = [get(f"users/{user['id']}/dialer_campaign") for user in team["users"]]
        numbers = get("numbers")["numbers"]
        statuses = [get(f"numbers/{number['id']}/whatsapp_status") for number in numbers]
        templates = get("sms/templates")["templates"]
        process.terminate()
    assert answered
    assert all(summary["summary"]["content"] for summary in summaries)
    assert all(campaign["dialer_campaign"]["phone_numbers"] for campaign in campaigns)
    assert campaigns
    assert [status if status == 404 else status["status"] for status in statuses] == ["ONLINE", 404, 404] * 4
    assert templates


def test_a_signal_stops_it_during_a_request() -> None:
    signals = (signal.SIGTERM, signal.SIGINT)
    arguments = [*COMMAND, "--port=0", "--latency=60", *SMALL]
    processes = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in signals
    ]
    with contextlib.ExitStack() as clients:
        for process, number in zip(processes, signals, strict=True):
            assert process.stdout
            url = process.stdout.readline().replace(",", "").split()[3]
            client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
            clients.enter_context(client).sendall(BEGUN)
            assert b" 100 " in client.recv(100)
            client.sendall(b"{}")
            process.send_signal(number)
        assert [process.communicate(timeout=10)[1] for process in processes] == ["", ""]
