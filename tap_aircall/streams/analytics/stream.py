"""Reports of Aircall's analytics: whole days, each exported as CSV (facts: Reports)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from typing_extensions import override

from tap_aircall.errors import ReportError, StreamUnavailableError
from tap_aircall.streams.analytics.exports import Reports, day_of, days_between
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from tap_aircall.reading.pages import Record

REREAD_DAYS = 3
"""How many of the last days are read once more, since Aircall still changes them."""
HISTORY = timedelta(days=183)
"""How far back to begin without a start_date."""
REPORTS = "reports"


class Position(msgspec.Struct, frozen=True):
    """How far one report is; so it stands in the state."""

    through: date
    """The last day that was read."""
    rows: dict[date, Annotated[int, msgspec.Meta(ge=0)]]
    """How many rows each of the days has that are to be read again."""

    def after(self, day: date, rows: int) -> Position:
        """Return the position after one more day."""
        through = max(self.through, day)
        oldest = through - timedelta(days=REREAD_DAYS - 1)
        kept = {**self.rows, day: rows}
        return Position(through, {day: count for day, count in sorted(kept.items()) if day >= oldest})


class AnalyticsReports(AircallStream):
    """The reports that the setting `analytics_reports` names, a record for each row.

    The columns differ between reports and are not documented, so that a row is one open object. Its number is a part of
    the key: a day that is read again replaces its rows, and where it has fewer of them than before, the surplus ones
    become null.
    """

    name = "analytics_reports"
    cost = "two per report and day, and one a minute until Aircall has made it"
    primary_keys = ("report_name", "report_date", "row_number")
    replication_key = "report_date"
    state_keys = (REPORTS,)
    selected_by_default = False

    @override
    def pages(self) -> Generator[list[Record]]:
        self._positions = {} if self.is_full_table else self.parse_state(self.stream_state)
        wanted = self.settings.analytics_reports
        if not wanted:
            message = "is left out: the setting analytics_reports names no report."
            raise StreamUnavailableError(message)
        reports, failures = self._reports(), {}
        is_test = self.ABORT_AT_RECORD_COUNT is not None  # a test of the connection is to cost little
        for report in wanted[:1] if is_test else wanted:
            days = self._days(report)
            for day, rows in reports.read(report, days[-1:] if is_test else days):
                try:
                    yield from self._records(report, day, rows)
                except ReportError as reason:
                    failures[report] = (day, str(reason))
                    break
        if failures:
            raise self._failed(failures)

    @override
    def sample(self) -> list[Record]:
        """Ask for one report, and do not wait until Aircall has made it."""
        if not self.settings.analytics_reports:
            message = "Setting analytics_reports: missing; name reports such as CALLS_HISTORY."
            raise ReportError(message)
        self._positions = {}
        for report in self.settings.analytics_reports[:1]:
            for day in self._days(report)[-1:]:
                self._reports().ask(report, day)
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> dict[str, Position]:
        return msgspec.convert(state.get(REPORTS, {}), dict[str, Position], str_keys=True)

    def _reports(self) -> Reports:
        return Reports(self.client, self.clock, timezone=self.settings.analytics_timezone)

    def _days(self, report: str) -> list[date]:
        """Return the days of a report to read: whole ones only, so that the last is yesterday."""
        settings = self.settings
        now = self.aircall_clock.reached()
        end = now if settings.end is None else min(now, settings.end + 1)
        last = day_of(end, settings.analytics_timezone) - timedelta(days=1)
        if settings.start is None:
            first = day_of(now, settings.analytics_timezone) - HISTORY
        else:
            first = day_of(settings.start, settings.analytics_timezone)
        if report in self._positions:
            first = max(first, self._positions[report].through - timedelta(days=REREAD_DAYS - 1))
        return days_between(first, last)

    def _records(self, report: str, day: date, rows: Iterator[Record]) -> Iterator[list[Record]]:
        """Emit the rows of a day, and note that they were."""
        count = 0
        for count, row in enumerate(rows, start=1):
            yield [self._record(report, day, count, row)]
        before = self._positions.get(report, Position(day, {}))
        for number in range(count + 1, before.rows.get(day, 0) + 1):
            yield [self._record(report, day, number, None)]
        self._positions[report] = before.after(day, count)
        if not self.is_full_table:
            self.write_state({REPORTS: msgspec.to_builtins(self._positions, str_keys=True)})

    def _record(self, report: str, day: date, number: int, row: Record | None) -> Record:
        return {"report_name": report, "report_date": day.isoformat(), "row_number": number, "row": row}

    def _failed(self, failures: Mapping[str, tuple[date, str]]) -> ReportError:
        """Build the line that names the reports that failed."""
        lines = " ".join(f"{report} of {day}: {reason}" for report, (day, reason) in failures.items())
        return ReportError(f"not all is read; the next run begins with what is missing. {lines}")
