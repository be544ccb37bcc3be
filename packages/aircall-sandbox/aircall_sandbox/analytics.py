"""Report exports: requested by POST, made in the background, downloaded from storage (facts: Reports).

Aircall does not document the columns of its reports; these are made up.
"""

from __future__ import annotations

import csv
import io
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aircall_sandbox.messages import FORBIDDEN, NO_SUCH_PATH, ApiResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aircall_sandbox.templates import Record
    from aircall_sandbox.world import World

EXPORT_PATH = "/v1/analytics/report/export"
FILE_PATH = "/exports/"
ADDRESS_SECONDS = 3600.0
"""Lifetime of a file's URL."""
REPORTS = {
    "CALLS_HISTORY",
    "USER_STATUS_HISTORY",
    "USER_ACTIVITY_AVAILABILITY_BREAKDOWN",
    "USER_ACTIVITY_AVERAGE_AFTER_CALL_WORK_TIME_PER_USER",
    "USER_ACTIVITY_AVERAGE_INBOUND_IN_CALL_TIME_PER_USER",
    "USER_ACTIVITY_AVERAGE_OUTBOUND_IN_CALL_TIME_PER_USER",
    "USER_ACTIVITY_CALL_VOLUME_AND_TIME",
    "USER_ACTIVITY_CALLS_HANDLED",
    "USER_ACTIVITY_PERCENTAGE_OF_TIME_IN_EACH_STATUS",
    "USER_ACTIVITY_RINGING_ATTEMPTS_PER_USER",
    "USER_ACTIVITY_WORK_TIME_AND_AVAILABILITY",
    "USER_ACTIVITY_RINGING_ATTEMPTS",
}


@dataclass
class ExportJob:
    """An export of a report for some days."""

    identity: str
    report: str
    first: date
    last: date
    timezone: str
    created_at: float
    """UNIX seconds."""
    name: str

    @property
    def keys(self) -> tuple[str, str]:
        """Its keys in the mappings of `Analytics`: the report with its first day, and the report alone."""
        return f"{self.report} {self.first}", self.report


@dataclass
class Analytics:
    """Makes reports about a company. Attributes may be changed at any time.

    Keys of mappings are a report with its first day (`CALLS_HISTORY 2026-05-20`), or a report alone.
    """

    world: World
    root: Callable[[], str]
    """Returns the root URL of the files."""
    plan: bool = True
    """Whether the company has Analytics+."""
    seconds: float = 10.0
    """Time to make a report."""
    slow: dict[str, float] = field(default_factory=dict)
    """Seconds for reports that take a different time."""
    failing: dict[str, str] = field(default_factory=dict)
    """Error messages by reports that fail."""
    zipped: bool = False
    kept_seconds: float = 86_400.0
    """Seconds for which Aircall keeps an export."""
    rows: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Rows in place of made-up ones."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents in place of CSV."""
    exports: dict[str, ExportJob] = field(default_factory=dict)
    """All requested exports, in order."""
    _addresses: dict[str, tuple[ExportJob, float]] = field(default_factory=dict)

    def respond(self, method: str, path: str, body: Any, now: float) -> ApiResponse:
        """Respond to an authorized request for an export."""
        if not self.plan:
            return FORBIDDEN
        if method == "POST" and path == EXPORT_PATH:
            return self._begin(body, now)
        identity = path.removeprefix(f"{EXPORT_PATH}/")
        if method != "GET" or "/" in identity:
            return NO_SUCH_PATH
        export = self.exports.get(identity)
        if export is None or now >= export.created_at + self.kept_seconds:
            return ApiResponse(404, {"error": "Not Found", "troubleshoot": "No export has this id"})
        return ApiResponse(200, self._status(export, now))

    def file(self, path: str, authorization: str | None, now: float) -> ApiResponse:
        """Respond to a request for a file as storage does: the URL is the credential; others are refused."""
        if authorization is not None:
            return ApiResponse(400, b"<Error><Code>InvalidArgument</Code></Error>")
        export, until = self._addresses.get(path.removeprefix(FILE_PATH), (None, 0.0))
        if export is None or now >= until:
            return ApiResponse(403, b"<Error><Code>AccessDenied</Code></Error>")
        return ApiResponse(200, self._content(export))

    def _begin(self, body: Any, now: float) -> ApiResponse:
        try:
            export = self._parse(body["input"], now)
        except (KeyError, TypeError, ValueError, OSError) as error:
            return ApiResponse(400, {"error": "Bad Request", "troubleshoot": f"Invalid input: {error}"})
        self.exports[export.identity] = export
        return ApiResponse(201, self._status(export, now))

    def _parse(self, fields: Mapping[str, Any], now: float) -> ExportJob:
        filters, options = fields["filter"], fields.get("exportOptions", {})
        dates, timezone = filters["dateFilter"], filters["timezone"]
        ZoneInfo(timezone)
        if fields["reportName"] not in REPORTS or options.get("format", "CSV") != "CSV":
            message = "reportName or format"
            raise ValueError(message)
        first, last = (date.fromisoformat(dates["absoluteRange"][name]) for name in ("fromDate", "toDate"))
        if first > last:
            message = "fromDate is after toDate"
            raise ValueError(message)
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{fields['reportName']} {first} {len(self.exports)}"))
        name = options.get("exportName", f"{fields['reportName'].lower()}-{first}")
        return ExportJob(identity, fields["reportName"], first, last, timezone, now, name)

    def _status(self, export: ExportJob, now: float) -> Record:
        response: Record = {"exportID": export.identity, "createdAt": _time(export.created_at), "status": "PENDING"}
        if now < export.created_at + _of(self.slow, export, self.seconds):
            return response
        reason = _of(self.failing, export, None)
        if reason is not None:
            return response | {"status": "FAILED", "errorMessage": reason}
        until = now + ADDRESS_SECONDS
        address = f"{export.identity}-{len(self._addresses)}-of-the-sandbox.{'zip' if self.zipped else 'csv'}"
        self._addresses[address] = (export, until)
        return response | {
            "status": "COMPLETED",
            "format": "CSV",
            "exportName": export.name,
            "isZipCompressed": self.zipped,
            "downloadUrl": f"{self.root()}{FILE_PATH}{address}",
            "downloadUrlExpiresAt": _time(until),
        }

    def _content(self, export: ExportJob) -> bytes:
        content: bytes | None = _of(self.files, export, None)
        if content is None:
            rows = _of(self.rows, export, None)
            content = _csv(list(self._rows(export)) if rows is None else rows)
        if not self.zipped:
            return content
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{export.name}.csv", content)
        return packed.getvalue()

    def _rows(self, export: ExportJob) -> Iterator[dict[str, str]]:
        """Make up rows: one per user and day."""
        for day in range((export.last - export.first).days + 1):
            for user in self.world.kinds["users"].values():
                yield {
                    "Date": str(export.first + timedelta(days=day)),
                    "User ID": str(user["id"]),
                    "User": user["name"],
                    "Value": str((user["id"] + day) % 97),
                }


def _of(mapping: Mapping[str, Any], export: ExportJob, default: Any) -> Any:
    return next((mapping[key] for key in export.keys if key in mapping), default)


def _csv(rows: list[dict[str, str]]) -> bytes:
    """Return rows as CSV with a header; without rows, an empty file."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()


def _time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
