"""The ways to prove to Aircall who is asking."""

from __future__ import annotations

from requests.auth import HTTPBasicAuth


class BasicAuthenticator(HTTPBasicAuth):
    """HTTP Basic with an API id and token, as made by an admin under Integrations > API keys.

    Being a requests authenticator, it also keeps requests from using a `.netrc` entry instead.

    Args:
        user: API id.
        password: API token.
    """

    def __init__(self, user: str, password: str) -> None:
        # As bytes, for requests would encode a str as Latin-1 and fail on anything else.
        super().__init__(user.encode(), password.encode())
