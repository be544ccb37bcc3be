"""How Singer messages reach the target: as whole lines, whatever comes between them."""

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

GRACE_SECONDS = 5.0
"""How long a terminated run may take to hand a half-written line to a slow target."""


class InterruptibleWriter(MsgSpecWriter):
    """Writes Singer messages as whole lines, also when a signal arrives in the middle of them."""

    def __init__(self) -> None:
        super().__init__()
        self.last_words = RUN_TERMINATED
        """What to say when a signal comes."""
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
        """Encode a message as a line, and hand it to the target."""
        sys.stdout.buffer.write(self.format_message(message))
        sys.stdout.buffer.flush()

    def terminate(self, signum: int) -> None:
        """End the run: at once, or as soon as the line that is being written is whole.

        Raises:
            TerminatedError: Unless a line is being written; then from `write_message`, even if something swallowed it.
        """
        self._terminated = terminated = TerminatedError(signum, self.last_words)
        if not self._writing:
            raise terminated
        timer = threading.Timer(GRACE_SECONDS, os._exit, (terminated.exit_code,))
        timer.daemon = True
        timer.start()


class SilentWriter(InterruptibleWriter):
    """Writes nothing, where records are read to see whether they can be."""

    @override
    def send(self, message: Message) -> None:
        pass


def discard_stdout() -> None:
    """Point standard output nowhere, since Python would try to flush what could not be written when it exits."""
    if sys.__stdout__ is not None:
        discard(sys.stdout.fileno())


def discard(descriptor: int) -> None:
    """Point a file descriptor nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)
