"""What not every user, number or account has: dialer campaigns, messaging, WhatsApp and templates.

Facts, sections 4.2, 4.5 and 4.6. A user or number without one gets 404; an account that may not see a kind gets 403 for
all of it. The payloads of the registration status and the messaging configuration are not known: what is here is made
up, and can be sent wrapped in a key or flat.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, get_args

from tap_aircall.sandbox.api import UNKNOWN_OBJECT, Answer
from tap_aircall.sandbox.phones import e164
from tap_aircall.sandbox.templates import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_aircall.sandbox.templates import Record
    from tap_aircall.sandbox.world import World

Resource = Literal[
    "dialer_campaigns",
    "registration_statuses",
    "message_configurations",
    "whatsapp_statuses",
    "whatsapp_templates",
    "sms_templates",
]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
DENIED = (403, {"error": "Forbidden", "troubleshoot": "This feature is not part of the company's plan"})
TOKEN_PAGE = 10
"""Templates of WhatsApp come in pages of ten, unless `limit` says otherwise."""
LARGEST_PAGE = 100
"""SMS templates alone come in pages of up to a hundred."""
CAMPAIGN_SIZE = 25
CAMPAIGN_AGE = 14 * 86_400
"""Seconds since the campaigns began."""
TEMPLATE_TEXTS = {
    "order_shipped": "Your order is on its way.",
    "missed_you": "We have missed your call. When may we call back?",
    "appointment": "We look forward to talking to you tomorrow at ten.",
}


class OptionalResources:
    """The data, by the id of the user or number it belongs to."""

    def __init__(self) -> None:
        self.dialer_campaigns: dict[int, Record] = {}
        """By user; each has its `phone_numbers`."""
        self.registration_statuses: dict[int, Record] = {}
        self.message_configurations: dict[int, Record] = {}
        self.whatsapp_statuses: dict[int, Record] = {}
        self.whatsapp_templates: dict[int, list[Record]] = {}
        self.sms_templates: list[Record] = []
        self.denied: set[Resource] = set()
        """What the account may not see."""
        self.denied_ids: set[int] = set()
        """Users and numbers of whom the account may see none of this."""
        self.is_wrapped = True
        """Whether objects whose envelope is not certain come in one."""

    def answer(  # noqa: PLR0911 - one case a path reads like a table
        self, parts: list[str], query: Mapping[str, str]
    ) -> Answer | None:
        """Answer a request.

        Args:
            parts: The path below `/v1`.
            query: Its parameters.

        Returns:
            The answer; None where the path is of something else.
        """
        match parts:
            case ["users", identity, "dialer_campaign", *rest] if rest in ([], ["phone_numbers"]):
                return self._allowed("dialer_campaigns", identity) or self._dialer(int(identity), rest)
            case ["numbers", identity, "registration_status"]:
                return self._object("registration_statuses", identity, "registration_status")
            case ["numbers", identity, "messages", "configuration"]:
                return self._object("message_configurations", identity, "configuration")
            case ["numbers", identity, "whatsapp_status"]:
                return self._object("whatsapp_statuses", identity, None)
            case ["numbers", identity, "templates"]:
                return self._allowed("whatsapp_templates", identity) or self._templates(int(identity), query)
            case ["sms", "templates"]:
                return self._allowed("sms_templates", "0") or self._sms_templates(query)
        return None

    def _allowed(self, resource: Resource, identity: str) -> Answer | None:
        """Return the refusal, if there is one."""
        if resource in self.denied or (identity.isdigit() and int(identity) in self.denied_ids):
            return Answer(*DENIED)
        return None if identity.isdigit() else Answer(*UNKNOWN_OBJECT)

    def _dialer(self, user: int, rest: list[str]) -> Answer:
        campaign = self.dialer_campaigns.get(user)
        if campaign is None:
            return Answer(*UNKNOWN_OBJECT)
        if rest:
            return Answer(200, {"numbers": campaign["phone_numbers"]})
        return Answer(200, {"dialer_campaign": campaign} if self.is_wrapped else campaign)

    def _object(self, resource: Resource, identity: str, envelope: str | None) -> Answer:
        refusal = self._allowed(resource, identity)
        if refusal is not None:
            return refusal
        found: Any = getattr(self, resource).get(int(identity))
        if found is None:
            return Answer(*UNKNOWN_OBJECT)
        return Answer(200, {envelope: found} if envelope and self.is_wrapped else found)

    def _templates(self, number: int, query: Mapping[str, str]) -> Answer:
        """List templates behind a token, which is a position."""
        templates = self.whatsapp_templates.get(number)
        if templates is None:
            return Answer(*UNKNOWN_OBJECT)
        start, size = int(query.get("token", 0)), int(query.get("limit", TOKEN_PAGE))
        following = start + size if start + size < len(templates) else None
        info = {"currentToken": start, "nextToken": following, "totalCount": len(templates)}
        return Answer(200, {"templates": templates[start : start + size], "pageInfo": info})

    def _sms_templates(self, query: Mapping[str, str]) -> Answer:
        page, size = int(query.get("page", 1)), min(LARGEST_PAGE, int(query.get("per_page", 20)))
        records = self.sms_templates[(page - 1) * size : page * size]
        total = len(self.sms_templates)
        link = f"https://api.aircall.io/v1/sms/templates?per_page={size}&page={{}}"
        meta = {
            "count": len(records),
            "total": total,
            "current_page": page,
            "per_page": size,
            "next_page_link": link.format(page + 1) if page * size < total else None,
            "previous_page_link": link.format(page - 1) if page > 1 else None,
        }
        return Answer(200, {"templates": records, "meta": meta})


def add_campaigns(world: World) -> None:
    """Give each user of the first team a dialer campaign: contacts whom they called since it began, and others to call.

    Facts, section 5.11.
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


def add_messaging(world: World) -> None:
    """Give each number a registration and a messaging configuration, some of them WhatsApp, and the company templates.

    Facts, section 5.13; what is not known there is made up.
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
