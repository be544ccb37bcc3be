"""The interactive OAuth login: a browser, a person who consents, and a code that comes back.

The code comes to a small server on this machine when the callback address is there. Otherwise the person pastes the
address that the browser ended on. Nothing here goes to standard output, which belongs to Singer messages.

Any page in the browser and any process of this machine can reach that server. So only an answer with the `state` of
this login counts. Anything else is turned away, and the login goes on waiting: nobody but the person can end it.
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
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from typing_extensions import override

from tap_aircall.errors import LoginFailedError, TapAircallError
from tap_aircall.http.addresses import is_loopback
from tap_aircall.reading.clock import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 300.0
"""How long to wait for the person."""
SCOPE = "public_api"
READ_SECONDS = 10.0
"""Browsers open connections in advance; one that stays silent for this many seconds is closed."""
CONNECTIONS = 64
"""More than a browser opens. When there are more, the oldest is closed: each takes a thread and a file descriptor."""
SEND_SECONDS = 2.0
"""How long the page has to get to the browser before the process may end."""
LONGEST_PASTE = 65_536
"""Bytes of a pasted line, as long as what the server takes; an address is much shorter."""
GREEN, RED = "#00856b", "#b3261e"
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
        """Return a line that the person typed, with its line end; nothing at the end of input."""


class PersonAtTerminal(Person):
    """Somebody at this terminal, with a browser on this machine perhaps."""

    @override
    def tell(self, line: str) -> None:
        if sys.stderr is not None:  # closed: `print` would take standard output instead
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
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))

    @override
    def read_line(self) -> str:
        # As bytes: a paste that is not text in the terminal's encoding is just a wrong paste.
        try:
            return "" if sys.stdin is None else sys.stdin.buffer.readline(LONGEST_PASTE).decode(errors="replace")
        except OSError:  # the terminal is gone
            return ""


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
        answers = _Answers()
        with self._listening(answers):
            self._show_the_way(answers.state)
            if self.person.can_type() or not self._is_here:
                threading.Thread(target=self._read_pasted, args=(answers,), daemon=True).start()
            try:
                told = redeem(_code(self._wait_for(answers)))
            except TapAircallError as error:
                answers.outcome.tell("The login failed", str(error), color=RED)
                raise
            text = "tap-aircall can read your Aircall now. You can close this window and go back to the terminal."
            answers.outcome.tell("You are logged in", text)
            return told

    def _wait_for(self, answers: _Answers) -> _Fields:
        for timeout in timeouts(self.patience):
            with contextlib.suppress(queue.Empty):
                if answer := answers.first.get(timeout=timeout):
                    answers.has_come.set()
                    return answer
                message = "Standard input ended before the browser's address was pasted: log in at a terminal."
                raise LoginFailedError(message)
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

    def _read_pasted(self, answers: _Answers) -> None:
        """Read lines until one is the answer, or the browser has brought it."""
        while (line := self.person.read_line()) and not answers.has_come.is_set():
            if answers.offer(_split(line.strip())):
                return
            if line.strip():
                self.person.tell(
                    "That is not the address that the browser ended on: it has no code of this login in it. Please\n"
                    "paste the whole address:"
                )
        if not line and not self._is_here:
            answers.first.put({})

    @contextlib.contextmanager
    def _listening(self, answers: _Answers) -> Iterator[None]:
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


_Fields: TypeAlias = dict[str, str]
"""The fields of an answer; none when there will be no answer."""


class _Answers:
    """What comes back from one login, in whatever way. Safe to use from several threads."""

    def __init__(self) -> None:
        self.state = secrets.token_urlsafe(24)
        """A secret that only Aircall and this login's browser know."""
        self.first: queue.Queue[_Fields] = queue.Queue()
        """Holds the answers; only the first is taken. A page that is loaded again brings another."""
        self.has_come = threading.Event()
        self.outcome = _Outcome()

    def offer(self, address: SplitResult | None) -> bool:
        """Take an address that a browser ended on, if it is the answer; return whether it is."""
        fields = parse_qs(address.query, keep_blank_values=True) if address else {}
        answer = {name: values[0] for name in ("state", "code", "error") if len(values := fields.get(name, [])) == 1}
        given = answer.get("state", "").encode(errors="replace")
        if not secrets.compare_digest(given, self.state.encode()) or not (answer.get("code") or answer.get("error")):
            return False
        self.first.put(answer)
        return True


class _Outcome:
    """What became of the answer, for the threads that keep a browser waiting."""

    def __init__(self) -> None:
        self.page = b""
        self.is_known = threading.Event()

    def tell(self, title: str, text: str, *, color: str = GREEN) -> None:
        """Show it in the browser, if there is one."""
        self.page = _page(title, text, color)
        self.is_known.set()


class _CallbackServer(ThreadingHTTPServer):
    """Waits for the browser on the callback address."""

    daemon_threads = True
    request_queue_size = CONNECTIONS
    allow_reuse_address = os.name == "posix"  # elsewhere it would share the port with another process

    def __init__(self, address: tuple[str, int], path: str, answers: _Answers) -> None:
        self.path = path
        self.answers = answers
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.is_shown = threading.Event()
        """Whether no browser waits for the outcome."""
        self.is_shown.set()
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, None] = {}
        super().__init__(address, _CallbackHandler)

    def keep(self, connection: socket.socket) -> None:
        """Keep a connection open, however many others there are."""
        with self._lock:
            self._connections.pop(connection, None)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[request] = None
            oldest = next(iter(self._connections)) if len(self._connections) > CONNECTIONS else None
        if oldest is not None:
            self.keep(oldest)
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread sees an end, and closes it
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        self.keep(request)
        super().shutdown_request(request)

    @override
    def shutdown(self) -> None:
        super().shutdown()
        if self.answers.outcome.is_known.is_set():
            self.is_shown.wait(SEND_SECONDS)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: others decide what goes wrong here, and could cause tracebacks at will."""


class _CallbackHandler(BaseHTTPRequestHandler):
    server: _CallbackServer
    timeout = READ_SECONDS

    def do_GET(self) -> None:
        address, answers = _split(self.path), self.server.answers
        if address is not None and (address.path or "/") != self.server.path:
            self.send_error(HTTPStatus.NOT_FOUND)  # an icon, perhaps
        elif answers.offer(address):
            self.server.keep(self.connection)
            self.server.is_shown.clear()
            try:
                answers.outcome.is_known.wait(PATIENCE_SECONDS)
                self._send(HTTPStatus.OK, answers.outcome.page)
            finally:
                self.server.is_shown.set()
        else:
            text = "This is not the answer to the login that waits in the terminal. Open the address shown there."
            self._send(HTTPStatus.BAD_REQUEST, _page("Another login", text, RED))

    def _send(self, status: HTTPStatus, page: bytes) -> None:
        self.send_response(status)
        for name, value in PAGE_HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass  # the line would hold the code


def _split(address: str) -> SplitResult | None:
    """Take an address apart; None if that cannot be done."""
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _page(title: str, text: str, color: str) -> bytes:
    return PAGE.format(title=html.escape(title), text=html.escape(text), color=color).encode()


def _code(answer: _Fields) -> str:
    """Take the code out of the answer.

    Raises:
        LoginFailedError: If it is a refusal.
    """
    if "error" not in answer:
        return answer["code"]
    if answer["error"] == "access_denied":
        message = "The access was denied on Aircall's page; nothing was changed."
    else:
        message = "Aircall's page ended with an error; check oauth_client_id and callback_url."
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
