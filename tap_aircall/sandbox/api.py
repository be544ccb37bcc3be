"""What Aircall answers: paths, lists, envelopes and errors, by the facts and with their oddities.

Pure functions of the company's data and a query; pacing, credentials and faults are the server's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tap_aircall.sandbox.messages import NO_SUCH_PATH, UNKNOWN_OBJECT, Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tap_aircall.sandbox.templates import Kind, Record
    from tap_aircall.sandbox.world import World

RETENTION_SECONDS = 183 * 86_400
"""Calls older than six months are not served (facts: Lists and pages); the exact edge is unknown."""
TIMELINE_SECONDS = 61 * 86_400
"""What a caller chose in a menu is served for two months (facts: Calls)."""
LARGEST_PAGE = 50
CAP = 10_000

OAUTH_ONLY = "/v1/integrations"
"""What begins so fails with Basic (facts: Addresses and errors)."""

OVER_CAP = (
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
    """A page of a list, as asked for."""

    path: str
    page: int
    per_page: int
    descending: bool
    first: float
    """Lower bound in UNIX seconds, as asked; whether it is inclusive is the list's own matter."""
    last: float
    link_params: Mapping[str, str]

    @classmethod
    def of(cls, path: str, query: Mapping[str, str]) -> Listing:
        """Read the parameters that lists have; what Aircall does not know it ignores."""
        return cls(
            path=path,
            page=max(1, _integer(query.get("page"), 1)),
            per_page=min(LARGEST_PAGE, max(1, _integer(query.get("per_page"), 20))),
            descending=query.get("order") == "desc",
            first=_bound(query.get("from"), float("-inf")),
            last=_bound(query.get("to"), float("inf")),
            link_params={name: query[name] for name in ("from", "to", "order", "order_by") if name in query},
        )

    @property
    def start(self) -> int:
        """Position of the first record, from 0."""
        return (self.page - 1) * self.per_page

    def answer(self, envelope: str, records: list[Record], total: int, *, links: bool = True) -> Answer:
        """Wrap the page; the next page is advertised even where it would be refused."""
        meta: Record = {"count": len(records), "total": total, "current_page": self.page, "per_page": self.per_page}
        if links:
            more = self.start + self.per_page < total
            meta["next_page_link"] = self._link(self.page + 1) if more else None
            meta["previous_page_link"] = self._link(self.page - 1) if self.page > 1 else None
        return Answer(200, {envelope: records, "meta": meta})

    def _link(self, page: int) -> str:
        params = {**self.link_params, "per_page": str(self.per_page), "page": str(page)}
        return f"https://api.aircall.io{self.path}?{urlencode(params)}"


class Api:
    """Answers requests about a company.

    Args:
        world: The company.
        retired_users_v1: Whether version 1 of the users is gone, as since 2026-09-30.
    """

    def __init__(self, world: World, *, retired_users_v1: bool) -> None:
        self.world = world
        self.retired_users_v1 = retired_users_v1
        self._reading = itertools.count(1)

    def answer(  # noqa: C901, PLR0911, PLR0912 - one case a path reads like a table
        self, path: str, query: Mapping[str, str], tags: Sequence[str]
    ) -> Answer:
        """Answer a `GET`.

        Args:
            path: Path with its version.
            query: Parameters, the last of each name.
            tags: All values of `tags[]`.
        """
        parts = path.strip("/").split("/")
        optional = self.world.optional.answer(parts[1:], query) if parts[0] == "v1" else None
        if optional is None and parts[:2] == ["v1", "calls"] and len(parts) == 4:  # noqa: PLR2004
            optional = self.world.intelligence.answer(parts[2], parts[3], query)
        if optional is not None:
            return optional
        match parts:
            case ["v1", "ping"]:
                return Answer(200, {"ping": "pong"})
            case ["v1", "company"]:
                return Answer(200, {"company": self._company()})
            case ["v1", "integrations", "me"]:
                return Answer(200, {"integration": self._integration()})
            case ["v1", "calls"]:
                return self._calls(path, query, None)
            case ["v1", "calls", "search"]:
                return self._calls(path, query, self._search_calls(query, tags))
            case ["v1", "calls", call_id]:
                call = self.world.shown_call(_integer(call_id, 0))
                return _one("call", call and self._shown_call(call, query))
            case ["v1", "contacts"]:
                return self._contacts(path, query)
            case ["v1", "contacts", "search"]:
                return self._search_contacts(path, query)
            case ["v1", "contacts", contact_id]:
                return _one("contact", self.world.contacts.get(_integer(contact_id, 0)))
            case ["v2", "users"]:
                return self._kind(path, query, "users", _user_v2, bounds=True)
            case ["v2", "users", user_id]:
                return _one("user", (user := self._user(user_id)) and _user_v2(user))
            case ["v2", "users", user_id, "numbers"]:
                return self._numbers_of_user(path, query, user_id)
            case ["v1", "users", "availabilities"]:
                return self._kind(path, query, "users", _availability, bounds=True)
            case ["v1", "users", user_id, "availability"]:
                user = self._user(user_id)
                return Answer(200, {"availability": user["availability"]}) if user else _unknown_object()
            case ["v1", "users", *rest] if len(rest) <= 1:
                return self._users_v1(path, query, rest)
            case ["v1", "teams"]:
                return self._kind(path, query, "teams", dict)
            case ["v1", "numbers"]:
                return self._kind(path, query, "numbers", dict, bounds=True)
            case ["v1", "numbers", number_id]:
                return self._number(_integer(number_id, 0))
            case ["v1", "tags"]:
                return self._kind(path, _unordered(query), "tags", dict)
            case ["v1", "teams" | "tags" as kind, identity]:
                return _one(kind[:-1], self.world.kinds[kind].get(_integer(identity, 0)))
            case ["v1", "webhooks"]:
                return self._kind(path, query, "webhooks", dict, links=False)
            case ["v1", "webhooks", identity]:
                return _one("webhook", self._webhook(identity))
        return Answer(*NO_SUCH_PATH)

    # Calls

    def _calls(self, path: str, query: Mapping[str, str], matches: Callable[[Record], bool] | None) -> Answer:
        """List calls: `from` is exclusive, `to` inclusive, both on `started_at` (facts: Lists and pages)."""
        listing = Listing.of(path, query)
        if listing.page * listing.per_page > CAP:
            return Answer(*OVER_CAP)
        first = max(listing.first + 1, self.world.now - RETENTION_SECONDS)
        calls, index = self.world.calls, self.world.calls_by_start
        if matches is not None:
            everything, _ = index.select(first, listing.last, 0, len(calls), descending=listing.descending)
            found = [identity for identity in everything if matches(calls[identity])]
            total = len(found)
            found = found[listing.start : listing.start + listing.per_page]
        else:
            found, total = index.select(
                first, listing.last, listing.start, listing.per_page, descending=listing.descending
            )
        return listing.answer("calls", [self._shown_call(calls[identity], query) for identity in found], total)

    @staticmethod
    def _search_calls(query: Mapping[str, str], tags: Sequence[str]) -> Callable[[Record], bool] | None:
        if not tags and not query.keys() & {"direction", "user_id", "phone_number"}:
            return None
        wanted = {_integer(tag, 0) for tag in tags}

        def matches(call: Record) -> bool:
            user = call["user"] or {}
            return (
                ("direction" not in query or call["direction"] == query["direction"])
                and ("user_id" not in query or str(user.get("id")) == query["user_id"])
                and ("phone_number" not in query or _digits(call["raw_digits"]) == _digits(query["phone_number"]))
                and wanted <= {tag["id"] for tag in call["tags"]}
            )

        return matches

    def _shown_call(self, call: Record, query: Mapping[str, str]) -> Record:
        """Leave out what was not asked for with a flag, and sign addresses anew at each reading."""
        shown = dict(call)
        reading = next(self._reading)
        for name in ("recording", "voicemail"):
            if shown[name]:
                shown[name] += f"?expires=3600&reading={reading}"
        if query.get("fetch_contact") != "true":
            shown["contact"] = None
        if query.get("fetch_short_urls") == "true":
            for name in ("recording_short_url", "voicemail_short_url"):
                if shown[name]:
                    shown[name] += f"-{reading}"
        else:
            shown["recording_short_url"] = shown["voicemail_short_url"] = None
        if query.get("fetch_call_timeline") != "true":
            del shown["ivr_options_selected"]
        elif shown["started_at"] < self.world.now - TIMELINE_SECONDS:
            shown["ivr_options_selected"] = []
        if query.get("fetch_aiva_conv") != "true":
            del shown["ai_voice_agents"]
        return shown

    # Contacts

    def _contacts(self, path: str, query: Mapping[str, str]) -> Answer:
        """List contacts: both bounds inclusive, and on `created_at` whatever the order (facts: Lists and pages)."""
        listing = Listing.of(path, query)
        if listing.page * listing.per_page > CAP:
            return Answer(*OVER_CAP)
        world = self.world
        if query.get("order_by") == "updated_at":
            unbounded = (float("-inf"), float("inf"))
            if (listing.first, listing.last) == unbounded:
                found, total = world.contacts_by_change.select(
                    *unbounded, listing.start, listing.per_page, descending=listing.descending
                )
            else:
                everything, _ = world.contacts_by_change.select(
                    *unbounded, 0, len(world.contacts), descending=listing.descending
                )
                chosen = [i for i in everything if listing.first <= world.contacts[i]["created_at"] <= listing.last]
                found, total = chosen[listing.start : listing.start + listing.per_page], len(chosen)
        else:
            found, total = world.contacts_by_creation.select(
                listing.first, listing.last, listing.start, listing.per_page, descending=listing.descending
            )
        return listing.answer("contacts", [world.contacts[identity] for identity in found], total)

    def _search_contacts(self, path: str, query: Mapping[str, str]) -> Answer:
        if not query.keys() & {"phone_number", "email"}:
            return self._contacts(path, query)
        found = [
            contact
            for contact in self.world.contacts.values()
            if ("email" not in query or query["email"] in {email["value"] for email in contact["emails"]})
            and (
                "phone_number" not in query
                or _digits(query["phone_number"]) in {_digits(phone["value"]) for phone in contact["phone_numbers"]}
            )
        ]
        return _page_of(Listing.of(path, query), "contacts", found)

    # Everything else

    def _company(self) -> Record:
        kinds = self.world.kinds
        counts = {f"{kind}_count": len(kinds[kind]) for kind in ("users", "numbers")}
        return {"name": self.world.company_name, **counts}

    def _integration(self) -> Record:
        """Return the app as it is installed, by the first user there is."""
        numbers, users = self.world.kinds["numbers"], self.world.kinds["users"]
        return {
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

    def _kind(
        self,
        path: str,
        query: Mapping[str, str],
        kind: Kind,
        show: Callable[[Record], Record],
        *,
        bounds: bool = False,
        links: bool = True,
    ) -> Answer:
        listing = Listing.of(path, query)
        records: Iterable[Record] = self.world.kinds[kind].values()
        if bounds:
            records = (record for record in records if listing.first <= _seconds(record["created_at"]) <= listing.last)
        return _page_of(listing, _ENVELOPES.get(path, kind), [show(record) for record in records], links=links)

    def _user(self, identity: str) -> Record | None:
        users = self.world.kinds["users"]
        by_email = (user for user in users.values() if user["email"] == identity)
        return users.get(_integer(identity, 0)) or next(by_email, None)

    def _users_v1(self, path: str, query: Mapping[str, str], rest: Sequence[str]) -> Answer:
        if self.retired_users_v1:
            return Answer(410, {"error": "Gone", "troubleshoot": "This version of users was removed: use /v2/users"})
        if not rest:
            return self._kind(path, query, "users", _user_v1, bounds=True)
        return _one("user", (user := self._user(rest[0])) and _user_v1(user))

    def _numbers_of_user(self, path: str, query: Mapping[str, str], user_id: str) -> Answer:
        user = self._user(user_id)
        if user is None:
            return _unknown_object()
        ids = self.world.user_numbers.get(user["id"], [])
        numbers = [self.world.call_number(identity) for identity in ids if identity in self.world.kinds["numbers"]]
        return _page_of(Listing.of(path, _unordered(query)), "numbers", numbers)

    def _number(self, identity: int) -> Answer:
        number = self.world.kinds["numbers"].get(identity)
        if number is None:
            return _unknown_object()
        users = [self.world.number_user(user) for user, ids in self.world.user_numbers.items() if identity in ids]
        return _one("number", number | {"users": users})

    def _webhook(self, identity: str) -> Record | None:
        webhooks = self.world.kinds["webhooks"]
        by_old_id = (webhook for webhook in webhooks.values() if str(webhook["id"]) == identity)
        return webhooks.get(identity) or next(by_old_id, None)


_ENVELOPES = {"/v1/users/availabilities": "users"}


def _page_of(listing: Listing, envelope: str, records: list[Record], *, links: bool = True) -> Answer:
    """Cut a page out of a short list."""
    if listing.page * listing.per_page > CAP:
        return Answer(*OVER_CAP)
    ordered = records[::-1] if listing.descending else records
    page = ordered[listing.start : listing.start + listing.per_page]
    return listing.answer(envelope, page, len(records), links=links)


def _unordered(query: Mapping[str, str]) -> dict[str, str]:
    """Leave out the parameters that a list without an order ignores (facts: Lists and pages)."""
    return {name: value for name, value in query.items() if name not in {"order", "from", "to"}}


def _one(envelope: str, record: Record | None) -> Answer:
    return Answer(200, {envelope: record}) if record else _unknown_object()


def _unknown_object() -> Answer:
    return Answer(*UNKNOWN_OBJECT)


def _user_v2(user: Record) -> Record:
    return {name: value for name, value in user.items() if name != "availability"}


def _user_v1(user: Record) -> Record:
    hidden = {"availability", "default_number_id", "substatus"}
    link = user["direct_link"].replace("/v2/", "/v1/")
    return {name: value for name, value in user.items() if name not in hidden} | {"direct_link": link}


def _availability(user: Record) -> Record:
    return {"availability": user["availability"], "id": user["id"]}


def _integer(text: str | None, default: int) -> int:
    try:
        return int(text) if text else default
    except ValueError:
        return default


def _bound(text: str | None, default: float) -> float:
    """Read a bound in UNIX seconds; anything else selects nothing (facts: Filters and order)."""
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        return -default


def _seconds(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(text).timestamp()


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())
