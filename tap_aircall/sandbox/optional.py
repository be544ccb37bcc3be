"""What not every user, number or account has: dialer campaigns, messaging, WhatsApp and templates.

See the facts: What not every account has. A user or number without one gets 404; an account that may not see a kind
gets 403 for all of it. The payloads of the registration status and the messaging configuration are not known: what is
here is made up, and can be sent wrapped in a key or flat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from tap_aircall.sandbox.messages import UNKNOWN_OBJECT, Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_aircall.sandbox.templates import Record

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
