"""Custom streams over real HTTP; lists of the sandbox stand in for new ones of Aircall."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import AircallError, InputError
from tap_aircall.tap import TapAircall
from tests.clock import NOW
from tests.conftest import Run
from tests.messages import each_names, names, refused, warnings

if TYPE_CHECKING:
    from tests.conftest import Aircall, Record

T0 = int(NOW)
NAME = "mine"


def define(path: str, key: str, *primary_keys: str, **more: str) -> list[Record]:
    return [{"name": NAME, "path": path, "records_key": key, "primary_keys": list(primary_keys or ["id"]), **more}]


TAGS = define("/v1/tags", "tags")
CALLS = define("/v1/calls", "calls", replication="from_to", replication_key="started_at")
CONTACTS = define("/v1/contacts", "contacts", replication="newest_first", replication_key="updated_at")


def read(aircall: Aircall, definitions: list[Record], **options: Any) -> Run:
    chosen = options.pop("catalog", None) or aircall.catalog(NAME, custom_streams=definitions)
    return aircall.run(catalog=chosen, custom_streams=definitions, **options)


def fail(aircall: Aircall, definitions: list[Record], **options: Any) -> str:
    with pytest.raises(AircallError) as caught:
        read(aircall, definitions, **options)
    return caught.value.line


def ids(run: Run) -> list[int]:
    return [int(record["id"]) for record in run.records(NAME)]


def bookmark(run: Run) -> str | None:
    found: str | None = run.state["bookmarks"][NAME].get("replication_key_value")
    return found


class TestDiscovery:
    def test_needs_no_credentials_and_lists_them_selected(self) -> None:
        tap = TapAircall(config={"custom_streams": CALLS}, validate_config=False)
        entries = {entry["tap_stream_id"]: entry for entry in json.loads(json.dumps(tap.catalog_dict))["streams"]}
        entry = entries[NAME]
        assert entry["key_properties"] == ["id"]
        assert (entry["replication_method"], entry["replication_key"]) == ("INCREMENTAL", "started_at")
        assert {name: field["type"] for name, field in entry["schema"]["properties"].items()} == {
            "id": ["string"],
            "started_at": ["string", "null"],
            "record": ["object", "null"],
            "additional_fields": ["object", "null"],
        }
        assert entry["schema"]["properties"]["record"]["additionalProperties"] is True
        assert entry["metadata"][-1]["metadata"]["selected"] is True

    def test_a_bad_definition_gets_its_line_even_without_other_checks(self) -> None:
        with refused(InputError, "custom_streams.0.path"):
            _ = TapAircall(config={"custom_streams": [{"name": "x"}]}, validate_config=False).streams

    def test_a_run_checks_definitions_before_it_reads(self, aircall: Aircall) -> None:
        with refused(InputError, "custom_streams.0.name", "tags"):
            aircall.tap(custom_streams=[TAGS[0] | {"name": "tags"}])
        assert aircall.sandbox.requests == []

    def test_they_are_read_by_default(self, aircall: Aircall) -> None:
        tag = aircall.world.add("tags")
        assert aircall.run(custom_streams=TAGS).ids(NAME) == [str(tag["id"])]


class TestWhole:
    @pytest.mark.parametrize(("count", "requests"), [(0, 1), (51, 2), (130, 3)])
    def test_every_page_is_read(self, aircall: Aircall, count: int, requests: int) -> None:
        tags = [aircall.world.add("tags") for _ in range(count)]

        run = read(aircall, TAGS)

        assert run.records(NAME) == [tag | {"id": str(tag["id"]), "record": tag} for tag in tags]
        assert ids(run) == [tag["id"] for tag in tags]
        assert run.requests == requests
        assert run.types(NAME)[-1] == "ACTIVATE_VERSION"

    def test_a_single_object_is_one_record(self, aircall: Aircall) -> None:
        run = read(aircall, define("/v1/company", "company", "name"))

        company = {"name": "Acme", "users_count": 0, "numbers_count": 0}
        assert run.records(NAME) == [company | {"record": company}]
        assert run.requests == 1

    def test_several_keys_identify_a_record_together(self, aircall: Aircall) -> None:
        for number in range(60):
            aircall.world.add("tags", name=f"tag {number}", color=f"#{number % 2}")

        run = read(aircall, define("/v1/tags", "tags", "color", "name"))

        assert len({(record["color"], record["name"]) for record in run.records(NAME)}) == 60

    def test_a_deselected_field_is_left_out(self, aircall: Aircall) -> None:
        tag = aircall.world.add("tags")
        chosen = aircall.catalog(NAME, custom_streams=TAGS)
        entry = next(entry for entry in chosen["streams"] if entry["stream"] == NAME)
        (field,) = [item for item in entry["metadata"] if item["breadcrumb"] == ["properties", "record"]]
        field["metadata"]["selected"] = False

        (record,) = read(aircall, TAGS, catalog=chosen).records(NAME)
        assert record == tag | {"id": str(tag["id"])}

    def test_secrets_never_leave_the_tap(self, aircall: Aircall) -> None:
        webhook = aircall.world.add("webhooks")
        deep = Fault(
            path="/v1/webhooks", mutate=lambda p: p | {"webhooks": [{**p["webhooks"][0], "a": [{"Secret": 1}]}]}
        )
        aircall.sandbox.faults.append(deep)

        run = read(aircall, define("/v1/webhooks", "webhooks", "webhook_id"))

        (record,) = run.records(NAME)
        assert record["record"] == {k: v for k, v in webhook.items() if k != "token"} | {"a": [{}]}
        assert webhook["token"] not in str(run.messages)


class TestFromTo:
    @pytest.mark.usefixtures("low_cap")
    def test_a_list_is_read_past_the_cap_and_then_what_is_new(self, aircall: Aircall) -> None:
        calls = [aircall.world.add_call(started_at=T0 - 80_000 + 7 * n)["id"] for n in range(350)]
        first = read(aircall, CALLS)
        assert ids(first) == calls
        assert first.records(NAME)[0]["started_at"] == "2026-11-22T14:46:40Z"
        assert bookmark(first) == "2026-11-22T15:27:23Z"
        aircall.clock.now += 60
        new = aircall.world.add_call(started_at=T0 + 10)["id"]

        second = read(aircall, CALLS, state=first.state)

        assert ids(second) == [calls[-1], new]  # there may be more in the second of the bookmark
        assert second.requests == 1
        assert bookmark(second) == "2026-11-23T12:59:59Z"  # not within the last minute

    def test_a_killed_run_goes_on(self, aircall: Aircall) -> None:
        calls = [aircall.world.add_call(started_at=T0 - 80_000 + 7 * n)["id"] for n in range(1_300)]
        killed = read(aircall, CALLS, die_after=1_210)

        second = read(aircall, CALLS, state=killed.state)

        assert {*ids(killed), *ids(second)} == set(calls)
        assert len(ids(second)) < 850

    def test_a_full_table_run_reads_all(self, aircall: Aircall) -> None:
        calls = [aircall.world.add_call(started_at=T0 - 100 + n)["id"] for n in range(3)]
        state = read(aircall, CALLS).state
        chosen = aircall.catalog(NAME, custom_streams=CALLS)
        next(entry for entry in chosen["streams"] if entry["stream"] == NAME)["replication_method"] = "FULL_TABLE"

        run = read(aircall, CALLS, catalog=chosen, state=state)

        assert ids(run) == calls
        assert run.types(NAME)[-1] == "ACTIVATE_VERSION"
        assert bookmark(run) == bookmark(Run([{"type": "STATE", "value": state}]))

    def test_another_replication_key_starts_over(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 100)
        state = read(aircall, CALLS).state
        aircall.world.add_call(started_at=T0 - 50_000)

        assert len(ids(read(aircall, [CALLS[0] | {"replication_key": "ended_at"}], state=state))) == 2

    def test_a_list_in_another_order_is_refused(self, aircall: Aircall) -> None:
        for n in range(3):
            aircall.world.add("users", created_at=f"2026-01-0{3 - n}T00:00:00.000Z")
        users = define("/v2/users", "users", replication="from_to", replication_key="created_at")

        assert fail(aircall, users) == (
            "Stream 'mine': Aircall does not sort it by 'created_at', or ignores 'from' and 'to': use the "
            "replication full_table."
        )


class TestNewestFirst:
    def test_all_are_read_and_then_what_changed(self, aircall: Aircall) -> None:
        world = aircall.world
        contacts = [world.add_contact(created_at=T0 - 1_000 + n)["id"] for n in range(120)]
        first = read(aircall, CONTACTS)
        assert ids(first) == contacts[::-1]
        world.edit_contact(contacts[5], at=T0 + 5, first_name="Edited")
        aircall.clock.now += 3600

        second = read(aircall, CONTACTS, state=first.state)

        assert ids(second) == [contacts[5], contacts[-1]]
        assert second.requests == 1
        assert bookmark(second) == "2026-11-23T13:00:05Z"

    def test_a_change_dated_in_the_future_hides_no_other(self, aircall: Aircall) -> None:
        world = aircall.world
        honest, odd = (world.add_contact(created_at=T0 - 1_000)["id"] for _ in range(2))
        world.edit_contact(odd, at=T0 + 10**8)
        first = read(aircall, CONTACTS)
        world.edit_contact(honest, at=T0 + 5)
        aircall.clock.now += 3600

        second = read(aircall, CONTACTS, state=first.state)
        mark = first.state["bookmarks"][NAME] | {"replication_key_value": "2029-12-31T00:00:00Z"}
        healed = read(aircall, CONTACTS, state={"bookmarks": {NAME: mark}})

        assert ids(second) == ids(healed) == [odd, honest]
        assert bookmark(second) == bookmark(healed) == "2026-11-23T13:00:05Z"

    @pytest.mark.usefixtures("low_cap")
    def test_more_than_the_cap_cannot_be_read(self, aircall: Aircall) -> None:
        for n in range(201):
            aircall.world.add_contact(created_at=T0 - 20_000 + n)

        assert fail(aircall, CONTACTS).startswith("Stream 'mine': Aircall lists more than 10,000 changes of 'mine'")

    def test_a_list_in_another_order_is_refused(self, aircall: Aircall) -> None:
        for n in range(3):
            aircall.world.add("numbers", created_at=f"2026-01-0{1 + n}T00:00:00.000Z")
        aircall.sandbox.faults.append(
            Fault(path="/v1/numbers", mutate=lambda payload: payload | {"numbers": payload["numbers"][::-1]})
        )
        numbers = define("/v1/numbers", "numbers", replication="newest_first", replication_key="created_at")

        assert "does not sort it by 'created_at'" in fail(aircall, numbers)


class TestMistakes:
    @pytest.mark.parametrize(
        ("definitions", "facts"),
        [
            (define("/v1/trackers", "trackers"), ["/v1/trackers", 404, "path"]),
            (define("/v1/tags", "labels"), ["labels", "records_key"]),
            (define("/v1/tags", "tags", "uuid"), ["uuid"]),
            (define("/v1/tags", "tags", replication="from_to", replication_key="name"), ["name"]),
        ],
    )
    def test_mistakes_get_one_line_at_once(self, aircall: Aircall, definitions: list[Record], facts: list[Any]) -> None:
        aircall.world.add("tags", name="VIP")

        assert names(fail(aircall, definitions), "'mine'", "custom_streams", *facts)
        assert aircall.clock.waits == []

    @pytest.mark.parametrize(
        "definitions", [TAGS, define("/v1/tags", "tags", replication="from_to", replication_key="at")]
    )
    def test_a_record_without_a_usable_key_or_time_is_set_aside(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture, definitions: list[Record]
    ) -> None:
        for n in range(3):
            aircall.world.add("tags", id=n + 1, at=T0 - 100 + n)
        odd = {"id": None, "at": "soon", "name": "odd"}
        aircall.sandbox.faults.append(
            Fault(path="/v1/tags", mutate=lambda payload: payload | {"tags": [*payload["tags"][:2], odd]})
        )

        run = read(aircall, definitions)

        assert ids(run) == [1, 2]
        each_names(warnings(caplog), (NAME, "id"))
        assert "ACTIVATE_VERSION" not in run.types(NAME)

    def test_a_list_that_the_account_may_not_see_is_left_out(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/tags", status=403))

        run = read(aircall, TAGS)

        each_names(warnings(caplog), (NAME, "/v1/tags", 403))
        assert run.types(NAME) == ["SCHEMA"]

    def test_temporary_errors_are_retried(self, aircall: Aircall) -> None:
        for _ in range(60):
            aircall.world.add("tags")
        aircall.sandbox.faults.append(Fault(path="/v1/tags", query={"page": "2"}, status=502, times=3))

        assert len(read(aircall, TAGS).records(NAME)) == 60


class TestState:
    def test_a_definition_may_disappear_and_come_back(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 100)
        first = read(aircall, CALLS)

        without = aircall.run("tags", state=first.state)

        assert without.state["bookmarks"][NAME] == first.state["bookmarks"][NAME]
        assert bookmark(read(aircall, CALLS, state=without.state)) == bookmark(first)

    def test_a_catalog_of_streams_that_are_gone_is_refused(self, aircall: Aircall) -> None:
        with refused(InputError, "Catalog", NAME):
            aircall.tap(catalog=aircall.catalog(NAME, custom_streams=TAGS))

    def test_a_bookmark_that_is_not_a_time_gets_one_line(self, aircall: Aircall) -> None:
        state = {"bookmarks": {NAME: {"replication_key": "started_at", "replication_key_value": "soon"}}}
        with refused(InputError, "State", NAME):
            aircall.tap(state=state, custom_streams=CALLS)
