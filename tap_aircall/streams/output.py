"""How the records of a stream leave the tap: in the shape of its schema, through its stream maps, as messages."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_aircall.reading.pages import Record
    from tap_aircall.sdk import SdkStream, SdkTap


class Output:
    """Writes the records of one stream.

    The SDK's own selection and conversion of types is not needed, since records are shaped here, and neither is its
    object for each message.

    Args:
        stream: The stream; its catalog entry and its maps count as they are at the first record.
        tap: Has the writer of messages.
        conform: Returns a record in the shape of the schema.
        extracted_at: When the first records were read (RFC 3339).
    """

    def __init__(
        self, stream: SdkStream, tap: SdkTap, conform: Callable[[Record], Record], *, extracted_at: str
    ) -> None:
        self.extracted_at = extracted_at
        """When the records to write next were read (RFC 3339)."""
        self._stream = stream
        self._run = tap
        self._conform = conform

    def write(self, records: list[Record]) -> None:
        """Bring records into their shape, and hand them to the target.

        Raises:
            ResponseError: If one of them lacks a key; names the stream and the field.
        """
        shaped = [self._selected(self._conform(record)) for record in records]
        if self._unmapped is not None:
            self._write_as(self._unmapped, shaped)
            return
        for stream_map in self._stream.stream_maps:
            mapped = [record for record in map(stream_map.transform, shaped) if record is not None]
            self._write_as(stream_map.stream_alias, mapped)

    def activate_version(self) -> None:
        """Tell the target that a full table is complete, so that it may drop the rows of older versions."""
        if self._version is None:
            return
        for stream_map in self._stream.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                self._run.write_message(ActivateVersionMessage(stream=stream_map.stream_alias, version=self._version))

    def _write_as(self, name: str, records: list[Any]) -> None:
        rest: dict[str, Any] = {"time_extracted": self.extracted_at}
        if self._version is not None:
            rest["version"] = self._version
        self._run.message_writer.write_records(
            [{"type": "RECORD", "stream": name, "record": record, **rest} for record in records]
        )

    @cached_property
    def _version(self) -> int | None:
        """The version of a full table; None for a stream that is read incrementally."""
        is_full_table = self._stream.replication_method == REPLICATION_FULL_TABLE
        return self._run.initialized_at // 1000 if is_full_table else None

    @cached_property
    def _unmapped(self) -> str | None:
        """The name under which records go out unchanged; None if stream maps or flattening change them."""
        (first, *others) = self._stream.stream_maps
        if others or type(first) is not SameRecordTransform or first.flattening_enabled:
            return None
        return first.stream_alias

    def _selected(self, value: Any, breadcrumb: tuple[str, ...] = ()) -> Any:
        """Return a value without what the catalog leaves out of it."""
        if isinstance(value, list):
            return [self._selected(each, breadcrumb) for each in value]
        if not isinstance(value, dict):
            return value
        places = ((name, (*breadcrumb, "properties", name)) for name in value)
        return {name: self._selected(value[name], place) for name, place in places if self._stream.mask[place]}
