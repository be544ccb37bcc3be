"""Webhooks of the sandbox follow the facts (facts: Webhooks)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from aircall_sandbox import Sandbox, World
from aircall_sandbox.events import EVENTS, call_data
from aircall_sandbox.presence import Presence
from sandbox_tests.asking import ask, get
from tests.clock import NOW
from tests.messages import refused
from tests.receiving import PUBLIC, Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Aircall

T0 = int(NOW)
HOUR = 3_600
WEBHOOKS = "/v1/webhooks"


@pytest.fixture
def hooks(aircall: Aircall) -> Iterator[Receiver]:
    """A receiver behind the public address."""
    with receiver() as server:
        aircall.sandbox.webhooks.forwards[PUBLIC] = server.url
        yield server


def register(aircall: Aircall, *events: str) -> dict[str, Any]:
    answer = ask(aircall, "POST", WEBHOOKS, {"url": f"{PUBLIC}/aircall", "events": list(events)})
    assert answer.status_code == 201
    webhook: dict[str, Any] = answer.json()["webhook"]
    return webhook


def deliver(aircall: Aircall, seconds: float = 0) -> list[int]:
    """Advance the clock and deliver; return the statuses."""
    aircall.clock.now += seconds
    return aircall.sandbox.webhooks.deliver()


def test_there_are_69_events() -> None:
    assert len(EVENTS) == len(set(EVENTS)) == 69


class TestObjects:
    def test_they_are_created_updated_and_deleted(self, aircall: Aircall) -> None:
        webhook = register(aircall, "call.created")
        path = f"{WEBHOOKS}/{webhook['webhook_id']}"
        assert webhook["events"] == ["call.created"]
        assert "id" not in webhook
        changed = ask(aircall, "PUT", path, {"events": ["call.ended"]})
        assert changed.json()["webhook"]["events"] == ["call.ended"]
        assert ask(aircall, "PUT", path, {}).json()["webhook"]["events"] == list(EVENTS)
        (listed,) = get(aircall, "/v1/webhooks").json()["webhooks"]
        assert listed["token"] == webhook["token"]
        assert ask(aircall, "DELETE", path).status_code == 204
        assert ask(aircall, "DELETE", path).status_code == 404
        assert get(aircall, "/v1/webhooks").json()["webhooks"] == []

    @pytest.mark.parametrize(
        "body",
        [
            None,
            {},
            {"url": "http://hooks.example.com"},
            {"url": "https://"},
            {"url": 7},
            {"url": PUBLIC, "events": ["call.missed"]},
            {"url": PUBLIC, "events": "call.created"},
        ],
    )
    def test_an_invalid_one_is_refused(self, lasting: Aircall, body: Any) -> None:
        assert ask(lasting, "POST", WEBHOOKS, body).status_code == 400

    def test_a_company_has_a_hundred_at_most(self, aircall: Aircall) -> None:
        for _ in range(100):
            aircall.world.add("webhooks")
        assert ask(aircall, "POST", WEBHOOKS, {"url": PUBLIC}).status_code == 400

    def test_nothing_changes_without_credentials(self, aircall: Aircall) -> None:
        url = f"{aircall.sandbox.url}/v1/webhooks"
        assert requests.post(url, json={"url": PUBLIC}, timeout=10).status_code == 401
        assert requests.post(url, json={"url": PUBLIC}, auth=("a", "b"), timeout=10).status_code == 403
        assert aircall.world.kinds["webhooks"] == {}


class TestDeliveries:
    def test_a_call_emits_events_as_it_goes_on(self, aircall: Aircall, hooks: Receiver) -> None:
        webhook = register(aircall)
        user = aircall.world.call_user(aircall.world.add("users")["id"])
        call = aircall.world.add_call(started_at=T0 + 10, user=user, recalculated_after=None)

        assert deliver(aircall, 10 * HOUR) == [200] * len(hooks.bodies)

        sent = [body for body in hooks.bodies if body["resource"] == "call"]
        assert sorted((body["timestamp"] - T0, body["event"]) for body in sent) == [
            (10, "call.created"),
            (10, "call.ringing_on_agent"),
            (15, "call.answered"),
            (70, "call.hungup"),
            (100, "call.ended"),
            (130, "call.comm_assets_generated"),
        ]
        created = next(body for body in sent if body["event"] == "call.created")
        assert created["token"] == webhook["token"]
        assert created["data"]["call_uuid"] == call["sid"]
        assert (created["data"]["status"], created["data"]["contact"]) == ("initial", {})
        assert hooks.headers[0]["aircall-origin"] == "webhooks"

    def test_edits_contacts_users_and_numbers_emit_events(self, aircall: Aircall, hooks: Receiver) -> None:
        world = aircall.world
        call = world.add_call(started_at=T0 - HOUR)["id"]
        contact, user, number = (
            world.add_contact(created_at=T0 - 5)["id"],
            world.add("users")["id"],
            world.add("numbers")["id"],
        )
        register(aircall)
        world.edit_call(call, tags=[{"id": 1, "name": "VIP"}], comments=[{"id": 2}], archived=True)
        world.edit_call(call, tags=[], assigned_to={"id": user}, transferred_to={"id": user})
        world.edit_contact(contact, first_name="Grace")
        world.delete_contact(contact)
        world.edit("users", user, availability_status="unavailable", substatus="On a break")
        world.edit("users", user, availability="after_call_work")
        world.edit("numbers", number, availability_status="closed")
        world.delete("numbers", number)

        deliver(aircall, 10)

        twins = ["user.closed"] * 2 + ["user.wut_start"]
        assert sorted(hooks.events) == sorted(
            [f"call.{name}" for name in ["tagged", "commented", "archived", "untagged", "assigned", "transferred"]]
            + ["contact.updated", "contact.deleted", "number.closed", "number.deleted"]
            + [name + version for name in twins for version in ("", ".v2")]
        )
        deleted = next(body for body in hooks.bodies if body["event"] == "contact.deleted")
        assert deleted["data"] == {"id": contact}
        updated = next(body for body in hooks.bodies if body["event"] == "contact.updated")
        assert updated["data"]["created_at"] == "2026-11-23T12:59:55Z"

    def test_what_users_did_is_told_as_if_the_webhook_had_existed(self, aircall: Aircall, hooks: Receiver) -> None:
        user = aircall.world.add("users")["id"]
        aircall.world.presence[user] = [
            Presence(T0 - 4 * HOUR, "offline", "available", "always_opened"),
            Presence(T0 - 3 * HOUR, "available", "available", "always_opened"),
            Presence(T0 - 2 * HOUR, "do_not_disturb", "unavailable", "On a break"),
        ]
        register(aircall, "user.connected.v2", "user.closed.v2")
        aircall.sandbox.webhooks.delay = 0

        aircall.sandbox.webhooks.retell()

        assert deliver(aircall) == [200] * 3
        told = [(body["event"], body["timestamp"], body["data"]["substatus"]) for body in hooks.bodies]
        assert told == [
            ("user.connected.v2", T0 - 3 * HOUR, "always_opened"),
            ("user.closed.v2", T0 - 2 * HOUR, None),
            ("user.closed.v2", T0 - 2 * HOUR, "On a break"),
        ]

    def test_messages_emit_events(self, aircall: Aircall, hooks: Receiver) -> None:
        register(aircall, "message.received", "message.status_updated", "group_message.sent", "ai_voice_agent.ended")
        aircall.world.add("numbers")
        call = aircall.world.add_call(started_at=T0 - HOUR)["id"]
        texts = aircall.sandbox.texts
        message = texts.add(body="Where is my order?")
        texts.edit(message["id"], status="read")
        texts.add_to_group(direction="outbound")
        texts.voice_agent(call, "ended", call_end_reason="answered")
        assert deliver(aircall) == []
        assert deliver(aircall, 5) == [200] * 4

        data = {body["event"]: body["data"] for body in hooks.bodies}
        assert data["message.received"] == message
        assert data["message.status_updated"].keys() == {"id", "status", "updated_at"}
        assert data["group_message.sent"]["group_conversation_id"]
        assert data["ai_voice_agent.ended"]["ai_voice_agent_session_id"] == f"session-{call}"

    def test_ai_results_emit_events_when_ready(self, aircall: Aircall, hooks: Receiver) -> None:
        world = aircall.world
        old = world.add_call(started_at=T0 - HOUR)["id"]
        register(aircall, "transcription.created", "playbook_result.updated", "summary.created")
        world.intelligence.add(old, "transcription")
        world.intelligence.add(old, "predicted_csat")
        world.intelligence.edit(old, "transcription", type="voicemail")  # emits no event
        world.intelligence.add(old, "playbook_result")
        world.intelligence.edit(old, "playbook_result", adherence_score=0.5)
        world.intelligence.share = 1
        new = world.add_call(started_at=T0 + 10)["id"]

        deliver(aircall, 125)
        assert sorted((body["event"], body["data"]["call_id"]) for body in hooks.bodies) == [
            ("playbook_result.updated", old),
            ("transcription.created", old),
        ]
        deliver(aircall, 60)
        sent = {(body["event"], body["timestamp"] - T0) for body in hooks.bodies if body["data"]["call_id"] == new}
        assert sent == {("transcription.created", 136), ("summary.created", 136)}

    def test_any_event_can_be_emitted(self, aircall: Aircall, hooks: Receiver) -> None:
        register(aircall)
        call = aircall.world.add_call(started_at=T0 - HOUR)
        deliver(aircall, 200)
        hooks.bodies.clear()
        aircall.sandbox.webhooks.emit("call.hold", call_data(call) | {"hangup_cause": "x"})
        aircall.sandbox.webhooks.emit("integration.deleted", {"integration_id": 7})
        deliver(aircall, 5)
        assert sorted(hooks.events) == ["call.hold", "integration.deleted"]
        assert {body["data"].get("hangup_cause") for body in hooks.bodies} == {"x", None}

    def test_the_same_seed_gives_the_same_deliveries_out_of_order(self) -> None:
        def run(seed: int) -> list[tuple[str, Any]]:
            clock = [NOW]
            with receiver() as server, Sandbox(World(now=NOW), clock=lambda: clock[0], seed=seed) as sandbox:
                sandbox.webhooks.forwards[PUBLIC] = server.url
                sandbox.webhooks.repeated = 0.5
                sandbox.world.add("webhooks", url=PUBLIC, events=list(EVENTS))
                for n in range(20):
                    sandbox.texts.add(body=str(n))
                clock[0] += 2 * HOUR
                sandbox.webhooks.deliver()
                clock[0] += 2 * HOUR
                sandbox.webhooks.deliver()
            return [(body["event"], body["data"]["body"]) for body in server.bodies]

        first = run(1)
        assert run(1) == first != run(2)
        assert set(first) == {("message.received", str(n)) for n in range(20)}
        assert len(first) > 20
        assert first[:20] != sorted(first[:20], key=lambda sent: int(sent[1]))

    def test_a_failed_delivery_is_retried(self, aircall: Aircall, hooks: Receiver) -> None:
        register(aircall)
        hooks.status = 503
        aircall.sandbox.texts.add()
        assert deliver(aircall, 5) == [503]
        hooks.status = 200
        assert deliver(aircall, 60) == [200]
        assert deliver(aircall, HOUR) == []
        assert hooks.bodies[0] == hooks.bodies[1]

    def test_they_never_leave_this_machine(self, aircall: Aircall) -> None:
        register(aircall)
        aircall.sandbox.texts.add()
        assert deliver(aircall, 5) == []  # no forward
        aircall.sandbox.webhooks.forwards[PUBLIC] = "http://192.0.2.1"
        aircall.sandbox.texts.add()
        with refused(ValueError, "machine"):
            deliver(aircall, 5)
