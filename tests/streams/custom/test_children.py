"""Lists below another list, and Outbound Campaigns, which are built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aircall_sandbox import Fault
from aircall_sandbox.extras import add_outbound_campaigns
from tap_aircall.errors import AircallError, InputError
from tap_aircall.tap import TapAircall
from tests.clock import NOW
from tests.inboxes import fill
from tests.messages import each_names, refused, warnings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall, Record, Run

HOUR, DAY = 3600, 86_400
CAMPAIGNS = ("campaigns", "campaign_outcomes", "campaign_contacts", "campaign_call_outcomes")
NUMBERS: Record = {
    "name": "mine",
    "path": "/v2/users/{id}/numbers",
    "records_key": "numbers",
    "primary_keys": ["parent_id", "id"],
    "parent": "users",
}


def read(aircall: Aircall, *streams: str, definitions: list[Record], state: Record | None = None) -> Run:
    catalog = aircall.catalog(*streams, custom_streams=definitions)
    return aircall.run(catalog=catalog, custom_streams=definitions, state=state)


@pytest.fixture
def company(aircall: Aircall) -> Aircall:
    """A company with three campaigns, two contacts and one outcome each."""
    for n in range(3):
        aircall.world.add_contact(created_at=int(NOW) - n)
        aircall.world.add_call(started_at=int(NOW) - 50 * DAY - n, direction="outbound")
    add_outbound_campaigns(aircall.world, 3)
    return aircall


class TestDefinitions:
    @pytest.mark.parametrize(
        ("change", "facts"),
        [
            ({"parent": None}, ["path", "{id}", "parent"]),
            ({"path": "/v1/{id}/{id}"}, ["path", "{id}", "parent"]),
            ({"path": "/v2/users"}, ["path", "{id}", "parent"]),
            ({"replication": "from_to", "replication_key": "at"}, ["replication", "full_table"]),
            ({"parent_key": "record"}, ["parent_key", "record"]),
            ({"parent": "user"}, ["parent", "users"]),
            ({"parent": "mine"}, ["parent"]),
            ({"parent": "calls"}, ["parent"]),
        ],
    )
    def test_each_mistake_has_its_line(self, change: Record, facts: list[str]) -> None:
        with refused(InputError, f"custom_streams.0.{facts[0]}", *facts[1:]):
            TapAircall(config={"custom_streams": [NUMBERS | change]}, validate_config=False)

    def test_a_definition_replaces_a_built_in_stream(self, company: Aircall) -> None:
        company.world.add("tags", name="VIP")
        mine = {"name": "campaigns", "path": "/v1/tags", "records_key": "tags", "primary_keys": ["name"]}

        run = company.run("campaigns", "campaign_contacts", custom_streams=[mine])

        assert [record["name"] for record in run.records("campaigns")] == ["VIP"]
        assert run.records("campaign_contacts") == []


class TestChildren:
    def test_each_parent_is_asked_and_its_id_added(self, aircall: Aircall) -> None:
        numbers = [aircall.world.add("numbers") for _ in range(3)]
        users = [aircall.world.add("users") for _ in range(3)]
        aircall.world.user_numbers |= {
            user["id"]: [n["id"] for n in numbers[:count]] for count, user in enumerate(users)
        }

        run = read(aircall, "mine", definitions=[NUMBERS])

        pairs = [(record["parent_id"], record["id"]) for record in run.records("mine")]
        assert pairs == [
            (str(user["id"]), str(number["id"])) for count, user in enumerate(users) for number in numbers[:count]
        ]
        assert run.requests == 4
        assert run.types("mine")[-1] == "ACTIVATE_VERSION"
        assert run.records("users") == []

    def test_they_are_read_once_a_day_and_their_parent_once_a_run(self, aircall: Aircall) -> None:
        aircall.world.add("users")
        first = read(aircall, "users", "user_numbers", "mine", definitions=[NUMBERS])
        aircall.clock.now += HOUR
        second = read(aircall, "users", "user_numbers", "mine", definitions=[NUMBERS], state=first.state)
        aircall.clock.now += DAY
        third = read(aircall, "mine", definitions=[NUMBERS], state=second.state)

        assert (first.requests, second.requests, third.requests) == (3, 1, 2)
        assert second.types("mine") == []

    def test_a_custom_list_can_be_a_parent(self, company: Aircall) -> None:
        below = {
            "name": "people",
            "path": "/v1/campaigns/{id}/contacts",
            "records_key": "contacts",
            "primary_keys": ["phone_number"],
            "parent": "them",
            "parent_key": "campaign",
        }
        them = {"name": "them", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]}

        run = read(company, "people", definitions=[below, them])

        campaigns = company.world.optional.campaigns
        assert [record["campaign"] for record in run.records("people")] == [each for each in campaigns for _ in "12"]

    def test_an_unknown_path_is_reported_and_drops_no_rows(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            aircall.world.add("users")

        run = read(aircall, "mine", definitions=[NUMBERS | {"path": "/v1/users/{id}/badges"}])

        each_names(warnings(caplog), ("mine", "/v1/users/{id}/badges", 2, "users", 404))
        assert "ACTIVATE_VERSION" not in run.types("mine")

    def test_a_record_without_a_key_is_set_aside(self, company: Aircall) -> None:
        for campaign in company.world.optional.campaigns.values():
            campaign["contacts"] = 6 * campaign["contacts"]
        first = next(iter(company.world.optional.campaigns.values()))
        first["contacts"][3] = {"first_name": "Nobody"}

        run = company.run("campaign_contacts")

        assert len(run.records("campaign_contacts")) == 3 * 12 - 1
        assert "ACTIVATE_VERSION" not in run.types("campaign_contacts")


class TestOutboundCampaigns:
    def test_all_that_there_is_arrives(self, company: Aircall) -> None:
        optional = company.world.optional

        run = company.run(*CAMPAIGNS)

        assert [record["id"] for record in run.records("campaigns")] == list(optional.campaigns)
        assert [(record["id"], record["label"]) for record in run.records("campaign_outcomes")] == [
            (each["id"], each["label"]) for each in optional.campaign_outcomes
        ]
        below = [(key, campaign) for key, campaign in optional.campaigns.items()]
        assert [record["record"] for record in run.records("campaign_contacts")] == [
            contact for _, campaign in below for contact in campaign["contacts"]
        ]
        assert [(r["campaign_id"], r["attempt_id"], r["outcome_label"]) for r in run.records(CAMPAIGNS[3])] == [
            (key, each["attempt_id"], each["outcome_label"])
            for key, campaign in below
            for each in campaign["call_outcomes"]
        ]
        assert all(run.types(name)[-1] == "ACTIVATE_VERSION" for name in CAMPAIGNS)
        assert run.requests == 1 + 1 + 3 + 3

    def test_none_is_selected_by_default(self, company: Aircall) -> None:
        assert not {message.get("stream") for message in company.run().messages} & {*CAMPAIGNS}

    @pytest.mark.parametrize("status", [403, 404])
    def test_an_account_without_them_gets_a_line_each(
        self, company: Aircall, caplog: pytest.LogCaptureFixture, status: int
    ) -> None:
        company.sandbox.faults += [
            Fault(path=path, status=status, times=float("inf")) for path in ("/v1/campaigns", "/v1/campaign_outcomes")
        ]

        run = company.run(*CAMPAIGNS)

        each_names(warnings(caplog), *((f"'{name}'", status) for name in CAMPAIGNS))
        assert {kind for name in CAMPAIGNS for kind in run.types(name)} == {"SCHEMA"}
        caplog.clear()
        company.tap(streams=CAMPAIGNS).try_streams()
        each_names(warnings(caplog), *((f"'{name}'", status) for name in CAMPAIGNS))

    def test_an_unknown_format_is_an_error_with_advice(self, company: Aircall) -> None:
        company.sandbox.faults.append(
            Fault(path="/v1/campaigns", mutate=lambda payload: {"data": payload["campaigns"]})
        )

        with pytest.raises(AircallError) as caught:
            company.run("campaigns")

        line = caught.value.line
        assert line.startswith("Stream 'campaigns': Aircall's response has no list and no object 'campaigns'")
        assert line.endswith("define 'campaigns' in custom_streams.")

    def test_webhooks_tell_of_outcomes_and_name_their_calls(self, company: Aircall, tmp_path: Path) -> None:
        inbox = str(tmp_path / "inbox.db")
        fill(inbox, [])
        first = company.run("calls", CAMPAIGNS[3], inbox=inbox)
        identity = next(iter(company.world.optional.campaigns))
        call = next(iter(company.world.calls))
        company.clock.now += HOUR
        outcome = company.world.record_outcome(identity, call, {"id": "no_answer", "label": "No Answer"})
        event = {"resource": "outbound_campaign", "event": "outbound_campaign.outcome_recorded"}
        odd = {"campaign_id": identity, "call_id": call}
        fill(inbox, [event | {"timestamp": int(NOW), "token": "secret", "data": data} for data in (odd, outcome)])
        company.world.edit_call(call, comments=[])
        before = len(company.sandbox.requests)

        second = company.run("calls", CAMPAIGNS[3], inbox=inbox, state=first.state)

        (record,) = second.records(CAMPAIGNS[3])
        assert record["record"] == outcome
        assert "ACTIVATE_VERSION" not in [*first.types(CAMPAIGNS[3]), *second.types(CAMPAIGNS[3])]
        assert f"/v1/calls/{call}" in [log.path for log in company.sandbox.requests[before:]]
        third = company.run(CAMPAIGNS[3], inbox=inbox, state=second.state)
        assert third.records(CAMPAIGNS[3]) == []
