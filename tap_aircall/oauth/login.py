"""The interactive OAuth login: a browser, a person who consents, and a code that comes back.

The code comes to a small server on this machine when the callback address is there, and else by the person's hand, who
copies the address that the browser ended on. Nothing here goes to standard output, which belongs to Singer messages.
"""

from __future__ import annotations

import contextlib
import html
import os
import queue
import secrets
import socket
import sys
import threading
import webbrowser
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from typing_extensions import override

from tap_aircall.api.addresses import is_loopback
from tap_aircall.clock import timeouts
from tap_aircall.errors import LoginFailedError, TapAircallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 300.0
"""How long to wait for the person."""
SCOPE = "public_api"
READ_SECONDS = 10.0
"""Browsers open connections ahead of need; none may keep a thread for longer."""
SEND_SECONDS = 2.0
"""How long the page has to get to the browser before the process may end."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - tap-aircall</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 34em; margin: 15vh auto 0; padding: 0 1.5em; color: #222; }}
h1 {{ font-size: 1.5em; color: {color}; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd; }} }}
</style>
<script>history.replaceState(null, "", location.pathname)</script>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
</body>
</html>
"""
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    "Connection": "close",
}


class Person(Protocol):
    """Whoever logs in."""

    def tell(self, line: str) -> None:
        """Show a line."""

    def open_browser(self, url: str) -> bool:
        """Show a page; return whether that was possible."""

    def can_type(self) -> bool:
        """Say whether the person sits at a terminal, and can paste an address there."""

    def read_line(self) -> str:
        """Return what the person typed; nothing at the end of input."""


class PersonAtTerminal(Person):
    """Somebody at this terminal, with a browser on this machine perhaps."""

    @override
    def tell(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - it is for a person

    @override
    def open_browser(self, url: str) -> bool:
        graphical = os.name != "posix" or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if not graphical and "BROWSER" not in os.environ:
            return False  # a browser for the terminal would take it over
        with _stdout_on_stderr():
            return webbrowser.open(url)

    @override
    def can_type(self) -> bool:
        return sys.stdin.isatty() and sys.stderr.isatty()

    @override
    def read_line(self) -> str:
        return sys.stdin.readline()


@dataclass(frozen=True)
class Login:
    """One login: where to send the browser, and what to expect back.

    Args:
        dashboard_url: Root of the authorize page.
        client_id: Client id of the app.
        callback_url: Where Aircall sends the browser; as registered with Aircall.
        person: Whoever logs in.
        patience: Seconds to wait for them.
    """

    dashboard_url: str
    client_id: str
    callback_url: str
    person: Person
    patience: float = PATIENCE_SECONDS

    def run(self, redeem: Callable[[str], str]) -> str:
        """Lead a person through the login.

        Args:
            redeem: Makes something of the code, and returns what to tell the person; raises a `TapAircallError` if
                that fails.

        Returns:
            What `redeem` returned.

        Raises:
            LoginFailedError: If no code came back.
        """
        state = secrets.token_urlsafe(24)
        answers: queue.Queue[_Answer] = queue.Queue()
        with self._listening(answers):
            self._show_the_way(state)
            if self.person.can_type() or not self._is_here:
                threading.Thread(target=self._read_pasted, args=(answers,), daemon=True).start()
            answer = self._wait_for(answers)
            try:
                told = redeem(_code(answer.query, state))
            except TapAircallError as error:
                answer.outcome.tell("The login failed", str(error), failed=True)
                raise
            text = "tap-aircall can read your Aircall now. You can close this window and go back to the terminal."
            answer.outcome.tell("You are logged in", text)
            return told

    def _wait_for(self, answers: queue.Queue[_Answer]) -> _Answer:
        for timeout in timeouts(self.patience):
            with contextlib.suppress(queue.Empty):
                return answers.get(timeout=timeout)
        message = f"Nobody logged in within {self.patience / 60:g} minutes; please begin again."
        raise LoginFailedError(message)

    @property
    def _is_here(self) -> bool:
        parts = urlsplit(self.callback_url)
        return parts.scheme == "http" and is_loopback(parts.hostname or "")

    def _show_the_way(self, state: str) -> None:
        query = {
            "client_id": self.client_id,
            "redirect_uri": self.callback_url,
            "response_type": "code",
            "scope": SCOPE,
            "state": state,
        }
        url = f"{self.dashboard_url}/oauth/authorize?{urlencode(query)}"
        self.person.tell("Log in to Aircall as an admin, and allow the access, at this address:\n\n  " + url + "\n")
        if not self.person.open_browser(url):
            self.person.tell("No browser could be opened here: please open the address yourself.")
        if not self._is_here:
            self.person.tell(
                "Your browser will end on a page whose address begins with the callback_url, and has a code in it.\n"
                "Paste that address here, whatever the page shows:"
            )
        elif self.person.can_type():
            self.person.tell(
                "Waiting for the browser. If it runs on another machine, it will end on an address that it cannot\n"
                "reach: paste that address here."
            )

    def _read_pasted(self, answers: queue.Queue[_Answer]) -> None:
        line = self.person.read_line().strip()
        if line or not self._is_here:
            answers.put(_Answer(urlsplit(line).query, _Outcome()))

    @contextlib.contextmanager
    def _listening(self, answers: queue.Queue[_Answer]) -> Iterator[None]:
        """Listen on the callback address, if it is on this machine."""
        if not self._is_here:
            yield
            return
        parts = urlsplit(self.callback_url)
        port = parts.port or 80
        try:
            server = _CallbackServer((parts.hostname or "", port), parts.path or "/", answers)
        except OSError as error:
            message = (
                f"Port {port} of the callback_url cannot be listened on ({error.strerror}): end what uses it, or "
                "register another callback with Aircall."
            )
            raise LoginFailedError(message) from error
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class _Outcome:
    """What became of an answer, for the thread that keeps the browser waiting."""

    def __init__(self) -> None:
        self.page: bytes | None = None
        self.is_known = threading.Event()
        self.is_sent = threading.Event()

    def tell(self, title: str, text: str, *, failed: bool = False) -> None:
        """Show it in the browser, if there is one."""
        color = "#b3261e" if failed else "#00856b"
        self.page = PAGE.format(title=html.escape(title), text=html.escape(text), color=color).encode()
        self.is_known.set()


@dataclass(frozen=True, repr=False)
class _Answer:
    query: str
    outcome: _Outcome


class _CallbackServer(ThreadingHTTPServer):
    """Waits for the browser on the callback address."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would share the port with another process

    def __init__(self, address: tuple[str, int], path: str, answers: queue.Queue[_Answer]) -> None:
        self.path = path
        self.answers = answers
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.last: _Outcome | None = None
        super().__init__(address, _CallbackHandler)

    @override
    def shutdown(self) -> None:
        super().shutdown()
        if self.last is not None and self.last.is_known.is_set():
            self.last.is_sent.wait(SEND_SECONDS)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser may hang up whenever it likes
            super().handle_error(request, client_address)


class _CallbackHandler(BaseHTTPRequestHandler):
    server: _CallbackServer
    timeout = READ_SECONDS

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if (parts.path or "/") != self.server.path or not {"code", "error"} & parse_qs(parts.query).keys():
            self.send_error(HTTPStatus.NOT_FOUND)  # an icon, perhaps
            return
        outcome = self.server.last = _Outcome()
        self.server.answers.put(_Answer(parts.query, outcome))
        outcome.is_known.wait(PATIENCE_SECONDS)
        try:
            self.send_response(HTTPStatus.OK)
            for name, value in PAGE_HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(outcome.page or b"")
        finally:
            outcome.is_sent.set()

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass  # the line would hold the code


def _code(query: str, state: str) -> str:
    """Take the code out of the answer.

    Raises:
        LoginFailedError: If it is not the answer to this login, or a refusal.
    """
    answer = {name: values[0] for name, values in parse_qs(query).items()}
    if not answer.keys() & {"code", "error"}:
        message = "That was not the address that the browser ended on: there is no code in it. Please begin again."
    elif not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        message = "The answer does not belong to this login (its state differs); please begin again."
    elif answer.get("error") == "access_denied":
        message = "The access was denied on Aircall's page; nothing was changed."
    elif "code" not in answer:
        message = "Aircall's page ended with an error; check oauth_client_id and callback_url."
    else:
        return answer["code"]
    raise LoginFailedError(message)


@contextlib.contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Let processes that begin meanwhile write to standard error, since standard output is the target's."""
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
