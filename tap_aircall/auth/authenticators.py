"""The authenticators: Basic, with an API id and token, and OAuth, with tokens that are renewed."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from singer_sdk.authenticators import APIAuthenticatorBase
from typing_extensions import override

from tap_aircall.errors import LoginNeededError
from tap_aircall.reading.clock import result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from tap_aircall.auth.tokens import Tokens, TokenStore
    from tap_aircall.reading.clock import Clock

BEARER = "Bearer "
RENEWAL_SECONDS = 5.0
"""How long the end of a run waits for a renewal in progress."""
LOGIN = "tap-aircall --config <your config> --login"


class Authenticator(APIAuthenticatorBase):
    """Signs requests with the credentials of a run. Thread-safe.

    The SDK's base class only signs. Aircall's tokens may expire, so the client can also have them renewed.
    """

    renewable: bool = False
    """Whether `renew` can get new credentials."""
    advice: str
    """What users can do when Aircall rejects the credentials: the end of a sentence."""

    def renew(self, refused: str) -> bool:  # noqa: ARG002 - for subclasses
        """Replace the `Authorization` header of a refused request; return whether there is a new one.

        Raises:
            AircallError: If they cannot be renewed.
        """
        return False

    def close(self) -> None:
        """Start no more renewals, and wait for one in progress."""


class BasicAuthenticator(Authenticator):
    """HTTP Basic with an API id and token, which an admin creates under Integrations > API keys."""

    # The two look alike, so they are easily swapped.
    advice = "check the settings user and password, and that the API id and token are not swapped."

    def __init__(self, user: str, password: str) -> None:
        super().__init__()
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request


class OAuthAuthenticator(Authenticator):
    """A bearer token that is renewed before it expires, or when Aircall refuses it.

    A separate thread renews the tokens, once for all that wait. It finishes even if a signal ends the run: otherwise
    the old refresh token would be used up and the new one lost.

    Args:
        given: The tokens in the config.
        clock: This machine's clock.
        store: Where tokens are kept between runs; None to use the given ones as they are.
        refresh: Exchanges a refresh token for new tokens; goes with `store`.
    """

    def __init__(
        self,
        given: Tokens,
        clock: Clock,
        store: TokenStore | None = None,
        refresh: Callable[[Tokens], Tokens] | None = None,
    ) -> None:
        super().__init__()
        self._given = given
        self._clock = clock
        self._store = store
        self._refresh = refresh
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        self._renewing = threading.Lock()
        self._tokens = given
        self._tokens = self._freshest()
        self.renewable = store is not None
        self.advice = f"the access token may have expired, or the app been uninstalled; log in again: {LOGIN}"

    @property
    def has_tokens(self) -> bool:
        """Whether there are any tokens to start with."""
        return bool(self._tokens.access_token or self._tokens.refresh_token)

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request.

        Raises:
            AircallError: If the tokens are due and cannot be renewed.
        """
        tokens = self._tokens
        if self._is_due(tokens):
            tokens = self._renewed(tokens)
        request.headers["Authorization"] = f"{BEARER}{tokens.access_token}"
        return request

    @override
    def renew(self, refused: str) -> bool:
        tokens = self._tokens
        if f"{BEARER}{tokens.access_token}" == refused:
            self._renewed(tokens)
        return True

    @override
    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
        # A signal may have stopped the requester before it got the renewal's future, so wait for the lock instead.
        if self._renewing.acquire(timeout=RENEWAL_SECONDS):
            self._renewing.release()

    def _renewed(self, refused: Tokens) -> Tokens:
        """Return tokens in place of these: newer ones from the store, or new ones, saved before their first use."""

        def renew() -> Tokens:
            with self._renewing:
                if self._tokens == refused:  # no other thread was faster
                    self._tokens = self._replacement(refused)
                return self._tokens

        return result_of(self._worker.submit(renew))

    def _replacement(self, refused: Tokens) -> Tokens:
        tokens = self._freshest()
        if self._is_usable(tokens, refused):
            return tokens
        if self._store is None or self._refresh is None or tokens.refresh_token is None:
            raise LoginNeededError(
                f"Aircall no longer accepts the access token, and there is no refresh token: log in again: {LOGIN}"
            )
        with self._store.locked():
            tokens = self._freshest()  # another process may have been faster
            if not self._is_usable(tokens, refused):
                tokens = tokens.succeeded_by(self._refresh(tokens), self._given)
                self._store.save(tokens)
        return tokens

    def _freshest(self) -> Tokens:
        """Return the tokens to use: the saved ones, unless the config has newer ones."""
        saved = self._store.load() if self._store else None
        return saved if saved is not None and saved.descends_from(self._given) else self._tokens

    def _is_usable(self, tokens: Tokens, refused: Tokens) -> bool:
        return tokens.access_token != refused.access_token and not self._is_due(tokens)

    def _is_due(self, tokens: Tokens) -> bool:
        return self._store is not None and tokens.is_due(self._clock.time())
