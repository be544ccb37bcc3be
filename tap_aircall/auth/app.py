"""The OAuth app: it logs in, exchanges codes, renews tokens and builds the authenticator."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tap_aircall.auth.authenticators import LOGIN, OAuthAuthenticator
from tap_aircall.auth.login import Login
from tap_aircall.auth.tokens import NO_TOKENS, TokenFile, Tokens, default_location
from tap_aircall.errors import (
    AircallError,
    CredentialsError,
    InputError,
    LoginNeededError,
    NotFoundError,
    RejectedRequestError,
    ResponseError,
    UnavailableError,
    needs_extra,
    one_line,
)
from tap_aircall.settings import InitiateOAuth

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_aircall.auth.authenticators import Authenticator
    from tap_aircall.auth.login import Person
    from tap_aircall.auth.tokens import TokenStore
    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import Clock
    from tap_aircall.settings import OAuthSettings

TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - no secret


@dataclass(frozen=True)
class OAuthApp:
    """A technology partner's app, with the tokens of one company that installed it."""

    settings: OAuthSettings
    api_url: str
    make_client: Callable[[Authenticator | None], AircallClient]
    """Returns a client with the given credentials, or with none."""
    clock: Clock

    def authenticator(self, person: Person) -> OAuthAuthenticator:
        """Return a run's authenticator, after a login if one is needed and allowed.

        Raises:
            LoginNeededError: If there are no tokens.
            AircallError: If the login fails.
            InputError: If saved tokens cannot be read.
        """
        authenticator = self._authenticator()
        if authenticator.has_tokens:
            return authenticator
        if self.settings.initiate is not InitiateOAuth.GETANDREFRESH or not person.can_type():
            raise LoginNeededError(f"There are no OAuth tokens for this app yet; a person must log in once: {LOGIN}")
        self.log_in(person)
        return self._authenticator()

    def log_in(self, person: Person, saving: Callable[[], None] = lambda: None) -> None:
        """Lead a person through the login, and save the tokens; call `saving` just before that.

        Raises:
            LoginFailedError: If they do not complete it.
            AircallError: If Aircall grants no tokens, or rejects those that it granted.
            InputError: If a setting is missing, or tokens cannot be saved.
        """
        settings, store = self.settings, self._store
        required = {
            "oauth_client_id": settings.client_id,
            "oauth_client_secret": settings.client_secret,
            "callback_url": settings.callback_url,
        }
        if missing := [name for name, value in required.items() if not value]:
            raise InputError(f"Setting {' and '.join(missing)}: missing; needed for a login.")
        with store.locked():  # fail now if nothing can be saved, not after the code is used up
            before = store.load()
        code = Login(settings.dashboard_url, settings.client_id, settings.callback_url, person).run()
        tokens = self._exchange(code)
        tokens = replace(tokens, company=self._check(tokens), ancestors=self._given.fingerprints)
        with store.locked():
            saving()
            store.save(tokens)
        person.tell(_login_summary(tokens, store, before))

    @property
    def _given(self) -> Tokens:
        return Tokens(
            access_token=self.settings.access_token or None, refresh_token=self.settings.refresh_token or None
        )

    @property
    def _store(self) -> TokenStore:
        location = self.settings.location
        if "://" in location:
            try:
                from tap_aircall.auth.database import TokenDatabase  # noqa: PLC0415 - needs an extra
            except ImportError as error:
                raise InputError(needs_extra("Setting oauth_settings_location: PostgreSQL", "postgres")) from error
            return TokenDatabase(location, self.api_url, self.settings.client_id)
        return TokenFile(Path(location) if location else default_location(), self.api_url, self.settings.client_id)

    def _authenticator(self) -> OAuthAuthenticator:
        if self.settings.initiate is InitiateOAuth.OFF or not self.settings.client_id:
            return OAuthAuthenticator(self._given, self.clock)
        return OAuthAuthenticator(self._given, self.clock, self._store, self._refresh)

    def _exchange(self, code: str) -> Tokens:
        """Exchange the code from a login for tokens. Never retried: a code works only once."""
        return self._grant(
            NO_TOKENS,
            {"grant_type": "authorization_code", "code": code, "redirect_uri": self.settings.callback_url},
            "Aircall does not accept the login's code, which works once and within ten minutes: log in again, and "
            "check that oauth_client_id, oauth_client_secret and callback_url match what Aircall issued.",
            attempts=1,
        )

    def _refresh(self, tokens: Tokens) -> Tokens:
        """Exchange a refresh token for new tokens."""
        return self._grant(
            tokens,
            {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token},
            "Aircall does not accept the refresh token: log in again with --login (or check oauth_client_id and "
            "oauth_client_secret).",
        )

    def _grant(self, before: Tokens, grant: dict[str, Any], refused: str, **options: int) -> Tokens:
        """Ask the token endpoint.

        Raises:
            LoginNeededError: If Aircall refuses, with the message `refused`.
            UnavailableError: If it cannot be reached, or its response has no token.
        """
        app = {"client_id": self.settings.client_id, "client_secret": self.settings.client_secret}
        try:
            return self.make_client(None).post(
                TOKEN_PATH, app | grant, lambda payload: before.granted(payload, self.clock.time()), **options
            )
        except (CredentialsError, NotFoundError, RejectedRequestError) as error:
            raise LoginNeededError(refused) from error
        except ResponseError as error:
            raise UnavailableError(str(error)) from error

    def _check(self, tokens: Tokens) -> str | None:
        """Check that Aircall accepts the tokens; return the printable name of their company."""
        client = self.make_client(OAuthAuthenticator(tokens, self.clock))
        client.ping()
        with contextlib.suppress(AircallError, KeyError, TypeError):
            name = client.get("/v1/company", {}, lambda payload: payload["company"]["name"])
            return (one_line(name) or None) if isinstance(name, str) else None
        return None


def _login_summary(tokens: Tokens, store: TokenStore, before: Tokens | None) -> str:
    """Return the message to the person after a login."""
    lines = [f"Logged in to {tokens.company}." if tokens.company else "Logged in.", f"Saved in {store.place}."]
    earlier = one_line(before.company or "") if before else ""
    if earlier and earlier != tokens.company:
        lines.append(
            f"They replace the tokens for {earlier}. To load several companies, give each its own\n"
            "oauth_settings_location."
        )
    if not isinstance(store, TokenFile):
        lines.append("Use it on any machine, with the same settings.")
    elif tokens.refresh_token:
        lines.append(
            "Runs renew the tokens, so they must be able to write to this file. In a container or in CI, keep it\n"
            "between runs, and point TAP_AIRCALL_OAUTH_SETTINGS_LOCATION to it."
        )
    else:
        lines.append(
            "Runs only read this file. In a container or in CI, you may set TAP_AIRCALL_OAUTH_ACCESS_TOKEN to its\n"
            "access_token instead."
        )
    return "\n".join(lines)
