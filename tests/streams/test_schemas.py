from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tap_aircall import schemas
from tap_aircall.schemas.notation import has
from tap_aircall.tap import TapAircall
from tests.catalogs import SNAPSHOT, catalog, example, properties, summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_aircall.streams.base import AircallStream

STREAMS = cast("dict[str, AircallStream]", TapAircall(config={}, validate_config=False).streams)

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    """Return whether a text is a time with a zone; jsonschema needs another package to know."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def blank(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make an object of nulls, with nested objects of nulls."""
    return {
        name: blank(definition) if "properties" in definition else None
        for name, definition in schema["properties"].items()
    }


def keys_of(stream: AircallStream) -> dict[str, Any]:
    """Make a record with nothing but its keys."""
    return {name: value for name, value in example(stream.schema).items() if name in stream.schema["required"]}


def every_property() -> list[tuple[str, Mapping[str, Any]]]:
    """Return the properties of all streams, nested ones too, by stream and path."""
    return [
        (f"{name}.{path}", definition)
        for name, stream in STREAMS.items()
        for path, definition in properties(stream.schema)
    ]


def errors(stream: str, record: Mapping[str, Any]) -> list[str]:
    """Validate a record; return where it is wrong."""
    validator = Draft202012Validator(STREAMS[stream].schema, format_checker=FORMATS)
    return [error.json_path for error in validator.iter_errors(record)]


def test_the_catalog_is_what_users_rely_on() -> None:
    promised = json.loads(SNAPSHOT.read_text(encoding="utf-8"))

    assert summary(catalog()) == promised, "If that is meant, run `make generate`, and commit tests/snapshot.json."


class TestEverySchema:
    def test_is_valid(self) -> None:
        for stream in STREAMS.values():
            Draft202012Validator.check_schema(stream.schema)

    def test_describes_every_field(self) -> None:
        assert [path for path, definition in every_property() if not definition.get("description")] == []

    def test_has_keys_that_are_never_null_and_nothing_else_that_is_required(self) -> None:
        for name, stream in STREAMS.items():
            keys = {*stream.primary_keys, *filter(None, [stream.replication_key])}
            strict = {path for path, definition in properties(stream.schema) if "null" not in definition["type"]}
            assert strict == keys, name
            assert set(stream.schema["required"]) == keys, name

    def test_shares_no_part_with_another_place(self) -> None:
        # The SDK takes deselected fields out of it.
        parts = [id(definition) for _, definition in every_property()]
        assert len(set(parts)) == len(parts)

    def test_has_times_where_names_say_so(self) -> None:
        for path, definition in every_property():
            assert (definition.get("format") == "date-time") == path.endswith("_at"), path

    def test_has_no_secret(self) -> None:
        for name, stream in STREAMS.items():
            names = {path.rpartition(".")[2] for path, _ in properties(stream.schema)}
            assert not names & {"token", "password", "secret", *stream.secret_fields}, name

    def test_takes_a_record_with_every_field(self) -> None:
        for name, stream in STREAMS.items():
            assert errors(name, example(stream.schema)) == [], name

    def test_takes_null_for_all_but_keys(self) -> None:
        for name, stream in STREAMS.items():
            keys = keys_of(stream)
            assert errors(name, keys) == [], name
            assert errors(name, dict.fromkeys(stream.schema["properties"]) | keys) == [], name
            assert errors(name, blank(stream.schema) | keys) == [], name

    def test_takes_null_in_every_list(self) -> None:
        lists = [(path, definition["items"]) for path, definition in every_property() if "items" in definition]

        assert [path for path, items in lists if "null" not in items["type"]] == []

    def test_requires_each_key(self) -> None:
        for name, stream in STREAMS.items():
            record = example(stream.schema)
            for key in stream.schema["required"]:
                assert errors(name, {field: value for field, value in record.items() if field != key}) == ["$"], name
                assert errors(name, record | {key: None}) == [f"$.{key}"], name


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

    assert has(calls, "comments.posted_by.name")
    assert has(calls, "number.messages.welcome")
    assert not has(calls, "number.messages.goodbye")
    assert not has(calls, "comments.posted_by.name.first")
