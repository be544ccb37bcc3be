"""A trace of requests and responses without values, for people who must not share their data.

A trace has a line of JSON for each request. It shows the status of the response, the names and kinds of its fields, the
counts that describe a list, and the order of its records, but no value of any field:

- ids are left out, in responses and paths; records are numbered in the order in which they first appear;
- times are in seconds from the start of the trace, and keep only their day and order: distances up to three seconds
  stay exact, since the order and bounds of a list depend on them, and all others within a day shrink to four seconds;
- a name that does not look like that of a field, such as a phone number, becomes `OTHER`.

The sandbox can replay a trace.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_aircall.errors import AircallError
from tap_aircall.http import decoding
from tap_aircall.http.client import RESET_IN_MILLISECONDS_FROM
from tap_aircall.reading.clock import seconds_of
from tap_aircall.reading.times import DAY_SECONDS, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tap_aircall.http.client import Response
    from tap_aircall.reading.clock import Clock

FORMAT = 1
TRACE_FILE = "aircall-verify.jsonl"
LARGE = 253_402_300_800
"""An integer from here on is not a time in seconds: it would be the year 10000."""
ABSENT = "absent"
"""Placeholder in a list of ids or times for a record without the field."""
OTHER = "(other)"
"""Stands for the name of a field that might be data."""
NEAR_SECONDS = 3
"""Distances up to this stay exact; order and bounds are exact to two seconds."""
MOST_FIELDS = 1_000
"""Limit of fields shown for a response."""
DEEPEST_SHOWN = 20
ID_KEYS = ("id", "webhook_id")
"""Fields that may identify a record; the first present is used."""
ID_KINDS = {"integer", "large integer", "integer in text", "text"}
"""Kinds of values that can be ids."""
TIME_KINDS = {"integer", "integer in text", "time"}
"""Kinds of values that can be times."""
TIME_KEYS = ("started_at", "created_at", "updated_at")
"""Times that order lists."""
COUNTS = {
    *(("meta", name) for name in ("count", "total", "current_page", "per_page")),
    *(("company", name) for name in ("users_count", "numbers_count")),
    ("pageInfo", "totalCount"),
}
"""Counts that describe a list; shown as they are."""
BOUNDS = {"from", "to"}
PLAIN = {"page", "per_page", "order", "order_by"}
"""Query parameters shown as they are."""
LIMITS = ("X-AircallApi-Limit", "X-AircallApi-Remaining", "X-AircallApi-Reset", "Retry-After")
_NAME = re.compile(r"(?!\w*\d{5})[A-Za-z_]\w{0,39}", re.ASCII)
_WORD = re.compile(r"v\d|[a-z_]+", re.ASCII)
_DIGITS = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,9}\.\d{1,9}", re.ASCII)
_PATH = re.compile(r"/v\d/[^\s',;]+")


class Exchange(NamedTuple):
    """A request and the description of its response; times are still UNIX seconds."""

    method: str
    path: str
    query: dict[str, Any]
    seconds: float
    shown: dict[str, Any]
    times: dict[str, list[Any]]
    """The times of records by path, or the kind of a value that is not a time."""


class Trace:
    """Records requests and responses; it starts now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = int(clock.time())
        self._exchanges: list[Exchange] = []
        self._ids: dict[tuple[str, Any], int] = {}

    def note(
        self, method: str, path: str, params: Mapping[str, str], response: Response | None, seconds: float
    ) -> None:
        """Record one request, with its response if there was one, and how long it took."""
        shown: dict[str, Any] = {"status": None}
        times: dict[str, list[Any]] = {}
        if response is not None:
            shown = {"status": response.status, **self._headers(response.headers)}
            try:
                payload = decoding.decode(response.body)
            except (ValueError, RecursionError, AircallError):
                shown["body"] = "not JSON"
            else:
                shown["fields"] = fields = _fields(payload)
                counts = {(outer, name): payload[outer][name] for outer, name in COUNTS if f"{outer}.{name}" in fields}
                shown["counts"] = {".".join(path): each for path, each in sorted(counts.items()) if type(each) is int}
                shown["ids"] = {}
                self._note_records(payload, shown["ids"], times)
        self._exchanges.append(Exchange(method, template(path), shown_query(params), round(seconds, 1), shown, times))

    def lines(self, tap: str) -> list[str]:
        """Return the lines of the trace; the first one names the tap and its version."""
        bounds = [each.query.get(name) for each in self._exchanges for name in BOUNDS]
        times = [time for each in self._exchanges for listed in each.times.values() for time in listed]
        near = squeezed(time - self._began for time in [*bounds, *times] if type(time) is int)

        def coarse(time: Any) -> Any:
            return near[time - self._began] if type(time) is int else time

        lines: list[dict[str, Any]] = [{"trace": FORMAT, "made_by": tap}]
        for number, each in enumerate(self._exchanges, start=1):
            query = {name: coarse(value) if name in BOUNDS else value for name, value in each.query.items()}
            shown = each.shown
            if each.times:
                shown = shown | {"times": {path: [*map(coarse, listed)] for path, listed in each.times.items()}}
            asked = {"request": number, "method": each.method, "path": each.path, "query": query}
            lines.append({**asked, "seconds": each.seconds, **shown})
        return [json.dumps(line) for line in lines]

    def save(self, folder: Path, tap: str) -> Path:
        """Write the trace to a new file, readable only by its owner; never overwrites a file.

        Raises:
            OSError: If the file cannot be written.
        """
        text = "".join(f"{line}\n" for line in self.lines(tap))
        stem, _, ending = TRACE_FILE.partition(".")
        for number in itertools.count(1):
            path = folder / (TRACE_FILE if number == 1 else f"{stem}-{number}.{ending}")
            with suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                return path
        raise AssertionError

    def _headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return how far the server's clock is ahead (seconds), and its rate limit."""
        now = self._clock.time()
        date = seconds_of(headers.get("Date"))
        limits: dict[str, Any] = {}
        for name in LIMITS:
            if (text := headers.get(name)) is None:
                continue
            limits[name] = int(text) if _DIGITS.fullmatch(text) else kind_of(text)
            if name == "X-AircallApi-Reset" and type(limits[name]) is int:
                scale, unit = (1000, "ms") if limits[name] >= RESET_IN_MILLISECONDS_FROM else (1, "s")
                limits[name] = f"{limits[name] - int(now * scale)} {unit}"
        return {"date": None if date is None else int(date) - int(now), "limits": limits}

    def _note_records(self, payload: Any, ids: dict[str, list[Any]], times: dict[str, list[Any]]) -> None:
        """Record the order of the records in all lists of a response."""
        for name, listed in payload.items() if isinstance(payload, dict) else ():
            records = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
            present = {key for record in records for key in record}
            id_key = [key for key in ID_KEYS if key in present][:1]
            for key in [*id_key, *(key for key in TIME_KEYS if key in present)]:
                shown, possible = (ids, ID_KINDS) if key in ID_KEYS else (times, TIME_KINDS)
                kinds = (kind_of(record[key]) for record in records if key in record)
                kind = next((kind for kind in kinds if kind in possible), None)
                path = f"{shown_name(name)}[].{key}"
                shown[path] = [self._shown(name, key, record, kind) for record in records]

    def _shown(self, name: str, key: str, record: dict[str, Any], kind: str | None) -> Any:
        """Return the number of a record for its id, or its time in UNIX seconds.

        For a value of another kind than the list's ids or times, return its kind.
        """
        if key not in record:
            return ABSENT
        value = record[key]
        if kind_of(value) != kind:
            return kind_of(value)
        return self._ids.setdefault((name, value), len(self._ids) + 1) if key in ID_KEYS else _second(value)


def kind_of(value: Any) -> str:
    """Return the kind of a decoded value, precise enough to tell whether it fits a schema."""
    match value:
        case None:
            kind = "null"
        case bool():
            kind = "boolean"
        case int() if not -(2**63) <= value < 2**63:
            kind = "integer beyond 64 bits"
        case int():
            kind = "negative integer" if value < 0 else "large integer" if value >= LARGE else "integer"
        case float():
            kind = "whole number" if value.is_integer() else "number"
        case "":
            kind = "empty text"
        case str() if _DIGITS.fullmatch(value):
            kind = "integer in text"
        case str() if _DECIMAL.fullmatch(value):
            kind = "number in text"
        case str():
            kind = "text" if _second(value) is None else "time"
        case _:
            kind = "object" if isinstance(value, dict) else "array"
    return kind


def shown_name(name: str) -> str:
    """Return the name of a field, or `OTHER` if it might be data: a phone number, an id, an address."""
    return name if _NAME.fullmatch(name) else OTHER


def template(text: str) -> str:
    """Replace each part of a path, alone or in a sentence, that might be an id by `{id}`."""
    return _PATH.sub(
        lambda match: "/".join(
            part if _WORD.fullmatch(part.rstrip(".:")) or not part else "{id}" for part in match[0].split("/")
        ),
        text,
    )


def shown_query(params: Mapping[str, str]) -> dict[str, Any]:
    """Return query parameters without data; `from` and `to` become integers."""
    shown: dict[str, Any] = {}
    for name, value in params.items():
        if name in BOUNDS and _DIGITS.fullmatch(value):
            shown[name] = int(value)
        else:
            shown[name] = value if name in PLAIN or value in {"true", "false"} else kind_of(value)
    return shown


def squeezed(distances: Iterable[int]) -> dict[int, int]:
    """Coarsen distances in seconds, but keep the order and bounds of lists. Idempotent.

    Returns:
        The distance to show for each: on the same day, in the same order, and as far from its neighbour if that is
        near.
    """
    shown = {0: 0}
    everything = sorted(distances, key=abs)
    for sign in (1, -1):
        before = 0
        for distance in (abs(each) for each in everything if each * sign > 0):
            gap = distance - before
            last = abs(shown[before * sign])
            far = max(last + NEAR_SECONDS + 1, distance // DAY_SECONDS * DAY_SECONDS)
            shown[distance * sign] = sign * (last + gap if gap <= NEAR_SECONDS else far)
            before = distance
    return shown


def _fields(payload: Any) -> dict[str, dict[str, int]]:
    """Count the kinds of all values in a response by path, such as `calls[].user.name`."""
    found: dict[str, Counter[str]] = {}

    def look(value: Any, path: str, depth: int) -> None:
        if path not in found and len(found) >= MOST_FIELDS:
            return
        found.setdefault(path, Counter())[kind_of(value)] += 1
        if depth == DEEPEST_SHOWN:
            return
        if isinstance(value, dict):
            for name, inner in value.items():
                look(inner, f"{path}.{shown_name(name)}".removeprefix("."), depth + 1)
        elif isinstance(value, list):
            for inner in value:
                look(inner, f"{path}[]", depth + 1)

    look(payload, "", 0)
    return {path: dict(kinds) for path, kinds in found.items()}


def _second(value: Any) -> int | None:
    """Return a time in UNIX seconds; None if it is not one."""
    try:
        return to_seconds(value)
    except ValueError:
        return None
