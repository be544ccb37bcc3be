"""Data for companies in tests: some of each kind, or everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aircall_sandbox.intelligence import RESULT_KINDS
from aircall_sandbox.templates import KINDS
from tests.clock import NOW

if TYPE_CHECKING:
    from aircall_sandbox import World

TIME = "2020-01-02T11:41:01.000Z"


def furnish(world: World, *, calls: int, contacts: int, users: int) -> None:
    """Add calls, contacts, users, and a few of each other kind that most companies have."""
    for kind in KINDS:
        for _ in range(users if kind == "users" else 3):
            world.add(kind)
    world.user_numbers = {user: list(world.kinds["numbers"]) for user in world.kinds["users"]}
    for n in range(calls):
        world.add_call(started_at=int(NOW) - 90_000 - n * 37)
    for n in range(contacts):
        world.add_contact(created_at=int(NOW) - 90_000 - n * 37)


def add_everything(world: World) -> None:
    """Add what a company lacks for a record of every stream but reports, with all of its fields.

    Each call gets all AI results, each user a campaign with one phone number, each number its messaging and 12 WhatsApp
    templates; the company gets 3 SMS templates.
    """
    for kind in KINDS:
        if not world.kinds[kind]:
            world.add(kind)
    for call in world.calls:
        for result in RESULT_KINDS:
            payload = world.intelligence.add(call, result)
            for item in payload.get("action_items", ()):
                item |= {"created_by": 1, "assignee_user_id": 1, "due_at": TIME, "completed_at": TIME}
    entry = {"id": 1, "number": "+33 1 99 00 00 01", "called": False, "created_at": TIME}
    optional = world.optional
    for user in world.kinds["users"]:
        optional.dialer_campaigns[user] = {"id": user, "number_id": "7", "phone_numbers": [entry]}
    for number in world.kinds["numbers"]:
        optional.registration_statuses[number] = {"status": "approved", "documents": [{"kind": "passport"}]}
        optional.message_configurations[number] = {"type": "proxy", "callbackUrl": "https://a", "token": "s3cret"}
        optional.whatsapp_statuses[number] = {"wabaId": "1", "status": "ONLINE", "canSendMessage": True}
        optional.whatsapp_templates[number] = [{"id": n, "name": f"order_{n}", "language": "en"} for n in range(12)]
    optional.sms_templates += [{"id": n, "name": f"order_{n}", "body": "On its way"} for n in range(3)]
