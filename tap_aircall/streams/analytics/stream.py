"""Reports of Aircall's analytics: whole days, each exported as CSV (facts: Reports)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from typing_extensions import override

from tap_aircall.errors import ReportError, StreamUnavailableError
from tap_aircall.streams.analytics.exports import Reports
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from tap_aircall.reading.pages import Record

REREAD_DAYS = 3
"""Last days to read again, since Aircall still changes them."""
HISTORY = timedelta(days=183)
"""Days to read without a start_date."""
REPORTS_KEY = "reports"


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

    @override
    def pages(self) -> Generator[list[Record]]:
        self._positions = {} if self.is_full_table else self.parse_state(self.stream_state)
        wanted = self.settings.analytics_reports
        if not wanted:
            raise StreamUnavailableError("is left out: the setting analytics_reports is empty.")
        reports, failures = self._reports(), {}
        is_test = self.ABORT_AT_RECORD_COUNT is not None  # a connection test must be cheap
        for report in wanted[:1] if is_test else wanted:
            days = self._days(report)
            for day, rows in reports.read(report, days[-1:] if is_test else days):
                try:
                    yield from self._records(report, day, rows)
                except ReportError as reason:
                    failures[report] = (day, str(reason))
                    break
        if failures:
            lines = " ".join(f"{report} of {day}: {reason}" for report, (day, reason) in failures.items())
            raise ReportError(f"some days were not read; the next run starts with them. {lines}")

    @override
    def sample(self) -> list[Record]:
        """Request one report without waiting for it."""
        if not self.settings.analytics_reports:
            raise ReportError("Setting analytics_reports: missing; name reports such as CALLS_HISTORY.")
        self._positions = {}
        for report in self.settings.analytics_reports[:1]:
            for day in self._days(report)[-1:]:
                self._reports().ask(report, day)
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> dict[str, Position]:
        return msgspec.convert(state.get(REPORTS_KEY, {}), dict[str, Position], str_keys=True)

    def _reports(self) -> Reports:
        return Reports(self.client, self.clock, timezone=self.settings.analytics_timezone)

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
