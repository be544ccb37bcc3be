"""Makes what webhooks told fit a schema, whatever it is.

A record of Aircall's API that does not fit ends its stream, since the next reading may bring it right. An event stays
as it is for ever: one that ended the stream would end it at every run. So a value that fits no way is left out, and
reported by its name; `webhook_events` has it as it came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from tap_aircall.reading.records import LARGEST, SMALLEST
from tap_aircall.reading.times import from_milliseconds, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_aircall.reading.pages import Record

_INTEGER = re.compile(r"-?\d{1,18}")


def fitted(record: Record, schema: Mapping[str, Any], report: Callable[[str], None], path: str = "") -> Record:
    """Return a record as its schema wants it, as far as it can be.

    Args:
        record: What was told; stays as it is.
        schema: JSON schema of the record.
        report: Called with the dotted name of each field that had to be left out.
        path: What to put before the names.

    Returns:
        Another record. Fields that the schema lacks are in it, unchanged.
    """
    result: Record = {}
    for name, value in record.items():
        definition = schema["properties"].get(name)
        if definition is None or value is None:
            result[name] = value
            continue
        try:
            result[name] = _fitted(value, definition, report, path + name)
        except ValueError:
            report(path + name)
            result[name] = None
    return result


def _fitted(value: Any, definition: Mapping[str, Any], report: Callable[[str], None], path: str) -> Any:
    """Return one value as its definition wants it; raise `ValueError` if it cannot be."""
    types = definition["type"] if isinstance(definition["type"], list) else [definition["type"]]
    if definition.get("format") == "date-time":
        return from_milliseconds(to_milliseconds(value))
    if isinstance(value, dict) and "object" in types:
        return fitted(value, definition, report, f"{path}.") if "properties" in definition else value
    if isinstance(value, list) and "array" in types:
        return [_fitted(each, definition["items"], report, path) for each in value if each is not None]
    return _plain(value, types)


def _plain(value: Any, types: Sequence[str]) -> Any:
    """Return a value as one of some types; raise `ValueError` if it cannot be."""
    if type(value) is bool and "boolean" in types:
        return value
    if "integer" in types and (number := _integer(value)) is not None:
        return number
    if "number" in types and isinstance(value, int | float):
        return value
    if "string" not in types:
        raise ValueError
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _integer(value: Any) -> int | None:
    """Return a value as a whole number of 64 bits, if it is one."""
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and value == value // 1 and SMALLEST <= value <= LARGEST else None
