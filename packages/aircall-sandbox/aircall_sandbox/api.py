"""The API's responses: paths, lists, envelopes and errors, with all oddities in the facts.

Pure functions of the company's data and a query. Rate limit, credentials and faults are the server's.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aircall_sandbox.messages import NO_SUCH_PATH, UNKNOWN_OBJECT, ApiResponse
from aircall_sandbox.routes import Query, Route, dispatch
from aircall_sandbox.templates import KINDS, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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


@dataclass(frozen=True)
class Listing:
    """A requested page of a list."""

    path: str
    page: int
    per_page: int
    descending: bool
    first: float
    """Lower bound in UNIX seconds; whether it is inclusive depends on the list."""
    last: float
    link_params: Mapping[str, str]

    @classmethod
    def of(cls, query: Query) -> Listing:
        """Parse the parameters of lists. Like Aircall, ignore others."""
        params = query.params
        return cls(
            path=query.path,
            page=max(1, _integer(params.get("page"), 1)),
            per_page=min(LARGEST_PAGE, max(1, _integer(params.get("per_page"), 20))),
            descending=params.get("order") == "desc",
            first=_bound(params.get("from"), UNBOUNDED[0]),
            last=_bound(params.get("to"), UNBOUNDED[1]),
            link_params={name: params[name] for name in ("from", "to", "order", "order_by") if name in params},
        )

    @property
    def start(self) -> int:
        """Position of the first record, from 0."""
        return (self.page - 1) * self.per_page

    def select(
        self, index: TimeIndex, first: float, last: float, accepts: Callable[[int], bool] | None = None
    ) -> tuple[list[int], int]:
        """Return the ids on the page, and the total, of the ids in an index from `first` to `last`.

        Args:
            index: The index.
            first: UNIX seconds, inclusive.
            last: UNIX seconds, inclusive.
            accepts: Returns whether an id is in the list; by default all are.
        """
        if accepts is None:
            return index.select(first, last, self.start, self.per_page, descending=self.descending)
        everything, _ = index.select(first, last, 0, sys.maxsize, descending=self.descending)
        found = [identity for identity in everything if accepts(identity)]
        return found[self.start : self.start + self.per_page], len(found)

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
    """Responds to requests about a company.

    Args:
        world: The company.
        retired_users_v1: Whether version 1 of users is gone, as since 2026-09-30.
    """

    def __init__(self, world: World, *, retired_users_v1: bool) -> None:
        self.world = world
        self.retired_users_v1 = retired_users_v1
        self._reading = itertools.count(1)
        self._routes = self._all_routes()

    def respond(self, path: str, params: Mapping[str, str], tags: Sequence[str]) -> ApiResponse:
        """Respond to a `GET`.

        Args:
            path: Path, including the version.
            params: The last value of each parameter.
            tags: All values of `tags[]`.
        """
        return dispatch(self._routes, Query(path, params, tags)) or NO_SUCH_PATH

    def _all_routes(self) -> list[Route]:
        """Return all routes; the first match wins."""
        return [
            Route("/v1/ping", lambda _: ApiResponse(200, {"ping": "pong"})),
            Route("/v1/company", self._company),
            Route("/v1/integrations/me", self._integration),
            Route("/v1/calls", self._calls),
            Route("/v1/calls/search", self._search_calls),
            Route("/v1/calls/*", self._call),
            Route("/v1/contacts", self._contacts),
            Route("/v1/contacts/search", self._search_contacts),
            Route(
                "/v1/contacts/*", lambda _, identity: _one("contact", self.world.contacts.get(_integer(identity, 0)))
            ),
            Route("/v2/users", lambda query: self._kind("users", query, _user_v2, bounds=True)),
            Route("/v2/users/*", lambda _, identity: _one("user", self._user(identity), _user_v2)),
            Route("/v2/users/*/numbers", self._numbers_of_user),
            Route("/v1/users/availabilities", lambda query: self._kind("users", query, _availability, bounds=True)),
            Route("/v1/users/*/availability", self._availability_of_user),
            Route("/v1/users", self._users_v1),
            Route("/v1/users/*", self._user_v1),
            Route("/v1/numbers", lambda query: self._kind("numbers", query, bounds=True)),
            Route("/v1/numbers/*", self._number),
            Route("/v1/tags", lambda query: self._kind("tags", _unordered(query))),
            Route("/v1/webhooks", lambda query: self._kind("webhooks", query, links=False)),
            Route("/v1/webhooks/*", lambda _, identity: _one("webhook", self._webhook(identity))),
            *(Route(f"/v1/{kind}", partial(self._kind, kind)) for kind in KINDS),
            *(Route(f"/v1/{kind}/*", partial(self._one_of, kind)) for kind in KINDS),
            *self.world.intelligence.routes(),
            *self.world.optional.routes(),
        ]

    # Calls

    def _calls(self, query: Query, accepts: Callable[[int], bool] | None = None) -> ApiResponse:
        """List calls: `from` is exclusive, `to` inclusive, both by `started_at` (facts: Lists and pages)."""
        listing = Listing.of(query)
        if listing.page * listing.per_page > CAP:
            return OVER_CAP
        first = max(listing.first + 1, self.world.now - RETENTION_SECONDS)
        calls, index = self.world.calls, self.world.calls_by_start
        found, total = listing.select(index, first, listing.last, accepts)
        return listing.respond("calls", [self._shown_call(calls[identity], query.params) for identity in found], total)

    def _search_calls(self, query: Query) -> ApiResponse:
        params, tags = query.params, {_integer(tag, 0) for tag in query.tags}

        def accepts(identity: int) -> bool:
            call = self.world.calls[identity]
            user = call["user"] or {}
            return (
                ("direction" not in params or call["direction"] == params["direction"])
                and ("user_id" not in params or str(user.get("id")) == params["user_id"])
                and ("phone_number" not in params or _digits(call["raw_digits"]) == _digits(params["phone_number"]))
                and tags <= {tag["id"] for tag in call["tags"]}
            )

        is_filtered = tags or params.keys() & {"direction", "user_id", "phone_number"}
        return self._calls(query, accepts if is_filtered else None)

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
        listing = Listing.of(query)
        if listing.page * listing.per_page > CAP:
            return OVER_CAP
        contacts = self.world.contacts
        if query.params.get("order_by") != "updated_at":
            found, total = listing.select(self.world.contacts_by_creation, listing.first, listing.last)
        elif (listing.first, listing.last) == UNBOUNDED:
            found, total = listing.select(self.world.contacts_by_change, *UNBOUNDED)
        else:
            found, total = listing.select(
                self.world.contacts_by_change,
                *UNBOUNDED,
                lambda identity: listing.first <= contacts[identity]["created_at"] <= listing.last,
            )
        return listing.respond("contacts", [contacts[identity] for identity in found], total)

    def _search_contacts(self, query: Query) -> ApiResponse:
        params = query.params
        if not params.keys() & {"phone_number", "email"}:
            return self._contacts(query)
        found = [
            contact
            for contact in self.world.contacts.values()
            if ("email" not in params or params["email"] in {email["value"] for email in contact["emails"]})
            and (
                "phone_number" not in params
                or _digits(params["phone_number"]) in {_digits(phone["value"]) for phone in contact["phone_numbers"]}
            )
        ]
        return page_of(Listing.of(query), "contacts", found)

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
            "user": next((self.world.number_user(identity) for identity in users), None),
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
        listing = Listing.of(query)
        records: Iterable[Record] = self.world.kinds[kind].values()
        if bounds:
            records = (record for record in records if listing.first <= _seconds(record["created_at"]) <= listing.last)
        return page_of(listing, kind, [show(record) for record in records], links=links)

    def _user(self, identity: str) -> Record | None:
        users = self.world.kinds["users"]
        by_email = (user for user in users.values() if user["email"] == identity)
        return users.get(_integer(identity, 0)) or next(by_email, None)

    def _availability_of_user(self, _: Query, identity: str) -> ApiResponse:
        user = self._user(identity)
        return ApiResponse(200, {"availability": user["availability"]}) if user else UNKNOWN_OBJECT

    def _users_v1(self, query: Query) -> ApiResponse:
        return self._retired() or self._kind("users", query, _user_v1, bounds=True)

    def _user_v1(self, _: Query, identity: str) -> ApiResponse:
        return self._retired() or _one("user", self._user(identity), _user_v1)

    def _retired(self) -> ApiResponse | None:
        if self.retired_users_v1:
            return ApiResponse(
                410, {"error": "Gone", "troubleshoot": "This version of users was removed: use /v2/users"}
            )
        return None

    def _numbers_of_user(self, query: Query, identity: str) -> ApiResponse:
        user = self._user(identity)
        if user is None:
            return UNKNOWN_OBJECT
        ids = self.world.user_numbers.get(user["id"], [])
        numbers = [self.world.call_number(number) for number in ids if number in self.world.kinds["numbers"]]
        return page_of(Listing.of(_unordered(query)), "numbers", numbers)

    def _number(self, _: Query, identity: str) -> ApiResponse:
        number = self.world.kinds["numbers"].get(_integer(identity, 0))
        if number is None:
            return UNKNOWN_OBJECT
        users = [self.world.number_user(user) for user, ids in self.world.user_numbers.items() if number["id"] in ids]
        return _one("number", number | {"users": users})

    def _one_of(self, kind: Kind, _: Query, identity: str) -> ApiResponse:
        return _one(kind[:-1], self.world.kinds[kind].get(_integer(identity, 0)))

    def _webhook(self, identity: str) -> Record | None:
        webhooks = self.world.kinds["webhooks"]
        by_old_id = (webhook for webhook in webhooks.values() if str(webhook["id"]) == identity)
        return webhooks.get(identity) or next(by_old_id, None)


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


def _user_v1(user: Record) -> Record:
    link = user["direct_link"].replace("/v2/", "/v1/")
    return without(user, "availability", "default_number_id", "substatus") | {"direct_link": link}


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


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())
