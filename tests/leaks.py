"""Pytest plugin that detects leaks: secrets anywhere, and personal data outside of records.

All made-up credentials, names, emails and phone numbers are recognizable. A test fails if one of them reaches a log
message of any level, an error, a state, or the output of a process. A secret must not reach a record either.
"""

from __future__ import annotations

import logging
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from aircall_sandbox.phones import BLOCKS, e164
from aircall_sandbox.recordings import MARK
from tap_aircall.errors import TapAircallError

if TYPE_CHECKING:
    from collections.abc import Generator

SECRETS = (
    "sandbox-token",
    "sandbox-client-secret",
    "-of-the-sandbox",
    "secret-of-webhook",
    "planted-token",
    "s3cret",
    "c2FuZGJveC1pZDpzYW5kYm94LXRva2Vu",  # of the header: sandbox-id:sandbox-token
)
PHONES = tuple(block.partition("#")[0].rstrip() for blocks in BLOCKS.values() for block in blocks)
"""Prefixes of the sandbox's phone numbers."""
PEOPLE = (
    "@example.com",
    "@example.org",
    "User 1",
    "Contact 1",
    MARK,
    *PHONES,
    *map(e164, PHONES),
    "Planted Person",
    "planted words",
    "+33 6 12 34 56 78",
)
OWN_OUTPUT = ("aircall_sandbox", "--about")
"""Processes whose output may contain the sandbox's credentials, or is about nobody."""

BROWSER = "browser"
"""Name of threads that act as a browser, which may log URLs."""


class Watch(logging.Handler):
    """Collects leaks until the end of a test."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: list[str] = []

    def search(self, where: str, text: str, *, is_record: bool = False) -> None:
        """Search a text for leaks.

        Args:
            where: Name of the text in a report.
            text: The text.
            is_record: Whether it may contain personal data.
        """
        found = [each for each in (SECRETS if is_record else SECRETS + PEOPLE) if each in text]
        if found:
            self.leaks.append(f"{where}: {', '.join(map(repr, found))}")

    def search_output(self, process: str, output: str) -> None:
        """Search the output of a process, whose lines may be records."""
        records = [line for line in output.splitlines() if line.startswith('{"type":"RECORD"')]
        others = [line for line in output.splitlines() if not line.startswith('{"type":"RECORD"')]
        self.search(f"records written by {process}", "\n".join(records), is_record=True)
        self.search(f"output of {process}", "\n".join(others))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == BROWSER:
            return
        text = record.getMessage()
        if record.exc_info:
            text += logging.Formatter().formatException(record.exc_info)
        self.search(f"log of {record.name}", text)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Watch all loggers at all levels, errors and processes."""
        logging.getLogger().addHandler(self)
        logging.getLogger().setLevel(logging.DEBUG)
        # It logs each selected field, in thousands of lines per run.
        logging.getLogger("singer_sdk.singerlib.catalog").setLevel(logging.INFO)
        make_error, communicate = TapAircallError.__init__, subprocess.Popen.communicate

        def watched_error(error: TapAircallError, *args: Any) -> None:
            self.search(f"a {type(error).__name__}", " ".join(map(str, args)))
            make_error(error, *args)

        def watched_process(process: subprocess.Popen[Any], *args: Any, **options: Any) -> Any:
            outputs = communicate(process, *args, **options)
            command = str(process.args)
            if not any(each in command for each in OWN_OUTPUT):
                for output in filter(None, outputs):
                    text = output.decode(errors="replace") if isinstance(output, bytes) else output
                    self.search_output("a process", text)
            return outputs

        patch.setattr(TapAircallError, "__init__", watched_error)
        patch.setattr(subprocess.Popen, "communicate", watched_process)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test with a leak, including one in its own output."""
        report = yield
        for title, text in report.sections:
            if "log" not in title:  # already searched
                self.search_output(title, text)
        leaks, self.leaks = self.leaks, []
        if leaks and report.passed:
            report.outcome = "failed"
            report.longrepr = "\n".join(["Leaked:", *sorted(set(leaks))])
        return report


WATCH = Watch()


def pytest_configure(config: pytest.Config) -> None:
    """Watch all tests."""
    patch = pytest.MonkeyPatch()
    WATCH.watch(patch)
    config.add_cleanup(patch.undo)
    config.pluginmanager.register(WATCH, "leaks")
