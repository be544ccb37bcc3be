"""The one rule for retries: how often, and after which waits."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

from tap_aircall.errors import TransientError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_aircall.errors import AircallError

LONGEST_WAIT_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Patience:
    """Decides whether there is another attempt, and waits before it. Safe to use from several threads.

    Args:
        wait: Waits so many seconds, or less when the run ends.
    """

    def __init__(self, wait: Callable[[float], None]) -> None:
        self._wait = wait
        self._random = random.SystemRandom()

    def failed(self, error: AircallError, *, failures: int, attempts: int) -> None:
        """Wait before the next attempt: a second at most, then twice as long each time, up to a minute.

        Args:
            error: What went wrong this time.
            failures: How often it has gone wrong, this time included.
            attempts: How often to try at most.

        Raises:
            UnavailableError: If a `TransientError` leaves no attempt.
            AircallError: The error itself, if it is of another kind and leaves no attempt.
        """
        if failures >= attempts:
            if isinstance(error, TransientError):
                raise UnavailableError(str(error)) from error
            raise error
        seconds = min(LONGEST_WAIT_SECONDS, 2.0 ** (failures - 1)) * self._random.uniform(0.5, 1)
        logger.info("%s Trying again in %.0f s.", error, seconds)
        self._wait(seconds)
