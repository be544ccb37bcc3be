"""The command that the receiver runs after events arrive, such as a load into the warehouse."""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from tap_aircall.errors import InboxError, InputError, reason_of
from tap_aircall.inbox.groups import end_group, process_group

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tap_aircall.reading.clock import Clock

EVENT_POLL_SECONDS = 1.0
"""Interval between checks for new events."""
START_INTERVAL_SECONDS = 60.0
"""Minimum time between two starts, and the first back-off after a failure; it doubles with each further failure."""
LONGEST_PAUSE_SECONDS = 3600.0
"""Longest back-off."""
EXIT_POLL_SECONDS = 0.1
"""Interval between checks whether the command has exited."""
EXIT_SECONDS = 10.0
"""Time limit for the command to exit after SIGTERM, and for its children to end after SIGKILL."""
logger = logging.getLogger(__name__)


class FollowUp:
    """Runs a command after new events: at most once a minute, and one run at a time.

    It also runs the command at the start if the inbox has any events, since they may not have been loaded. After a
    failure, it retries with back-off.

    Args:
        command: The command, quoted as in a shell.
        position: Returns the position of the latest event.
        clock: This machine's clock.

    Raises:
        InputError: If the command does not exist.
    """

    def __init__(self, command: str, position: Callable[[], int], clock: Clock) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"Option --then: cannot be split into words: {error}.") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise InputError(f"Option --then: command {shlex.join(self._words[:1])} not found.")
        self._position = position
        self._clock = clock

    def watch(self, ended: threading.Event) -> None:
        """Run the command after new events until `ended` is set; then stop a run in progress."""
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
                    pause = min(START_INTERVAL_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
                    next_at = self._clock.monotonic() + pause
                    logger.warning("Option --then: %s Next try in %.0f minutes.", problem, pause / 60)
                elif there > done:
                    done, failures, next_at = there, 0, now + START_INTERVAL_SECONDS
            self._clock.wait(EVENT_POLL_SECONDS, ended)

    def run(self, ended: threading.Event) -> str | None:
        """Run the command until it ends or `ended` is set; return what went wrong, or None."""
        try:
            with (
                process_group() as group,
                subprocess.Popen(self._words, stdin=subprocess.DEVNULL, process_group=group) as process,  # noqa: S603 - the user's command
            ):
                while process.poll() is None and not ended.wait(EXIT_POLL_SECONDS):
                    pass
                end_group(group, process, EXIT_SECONDS)
        except OSError as error:
            return f"the command cannot be run: {reason_of(error)}."
        return (
            f"the command failed with exit code {process.returncode}."
            if process.returncode and not ended.is_set()
            else None
        )
