"""The OAuth login, from the authorize page to the saved tokens, over real HTTP against the sandbox."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tap_aircall.errors import InputError, LoginFailedError, LoginNeededError, TapAircallError, UnavailableError
from tap_aircall.oauth.login import Login
from tap_aircall.sandbox import Fault
from tests.people import Admin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Aircall

ELSEWHERE = "https://partner.example.com/aircall/callback?tenant=7"


@pytest.fixture
def callback() -> str:
    """A callback on this machine, on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}/callback"


@pytest.fixture
def log_in(aircall: Aircall, tmp_path: Path, callback: str) -> Callable[..., Admin]:
    """Return a function that lets somebody log in."""

    def log_in(admin: Admin, **settings: Any) -> Admin:
        tap = aircall.tap(streams=("tags",), **aircall.oauth(tmp_path, **{"callback_url": callback} | settings))
        tap.person = admin
        tap.log_in()
        return admin

    return log_in


def saved(aircall: Aircall, folder: Path) -> dict[str, Any]:
    """Return the only entry of the file."""
    (entry,) = json.loads((folder / "tokens.json").read_text()).items()
    assert entry[0] == f"{aircall.sandbox.url} sandbox-client"
    value: dict[str, Any] = entry[1]
    return value


def paths(aircall: Aircall) -> list[str]:
    return [log.path for log in aircall.sandbox.requests]


class TestThroughTheBrowser:
    def test_the_browser_is_sent_where_an_admin_consents(
        self, aircall: Aircall, callback: str, log_in: Callable[..., Admin]
    ) -> None:
        admin = log_in(Admin())

        (url,) = admin.opened
        assert url in admin.told
        assert url.startswith(f"{aircall.sandbox.url}/oauth/authorize?")
        query = dict(parse_qsl(urlsplit(url).query))
        assert len(query.pop("state")) >= 22
        assert query == {
            "client_id": "sandbox-client",
            "redirect_uri": callback,
            "response_type": "code",
            "scope": "public_api",
        }

    def test_the_code_is_exchanged_the_token_proved_and_saved(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        log_in(Admin())

        assert paths(aircall) == ["/v1/oauth/token", "/v1/ping", "/v1/company"]
        token = saved(aircall, tmp_path)["access_token"]
        assert [log.headers.get("authorization") for log in aircall.sandbox.requests] == [
            None,
            f"Bearer {token}",
            f"Bearer {token}",
        ]
        assert aircall.sandbox.requests[0].headers["content-type"] == "application/json"
        assert aircall.sandbox.oauth.accepts(token)
        assert saved(aircall, tmp_path) == {
            "access_token": token,
            "refresh_token": None,
            "expires_at": None,
            "lifetime": None,
            "company": "Acme",
            "ancestors": [],
        }

    def test_the_person_learns_what_was_saved_and_how_to_use_it(
        self, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        told = log_in(Admin()).lines[-1]

        assert told.startswith("Logged in to Acme.\n")
        assert str(tmp_path / "tokens.json") in told
        for place in ("meltano run", "in a container", "in CI", "TAP_AIRCALL_OAUTH_SETTINGS_LOCATION"):
            assert place in told
        assert "without an end" in told

    def test_tokens_that_end_are_told_apart(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        aircall.sandbox.oauth.mode = "rotating"

        told = log_in(Admin()).lines[-1]

        assert "must be able to write to this file" in told
        entry = saved(aircall, tmp_path)
        assert entry["expires_at"] == "2026-11-23T14:00:00Z"
        assert entry["refresh_token"].startswith("refresh-")

    def test_the_browser_ends_on_a_page_that_says_what_to_do(self, log_in: Callable[..., Admin]) -> None:
        page = log_in(Admin()).page

        assert page.status_code == 200
        assert "<h1>You are logged in</h1>" in page.text
        assert "close this window" in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "code-" not in page.text
        assert len(page.content) < 2_000

    def test_the_browser_learns_of_a_failure_as_well(self, log_in: Callable[..., Admin]) -> None:
        admin = Admin("deny")

        with pytest.raises(LoginFailedError):
            log_in(admin)

        assert "<h1>The login failed</h1>" in admin.page.text
        assert "The access was denied" in admin.page.text

    def test_connections_that_a_browser_opens_ahead_do_no_harm(
        self, callback: str, log_in: Callable[..., Admin]
    ) -> None:
        idle: list[socket.socket] = []

        def first_others(address: str) -> str:
            idle.append(socket.create_connection(("127.0.0.1", urlsplit(callback).port or 0)))
            assert requests.get(callback.replace("/callback", "/favicon.ico"), timeout=10).status_code == 404
            assert requests.get(callback, timeout=10).status_code == 404
            return address

        log_in(Admin(changes=first_others))

        for connection in idle:
            connection.close()

    def test_a_browser_that_hangs_up_leaves_no_trace(
        self, callback: str, log_in: Callable[..., Admin], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def hang_up_first(address: str) -> str:
            with socket.create_connection(("127.0.0.1", urlsplit(callback).port or 0)) as connection:
                connection.sendall(b"GET / HT")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return address

        log_in(Admin(changes=hang_up_first))

        assert capsys.readouterr().err == ""

    def test_without_a_browser_the_address_is_shown(self, log_in: Callable[..., Admin]) -> None:
        admin = log_in(Admin(has_browser=False))

        assert "No browser could be opened here: please open the address yourself." in admin.lines

    def test_a_second_company_in_the_same_file_is_pointed_out(
        self, aircall: Aircall, log_in: Callable[..., Admin]
    ) -> None:
        log_in(Admin())
        aircall.world.company_name = "Other"

        told = log_in(Admin()).lines[-1]

        assert "It took the place of the tokens for Acme." in told


class TestByHand:
    def test_the_address_is_pasted_when_the_callback_is_elsewhere(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        admin = log_in(Admin(pastes=str), callback_url=ELSEWHERE)

        assert "Paste that address here" in admin.told
        assert aircall.sandbox.oauth.accepts(saved(aircall, tmp_path)["access_token"])

    def test_the_address_is_pasted_when_the_browser_is_elsewhere(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        admin = log_in(Admin(pastes=str))

        assert "paste that address here" in admin.told
        assert aircall.sandbox.oauth.accepts(saved(aircall, tmp_path)["access_token"])

    @pytest.mark.parametrize("pasted", ["", "yes", "https://partner.example.com/aircall/callback"])
    def test_something_else_is_refused(self, log_in: Callable[..., Admin], pasted: str) -> None:
        with pytest.raises(LoginFailedError, match="there is no code in it"):
            log_in(Admin(pastes=lambda _: pasted, at_terminal=False), callback_url=ELSEWHERE)


class TestFailures:
    """Each is one line, and leaves nothing behind."""

    @pytest.fixture(autouse=True)
    def nothing_is_saved(self, tmp_path: Path) -> Any:
        yield
        assert not (tmp_path / "tokens.json").exists()
        assert not (tmp_path / "tokens.json.new").exists()

    def fails_with(self, log_in: Callable[..., Admin], admin: Admin, text: str, **settings: Any) -> None:
        with pytest.raises(TapAircallError, match=text) as caught:
            log_in(admin, **settings)
        assert "\n" not in str(caught.value)
        assert "code-" not in str(caught.value)
        assert "sandbox-client-secret" not in str(caught.value)

    def test_consent_denied(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin("deny"), r"^The access was denied on Aircall's page; nothing was changed\.$")

    def test_wrong_state(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        admin = Admin(changes=lambda address: address.replace("state=", "state=x"))

        self.fails_with(log_in, admin, r"does not belong to this login \(its state differs\)")

        assert paths(aircall) == []

    def test_another_error(self, log_in: Callable[..., Admin]) -> None:
        admin = Admin("deny", changes=lambda address: address.replace("access_denied", "server_error"))

        self.fails_with(log_in, admin, "check oauth_client_id and callback_url")

    def test_used_code(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        def use(address: str) -> str:
            code = dict(parse_qsl(urlsplit(address).query))["code"]
            aircall.sandbox.oauth.answer(
                {
                    "client_id": "sandbox-client",
                    "client_secret": "sandbox-client-secret",
                    "grant_type": "authorization_code",
                    "redirect_uri": ELSEWHERE,
                    "code": code,
                }
            )
            return address

        self.fails_with(log_in, Admin(pastes=use), "a code is good for one use", callback_url=ELSEWHERE)

    def test_code_older_than_ten_minutes(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        def dawdle(address: str) -> str:
            aircall.clock.now += 601
            return address

        self.fails_with(log_in, Admin(changes=dawdle), "within ten minutes")

    def test_wrong_client_secret(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin(), "oauth_client_secret", oauth_client_secret="wrong")

    def test_token_that_aircall_does_not_accept(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        aircall.sandbox.oauth.told = {"access_token": "bogus"}

        self.fails_with(log_in, Admin(), "rejects the credentials for /v1/ping")

    def test_answer_without_a_token(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        aircall.sandbox.oauth.told = {"access_token": None}

        self.fails_with(log_in, Admin(), "^Aircall answered the request for a token without one")

    @pytest.mark.parametrize("fault", [{"failure": "reset"}, {"failure": "cut"}, {"status": 503}, {"failure": "html"}])
    def test_a_lost_answer_is_not_asked_for_again_with_the_same_code(
        self, aircall: Aircall, log_in: Callable[..., Admin], fault: dict[str, Any]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/oauth/token", times=9, **fault))

        with pytest.raises(UnavailableError):
            log_in(Admin())

        assert paths(aircall) == ["/v1/oauth/token"]

    def test_port_in_use(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            text = rf"^Port {port} of the callback_url cannot be listened on \(Address already in use\)"
            self.fails_with(log_in, Admin(), text, callback_url=f"http://127.0.0.1:{port}/callback")
        assert paths(aircall) == []

    def test_silence(self, aircall: Aircall, callback: str) -> None:
        login = Login(aircall.sandbox.url, "sandbox-client", callback, Admin(None, at_terminal=False), patience=0.05)

        with pytest.raises(LoginFailedError, match="Nobody logged in within"):
            login.run(str)

    def test_file_that_cannot_be_kept_is_noticed_before_the_browser_opens(
        self, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        (tmp_path / "a-file").touch()
        admin = Admin()

        text = "setting oauth_settings_location"
        self.fails_with(log_in, admin, text, oauth_settings_location=str(tmp_path / "a-file" / "tokens.json"))

        assert admin.opened == []

    @pytest.mark.parametrize("name", ["oauth_client_id", "oauth_client_secret", "callback_url"])
    def test_missing_setting(self, log_in: Callable[..., Admin], name: str) -> None:
        # With an access token in the config neither is missed until somebody logs in.
        self.fails_with(log_in, Admin(), f"^Setting {name}: missing", oauth_access_token="given", **{name: ""})

    def test_basic(self, log_in: Callable[..., Admin]) -> None:
        basic = {"auth_scheme": "BASIC", "user": "sandbox-id", "password": "sandbox-token"}
        self.fails_with(log_in, Admin(), r"^Setting auth_scheme: must be OAUTH for a login\.$", **basic)
        self.fails_with(log_in, Admin(), "or set auth_scheme to OAUTH", auth_scheme="BASIC")


def test_nobody_waits_for_longer_than_five_minutes() -> None:
    assert Login("", "", "", Admin()).patience == 300


def test_a_port_is_free_again_after_the_login(log_in: Callable[..., Admin], callback: str) -> None:
    log_in(Admin())

    began = time.monotonic()
    with contextlib.closing(socket.create_server(("127.0.0.1", urlsplit(callback).port or 0))):
        assert time.monotonic() - began < 1


class TestWithinARun:
    def tap(self, aircall: Aircall, folder: Path, admin: Admin, callback: str, **settings: Any) -> Any:
        tap = aircall.tap(streams=("tags",), **aircall.oauth(folder, callback_url=callback, **settings))
        tap.person = admin
        return tap

    def test_getandrefresh_lets_a_person_log_in_and_goes_on(
        self, aircall: Aircall, tmp_path: Path, callback: str
    ) -> None:
        self.tap(aircall, tmp_path, Admin(), callback, initiate_oauth="GetAndRefresh").run()

        assert paths(aircall) == ["/v1/oauth/token", "/v1/ping", "/v1/company", "/v1/ping", "/v1/tags"]

    @pytest.mark.parametrize(("initiate", "at_terminal"), [("GETANDREFRESH", False), ("REFRESH", True)])
    def test_nothing_is_opened_otherwise(
        self, aircall: Aircall, tmp_path: Path, callback: str, initiate: str, *, at_terminal: bool
    ) -> None:
        admin = Admin(at_terminal=at_terminal)

        with pytest.raises(LoginNeededError, match=r"tap-aircall --config <your config> --login$"):
            self.tap(aircall, tmp_path, admin, callback, initiate_oauth=initiate).run()

        assert (admin.opened, admin.lines, paths(aircall)) == ([], [], [])

    def test_getandrefresh_logs_in_once_only(self, aircall: Aircall, tmp_path: Path, callback: str) -> None:
        for _ in range(2):
            admin = Admin()
            self.tap(aircall, tmp_path, admin, callback, initiate_oauth="GETANDREFRESH").run()

        assert admin.opened == []


def test_an_unreadable_token_file_gets_one_line(aircall: Aircall, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text('{"access')

    with pytest.raises(InputError, match=r"tokens.json \(setting oauth_settings_location\): it is not JSON\.$"):
        aircall.run("tags", **aircall.oauth(tmp_path))


def test_one_answer_is_enough(aircall: Aircall, callback: str) -> None:
    """A second visit of the callback while the first is redeemed changes nothing."""
    codes: queue.Queue[str] = queue.Queue()
    admin = Admin()

    def redeem(code: str) -> str:
        with contextlib.suppress(requests.exceptions.RequestException):
            requests.get(f"{callback}?code=other&state=other", timeout=0.2)
        codes.put(code)
        return "done"

    assert Login(aircall.sandbox.url, "sandbox-client", callback, admin).run(redeem) == "done"
    assert codes.get_nowait().startswith("code-")
    assert codes.empty()
