"""OAuth: the page where an admin consents, and the token endpoint (facts: OAuth).

The facts know permanent access tokens only. Expiring tokens and one-time refresh tokens are here because a client has
to be ready for them.
"""

from __future__ import annotations

import html
import itertools
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlencode

from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from aircall_sandbox.messages import ApiResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from starlette.requests import Request
    from starlette.responses import Response

    from aircall_sandbox.world import World

CODE_SECONDS = 600
Mode = Literal["permanent", "expiring", "rotating"]

FORM = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Aircall sandbox</title>
<style>body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 30em; margin: 15vh auto 0; padding: 0 1.5em; }}</style>
</head>
<body>
<h1>Aircall sandbox</h1>
<p>Allow the app <strong>{app}</strong> to read all data of <strong>{company}</strong>?</p>
<form method="post" action="/oauth/authorize">
{fields}
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
</body>
</html>
"""


class OAuth:
    """Grants tokens to one app of the company.

    Args:
        world: The company.
        now: Returns the sandbox's time in UNIX seconds.
        lock: Held during changes.
        mode: `permanent` access tokens, as Aircall grants today; `expiring` ones with a constant refresh token; or
            `rotating`, where each use replaces the refresh token.
    """

    def __init__(self, world: World, now: Callable[[], float], lock: RLock, *, mode: Mode) -> None:
        self.client_id = "sandbox-client"
        self.client_secret = "sandbox-client-secret"  # noqa: S105 - of the sandbox
        self.mode = mode
        self.lifetime = 3600
        """Seconds that an access token lasts, unless it is permanent."""
        self.overrides: dict[str, Any] = {}
        """Fields of the response to override, such as `expires_in`; None removes a field."""
        self.dead_token_status = 401
        """Status for an invalid token, 401 or 403; unknown for Aircall."""
        self.refusals = 0
        """Number of refused grants."""
        self.grants: list[str] = []
        """Grant type of each granted token."""
        self._world = world
        self._now = now
        self._lock = lock
        self._codes: dict[str, tuple[str, float]] = {}
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._numbers = itertools.count(1)

    def routes(self) -> list[Route]:
        """Return the routes of the page; the server routes the token endpoint."""
        return [Route("/oauth/authorize", self._page, methods=["GET", "POST"])]

    def tokens(self) -> dict[str, Any]:
        """Grant tokens without a code; return the payload of the token endpoint."""
        now, number = self._now(), next(self._numbers)
        access = f"access-{number:04d}-of-the-sandbox"
        self._access[access] = float("inf") if self.mode == "permanent" else now + self.lifetime
        response: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "created_at": int(now)}
        if self.mode != "permanent":
            response |= {"expires_in": self.lifetime, "refresh_token": f"refresh-{number:04d}-of-the-sandbox"}
            self._refresh.add(response["refresh_token"])
        return {name: value for name, value in (response | self.overrides).items() if value is not None}

    def accepts(self, access_token: str) -> bool:
        """Return whether an access token is valid."""
        return self._now() < self._access.get(access_token, float("-inf"))

    def end_access(self) -> None:
        """Revoke all access tokens; refresh tokens still work."""
        self._access.clear()

    def uninstall(self) -> None:
        """Remove the app from the company, and revoke all its tokens and codes."""
        self.end_access()
        self._refresh.clear()
        self._codes.clear()

    def respond(self, body: Any) -> ApiResponse:
        """Respond to a request to the token endpoint, given its decoded JSON body; None for another body."""
        response = self._grant(body)
        self.refusals += response.status != 200  # noqa: PLR2004
        return response

    def _grant(self, body: Any) -> ApiResponse:
        if not isinstance(body, dict):
            return ApiResponse(400, {"error": "invalid_request"})
        if (body.get("client_id"), body.get("client_secret")) != (self.client_id, self.client_secret):
            return ApiResponse(401, {"error": "invalid_client"})
        match body.get("grant_type"):
            case "authorization_code":
                callback, ends = self._codes.pop(str(body.get("code")), ("", 0.0))
                if body.get("redirect_uri") != callback or self._now() >= ends:
                    return ApiResponse(400, {"error": "invalid_grant"})
            case "refresh_token":
                token = body.get("refresh_token")
                if token not in self._refresh:
                    return ApiResponse(400, {"error": "invalid_grant"})
                if self.mode == "rotating":
                    self._refresh.remove(token)
            case _:
                return ApiResponse(400, {"error": "unsupported_grant_type"})
        self.grants.append(body["grant_type"])
        tokens = self.tokens()
        if body["grant_type"] == "refresh_token" and self.mode == "expiring":
            self._refresh.discard(tokens.pop("refresh_token", ""))
        return ApiResponse(200, tokens)

    async def _page(self, request: Request) -> Response:
        params = (
            dict(request.query_params) if request.method == "GET" else dict(parse_qsl((await request.body()).decode()))
        )
        callback = params.get("redirect_uri", "")
        if not callback or params.get("client_id") != self.client_id or params.get("response_type") != "code":
            return HTMLResponse("<h1>Aircall sandbox</h1><p>This app is unknown, or has no callback.</p>", 400)
        if request.method == "GET":
            fields = "\n".join(
                f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
                for name, value in params.items()
            )
            names = {"app": self.client_id, "company": self._world.company_name}
            return HTMLResponse(FORM.format(fields=fields, **{name: html.escape(text) for name, text in names.items()}))
        outcome = {"error": "access_denied"}
        if params.get("decision") == "allow":
            with self._lock:
                code = f"code-{next(self._numbers):04d}-of-the-sandbox"
                self._codes[code] = (callback, self._now() + CODE_SECONDS)
            outcome = {"code": code}
        if "state" in params:
            outcome["state"] = params["state"]
        return RedirectResponse(f"{callback}{'&' if '?' in callback else '?'}{urlencode(outcome)}", 302)
