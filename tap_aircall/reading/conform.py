"""Brings what Aircall sent into the shape of a stream's schema, and loses nothing on the way.

Times become RFC 3339 in UTC. A value of another type than documented is converted where nothing is lost by that, and is
null where it fits no way. What the schema has no place for goes to one more field, `additional_fields`, by its path:
`mood`, `number.e164`, or `tags[].x`, a list with one value for each of the `tags` of the record, null for those
without. `tags[]` itself has the items that could not be used, which `tags` lacks. What looks like a secret stays out.
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
"""The range of a 64-bit whole number, the largest kind that databases have."""
DEEPEST = 100
"""How many levels of objects and lists are kept of what no schema describes: far fewer than Python can recurse."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_SECRET = re.compile("token|secret|password|signature", re.IGNORECASE)


class Misfit(StrEnum):
    """How a value differs from what the schema says."""

    UNKNOWN = "unknown"
    """The schema lacks the field; `additional_fields` has it."""
    CONVERTED = "converted"
    """Its type is not the documented one; the same value is written in that type."""
    UNUSABLE = "unusable"
    """It fits no way: null stands for it, and `additional_fields` has what came."""
    SECRET = "secret"  # noqa: S105 - a kind
    """It has no place of its own, and looks like a secret by its name; it is left out."""


def conform(
    record: Record,
    schema: Mapping[str, Any],
    on_misfit: Callable[[str, Misfit], None],
    *,
    to_time: Callable[[Any], str] = to_rfc3339,
    is_open: bool = False,
    is_selected: Callable[[str], bool] = lambda path: True,  # noqa: ARG005
) -> Record:
    """Return a record in the shape of its schema.

    Args:
        record: What Aircall sent, or what this function returned before; stays as it is.
        schema: JSON schema of the stream's records.
        on_misfit: Called with the path of each value that differs from the schema, and how; often for the same path.
        to_time: Turns a time into RFC 3339 in UTC; raises `ValueError` for anything else.
        is_open: Whether unknown fields of the record itself stay where they are.
        is_selected: Whether the field of a path is wanted. What is not is neither reported nor put aside.

    Returns:
        Another record. It has `additional_fields` only if there is something to put there, and the schema has it.

    Raises:
        ResponseError: If a required field is absent or cannot be used; names it, never its value.
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
    """Say whether anything in a record is what its schema describes.

    Args:
        record: What Aircall sent, with or without its keys.
        schema: JSON schema of the stream's records.

    Returns:
        Whether at least one of the fields that are not required is there, not null, and in a form that can be used. An
        empty list counts where a list belongs; a list or object of which nothing can be used does not.
    """
    required = schema.get("required", ())
    optional = {name: value for name, value in schema["properties"].items() if name not in required}
    optional.pop(ADDITIONAL_FIELDS, None)
    known = {name: value for name, value in record.items() if name in optional}
    conformed = conform(known, {"properties": optional}, lambda path, kind: None)  # noqa: ARG005
    return any(_has_content(value) or value == known[name] == [] for name, value in conformed.items())


def to_id(value: Any) -> int | None:
    """Return the id of a call, contact, user and so on as the number that it is; None for what cannot be one."""
    number = value if type(value) is int else _to_integer(value)
    return number if number is not None and 0 < number <= LARGEST else None


def looks_secret(name: str) -> bool:
    """Say whether the name or path of a field is that of a secret."""
    return _SECRET.search(name) is not None


def without(secrets: frozenset[str], value: Any) -> Any:
    """Return a value without some fields (named in lower case), at any depth."""
    if isinstance(value, dict):
        return {name: without(secrets, inner) for name, inner in value.items() if name.lower() not in secrets}
    return [without(secrets, inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Conformer:
    """What all levels of one record share.

    Its methods return a value in its new form, and what was put aside of it, by the path within the value. Each raises
    `ValueError` for a value that cannot be used.
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
                    rest |= {name + place: each for place, each in inner.items()}
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
        """Return a value that has no parts which a schema describes."""
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
        """Report what has no place of its own, and put it under a name, unless it is null or looks like a secret."""
        if not self.is_selected(path):
            return
        if looks_secret(path):
            self.on_misfit(path, Misfit.SECRET)
            return
        self.on_misfit(path, kind)
        if (plain := self.plain(value, path, hides=True)) is not None:
            rest[name] = plain

    def plain(self, value: Any, path: str, *, hides: bool = False, depth: int = 0) -> Any:
        """Return a value that no schema describes, as far as it can be written.

        Args:
            value: Anything that JSON can say.
            path: Its path.
            hides: Whether what looks like a secret is left out.
            depth: How many levels of it are above.
        """
        if (depth >= DEEPEST and isinstance(value, dict | list)) or _kind(value) == "endless":
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
    """Return the JSON type of a value; `beyond` and `endless` for numbers that no database and no JSON has."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if SMALLEST <= value <= LARGEST else "beyond"
    if isinstance(value, float):
        return "number" if math.isfinite(value) else "endless"
    return {str: "string", dict: "object", list: "array", type(None): "null"}[type(value)]


def _to_integer(value: Any) -> int | None:
    """Return a text or another number as a whole number of 64 bits, if it is one."""
    if isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else LARGEST + 1
        return number if SMALLEST <= number <= LARGEST else None
    is_whole = isinstance(value, float) and value.is_integer() and SMALLEST <= value < LARGEST
    return int(value) if is_whole else None


def _has_content(value: Any) -> bool:
    """Say whether a value holds anything but null at any depth."""
    if isinstance(value, dict | list):
        return any(map(_has_content, value.values() if isinstance(value, dict) else value))
    return value is not None
