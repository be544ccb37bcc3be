from __future__ import annotations

from typing import Any

import pytest
import singer_sdk.typing as th

from tap_aircall.errors import ResponseError
from tap_aircall.records import Breadcrumb, RecordShaper

USER = th.ObjectType(th.Property("name", th.StringType), th.Property("created_at", th.DateTimeType))
SCHEMA = th.PropertiesList(
    th.Property("id", th.IntegerType),
    th.Property("started_at", th.DateTimeType),
    th.Property("user", USER),
    th.Property(
        "comments", th.ArrayType(th.ObjectType(th.Property("posted_at", th.DateTimeType), th.Property("by", USER)))
    ),
    th.Property("events", th.ArrayType(th.StringType)),
).to_dict()


class Mask(dict[Breadcrumb, bool]):
    """Everything is selected but what it says."""

    def __missing__(self, key: Breadcrumb) -> bool:
        return True


def shape(record: dict[str, Any], *deselected: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Shape a record; return it and the unknown fields reported."""
    mask = Mask({tuple(part for name in path for part in ("properties", name)): False for path in deselected})
    unknown: list[str] = []
    RecordShaper(SCHEMA, mask, unknown.append).shape(record)
    return record, unknown


def test_times_are_converted_at_every_depth() -> None:
    record, unknown = shape(
        {
            "id": 2**40,
            "started_at": 0,
            "user": {"name": "Ada", "created_at": "2019-12-29T10:03:18.000Z"},
            "comments": [{"posted_at": 1790603050, "by": None}, None, {"by": {"created_at": 60}}],
            "events": ["a"],
        }
    )

    assert record == {
        "id": 2**40,
        "started_at": "1970-01-01T00:00:00Z",
        "user": {"name": "Ada", "created_at": "2019-12-29T10:03:18.000Z"},
        "comments": [
            {"posted_at": "2026-09-28T13:44:10Z", "by": None},
            None,
            {"by": {"created_at": "1970-01-01T00:01:00Z"}},
        ],
        "events": ["a"],
    }
    assert unknown == []


def test_unknown_fields_are_dropped_and_named_at_every_depth() -> None:
    record, unknown = shape(
        {"id": 1, "mood": "x", "user": {"shoe": 43, "name": "Ada"}, "comments": [{"by": {"hat": 1}}, {"x": 2}]}
    )

    assert record == {"id": 1, "user": {"name": "Ada"}, "comments": [{"by": {}}, {}]}
    assert sorted(unknown) == ["comments.by.hat", "comments.x", "mood", "user.shoe"]


def test_deselected_fields_are_dropped_without_a_word() -> None:
    record, unknown = shape(
        {"id": 1, "started_at": "not even a time", "user": {"name": "Ada", "created_at": 0}},
        ("started_at",),
        ("user", "name"),
    )

    assert record == {"id": 1, "user": {"created_at": "1970-01-01T00:00:00Z"}}
    assert unknown == []


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"started_at": "secret"}, "Aircall sent a field 'started_at' with a str that is no time."),
        ({"user": {"created_at": []}}, "Aircall sent a field 'user.created_at' with a list that is no time."),
        ({"user": "secret"}, "Aircall sent a field 'user' with a str instead of an object."),
        ({"comments": "secret"}, "Aircall sent a field 'comments' that is not a list of objects."),
        ({"comments": [{"by": {}}, "secret"]}, "Aircall sent a field 'comments' that is not a list of objects."),
        ({"comments": [{"by": 7}]}, "Aircall sent a field 'comments.by' with a int instead of an object."),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(record: dict[str, Any], line: str) -> None:
    with pytest.raises(ResponseError) as caught:
        shape(record)

    assert str(caught.value) == line
