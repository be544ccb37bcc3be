"""Replays an account from a trace of `tap-aircall --verify`, with made-up values.

A request gets the responses to the same request in the trace, apart from ids and times, one after another, and then the
last one again. The made-up company responds to requests that are not in the trace.
"""

from __future__ import annotations

import email.utils
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from aircall_sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FORMAT = 1
"""Supported version of traces."""
EXAMPLES: Mapping[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 1,
    "negative integer": -1,
    "large integer": 10**12,
    "integer beyond 64 bits": 2**64,
    "whole number": 1.0,
    "number": 0.5,
    "empty text": "",
    "integer in text": "1",
    "number in text": "1.5",
    "time": "2026-01-02T03:04:05Z",
    "text": "text",
    "object": {},
    "array": [],
}
"""An example of each kind of value in a trace."""
OTHER = "(other)"
"""Placeholder in a trace for names that may be data."""
PLAIN = ("page", "per_page", "order", "order_by")
"""Parameters whose values distinguish requests; of others, only the names do."""
BOUNDS = {"from", "to"}
FIRST_ID = 4_100_000_000


@dataclass(kw_only=True)
class Replay(Fault):
    """Responds to the requests of a trace.

    Use it as the first fault of a sandbox, and its `date` as the sandbox's.
    """

    lines: list[dict[str, Any]]
    """Lines of the trace after the first."""
    clock: Callable[[], float]
    """Returns the time in UNIX seconds; the trace starts now."""
    _counts: Counter[str] = field(default_factory=Counter)
    _ahead: float | None = 0

    @classmethod
    def read(cls, path: Path, clock: Callable[[], float]) -> Replay:
        """Read a trace.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a trace.
        """
        first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] or [{}]
        if not isinstance(first, dict) or first.get("trace") != FORMAT:
            message = "not a trace of tap-aircall --verify, or of another version"
            raise ValueError(message)
        return cls(lines=lines, clock=clock)

    @override
    def __post_init__(self) -> None:
        """Index the responses by request."""
        super().__post_init__()
        self._began = int(self.clock())
        self._responses: dict[str, list[dict[str, Any]]] = {}
        for line in self.lines:
            self._responses.setdefault(_key(line["path"], line["query"]), []).append(line)
        self._paths = {
            line["path"]: re.compile(re.escape(line["path"]).replace(r"\{id\}", "[^/]+")) for line in self.lines
        }

    @override
    def hits(self, path: str, query: Mapping[str, str]) -> bool:
        """Advance to the next response to a request; return whether there is one."""
        keys = (_key(known, query) for known in self._paths if self._paths[known].fullmatch(path))
        key = next((key for key in keys if key in self._responses), "")
        responses = self._responses.get(key)
        if responses is None:
            return False
        line = responses[min(self._counts[key], len(responses) - 1)]
        self._counts[key] += 1
        self.status, self.failure = line["status"], None
        if self.status is None:
            self.failure = "reset"
        elif "fields" not in line and self.status == HTTPStatus.OK:
            self.failure = "html"
        self.headers = dict(self._limits(line.get("limits", {})))
        self._ahead = line.get("date", self._ahead)
        self.body = json.dumps(_payload(line, self._began)).encode() if "fields" in line else b""
        return True

    def date(self, now: float) -> str | None:
        """Return the `Date` header of the last response; None if it had none."""
        return None if self._ahead is None else email.utils.formatdate(now + self._ahead, usegmt=True)

    def _limits(self, limits: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the headers of the rate limit."""
        for name, value in limits.items():
            distance, _, unit = str(value).partition(" ")
            if unit in {"s", "ms"}:
                yield name, str(int(distance) + int(self.clock() * (1000 if unit == "ms" else 1)))
            else:
                yield name, str(value if type(value) is int else EXAMPLES[value])


def _key(path: str, query: Mapping[str, Any]) -> str:
    return json.dumps([path, sorted(query.keys() - BOUNDS), *(query.get(name) for name in PLAIN)])


def _payload(line: Mapping[str, Any], began: int) -> Any:
    """Make up a response with the fields of one in a trace.

    The trace does not assign kinds of values to records: the first records get the kind that comes first.
    """
    fields: dict[str, dict[str, int]] = line["fields"]
    made: dict[str, list[Any]] = {}
    for path, kinds in fields.items():
        values = _values(path, kinds, line, began)
        made[path] = values
        if path.endswith("[]"):
            arrays = [each for each in made[path[:-2]] if isinstance(each, list)]
            for array, value in zip(itertools.cycle(arrays), values, strict=False):
                array.append(value)
        elif path:
            parent, _, name = path.rpartition(".")
            objects = [each for each in made[parent] if isinstance(each, dict)]
            for number, (each, value) in enumerate(zip(itertools.cycle(objects), values, strict=False)):
                if value is not _ABSENT:
                    each[f"{name}{number}" if name == OTHER else name] = value
    return made[""][0]


_ABSENT = object()


def _values(path: str, kinds: Mapping[str, int], line: Mapping[str, Any], began: int) -> list[Any]:
    """Make up the values of a field, in the order of the records."""
    known = line.get("ids", {}).get(path) or line.get("times", {}).get(path)
    if known is None:
        count = line.get("counts", {}).get(path)
        each = (kind for kind, count in kinds.items() for _ in range(count))
        return [_copy(EXAMPLES[kind]) if count is None else count for kind in each]
    is_time = path in line.get("times", {})
    others = {"time"} if is_time else {"large integer", "text"}
    form = next((kind for kind in kinds if kind in {"integer", "integer in text", *others}), "integer")
    values: list[Any] = []
    for one in known:
        if type(one) is not int:
            values.append(_copy(EXAMPLES.get(cast("str", one), _ABSENT)))
        elif is_time:
            values.append(_time(began + one, form))
        else:
            values.append(_identity(one, form))
    return values


def _time(second: int, form: str) -> Any:
    if form == "time":
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(second) if form == "integer in text" else second


def _identity(number: int, form: str) -> Any:
    match form:
        case "text":
            return f"{EXAMPLES['text']}-{number}"
        case "integer in text":
            return str(FIRST_ID + number)
        case "large integer":
            return EXAMPLES[form] + number
    return FIRST_ID + number


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list) else value
