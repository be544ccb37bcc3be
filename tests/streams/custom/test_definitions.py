"""The setting `custom_streams`: defaults, and the line for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from tap_aircall.errors import InputError
from tap_aircall.streams.custom.definitions import Definition, Replication, parse_definitions

GOOD = {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}
TAKEN = {"calls", "users"}
PATH = "must begin with /v1/ or /v2/, and have no ?, #, %, .. or spaces."
NAME = "must be made of letters, digits and underscores, and not begin with a digit."
KEYS = "must be distinct field names, none of them 'record'."


def line(*definitions: Any) -> str:
    with pytest.raises(InputError) as caught:
        parse_definitions(list(definitions), TAKEN)
    return str(caught.value)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_no_definition_means_no_stream() -> None:
    assert parse_definitions(None, TAKEN) == parse_definitions([], TAKEN) == []


def test_optional_keys_have_a_default() -> None:
    (definition,) = parse_definitions([GOOD | {"replication": None, "replication_key": None}], TAKEN)

    assert definition == Definition(
        name="campaigns",
        path="/v1/campaigns",
        records_key="campaigns",
        primary_keys=("id",),
        replication=Replication.FULL_TABLE,
        replication_key=None,
    )


@pytest.mark.parametrize("replication", ["from_to", "FROM_TO", "newest_first"])
def test_replication_may_be_in_any_letter_case(replication: str) -> None:
    (definition,) = parse_definitions([GOOD | {"replication": replication, "replication_key": "updated_at"}], TAKEN)

    assert (definition.replication, definition.replication_key) == (replication.lower(), "updated_at")


@pytest.mark.parametrize("path", ["/v1/a", "/v2/users/12/numbers", "/v1/a-b_c.d~e", "/v1/users/me@example.com"])
def test_good_paths_are_accepted(path: str) -> None:
    (definition,) = parse_definitions([GOOD | {"path": path}], TAKEN)
    assert definition.path == path


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("campaigns", "0: must be an object."),
        ({}, "0.name: missing; give the name of the stream."),
        (without("name"), "0.name: missing; give the name of the stream."),
        (GOOD | {"name": ""}, "0.name: missing; give the name of the stream."),
        (without("path"), "0.path: missing; give the path of the list or object, such as /v1/campaigns."),
        (without("records_key"), "0.records_key: missing; give the key of the list or object in Aircall's answer."),
        (without("primary_keys"), '0.primary_keys: missing; give the fields that identify a record, such as ["id"].'),
        (
            GOOD | {"primary_keys": []},
            '0.primary_keys: missing; give the fields that identify a record, such as ["id"].',
        ),
        (GOOD | {"record_key": "x"}, "0.record_key: unknown; did you mean records_key?"),
        (
            GOOD | {"x": 1},
            (
                "0.x: unknown; there are name, path, records_key, primary_keys, replication, replication_key, parent, "
                "parent_key."
            ),
        ),
        (GOOD | {"name": 7}, "0.name: must be a string."),
        (GOOD | {"path": ["/v1/a"]}, "0.path: must be a string."),
        (GOOD | {"primary_keys": "id"}, "0.primary_keys: must be an array."),
        (GOOD | {"replication": True}, "0.replication: must be a string."),
        (GOOD | {"name": "my campaigns"}, f"0.name: {NAME}"),
        (GOOD | {"name": "1st"}, f"0.name: {NAME}"),
        (GOOD | {"name": "a;b"}, f"0.name: {NAME}"),
        (GOOD | {"name": "calls"}, "0.name: 'calls' is a built-in stream; choose another name."),
        (GOOD | {"name": "Users"}, "0.name: 'Users' is a built-in stream; choose another name."),
        *(
            (GOOD | {"path": path}, f"0.path: {PATH}")
            for path in (
                "campaigns",
                "/campaigns",
                "/v3/campaigns",
                "/v1/",
                "/v1",
                "/v1//a",
                "/v1/a/",
                "/v1/a?page=2",
                "/v1/a#b",
                "/v1/../oauth",
                "/v1/a/..",
                "/v1/./a",
                "/v1/a b",
                "/v1/%2e%2e/a",
                "/v1/a\n",
                "https://example.com/v1/a",
                "//example.com/v1/a",
            )
        ),
        (GOOD | {"primary_keys": ["id", "id"]}, f"0.primary_keys: {KEYS}"),
        (GOOD | {"primary_keys": ["id", ""]}, f"0.primary_keys: {KEYS}"),
        (GOOD | {"primary_keys": [1]}, f"0.primary_keys: {KEYS}"),
        (GOOD | {"primary_keys": ["record"]}, f"0.primary_keys: {KEYS}"),
        *(
            (
                GOOD | {"primary_keys": ["id", key]},
                f"0.primary_keys: '{key}' is a secret, which never leaves the tap; choose another field.",
            )
            for key in ("token", "Token", "client_secret", "password")
        ),
        (GOOD | {"replication": "log"}, "0.replication: must be one of full_table, from_to, newest_first."),
        (
            GOOD | {"replication": "from_to"},
            "0.replication_key: missing; give the time that the list is ordered by, for replication from_to.",
        ),
        (GOOD | {"replication_key": "created"}, "0.replication_key: has no effect, since replication is full_table."),
        (
            GOOD | {"replication": "from_to", "replication_key": "id"},
            "0.replication_key: must not be one of the primary_keys or 'record'.",
        ),
    ],
)
def test_each_mistake_has_its_line(item: Any, expected: str) -> None:
    assert line(item) == f"Setting custom_streams.{expected}"


def test_the_line_says_which_definition_is_wrong() -> None:
    assert line(GOOD, GOOD | {"name": "Campaigns"}) == "Setting custom_streams.1.name: 'Campaigns' is defined twice."
    with pytest.raises(InputError, match=r"^Setting custom_streams: must be an array\.$"):
        parse_definitions({"name": "campaigns"}, TAKEN)
