"""Makes records conform to their stream's schema without losing anything.

Times become RFC 3339 in UTC. A value of the wrong type is converted if that is lossless, and otherwise becomes null.
Values that the schema has no place for go to the field `additional_fields`, by path: `mood`, `number.e164`, or
`tags[].x`, a list with one value (or null) for each of the record's `tags`. `tags[]` lists items that could not be
used, and that `tags` therefore lacks. Values that look like secrets are dropped.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from tap_aircall.errors import ResponseError
from tap_aircall.reading.times import to_rfc3339
from tap_aircall.schemas.notation import ADDITIONAL_FIELDS, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_aircall.reading.pages import Record

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""The range of a 64-bit integer, the largest type of most databases."""
DEEPEST_VALUE = 100
"""Levels of nesting kept where no schema describes a value; well below Python's recursion limit."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
    type(None): "null",
}
_SECRET = re.compile("token|secret|password|signature", re.IGNORECASE)


class Misfit(StrEnum):
    """How a value differs from the schema."""

    UNKNOWN = "unknown"
    """The schema lacks the field; it is in `additional_fields`."""
    CONVERTED = "converted"
    """Its type is wrong; the same value is emitted in the right one."""
    UNUSABLE = "unusable"
    """It cannot be used: the field is null, and `additional_fields` has the original."""
    SECRET = "secret"  # noqa: S105 - a kind
    """The schema lacks the field, and its name suggests a secret; it is dropped."""


def conform(
    record: Record,
    schema: Mapping[str, Any],
    on_misfit: Callable[[str, Misfit], None],
    *,
    to_time: Callable[[Any], str] = to_rfc3339,
    is_open: bool = False,
    is_selected: Callable[[str], bool] = lambda path: True,  # noqa: ARG005
) -> Record:
    """Return a copy of a record that conforms to its schema.

    Args:
        record: A record from Aircall or from this function; not changed.
        schema: JSON schema of the stream's records.
        on_misfit: Called with the path of each value that differs from the schema, and how; repeats paths.
        to_time: Converts a time to RFC 3339 in UTC; raises `ValueError` for anything else.
        is_open: Whether unknown top-level fields stay where they are.
        is_selected: Whether the field at a path is selected. Others are neither reported nor set aside.

    Returns:
        The new record, with `additional_fields` only if there are any and the schema has the field.

    Raises:
        ResponseError: If a required field is missing or unusable; names it, never its value.
    """
    for name in schema.get("required", ()):
        if record.get(name) is None:
            raise ResponseError(f"Aircall sent a record without its '{name}'.")
    conformer = _Conformer(on_misfit, to_time, is_selected, frozenset(schema.get("required", ())))
    result, rest = conformer.object(record, schema, "", is_open=is_open)
    if ADDITIONAL_FIELDS in schema["properties"]:
        for path, value in (result.pop(ADDITIONAL_FIELDS, None) or {}).items():
            conformer.set_aside(rest, path, value, path, Misfit.UNKNOWN)
        if rest:
            result[ADDITIONAL_FIELDS] = rest
    return result


def is_recognised(record: Record, schema: Mapping[str, Any]) -> bool:
    """Return whether a record has at least one usable, non-null field that its schema does not require.

    An empty list counts for a list field; a list or object with nothing usable in it does not.

    Args:
        record: A record from Aircall, with or without its keys.
        schema: JSON schema of the stream's records.
    """
    required = schema.get("required", ())
    optional = {name: value for name, value in schema["properties"].items() if name not in required}
    optional.pop(ADDITIONAL_FIELDS, None)
    known = {name: value for name, value in record.items() if name in optional}
    conformed = conform(known, {"properties": optional}, lambda path, kind: None)  # noqa: ARG005
    return any(_has_content(value) or value == known[name] == [] for name, value in conformed.items())


def to_id(value: Any) -> int | None:
    """Return the id of a call, contact, user and so on as a number; None if it cannot be one."""
    number = value if type(value) is int else _to_integer(value)
    return number if number is not None and 0 < number <= LARGEST else None


def looks_secret(name: str) -> bool:
    """Return whether the name or path of a field suggests a secret."""
    return _SECRET.search(name) is not None


def without(secrets: frozenset[str], value: Any) -> Any:
    """Return a copy of a value without the fields of these names (in lower case) at any depth."""
    if isinstance(value, dict):
        return {name: without(secrets, inner) for name, inner in value.items() if name.lower() not in secrets}
    return [without(secrets, inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Conformer:
    """Conforms the parts of one record.

    `object`, `list` and `value` return the conformed value and what was set aside, by path within the value. They raise
    `ValueError` if the value is unusable.
    """

    on_misfit: Callable[[str, Misfit], None]
    to_time: Callable[[Any], str]
    is_selected: Callable[[str], bool]
    keys: frozenset[str]

    def object(
        self, sent: Record, definition: Mapping[str, Any], prefix: str, *, is_open: bool = False
    ) -> tuple[Record, Record]:
        result: Record = {}
        rest: Record = {}
        for name, value in sent.items():
            path = prefix + name
            known = definition["properties"].get(name)
            if known is None and is_open:
                result[name] = self.plain(value, path)
            elif known is None:
                self.set_aside(rest, name, value, path, Misfit.UNKNOWN)
            else:
                try:
                    result[name], inner = self.value(value, known, path)
                except ValueError as error:
                    if path in self.keys:
                        raise ResponseError(f"Aircall sent a record whose '{path}' cannot be used.") from error
                    result[name] = None
                    self.set_aside(rest, name, value, path, Misfit.UNUSABLE)
                else:
                    for place in inner:
                        rest[name + place] = inner[place]
        return result, rest

    def list(self, sent: list[Any], definition: Mapping[str, Any], path: str) -> tuple[list[Any], Record]:
        path += "[]"
        result: list[Any] = []
        inner: list[Record] = []
        misfits: Record = {}
        for number, value in enumerate(sent):
            try:
                item, rest = self.value(value, definition, path)
            except ValueError:
                self.set_aside(misfits, str(number), value, path, Misfit.UNUSABLE)
            else:
                result.append(item)
                inner.append(rest)
        places = dict.fromkeys(itertools.chain.from_iterable(inner))
        aside: Record = {f"[]{place}": [rest.get(place) for rest in inner] for place in places}
        return result, aside | ({"[]": [*misfits.values()]} if misfits else {})

    def value(self, value: Any, definition: Mapping[str, Any], path: str) -> tuple[Any, Record]:
        types = types_of(definition)
        if value is None and "null" in types:
            return None, {}
        if definition.get("format") == "date-time":
            return self.to_time(value), {}
        if isinstance(value, dict) and definition.get("properties"):
            result, rest = self.object(value, definition, f"{path}.")
            return result, {f".{place}": each for place, each in rest.items()}
        if isinstance(value, list) and "items" in definition:
            return self.list(value, definition["items"], path)
        return self.single(value, types, path), {}

    def single(self, value: Any, types: Collection[str], path: str) -> Any:
        """Conform a value without parts that a schema describes."""
        kind = _kind(value)
        if kind in types or (kind == "integer" and "number" in types):
            return self.plain(value, path) if kind in {"object", "array"} else value
        if "integer" in types and (number := _to_integer(value)) is not None:
            result: Any = number
        elif "string" in types and kind not in {"null", "endless"}:
            plain = self.plain(value, path, hides=True)
            result = msgspec.json.encode(plain).decode() if kind != "beyond" else str(value)
        else:
            raise ValueError
        if self.is_selected(path):
            self.on_misfit(path, Misfit.CONVERTED)
        return result

    def set_aside(self, rest: Record, name: str, value: Any, path: str, kind: Misfit) -> None:
        """Report a value that has no place, and keep it under a name unless it is null or looks like a secret."""
        if not self.is_selected(path):
            return
        if looks_secret(path):
            self.on_misfit(path, Misfit.SECRET)
            return
        self.on_misfit(path, kind)
        if (plain := self.plain(value, path, hides=True)) is not None:
            rest[name] = plain

    def plain(self, value: Any, path: str, *, hides: bool = False, depth: int = 0) -> Any:
        """Return a value that no schema describes, with null for parts that cannot be written.

        Args:
            value: Any JSON value.
            path: Its path.
            hides: Whether to drop fields that look like secrets.
            depth: How many levels it is nested in.
        """
        if (depth >= DEEPEST_VALUE and isinstance(value, dict | list)) or _kind(value) == "endless":
            self.on_misfit(path, Misfit.UNUSABLE)
            return None
        if isinstance(value, list):
            return [self.plain(each, f"{path}[]", hides=hides, depth=depth + 1) for each in value]
        if not isinstance(value, dict):
            return value
        result = {}
        for name, inner in value.items():
            if hides and looks_secret(name):
                self.on_misfit(f"{path}.{name}", Misfit.SECRET)
            else:
                result[name] = self.plain(inner, f"{path}.{name}", hides=hides, depth=depth + 1)
        return result


def _kind(value: Any) -> str:
    """Return the JSON type of a value; `beyond` for integers beyond 64 bits, `endless` for infinity and NaN."""
    kind = _KINDS[type(value)]
    if kind == "integer" and not SMALLEST <= value <= LARGEST:
        return "beyond"
    if kind == "number" and not math.isfinite(value):
        return "endless"
    return kind


def _to_integer(value: Any) -> int | None:
    """Convert a string or float to a 64-bit integer; return None if that is not lossless."""
    if isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else LARGEST + 1
        return number if SMALLEST <= number <= LARGEST else None
    is_whole = isinstance(value, float) and value.is_integer() and SMALLEST <= value < LARGEST
    return int(value) if is_whole else None


def _has_content(value: Any) -> bool:
    """Return whether a value has anything but null in it, at any depth."""
    if isinstance(value, dict | list):
        return any(map(_has_content, value.values() if isinstance(value, dict) else value))
    return value is not None
