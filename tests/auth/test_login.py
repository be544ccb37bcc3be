"""The OAuth login, from the authorize page to the saved tokens, over real HTTP against the sandbox."""

from __future__ import annotations

import contextlib
import io
import json
import queue
import signal
import socket
import struct
import threading
import time
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Fault
from tap_aircall.auth.login import CONNECTIONS, Login, Person, PersonAtTerminal
from tap_aircall.errors import InputError, LoginFailedError, LoginNeededError, TapAircallError, UnavailableError
from tap_aircall.writer import TerminatedError
from tests.people import Admin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Aircall

ELSEWHERE = "https://partner.example.com/aircall/callback?tenant=7"


@pytest.fixture
def callback() -> str:
    """A callback on this machine, on a port that is free."""
    return a_callback()


def a_callback() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}/callback"


@pytest.fixture
def log_in(aircall: Aircall, tmp_path: Path, callback: str) -> Callable[..., Admin]:
    """Return a function that lets somebody log in."""

    def log_in(admin: Admin, **settings: Any) -> Admin:
        tap = aircall.tap(streams=("tags",), **aircall.oauth(tmp_path, **{"callback_url": callback} | settings))
        tap.this_run.person = admin
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

    def test_tokens_that_expire_are_saved_with_their_end(
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

    def test_connections_that_a_browser_opens_in_advance_do_no_harm(
        self, callback: str, log_in: Callable[..., Admin]
    ) -> None:
        idle: list[socket.socket] = []

        def first_others(address: str) -> str:
            idle.append(socket.create_connection(("127.0.0.1", urlsplit(callback).port or 0)))
            assert requests.get(callback.replace("/callback", "/favicon.ico"), timeout=10).status_code == 404
            assert requests.get(callback, timeout=10).status_code == 400
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


class Answering(Person):
    """Does something with the address of Aircall's page, and then lets the browser end on the right address.

    Args:
        callback: Where the browser ends.
        before: Called with the callback's port and the state of the login.
        pastes: What to paste before the right address; None to let the browser answer.
    """

    def __init__(
        self, callback: str, before: Callable[[int, str], None] = lambda *_: None, pastes: list[str] | None = None
    ) -> None:
        self.callback = callback
        self.before = before
        self.pastes = pastes
        self.told: list[str] = []
        self.page = b""
        self.browser: threading.Thread | None = None

    @override
    def tell(self, line: str) -> None:
        self.told.append(line)

    @override
    def open_browser(self, url: str) -> bool:
        state = dict(parse_qsl(urlsplit(url).query))["state"]
        port = urlsplit(self.callback).port or 0
        self.before(port, state)
        right = f"{self.callback}{'&' if '?' in self.callback else '?'}code=right&state={state}"
        if self.pastes is None:
            self.browser = threading.Thread(target=self._end_on, args=(port, right))
            self.browser.start()
        else:
            self.pastes.append(right)
        return True

    @override
    def can_type(self) -> bool:
        return self.pastes is not None

    @override
    def read_line(self) -> str:
        return f"{self.pastes.pop(0)}\n" if self.pastes else ""

    def _end_on(self, port: int, address: str) -> None:
        self.page = answer_to(port, f"GET {address.removeprefix(f'http://127.0.0.1:{port}')} HTTP/1.1\r\n\r\n".encode())


def answer_to(port: int, request: bytes) -> bytes:
    """Send raw bytes to the callback, and read until it hangs up."""
    answer = b""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def codes_of(person: Answering) -> list[str]:
    """Take somebody through a login; return each code that was redeemed."""
    redeemed: list[str] = []
    login = Login("https://dashboard.example.com", "app", person.callback, person, patience=30)

    def redeem(code: str) -> str:
        redeemed.append(code)
        return "done"

    assert login.run(redeem) == "done"
    if person.browser is not None:
        person.browser.join(10)
        assert b"You are logged in" in person.page
    return redeemed


def request(method: str, path: str, fields: list[tuple[str, str]], version: str) -> bytes:
    return f"{method} {path}?{urlencode(fields)} {version}\r\nConnection: keep-alive\r\n\r\n".encode()


VALUES = st.sampled_from(["", "wrong", "access_denied", "\u20ac", "a\r\nb"])
FIELDS = st.lists(st.tuples(st.sampled_from(["state", "code", "error", "tenant"]), VALUES), max_size=5)
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "", "HTTP/2.0", "HTTP/9"])
WITHOUT_THE_STATE = st.builds(
    request,
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get"]),
    st.sampled_from(
        ["/callback", "//callback", "http://[", "/", "http://127.0.0.1/callback", "*", "/callback/../callback"]
    ),
    FIELDS,
    VERSIONS,
)
RIGHT = [("state", "RIGHT"), ("code", "wrong")]
WITH_THE_STATE = st.one_of(
    st.builds(request, st.sampled_from(["HEAD", "POST", "PUT"]), st.just("/callback"), st.just(RIGHT), VERSIONS),
    st.builds(request, st.just("GET"), st.sampled_from(["/", "/other", "http://["]), st.just(RIGHT), VERSIONS),
    st.builds(
        request,
        st.just("GET"),
        st.just("/callback"),
        st.sampled_from(
            [RIGHT[:1], [*RIGHT, ("state", "x")], [*RIGHT, RIGHT[0]], [*RIGHT, ("code", "x")], [RIGHT[0], ("code", "")]]
        ),
        VERSIONS,
    ),
)


class TestWhatOthersSend:
    """Any page and any process on this machine can talk to the callback; the login waits for its own answer."""

    @settings(max_examples=25)
    @given(st.lists(st.one_of(st.binary(max_size=300), WITHOUT_THE_STATE, WITH_THE_STATE), max_size=8))
    def test_only_the_right_answer_ends_the_login(self, hostile: list[bytes]) -> None:
        answers: list[bytes] = []

        def send(port: int, state: str) -> None:
            answers.extend(answer_to(port, each.replace(b"RIGHT", state.encode())) for each in hostile)

        with redirect_stderr(io.StringIO()) as stderr:
            assert codes_of(Answering(a_callback(), send)) == ["right"]

        assert not [answer for answer in answers if b" 200 " in answer[:20] or b"logged in" in answer]
        assert stderr.getvalue() == ""

    @settings(max_examples=25)
    @given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=8))
    def test_only_the_right_paste_ends_the_login(self, pastes: list[str]) -> None:
        wrong = len([each for each in pastes if each.strip()])
        person = Answering(ELSEWHERE, pastes=list(pastes))

        with redirect_stderr(io.StringIO()) as stderr:
            assert codes_of(person) == ["right"]

        assert len([line for line in person.told if line.startswith("That is not")]) == wrong
        assert stderr.getvalue() == ""

    @pytest.mark.parametrize(
        "query", ["code=x", "code=x&state=", "code=x&state=x", "error=access_denied", "error=access_denied&state=x"]
    )
    def test_an_answer_to_another_login_gets_400_and_a_page(self, callback: str, query: str) -> None:
        pages: list[requests.Response] = []

        def visit(*_: object) -> None:
            pages.append(requests.get(f"{callback}?{query}", timeout=10))

        assert codes_of(Answering(callback, visit)) == ["right"]

        (page,) = pages
        assert page.status_code == 400
        assert "This is not the answer to the login that waits in the terminal" in page.text
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")

    def test_an_invalid_address_gets_400_and_no_traceback(
        self, callback: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers: list[bytes] = []

        def send(port: int, _: str) -> None:
            answers.append(answer_to(port, b"GET http://[ HTTP/1.1\r\n\r\n"))

        assert codes_of(Answering(callback, send)) == ["right"]

        assert answers[0].startswith(b"HTTP/1.0 400 ")
        assert capsys.readouterr() == ("", "")

    def test_many_silent_connections_do_not_keep_the_browser_out(
        self, callback: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        silent: list[socket.socket] = []
        threads: list[int] = []

        def connect(port: int, _: str) -> None:
            silent.extend(socket.create_connection(("127.0.0.1", port), 10) for _ in range(100))
            silent[-1].sendall(b"GET /callback?x=" + b"x" * 60_000)  # and never ends
            assert silent[0].recv(1) == b""
            threads.append(threading.active_count())

        assert codes_of(Answering(callback, connect)) == ["right"]

        assert threads[0] < 2 * CONNECTIONS
        assert capsys.readouterr() == ("", "")
        for connection in silent:
            connection.close()

    def test_an_answer_that_is_being_redeemed_is_not_closed_for_others(self, callback: str) -> None:
        person = Answering(callback)
        silent: list[socket.socket] = []

        def redeem(_: str) -> str:
            silent.extend(
                socket.create_connection((("127.0.0.1"), urlsplit(callback).port or 0), 10) for _ in range(100)
            )
            assert silent[0].recv(1) == b""
            return "done"

        Login("https://dashboard.example.com", "app", callback, person).run(redeem)

        assert person.browser is not None
        person.browser.join(10)
        assert b"You are logged in" in person.page
        for connection in silent:
            connection.close()

    def test_a_page_that_is_loaded_again_shows_the_same(self, callback: str) -> None:
        person = Answering(callback)
        codes: list[str] = []
        again: list[bytes] = []

        def redeem(code: str) -> str:
            codes.append(code)
            state = dict(parse_qsl(urlsplit(person.told[0].split()[-1]).query))["state"]
            port = urlsplit(callback).port or 0
            reload = f"GET /callback?code=other&state={state} HTTP/1.1\r\n\r\n".encode()
            thread = threading.Thread(target=lambda: again.append(answer_to(port, reload)))
            thread.start()
            time.sleep(0.2)
            return "done"

        Login("https://dashboard.example.com", "app", callback, person).run(redeem)

        until = time.monotonic() + 10
        while not again:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert b"You are logged in" in again[0]
        assert codes == ["right"]

    @pytest.mark.parametrize(
        "name", ["Acme\nERROR | tap-aircall | all is lost", "\x1b[2J\x1b[31mAcme", "Acme \u202egro", "A" * 999]
    )
    def test_a_company_cannot_forge_a_line(self, aircall: Aircall, log_in: Callable[..., Admin], name: str) -> None:
        aircall.world.company_name = name
        told = log_in(Admin()).told
        aircall.world.company_name = "Other"
        told += log_in(Admin()).told

        assert "Logged in to A" in told or "Logged in to [2J" in told
        assert "It took the place of the tokens for " in told
        assert all(line.isprintable() and len(line) < 300 for line in told.split("\n") if "/oauth/" not in line)
        assert not [line for line in told.split("\n") if line.startswith("ERROR")]

    @pytest.mark.parametrize("name", [None, 7, ["Acme"], {"x": "Acme"}, "", "\n"])
    def test_a_company_without_a_name_is_not_named(
        self, aircall: Aircall, tmp_path: Path, log_in: Callable[..., Admin], name: Any
    ) -> None:
        def rename(payload: Any) -> Any:
            payload["company"]["name"] = name
            return payload

        aircall.sandbox.faults.append(Fault(path="/v1/company", mutate=rename))

        assert log_in(Admin()).lines[-1].startswith("Logged in.\n")
        assert saved(aircall, tmp_path)["company"] is None


class Typist(Admin):
    """Somebody who logs in with the browser, and types something else meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.typed: list[str] = []
        self.may_type = threading.Event()
        self.may_type.set()

    @override
    def read_line(self) -> str:
        self.may_type.wait(10)
        return self.typed.pop(0) if self.typed else ""


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

    @pytest.mark.parametrize("callback_url", [ELSEWHERE, None], ids=["elsewhere", "here"])
    @pytest.mark.parametrize(
        "wrong",
        [
            "yes",
            ELSEWHERE,
            "http://[",
            "http://\u2100.example.com/?code=x",
            "?state=",
            f"{ELSEWHERE}&code=x&state=\ufffd",
            "x" * 70_000,
        ],
    )
    def test_a_wrong_paste_is_asked_for_again(
        self,
        aircall: Aircall,
        log_in: Callable[..., Admin],
        capsys: pytest.CaptureFixture[str],
        wrong: str,
        callback_url: str | None,
    ) -> None:
        settings = {"callback_url": callback_url} if callback_url else {}

        admin = log_in(Admin(pastes=lambda address: f"{wrong}\n\n{address}"), **settings)

        assert [line.startswith("That is not the address") for line in admin.lines].count(True) == 1
        assert wrong not in admin.told
        assert aircall.sandbox.oauth.grants == ["authorization_code"]
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("pasted", ["", "yes"])
    def test_the_login_ends_when_nothing_more_can_be_pasted(self, log_in: Callable[..., Admin], pasted: str) -> None:
        with pytest.raises(LoginFailedError, match=r"^Standard input ended before .* pasted: log in at a terminal\.$"):
            log_in(Admin(pastes=lambda _: pasted, at_terminal=False), callback_url=ELSEWHERE)

    def test_the_end_of_input_does_not_matter_when_the_browser_can_answer(self, log_in: Callable[..., Admin]) -> None:
        assert "Logged in to Acme." in log_in(Typist()).told

    def test_what_is_typed_after_the_login_is_left_alone(self, log_in: Callable[..., Admin]) -> None:
        typist = Typist()
        typist.may_type.clear()
        before = set(threading.enumerate())
        log_in(typist)
        readers = [thread for thread in threading.enumerate() if thread not in before and thread.daemon]
        told = typist.told

        typist.typed = ["yes\n", "yes\n"]
        typist.may_type.set()
        for reader in readers:
            reader.join(10)

        assert typist.told == told
        assert typist.typed == ["yes\n"]

    def test_pasted_bytes_that_are_not_text_are_read_as_replacement_characters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n" + b"x" * 70_000), "ascii"))

        person = PersonAtTerminal()

        assert [person.read_line(), len(person.read_line()), len(person.read_line()), person.read_line()] == [
            "\ufffd\ufffd\n",
            65_536,
            70_000 - 65_536,
            "",
        ]

    def test_closed_standard_streams_count_as_no_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", None)
            patch.setattr("sys.stderr", None)
            person = PersonAtTerminal()
            assert (person.can_type(), person.read_line()) == (False, "")
            person.tell("not for standard output")

        assert capsys.readouterr().out == ""


class TestFailures:
    """Each gets one line and leaves nothing behind."""

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

    def test_a_consent_that_is_denied_ends_the_login(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin("deny"), r"^The access was denied on Aircall's page; nothing was changed\.$")

    def test_a_pasted_denial_ends_the_login(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin("deny", pastes=str), "^The access was denied", callback_url=ELSEWHERE)

    def test_another_error_names_the_settings_to_check(self, log_in: Callable[..., Admin]) -> None:
        admin = Admin("deny", changes=lambda address: address.replace("access_denied", "server_error"))

        self.fails_with(log_in, admin, "check oauth_client_id and callback_url")

    def test_a_code_that_was_used_is_refused(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
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

    def test_a_code_older_than_ten_minutes_is_refused(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        def dawdle(address: str) -> str:
            aircall.clock.now += 601
            return address

        self.fails_with(log_in, Admin(changes=dawdle), "within ten minutes")

    def test_a_wrong_client_secret_is_named(self, log_in: Callable[..., Admin]) -> None:
        self.fails_with(log_in, Admin(), "oauth_client_secret", oauth_client_secret="wrong")

    def test_a_token_that_aircall_rejects_fails_the_login(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        aircall.sandbox.oauth.told = {"access_token": "bogus"}

        self.fails_with(log_in, Admin(), "rejects the credentials for /v1/ping")

    def test_an_answer_without_a_token_is_refused(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
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

    def test_a_port_in_use_is_named(self, aircall: Aircall, log_in: Callable[..., Admin]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            text = rf"^Port {port} of the callback_url cannot be listened on \(Address already in use\)"
            self.fails_with(log_in, Admin(), text, callback_url=f"http://127.0.0.1:{port}/callback")
        assert paths(aircall) == []

    def test_a_login_that_nobody_answers_is_given_up(self, aircall: Aircall, callback: str) -> None:
        login = Login(aircall.sandbox.url, "sandbox-client", callback, Admin(None, at_terminal=False), patience=0.05)

        with pytest.raises(LoginFailedError, match="Nobody logged in within"):
            login.run(str)

    def test_a_token_file_that_cannot_be_written_is_noticed_before_the_browser_opens(
        self, tmp_path: Path, log_in: Callable[..., Admin]
    ) -> None:
        (tmp_path / "a-file").touch()
        admin = Admin()

        text = "setting oauth_settings_location"
        self.fails_with(log_in, admin, text, oauth_settings_location=str(tmp_path / "a-file" / "tokens.json"))

        assert admin.opened == []

    @pytest.mark.parametrize("name", ["oauth_client_id", "oauth_client_secret", "callback_url"])
    def test_a_setting_that_is_missing_is_named(self, log_in: Callable[..., Admin], name: str) -> None:
        # With an access token in the config, neither is needed until somebody logs in.
        self.fails_with(log_in, Admin(), f"^Setting {name}: missing", oauth_access_token="given", **{name: ""})

    def test_a_login_with_basic_names_auth_scheme(self, log_in: Callable[..., Admin]) -> None:
        basic = {"auth_scheme": "BASIC", "user": "sandbox-id", "password": "sandbox-token"}
        self.fails_with(log_in, Admin(), r"^Setting auth_scheme: must be OAUTH for a login\.$", **basic)
        self.fails_with(log_in, Admin(), "or set auth_scheme to OAUTH", auth_scheme="BASIC")


def test_the_login_waits_for_five_minutes_at_most() -> None:
    assert Login("", "", "", Admin()).patience == 300


def test_a_port_is_free_again_after_the_login(log_in: Callable[..., Admin], callback: str) -> None:
    log_in(Admin())

    began = time.monotonic()
    with contextlib.closing(socket.create_server(("127.0.0.1", urlsplit(callback).port or 0))):
        assert time.monotonic() - began < 1


class TestWithinARun:
    def tap(self, aircall: Aircall, folder: Path, admin: Admin, callback: str, **settings: Any) -> Any:
        tap = aircall.tap(streams=("tags",), **aircall.oauth(folder, callback_url=callback, **settings))
        tap.this_run.person = admin
        return tap

    def test_getandrefresh_lets_a_person_log_in_and_goes_on(
        self, aircall: Aircall, tmp_path: Path, callback: str
    ) -> None:
        self.tap(aircall, tmp_path, Admin(), callback, initiate_oauth="GetAndRefresh").run()

        assert paths(aircall) == ["/v1/oauth/token", "/v1/ping", "/v1/company", "/v1/ping", "/v1/tags"]

    @pytest.mark.parametrize(("initiate", "at_terminal"), [("GETANDREFRESH", False), ("REFRESH", True)])
    def test_no_other_setting_opens_a_browser(
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

    with pytest.raises(InputError, match=r"tokens.json \(setting oauth_settings_location\): it is not JSON; "):
        aircall.run("tags", **aircall.oauth(tmp_path))


@pytest.mark.parametrize(
    ("begins", "line"),
    [
        ("Log in to Aircall", "The login was stopped; nothing was saved."),
        ("Logged in", "The login was stopped, but its tokens may have been saved already."),
    ],
)
def test_a_signal_says_whether_tokens_were_saved(
    aircall: Aircall, tmp_path: Path, callback: str, begins: str, line: str
) -> None:
    tap = aircall.tap(streams=("tags",), **aircall.oauth(tmp_path, callback_url=callback))

    class Stopped(Admin):
        @override
        def tell(self, line: str) -> None:
            if line.startswith(begins):
                tap._handle_termination(signal.SIGINT, None)  # noqa: SLF001 - as Python calls it

    tap.this_run.person = Stopped()
    with pytest.raises(TerminatedError) as caught:
        tap.log_in()

    assert caught.value.line == line
    assert (tmp_path / "tokens.json").exists() == ("nothing" not in line)


def test_a_second_visit_of_the_callback_changes_nothing(aircall: Aircall, callback: str) -> None:
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
