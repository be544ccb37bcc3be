"""Progress of a stream, and the summary at the end of a run.

A terminal gets a progress bar; otherwise, a line is logged twice a minute.
"""

from __future__ import annotations

import logging
import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tqdm import tqdm

    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import Clock

PROGRESS_LOG_SECONDS = 30.0


class Progress:
    """Progress of one stream towards the total that Aircall gives."""

    def __init__(self, stream: str, client: AircallClient, clock: Clock, logger: logging.Logger) -> None:
        self._stream = stream
        self._client = client
        self._clock = clock
        self._logger = logger
        self.records = 0
        """Records read so far."""
        self.bytes = 0
        """Bytes of files archived so far."""
        self.seconds: float | None = None
        """Duration; None before the end."""
        self._total = 0
        self._began = clock.monotonic()
        self._next_line = self._began + PROGRESS_LOG_SECONDS
        self._was_shown = False
        self._bar: tqdm[Any] | None = None

    def expect(self, more: int) -> None:
        """Expect this many records after those counted."""
        self._total = max(self._total, self.records + more)

    def add(self, records: int, *, size: int = 0) -> None:
        """Count records and the bytes of their files, and show progress when due."""
        self.records += records
        self.bytes += size
        if self._bar is None and sys.stderr.isatty():
            from tqdm import tqdm  # noqa: PLC0415 - not needed without a terminal

            self._bar = tqdm(desc=self._stream, unit=" records", dynamic_ncols=True, file=sys.stderr)
        if self._bar is not None:
            self._bar.total = self._total or None
            self._bar.set_postfix_str(self._cost(), refresh=False)
            self._bar.update(records)
        elif self._clock.monotonic() >= self._next_line:
            self._next_line = self._clock.monotonic() + PROGRESS_LOG_SECONDS
            self._was_shown = True
            of_total = f" of {self._total:,}" if self._total else ""
            self._logger.info("%s: %s%s records, %s", self._stream, f"{self.records:,}", of_total, self._cost())

    def close(self) -> None:
        """Log the final counts; for a short stream, the summary is enough."""
        self.seconds = self._clock.monotonic() - self._began
        if self._bar is not None:
            self._bar.close()
        level = logging.INFO if self._was_shown else logging.DEBUG
        self._logger.log(level, "%s: %s records, %s", self._stream, f"{self.records:,}", self._spent)

    @property
    def _spent(self) -> str:
        files = f"{self.bytes / 1e6:,.1f} MB in files, " if self.bytes else ""
        return f"{files}{self._client.requests_sent:,} requests"

    def _cost(self) -> str:
        """Return the cost so far, and the time left at the same cost per record and the rate limit."""
        text = self._spent
        if self._total > self.records > 0:
            requests = (self._total - self.records) * self._client.requests_sent / self.records
            minutes = math.ceil(requests / self._client.limiter.requests_per_minute)
            text += f", about {minutes} min left"
        return text


class SummaryRow(NamedTuple):
    """One stream in the summary of a run."""

    stream: str
    records: int
    requests: int
    seconds: float
    note: str = ""


def summary(rows: Sequence[SummaryRow], requests: int, seconds: float) -> list[str]:
    """Return the lines that sum up a run."""
    total = sum(row.records for row in rows)
    cells = [(row.stream, f"{row.records:,}", f"{row.requests:,}", duration(row.seconds)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"Read {total:,} records with {requests:,} requests in {duration(seconds)}:"]
    for row, (stream, *numbers) in zip(rows, cells, strict=True):
        count, sent, time = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        lines.append(f"  {stream:<{widths[0]}}  {count} records  {sent} requests  {time}  {row.note}".rstrip())
    return lines


def duration(seconds: float) -> str:
    """Format a duration in the unit that people would use."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
