from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tap_aircall import schemas
from tap_aircall.streams import all_streams
from tap_aircall.tap import TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_aircall.streams.base import AircallStream

STREAMS = {stream.name: stream for stream in all_streams(TapAircall(config={}, validate_config=False))}


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk through every property at every depth."""
    for name, definition in schema.get("properties", {}).items():
        yield path + name, definition
        yield from properties(definition, f"{path}{name}.")
        yield from properties(definition.get("items", {}), f"{path}{name}[].")


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
class TestEverySchema:
    def test_is_valid(self, stream: AircallStream) -> None:
        Draft202012Validator.check_schema(stream.schema)

    def test_describes_every_field(self, stream: AircallStream) -> None:
        bare = [path for path, definition in properties(stream.schema) if not definition.get("description")]
        assert bare == []

    def test_has_keys_that_are_never_null_and_nothing_else_that_is_required(self, stream: AircallStream) -> None:
        keys = {*stream.primary_keys, *filter(None, [stream.replication_key])}
        strict = {path for path, definition in properties(stream.schema) if "null" not in definition["type"]}
        assert strict == keys
        assert set(stream.schema["required"]) == keys

    def test_has_times_where_names_say_so(self, stream: AircallStream) -> None:
        for path, definition in properties(stream.schema):
            assert (definition.get("format") == "date-time") == path.endswith("_at"), path

    def test_has_no_secret(self, stream: AircallStream) -> None:
        names = {path.rpartition(".")[2] for path, _ in properties(stream.schema)}
        assert not names & {"token", "password", "secret", *stream.secret_fields}


def test_fields_are_found_through_objects_and_arrays() -> None:
    calls = schemas.of("calls")

    assert schemas.has(calls, "comments.posted_by.name")
    assert schemas.has(calls, "number.messages.welcome")
    assert not schemas.has(calls, "number.messages.goodbye")
    assert not schemas.has(calls, "comments.posted_by.name.first")
