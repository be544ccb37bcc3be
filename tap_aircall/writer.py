"""The writer of Singer messages, which a signal cannot interrupt within a line."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from typing_extensions import override

from tap_aircall.errors import RUN_TERMINATED, TerminatedError

if TYPE_CHECKING:
    from singer_sdk.singerlib.encoding.simple import Message

LINE_SECONDS = 5.0
"""How long a terminated run may take to finish a line for a slow target."""


class InterruptibleWriter(MsgSpecWriter):
    """Writes Singer messages as whole lines, even if a signal arrives in the middle of one."""

    def __init__(self) -> None:
        super().__init__()
        self.last_words = RUN_TERMINATED
        """The message when a signal ends the run."""
        self._writing = False
        self._terminated: TerminatedError | None = None

    @override
    def write_message(self, message: Message) -> None:
        self._writing = True
        try:
            self.send(message)
        finally:
            self._writing = False
        if self._terminated is not None:
            raise self._terminated

    def send(self, message: Message) -> None:
        """Write a message as a line, and flush it."""
        sys.stdout.buffer.write(self.format_message(message))
        sys.stdout.buffer.flush()

    def terminate(self, signum: int) -> None:
        """End the run, after the current line if one is being written.

        Raises:
            TerminatedError: If no line is being written; otherwise `write_message` raises it after the line.
        """
        self._terminated = terminated = TerminatedError(signum, self.last_words)
        if not self._writing:
            raise terminated
        timer = threading.Timer(LINE_SECONDS, os._exit, (terminated.exit_code,))
        timer.daemon = True
        timer.start()


class SilentWriter(InterruptibleWriter):
    """Writes nothing, for runs that only test or verify."""

    @override
    def send(self, message: Message) -> None:
        pass


def discard_stdout() -> None:
    """Redirect standard output to nowhere, or Python would try at exit to flush what cannot be written."""
    if sys.__stdout__ is not None:
        discard(sys.stdout.fileno())


def discard(descriptor: int) -> None:
    """Redirect a file descriptor to nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)
