"""The watch over leaks notices each kind of leak."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEAKY = """
import logging, subprocess, sys
from tap_aircall.errors import RejectedRequestError
from tests.leaks import WATCH

SECRET, PERSON = "sandbox-" + "token", "ada@" + "example.com"

def test_log(): logging.getLogger("x").info("a %s", PERSON)
def test_traceback():
    try: raise ValueError(PERSON)
    except ValueError: logging.getLogger("x").exception("oh")
def test_print(): print(SECRET)
def test_printed_person(): print(PERSON)
def test_error(): RejectedRequestError(f"no {SECRET}", 410)
def test_process(): run("print(" + repr(PERSON) + ")")
def test_secret_in_a_record(): run("print(" + repr('{"type":"RECORD","x":"' + SECRET + '"}') + ")")
def test_state(): WATCH.search("a STATE", PERSON)
def test_fine():
    run("print(" + repr('{"type":"RECORD","x":"' + PERSON + '"}') + ")")
    WATCH.search("a RECORD", PERSON, is_record=True)

def run(code): subprocess.run([sys.executable, "-Sc", code], capture_output=True, text=True)
"""


def test_it_barks(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY, encoding="utf-8")
    options = ["-p", "tests.leaks", "-p", "no:cacheprovider", "-q", "-rfp", "--tb=no", "--show-capture=no"]

    with (tmp_path / "output").open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--log-level=DEBUG", "--rootdir", tmp_path, tmp_path],
            cwd=ROOT,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )

    lines = (tmp_path / "output").read_text(encoding="utf-8").splitlines()
    outcomes = sorted(line.split("::")[1].split(" ")[0] for line in lines if line.startswith("FAILED"))
    assert done.returncode == 1
    assert outcomes == [
        "test_error",
        "test_log",
        "test_print",
        "test_printed_person",
        "test_process",
        "test_secret_in_a_record",
        "test_state",
        "test_traceback",
    ]
    assert [line.split("::")[1] for line in lines if line.startswith("PASSED")] == ["test_fine"]
