"""Aircall's report exports: asked for a few days at a time, polled, fetched, unzipped and parsed (facts: Reports).

Aircall makes a report in seconds to minutes. While the first of these days is waited for, the others become ready.
"""

from __future__ import annotations

import logging
import re
from datetime import date, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from tap_aircall.errors import (
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    RejectedRequestError,
    ReportError,
    ResponseError,
    StreamUnavailableError,
    UnavailableError,
    one_line,
)
from tap_aircall.streams.analytics.files import LARGEST_FILE, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import Clock

PATH = "/v1/analytics/report/export"
AHEAD = 10
"""How many days of a report are in preparation at once."""
FIRST_POLL_SECONDS = 15.0
POLL_SECONDS = 60.0
PATIENCE_SECONDS = 30 * 60.0
"""An export that takes longer than this is given up."""
ASKINGS = 3
"""How often to ask for an export, when Aircall forgets it."""
ADDRESSES = 3
"""How many addresses of one file to try."""
LOG_INTERVAL_SECONDS = 60.0
ADDRESS = re.compile(r"[^\s\"']+://[^\s\"']*")
"""An address in a message of Aircall: whoever has it may be able to read a file."""

logger = logging.getLogger(__name__)


class Export(NamedTuple):
    """What Aircall says about an export."""

    identity: str
    status: str
    zipped: bool
    url: str | None
    reason: str

    @classmethod
    def parse(cls, payload: Any) -> Export:
        """Take it out of a decoded answer.

        Raises:
            ResponseError: If it has no id or no status.
        """
        fields = payload if isinstance(payload, dict) else {}
        identity, status, url = fields.get("exportID"), fields.get("status"), fields.get("downloadUrl")
        if not isinstance(identity, str) or not identity.replace("-", "").isalnum() or not isinstance(status, str):
            raise ResponseError("Aircall answered without a usable 'exportID' and 'status'.")
        return cls(
            identity=identity,
            status=status,
            zipped=fields.get("isZipCompressed") is True,
            url=url if isinstance(url, str) else None,
            reason=ADDRESS.sub("(an address)", one_line(str(fields.get("errorMessage") or "no reason given"))),
        )


class Reports:
    """Reads reports, each day by day.

    Args:
        client: Sends the requests.
        clock: Says how long a report has been waited for.
        timezone: IANA name of the zone in which days begin.
    """

    def __init__(self, client: AircallClient, clock: Clock, *, timezone: str) -> None:
        self._client = client
        self._clock = clock
        self._timezone = timezone
        self._accepted = False
        self._next_line = clock.monotonic()

    def read(self, report: str, days: Sequence[date]) -> Iterator[tuple[date, Iterator[dict[str, str]]]]:
        """Export some days of a report.

        Yields:
            A day and its rows, which must be read to their end before the next one is taken. They raise a `ReportError`
            if the day cannot be read.

        Raises:
            StreamUnavailableError: If this account has no reports.
            AircallError: If Aircall cannot be asked.
        """
        for first in range(0, len(days), AHEAD):
            asked = [
                (day, self._clock.monotonic(), self._try_to_ask(report, day)) for day in days[first : first + AHEAD]
            ]
            for day, moment, export in asked:
                yield day, self._rows(report, day, moment, export)

    def ask(self, report: str, day: date) -> Export:
        """Ask for an export, and do not wait until it is ready.

        Raises:
            StreamUnavailableError: If this account has no reports.
            ReportError: If Aircall does not export this day.
            AircallError: If Aircall cannot be asked.
        """
        window = {"fromDate": day.isoformat(), "toDate": day.isoformat()}
        wish = {
            "reportName": report,
            "filter": {"dateFilter": {"absoluteRange": window}, "timezone": self._timezone},
            "exportOptions": {"format": "CSV"},
        }
        try:
            export = self._client.post(PATH, {"input": wish}, Export.parse)
        except RejectedRequestError as error:
            raise ReportError("Aircall refuses to export this day; is start_date too early?") from error
        except ForbiddenError as error:
            if self._accepted:
                raise ReportError("Aircall does not let this account export it (status 403).") from error
            raise StreamUnavailableError(
                "is left out: Aircall does not let this account export reports (status 403); they need Analytics+."
            ) from error
        self._accepted = True
        return export

    def _try_to_ask(self, report: str, day: date) -> Export | ReportError:
        try:
            return self.ask(report, day)
        except ReportError as error:
            return error  # the days before it can be read

    def _rows(self, report: str, day: date, asked_at: float, export: Export | ReportError) -> Iterator[dict[str, str]]:
        """Wait for an export, fetch and parse it.

        Raises:
            ReportError: If that is impossible.
        """
        if isinstance(export, ReportError):
            raise export
        export = self._finished(report, day, asked_at, export)
        try:
            with self._fetch(export) as file:
                yield from parse(file, zipped=export.zipped)
        except (RejectedRequestError, ResponseError, UnavailableError) as error:
            raise ReportError(str(error)) from error

    def _finished(self, report: str, day: date, asked_at: float, export: Export) -> Export:
        """Look again and again until an export is ready; ask anew for one that Aircall forgets."""
        due, askings = asked_at + FIRST_POLL_SECONDS, 1
        while export.status not in {"COMPLETED", "FAILED"}:  # PENDING, or whatever else comes before the end
            now = self._clock.monotonic()
            if now - asked_at >= PATIENCE_SECONDS:
                raise ReportError(f"Aircall has not made it within {PATIENCE_SECONDS / 60:.0f} minutes.")
            if due > now >= self._next_line:
                self._next_line = now + LOG_INTERVAL_SECONDS
                logger.info("Waiting for Aircall to make %s of %s.", report, day)
            self._client.limiter.wait(max(0.0, due - now))
            try:
                export = self._look(export)
            except NotFoundError as error:
                askings += 1
                if askings > ASKINGS:
                    raise ReportError("Aircall forgets the export before it is ready.") from error
                export = self.ask(report, day)
            due = self._clock.monotonic() + POLL_SECONDS
        if export.status == "FAILED":
            raise ReportError(f"Aircall says: {export.reason}")
        return export

    def _look(self, export: Export) -> Export:
        try:
            return self._client.get(f"{PATH}/{export.identity}", {}, Export.parse)
        except (ForbiddenError, RejectedRequestError) as error:
            raise ReportError("Aircall does not show the export.") from error

    def _fetch(self, export: Export) -> IO[bytes]:
        """Fetch the file, by another address when one has ended. Only one that is empty twice is taken for empty."""
        was_empty = False
        for _ in range(ADDRESSES):
            if export.url is None:
                break
            try:
                file = self._client.downloader.fetch(export.url, LARGEST_FILE)
            except ExpiredError:
                try:
                    export = self._look(export)
                except NotFoundError:
                    break
            else:
                is_empty = not file.read(1)
                file.seek(0)
                if was_empty or not is_empty:
                    return file
                file.close()
                was_empty = True
        raise ReportError("Aircall gives no address where the file can be fetched.")


def days_between(first: date, last: date) -> list[date]:
    """Return all days from one to another, both inclusive."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def day_of(second: float, timezone: str) -> date:
    """Return the day of a UNIX time in a time zone."""
    return datetime.fromtimestamp(second, ZoneInfo(timezone)).date()
