"""Reports of Aircall's analytics: whole days, each exported as CSV (facts: Reports).

Aircall makes a report in seconds to minutes, so several days are requested at the same time.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from typing_extensions import override

from tap_aircall.errors import (
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
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from tap_aircall.reading.pages import Record

REREAD_DAYS = 3
"""Last days to read again, since Aircall still changes them."""
HISTORY = timedelta(days=183)
"""Days to read without a start_date."""
REPORTS_KEY = "reports"
EXPORT_PATH = "/v1/analytics/report/export"
AHEAD = 10
"""Days of a report to request at the same time."""
FIRST_POLL_SECONDS = 15.0
POLL_SECONDS = 60.0
EXPORT_SECONDS = 30 * 60.0
"""Time limit for Aircall to make an export."""
ADDRESS = re.compile(r"[^\s\"']+://[^\s\"']*")
"""A URL in Aircall's message: it may give access to a file, so it is not logged."""


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


class Position(msgspec.Struct, frozen=True):
    """Position of one report in the state."""

    through: date
    """The last day read."""
    rows: dict[date, Annotated[int, msgspec.Meta(ge=0)]]
    """Number of rows of each day that will be read again."""

    def after(self, day: date, rows: int) -> Position:
        """Return the position after one more day."""
        through = max(self.through, day)
        oldest = through - timedelta(days=REREAD_DAYS - 1)
        kept = {**self.rows, day: rows}
        return Position(through, {day: count for day, count in sorted(kept.items()) if day >= oldest})


class AnalyticsReports(AircallStream):
    """The reports in the setting `analytics_reports`, one record per row.

    A row is an object, because columns are undocumented and differ between reports. The key has the row number: a day
    that is read again replaces its rows, and surplus ones become null.
    """

    name = "analytics_reports"
    cost = "two per report and day, and one a minute until Aircall has made it"
    primary_keys = ("report_name", "report_date", "row_number")
    replication_key = "report_date"
    state_keys = (REPORTS_KEY,)
    selected_by_default = False

    _accepted = False
    """Whether Aircall has accepted any request of this run."""

    @override
    def pages(self) -> Generator[list[Record]]:
        self._positions = {} if self.is_full_table else self.parse_state(self.stream_state)
        wanted = self.settings.analytics_reports
        if not wanted:
            raise StreamUnavailableError("is left out: the setting analytics_reports is empty.")
        failures = []
        for report in wanted:
            try:
                yield from self._read(report)
            except ReportError as reason:
                failures.append(str(reason))
        if failures:
            raise ReportError(f"some days were not read; the next run starts with them. {' '.join(failures)}")

    @override
    def sample(self) -> list[Record]:
        """Request one report without waiting for it."""
        if not self.settings.analytics_reports:
            raise ReportError("Setting analytics_reports: missing; name reports such as CALLS_HISTORY.")
        self._positions = {}
        for report in self.settings.analytics_reports[:1]:
            for day in self._days(report)[-1:]:
                self._ask(report, day)
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> dict[str, Position]:
        return msgspec.convert(state.get(REPORTS_KEY, {}), dict[str, Position], str_keys=True)

    def _days(self, report: str) -> list[date]:
        """Return the days to read; the last is yesterday, the last complete day."""
        settings, now = self.settings, self.aircall_clock.reached()
        zone = ZoneInfo(settings.analytics_timezone)
        end = now if settings.end is None else min(now, settings.end + 1)
        last = datetime.fromtimestamp(end, zone).date() - timedelta(days=1)
        first = datetime.fromtimestamp(now if settings.start is None else settings.start, zone).date()
        if settings.start is None:
            first -= HISTORY
        if report in self._positions:
            first = max(first, self._positions[report].through - timedelta(days=REREAD_DAYS - 1))
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def _read(self, report: str) -> Iterator[list[Record]]:
        """Export the days of a report, and emit their rows; raise a `ReportError` at the first day that fails."""
        days = self._days(report)
        for first in range(0, len(days), AHEAD):
            some = days[first : first + AHEAD]
            asked = [(day, self.clock.monotonic(), self._try_to_ask(report, day)) for day in some]
            for day, asked_at, export in asked:
                what = f"{report} of {day}"
                try:
                    yield from self._records(report, day, self._rows(what, export, asked_at))
                except ReportError as reason:
                    raise ReportError(f"{what}: {reason}") from reason

    def _ask(self, report: str, day: date) -> Export:
        """Request an export without waiting for it.

        Raises:
            StreamUnavailableError: If this account has no reports.
            ReportError: If Aircall does not export this day.
            AircallError: If the request fails.
        """
        window = {"fromDate": day.isoformat(), "toDate": day.isoformat()}
        wish = {
            "reportName": report,
            "filter": {"dateFilter": {"absoluteRange": window}, "timezone": self.settings.analytics_timezone},
            "exportOptions": {"format": "CSV"},
        }
        try:
            export = self.client.post(EXPORT_PATH, {"input": wish}, Export.parse)
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
            return self._ask(report, day)
        except ReportError as error:
            return error  # raised when its turn comes, so that the days before are read

    def _rows(self, what: str, export: Export | ReportError, asked_at: float) -> Iterator[dict[str, str]]:
        """Wait for an export, download it and parse it; raise a `ReportError` if that fails."""
        if isinstance(export, ReportError):
            raise export
        export = self._finished(what, export, asked_at)
        try:
            with self._download(export) as file:
                yield from parse(file, zipped=export.zipped)
        except (RejectedRequestError, ResponseError, UnavailableError) as error:
            raise ReportError(str(error)) from error

    def _finished(self, what: str, export: Export, asked_at: float) -> Export:
        """Poll an export until Aircall has made it; its URL is new then."""
        due = asked_at + (0 if export.status == "COMPLETED" else FIRST_POLL_SECONDS)
        while True:
            self.client.limiter.wait(max(0.0, due - self.clock.monotonic()))
            try:
                export = self.client.get(f"{EXPORT_PATH}/{export.identity}", {}, Export.parse)
            except (ForbiddenError, NotFoundError, RejectedRequestError) as error:
                raise ReportError("Aircall no longer shows the export.") from error
            if export.status == "COMPLETED":
                return export
            if export.status == "FAILED":
                raise ReportError(f"Aircall says: {export.reason}")
            now = self.clock.monotonic()
            if now - asked_at >= EXPORT_SECONDS:
                raise ReportError(f"Aircall did not finish it within {EXPORT_SECONDS / 60:.0f} minutes.")
            self.logger.info("Waiting for Aircall to make %s.", what)
            due = now + POLL_SECONDS

    def _download(self, export: Export) -> IO[bytes]:
        """Download the file; an empty one twice, in case that is a mistake."""
        if export.url is None:
            raise ReportError("Aircall gives no download URL for the file.")
        file = self.client.downloader.fetch(export.url, LARGEST_FILE)
        if not file.read(1):
            file.close()
            file = self.client.downloader.fetch(export.url, LARGEST_FILE)
        file.seek(0)
        return file

    def _records(self, report: str, day: date, rows: Iterator[Record]) -> Iterator[list[Record]]:
        """Emit the rows of a day, and update the state."""
        count = 0
        for count, row in enumerate(rows, start=1):
            yield [self._record(report, day, count, row)]
        before = self._positions.get(report, Position(day, {}))
        for number in range(count + 1, before.rows.get(day, 0) + 1):
            yield [self._record(report, day, number, None)]
        self._positions[report] = before.after(day, count)
        if not self.is_full_table:
            self.write_state({REPORTS_KEY: msgspec.to_builtins(self._positions, str_keys=True)})

    def _record(self, report: str, day: date, number: int, row: Record | None) -> Record:
        return {"report_name": report, "report_date": day.isoformat(), "row_number": number, "row": row}
