"""What log lines show of errors and addresses, at any level, in any format, through any logger."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.logging import ConsoleFormatter, StructuredFormatter
from typing_extensions import override

from aircall_sandbox import Sandbox, World
from tap_aircall.errors import UnavailableError
from tap_aircall.http.logs import be_discreet
from tests.clock import FakeClock
from tests.conftest import Aircall
from tests.hostile import Hostile
from tests.http.test_client import make_client
from tests.messages import names

PLANTED = "planted words"
TAP = Path(sys.executable).parent / "tap-aircall"
STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters: {structured: {"()": singer_sdk.logging.StructuredFormatter}}
handlers: {console: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}}
root: {level: DEBUG, handlers: [console]}
loggers: {urllib3: {level: DEBUG}, urllib3.connectionpool: {level: DEBUG, handlers: [console]}}
"""


class Lines(logging.Handler):
    """Keeps records as a formatter writes them."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(params=[logging.Formatter, ConsoleFormatter, StructuredFormatter])
def lines(request: pytest.FixtureRequest) -> list[str]:
    """What a handler of the root logger writes from now on."""
    be_discreet()
    handler = Lines(request.param())
    logging.getLogger().addHandler(handler)
    request.addfinalizer(lambda: logging.getLogger().removeHandler(handler))  # noqa: PT021 - no teardown
    return handler.lines


def fail() -> None:
    """Fail with a cause that nobody should see, and a message that they may."""
    try:
        int(PLANTED)
    except ValueError as error:
        message = "No number: 100 %."
        raise UnavailableError(message) from error


@pytest.mark.parametrize("arguments", [("It failed:",), ("It failed in %s:", "calls"), ("It failed: %(x)s", {"x": 1})])
def test_a_traceback_shows_only_the_texts_of_the_taps_own_errors(lines: list[str], arguments: tuple[Any, ...]) -> None:
    try:
        fail()
    except UnavailableError:
        logging.getLogger("some.library").exception(*arguments)

    (line,) = lines
    assert "It failed" in line
    assert "tap_aircall.errors.UnavailableError: No number: 100 %." in line
    assert "builtins.ValueError" in line
    assert line.count("in fail") >= 2
    assert PLANTED not in line


@pytest.mark.parametrize("message", ["It failed: %s", None])
def test_an_error_in_a_message_keeps_its_text_if_it_is_the_taps(lines: list[str], message: str | None) -> None:
    logger = logging.getLogger("some.library")
    for error in (ValueError(PLANTED), UnavailableError("Try later.")):
        logger.warning(*((message, error) if message else (error,)))

    assert "ValueError" in lines[0]
    assert "planted" not in lines[0]
    assert "Try later." in lines[1]


def test_odd_headers_and_addresses_reach_no_line(clock: FakeClock, lines: list[str]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nplanted words\r\nX-Amz-Signature: planted-token\r\n\r\n{}"
    for name in ("urllib3", "urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)

    with Hostile([answer]) as server:
        client = make_client(server.url, clock)
        client.get("/v1/calls", {"from": "1234567"}, lambda payload: payload)
        client.downloader.fetch(f"{server.url}/planted-token/file?X-Amz-Signature=planted-token", 100).close()
        client.close()

    text = "\n".join(lines)
    assert any(names(line, "GET /v1/calls", 200, 2) for line in lines)
    assert any(names(line, "GET 127.0.0.1", 200, 2) for line in lines)
    assert not [secret for secret in ("planted", "1234567", "Basic ") if secret in text]


@pytest.mark.parametrize("is_structured", [False, True], ids=["plain", "structured"])
def test_a_process_at_log_level_debug_shows_no_download_address(tmp_path: Path, is_structured: bool) -> None:
    start, end = ((datetime.now(UTC) - timedelta(days=days)).date().isoformat() for days in (3, 2))
    settings = {"analytics_reports": ["CALLS_HISTORY"], "start_date": start, "end_date": end}
    with Sandbox(World(now=time.time())) as sandbox:
        sandbox.analytics.seconds, sandbox.analytics.files = 0, {"CALLS_HISTORY": b"name\nAda\n"}
        aircall = Aircall(sandbox, FakeClock())
        for name, content in {
            "config.json": json.dumps(aircall.config(**settings)),
            "catalog.json": json.dumps(aircall.catalog("analytics_reports", **settings)),
            "logs.yml": STRUCTURED,
        }.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        done = run_tap(tmp_path, is_structured=is_structured)
        credentials = b64encode(f"{sandbox.api_id}:{sandbox.api_token}".encode()).decode()

    assert (done.returncode, '"Ada"' in done.stdout) == (0, True)
    assert any(names(line, "POST /v1/analytics/report/export", 201) for line in done.stderr.splitlines())
    assert any(names(line, "GET 127.0.0.1", 200, 9) for line in done.stderr.splitlines())
    assert not [secret for secret in ("-of-the-sandbox", "/exports/", credentials, "urllib3") if secret in done.stderr]


def run_tap(folder: Path, *, is_structured: bool) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder with its files, at log level DEBUG."""
    environment = {**os.environ, "LOGLEVEL": "DEBUG"}
    if is_structured:
        environment["SINGER_SDK_LOG_CONFIG"] = "logs.yml"

    return subprocess.run(
        [TAP, "--config", "config.json", "--catalog", "catalog.json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
