"""Aircall's report exports: asked for some days ahead, polled, fetched, unzipped and parsed (facts: Reports).

Aircall makes a report in seconds to minutes. So a few are in preparation at any time, and whichever is ready is read;
there is never more waiting than for the next poll that is due.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from dataclasses import dataclass, field
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
    from collections.abc import Iterator, Mapping, Sequence

    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import Clock

PATH = "/v1/analytics/report/export"
AHEAD = 10
"""How many exports are in preparation at once."""
BUDGET_SHARE = 0.25
"""At most this part of the requests of a minute may be polls."""
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
            message = "Aircall answered without a usable 'exportID' and 'status'."
            raise ResponseError(message)
        return cls(
            identity=identity,
            status=status,
            zipped=fields.get("isZipCompressed") is True,
            url=url if isinstance(url, str) else None,
            reason=ADDRESS.sub("(an address)", one_line(str(fields.get("errorMessage") or "no reason given"))),
        )


@dataclass
class _Job:
    """One report of one day, on its way."""

    report: str
    day: date
    identity: str
    asked_at: float
    """Monotonic seconds, as is `due`."""
    due: float
    """When to look next whether it is ready."""
    askings: int = 1
    export: Export | None = None
    """What it became; None while it is in preparation."""
    failure: ReportError | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.export is not None or self.failure is not None


@dataclass
class _Queue:
    """The days of one report, in order."""

    days: deque[date]
    """Those to ask for yet."""
    jobs: deque[_Job] = field(default_factory=deque)
    """Those asked for."""

    @property
    def is_stuck(self) -> bool:
        """Whether a day failed, so that no later one can be read."""
        return any(job.failure is not None for job in self.jobs)


class Reports:
    """Reads reports, each day by day, with several exports in preparation at once.

    Args:
        client: Sends the requests.
        clock: Says when to poll.
        timezone: IANA name of the zone in which days begin.
        days: The days to read of each report, in order.
    """

    def __init__(
        self, client: AircallClient, clock: Clock, *, timezone: str, days: Mapping[str, Sequence[date]]
    ) -> None:
        self.failures: dict[str, tuple[date, str]] = {}
        """For each report that could not be read to its end, the first day that is missing, and why."""
        self._client = client
        self._clock = clock
        self._timezone = timezone
        self._ahead = min(AHEAD, max(1, int(client.limiter.requests_per_minute * BUDGET_SHARE)))
        self._queues = {report: _Queue(deque(listed)) for report, listed in days.items() if listed}
        self._accepted = False
        self._next_line = clock.monotonic()

    def ask(self) -> None:
        """Ask for as many exports as may be in preparation, the earliest days first, and wait for none.

        Raises:
            StreamUnavailableError: If this account has no reports.
            AircallError: If Aircall cannot be asked.
        """
        open_queues = {report: queue for report, queue in self._queues.items() if queue.days and not queue.is_stuck}
        free = self._ahead - sum(len(queue.jobs) for queue in self._queues.values())
        share = max(1, self._ahead // max(1, len(self._queues)))  # a slow report does not keep the others waiting
        while free > 0:
            waiting = [item for item in open_queues.items() if len(item[1].jobs) < share and item[1].days]
            if not waiting:
                return
            report, queue = min(waiting, key=lambda item: item[1].days[0])
            queue.jobs.append(self._begin(report, queue.days[0]))
            queue.days.popleft()
            if queue.is_stuck:
                del open_queues[report]
            free -= 1

    def finished(self) -> Iterator[tuple[str, date, Iterator[dict[str, str]]]]:
        """Read the reports to their end.

        Yields:
            A report, a day and its rows. The days of one report come in their order, whichever report is ready. The
            rows must be read to their end, or the report given up, before the next one is taken.

        Raises:
            StreamUnavailableError: If this account has no reports.
            AircallError: If Aircall cannot be asked.
        """
        while True:
            self.ask()
            self._queues = {name: queue for name, queue in self._queues.items() if queue.jobs or queue.days}
            if not self._queues:
                return
            heads = (queue.jobs[0] for queue in self._queues.values() if queue.jobs)
            job = next((job for job in heads if job.is_over), None)
            if job is None:
                self._poll()
            elif job.failure is not None:
                self.give_up(job.report, job.day, job.failure)
            else:
                yield job.report, job.day, self._rows(job)
                if job.report in self._queues:
                    self._queues[job.report].jobs.popleft()

    def give_up(self, report: str, day: date, reason: ReportError) -> None:
        """Read no more of a report, since this day of it is missing."""
        self.failures[report] = (day, str(reason))
        del self._queues[report]

    def _begin(self, report: str, day: date) -> _Job:
        now = self._clock.monotonic()
        job = _Job(report, day, identity="", asked_at=now, due=now)
        self._ask_for(job)
        return job

    def _ask_for(self, job: _Job) -> None:
        window = {"fromDate": job.day.isoformat(), "toDate": job.day.isoformat()}
        wish = {
            "reportName": job.report,
            "filter": {"dateFilter": {"absoluteRange": window}, "timezone": self._timezone},
            "exportOptions": {"format": "CSV"},
        }
        try:
            self._note(job, self._client.post(PATH, {"input": wish}, Export.parse), FIRST_POLL_SECONDS)
        except RejectedRequestError:
            job.failure = ReportError("Aircall refuses to export this day; is start_date too early?")
        except ForbiddenError as error:
            if not self._accepted:
                message = (
                    "is left out: Aircall does not let this account export reports (status 403); they need Analytics+."
                )
                raise StreamUnavailableError(message) from error
            job.failure = ReportError("Aircall does not let this account export it (status 403).")
        else:
            self._accepted = True

    def _poll(self) -> None:
        """Wait until a job is due, and look whether it is ready."""
        pending = [job for queue in self._queues.values() for job in queue.jobs if not job.is_over]
        job = min(pending, key=lambda job: job.due)
        now = self._clock.monotonic()
        if job.due > now >= self._next_line:
            self._next_line = now + LOG_INTERVAL_SECONDS
            logger.info("Waiting for Aircall to make %d reports, the first of %s.", len(pending), job.day)
        self._client.limiter.wait(max(0.0, job.due - now))
        try:
            self._note(job, self._look(job), POLL_SECONDS)
        except ReportError as error:
            job.failure = error
        except NotFoundError:
            job.askings += 1
            if job.askings > ASKINGS:
                job.failure = ReportError("Aircall forgets the export before it is ready.")
            else:
                self._ask_for(job)

    def _look(self, job: _Job) -> Export:
        try:
            return self._client.get(f"{PATH}/{job.identity}", {}, Export.parse)
        except (ForbiddenError, RejectedRequestError) as error:
            message = "Aircall does not show the export."
            raise ReportError(message) from error

    def _note(self, job: _Job, export: Export, patience: float) -> None:
        """Take over what Aircall says about a job, and when to look again."""
        now = self._clock.monotonic()
        job.identity = export.identity
        if export.status == "COMPLETED":
            job.export = export
        elif export.status == "FAILED":
            job.failure = ReportError(f"Aircall says: {export.reason}")
        elif now - job.asked_at >= PATIENCE_SECONDS:
            job.failure = ReportError(f"Aircall has not made it within {PATIENCE_SECONDS / 60:.0f} minutes.")
        else:  # PENDING, or whatever else comes before the end
            job.due = now + patience

    def _rows(self, job: _Job) -> Iterator[dict[str, str]]:
        """Fetch and parse a report.

        Raises:
            ReportError: If that is impossible.
        """
        try:
            with self._fetch(job) as file:
                yield from parse(file, zipped=job.export is not None and job.export.zipped)
        except (RejectedRequestError, ResponseError, UnavailableError) as error:
            raise ReportError(str(error)) from error

    def _fetch(self, job: _Job) -> IO[bytes]:
        """Fetch the file, by another address when one has ended. Only one that is empty twice is taken for empty."""
        was_empty = False
        for _ in range(ADDRESSES):
            if job.export is None or job.export.url is None:
                break
            try:
                file = self._client.download(job.export.url, LARGEST_FILE)
            except ExpiredError:
                try:
                    job.export = self._look(job)
                except NotFoundError:
                    break
            else:
                is_empty = not file.read(1)
                file.seek(0)
                if was_empty or not is_empty:
                    return file
                file.close()
                was_empty = True
        message = "Aircall gives no address where the file can be fetched."
        raise ReportError(message)


def days_between(first: date, last: date) -> list[date]:
    """Return all days from one to another, both inclusive."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def day_of(second: float, timezone: str) -> date:
    """Return the day of a UNIX time in a time zone."""
    return datetime.fromtimestamp(second, ZoneInfo(timezone)).date()
