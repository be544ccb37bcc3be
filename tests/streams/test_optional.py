"""Resources that only some users and numbers have: missing ones get at most one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import RejectedRequestError, ResponseError
from tap_aircall.streams.access import ENOUGH_REFUSALS
from tap_aircall.streams.registry import STREAMS
from tests.messages import each_names, refused, warnings

if TYPE_CHECKING:
    from tests.conftest import Aircall, Run

CREATED = "2020-01-02T11:41:01.000Z"
NUMBER_STREAMS = {
    "number_registration_statuses": "registration_statuses",
    "number_message_configurations": "message_configurations",
    "number_whatsapp_statuses": "whatsapp_statuses",
    "whatsapp_templates": "whatsapp_templates",
}
OWNED = ["dialer_campaigns", "dialer_campaign_phone_numbers", *NUMBER_STREAMS]


def entry(number: int) -> dict[str, Any]:
    return {"id": number, "number": f"+33 1 99 00 {number:04d}", "called": number % 2 == 0, "created_at": CREATED}


def campaign(identity: int, entries: int) -> dict[str, Any]:
    numbers = [entry(number) for number in range(entries)]
    return {"id": identity, "number_id": "1234", "created_at": CREATED, "phone_numbers": numbers}


def template(identity: int) -> dict[str, Any]:
    return {
        "id": identity,
        "wabaId": "123",
        "name": f"template_{identity}",
        "category": "UTILITY",
        "status": "APPROVED",
        "language": "en",
    }


def users(aircall: Aircall, count: int) -> list[int]:
    return [aircall.world.add("users")["id"] for _ in range(count)]


def numbers(aircall: Aircall, count: int) -> list[int]:
    return [aircall.world.add("numbers")["id"] for _ in range(count)]


@pytest.mark.parametrize("is_wrapped", [True, False])
class TestDialer:
    def test_each_user_with_a_campaign_has_one_record(self, aircall: Aircall, is_wrapped: bool) -> None:
        one, _none, two = users(aircall, 3)
        aircall.world.optional.is_wrapped = is_wrapped
        aircall.world.optional.dialer_campaigns = {one: campaign(7, 2), two: campaign(8, 0)}

        run = aircall.run("dialer_campaigns")

        assert run.records("dialer_campaigns") == [campaign(7, 2) | {"user_id": one}, campaign(8, 0) | {"user_id": two}]
        assert run.requests == 1 + 3
        assert run.types("dialer_campaigns") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]

    @pytest.mark.parametrize("entries", [0, 1, 49, 130])
    def test_phone_numbers_come_from_a_list_without_pages(
        self, aircall: Aircall, is_wrapped: bool, entries: int
    ) -> None:
        (user,) = users(aircall, 1)
        aircall.world.optional.is_wrapped = is_wrapped
        aircall.world.optional.dialer_campaigns = {user: campaign(7, entries)}

        run = aircall.run("dialer_campaign_phone_numbers")

        expected = [entry(number) | {"user_id": user} for number in range(entries)]
        assert run.records("dialer_campaign_phone_numbers") == expected
        assert run.requests <= 3

    def test_phone_numbers_may_lack_an_id(self, aircall: Aircall, is_wrapped: bool) -> None:
        (user,) = users(aircall, 1)
        aircall.world.optional.is_wrapped = is_wrapped
        entries = [{"number": f"+33 {n}", "called": False} for n in range(2)]
        aircall.world.optional.dialer_campaigns = {user: campaign(7, 0) | {"phone_numbers": entries}}

        records = aircall.run("dialer_campaign_phone_numbers").records("dialer_campaign_phone_numbers")

        assert records == [each | {"user_id": user} for each in entries]


@pytest.mark.parametrize("is_wrapped", [True, False])
class TestOpenObjects:
    def test_registration_statuses_are_passed_on_whole(
        self, aircall: Aircall, is_wrapped: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, _none = numbers(aircall, 2)
        status = {"status": "approved", "documents": [{"kind": "passport"}], "reviewed_at": CREATED}
        aircall.world.optional.is_wrapped = is_wrapped
        aircall.world.optional.registration_statuses = {one: status}

        run = aircall.run("number_registration_statuses")

        assert run.records("number_registration_statuses") == [{**status, "number_id": one, "record": status}]
        assert warnings(caplog) == []

    def test_message_configurations_come_without_their_token(
        self, aircall: Aircall, is_wrapped: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        (one,) = numbers(aircall, 1)
        known = {"callbackUrl": "https://example.com/sms", "type": "proxy", "extra": {"a": [{"b": 1}]}}
        secret = {"token": "s3cret-1", "extra": {"Token": "s3cret-2", "a": [{"b": 1, "token": "s3cret-3"}]}}
        aircall.world.optional.is_wrapped = is_wrapped
        aircall.world.optional.message_configurations = {one: known | secret}

        run = aircall.run("number_message_configurations")

        assert run.records("number_message_configurations") == [{**known, "number_id": one, "record": known}]
        assert "s3cret" not in str(run.messages) + caplog.text

    def test_payloads_of_any_type_are_passed_on(self, aircall: Aircall, is_wrapped: bool) -> None:
        (one,) = numbers(aircall, 1)
        aircall.world.optional.is_wrapped = is_wrapped
        aircall.world.optional.registration_statuses = {one: ["pending"]}  # type: ignore[dict-item]

        (record,) = aircall.run("number_registration_statuses").records("number_registration_statuses")

        assert record == {
            "number_id": one,
            "registration_status": ["pending"],
            "record": {"registration_status": ["pending"]},
        }


def test_numbers_on_whatsapp_have_one_record_each(aircall: Aircall) -> None:
    one, _none = numbers(aircall, 2)
    status = {
        "wabaId": "123456789",
        "status": "ONLINE",
        "canSendMessage": True,
        "messagingLimitTier": "TIER_1K",
        "qualityRating": "GREEN",
        "businessVerificationStatus": "VERIFIED",
    }
    aircall.world.optional.whatsapp_statuses = {one: status}

    assert aircall.run("number_whatsapp_statuses").records("number_whatsapp_statuses") == [status | {"number_id": one}]


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (10, 1), (11, 2), (35, 4)])
def test_whatsapp_templates_are_found_by_their_tokens(aircall: Aircall, count: int, requests: int) -> None:
    (one,) = numbers(aircall, 1)
    aircall.world.optional.whatsapp_templates = {one: [template(n) for n in range(count)]}

    run = aircall.run("whatsapp_templates")

    assert run.records("whatsapp_templates") == [template(n) | {"number_id": one} for n in range(count)]
    assert run.requests == 1 + requests


def test_a_template_without_an_id_is_set_aside(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    (one,) = numbers(aircall, 1)
    aircall.world.optional.whatsapp_templates = {one: [template(0), {"name": "odd"}, template(2)]}

    run = aircall.run("whatsapp_templates")

    assert [record["id"] for record in run.records("whatsapp_templates")] == [template(0)["id"], template(2)["id"]]
    each_names(warnings(caplog), ("whatsapp_templates", "id"))
    assert "ACTIVATE_VERSION" not in run.types("whatsapp_templates")


def test_a_token_that_repeats_too_early_is_an_error(aircall: Aircall) -> None:
    (one,) = numbers(aircall, 1)
    aircall.world.optional.whatsapp_templates = {one: [template(n) for n in range(30)]}

    def always_ten(payload: Any) -> Any:
        payload["pageInfo"]["nextToken"] = 10
        return payload

    aircall.sandbox.faults.append(Fault(path=f"/v1/numbers/{one}/templates", times=99, mutate=always_ten))

    with refused(ResponseError, stream="whatsapp_templates"):
        aircall.run("whatsapp_templates")


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (50, 1), (51, 2), (130, 3)])
def test_sms_templates_come_fifty_a_page(aircall: Aircall, count: int, requests: int) -> None:
    templates = [{"id": n, "name": f"Name {n}", "body": None if n % 7 == 0 else f"Body {n}"} for n in range(count)]
    aircall.world.optional.sms_templates = templates

    run = aircall.run("sms_templates")

    assert run.records("sms_templates") == templates
    assert run.requests == requests


class TestRefusals:
    def run(self, aircall: Aircall, stream: str) -> Run:
        return aircall.run(stream, max_concurrent_requests=1)

    @pytest.mark.parametrize("stream", OWNED)
    def test_missing_resources_are_skipped_silently(
        self, aircall: Aircall, stream: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        users(aircall, 5)
        numbers(aircall, 5)

        run = self.run(aircall, stream)

        assert run.types(stream) == ["SCHEMA", "ACTIVATE_VERSION"]
        assert run.requests == 1 + 5
        assert warnings(caplog) == []

    @pytest.mark.parametrize("stream", OWNED)
    @pytest.mark.parametrize("count", [1, 20])
    def test_an_account_without_permission_gets_one_line(
        self, aircall: Aircall, stream: str, count: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        users(aircall, count)
        numbers(aircall, count)
        aircall.world.optional.denied = set(optional_kinds())

        run = self.run(aircall, stream)

        assert run.types(stream) == ["SCHEMA"]  # the target keeps its rows
        assert run.requests == 1 + min(count, ENOUGH_REFUSALS)
        each_names(warnings(caplog), (stream, "plan"))

    def test_a_single_refusal_costs_one_line(self, aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
        ids = numbers(aircall, 6)
        aircall.world.optional.whatsapp_statuses = {number: {"status": "ONLINE"} for number in ids}
        aircall.world.optional.denied_ids = {ids[0], ids[1], ids[4]}

        run = aircall.run("number_whatsapp_statuses", max_concurrent_requests=2)

        found = [record["number_id"] for record in run.records("number_whatsapp_statuses")]
        assert found == [ids[2], ids[3], ids[5]]
        assert run.types("number_whatsapp_statuses") == ["SCHEMA", "RECORD"]
        each_names(warnings(caplog), ("number_whatsapp_statuses", 3, 6, 403))

    @pytest.mark.parametrize("fault", [{"status": 404}, {"status": 403}])
    def test_a_list_that_is_refused_or_missing_costs_one_line(
        self, aircall: Aircall, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/sms", **fault))

        run = self.run(aircall, "sms_templates")

        assert run.types("sms_templates") == ["SCHEMA"]
        assert len(warnings(caplog)) == 1

    def test_any_other_error_fails_the_stream(self, aircall: Aircall) -> None:
        numbers(aircall, 1)
        aircall.sandbox.faults.append(Fault(path="/v1/numbers/", status=400))

        with refused(RejectedRequestError, 400, stream="number_whatsapp_statuses"):
            self.run(aircall, "number_whatsapp_statuses")


def optional_kinds() -> Any:
    from aircall_sandbox.optional import RESOURCES  # noqa: PLC0415

    return RESOURCES


def test_none_of_them_is_selected_by_default(aircall: Aircall) -> None:
    users(aircall, 1)
    numbers(aircall, 1)

    run = aircall.run()

    streams = [*OWNED, "sms_templates"]
    assert [run.types(stream) for stream in streams] == [[]] * len(streams)
    assert not any(STREAMS[stream].selected_by_default for stream in streams)


def test_users_and_numbers_are_asked_for_once(aircall: Aircall) -> None:
    number, user = numbers(aircall, 1)[0], users(aircall, 1)[0]
    aircall.world.optional.whatsapp_statuses = {number: {"status": "ONLINE"}}

    run = aircall.run("users", "numbers", *OWNED)

    paths = [log.path for log in aircall.sandbox.requests]
    assert (paths.count("/v2/users"), paths.count("/v1/numbers")) == (1, 1)
    assert (run.ids("users"), run.ids("numbers")) == ([user], [number])
