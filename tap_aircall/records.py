"""Makes of an Aircall object a Singer record: times in RFC 3339, and nothing that the schema does not know.

The SDK could do this as well, at several times the cost (it asks for the type of every value anew). Here the schema is
compiled once into the few places where something is to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_aircall.errors import ResponseError
from tap_aircall.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_aircall.walks import Record


class RecordShaper:
    """Brings records of one stream into the shape of its schema, in place.

    Args:
        schema: JSON schema of the stream, or of an object within its records.
        report: Called with the dotted name of each field that is dropped because the schema lacks it.
        path: Dotted name of the object that the schema is for, empty for the record itself.
    """

    def __init__(self, schema: Mapping[str, Any], report: Callable[[str], None], path: str = "") -> None:
        self._report = report
        self._path = path
        properties: Mapping[str, Any] = schema["properties"]
        self._known = frozenset(properties)
        self._times: list[str] = []
        self._objects: list[tuple[str, RecordShaper]] = []
        self._arrays: list[tuple[str, RecordShaper]] = []
        for name, definition in properties.items():
            if definition.get("format") == "date-time":
                self._times.append(name)
            elif "properties" in definition:
                self._objects.append((name, RecordShaper(definition, report, f"{path}{name}.")))
            elif "properties" in definition.get("items", {}):
                self._arrays.append((name, RecordShaper(definition["items"], report, f"{path}{name}.")))

    def shape(self, record: Record) -> None:
        """Convert the times of a record and drop what is unknown, at every depth.

        Raises:
            ResponseError: If a time cannot be read, or an object or array is something else; names the field, never
                its value.
        """
        if not record.keys() <= self._known:
            for name in record.keys() - self._known:
                del record[name]
                self._report(self._path + name)
        for name in self._times:
            if record.get(name) is not None:
                record[name] = self._to_time(name, record[name])
        for name, shaper in self._objects:
            value = record.get(name)
            if value is not None:
                shaper.shape(self._expect(dict, name, value))
        for name, shaper in self._arrays:
            for item in self._expect(list, name, record.get(name) or []):
                if item is not None:
                    shaper.shape(self._expect(dict, name, item))

    def _to_time(self, name: str, value: Any) -> str:
        try:
            return to_rfc3339(value)
        except ValueError as error:
            raise self._unusable(name, str(error)) from error

    def _expect(self, kind: type, name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise self._unusable(name, f"{type(value).__name__} instead of {kind.__name__}")
        return value

    def _unusable(self, name: str, what: str) -> ResponseError:
        return ResponseError(f"Aircall sent a field '{self._path}{name}' with a {what}.")
