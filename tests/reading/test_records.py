from __future__ import annotations

from typing import Any

import pytest
import singer_sdk.typing as th

from tap_aircall.errors import ResponseError
from tap_aircall.reading.records import MANY_SHAPES, Breadcrumb, Oddity, RecordShaper

USER = th.ObjectType(th.Property("name", th.StringType), th.Property("created_at", th.DateTimeType))
SCHEMA = th.PropertiesList(
    th.Property("id", th.IntegerType),
    th.Property("started_at", th.DateTimeType),
    th.Property("user", USER),
    th.Property(
        "comments", th.ArrayType(th.ObjectType(th.Property("posted_at", th.DateTimeType), th.Property("by", USER)))
    ),
    th.Property("events", th.ArrayType(th.StringType)),
    th.Property("active", th.BooleanType),
    th.Property("score", th.NumberType),
).to_dict()


class Mask(dict[Breadcrumb, bool]):
    """Selects everything except what it names."""

    def __missing__(self, key: Breadcrumb) -> bool:
        return True


def shape(record: dict[str, Any], *deselected: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Shape a record; return it and the fields reported."""
    mask = Mask({tuple(part for name in path for part in ("properties", name)): False for path in deselected})
    odd: list[str] = []

    def report(field: str, oddity: Oddity) -> None:
        odd.append(field if oddity is Oddity.UNKNOWN else f"{field} {oddity.value}")

    RecordShaper(SCHEMA, mask, report).shape(record)
    return record, odd


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
        ({"started_at": "secret"}, "Aircall sent a field 'started_at' that is not a time."),
        ({"user": {"created_at": []}}, "Aircall sent a field 'user.created_at' that is not a time."),
        ({"user": "secret"}, "Aircall sent a field 'user' with text where an object belongs."),
        ({"comments": "secret"}, "Aircall sent a field 'comments' with text where a list belongs."),
        ({"comments": [{"by": {}}, "secret"]}, "Aircall sent a field 'comments' that is not a list of objects."),
        ({"comments": [{"by": 7}]}, "Aircall sent a field 'comments.by' with a whole number where an object belongs."),
        ({"id": "4.5"}, "Aircall sent a field 'id' with text where a whole number belongs."),
        ({"id": 2**63}, "Aircall sent a field 'id' with a number beyond 64 bits."),
        ({"score": -(2**63) - 1}, "Aircall sent a field 'score' with a number beyond 64 bits."),
        (
            {"comments": [{"by": {}}, {"posted_at": 10**30}]},
            "Aircall sent a field 'comments.posted_at' that is not a time.",
        ),
        ({"id": 2.0**63}, "Aircall sent a field 'id' with a number where a whole number belongs."),
        ({"id": 4.5}, "Aircall sent a field 'id' with a number where a whole number belongs."),
        ({"id": "9" * 30}, "Aircall sent a field 'id' with text where a whole number belongs."),
        ({"user": {"name": ["secret"]}}, "Aircall sent a field 'user.name' with a list where text belongs."),
        ({"user": {"name": {"a": 1}}}, "Aircall sent a field 'user.name' with an object where text belongs."),
        ({"events": ["a", 1]}, "Aircall sent a field 'events' that is a list of other things than documented."),
        ({"active": 1}, "Aircall sent a field 'active' with a whole number where true or false belongs."),
        ({"active": "true"}, "Aircall sent a field 'active' with text where true or false belongs."),
        ({"score": "secret"}, "Aircall sent a field 'score' with text where a number belongs."),
    ],
)
def test_an_unusable_field_is_named_without_its_value(record: dict[str, Any], line: str) -> None:
    with pytest.raises(ResponseError) as caught:
        shape(record)

    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("sent", "written", "converted"),
    [
        ({"user": {"name": 7}}, {"user": {"name": "7"}}, ["user.name converted"]),
        ({"user": {"name": 0.5}}, {"user": {"name": "0.5"}}, ["user.name converted"]),
        ({"user": {"name": True}}, {"user": {"name": "true"}}, ["user.name converted"]),
        ({"id": "4200000001"}, {"id": 4200000001}, ["id converted"]),
        ({"id": "-7"}, {"id": -7}, ["id converted"]),
        ({"id": 7.0}, {"id": 7}, ["id converted"]),
        ({"score": 7}, {"score": 7}, []),
        ({"score": 7.5}, {"score": 7.5}, []),
        ({"id": -(2**63), "score": 2**63 - 1}, {"id": -(2**63), "score": 2**63 - 1}, []),
        ({"id": -(2.0**63)}, {"id": -(2**63)}, ["id converted"]),
        ({"id": 2**63 - 1, "score": None, "active": False}, {"id": 2**63 - 1, "score": None, "active": False}, []),
    ],
)
def test_values_of_another_type_are_converted_where_nothing_is_lost(
    sent: dict[str, Any], written: dict[str, Any], converted: list[str]
) -> None:
    record, odd = shape(sent)

    assert (record, odd) == (written, converted)
    assert [type(value) for value in record.values()] == [type(value) for value in written.values()]


def test_a_key_that_is_missing_is_named() -> None:
    schema = th.PropertiesList(th.Property("id", th.IntegerType, required=True, nullable=False)).to_dict()
    shaper = RecordShaper(schema, Mask(), lambda field, oddity: None)  # noqa: ARG005

    with pytest.raises(ResponseError, match=r"^Aircall sent a record without its 'id'\.$"):
        shaper.shape({})
    with pytest.raises(ResponseError, match=r"^Aircall sent a field 'id' with null where a whole number belongs\.$"):
        shaper.shape({"id": None})


def test_endless_variety_of_records_takes_limited_memory() -> None:
    shaper = RecordShaper(SCHEMA, Mask(), lambda field, oddity: None)  # noqa: ARG005
    for number in range(2 * MANY_SHAPES + 7):
        record: dict[str, Any] = {"id": 1, f"field_{number}": 1}
        shaper.shape(record)
        assert record == {"id": 1}

    assert len(shaper._plans) <= MANY_SHAPES  # noqa: SLF001 - memory shows in no other way


def test_an_object_that_comes_again_is_shaped_as_it_came() -> None:
    schema = th.PropertiesList(
        th.Property(
            "user",
            th.ObjectType(
                th.Property("id", th.IntegerType),
                th.Property("created_at", th.DateTimeType),
                th.Property("team", th.ObjectType(th.Property("name", th.StringType))),
            ),
        )
    ).to_dict()
    shaper = RecordShaper(schema, Mask(), lambda field, oddity: None)  # noqa: ARG005

    def user(second: int, **fields: Any) -> dict[str, Any]:
        return {"user": {"id": 7, "created_at": second, "team": {"name": "A", "x": 1}, **fields}}

    for second in (0, 0, 60, 0):
        assert shaper.shape(user(second)) == {
            "user": {"id": 7, "created_at": f"1970-01-01T00:0{second // 60}:00Z", "team": {"name": "A"}}
        }
    assert shaper.shape(user(0, team={"name": "B"}))["user"]["team"] == {"name": "B"}
    assert shaper.shape(user(0, team={"name": "B"}))["user"]["team"] == {"name": "B"}
    with pytest.raises(ResponseError):
        shaper.shape({"user": {"id": [7]}})
