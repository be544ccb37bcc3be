"""Makes of an Aircall object a Singer record: times in RFC 3339, and nothing that the schema does not know.

The SDK could do this as well, at several times the cost (it asks for the type of every value anew). Here the schema is
compiled once into the few places where something is to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tap_aircall.errors import ResponseError
from tap_aircall.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_aircall.walks import Record


Breadcrumb: TypeAlias = tuple[str, ...]
"""Place of a field in a catalog, such as `("properties", "number", "properties", "name")`."""


class RecordShaper:
    """Brings records of one stream into the shape of its schema, in place.

    Args:
        schema: JSON schema of the stream, or of an object within its records.
        mask: Which fields are selected, by breadcrumb.
        report: Called with the dotted name of each field that is dropped because the schema lacks it.
        breadcrumb: Where in the record the object is that the schema is for.
        is_open: Whether unknown fields stay, at this level.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        mask: Mapping[Breadcrumb, bool],
        report: Callable[[str], None],
        breadcrumb: Breadcrumb = (),
        *,
        is_open: bool = False,
    ) -> None:
        self._is_open = is_open
        self._report = report
        self._path = "".join(f"{name}." for name in breadcrumb[1::2])
        self._times: list[str] = []
        self._objects: list[tuple[str, RecordShaper]] = []
        self._arrays: list[tuple[str, RecordShaper]] = []
        properties: Mapping[str, Any] = schema["properties"]
        self._deselected = {name for name in properties if not mask[*breadcrumb, "properties", name]}
        self._known = properties.keys() - self._deselected
        for name in self._known:
            definition, place = properties[name], (*breadcrumb, "properties", name)
            if definition.get("format") == "date-time":
                self._times.append(name)
            elif "properties" in definition:
                self._objects.append((name, RecordShaper(definition, mask, report, place)))
            elif "properties" in definition.get("items", {}):
                self._arrays.append((name, RecordShaper(definition["items"], mask, report, place)))

    def shape(self, record: Record) -> None:  # noqa: C901 - unrolled: it runs for each object of each record
        """Convert the times of a record, and drop what is unknown or deselected, at every depth.

        Raises:
            ResponseError: If a time cannot be read, or an object or array is something else; names the field, never
                its value.
        """
        if not record.keys() <= self._known:
            for name in self._deselected:
                record.pop(name, None)
            if not self._is_open and not record.keys() <= self._known:
                self._drop_unknown(record)
        for name in self._times:
            value = record.get(name)
            if value is not None:
                try:
                    record[name] = to_rfc3339(value)
                except ValueError as error:
                    raise self._unusable(name, str(error)) from error
        for name, shaper in self._objects:
            value = record.get(name)
            if value is not None:
                if type(value) is not dict:
                    raise self._unusable(name, f"{type(value).__name__} instead of an object")
                shaper.shape(value)
        for name, shaper in self._arrays:
            value = record.get(name)
            if value:
                shaper.shape_each(value, self._path + name)

    def shape_each(self, items: Any, name: str) -> None:
        """Do so with every object of an array; null in its place is let pass.

        Args:
            items: What should be an array of objects.
            name: What to call it in an error.
        """
        if type(items) is not list or not all(item is None or type(item) is dict for item in items):
            message = f"Aircall sent a field '{name}' that is not a list of objects."
            raise ResponseError(message)
        for item in items:
            if item is not None:
                self.shape(item)

    def _drop_unknown(self, record: Record) -> None:
        for name in record.keys() - self._known:
            del record[name]
            self._report(self._path + name)

    def _unusable(self, name: str, what: str) -> ResponseError:
        return ResponseError(f"Aircall sent a field '{self._path}{name}' with a {what}.")


def without(secrets: frozenset[str], value: Any) -> Any:
    """Return a value of an answer without some fields, named in lower case, wherever in it they are."""
    if isinstance(value, dict):
        return {name: without(secrets, inner) for name, inner in value.items() if name.lower() not in secrets}
    return [without(secrets, inner) for inner in value] if isinstance(value, list) else value
