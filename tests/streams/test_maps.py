"""Stream maps: those rejected before reading, and those that fail for a record."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings
from singer_sdk.mapper import CustomStreamMap

from tap_aircall.errors import InputError
from tap_aircall.streams.maps import NAMES
from tap_aircall.streams.registry import STREAMS
from tap_aircall.tap import TapAircall
from tests.clock import NOW
from tests.slow import few_or_many
from tests.targets.test_personal_data import PRINTED

if TYPE_CHECKING:
    from tests.conftest import Aircall

PHONE = "+33 6 12 34 56 78"
"""Planted; see tests/leaks.py."""
T0 = int(NOW)
CAMPAIGNS = {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}
NONE_SUCH = "--discover lists them."
NO_FIELD = "which is not a field of the stream; did you mean raw_digits?"
NOT_WITHIN = "must be null or an expression; a map cannot reach into an object."
OF_FIELDS = "must be an array of names of fields, [] for no key."
AN_ALIAS = "must be a name, or an expression such as __stream_name__ + '_raw'."
OWN = "give them different names."
FAILS = "(setting stream_maps) fails for a record"


def key(name: str) -> str:
    return (
        f'removes \'{name}\', which is part of the key; keep it ("{name}": "{name}"), or name other fields in '
        "__key_properties__."
    )


def make(maps: Any, **config: Any) -> TapAircall:
    config = {"user": "id", "password": "token", "custom_streams": [CAMPAIGNS], "stream_maps": maps, **config}
    return TapAircall(config=json.loads(json.dumps(config)))


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        ({"cals": None}, "cals: there is no stream 'cals'; did you mean calls?"),
        ({"cals": {"raw_digits": None}}, "cals: there is no stream 'cals'; did you mean calls?"),
        ({"Calls": {"raw_digits": None}}, "Calls: there is no stream 'Calls'; did you mean calls?"),
        ({"xyz_*": None}, f"xyz_*: there is no stream 'xyz_*'; {NONE_SUCH}"),
        ({"__esle__": None}, "__esle__: there is no stream '__esle__'; did you mean __else__?"),
        ({"copy": {"__source__": "cals"}}, "copy: there is no stream 'cals'; did you mean calls?"),
        ({"calls": {"raw_digit": None}}, "calls.raw_digit: there is no such field; did you mean raw_digits?"),
        ({"calls": {"raw_digit": "__NULL__"}}, "calls.raw_digit: there is no such field; did you mean raw_digits?"),
        ({"call?": {"raw_digit": None}}, "call?.raw_digit: there is no such field; did you mean raw_digits?"),
        ({"calls": {"user.name": None}}, "calls.user.name: there is no such field; did you mean user?"),
        ({"calls": 7}, "calls: must be null or an object."),
        ({"calls": {"user": {"name": None}}}, f"calls.user: {NOT_WITHIN}"),
        ({"calls": {"__else__": {}}}, "calls.__else__: must be null."),
        ({"__else__": "id"}, "__else__: must be null."),
        ({"calls": {"__key_properties__": "id"}}, f"calls.__key_properties__: {OF_FIELDS}"),
        ({"calls": {"__key_properties__": None}}, f"calls.__key_properties__: {OF_FIELDS}"),
        ({"calls": {"__source__": None}}, "calls.__source__: must be the name of a stream."),
        *(({"calls": {"__alias__": alias}}, f"calls.__alias__: {AN_ALIAS}") for alias in ("", None, "a b", "1x")),
        ({"calls": {"__filter__": ["id"]}}, "calls.__filter__: must be an expression."),
        ({"calls": {"xyz": None}}, f"calls.xyz: there is no such field; {NONE_SUCH}"),
        ({"calls": {"x": "md5(raw_digit)"}}, f"calls.x: uses 'raw_digit', {NO_FIELD}"),
        ({"calls": {"x": "record['raw_digit']"}}, f"calls.x: uses 'raw_digit', {NO_FIELD}"),
        ({"calls": {"x": "_.get('raw_digit')"}}, f"calls.x: uses 'raw_digit', {NO_FIELD}"),
        (
            {"calls": {"raw_digit": "md5(self)"}},
            "calls.raw_digit: uses 'self', which is not a field of the stream; --discover lists the fields.",
        ),
        ({"calls": {"__filter__": "raw_digit"}}, f"calls.__filter__: uses 'raw_digit', {NO_FIELD}"),
        ({"calls": {"__filters__": "id > 1"}}, "calls.__filters__: unknown; did you mean __filter__?"),
        ({"calls": {"id": None}}, f"calls: {key('id')}"),
        ({"calls": {"cost": "cost", "__else__": None}}, f"calls: {key('id')}"),
        ({"calls": {"__key_properties__": ["idd"]}}, f"calls: {key('idd')}"),
        *(
            ({"calls": {"x": text}}, "calls.x: is not a valid expression.")
            for text in ("", "1 +", "x = 1", "1; 2", "\0", "(" * 500, "'secret seed' +")
        ),
        ({"campaigns": {"phone": None, "id": None}}, f"campaigns: {key('id')}"),
    ],
)  # fmt: skip
def test_a_map_of_something_unknown_is_refused_by_name(maps: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        make(maps)

    assert str(caught.value) == f"Setting stream_maps.{line}"


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        ({"calls": {"__alias__": "contacts"}}, f"'calls' and 'contacts' would both be 'contacts'; {OWN}"),
        ({"user*": {"__alias__": "people"}}, f"'users' and 'user_availabilities' would both be 'people'; {OWN}"),
        ({"calls": {"__alias__": "2 + 3"}}, "the __alias__ of 'calls' is not a usable name."),
        ({"calls": {"__alias__": "'a\\nb'"}}, "the __alias__ of 'calls' is not a usable name."),
    ],
)  # fmt: skip
def test_two_streams_cannot_have_one_name(maps: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        make(maps)

    assert str(caught.value) == f"Setting stream_maps: {line}"


def test_flattening_that_mixes_columns_is_refused_where_the_stream_is_selected() -> None:
    flat = {"flattening_enabled": True, "flattening_max_depth": 1, "flattening_separator": "_"}
    make({}, streams=["calls"], **flat)

    line = "Setting flattening_separator: gives two columns of stream 'call_events' the same name;"
    with pytest.raises(InputError, match=line):
        make({}, streams=["calls", "call_events"], **flat)


@pytest.mark.parametrize(
    "maps",
    [
        {"calls": {"hash": "md5(config['seed'] + raw_digits) if raw_digits else None", "raw_digits": None}},
        {"calls": {"raw_digits": "str(self)[:3]", "names": "[tag['name'] for tag in tags]", "x": "_['cost']"}},
        {"calls": {"__alias__": "phone_calls", "__filter__": "bool(duration > 5)", "id": "id", "__else__": None}},
        {"calls": {"x": "json.dumps(record)", "y": "datetime.datetime.now()", "__key_properties__": ["x"], "id": None}},
        {"calls": None, "call_t*": {"call_id": "call_id", "__else__": None}, "__else__": None},
        {"missed": {"__source__": "calls", "__filter__": "missed_call_reason"}, "contacts": "__NULL__"},
        {"campaigns": {"phone": None, "hash": "md5(phone)", "record": None}},
        {"number_message_configurations": {"sms_token": None}},
    ],
)
def test_maps_of_known_streams_and_fields_are_accepted(maps: dict[str, Any]) -> None:
    make(maps, stream_map_config={"seed": "x"})


def test_the_maps_for_personal_data_work_whatever_is_selected() -> None:
    make(PRINTED["stream_maps"], stream_map_config={"hash_seed": "x"})


def test_expressions_may_use_the_names_that_the_sdk_offers() -> None:
    stream_map = CustomStreamMap("x", {}, {}, {"properties": {}}, None, {}, None)

    assert set(stream_map.functions) <= NAMES
    assert stream_map.fake is None or "fake" in NAMES


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        ({"raw_digits": "int(self)"}, f"its map of field 'raw_digits' {FAILS}: ValueError."),
        ({"raw_digits": "self + 1"}, f"its map of field 'raw_digits' {FAILS}: TypeError."),
        ({"x": "record[raw_digits]"}, f"its map of field 'x' {FAILS}: KeyError."),
        ({"x": "duration / 0"}, f"its map of field 'x' {FAILS}: ZeroDivisionError."),
        ({"x": "1 / 0", "y": "1 / 0", "z": "id"}, f"its map of field 'x' or field 'y' {FAILS}: ZeroDivisionError."),
        ({"x": "(lambda: raw_digits)()"}, f"its map of field 'x' {FAILS}: FeatureNotAvailable."),
        ({"__filter__": "raw_digits > 1"}, f"its map of __filter__ {FAILS}: TypeError."),
        (
            {"x": "md5(cost)"},
            f"its map of field 'x' {FAILS}: the record has no 'cost'; use record.get() for optional fields.",
        ),
    ],
)  # fmt: skip
def test_a_failing_map_leaks_nothing_of_the_record(
    aircall: Aircall, caplog: pytest.LogCaptureFixture, maps: dict[str, Any], line: str
) -> None:
    call = aircall.world.add_call(started_at=T0 - 90_000, raw_digits=PHONE)
    call.pop("cost", None)
    aircall.world.calls[call["id"]].pop("cost", None)

    with caplog.at_level(logging.DEBUG), pytest.raises(InputError) as caught:
        aircall.run("calls", stream_maps={"calls": maps})

    assert str(caught.value) == f"Stream 'calls': {line}"
    assert PHONE not in caplog.text


NAMES_DRAWN = st.sampled_from(
    ["id", "raw_digits", "raw_digit", "user", "__else__", "__filter__", "__alias__", "x", "__source__"]
)
RULES = st.none() | st.sampled_from(
    ["__NULL__", "id", "self", "calls", "contacts", "1 +", "raw_digits + 1", "record", "fake"]
)
MAPS = st.dictionaries(
    st.sampled_from([*list(STREAMS)[:3], "cals", "c*", "*", "__else__", "__x__", "copy"]),
    st.none() | st.dictionaries(NAMES_DRAWN, RULES, max_size=4) | st.sampled_from(["__NULL__", "calls", 7]),
    max_size=3,
)


@given(maps=MAPS)
@example(maps={"c*": None, "*": {}})
@example(maps={"calls": {"id": "fake"}})
@settings(max_examples=few_or_many(40, 400), suppress_health_check=list(HealthCheck))
def test_a_removed_field_never_leaves_the_tap(aircall: Aircall, maps: dict[str, Any]) -> None:
    if not aircall.world.calls:
        aircall.world.add_call(started_at=T0 - 90_000, raw_digits=PHONE)
    try:
        run = aircall.run("calls", "contacts", stream_maps=maps)
    except InputError as error:
        line = str(error)
        assert line.startswith(("Setting stream_maps", "Stream '"))
        assert "\n" not in line
        return
    for pattern, rules in maps.items():
        if pattern in {"calls", "*", "c*"} and (rules is None or rules == "__NULL__"):
            assert "calls" not in {m["stream"] for m in run.messages if m["type"] == "RECORD"} or "calls" in maps
        if pattern == "calls" and isinstance(rules, dict) and "__source__" not in rules:
            removed = {name for name, rule in rules.items() if rule in {None, "__NULL__"}}
            assert not [record for record in run.records("calls") if removed & record.keys()]
