"""Optional features: campaigns, messaging, WhatsApp and templates.

See the facts: Optional features. A user or number without the feature gets 404, a company without it 403. The
form of registration statuses and messaging configurations is unknown: these are made up, and come with or without an
envelope.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from aircall_sandbox.api import Listing, page_of
from aircall_sandbox.messages import UNKNOWN_OBJECT, ApiResponse, Query, Route
from aircall_sandbox.templates import without

if TYPE_CHECKING:
    from collections.abc import Callable

    from aircall_sandbox.templates import Record

Resource = Literal[
    "dialer_campaigns",
    "registration_statuses",
    "message_configurations",
    "whatsapp_statuses",
    "whatsapp_templates",
    "sms_templates",
    "campaigns",
    "campaign_outcomes",
]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
DENIED = ApiResponse(403, {"error": "Forbidden", "troubleshoot": "This feature is not part of the company's plan"})
TOKEN_PAGE = 10
"""Default page size of WhatsApp templates; `limit` overrides it."""
LARGEST_PAGE = 100
"""Of SMS templates, and perhaps of the lists of outbound campaigns; other lists allow 50."""


class OptionalResources:
    """The data, by id of its user or number."""

    def __init__(self) -> None:
        self.dialer_campaigns: dict[int, Record] = {}
        """By user; each has its `phone_numbers`."""
        self.registration_statuses: dict[int, Record] = {}
        self.message_configurations: dict[int, Record] = {}
        self.whatsapp_statuses: dict[int, Record] = {}
        self.whatsapp_templates: dict[int, list[Record]] = {}
        self.sms_templates: list[Record] = []
        self.campaigns: dict[str, Record] = {}
        """Outbound campaigns by id; each has its `contacts` and `call_outcomes`."""
        self.campaign_outcomes: list[Record] = []
        self.denied: set[Resource] = set()
        """Resources that the company may not see."""
        self.denied_ids: set[int] = set()
        """Users and numbers whose resources are refused."""
        self.is_wrapped = True
        """Whether objects have an envelope where sources disagree."""

    def routes(self) -> list[Route]:
        """Return the routes of these resources."""
        return [
            Route("/v1/users/*/dialer_campaign", partial(self._one, "dialer_campaigns", self._in("dialer_campaign"))),
            Route("/v1/users/*/dialer_campaign/phone_numbers", partial(self._one, "dialer_campaigns", _phone_numbers)),
            Route(
                "/v1/numbers/*/registration_status",
                partial(self._one, "registration_statuses", self._in("registration_status")),
            ),
            Route(
                "/v1/numbers/*/messages/configuration",
                partial(self._one, "message_configurations", self._in("configuration")),
            ),
            Route("/v1/numbers/*/whatsapp_status", partial(self._one, "whatsapp_statuses", lambda found, _: found)),
            Route("/v1/numbers/*/templates", partial(self._one, "whatsapp_templates", _whatsapp_templates)),
            Route("/v1/sms/templates", partial(self._list, "sms_templates", "templates")),
            Route("/v1/campaign_outcomes", partial(self._list, "campaign_outcomes", "campaign_outcomes")),
            Route("/v1/campaigns", self._campaigns),
            Route("/v1/campaigns/*/contacts", partial(self._of_campaign, "contacts")),
            Route("/v1/campaigns/*/call_outcomes", partial(self._of_campaign, "call_outcomes")),
        ]

    def _one(self, resource: Resource, show: Callable[[Any, Query], Any], query: Query, identity: str) -> ApiResponse:
        """Respond to a request for a resource of one user or number."""
        if resource in self.denied or (identity.isdigit() and int(identity) in self.denied_ids):
            return DENIED
        found = getattr(self, resource).get(int(identity)) if identity.isdigit() else None
        return UNKNOWN_OBJECT if found is None else ApiResponse(200, show(found, query))

    def _in(self, envelope: str) -> Callable[[Any, Query], Any]:
        """Return a function that wraps an object in an envelope, if `is_wrapped`."""
        return lambda found, _: {envelope: found} if self.is_wrapped else found

    def _list(self, resource: Resource, envelope: str, query: Query) -> ApiResponse:
        return DENIED if resource in self.denied else _paged(envelope, getattr(self, resource), query)

    def _campaigns(self, query: Query) -> ApiResponse:
        if "campaigns" in self.denied:
            return DENIED
        shown = [without(each, "contacts", "call_outcomes") for each in self.campaigns.values()]
        return _paged("campaigns", shown, query)

    def _of_campaign(self, part: str, query: Query, identity: str) -> ApiResponse:
        if "campaigns" in self.denied:
            return DENIED
        campaign = self.campaigns.get(identity)
        return UNKNOWN_OBJECT if campaign is None else _paged(part, campaign[part], query)


def _paged(envelope: str, found: list[Record], query: Query) -> ApiResponse:
    return page_of(Listing(query, LARGEST_PAGE), envelope, found)


def _phone_numbers(campaign: Record, _: Query) -> Record:
    return {"numbers": campaign["phone_numbers"]}


def _whatsapp_templates(templates: list[Record], query: Query) -> Record:
    """Return a page of templates; the token of a page is a position."""
    start, size = int(query.params.get("token", 0)), int(query.params.get("limit", TOKEN_PAGE))
    following = start + size if start + size < len(templates) else None
    info = {"currentToken": start, "nextToken": following, "totalCount": len(templates)}
    return {"templates": templates[start : start + size], "pageInfo": info}
