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
from tests.messages import check, refused
from tests.slow import few_or_many
from tests.targets.test_personal_data import PRINTED

if TYPE_CHECKING:
    from tests.conftest import Aircall

PHONE = "+33 6 12 34 56 78"
"""Planted; see tests/leaks.py."""
T0 = int(NOW)
CAMPAIGNS = {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}


def make(maps: Any, **config: Any) -> TapAircall:
    config = {"user": "id", "password": "token", "custom_streams": [CAMPAIGNS], "stream_maps": maps, **config}
    return TapAircall(config=json.loads(json.dumps(config)))


@pytest.mark.parametrize(
    ("maps", "place", "named"),
    [
        ({"cals": None}, "cals", "calls"),
        ({"cals": {"raw_digits": None}}, "cals", "calls"),
        ({"Calls": {"raw_digits": None}}, "Calls", "calls"),
        ({"xyz_*": None}, "xyz_*", "--discover"),
        ({"__esle__": None}, "__esle__", "__else__"),
        ({"copy": {"__source__": "cals"}}, "copy", "calls"),
        ({"calls": {"raw_digit": None}}, "calls.raw_digit", "raw_digits"),
        ({"calls": {"raw_digit": "__NULL__"}}, "calls.raw_digit", "raw_digits"),
        ({"call?": {"raw_digit": None}}, "call?.raw_digit", "raw_digits"),
        ({"calls": {"user.name": None}}, "calls.user.name", "user"),
        ({"calls": 7}, "calls", "null"),
        ({"calls": {"user": {"name": None}}}, "calls.user", "null"),
        ({"calls": {"__else__": {}}}, "calls.__else__", "null"),
        ({"__else__": "id"}, "__else__", "null"),
        ({"calls": {"__key_properties__": "id"}}, "calls.__key_properties__", "[]"),
        ({"calls": {"__key_properties__": None}}, "calls.__key_properties__", "[]"),
        ({"calls": {"__source__": None}}, "calls.__source__", "stream"),
        *(({"calls": {"__alias__": alias}}, "calls.__alias__", "__stream_name__") for alias in ("", None, "a b", "1x")),
        ({"calls": {"__filter__": ["id"]}}, "calls.__filter__", "expression"),
        ({"calls": {"xyz": None}}, "calls.xyz", "--discover"),
        *(
            ({"calls": {"x": text}}, "calls.x", "raw_digits")
            for text in ("md5(raw_digit)", "record['raw_digit']", "_.get('raw_digit')")
        ),
        ({"calls": {"raw_digit": "md5(self)"}}, "calls.raw_digit", "'self'"),
        ({"calls": {"__filter__": "raw_digit"}}, "calls.__filter__", "raw_digits"),
        ({"calls": {"__filters__": "id > 1"}}, "calls.__filters__", "__filter__"),
        ({"calls": {"id": None}}, "calls", '"id": "id"'),
        ({"calls": {"cost": "cost", "__else__": None}}, "calls", '"id": "id"'),
        ({"calls": {"__key_properties__": ["idd"]}}, "calls", '"idd": "idd"'),
        *(
            ({"calls": {"x": text}}, "calls.x", "expression")
            for text in ("", "1 +", "x = 1", "1; 2", "\0", "(" * 500, "'secret seed' +")
        ),
        ({"campaigns": {"phone": None, "id": None}}, "campaigns", '"id": "id"'),
    ],
)  # fmt: skip
def test_a_map_of_something_unknown_is_refused_by_name(maps: dict[str, Any], place: str, named: str) -> None:
    with refused(InputError, f"stream_maps.{place}:", named) as raised:
        make(maps)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("maps", "named"),
    [
        ({"calls": {"__alias__": "contacts"}}, ["'calls'", "'contacts'"]),
        ({"user*": {"__alias__": "people"}}, ["'users'", "'user_availabilities'", "'people'"]),
        ({"calls": {"__alias__": "2 + 3"}}, ["'calls'", "__alias__"]),
        ({"calls": {"__alias__": "'a\\nb'"}}, ["'calls'", "__alias__"]),
    ],
)
def test_two_streams_cannot_have_one_name(maps: dict[str, Any], named: list[str]) -> None:
    with refused(InputError, "stream_maps", *named):
        make(maps)


def test_flattening_that_mixes_columns_is_refused_where_the_stream_is_selected() -> None:
    flat = {"flattening_enabled": True, "flattening_max_depth": 1, "flattening_separator": "_"}
    make({}, streams=["calls"], **flat)

    with refused(InputError, "flattening_separator", "call_events"):
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
    ("maps", "named"),
    [
        ({"raw_digits": "int(self)"}, ["'raw_digits'", "ValueError"]),
        ({"raw_digits": "self + 1"}, ["'raw_digits'", "TypeError"]),
        ({"x": "record[raw_digits]"}, ["'x'", "KeyError"]),
        ({"x": "duration / 0"}, ["'x'", "ZeroDivisionError"]),
        ({"x": "1 / 0", "y": "1 / 0", "z": "id"}, ["'x'", "'y'", "ZeroDivisionError"]),
        ({"x": "(lambda: raw_digits)()"}, ["'x'", "FeatureNotAvailable"]),
        ({"__filter__": "raw_digits > 1"}, ["__filter__", "TypeError"]),
        ({"x": "md5(cost)"}, ["'x'", "'cost'", "record.get()"]),
    ],
)
def test_a_failing_map_leaks_nothing_of_the_record(
    aircall: Aircall, caplog: pytest.LogCaptureFixture, maps: dict[str, Any], named: list[str]
) -> None:
    call = aircall.world.add_call(started_at=T0 - 90_000, raw_digits=PHONE)
    call.pop("cost", None)
    aircall.world.calls[call["id"]].pop("cost", None)

    with caplog.at_level(logging.DEBUG), refused(InputError, "'calls'", "stream_maps", *named) as raised:
        aircall.run("calls", stream_maps={"calls": maps})

    assert PHONE not in caplog.text + str(raised.value)


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
@settings(max_examples=few_or_many(25, 400), suppress_health_check=list(HealthCheck))
def test_a_removed_field_never_leaves_the_tap(aircall: Aircall, maps: dict[str, Any]) -> None:
    if not aircall.world.calls:
        aircall.world.add_call(started_at=T0 - 90_000, raw_digits=PHONE)
    try:
        run = aircall.run("calls", "contacts", stream_maps=maps)
    except InputError as error:
        check(error, InputError, "stream_maps")
        assert "\n" not in str(error)  # noqa: PT017 - it may raise nothing as well
        return
    for pattern, rules in maps.items():
        if pattern in {"calls", "*", "c*"} and (rules is None or rules == "__NULL__"):
            assert "calls" not in {m["stream"] for m in run.messages if m["type"] == "RECORD"} or "calls" in maps
        if pattern == "calls" and isinstance(rules, dict) and "__source__" not in rules:
            removed = {name for name, rule in rules.items() if rule in {None, "__NULL__"}}
            assert not [record for record in run.records("calls") if removed & record.keys()]
