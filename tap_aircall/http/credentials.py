"""What the client asks of credentials, and the simplest ones: an API id and token."""

from __future__ import annotations

import base64
from typing import Protocol

from typing_extensions import override


class Authenticator(Protocol):
    """What the client asks of the credentials of a run. Safe to use from several threads."""

    renewable: bool
    """Whether `renew` can do anything."""
    advice: str
    """What users can do when Aircall rejects the credentials: the end of a sentence."""

    def authorization(self) -> str:
        """Return the value of the `Authorization` header for the next request.

        Raises:
            AircallError: If there are no credentials that can still be used.
        """

    def renew(self, refused: str) -> bool:
        """Get other credentials than those that Aircall refused.

        Args:
            refused: What `authorization` returned for the request that was refused.

        Returns:
            Whether there are others now.

        Raises:
            AircallError: If there can be none.
        """

    def close(self) -> None:
        """End, and save whatever has to be kept."""


class BasicAuthenticator(Authenticator):
    """HTTP Basic with an API id and token, as made by an admin under Integrations > API keys.

    Args:
        user: API id.
        password: API token.
    """

    renewable = False
    # The two look alike, so they are easily mixed up.
    advice = "check the settings user and password, and that the API id and token are not swapped."

    def __init__(self, user: str, password: str) -> None:
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    @override
    def authorization(self) -> str:
        return self._authorization

    @override
    def renew(self, refused: str) -> bool:
        return False

    @override
    def close(self) -> None:
        pass
