"""The demo of many customers, as somebody sees it who types `make demo-customers`."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from aircall_customers.local import ROOT

PATIENCE_SECONDS = 900


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_the_demo_shows_a_load_and_a_failure_and_leaves_nothing_running() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.customers"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    output, until = "", time.monotonic() + PATIENCE_SECONDS
    try:
        while not {"acme: loaded", "globex: loaded", "initech: failed"} <= set(re.findall(r"\w+: \w+", output)):
            assert process.poll() is None
            assert time.monotonic() < until, output
            if select.select([process.stdout], [], [], 1)[0]:
                output += os.read(process.stdout.fileno(), 65_536).decode()
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", output)
        page = requests.get(url, timeout=60).text
    finally:
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert "dagster" in page.lower()
    assert "Aircall rejects the credentials" in output
    assert (process.returncode, rest.decode(), errors.decode()) == (0, "\nStopped.\n", "")
    commands = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(each.read_text(encoding="utf-8", errors="replace"))
    assert not [command for command in commands if str(ROOT / "demo-data/customers") in command]
