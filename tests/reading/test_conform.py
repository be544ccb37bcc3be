"""Whatever Aircall sends fits the schema in the end, and nothing of it is lost without a word."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

import pytest
import singer_sdk.typing as th
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_aircall import schemas
from tap_aircall.errors import ResponseError
from tap_aircall.reading.conform import DEEPEST_VALUE, Misfit, conform, is_recognised, looks_secret
from tap_aircall.schemas.notation import ADDITIONAL_FIELDS, completed, has, integer, open_object
from tests.messages import refused
from tests.streams.test_schemas import FORMATS, STREAMS, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_aircall.reading.pages import Record
    from tap_aircall.streams.base import AircallStream

USER = th.ObjectType(th.Property("name", th.StringType), th.Property("created_at", th.DateTimeType))
COMMENT = th.ObjectType(th.Property("posted_at", th.DateTimeType), th.Property("by", USER), nullable=True)
SCHEMA = completed(
    th.PropertiesList(
        th.Property("id", th.IntegerType),
        th.Property("started_at", th.DateTimeType),
        th.Property("user", USER),
        th.Property("comments", th.ArrayType(COMMENT)),
        th.Property("events", th.ArrayType(th.StringType)),
        th.Property("numbers", th.ArrayType(th.IntegerType(nullable=True))),
        th.Property("active", th.BooleanType),
        th.Property("score", th.NumberType),
    ).to_dict()["properties"]
    | {"body": open_object("What was sent.")}
)
OURS = cast("list[AircallStream]", [*STREAMS.values()])
KEYED = th.PropertiesList(th.Property("id", th.IntegerType, required=True, nullable=False)).to_dict()


def conformed(
    record: Record, schema: Mapping[str, Any] = SCHEMA, **options: Any
) -> tuple[Record, list[tuple[str, Misfit]]]:
    """Conform a record; return it and what was reported."""
    reported: list[tuple[str, Misfit]] = []
    before = json.dumps(record)
    result = conform(record, schema, lambda path, kind: reported.append((path, kind)), **options)
    assert json.dumps(record) == before
    return result, reported


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = {"a": value}
    return value


def test_times_are_converted_at_every_depth() -> None:
    assert conformed(
        {
            "id": 2**40,
            "started_at": 0,
            "user": {"name": "Ada", "created_at": "2019-12-29T10:03:18.000Z"},
            "comments": [{"posted_at": 1790603050, "by": None}, None, {"by": {"created_at": 60}}],
            "events": ["a"],
        }
    ) == (
        {
            "id": 2**40,
            "started_at": "1970-01-01T00:00:00Z",
            "user": {"name": "Ada", "created_at": "2019-12-29T10:03:18.000Z"},
            "comments": [
                {"posted_at": "2026-09-28T13:44:10Z", "by": None},
                None,
                {"by": {"created_at": "1970-01-01T00:01:00Z"}},
            ],
            "events": ["a"],
        },
        [],
    )


def test_a_source_may_have_times_of_its_own() -> None:
    sent = {"started_at": "noon", "user": {"created_at": "noon"}, "comments": [{"posted_at": "noon"}]}

    assert conformed(sent, to_time=lambda value: {"noon": "2026-09-28T12:00:00Z"}[value])[0] == {
        "started_at": "2026-09-28T12:00:00Z",
        "user": {"created_at": "2026-09-28T12:00:00Z"},
        "comments": [{"posted_at": "2026-09-28T12:00:00Z"}],
    }


def test_unknown_fields_are_kept_by_their_paths_and_named_at_every_depth() -> None:
    record, reported = conformed(
        {
            "id": 1,
            "mood": {"of": ["x", 1]},
            "user": {"shoe": 43, "name": "Ada"},
            "comments": [{"by": {"hat": 1}}, None, {"x": 2}, {"by": {"hat": False}}],
        }
    )

    assert record == {
        "id": 1,
        "user": {"name": "Ada"},
        "comments": [{"by": {}}, None, {}, {"by": {}}],
        "additional_fields": {
            "mood": {"of": ["x", 1]},
            "user.shoe": 43,
            "comments[].by.hat": [1, None, None, False],
            "comments[].x": [None, None, 2, None],
        },
    }
    assert {kind for _, kind in reported} == {Misfit.UNKNOWN}
    assert {path for path, _ in reported} == {"comments[].by.hat", "comments[].x", "mood", "user.shoe"}


def test_an_unknown_field_that_is_null_is_named_only() -> None:
    assert conformed({"id": 1, "mood": None}) == ({"id": 1}, [("mood", Misfit.UNKNOWN)])


def test_unknown_fields_of_an_open_record_stay_where_they_are() -> None:
    sent = {"id": 1, "mood": {"a": 1}, "user": {"shoe": 43}}

    assert conformed(sent, is_open=True) == (
        {"id": 1, "mood": {"a": 1}, "user": {}, "additional_fields": {"user.shoe": 43}},
        [("user.shoe", Misfit.UNKNOWN)],
    )


def test_what_is_not_selected_is_neither_named_nor_kept() -> None:
    sent = {"started_at": "no time", "user": {"shoe": 43, "created_at": "no time"}, "id": "7", "mood": 1}

    record, reported = conformed(sent, is_selected=lambda path: path == "mood")

    assert record["additional_fields"] == {"mood": 1}
    assert reported == [("mood", Misfit.UNKNOWN)]


def test_a_schema_without_the_column_has_no_place_for_more() -> None:
    assert conformed({"id": 1, "mood": 1}, KEYED) == ({"id": 1}, [("mood", Misfit.UNKNOWN)])


@pytest.mark.parametrize(
    ("sent", "written", "path", "kept"),
    [
        ({"started_at": "no time"}, {"started_at": None}, "started_at", "no time"),
        ({"started_at": ""}, {"started_at": None}, "started_at", ""),
        ({"started_at": True}, {"started_at": None}, "started_at", True),
        ({"user": {"created_at": []}}, {"user": {"created_at": None}}, "user.created_at", []),
        ({"user": "Ada"}, {"user": None}, "user", "Ada"),
        ({"comments": "Ada"}, {"comments": None}, "comments", "Ada"),
        ({"comments": [{"by": {}}, "Ada", 7, None]}, {"comments": [{"by": {}}, None]}, "comments[]", ["Ada", 7]),
        ({"comments": ["a", "b"]}, {"comments": []}, "comments[]", ["a", "b"]),
        ({"comments": [{"by": {}}, {"by": 7}]}, {"comments": [{"by": {}}, {"by": None}]}, "comments[].by", [None, 7]),
        ({"comments": [{"posted_at": 10**30}]}, {"comments": [{"posted_at": None}]}, "comments[].posted_at", [10**30]),
        ({"id": "4.5"}, {"id": None}, "id", "4.5"),
        ({"id": 2**63}, {"id": None}, "id", 2**63),
        ({"score": -(2**63) - 1}, {"score": None}, "score", -(2**63) - 1),
        ({"id": 2.0**63}, {"id": None}, "id", 2.0**63),
        ({"id": 4.5}, {"id": None}, "id", 4.5),
        ({"id": "9" * 30}, {"id": None}, "id", "9" * 30),
        ({"id": "007"}, {"id": None}, "id", "007"),
        ({"id": True}, {"id": None}, "id", True),
        ({"numbers": [1, [2], "3"]}, {"numbers": [1, 3]}, "numbers[]", [[2]]),
        ({"active": 1}, {"active": None}, "active", 1),
        ({"active": "true"}, {"active": None}, "active", "true"),
        ({"score": "high"}, {"score": None}, "score", "high"),
        ({"score": True}, {"score": None}, "score", True),
        ({"body": "text"}, {"body": None}, "body", "text"),
    ],
)
def test_what_fits_no_way_is_null_and_kept_and_named(sent: Record, written: Record, path: str, kept: Any) -> None:
    record, reported = conformed(sent)

    assert record == written | {"additional_fields": {path: kept}}
    assert {each for each in reported if each[1] is Misfit.UNUSABLE} == {(path, Misfit.UNUSABLE)}


@pytest.mark.parametrize(
    ("sent", "written", "converted"),
    [
        ({"user": {"name": 7}}, {"user": {"name": "7"}}, ["user.name"]),
        ({"user": {"name": 0.5}}, {"user": {"name": "0.5"}}, ["user.name"]),
        ({"user": {"name": True}}, {"user": {"name": "true"}}, ["user.name"]),
        ({"user": {"name": 2**70}}, {"user": {"name": str(2**70)}}, ["user.name"]),
        ({"user": {"name": {"a": ["é"]}}}, {"user": {"name": '{"a":["é"]}'}}, ["user.name"]),
        ({"events": ["a", 1, None]}, {"events": ["a", "1"]}, ["events[]"]),
        ({"id": "4200000001"}, {"id": 4200000001}, ["id"]),
        ({"id": "-7"}, {"id": -7}, ["id"]),
        ({"id": 7.0}, {"id": 7}, ["id"]),
        ({"score": 7}, {"score": 7}, []),
        ({"score": 7.5}, {"score": 7.5}, []),
        ({"id": -(2**63), "score": 2**63 - 1}, {"id": -(2**63), "score": 2**63 - 1}, []),
        ({"id": -(2.0**63)}, {"id": -(2**63)}, ["id"]),
        ({"id": 2**63 - 1, "score": None, "active": False}, {"id": 2**63 - 1, "score": None, "active": False}, []),
    ],
)
def test_values_of_another_type_are_converted_where_nothing_is_lost(
    sent: Record, written: Record, converted: list[str]
) -> None:
    record, reported = conformed(sent)

    record.pop(ADDITIONAL_FIELDS, None)
    assert record == written
    assert [path for path, kind in reported if kind is Misfit.CONVERTED] == converted
    assert [type(value) for value in record.values()] == [type(value) for value in written.values()]


def test_what_looks_like_a_secret_is_named_and_stays_out() -> None:
    sent = {
        "api_token": "s3cr3t",
        "PassWord": ["s3cr3t"],
        "mood": {"x-signature": "s3cr3t", "a": [{"clientSecret": "s3cr3t", "b": 1}]},
        "user": {"name": {"token": "s3cr3t", "x": 1}, "user_secrets": "s3cr3t"},
        "comments": [{"tokens": "s3cr3t"}, [{"secret": "s3cr3t"}]],
    }

    record, reported = conformed(sent)

    assert record == {
        "user": {"name": '{"x":1}'},
        "comments": [{}],
        "additional_fields": {"mood": {"a": [{"b": 1}]}, "comments[]": [[{}]]},
    }
    assert sorted(path for path, kind in reported if kind is Misfit.SECRET) == [
        "PassWord",
        "api_token",
        "comments[].tokens",
        "comments[][].secret",
        "mood.a[].clientSecret",
        "mood.x-signature",
        "user.name.token",
        "user.user_secrets",
    ]


def test_a_field_that_the_schema_has_is_no_secret() -> None:
    schema = completed({"token_count": integer("How many."), "body": open_object("What was sent.")})
    record = {"token_count": 7, "body": {"token": "of a conversation"}}

    assert conformed(record, schema) == (record, [])


def test_what_is_dropped_without_a_word_looks_like_a_secret() -> None:
    for stream in OURS:
        assert all(map(looks_secret, stream.secret_fields))


@pytest.mark.parametrize("endless", [math.inf, -math.inf, math.nan])
def test_endless_numbers_are_null_wherever_they_are(endless: float) -> None:
    sent = {"id": endless, "score": endless, "user": {"name": endless}, "mood": [endless, 1], "body": {"a": endless}}

    record, reported = conformed(sent)

    assert record == {
        "id": None,
        "score": None,
        "user": {"name": None},
        "body": {"a": None},
        "additional_fields": {"mood": [None, 1]},
    }
    paths = {path for path, kind in reported if kind is Misfit.UNUSABLE}
    assert paths == {"id", "score", "user.name", "mood[]", "body.a"}


def test_what_is_nested_too_deep_is_cut_and_named() -> None:
    deep = nested("deep", 900)
    sent = {"body": deep, "mood": deep, "user": {"name": deep}, "numbers": [deep]}

    record, reported = conformed(sent)

    assert record["body"] == record[ADDITIONAL_FIELDS]["mood"] == nested(None, DEEPEST_VALUE)
    assert json.loads(record["user"]["name"]) == nested(None, DEEPEST_VALUE)
    assert record[ADDITIONAL_FIELDS]["numbers[]"] == [nested(None, DEEPEST_VALUE)]
    assert ("body" + ".a" * DEEPEST_VALUE, Misfit.UNUSABLE) in reported


@pytest.mark.parametrize("sent", [{}, *({"id": value} for value in (None, "s3cr3t", 2**63, [7], {"id": 7}, True, 7.5))])
def test_a_key_that_is_missing_or_unusable_is_named_without_its_value(sent: Record) -> None:
    with refused(ResponseError, "'id'") as raised:
        conformed(sent, KEYED)
    assert "s3cr3t" not in str(raised.value)


def test_a_key_is_converted_like_any_field() -> None:
    assert conformed({"id": "7"}, KEYED) == ({"id": 7}, [("id", Misfit.CONVERTED)])


@pytest.mark.parametrize("value", ["text", ["text"], 7])
def test_a_field_of_aircalls_with_the_name_of_the_column_is_kept_as_well(value: Any) -> None:
    assert conformed({ADDITIONAL_FIELDS: value, "mood": 1})[0] == {
        ADDITIONAL_FIELDS: {ADDITIONAL_FIELDS: value, "mood": 1}
    }
    sent = {ADDITIONAL_FIELDS: {"x": value, "token": "s3cr3t"}, "mood": 1}
    assert conformed(sent)[0] == {ADDITIONAL_FIELDS: {"x": value, "mood": 1}}


def test_a_field_of_no_stated_type_may_be_anything() -> None:
    schema: dict[str, Any] = {"properties": {"a": {}, "b": {"items": {}}}}
    record = {"a": {"x": [1, None]}, "b": [1, "2", {"x": 1}]}

    assert conformed(record, schema) == (record, [])


class TestRecognition:
    @pytest.mark.parametrize(
        ("stream", "answer"),
        [
            ("call_sentiments", {"id": 7}),
            ("call_sentiments", {"participants": [{"value": "POSITIVE"}]}),
            ("call_sentiments", {"participants": []}),
            ("call_sentiments", {"participants": ["POSITIVE", {"value": "POSITIVE"}], "x": 1}),
            ("call_summaries", {"content": ""}),
            ("call_csat_predictions", {"score": 0}),
            ("call_csat_predictions", {"score": "0"}),
            ("call_transcriptions", {"content": {"language": "en"}}),
            ("call_evaluations", {"ai_generated": False}),
        ],
    )
    def test_one_known_field_is_enough(self, stream: str, answer: Record) -> None:
        assert is_recognised(answer, schemas.of(stream))
        assert is_recognised(answer | {"call_id": 7}, schemas.of(stream))

    @pytest.mark.parametrize(
        ("stream", "answer"),
        [
            ("call_sentiments", {}),
            ("call_sentiments", {"sentiments": [{"value": "POSITIVE"}]}),
            ("call_sentiments", {"id": None, "participants": None}),
            ("call_sentiments", {"participants": ["POSITIVE"]}),
            ("call_sentiments", {"participants": [{"feeling": "POSITIVE"}]}),
            ("call_sentiments", {"participants": [None]}),
            ("call_sentiments", {"participants": "POSITIVE"}),
            ("call_sentiments", {ADDITIONAL_FIELDS: {"participants": 1}}),
            ("call_transcriptions", {"content": "Hello"}),
            ("call_transcriptions", {"content": {}}),
            ("call_transcriptions", {"content": {"words": []}}),
            ("call_transcriptions", {"call_created_at": "yesterday"}),
            ("call_csat_predictions", {"score": "high"}),
        ],
    )
    def test_keys_and_what_is_unknown_or_unusable_are_not(self, stream: str, answer: Record) -> None:
        assert not is_recognised(answer, schemas.of(stream))
        assert not is_recognised(answer | {"call_id": 7}, schemas.of(stream))


# Drawn records

PLANTED = "pl4nt3d"
NAMES = st.sampled_from(["id", "name", "mood", "x", "created_at"])
SECRETS = st.sampled_from(["token", "apiToken", "SECRET_KEY", "password2", "x-signature"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 2 * 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "42", "-1", "3.5", "2026-11-23T14:00:00+01:00", "2026-11-23", "yesterday"])
    | st.text(max_size=5)
)


def anything(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3).map(planted)

    return st.recursive(LEAVES, deeper, max_leaves=6)


def planted(value: dict[str, Any]) -> dict[str, Any]:
    """Put a secret under each name that says so."""
    return {name: PLANTED if looks_secret(name) else inner for name, inner in value.items()}


OPEN_VALUES, VALUES = anything(NAMES), anything(NAMES | SECRETS)


@st.composite
def near(draw: st.DrawFn, definition: Mapping[str, Any]) -> Any:
    """Draw a value that a schema describes, or nearly."""
    if "additionalProperties" in definition:
        return draw(OPEN_VALUES)
    if draw(st.integers(0, 3)) == 0:
        return draw(VALUES)
    if "properties" in definition:
        return draw(near_object(definition))
    if "items" in definition:
        return draw(st.lists(near(definition["items"]), max_size=3))
    return draw(LEAVES)


@st.composite
def near_object(draw: st.DrawFn, definition: Mapping[str, Any]) -> Any:
    properties = definition["properties"].keys() - {ADDITIONAL_FIELDS, *definition.get("required", ())}
    known = draw(st.lists(st.sampled_from(sorted(properties)), max_size=4)) if properties else []
    unknown = draw(st.dictionaries(st.sampled_from(["mood", "x", "y"]) | SECRETS, VALUES, max_size=2))
    result = {name: draw(near(definition["properties"][name])) for name in known}
    return planted({name: value for name, value in unknown.items() if name not in definition["properties"]}) | result


@st.composite
def records(draw: st.DrawFn) -> tuple[AircallStream, Record]:
    stream = draw(st.sampled_from(OURS))
    return stream, draw(near_object(stream.schema)) | keys_of(stream)


def leaves(value: Any, path: str = "", skip: int = 0) -> Iterator[tuple[str, str]]:
    """Walk through what has no parts, each with its path and as JSON.

    Args:
        value: Anything.
        path: Its path.
        skip: For how many levels of lists the path has its `[]` already.
    """
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and (value or skip):
        for inner in value:
            yield from leaves(inner, path if skip else f"{path}[]", max(0, skip - 1))
    else:
        yield path, json.dumps(value)


def conformed_of(stream: AircallStream, record: Record) -> tuple[Record, list[tuple[str, Misfit]]]:
    return conformed(record, stream.schema, to_time=stream.to_time, is_open=stream.is_open)


@given(records())
def test_whatever_comes_fits_the_schema_and_nothing_of_it_is_lost_without_a_word(
    drawn: tuple[AircallStream, Record],
) -> None:
    stream, record = drawn

    result, reported = conformed_of(stream, record)

    Draft202012Validator(stream.schema, format_checker=FORMATS).validate(result)
    assert json.dumps(conformed_of(stream, result)[0], sort_keys=True) == json.dumps(result, sort_keys=True)
    aside = result.pop(ADDITIONAL_FIELDS, {})
    kept = {*leaves(result), *(leaf for path, value in aside.items() for leaf in leaves(value, path, path.count("[]")))}
    named = {path for path, kind in reported if kind in {Misfit.CONVERTED, Misfit.SECRET}}
    for path, value in leaves(record):
        above = {path[:end] for end in range(1, len(path) + 1)}
        is_null = value == "null" and (path, Misfit.UNKNOWN) in reported
        is_time = path.endswith("_at") and has(stream.schema, path)
        assert (path, value) in kept or above & named or is_null or is_time, path
    passed_on = result.keys() - stream.schema["properties"] if stream.is_open else set()
    assert PLANTED not in json.dumps([aside, {name: result[name] for name in result.keys() - passed_on}])


@given(st.sampled_from(OURS), st.data())
def test_only_keys_are_ever_refused(stream: AircallStream, data: st.DataObject) -> None:
    keys = keys_of(stream)
    record = keys | {name: data.draw(VALUES) for name in data.draw(st.sets(st.sampled_from(sorted(keys))))}

    try:
        result, _ = conformed_of(stream, record)
    except ResponseError as error:
        assert str(error).split("'")[1] in keys  # noqa: PT017 - some are refused
    else:
        assert all(result[name] is not None for name in keys)
