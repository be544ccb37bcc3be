"""Watches everything that the tests write for leaks: secrets anywhere, personal data outside of records.

A pytest plugin. All made-up credentials, names, emails and phone numbers can be recognized. A test fails if one of them
reaches a log line of any level, an error, a state, or the output of a process that the test started. A secret must not
reach a record either.
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
"""How phone numbers of the sandbox begin."""
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
"""Processes whose output may show the sandbox's public credentials, or is about nobody."""

BROWSER = "browser"
"""Name of the threads that play a browser, which sees the addresses that it is sent to."""


class Watch(logging.Handler):
    """Collects leaks until it is asked for them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: list[str] = []

    def look(self, where: str, text: str, *, is_record: bool = False) -> None:
        """Look through a text.

        Args:
            where: What to call it.
            text: The text.
            is_record: Whether people may be in it.
        """
        found = [each for each in (SECRETS if is_record else SECRETS + PEOPLE) if each in text]
        if found:
            self.leaks.append(f"{where}: {', '.join(map(repr, found))}")

    def look_through_output(self, process: str, output: str) -> None:
        """Look through the output of a process, in which a line may be a record."""
        records = [line for line in output.splitlines() if line.startswith('{"type":"RECORD"')]
        others = [line for line in output.splitlines() if not line.startswith('{"type":"RECORD"')]
        self.look(f"records written by {process}", "\n".join(records), is_record=True)
        self.look(f"output of {process}", "\n".join(others))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == BROWSER:
            return
        text = record.getMessage()
        if record.exc_info:
            text += logging.Formatter().formatException(record.exc_info)
        self.look(f"log of {record.name}", text)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Start to watch all loggers at all levels, errors and processes."""
        logging.getLogger().addHandler(self)
        logging.getLogger().setLevel(logging.DEBUG)
        # Its thousands of lines a run only say which fields are selected.
        logging.getLogger("singer_sdk.singerlib.catalog").setLevel(logging.INFO)
        make_error, communicate = TapAircallError.__init__, subprocess.Popen.communicate

        def watched_error(error: TapAircallError, *args: Any) -> None:
            self.look(f"a {type(error).__name__}", " ".join(map(str, args)))
            make_error(error, *args)

        def watched_process(process: subprocess.Popen[Any], *args: Any, **options: Any) -> Any:
            outputs = communicate(process, *args, **options)
            command = str(process.args)
            if not any(each in command for each in OWN_OUTPUT):
                for output in filter(None, outputs):
                    text = output.decode(errors="replace") if isinstance(output, bytes) else output
                    self.look_through_output("a process", text)
            return outputs

        patch.setattr(TapAircallError, "__init__", watched_error)
        patch.setattr(subprocess.Popen, "communicate", watched_process)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test in which something leaked, in its own output too."""
        report = yield
        for title, text in report.sections:
            if "log" not in title:  # those have been looked at already
                self.look_through_output(title, text)
        leaks, self.leaks = self.leaks, []
        if leaks and report.passed:
            report.outcome = "failed"
            report.longrepr = "\n".join(["Leaked:", *sorted(set(leaks))])
        return report


WATCH = Watch()


def pytest_configure(config: pytest.Config) -> None:
    """Watch from the beginning to the end."""
    patch = pytest.MonkeyPatch()
    WATCH.watch(patch)
    config.add_cleanup(patch.undo)
    config.pluginmanager.register(WATCH, "leaks")
