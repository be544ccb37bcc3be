"""Short lists over real HTTP: every run reads them whole, and drops deleted rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox.templates import KINDS
from tap_aircall.streams.kinds import ReferenceStream
from tap_aircall.streams.registry import STREAMS
from tests.messages import names, warnings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall

LISTS = [name for name, stream in STREAMS.items() if issubclass(stream, ReferenceStream) and stream.envelope in KINDS]


@pytest.mark.parametrize(
    ("stream", "count", "requests"),
    [*((stream, 130, 3) for stream in LISTS), ("tags", 0, 1), ("tags", 1, 1), ("tags", 51, 2)],
)
def test_every_page_is_read(aircall: Aircall, stream: str, count: int, requests: int) -> None:
    kind: Any = STREAMS[stream].envelope
    records = [aircall.world.add(kind) for _ in range(count)]

    run = aircall.run(stream)

    assert run.ids(stream) == [record["id"] for record in records]
    assert run.requests == requests


def test_records_are_as_aircall_sends_them(aircall: Aircall) -> None:
    world = aircall.world
    number = world.add("numbers", priority=1)
    user = world.add("users", default_number_id=number["id"], extension="007", substatus="On a break")
    world.user_numbers[user["id"]].append(number["id"])
    team = world.add("teams", users=[world.member(user["id"])])
    tag = world.add("tags", description="queue_callback")
    webhook = world.add("webhooks")

    run = aircall.run()

    assert run.records("users") == [{k: v for k, v in user.items() if k != "availability"}]
    assert run.records("user_availabilities") == [{"id": user["id"], "availability": "available"}]
    assert run.records("user_numbers") == [{"user_id": user["id"], **world.call_number(number["id"])}]
    assert run.records("teams") == [team]
    assert run.records("numbers") == [number]
    assert run.records("tags") == [tag]
    assert run.records("webhooks") == [{k: v for k, v in webhook.items() if k != "token"}]
    assert run.records("company") == [{"name": "Acme", "users_count": 1, "numbers_count": 1}]


def test_users_come_from_version_2_once_for_all_streams(aircall: Aircall) -> None:
    world = aircall.world
    numbers = [world.add("numbers")["id"] for _ in range(60)]
    users = [world.add("users")["id"] for _ in range(3)]
    world.user_numbers |= {users[0]: numbers, users[1]: [], users[2]: numbers[:1]}

    run = aircall.run("users", "user_numbers")

    keys = [(record["user_id"], record["id"]) for record in run.records("user_numbers")]
    assert keys == [(users[0], number) for number in numbers] + [(users[2], numbers[0])]
    paths = [log.path for log in aircall.sandbox.requests]
    assert paths.count("/v2/users") == 1
    assert run.requests == 1 + 2 + 1 + 1


def test_a_user_deleted_during_the_run_has_no_numbers(aircall: Aircall) -> None:
    world = aircall.world
    gone, stays = (world.add("users")["id"] for _ in range(2))
    number = world.add("numbers")["id"]
    world.user_numbers |= {gone: [number], stays: [number]}

    def delete(log: Any) -> None:
        if log.path.endswith("/numbers"):
            world.kinds["users"].pop(gone, None)

    aircall.sandbox.on_request = delete
    assert [record["user_id"] for record in aircall.run("user_numbers").records("user_numbers")] == [stays]


@pytest.mark.parametrize("stream", [*LISTS, "user_numbers", "company"])
def test_a_new_version_is_activated_after_the_last_record(aircall: Aircall, stream: str) -> None:
    world = aircall.world
    for kind in world.kinds:
        world.add(kind)
    world.user_numbers = {user: list(world.kinds["numbers"]) for user in world.kinds["users"]}

    run = aircall.run(stream)

    assert run.types(stream) == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]
    versions = {m["version"] for m in run.messages if m.get("stream") == stream and m["type"] != "SCHEMA"}
    assert len(versions) == 1


class TestIntegrations:
    def test_the_app_is_a_single_record(self, aircall: Aircall, tmp_path: Path) -> None:
        number, user = aircall.world.add("numbers"), aircall.world.add("users")

        run = aircall.run("integrations", **self.oauth(aircall, tmp_path))

        (record,) = run.records("integrations")
        shown_by = record.pop("user")
        assert (shown_by["id"], shown_by["created_at"]) == (user["id"], user["created_at"])
        assert record == {
            "company_id": 77,
            "name": "tap-aircall",
            "custom_name": None,
            "logo": "https://example.com/logo.png",
            "status": "installed",
            "active": True,
            "number_ids": [number["id"]],
            "numbers_count": 1,
        }
        assert run.types("integrations") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]

    def test_with_basic_authentication_it_is_left_out_with_one_line(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO"):
            run = aircall.run("integrations")

        assert run.types("integrations") == ["SCHEMA"]
        assert run.requests == 0
        assert not warnings(caplog)
        assert any(names(line, "'integrations'", "OAuth") for line in caplog.messages)

    def test_it_is_not_selected_by_default(self, aircall: Aircall, tmp_path: Path) -> None:
        run = aircall.run(**self.oauth(aircall, tmp_path))

        assert run.types("integrations") == []

    @staticmethod
    def oauth(aircall: Aircall, folder: Path) -> dict[str, Any]:
        return aircall.oauth(folder, oauth_access_token=aircall.sandbox.oauth.tokens()["access_token"])
