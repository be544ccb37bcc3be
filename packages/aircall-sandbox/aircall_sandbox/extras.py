"""Adds optional features to a made-up company: campaigns and messaging."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from aircall_sandbox.phones import e164
from aircall_sandbox.templates import iso, uuid_of

if TYPE_CHECKING:
    from aircall_sandbox.world import World

CAMPAIGN_SIZE = 25
CAMPAIGN_AGE = 14 * 86_400
"""Seconds since the start of the campaigns."""
TEMPLATE_TEXTS = {
    "order_shipped": "Your order is on its way.",
    "missed_you": "We have missed your call. When may we call back?",
    "appointment": "We look forward to talking to you tomorrow at ten.",
}


def add_campaigns(world: World) -> None:
    """Give each user of the first team a dialer campaign: contacts they called since its start, and contacts to call.

    See the facts: Optional features.
    """
    since = world.now - CAMPAIGN_AGE
    outbound = [call for call in world.calls.values() if call["direction"] == "outbound" and call["started_at"] > since]
    called = {call["raw_digits"] for call in outbound}
    phones = [contact["phone_numbers"][0]["value"] for contact in world.contacts.values()]
    waiting = iter(sorted(set(phones) - {e164(digits) for digits in called}))
    team = next(iter(world.kinds["teams"].values()))
    for user in [member["id"] for member in team["users"]]:
        theirs = dict.fromkeys(
            call["raw_digits"] for call in outbound if call["user"]["id"] == user and call["contact"]
        )
        numbers = [(e164(digits), True) for digits in list(theirs)[: CAMPAIGN_SIZE // 2]]
        numbers += [(number, False) for number in itertools.islice(waiting, CAMPAIGN_SIZE - len(numbers))]
        world.optional.dialer_campaigns[user] = {
            "id": user * 10,
            "number_id": str(world.user_numbers[user][0]),
            "created_at": iso(since),
            "phone_numbers": [
                {"id": user * 1_000 + position, "number": number, "called": is_called, "created_at": iso(since)}
                for position, (number, is_called) in enumerate(numbers)
            ],
        }


def add_outbound_campaigns(world: World, count: int = 1) -> None:
    """Give a company outbound campaigns, each with one contact called and one not (facts: Outbound Campaigns).

    The fields of a campaign itself are made up.
    """
    outcomes = world.optional.campaign_outcomes
    outcomes += [{"id": "no_answer", "label": "No Answer"}, {"id": uuid_of("outcome", "booked"), "label": "Booked"}]
    contacts = itertools.cycle(world.contacts.values())
    calls = itertools.cycle(call["id"] for call in world.calls.values() if call["direction"] == "outbound")
    for number in range(count):
        identity = uuid_of("campaign", number)
        world.optional.campaigns[identity] = {
            "id": identity,
            "name": f"Campaign {number + 1}",
            "status": "active",
            "created_at": iso(world.now - CAMPAIGN_AGE),
            "contacts": [
                {
                    "phone_number": contact["phone_numbers"][0]["value"].removeprefix("+"),
                    "first_name": contact["first_name"],
                    "last_name": contact["last_name"],
                    "email": None,
                    "company_name": contact["company_name"],
                    "note": None,
                }
                for contact in itertools.islice(contacts, 2)
            ],
            "call_outcomes": [],
        }
        world.record_outcome(identity, next(calls), outcomes[number % len(outcomes)])


def add_messaging(world: World) -> None:
    """Give each number a registration and a messaging configuration, every third WhatsApp, and the company templates.

    See the facts: Optional features. The rest is made up.
    """
    optional = world.optional
    for position, (identity, number) in enumerate(world.kinds["numbers"].items()):
        optional.registration_statuses[identity] = {"status": "approved", "country": number["country"]}
        optional.message_configurations[identity] = {
            "type": "proxy",
            "callbackUrl": "https://hooks.example.com/messages",
            "token": f"secret-of-messaging-{identity}",
        }
        if position % 3:
            continue
        optional.whatsapp_statuses[identity] = {
            "wabaId": str(identity * 1_000),
            "status": "ONLINE",
            "canSendMessage": True,
            "messagingLimitTier": "TIER_1K",
            "qualityRating": "GREEN",
            "businessVerificationStatus": "VERIFIED",
        }
        optional.whatsapp_templates[identity] = [
            {
                "id": index,
                "wabaId": str(identity * 1_000),
                "name": name,
                "category": "UTILITY",
                "status": "APPROVED",
                "language": "en",
            }
            for index, name in enumerate(TEMPLATE_TEXTS, start=1)
        ]
    optional.sms_templates += [
        {"id": index, "name": name, "body": body} for index, (name, body) in enumerate(TEMPLATE_TEXTS.items(), start=1)
    ]
