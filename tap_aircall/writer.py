"""How Singer messages reach the target: as whole lines, whatever comes between them."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import MsgSpecWriter, encoder
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib.encoding.simple import Message

BATCH = 100
"""So many records wait for each other before they are written."""
GRACE_SECONDS = 5.0
"""How long a terminated run may take to hand a half-written line to a slow target."""
RUN_TERMINATED = "The run was terminated; the last state written is safe to go on from."


class TerminatedError(BaseException):
    """A signal ended the run. Not an `Exception`, so that nothing takes it for a fault to survive.

    Args:
        signum: The signal.
        line: What to say about it.
    """

    def __init__(self, signum: int, line: str = RUN_TERMINATED) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum
        self.line = line


class InterruptibleWriter(MsgSpecWriter):
    """Writes Singer messages as whole lines, also when a signal arrives in the middle of them.

    Records wait for some company before they are written, since a system call a record takes longer than making it;
    any other message takes all of them along. So no state is ever ahead of its records.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_words = RUN_TERMINATED
        """What to say when a signal comes."""
        self._waiting: list[dict[str, Any]] = []
        self._writing = False
        self._terminated: TerminatedError | None = None

    @override
    def write_message(self, message: Message) -> None:
        """Write a message, and the records that wait before it."""
        self._waiting.append(message.to_dict())
        self.flush()

    def write_records(self, messages: list[dict[str, Any]]) -> None:
        """Take record messages, which may wait for some more.

        Args:
            messages: The messages as they are to be encoded; not to be changed afterwards.

        Raises:
            TerminatedError: If a signal came meanwhile.
        """
        self._waiting += messages
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            TerminatedError: If a signal came meanwhile.
        """
        self._writing = True
        try:
            messages, self._waiting = self._waiting, []
            if messages:
                self.send(messages)
        finally:
            self._writing = False
        if self._terminated is not None:
            raise self._terminated

    def send(self, messages: list[dict[str, Any]]) -> None:
        """Encode messages, a line each, and hand them to the target."""
        sys.stdout.buffer.write(encoder.encode_lines(messages))
        sys.stdout.buffer.flush()

    def terminate(self, signum: int) -> None:
        """End the run: at once, or as soon as the line that is being written is whole.

        Raises:
            TerminatedError: Unless a line is being written; from `flush` then, and also if something swallowed it.
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
    def send(self, messages: list[dict[str, Any]]) -> None:
        pass
