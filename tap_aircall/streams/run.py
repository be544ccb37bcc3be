"""State shared by the streams of one run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tap_aircall.errors import (
    AircallError,
    BlockedError,
    CredentialsError,
    InputError,
    LoginNeededError,
    StreamError,
    UnavailableError,
)
from tap_aircall.inbox.source import EventSource
from tap_aircall.reading.clock import AircallClock
from tap_aircall.settings import BasicSettings

if TYPE_CHECKING:
    from tap_aircall.auth.app import OAuthApp
    from tap_aircall.auth.authenticators import Authenticator
    from tap_aircall.auth.login import Person
    from tap_aircall.http.client import AircallClient
    from tap_aircall.http.limiter import RateLimiter
    from tap_aircall.reading.clock import Clock
    from tap_aircall.reading.pages import Page
    from tap_aircall.settings import Settings

PING_ATTEMPTS = 4
"""Attempts to reach Aircall after a stream failed; the stream's own retries came before."""


class Run:
    """Settings, client, clocks, events and failures of one run.

    The client is created on first use, because discovery needs none.

    Args:
        settings: The settings; None for discovery.
        clock: The clock of this machine.
    """

    def __init__(self, settings: Settings | None, clock: Clock) -> None:
        self.clock = clock
        self.aircall_clock = AircallClock(clock)
        """Aircall's clock, which states use."""
        self.call_pages: dict[tuple[str, ...], Page] = {}
        """Pages of the list of calls, reduced to a few fields, shared by the streams of `calls.details`."""
        self.failures: dict[str, StreamError] = {}
        """Errors of failed streams, by stream name."""
        self._settings = settings

    @property
    def settings(self) -> Settings:
        """The validated settings."""
        assert self._settings is not None, "discovery reads nothing"  # noqa: S101
        return self._settings

    @property
    def has_inbox(self) -> bool:
        """Whether the settings name an inbox."""
        return self._settings is not None and bool(self._settings.inbox)

    @cached_property
    def now(self) -> int:
        """Lower bound of Aircall's time at first use (UNIX seconds), for the streams that share pages."""
        return self.aircall_clock.reached()

    @cached_property
    def authenticator(self) -> Authenticator:
        """The authenticator for the setting `auth_scheme`.

        Raises:
            LoginNeededError: If there are no OAuth tokens yet.
            InputError: If saved tokens cannot be read.
        """
        from tap_aircall.auth.authenticators import BasicAuthenticator  # noqa: PLC0415 - discovery needs none of it

        auth = self.settings.auth
        if isinstance(auth, BasicSettings):
            return BasicAuthenticator(auth.user, auth.password)
        return self.oauth_app.authenticator(self.person)

    @cached_property
    def client(self) -> AircallClient:
        """The run's HTTP client."""
        return self._make_client(self.authenticator)

    @cached_property
    def events(self) -> EventSource | None:
        """The events of the inbox, the same throughout the run; None without an inbox.

        Raises:
            InputError: If the inbox cannot be used.
            InboxError: If it cannot be read at the moment.
        """
        settings = self.settings
        return EventSource(settings.inbox, settings.inbox_company) if settings.inbox else None

    def require_events(self, stream: str) -> EventSource:
        """Return the events of the inbox for a stream that needs them.

        Raises:
            InputError: If there is no inbox, or it cannot be used.
            InboxError: If it cannot be read at the moment.
        """
        if self.events is None:
            raise InputError(
                f"Stream '{stream}': needs the setting inbox, where the webhook receiver stores events. Without an "
                "inbox, deselect the stream: a Meltano plugin without select reads all streams."
            )
        return self.events

    @cached_property
    def oauth_app(self) -> OAuthApp:
        """The OAuth app of the settings.

        Raises:
            InputError: If the settings are for Basic authentication.
        """
        from tap_aircall.auth.app import OAuthApp  # noqa: PLC0415

        auth = self.settings.auth
        if isinstance(auth, BasicSettings):
            raise InputError("Setting auth_scheme: must be OAUTH for a login.")
        return OAuthApp(auth, self.settings.api_url, self._make_client, self.clock)

    @cached_property
    def person(self) -> Person:
        """The person who may log in."""
        from tap_aircall.auth.login import Person  # noqa: PLC0415

        return Person()

    def note_failure(self, stream: str, error: AircallError) -> None:
        """Note that a stream failed; the run reads the others first, then fails.

        Raises:
            AircallError: This error, if it ends the whole run: a ping fails too (facts: Addresses and errors).
        """
        if isinstance(error, BlockedError | LoginNeededError):
            raise error
        if isinstance(error, CredentialsError | UnavailableError):
            try:
                self.client.ping(attempts=PING_ATTEMPTS)
            except AircallError:
                raise error from None
        self.failures[stream] = StreamError(stream, error)

    def close(self) -> None:
        """Close the client and the inbox."""
        if "client" in vars(self):
            self.client.close()
        if (events := vars(self).get("events")) is not None:
            events.close()

    @cached_property
    def _limiter(self) -> RateLimiter:
        from tap_aircall.http.limiter import RateLimiter  # noqa: PLC0415

        return RateLimiter(self.settings.requests_per_minute, self.clock, self.settings.rate_limit_store)

    def _make_client(self, authenticator: Authenticator | None) -> AircallClient:
        from tap_aircall.http.client import AircallClient  # noqa: PLC0415

        settings = self.settings
        return AircallClient(
            api_url=settings.api_url,
            authenticator=authenticator,
            limiter=self._limiter,
            clock=self.clock,
            aircall_clock=self.aircall_clock,
            user_agent=settings.user_agent,
            timeout=settings.request_timeout,
            max_concurrent_requests=settings.max_concurrent_requests,
        )
