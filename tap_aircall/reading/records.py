"""Turns an Aircall object into a Singer record: times in RFC 3339, and everything else as the schema promises.

The SDK could do most of this, at several times the cost (it asks for the type of every value anew). Here each *shape*
of an object, that is the names and types of its fields, is looked at once, and turned into the few things to do; most
objects of a stream have one of a handful of shapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tap_aircall.errors import ResponseError
from tap_aircall.reading.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_aircall.reading.pages import Record


Breadcrumb: TypeAlias = tuple[str, ...]
"""Place of a field in a catalog, such as `("properties", "number", "properties", "name")`."""
Shape: TypeAlias = tuple[str | type, ...]
"""The names of the fields of an object, in their order, and then the types of their values."""

MANY_SHAPES = 5_000
"""How many shapes are remembered; when there are more, all are forgotten."""
SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""The range of a 64-bit whole number, the largest kind that databases have."""
_TYPES: Mapping[str, frozenset[type]] = {
    "string": frozenset({str}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
    "null": frozenset({type(None)}),
}
_NAMES: Mapping[type | str, str] = {
    **dict.fromkeys([str, "string"], "text"),
    **dict.fromkeys([int, "integer"], "a whole number"),
    **dict.fromkeys([float, "number"], "a number"),
    **dict.fromkeys([bool, "boolean"], "true or false"),
    **dict.fromkeys([dict, "object"], "an object"),
    **dict.fromkeys([list, "array"], "a list"),
    type(None): "null",
}
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


class Oddity(Enum):
    """What is worth telling the user about a field."""

    UNKNOWN = "unknown"
    """The schema lacks it; it is left out."""
    CONVERTED = "converted"
    """Its type is not the documented one; the same value is written in that type."""
    UNUSABLE = "unusable"
    """Its value fits no way; null stands for it."""


@dataclass(slots=True)
class Plan:
    """What to do with all objects of a shape."""

    drops: list[str] = field(default_factory=list)
    changes: list[tuple[str, Callable[[Any], Any]]] = field(default_factory=list)
    """Fields to change, each with its function, which raises a `ValueError` for what is not a time."""
    integers: list[str] = field(default_factory=list)
    """Whole numbers, which must fit into 64 bits."""
    lists: list[tuple[str, RecordShaper]] = field(default_factory=list)
    """Lists of objects, each with its shaper."""


class RecordShaper:
    """Brings records of one stream into the shape of its schema, in place.

    Args:
        schema: JSON schema of the stream, or of an object within its records.
        mask: Which fields are selected, by breadcrumb.
        report: Called with the dotted name of each odd field, and what is odd; more than once for a field.
        breadcrumb: Where the object is in the record.
        is_open: Whether unknown fields stay, at this level.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        mask: Mapping[Breadcrumb, bool],
        report: Callable[[str, Oddity], None],
        breadcrumb: Breadcrumb = (),
        *,
        is_open: bool = False,
    ) -> None:
        self._report = report
        self._is_open = is_open
        self._path = "".join(f"{name}." for name in breadcrumb[1::2])
        self._plans: dict[Shape, Plan] = {}
        properties: Mapping[str, Any] = schema["properties"]
        self._deselected = {name for name in properties if not mask[*breadcrumb, "properties", name]}
        self._known = {name: definition for name, definition in properties.items() if name not in self._deselected}
        self._required = [name for name in schema.get("required", ()) if name in self._known]
        self._inner: dict[str, RecordShaper] = {}
        for name, definition in self._known.items():
            inner = definition if "properties" in definition else definition.get("items", {})
            if "properties" in inner:
                place = (*breadcrumb, "properties", name)
                self._inner[name] = RecordShaper(inner, mask, report, place)

    def shape(self, record: Record) -> Record:
        """Convert the times of a record, and drop what is unknown or deselected, at every depth.

        Returns:
            The same record.

        Raises:
            ResponseError: If a value does not fit the schema and cannot be converted without a loss. Names the field,
                never its value.
        """
        shape: Shape = (*record, *map(type, record.values()))
        plan = self._plans.get(shape) or self._plan(shape, record)
        for name in plan.drops:
            del record[name]
        for name, change in plan.changes:
            try:
                record[name] = change(record[name])
            except ValueError as error:
                raise self._unusable(name, "that is not a time") from error
        for name in plan.integers:
            if not SMALLEST <= record[name] <= LARGEST:
                raise self._unusable(name, "with a number beyond 64 bits")
        for name, inner in plan.lists:
            for item in record[name]:
                if type(item) is dict:
                    inner.shape(item)
                elif item is not None:  # null in place of an object is accepted
                    raise self._unusable(name, "that is not a list of objects")
        return record

    def _plan(self, shape: Shape, record: Record) -> Plan:
        """Find out what to do with objects of a shape, by the first one of it."""
        plan = Plan()
        for name, value in record.items():
            kind = type(value)
            definition = self._known.get(name)
            if definition is not None:
                self._add(plan, name, kind, definition)
            elif name in self._deselected:
                plan.drops.append(name)
            elif not self._is_open:
                plan.drops.append(name)
                self._report(self._path + name, Oddity.UNKNOWN)
        for name in self._required:
            if name not in record:
                message = f"Aircall sent a record without its '{self._path}{name}'."
                raise ResponseError(message)
        if len(self._plans) >= MANY_SHAPES:
            self._plans.clear()
        self._plans[shape] = plan
        return plan

    def _add(self, plan: Plan, name: str, kind: type, definition: Mapping[str, Any]) -> None:
        """Add to a plan what is to be done with one field."""
        if kind is type(None) and kind in _allowed(definition):
            return
        if definition.get("format") == "date-time":
            plan.changes.append((name, to_rfc3339))
        elif kind not in _allowed(definition):
            plan.changes.append((name, self._converter(name, kind, definition)))
        elif kind is int:
            plan.integers.append(name)
        elif kind is dict and name in self._inner:
            plan.changes.append((name, self._inner[name].shape))
        elif kind is list and name in self._inner:
            plan.lists.append((name, self._inner[name]))
        elif kind is list and "items" in definition:
            plan.changes.append((name, partial(self._check_items, name, _allowed(definition["items"]))))

    def _converter(self, name: str, kind: type, definition: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Return a function that converts a value to the documented type, or fails."""
        types = definition["type"]
        wanted = next(each for each in ([types] if isinstance(types, str) else types) if each != "null")
        problem = self._unusable(name, f"with {_NAMES[kind]} where {_NAMES[wanted]} belongs")
        converted: Callable[[Any], Any] | None = _CONVERSIONS.get((kind, wanted))
        if converted is None:
            raise problem
        self._report(self._path + name, Oddity.CONVERTED)

        def convert(value: Any) -> Any:
            result = converted(value)
            if result is None:
                raise problem
            return result

        return convert

    def _check_items(self, name: str, allowed: frozenset[type], items: list[Any]) -> list[Any]:
        if not allowed.issuperset(map(type, items)):
            raise self._unusable(name, "that is a list of other things than documented")
        return items

    def _unusable(self, name: str, what: str) -> ResponseError:
        return ResponseError(f"Aircall sent a field '{self._path}{name}' {what}.")


def _allowed(definition: Mapping[str, Any]) -> frozenset[type]:
    """Return the types that a value may have."""
    types = definition.get("type", list(_TYPES))
    return frozenset().union(*(_TYPES[name] for name in ([types] if isinstance(types, str) else types)))


def _to_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text_to_integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _float_to_integer(number: float) -> int | None:
    return int(number) if number.is_integer() and SMALLEST <= number < LARGEST else None


_CONVERSIONS: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (int, "string"): _to_text,
    (float, "string"): _to_text,
    (bool, "string"): _to_text,
    (str, "integer"): _text_to_integer,
    (float, "integer"): _float_to_integer,
}
"""How to write a value of one type as another without losing anything; None where something would be lost."""


def without(secrets: frozenset[str], value: Any) -> Any:
    """Return a value without some fields (named in lower case), at any depth."""
    if isinstance(value, dict):
        return {name: without(secrets, inner) for name, inner in value.items() if name.lower() not in secrets}
    return [without(secrets, inner) for inner in value] if isinstance(value, list) else value
