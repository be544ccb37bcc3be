"""The OAuth login, from the authorize page to the saved tokens, over real HTTP against the sandbox."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import socket
import threading
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Fault
from tap_aircall.auth.login import Login, Person
from tap_aircall.errors import (
    CredentialsError,
    InputError,
    LoginFailedError,
    LoginNeededError,
    TapAircallError,
    TerminatedError,
    UnavailableError,
    one_line,
)
from tests.messages import names, refused
from tests.people import Admin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Aircall

ELSEWHERE = "https://partner.example.com/aircall/callback?tenant=7"
DASHBOARD = "https://dashboard.example.com"
TOKEN = "/v1/oauth/token"


@pytest.fixture
def callback() -> str:
    """A callback URL on a free port of this machine."""
    return a_callback()


def a_callback() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}/callback"


@pytest.fixture
def log_in(aircall: Aircall, tmp_path: Path, callback: str) -> Callable[..., Admin]:
    """Return a function that runs a login."""

    def log_in(admin: Admin, **settings: Any) -> Admin:
        tap = aircall.tap(streams=("tags",), **aircall.oauth(tmp_path, **{"callback_url": callback} | settings))
        tap.this_run.person = admin
        tap.log_in()
        return admin

    return log_in


def saved(aircall: Aircall, folder: Path) -> dict[str, Any]:
    """Return the only entry of the file."""
    entries: dict[str, Any] = json.loads((folder / "tokens.json").read_text())
    assert [*entries] == [f"{aircall.sandbox.url} sandbox-client"]
    return dict(entries[f"{aircall.sandbox.url} sandbox-client"])


def paths(aircall: Aircall) -> list[str]:
    return [log.path for log in aircall.sandbox.requests]


class TestThroughTheBrowser:
    def test_the_browser_is_sent_where_an_admin_consents(
        self, aircall: Aircall, callback: str, log_in: Callable[..., Admin]
    ) -> None:
        admin = log_in(Admin(has_browser=False))

        (url,) = admin.opened
        assert url in admin.told
        assert len(admin.lines) == len(log_in(Admin()).lines) + 1  # the one that asks to open it
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
        told = log_in(Admin()).lines[-1]

        assert paths(aircall) == [TOKEN, "/v1/ping", "/v1/company"]
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
            "company": "Acme",
            "ancestors": [],
        }
        assert names(told, "Acme", tmp_path / "tokens.json", "read", "TAP_AIRCALL_OAUTH_ACCESS_TOKEN")

    def test_tokens_that_expire_are_saved_with_their_end(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        aircall.sandbox.oauth.mode = "rotating"

        assert names(log_in(Admin()).lines[-1], tmp_path / "tokens.json", "write")

        entry = saved(aircall, tmp_path)
        assert entry["expires_at"] == "2026-11-23T14:00:00Z"
        assert entry["refresh_token"].startswith("refresh-")

    def test_the_browser_ends_on_a_page_that_keeps_the_code_to_itself(self, log_in: Callable[..., Admin]) -> None:
        page = log_in(Admin()).page

        assert page.status_code == 200
        assert "terminal" in page.text
        assert page.headers["Content-Type"].startswith("text/plain")
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "code-" not in page.text

    def test_the_port_is_free_again_after_the_login(self, log_in: Callable[..., Admin], callback: str) -> None:
        log_in(Admin())

        with contextlib.closing(socket.create_server(("127.0.0.1", urlsplit(callback).port or 0))):
            pass

    def test_a_second_company_in_the_same_file_is_pointed_out(
        self, aircall: Aircall, log_in: Callable[..., Admin]
    ) -> None:
        log_in(Admin())
        aircall.world.company_name = "Other"

        assert names(log_in(Admin()).lines[-1], "Acme", "Other")

    @pytest.mark.parametrize(
        "name", ["Acme\nERROR | tap-aircall | all is lost", "\x1b[2J\x1b[31mAcme", "Acme \u202egro", "A" * 999]
    )
    def test_a_company_cannot_forge_a_line(self, aircall: Aircall, log_in: Callable[..., Admin], name: str) -> None:
        aircall.world.company_name = name
        told = log_in(Admin()).told
        aircall.world.company_name = "Other"
        told += log_in(Admin()).told

        assert told.count(one_line(name)) == 2  # when it logs in, and when the other replaces it
        assert all(line.isprintable() and len(line) < 300 for line in told.split("\n") if "/oauth/" not in line)
        assert not [line for line in told.split("\n") if line.startswith("ERROR")]

    @pytest.mark.parametrize("name", [None, {"x": "Acme"}, "\n"])
    def test_a_company_without_a_name_is_not_named(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin], name: Any
    ) -> None:
        def rename(payload: Any) -> Any:
            payload["company"]["name"] = name
            return payload

        aircall.sandbox.faults.append(Fault(path="/v1/company", mutate=rename))

        assert not names(log_in(Admin()).lines[-1], "None")
        assert saved(aircall, tmp_path)["company"] is None


class Answering(Person):
    """Lets others reach the callback first, and then sends the browser to the right address.

    Args:
        callback: The callback URL.
        before: Called first, with the callback's port and the state of the login.
        pastes: Lines to paste before the right address; None to let the browser answer.
    """

    def __init__(
        self, callback: str, before: Callable[[int, str], None] = lambda *_: None, pastes: list[str] | None = None
    ) -> None:
        self.callback = callback
        self.before = before
        self.pastes = pastes
        self.told: list[str] = []
        self.page = b""

    @override
    def tell(self, line: str) -> None:
        self.told.append(line)

    @override
    def open_browser(self, url: str) -> bool:
        state = dict(parse_qsl(urlsplit(url).query))["state"]
        port = urlsplit(self.callback).port or 0
        self.before(port, state)
        right = {"code": "right", "state": state}
        if self.pastes is None:
            self.page = response_to(port, request("GET", "/callback", [*right.items()], "HTTP/1.1"))
        else:
            self.pastes.append(f"{self.callback}&{urlencode(right)}")
        return True

    @override
    def can_type(self) -> bool:
        return self.pastes is not None

    @override
    def read_line(self) -> str:
        return f"{self.pastes.pop(0)}\n" if self.pastes else ""


def response_to(port: int, request: bytes) -> bytes:
    """Send raw bytes to the callback, and read until it closes the connection."""
    response = b""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65_536):
            response += piece
    return response


def ends_with_the_right_code(person: Answering) -> None:
    """Run a login; check that only the right answer ends it, and that it logs nothing."""
    with redirect_stderr(io.StringIO()) as stderr:
        assert Login(DASHBOARD, "app", person.callback, person).run() == "right"
    assert person.pastes is not None or b"Aircall's response has arrived" in person.page
    assert stderr.getvalue() == ""


def request(method: str, path: str, fields: list[tuple[str, str]], version: str) -> bytes:
    return f"{method} {path}?{urlencode(fields)} {version}\r\nConnection: keep-alive\r\n\r\n".encode()


VALUES = st.sampled_from(["", "wrong", "access_denied", "\u20ac", "a\r\nb"])
FIELDS = st.lists(st.tuples(st.sampled_from(["state", "code", "error", "tenant"]), VALUES), max_size=5)
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "", "HTTP/2.0", "HTTP/9"])
PATHS = st.sampled_from(["/callback", "//callback", "http://[", "/favicon.ico", "http://127.0.0.1/callback", "*"])
METHODS = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get"])
RIGHT = [("state", "RIGHT"), ("code", "wrong")]
ALMOST = st.sampled_from(
    [RIGHT[:1], [*RIGHT, ("state", "x")], [*RIGHT, RIGHT[0]], [*RIGHT, ("code", "x")], [RIGHT[0], ("code", "")]]
)
REQUESTS = st.one_of(
    st.binary(max_size=300),
    st.builds(request, METHODS, PATHS, FIELDS, VERSIONS),
    st.builds(request, METHODS.filter(lambda method: method != "GET"), PATHS, st.just(RIGHT), VERSIONS),
    st.builds(request, st.just("GET"), PATHS, ALMOST, VERSIONS),
)


class TestWhatOthersSend:
    """Any web page and any local process can reach the callback; the login waits for its own answer."""

    @settings(max_examples=25)
    @given(st.lists(REQUESTS, max_size=8))
    def test_only_the_right_answer_ends_the_login(self, hostile: list[bytes]) -> None:
        answers: list[bytes] = []

        def send(port: int, state: str) -> None:
            answers.extend(response_to(port, each.replace(b"RIGHT", state.encode())) for each in hostile)

        ends_with_the_right_code(Answering(a_callback(), send))

        assert not [answer for answer in answers if b" 200 " in answer[:20] or b"has arrived" in answer]

    @settings(max_examples=25)
    @given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=8))
    def test_only_the_right_paste_ends_the_login(self, pastes: list[str]) -> None:
        wrong = len([each for each in pastes if each.strip()])
        person = Answering(ELSEWHERE, pastes=[*pastes])

        ends_with_the_right_code(person)

        assert len(person.told) == 2 + wrong  # the address, and where to paste

    @pytest.mark.parametrize("query", ["code=x", "code=x&state=x", "error=access_denied&state=x"])
    def test_an_answer_to_another_login_gets_400_and_a_page(self, callback: str, query: str) -> None:
        pages: list[requests.Response] = []

        ends_with_the_right_code(
            Answering(callback, lambda *_: pages.append(requests.get(f"{callback}?{query}", timeout=10)))
        )

        assert pages[0].status_code == 400
        assert "terminal" in pages[0].text

    def test_many_silent_connections_do_not_keep_the_browser_out(self, callback: str) -> None:
        with contextlib.ExitStack() as silent:

            def connect(port: int, _: str) -> None:
                for _number in range(100):
                    last = silent.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                last.sendall(b"GET /callback?x=" + b"x" * 60_000)  # and never ends

            ends_with_the_right_code(Answering(callback, connect))


class Typist(Admin):
    """Someone who logs in with the browser, and types other things meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.typed: list[str] = []
        self.may_type = threading.Event()

    @override
    def read_line(self) -> str:
        self.may_type.wait(10)
        return self.typed.pop(0) if self.typed else ""


class TestByHand:
    @pytest.mark.parametrize("settings", [{"callback_url": ELSEWHERE}, {}], ids=["callback", "browser"])
    def test_the_address_is_pasted_and_asked_for_again_if_it_is_wrong(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin], settings: dict[str, str]
    ) -> None:
        wrong = ["yes", ELSEWHERE, "http://[", "http://\u2100.example.com/?code=x", "x" * 70_000]
        admin = log_in(Admin(pastes=lambda address: "\n".join(["", *wrong, "", address])), **settings)

        assert len(admin.lines) == 3 + len(wrong)  # the address, where to paste, and the end
        assert not [each for each in wrong if each in admin.told]
        assert aircall.sandbox.oauth.grants == ["authorization_code"]
        assert aircall.sandbox.oauth.accepts(saved(aircall, tmp_path)["access_token"])

    @pytest.mark.parametrize("pasted", ["", "yes"])
    def test_the_login_ends_when_nothing_more_can_be_pasted(self, log_in: Callable[..., Admin], pasted: str) -> None:
        with refused(LoginFailedError, "terminal"):
            log_in(Admin(pastes=lambda _: pasted, at_terminal=False), callback_url=ELSEWHERE)

    def test_the_end_of_input_does_not_matter_when_the_browser_can_answer(self, log_in: Callable[..., Admin]) -> None:
        typist = Typist()
        typist.may_type.set()

        assert names(log_in(typist).lines[-1], "Acme")

    def test_what_is_typed_after_the_login_is_left_alone(self, log_in: Callable[..., Admin]) -> None:
        typist = Typist()
        before = set(threading.enumerate())
        told = log_in(typist).told
        readers = [thread for thread in threading.enumerate() if thread not in before and thread.daemon]

        typist.typed = ["yes\n", "yes\n"]
        typist.may_type.set()
        for reader in readers:
            reader.join(10)

        assert (typist.told, typist.typed) == (told, ["yes\n"])

    def test_pasted_bytes_that_are_not_text_are_read_as_replacement_characters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), "ascii"))
        read = Person().read_line

        assert [read(), read()] == ["\ufffd\ufffd\n", ""]

    def test_closed_standard_streams_count_as_no_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", None)
            patch.setattr("sys.stderr", None)
            assert (Person().can_type(), Person().read_line()) == (False, "")
            Person().tell("not for standard output")

        assert capsys.readouterr().out == ""


class TestFailures:
    """Each ends with one line, and saves nothing."""

    @pytest.fixture(autouse=True)
    def nothing_is_saved(self, tmp_path: Path) -> Any:
        yield
        assert not (tmp_path / "tokens.json").exists()
        assert not (tmp_path / "tokens.json.new").exists()

    def fails_with(
        self,
        log_in: Callable[..., Admin],
        admin: Admin,
        kind: type[TapAircallError],
        *facts: object,
        **settings: Any,
    ) -> None:
        with refused(kind, *facts) as caught:
            log_in(admin, **settings)
        assert "\n" not in str(caught.value)
        assert "code-" not in str(caught.value)
        assert "sandbox-client-secret" not in str(caught.value)

    @pytest.mark.parametrize("settings", [{}, {"callback_url": ELSEWHERE}], ids=["browser", "paste"])
    def test_a_consent_that_is_denied_ends_the_login(
        self, log_in: Callable[..., Admin], settings: dict[str, str]
    ) -> None:
        admin = Admin("deny", pastes=str if settings else None)

        self.fails_with(log_in, admin, LoginFailedError, "denied", **settings)

    def test_another_error_names_the_settings_to_check(self, log_in: Callable[..., Admin]) -> None:
        admin = Admin("deny", changes=lambda address: address.replace("access_denied", "server_error"))

        self.fails_with(log_in, admin, LoginFailedError, "oauth_client_id", "callback_url")

    def test_a_code_that_was_used_is_refused(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        def use(address: str) -> str:
            oauth = aircall.sandbox.oauth
            grant = {"client_id": oauth.client_id, "client_secret": oauth.client_secret, "redirect_uri": ELSEWHERE}
            code = dict(parse_qsl(urlsplit(address).query))["code"]
            oauth.respond(grant | {"grant_type": "authorization_code", "code": code})
            return address

        self.fails_with(log_in, Admin(pastes=use), LoginNeededError, "code", callback_url=ELSEWHERE)

    def test_a_code_older_than_ten_minutes_is_refused(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        def dawdle(address: str) -> str:
            aircall.clock.now += 601
            return address

        self.fails_with(log_in, Admin(changes=dawdle), LoginNeededError, "code")

    def test_a_wrong_client_secret_is_named(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin(), LoginNeededError, "oauth_client_secret", oauth_client_secret="wrong")

    @pytest.mark.parametrize(
        ("token", "kind", "named"), [("bogus", CredentialsError, "/v1/ping"), (None, UnavailableError, "token")]
    )
    def test_a_token_that_is_no_good_fails_the_login(
        self,
        aircall: Aircall,
        log_in: Callable[..., Admin],
        token: str | None,
        kind: type[TapAircallError],
        named: str,
    ) -> None:
        aircall.sandbox.oauth.overrides = {"access_token": token}

        self.fails_with(log_in, Admin(), kind, named)

    @pytest.mark.parametrize("fault", [{"failure": "reset"}, {"failure": "cut"}, {"status": 503}, {"failure": "html"}])
    def test_a_lost_answer_is_not_asked_for_again_with_the_same_code(
        self, aircall: Aircall, log_in: Callable[..., Admin], fault: dict[str, Any]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=TOKEN, times=9, **fault))

        with pytest.raises(UnavailableError):
            log_in(Admin())

        assert paths(aircall) == [TOKEN]

    def test_a_port_in_use_is_named(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            facts = (port, "callback_url", os.strerror(errno.EADDRINUSE))
            self.fails_with(log_in, Admin(), LoginFailedError, *facts, callback_url=f"http://127.0.0.1:{port}/callback")
        assert paths(aircall) == []

    def test_a_login_that_nobody_answers_is_given_up(self, callback: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tap_aircall.auth.login.LOGIN_SECONDS", 0.05)

        with refused(LoginFailedError, "minutes"):
            Login(DASHBOARD, "app", callback, Admin(None, at_terminal=False)).run()

    def test_a_token_file_that_cannot_be_written_is_noticed_before_the_browser_opens(
        self, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        (tmp_path / "a-file").touch()
        admin = Admin()

        path = str(tmp_path / "a-file" / "tokens.json")
        self.fails_with(log_in, admin, InputError, path, "oauth_settings_location", oauth_settings_location=path)

        assert admin.opened == []

    @pytest.mark.parametrize("name", ["oauth_client_id", "oauth_client_secret", "callback_url"])
    def test_a_setting_that_is_missing_is_named(self, log_in: Callable[..., Admin], name: str) -> None:
        # With an access token in the config, neither is needed before a login.
        self.fails_with(log_in, Admin(), InputError, name, oauth_access_token="given", **{name: ""})

    def test_a_login_with_basic_names_auth_scheme(self, log_in: Callable[..., Admin]) -> None:
        basic = {"auth_scheme": "BASIC", "user": "sandbox-id", "password": "sandbox-token"}
        self.fails_with(log_in, Admin(), InputError, "auth_scheme", "OAUTH", **basic)
        self.fails_with(log_in, Admin(), InputError, "auth_scheme", "OAUTH", auth_scheme="BASIC")


class TestWithinARun:
    def run(self, aircall: Aircall, folder: Path, admin: Admin, callback: str, initiate: str) -> None:
        settings = aircall.oauth(folder, callback_url=callback, initiate_oauth=initiate)
        tap = aircall.tap(streams=("tags",), **settings)
        tap.this_run.person = admin
        tap.run()

    def test_getandrefresh_lets_a_person_log_in_once_and_goes_on(
        self, aircall: Aircall, tmp_path: Path, callback: str
    ) -> None:
        self.run(aircall, tmp_path, Admin(), callback, "GetAndRefresh")
        assert paths(aircall) == [TOKEN, "/v1/ping", "/v1/company", "/v1/ping", "/v1/tags"]

        self.run(aircall, tmp_path, admin := Admin(), callback, "GETANDREFRESH")
        assert admin.opened == []

    @pytest.mark.parametrize(("initiate", "at_terminal"), [("GETANDREFRESH", False), ("REFRESH", True)])
    def test_no_other_setting_opens_a_browser(
        self, aircall: Aircall, tmp_path: Path, callback: str, initiate: str, *, at_terminal: bool
    ) -> None:
        admin = Admin(at_terminal=at_terminal)

        with refused(LoginNeededError, "--login"):
            self.run(aircall, tmp_path, admin, callback, initiate)

        assert (admin.opened, admin.lines, paths(aircall)) == ([], [], [])

    def test_an_unreadable_token_file_gets_one_line(self, aircall: Aircall, tmp_path: Path) -> None:
        (tmp_path / "tokens.json").write_text('{"access')

        with refused(InputError, tmp_path / "tokens.json", "oauth_settings_location", "tap-aircall"):
            aircall.run("tags", **aircall.oauth(tmp_path))


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_signal_says_whether_tokens_were_saved(
    aircall: Aircall, tmp_path: Path, callback: str, *, is_saved: bool
) -> None:
    tap = aircall.tap(streams=("tags",), **aircall.oauth(tmp_path, callback_url=callback))

    class Stopped(Admin):
        @override
        def tell(self, line: str) -> None:
            if (tmp_path / "tokens.json").exists() == is_saved:
                tap._handle_termination(signal.SIGINT, None)  # noqa: SLF001 - as Python calls it

    tap.this_run.person = Stopped()
    with pytest.raises(TerminatedError) as caught:
        tap.log_in()

    assert (tmp_path / "tokens.json").exists() == is_saved == ("nothing" not in caught.value.line)
