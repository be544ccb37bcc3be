"""The API's responses: paths, lists, envelopes and errors, with all oddities in the facts.

Pure functions of the company's data and a query. Rate limit, credentials and faults are the server's.
"""

from __future__ import annotations

import itertools
import sys
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aircall_sandbox.messages import NO_SUCH_PATH, UNKNOWN_OBJECT, ApiResponse, Query, Route, dispatch
from aircall_sandbox.templates import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aircall_sandbox.index import TimeIndex
    from aircall_sandbox.templates import Kind, Record
    from aircall_sandbox.world import World

RETENTION_SECONDS = 183 * 86_400
"""Calls are served for six months (facts: Lists and pages); the exact limit is unknown."""
TIMELINE_SECONDS = 61 * 86_400
"""Menu choices of a caller are served for two months (facts: Calls)."""
LARGEST_PAGE = 50
CAP = 10_000
UNBOUNDED = (float("-inf"), float("inf"))

OAUTH_ONLY = "/v1/integrations"
"""Prefix of paths that refuse Basic authentication (facts: Addresses and errors)."""

OVER_CAP = ApiResponse(
    400,
    {
        "error": "Bad Request",
        "data": None,
        "message": "BAD_REQUEST",
        "errors": (
            "Your query is limited to 10k results and pagination is out of bound, "
            "please use timestamps or other filters."
        ),
        "troubleshoot": "BAD_REQUEST",
        "success": False,
    },
)


class Listing:
    """A requested page of a list. Like Aircall, it ignores other parameters."""

    def __init__(self, query: Query, largest_page: int | None = None) -> None:
        params = query.params
        self.path = query.path
        self.page = max(1, _integer(params.get("page"), 1))
        self.per_page = min(largest_page or LARGEST_PAGE, max(1, _integer(params.get("per_page"), 20)))
        self.descending = params.get("order") == "desc"
        self.first = _bound(params.get("from"), UNBOUNDED[0])
        """Lower bound in UNIX seconds; whether it is inclusive depends on the list."""
        self.last = _bound(params.get("to"), UNBOUNDED[1])
        self.link_params = {name: params[name] for name in ("from", "to", "order", "order_by") if name in params}
        self.start = (self.page - 1) * self.per_page
        """Position of the first record, from 0."""

    def select(self, index: TimeIndex, first: float, last: float) -> tuple[list[int], int]:
        """Return the ids on the page, and the total, of the ids in an index from `first` to `last`, both inclusive."""
        return index.select(first, last, self.start, self.per_page, descending=self.descending)

    def respond(self, envelope: str, records: list[Record], total: int, *, links: bool = True) -> ApiResponse:
        """Wrap a page. Link the next one even if Aircall would refuse it."""
        meta: Record = {"count": len(records), "total": total, "current_page": self.page, "per_page": self.per_page}
        if links:
            more = self.start + self.per_page < total
            meta["next_page_link"] = self._link(self.page + 1) if more else None
            meta["previous_page_link"] = self._link(self.page - 1) if self.page > 1 else None
        return ApiResponse(200, {envelope: records, "meta": meta})

    def _link(self, page: int) -> str:
        params = {**self.link_params, "per_page": str(self.per_page), "page": str(page)}
        return f"https://api.aircall.io{self.path}?{urlencode(params)}"


class Api:
    """Responds to requests about a company."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._reading = itertools.count(1)
        self._routes = self._all_routes()

    def respond(self, path: str, params: Mapping[str, str]) -> ApiResponse:
        """Respond to a `GET`, given the path with its version, and the last value of each parameter."""
        return dispatch(self._routes, Query(path, params)) or NO_SUCH_PATH

    def _all_routes(self) -> list[Route]:
        """Return all routes; the first match wins."""
        return [
            Route("/v1/ping", lambda _: ApiResponse(200, {"ping": "pong"})),
            Route("/v1/company", self._company),
            Route("/v1/integrations/me", self._integration),
            Route("/v1/calls", self._calls),
            Route("/v1/calls/*", self._call),
            Route("/v1/contacts", self._contacts),
            Route(
                "/v1/contacts/*", lambda _, identity: _one("contact", self.world.contacts.get(_integer(identity, 0)))
            ),
            Route("/v2/users", lambda query: self._kind("users", query, _user_v2, bounds=True)),
            Route("/v2/users/*/numbers", self._numbers_of_user),
            Route("/v1/users/availabilities", lambda query: self._kind("users", query, _availability, bounds=True)),
            Route("/v1/numbers", lambda query: self._kind("numbers", query, bounds=True)),
            Route("/v1/tags", lambda query: self._kind("tags", _unordered(query))),
            Route("/v1/webhooks", lambda query: self._kind("webhooks", query, links=False)),
            Route("/v1/teams", lambda query: self._kind("teams", query)),
            *self.world.intelligence.routes(),
            *self.world.optional.routes(),
        ]

    # Calls

    def _calls(self, query: Query) -> ApiResponse:
        """List calls: `from` is exclusive, `to` inclusive, both by `started_at` (facts: Lists and pages)."""
        listing = Listing(query)
        if listing.page * listing.per_page > CAP:
            return OVER_CAP
        first = max(listing.first + 1, self.world.now - RETENTION_SECONDS)
        calls, index = self.world.calls, self.world.calls_by_start
        found, total = listing.select(index, first, listing.last)
        return listing.respond("calls", [self._shown_call(calls[identity], query.params) for identity in found], total)

    def _call(self, query: Query, identity: str) -> ApiResponse:
        return _one(
            "call", self.world.shown_call(_integer(identity, 0)), lambda call: self._shown_call(call, query.params)
        )

    def _shown_call(self, call: Record, params: Mapping[str, str]) -> Record:
        """Drop the parts that no flag requests, and sign the URLs again."""
        shown = call | self.world.recordings.links(call, self.world.now)
        reading = next(self._reading)
        if params.get("fetch_contact") != "true":
            shown["contact"] = None
        if params.get("fetch_short_urls") == "true":
            for name in ("recording_short_url", "voicemail_short_url"):
                if shown[name]:
                    shown[name] += f"-{reading}"
        else:
            shown["recording_short_url"] = shown["voicemail_short_url"] = None
        if params.get("fetch_call_timeline") != "true":
            del shown["ivr_options_selected"]
        elif shown["started_at"] < self.world.now - TIMELINE_SECONDS:
            shown["ivr_options_selected"] = []
        if params.get("fetch_aiva_conv") != "true":
            del shown["ai_voice_agents"]
        return shown

    # Contacts

    def _contacts(self, query: Query) -> ApiResponse:
        """List contacts: both bounds are inclusive, and by `created_at` in any order (facts: Lists and pages)."""
        listing = Listing(query)
        if listing.page * listing.per_page > CAP:
            return OVER_CAP
        contacts = self.world.contacts
        if query.params.get("order_by") != "updated_at":
            found, total = listing.select(self.world.contacts_by_creation, listing.first, listing.last)
        elif (listing.first, listing.last) == UNBOUNDED:
            found, total = listing.select(self.world.contacts_by_change, *UNBOUNDED)
        else:
            changed, _ = self.world.contacts_by_change.select(*UNBOUNDED, 0, sys.maxsize, descending=False)
            shown = [contacts[identity] for identity in changed]
            within = [each for each in shown if listing.first <= each["created_at"] <= listing.last]
            return page_of(listing, "contacts", within)
        return listing.respond("contacts", [contacts[identity] for identity in found], total)

    # Other objects

    def _company(self, _: Query) -> ApiResponse:
        kinds = self.world.kinds
        counts = {f"{kind}_count": len(kinds[kind]) for kind in ("users", "numbers")}
        return ApiResponse(200, {"company": {"name": self.world.company_name, **counts}})

    def _integration(self, _: Query) -> ApiResponse:
        """Show the app, installed by the company's first user."""
        numbers, users = self.world.kinds["numbers"], self.world.kinds["users"]
        integration = {
            "name": "tap-aircall",
            "custom_name": None,
            "logo": "https://example.com/logo.png",
            "company_id": self.world.company_id,
            "status": "installed",
            "active": True,
            "number_ids": list(numbers),
            "numbers_count": len(numbers),
            "user": next((self.world.integration_user(identity) for identity in users), None),
        }
        return ApiResponse(200, {"integration": integration})

    def _kind(
        self,
        kind: Kind,
        query: Query,
        show: Callable[[Record], Record] = dict,
        *,
        bounds: bool = False,
        links: bool = True,
    ) -> ApiResponse:
        listing = Listing(query)
        records: Iterable[Record] = self.world.kinds[kind].values()
        if bounds:
            records = (record for record in records if listing.first <= _seconds(record["created_at"]) <= listing.last)
        return page_of(listing, kind, [show(record) for record in records], links=links)

    def _numbers_of_user(self, query: Query, identity: str) -> ApiResponse:
        user = _integer(identity, 0)
        if user not in self.world.kinds["users"]:
            return UNKNOWN_OBJECT
        ids = self.world.user_numbers.get(user, [])
        numbers = [self.world.call_number(number) for number in ids if number in self.world.kinds["numbers"]]
        return page_of(Listing(_unordered(query)), "numbers", numbers)


def page_of(listing: Listing, envelope: str, records: list[Record], *, links: bool = True) -> ApiResponse:
    """Return a page of a short list."""
    if listing.page * listing.per_page > CAP:
        return OVER_CAP
    ordered = records[::-1] if listing.descending else records
    page = ordered[listing.start : listing.start + listing.per_page]
    return listing.respond(envelope, page, len(records), links=links)


def _unordered(query: Query) -> Query:
    """Drop the parameters that a list without an order ignores (facts: Lists and pages)."""
    return query._replace(params=without(dict(query.params), "order", "from", "to"))


def _one(envelope: str, record: Record | None, show: Callable[[Record], Record] = dict) -> ApiResponse:
    return ApiResponse(200, {envelope: show(record)}) if record else UNKNOWN_OBJECT


def _user_v2(user: Record) -> Record:
    return without(user, "availability")


def _availability(user: Record) -> Record:
    return {"availability": user["availability"], "id": user["id"]}


def _integer(text: str | None, default: int) -> int:
    try:
        return int(text) if text else default
    except ValueError:
        return default


def _bound(text: str | None, default: float) -> float:
    """Parse a bound in UNIX seconds; any other text selects nothing (facts: Filters and order)."""
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        return -default


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
