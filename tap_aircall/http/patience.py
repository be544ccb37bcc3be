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


def be_patient(error: AircallError, *, failures: int, attempts: int, wait: Callable[[float], None]) -> None:
    """Wait before the next attempt: a second at most, then twice as long each time, up to a minute.

    Args:
        error: What went wrong this time.
        failures: How often it has gone wrong, this time included.
        attempts: How often to try at most.
        wait: Waits so many seconds, or less when the run ends.

    Raises:
        UnavailableError: If a `TransientError` leaves no attempt.
        AircallError: The error itself, if it is of another kind and leaves no attempt.
    """
    if failures >= attempts:
        raise UnavailableError(str(error)) if isinstance(error, TransientError) else error
    seconds = min(LONGEST_WAIT_SECONDS, 2.0 ** (failures - 1)) * random.SystemRandom().uniform(0.5, 1)
    logger.info("%s Trying again in %.0f s.", error, seconds)
    wait(seconds)
