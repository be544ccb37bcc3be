"""Aircall's report exports: requested, polled, downloaded, unzipped and parsed (facts: Reports).

Aircall makes a report in seconds to minutes, so several days are requested at the same time.
"""

from __future__ import annotations

import logging
import re
from typing import IO, TYPE_CHECKING, Any, NamedTuple

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
    from datetime import date

    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import Clock

EXPORT_PATH = "/v1/analytics/report/export"
AHEAD = 10
"""Days of a report to request at the same time."""
FIRST_POLL_SECONDS = 15.0
POLL_SECONDS = 60.0
EXPORT_SECONDS = 30 * 60.0
"""Time limit for Aircall to make an export."""
REQUESTS_PER_EXPORT = 3
"""Maximum number of requests for an export that Aircall forgets."""
DOWNLOADS_PER_EXPORT = 3
"""Maximum number of download URLs to try per export."""
EXPORT_LOG_SECONDS = 60.0
ADDRESS = re.compile(r"[^\s\"']+://[^\s\"']*")
"""A URL in Aircall's message: it may give access to a file, so it is not logged."""

logger = logging.getLogger(__name__)


class Export(NamedTuple):
    """An export, as Aircall describes it."""

    identity: str
    status: str
    zipped: bool
    url: str | None
    reason: str

    @classmethod
    def parse(cls, payload: Any) -> Export:
        """Parse a decoded response.

        Raises:
            ResponseError: If it has no id or no status.
        """
        fields = payload if isinstance(payload, dict) else {}
        identity, status, url = fields.get("exportID"), fields.get("status"), fields.get("downloadUrl")
        if not isinstance(identity, str) or not identity.replace("-", "").isalnum() or not isinstance(status, str):
            raise ResponseError("Aircall responded without a usable 'exportID' and 'status'.")
        return cls(
            identity=identity,
            status=status,
            zipped=fields.get("isZipCompressed") is True,
            url=url if isinstance(url, str) else None,
            reason=ADDRESS.sub("(an address)", one_line(str(fields.get("errorMessage") or "no reason given"))),
        )


class Reports:
    """Reads reports day by day.

    Args:
        client: Sends the requests.
        clock: Times the polling.
        timezone: IANA name of the time zone of days.
    """

    def __init__(self, client: AircallClient, clock: Clock, *, timezone: str) -> None:
        self._client = client
        self._clock = clock
        self._timezone = timezone
        self._accepted = False
        self._next_line = clock.monotonic()

    def read(self, report: str, days: Sequence[date]) -> Iterator[tuple[date, Iterator[dict[str, str]]]]:
        """Export days of a report.

        Yields:
            A day and its rows, which must be consumed before the next day. They raise a `ReportError` if the day cannot
            be read.

        Raises:
            StreamUnavailableError: If this account has no reports.
            AircallError: If a request fails.
        """
        for first in range(0, len(days), AHEAD):
            asked = [
                (day, self._clock.monotonic(), self._try_to_ask(report, day)) for day in days[first : first + AHEAD]
            ]
            for day, moment, export in asked:
                yield day, self._rows(report, day, moment, export)

    def ask(self, report: str, day: date) -> Export:
        """Request an export without waiting for it.

        Raises:
            StreamUnavailableError: If this account has no reports.
            ReportError: If Aircall does not export this day.
            AircallError: If the request fails.
        """
        window = {"fromDate": day.isoformat(), "toDate": day.isoformat()}
        wish = {
            "reportName": report,
            "filter": {"dateFilter": {"absoluteRange": window}, "timezone": self._timezone},
            "exportOptions": {"format": "CSV"},
        }
        try:
            export = self._client.post(EXPORT_PATH, {"input": wish}, Export.parse)
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
            return error  # raised when its turn comes, so that the days before are read

    def _rows(self, report: str, day: date, asked_at: float, export: Export | ReportError) -> Iterator[dict[str, str]]:
        """Wait for an export, download it and parse it; raise a `ReportError` if that fails."""
        if isinstance(export, ReportError):
            raise export
        export = self._wait_for(report, day, asked_at, export)
        try:
            with self._download(export) as file:
                yield from parse(file, zipped=export.zipped)
        except (RejectedRequestError, ResponseError, UnavailableError) as error:
            raise ReportError(str(error)) from error

    def _wait_for(self, report: str, day: date, asked_at: float, export: Export) -> Export:
        """Poll until an export is ready; request it again if Aircall forgets it."""
        due, requests = asked_at + FIRST_POLL_SECONDS, 1
        while export.status not in {"COMPLETED", "FAILED"}:  # PENDING, or an unknown status
            now = self._clock.monotonic()
            if now - asked_at >= EXPORT_SECONDS:
                raise ReportError(f"Aircall did not finish it within {EXPORT_SECONDS / 60:.0f} minutes.")
            if due > now >= self._next_line:
                self._next_line = now + EXPORT_LOG_SECONDS
                logger.info("Waiting for Aircall to make %s of %s.", report, day)
            self._client.limiter.wait(max(0.0, due - now))
            try:
                export = self._poll(export)
            except NotFoundError as error:
                requests += 1
                if requests > REQUESTS_PER_EXPORT:
                    raise ReportError("Aircall forgot the export before it was ready.") from error
                export = self.ask(report, day)
            due = self._clock.monotonic() + POLL_SECONDS
        if export.status == "FAILED":
            raise ReportError(f"Aircall says: {export.reason}")
        return export

    def _poll(self, export: Export) -> Export:
        try:
            return self._client.get(f"{EXPORT_PATH}/{export.identity}", {}, Export.parse)
        except (ForbiddenError, RejectedRequestError) as error:
            raise ReportError("Aircall refuses to show the export.") from error

    def _download(self, export: Export) -> IO[bytes]:
        """Download the file, with a new URL if one has expired; an empty file is requested twice."""
        was_empty = False
        for _ in range(DOWNLOADS_PER_EXPORT):
            if export.url is None:
                break
            try:
                file = self._client.downloader.fetch(export.url, LARGEST_FILE)
            except ExpiredError:
                try:
                    export = self._poll(export)
                except NotFoundError:
                    break
            else:
                is_empty = not file.read(1)
                file.seek(0)
                if was_empty or not is_empty:
                    return file
                file.close()
                was_empty = True
        raise ReportError("Aircall gives no working download URL for the file.")
