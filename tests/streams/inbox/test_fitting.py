"""Whatever webhooks told fits the schema in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_aircall.schemas import inbox as schemas
from tap_aircall.streams.inbox.fitting import fitted

MESSAGE = schemas.of("messages")


def fit(**record: Any) -> tuple[dict[str, Any], list[str]]:
    """Fit a message, and return it with the names of the fields that had to be left out."""
    reported: list[str] = []
    return fitted(record, MESSAGE, reported.append), reported


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"id": 7}, {"id": "7"}),
        ({"body": {"text": "x"}}, {"body": '{"text":"x"}'}),
        ({"position": "12"}, {"position": 12}),
        ({"position": 12.0}, {"position": 12}),
        ({"created_at": 1_795_438_800}, {"created_at": "2026-11-23T13:00:00Z"}),
        ({"created_at": 1_795_438_800_250}, {"created_at": "2026-11-23T13:00:00.250Z"}),
        ({"created_at": "1795438800000"}, {"created_at": "2026-11-23T13:00:00Z"}),
        ({"created_at": "2026-11-23T14:00:00+01:00"}, {"created_at": "2026-11-23T13:00:00Z"}),
        ({"media_url": ["a", None, 7]}, {"media_url": ["a", "7"]}),
        ({"metadata": {"a": [1, {"b": None}]}}, {"metadata": {"a": [1, {"b": None}]}}),
        ({"number": {"id": "5", "unknown": 1}}, {"number": {"id": 5, "unknown": 1}}),
        ({"body": None, "unknown": 1}, {"body": None, "unknown": 1}),
    ],
)
def test_a_value_takes_the_form_of_its_field(told: dict[str, Any], kept: dict[str, Any]) -> None:
    assert fit(**told) == (kept, [])


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": True}, "created_at"),
        ({"position": 2**63}, "position"),
        ({"position": "x"}, "position"),
        ({"number": "Sales"}, "number"),
        ({"number": {"id": [1]}}, "number.id"),
        ({"media_details": "x"}, "media_details"),
        ({"media_details": ["x"]}, "media_details"),
    ],
)
def test_what_fits_no_way_is_null_and_named(told: dict[str, Any], field: str) -> None:
    record, reported = fit(**told)
    assert reported == [field]
    for name in field.split("."):
        record = record[name]
    assert record is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
OPTIONAL = {
    name: definition
    for stream in ("messages", "call_events", "ai_voice_agent_sessions")
    for name, definition in schemas.of(stream)["properties"].items()
    if "null" in definition["type"]
}


@given(st.dictionaries(st.sampled_from(sorted(OPTIONAL)), ANYTHING, max_size=4))
def test_whatever_comes_satisfies_the_schema(told: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": OPTIONAL}
    Draft202012Validator(schema).validate(fitted(told, schema, lambda _: None))
