"""A command that the receiver runs when events have come, such as the load that brings them into the warehouse."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from tap_aircall.errors import InboxError, InputError, reason_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tap_aircall.reading.clock import Clock

LOOK_SECONDS = 1.0
"""How often to look whether events came."""
EVERY_SECONDS = 60.0
"""It begins no sooner than so long after it last began; after failures, twice as long each time."""
LONGEST_PAUSE_SECONDS = 3600.0
"""However often it has failed."""
POLL_SECONDS = 0.1
"""How often to look whether it has ended."""
GRACE_SECONDS = 10.0
"""How long it may take to end when the receiver does, before it is killed."""
LEADER = "trap '' HUP INT TERM; read -r _; kill -s KILL 0"
"""The shell command that leads its process group, and kills all of that when our end of its input is closed: at the
end of a run, and however this process ends."""

logger = logging.getLogger(__name__)


class FollowUp:
    """Runs a command whenever events came that it has not seen: at most once a minute, and never twice at once.

    It also runs at the start if there are any events, since nobody knows what became of them. When it fails, it is run
    again, after a pause.

    Args:
        command: The command, with its arguments quoted as in a shell.
        position: Returns the position of the last event.
        clock: Where time comes from.

    Raises:
        InputError: If there is no such command.
    """

    def __init__(self, command: str, position: Callable[[], int], clock: Clock) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"Option --then: cannot be split into words: {error}.") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise InputError(f"Option --then: there is no command {shlex.join(self._words[:1])}.")
        self._position = position
        self._clock = clock

    def watch(self, ended: threading.Event) -> None:
        """Look for events and run the command, until an event is set; then, end a command that is under way."""
        done, failures, next_at = 0, 0, self._clock.monotonic()
        while not ended.is_set():
            now = self._clock.monotonic()
            if now >= next_at:
                try:
                    there = self._position()
                    problem = self.run(ended) if there > done else None
                except InboxError as error:
                    problem = str(error)
                if problem is not None:
                    failures += 1
                    pause = min(EVERY_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
                    next_at = self._clock.monotonic() + pause
                    logger.warning("Option --then: %s It is run again in %.0f minutes.", problem, pause / 60)
                elif there > done:
                    done, failures, next_at = there, 0, now + EVERY_SECONDS
            self._clock.wait(LOOK_SECONDS, ended)

    def run(self, ended: threading.Event) -> str | None:
        """Run the command to its end, or until the receiver ends; return what went wrong, if anything did."""
        try:
            with (
                subprocess.Popen(["/bin/sh", "-c", LEADER], stdin=subprocess.PIPE, process_group=0) as leader,  # noqa: S603
                subprocess.Popen(  # noqa: S603 - what the user wants
                    self._words, stdin=subprocess.DEVNULL, process_group=leader.pid
                ) as process,
            ):
                while process.poll() is None and not ended.wait(POLL_SECONDS):
                    pass
                if process.poll() is None:
                    os.killpg(leader.pid, signal.SIGTERM)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(GRACE_SECONDS)
                leader.communicate()  # its input ends
        except OSError as error:
            return f"the command cannot be run: {reason_of(error)}."
        return f"the command ended with {process.returncode}." if process.returncode and not ended.is_set() else None
