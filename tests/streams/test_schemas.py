from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tap_aircall.schemas import resources as schemas
from tap_aircall.tap import TapAircall
from tests.catalogs import SNAPSHOT, catalog, example, properties, summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_aircall.streams.base import AircallStream

STREAMS = TapAircall(config={}, validate_config=False).streams

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    """Return whether a text is a time with a zone; jsonschema needs another package to know."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def blank(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make an object of nulls; objects within it are there, and full of nulls too."""
    return {
        name: blank(definition) if "properties" in definition else None
        for name, definition in schema["properties"].items()
    }


def keys_of(stream: AircallStream) -> dict[str, Any]:
    """Make a record that has nothing but its keys."""
    return {name: value for name, value in example(stream.schema).items() if name in stream.schema["required"]}


def errors(stream: str, record: Mapping[str, Any]) -> list[str]:
    """Validate a record; return where it is wrong."""
    validator = Draft202012Validator(STREAMS[stream].schema, format_checker=FORMATS)
    return [error.json_path for error in validator.iter_errors(record)]


def test_the_catalog_is_what_users_rely_on() -> None:
    promised = json.loads(SNAPSHOT.read_text(encoding="utf-8"))

    assert summary(catalog()) == promised, "If that is meant, run `make generate`, and commit tests/snapshot.json."


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

    def test_takes_a_record_with_every_field(self, stream: AircallStream) -> None:
        assert errors(stream.name, example(stream.schema)) == []

    def test_takes_null_for_all_but_keys(self, stream: AircallStream) -> None:
        keys = keys_of(stream)

        assert errors(stream.name, keys) == []
        assert errors(stream.name, dict.fromkeys(stream.schema["properties"]) | keys) == []
        assert errors(stream.name, blank(stream.schema) | keys) == []

    def test_takes_null_in_every_list(self, stream: AircallStream) -> None:
        lists = [(path, definition["items"]) for path, definition in properties(stream.schema) if "items" in definition]

        assert [path for path, items in lists if "null" not in items["type"]] == []

    def test_wants_each_key(self, stream: AircallStream) -> None:
        record = example(stream.schema)
        for key in stream.schema["required"]:
            assert errors(stream.name, {name: value for name, value in record.items() if name != key}) == ["$"]
            assert errors(stream.name, record | {key: None}) == [f"$.{key}"]


@pytest.mark.parametrize(
    ("stream", "change", "where"),
    [
        ("calls", {"started_at": 1772439330}, "$.started_at"),
        ("calls", {"ended_at": "yesterday"}, "$.ended_at"),
        ("calls", {"cost": 4.5}, "$.cost"),
        ("calls", {"duration": "30"}, "$.duration"),
        ("calls", {"assigned_to": "Ines Abel"}, "$.assigned_to"),
        ("calls", {"comments": [{"posted_at": 1772439330}]}, "$.comments[0].posted_at"),
        ("calls", {"number": {"messages": {"ivr": 1}}}, "$.number.messages.ivr"),
        ("calls", {"participants": [{"id": 1.5}]}, "$.participants[0].id"),
        ("contacts", {"id": 2**63}, "$.id"),
        ("contacts", {"emails": [{"id": "3000000002"}]}, "$.emails[0].id"),
        ("users", {"extension": 7}, "$.extension"),
        ("user_numbers", {"user_id": "61"}, "$.user_id"),
        ("teams", {"users": [61]}, "$.users[0]"),
        ("numbers", {"priority": "1"}, "$.priority"),
        ("webhooks", {"events": "call.created"}, "$.events"),
        ("company", {"users_count": "4"}, "$.users_count"),
        ("analytics_reports", {"row_number": "1"}, "$.row_number"),
        ("analytics_reports", {"row": ["cell"]}, "$.row"),
    ],
)
def test_wrong_values_are_refused(stream: str, change: dict[str, Any], where: str) -> None:
    assert errors(stream, example(STREAMS[stream].schema) | change) == [where]


def test_fields_are_found_through_objects_and_arrays() -> None:
    calls = schemas.of("calls")

    assert schemas.has(calls, "comments.posted_by.name")
    assert schemas.has(calls, "number.messages.welcome")
    assert not schemas.has(calls, "number.messages.goodbye")
    assert not schemas.has(calls, "comments.posted_by.name.first")
