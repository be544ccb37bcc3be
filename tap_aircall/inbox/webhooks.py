"""Manages a company's webhooks: in Aircall, through the API, and in the inbox, by the fingerprints of their tokens."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
import requests

from tap_aircall.errors import InputError, NotFoundError, RejectedRequestError, ResponseError, TapAircallError, one_line
from tap_aircall.http.decoding import decode
from tap_aircall.http.session import Session
from tap_aircall.inbox.deliveries import LARGEST_BODY, LONGEST_NAME, MESSAGES, WEBHOOK, fingerprint
from tap_aircall.inbox.store import Webhook
from tap_aircall.reading import walks
from tap_aircall.reading.pages import Page, ShortPageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_aircall.http.client import AircallClient
    from tap_aircall.inbox.store import Inbox
    from tap_aircall.reading.clock import Clock
    from tap_aircall.reading.pages import Query

WEBHOOKS_PATH = "/v1/webhooks"
WEBHOOK_NAME = "tap-aircall inbox"
"""Name of the webhook in Aircall's dashboard."""
CHECK_INTERVAL_SECONDS = 600.0
"""Interval between checks that webhooks are active. Aircall keeps the events of a disabled webhook for 12 hours (facts:
Deliveries)."""
AGAIN_SECONDS = 2.0
"""Wait for the receiver to learn of a new token: it caches tokens."""
KNOCKS = 3
"""Attempts to verify that a URL leads to this receiver."""
KNOCK_SECONDS = 10.0
"""Time-out of an attempt. Aircall waits half as long."""
REDIRECT = 3
"""First digit of the status of a redirect."""

logger = logging.getLogger(__name__)


class AircallsWebhook(msgspec.Struct, frozen=True):
    """A webhook in Aircall."""

    webhook_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]+\Z")]
    url: str
    active: bool = True
    token: str | None = None
    custom_name: str | None = None

    @classmethod
    def parse(cls, record: Any) -> AircallsWebhook:
        """Parse a webhook.

        Raises:
            ResponseError: If it is invalid.
        """
        try:
            return msgspec.convert(record, cls)
        except msgspec.ValidationError as error:
            raise ResponseError(f"Aircall's response has an invalid webhook: {error}.") from error


class CompanyWebhooks:
    """The webhooks of one company, whose name in the inbox is its name in Aircall unless `company` is given."""

    def __init__(self, aircall: AircallClient, inbox: Inbox, clock: Clock, company: str) -> None:
        self._aircall = aircall
        self._inbox = inbox
        self._clock = clock
        self._company = company

    @cached_property
    def company(self) -> str:
        """Name of the company in the inbox.

        Raises:
            InputError: If neither the settings nor Aircall give a valid name.
        """
        name = self._company or self._aircall.get("/v1/company", {}, _company_name)
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise InputError(f"Setting inbox_company: give a printable name of at most {LONGEST_NAME} characters.")
        return name

    @property
    def known(self) -> list[Webhook]:
        """The company's webhooks in the inbox."""
        return [webhook for webhook in self._inbox.webhooks() if webhook.company == self.company]

    def in_aircall(self) -> dict[str, AircallsWebhook]:
        """Return the company's webhooks in Aircall, by id."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            for query in queries:
                try:
                    yield self._aircall.get(WEBHOOKS_PATH, query, partial(parse, query))
                except ShortPageError as error:
                    yield error.page

        def parse(query: Query, payload: Any) -> Page:
            return Page.parse(payload, "webhooks").checked(query, key="webhook_id")

        webhooks: list[AircallsWebhook] = []
        for step in walks.whole_list(read, "webhook_id"):
            webhooks += map(AircallsWebhook.parse, [*step.records, *step.odd])
            if step.gap is not None:
                logger.warning("%s", step.gap.describe("webhooks"))
        return {webhook.webhook_id: webhook for webhook in webhooks}

    def register(self, url: str, events: Sequence[str]) -> Webhook:
        """Register a webhook in Aircall and in the inbox. A webhook with the same URL is reused, and gets these events.

        Processes that register at the same time take turns, and end up with the same webhook. Without names of events,
        Aircall delivers all, including those it adds later.

        Raises:
            RejectedRequestError: If Aircall refuses it.
        """
        with self._inbox.registering():
            return self._register(url, events)

    def _register(self, url: str, events: Sequence[str]) -> Webhook:
        known = {webhook.webhook_id for webhook in self.known}
        there = [webhook for webhook in self.in_aircall().values() if webhook.url == url]
        there.sort(key=lambda webhook: webhook.webhook_id not in known)
        try:
            if there:
                made = self._switch_on(there[0], events)
                made = made if made.token else there[0]
            else:
                wish = {"url": url, "custom_name": WEBHOOK_NAME, **_events(events)}
                # Not retried: if the response is lost, repeating the command finds the webhook.
                made = self._aircall.post(WEBHOOKS_PATH, wish, _webhook, attempts=1)
        except RejectedRequestError as error:
            named = f"these must be names of events: {one_line(', '.join(events))}; " if events else ""
            raise RejectedRequestError(
                f"Aircall refuses the webhook (status {error.status}): {named}the URL must be https with a certificate "
                "that browsers accept, and a company can have at most 100 webhooks.",
                error.status,
            ) from error
        if not made.token:
            raise ResponseError("Aircall's response has a webhook without a token; repeat the command.")
        return self._know(made.token, WEBHOOK, made.webhook_id, url, events)

    def register_messages(self, token: str, url: str) -> Webhook:
        """Accept messages from a number in proxy mode, which has this token and callback URL in its configuration."""
        return self._know(token, MESSAGES, None, url, [])

    def problem_at(self, url: str, token: str | None = None) -> str:
        """Send a delivery without an event to a URL; return the problem, or an empty string if it reached this inbox.

        Args:
            url: The URL.
            token: Its token; None for the token of the webhook in Aircall.

        Raises:
            TransientError, UnavailableError: If the URL cannot be reached from here.
        """
        if token is None:
            token = next((each.token for each in self.in_aircall().values() if each.url == url), None)
        knock = requests.Request("POST", url, json={"token": token})
        name, place = "The response from the URL", urlsplit(url).netloc
        with Session(user_agent=WEBHOOK_NAME, timeout=KNOCK_SECONDS, at_once=1) as session:
            for _ in range(KNOCKS):
                with session.open(knock, name=name, place=place, shown=place) as incoming:
                    status, body = incoming.status, b"".join(incoming.pieces(LARGEST_BODY))
                if status != HTTPStatus.UNAUTHORIZED:
                    break
                self._clock.wait(AGAIN_SECONDS, threading.Event())
        with suppress(ValueError):
            if status == HTTPStatus.OK and decode(body) == {"inbox": self._inbox.inbox_id}:
                return ""
        if status == HTTPStatus.OK:
            return "the URL leads to another program"
        if status == HTTPStatus.UNAUTHORIZED:
            return "the URL leads to a receiver with another inbox"
        return f"the response has status {status}" + (", a redirect" if status // 100 == REDIRECT else "")

    def unregister(self) -> list[Webhook]:
        """Remove all of the company's webhooks from Aircall and the inbox, and return them.

        Later deliveries are refused, including those in transit.
        """
        gone = self.known
        for webhook in gone:
            if webhook.webhook_id is not None:
                self._remove(webhook.webhook_id)
            self._inbox.remove_webhook(webhook.fingerprint)
        return gone

    def _remove(self, webhook_id: str) -> None:
        try:
            self._aircall.delete(f"{WEBHOOKS_PATH}/{webhook_id}")
        except NotFoundError:
            logger.info("Webhook %s no longer exists.", webhook_id)

    def look_after(self) -> None:
        """Enable webhooks that Aircall has disabled; warn about them and about missing ones."""
        known = [webhook for webhook in self.known if webhook.webhook_id is not None]
        if not known:
            return
        there = self.in_aircall()
        for webhook in known:
            aircalls = there.get(str(webhook.webhook_id))
            if aircalls is None:
                line = "Webhook %s was deleted in Aircall, so its events do not arrive; register creates a new one."
                logger.warning(line, webhook.webhook_id)
            elif not aircalls.active:
                self._switch_on(aircalls, webhook.events)
                line = (
                    "Aircall had disabled webhook %s because deliveries failed; it is enabled again. Aircall sends the "
                    "events that it missed, up to 12 hours of them."
                )
                logger.warning(line, webhook.webhook_id)

    def watch(self, ended: threading.Event) -> None:
        """Look after the webhooks at regular intervals until `ended` is set."""
        while not ended.is_set():
            try:
                self.look_after()
            except TapAircallError as error:
                if not ended.is_set():
                    line = "Cannot check whether webhooks are active: %s Next check in %.0f minutes."
                    logger.warning(line, error, CHECK_INTERVAL_SECONDS / 60)
            self._clock.wait(CHECK_INTERVAL_SECONDS, ended)

    def _switch_on(self, webhook: AircallsWebhook, events: Sequence[str]) -> AircallsWebhook:
        name = {"custom_name": webhook.custom_name} if webhook.custom_name else {}
        wish = {"url": webhook.url, **name, **_events(events)}
        return self._aircall.put(f"{WEBHOOKS_PATH}/{webhook.webhook_id}", wish, _webhook)

    def _know(self, token: str, kind: str, webhook_id: str | None, url: str, events: Sequence[str]) -> Webhook:
        now = int(self._clock.time() * 1000)
        webhook = Webhook(fingerprint(token), self.company, kind, webhook_id, url, list(events), now)
        self._inbox.add_webhook(webhook)
        return webhook


def _events(events: Sequence[str]) -> dict[str, list[str]]:
    """Return the field of a request that names events; without it, Aircall sends all (facts: Webhooks)."""
    return {"events": list(events)} if events else {}


def _webhook(payload: Any) -> AircallsWebhook:
    return AircallsWebhook.parse(payload.get("webhook") if isinstance(payload, dict) else None)


def _company_name(payload: Any) -> str:
    company = payload.get("company") if isinstance(payload, dict) else None
    name = company.get("name") if isinstance(company, dict) else None
    if not isinstance(name, str):
        raise ResponseError("Aircall's response lacks the name of the company; name it in the setting inbox_company.")
    return one_line(name)
