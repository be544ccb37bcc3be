"""The setting `custom_streams`: defaults, and the line for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from tap_aircall.errors import InputError
from tap_aircall.streams.custom.definitions import Definition, Replication, parse_definitions
from tests.messages import refused

GOOD = {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}
TAKEN = {"calls", "users"}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_no_definition_means_no_stream() -> None:
    assert parse_definitions([], TAKEN) == []


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
    ("item", "place", "facts"),
    [
        ({}, "0.name", []),
        *((without(name), f"0.{name}", []) for name in GOOD),
        (GOOD | {"name": ""}, "0.name", []),
        (GOOD | {"primary_keys": []}, "0.primary_keys", []),
        (GOOD | {"record_key": "x"}, "0.record_key", ["records_key"]),
        (GOOD | {"x": 1}, "0.x", [*GOOD, "replication", "replication_key", "parent", "parent_key"]),
        (GOOD | {"name": 7}, "0.name", ["string"]),
        (GOOD | {"path": ["/v1/a"]}, "0.path", ["string"]),
        (GOOD | {"primary_keys": "id"}, "0.primary_keys", ["array"]),
        (GOOD | {"replication": True}, "0.replication", ["string"]),
        *((GOOD | {"name": name}, "0.name", ["digits"]) for name in ("my campaigns", "1st", "a;b")),
        *((GOOD | {"name": name}, "0.name", [name]) for name in ("calls", "Users")),
        *(
            (GOOD | {"path": path}, "0.path", ["/v1/", "/v2/"])
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
        *(
            (GOOD | {"primary_keys": keys}, "0.primary_keys", ["record"])
            for keys in (["id", "id"], ["id", ""], [1], ["record"])
        ),
        *(
            (GOOD | {"primary_keys": ["id", key]}, "0.primary_keys", [key])
            for key in ("token", "Token", "client_secret", "password")
        ),
        (GOOD | {"replication": "log"}, "0.replication", [each.value for each in Replication]),
        (GOOD | {"replication": "from_to"}, "0.replication_key", ["from_to"]),
        (GOOD | {"replication_key": "created"}, "0.replication_key", ["full_table"]),
        (GOOD | {"replication": "from_to", "replication_key": "id"}, "0.replication_key", ["primary_keys", "record"]),
    ],
)
def test_each_mistake_has_its_line(item: Any, place: str, facts: list[str]) -> None:
    with refused(InputError, f"custom_streams.{place}:", *facts):
        parse_definitions([item], TAKEN)


def test_the_line_says_which_definition_is_wrong() -> None:
    with refused(InputError, "custom_streams.1.name", "Campaigns"):
        parse_definitions([GOOD, GOOD | {"name": "Campaigns"}], TAKEN)
