"""OAuth of the sandbox: the facts, and the kinds of tokens for which a client has to be ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

if TYPE_CHECKING:
    from tests.conftest import Aircall

CALLBACK = "https://partner.example.com/callback"


def page(**changes: str) -> dict[str, str]:
    asked = {"client_id": "sandbox-client", "redirect_uri": CALLBACK, "response_type": "code", "scope": "public_api"}
    return asked | {"state": "a&b"} | changes


def decide(aircall: Aircall, decision: str = "allow", **changes: str) -> dict[str, str]:
    answer = requests.post(
        aircall.sandbox.url + "/oauth/authorize",
        data=page(**changes) | {"decision": decision},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def grant(aircall: Aircall, *, form: bool = False, **changes: Any) -> requests.Response:
    asked = {"client_id": "sandbox-client", "client_secret": "sandbox-client-secret"} | changes
    body: dict[str, Any] = {"data" if form else "json": asked}
    return requests.post(aircall.sandbox.url + "/v1/oauth/token", timeout=10, **body)


def exchange(aircall: Aircall, code: str, **changes: Any) -> requests.Response:
    return grant(aircall, grant_type="authorization_code", code=code, **{"redirect_uri": CALLBACK} | changes)


def refresh(aircall: Aircall, token: str) -> requests.Response:
    return grant(aircall, grant_type="refresh_token", refresh_token=token)


def ping(aircall: Aircall, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(aircall.sandbox.url + "/v1/ping", headers=headers, timeout=10).status_code


class TestPage:
    def test_asks_for_consent(self, aircall: Aircall) -> None:
        answer = requests.get(aircall.sandbox.url + "/oauth/authorize", params=page(state='"><b>'), timeout=10)

        assert answer.status_code == 200
        assert "Acme" in answer.text
        assert 'value="&quot;&gt;&lt;b&gt;"' in answer.text

    @pytest.mark.parametrize("changes", [{"client_id": "x"}, {"response_type": "token"}, {"redirect_uri": ""}])
    def test_refuses_another_app(self, aircall: Aircall, changes: dict[str, str]) -> None:
        url = aircall.sandbox.url + "/oauth/authorize"
        assert requests.get(url, params=page(**changes), timeout=10).status_code == 400

    def test_sends_the_browser_back(self, aircall: Aircall) -> None:
        assert decide(aircall).keys() == {"code", "state"}
        assert decide(aircall, "deny") == {"error": "access_denied", "state": "a&b"}


class TestTokenEndpoint:
    def test_a_code_gives_one_permanent_token(self, aircall: Aircall) -> None:
        code = decide(aircall)["code"]

        answer = exchange(aircall, code)

        assert answer.json().keys() == {"access_token", "token_type", "created_at"}
        assert ping(aircall, answer.json()["access_token"]) == 200
        assert exchange(aircall, code).status_code == 400
        aircall.clock.now += 10**8
        assert ping(aircall, answer.json()["access_token"]) == 200

    def test_a_code_expires_after_ten_minutes_and_needs_its_callback(self, aircall: Aircall) -> None:
        assert exchange(aircall, decide(aircall)["code"], redirect_uri="https://x.example.com").status_code == 400
        early, late = decide(aircall)["code"], decide(aircall)["code"]
        aircall.clock.now += 599
        assert exchange(aircall, early).status_code == 200
        aircall.clock.now += 1
        assert exchange(aircall, late).status_code == 400

    def test_takes_json_only(self, aircall: Aircall) -> None:
        code = decide(aircall)["code"]
        form = grant(aircall, form=True, grant_type="authorization_code", code=code, redirect_uri=CALLBACK)
        assert (form.status_code, form.json()) == (400, {"error": "invalid_request"})

    def test_refuses_another_client_or_grant(self, aircall: Aircall) -> None:
        assert exchange(aircall, decide(aircall)["code"], client_secret="x").json() == {"error": "invalid_client"}
        assert grant(aircall, grant_type="password").json() == {"error": "unsupported_grant_type"}
        assert refresh(aircall, "x").json() == {"error": "invalid_grant"}

    def test_a_constant_refresh_token_renews_an_expiring_token(self, aircall: Aircall) -> None:
        aircall.sandbox.oauth.mode = "expiring"
        first = aircall.sandbox.oauth.tokens()
        aircall.clock.now += 3600
        assert ping(aircall, first["access_token"]) == 401

        for _ in range(2):
            second = refresh(aircall, first["refresh_token"]).json()
            assert second.keys() == {"access_token", "token_type", "created_at", "expires_in"}
            assert ping(aircall, second["access_token"]) == 200

    def test_a_rotating_refresh_token_works_once(self, aircall: Aircall) -> None:
        aircall.sandbox.oauth.mode = "rotating"
        first = aircall.sandbox.oauth.tokens()

        second = refresh(aircall, first["refresh_token"]).json()

        assert second["refresh_token"] != first["refresh_token"]
        assert refresh(aircall, first["refresh_token"]).status_code == 400
        assert refresh(aircall, second["refresh_token"]).status_code == 200


@pytest.mark.parametrize(("action", "dead", "refreshed"), [("uninstall", 401, 400), ("end_access", 403, 200)])
def test_uninstalling_also_revokes_refresh_tokens(aircall: Aircall, action: str, dead: int, refreshed: int) -> None:
    aircall.sandbox.oauth.mode = "rotating"
    aircall.sandbox.oauth.dead_token_status = dead
    tokens = aircall.sandbox.oauth.tokens()

    getattr(aircall.sandbox.oauth, action)()

    assert ping(aircall, tokens["access_token"]) == dead
    assert refresh(aircall, tokens["refresh_token"]).status_code == refreshed


def test_integrations_are_for_apps_only(aircall: Aircall) -> None:
    url = aircall.sandbox.url + "/v1/integrations/me"
    token = aircall.sandbox.oauth.tokens()["access_token"]

    assert requests.get(url, auth=("sandbox-id", "sandbox-token"), timeout=10).status_code == 403
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.json()["integration"]["company_id"] == 77
