"""Shows where a long stream is: a bar on a terminal, otherwise a log line twice a minute."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from tqdm import tqdm

    from tap_aircall.api.client import AircallClient
    from tap_aircall.clock import Clock

LOG_INTERVAL_SECONDS = 30.0


class Progress:
    """Counts the records of one stream towards the total that Aircall names.

    Args:
        stream: Name of the stream.
        client: Counts the requests and knows the budget.
        clock: Says when the next line is due.
        logger: Where the lines go.
        terminal: Whether there is a terminal to draw a bar on; by default, whether stderr is one.
    """

    def __init__(
        self,
        stream: str,
        client: AircallClient,
        clock: Clock,
        logger: logging.Logger,
        *,
        terminal: bool | None = None,
    ) -> None:
        self._stream = stream
        self._client = client
        self._clock = clock
        self._logger = logger
        self._records = 0
        self._total = 0
        self._requests_before = client.requests_sent
        self._next_line = clock.monotonic() + LOG_INTERVAL_SECONDS
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty() if terminal is None else terminal:
            from tqdm import tqdm  # noqa: PLC0415 - not needed without a terminal

            self._bar = tqdm(desc=stream, unit=" records", dynamic_ncols=True, file=sys.stderr)

    def expect(self, more: int) -> None:
        """Say how many records are still to come after those counted."""
        self._total = max(self._total, self._records + more)

    def add(self, records: int) -> None:
        """Count records, and show it when it is time to."""
        self._records += records
        if self._bar is not None:
            self._bar.total = self._total or None
            self._bar.set_postfix_str(self._cost(), refresh=False)
            self._bar.update(records)
        elif self._clock.monotonic() >= self._next_line:
            self._next_line = self._clock.monotonic() + LOG_INTERVAL_SECONDS
            of_total = f" of {self._total:,}" if self._total else ""
            self._logger.info("%s: %s%s records, %s", self._stream, f"{self._records:,}", of_total, self._cost())

    def close(self) -> None:
        """Finish with the final counts."""
        if self._bar is not None:
            self._bar.close()
        self._logger.info("%s: %s records, %d requests", self._stream, f"{self._records:,}", self._requests)

    @property
    def _requests(self) -> int:
        return self._client.requests_sent - self._requests_before

    def _cost(self) -> str:
        """Say what was spent, and what the rest will take: requests at the budget, as long as they cost so far."""
        text = f"{self._requests:,} requests"
        if self._total > self._records > 0:
            requests = (self._total - self._records) * self._requests / self._records
            minutes = math.ceil(requests / self._client.limiter.requests_per_minute)
            text += f", about {minutes} min left"
        return text
