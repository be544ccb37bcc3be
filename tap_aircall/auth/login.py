"""The interactive OAuth login: a browser, a person who consents, and a code that comes back.

The code comes to a small server on this machine when the callback address is there. Otherwise the person pastes the
address that the browser ended on. Nothing here goes to standard output, which belongs to Singer messages.

Any page in the browser and any process of this machine can reach that server. So only an answer with the `state` of
this login counts. Anything else is turned away, and the login goes on waiting: nobody but the person can end it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import socket
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

from typing_extensions import override

from tap_aircall.errors import LoginFailedError
from tap_aircall.http.addresses import is_loopback
from tap_aircall.reading.clock import timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 300.0
"""How long to wait for the person."""
ANSWERED = "Aircall's answer has arrived. You can close this window; the terminal says whether you are logged in."
NOT_THE_ANSWER = "This is not the answer to the login that waits in the terminal. Open the address shown there."
PAGE_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}
NO_MORE_INPUT = "no_more_input"
FAILURES = {
    "access_denied": "The access was denied on Aircall's page; nothing was changed.",
    NO_MORE_INPUT: "Standard input ended before the browser's address was pasted: log in at a terminal.",
}
"""What to say of an `error` in an answer."""
FAILED = "Aircall's page ended with an error; check oauth_client_id and callback_url."

_Answer: TypeAlias = dict[str, str]
"""The fields of an answer: `code` or `error`, and more."""


class Person:
    """Whoever logs in: somebody at this terminal, with a browser on this machine perhaps."""

    def tell(self, line: str) -> None:
        """Show a line."""
        if sys.stderr is not None:  # closed: `print` would take standard output instead
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - it is for a person

    def open_browser(self, url: str) -> bool:
        """Show a page; return whether that was possible."""
        graphical = os.name != "posix" or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if not graphical and "BROWSER" not in os.environ:
            return False  # a browser for the terminal would take it over
        with _stdout_on_stderr():
            return webbrowser.open(url)

    def can_type(self) -> bool:
        """Say whether the person sits at a terminal, and can paste an address there."""
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))

    def read_line(self) -> str:
        """Return a line that the person typed, with its line end; nothing at the end of input."""
        # As bytes: a paste that is not text in the terminal's encoding is just a wrong paste.
        try:
            return "" if sys.stdin is None else sys.stdin.buffer.readline().decode(errors="replace")
        except OSError:  # the terminal is gone
            return ""


class Login:
    """One login: where to send the browser, and what to expect back.

    Args:
        dashboard_url: Root of the authorize page.
        client_id: Client id of the app.
        callback_url: Where Aircall sends the browser; as registered with Aircall.
        person: Whoever logs in.
    """

    def __init__(self, dashboard_url: str, client_id: str, callback_url: str, person: Person) -> None:
        self._state = secrets.token_urlsafe(24)  # only Aircall and this login's browser know it
        self._address = f"{dashboard_url}/oauth/authorize?" + urlencode(
            {
                "client_id": client_id,
                "redirect_uri": callback_url,
                "response_type": "code",
                "scope": "public_api",
                "state": self._state,
            }
        )
        self._person = person
        self._callback = urlsplit(callback_url)
        self._is_here = self._callback.scheme == "http" and is_loopback(self._callback.hostname or "")
        self._answers: queue.Queue[_Answer] = queue.Queue()  # only the first is taken
        self._is_over = False

    def run(self) -> str:
        """Lead a person through the login.

        Returns:
            The code that came back, good for one use within ten minutes.

        Raises:
            LoginFailedError: If none came back.
        """
        with self._listening():
            self._show_the_way()
            if self._person.can_type() or not self._is_here:
                threading.Thread(target=self._read_pasted, daemon=True).start()
            answer = self._wait_for()
        if "code" in answer:
            return answer["code"]
        raise LoginFailedError(FAILURES.get(answer["error"], FAILED))

    def answer_in(self, address: str) -> _Answer | None:
        """Return the answer in an address that a browser ended on; None if it has none to this login."""
        try:
            fields = parse_qs(urlsplit(address).query)
        except ValueError:
            return None
        answer = {name: values[0] for name, values in fields.items() if len(values) == 1}
        given = answer.get("state", "").encode(errors="replace")
        is_ours = secrets.compare_digest(given, self._state.encode())
        return answer if is_ours and ("code" in answer or "error" in answer) else None

    def take(self, answer: _Answer) -> None:
        """End the wait with an answer. Safe to call from several threads."""
        self._answers.put(answer)

    def _wait_for(self) -> _Answer:
        try:
            for timeout in timeouts(PATIENCE_SECONDS):
                with contextlib.suppress(queue.Empty):
                    return self._answers.get(timeout=timeout)
        finally:
            self._is_over = True
        raise LoginFailedError(f"Nobody logged in within {PATIENCE_SECONDS / 60:g} minutes; please begin again.")

    def _show_the_way(self) -> None:
        person = self._person
        person.tell(f"Log in to Aircall as an admin, and allow the access, at this address:\n\n  {self._address}\n")
        if not person.open_browser(self._address):
            person.tell("No browser could be opened here: please open the address yourself.")
        if not self._is_here:
            person.tell(
                "Your browser will end on a page whose address begins with the callback_url, and has a code in it.\n"
                "Paste that address here, whatever the page shows:"
            )
        elif person.can_type():
            person.tell(
                "Waiting for the browser. If it runs on another machine, it will end on an address that it cannot\n"
                "reach: paste that address here."
            )

    def _read_pasted(self) -> None:
        """Read lines until one is the answer, or the browser has brought it."""
        while (line := self._person.read_line()) and not self._is_over:
            if answer := self.answer_in(line.strip()):
                self.take(answer)
                return
            if line.strip():
                self._person.tell(
                    "That is not the address that the browser ended on: it has no code of this login in it. Please\n"
                    "paste the whole address:"
                )
        if not line and not self._is_here:
            self.take({"error": NO_MORE_INPUT})

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Listen on the callback address, if it is on this machine."""
        if not self._is_here:
            yield
            return
        port = self._callback.port or 80
        try:
            server = _CallbackServer((self._callback.hostname or "", port), self)
        except OSError as error:
            raise LoginFailedError(
                f"Port {port} of the callback_url cannot be listened on ({error.strerror}): end what uses it, or "
                "register another callback with Aircall."
            ) from error
        with server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()


class _CallbackServer(ThreadingHTTPServer):
    """Waits for the browser on the callback address. Each connection has a thread: a silent one keeps nobody out."""

    request_queue_size = 64  # browsers and pages open several connections at once
    allow_reuse_address = os.name == "posix"  # elsewhere it would share the port with another process

    def __init__(self, address: tuple[str, int], login: Login) -> None:
        self.login = login
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _CallbackHandler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: others decide what goes wrong here, and could cause tracebacks at will."""


class _CallbackHandler(BaseHTTPRequestHandler):
    server: _CallbackServer
    timeout = 10  # seconds; browsers open connections in advance, and stay silent

    def do_GET(self) -> None:
        answer = self.server.login.answer_in(self.path)
        try:
            self.send_response(HTTPStatus.OK if answer else HTTPStatus.BAD_REQUEST)
            for name, value in PAGE_HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write((ANSWERED if answer else NOT_THE_ANSWER).encode())
        finally:
            if answer:  # now that the browser has its page: the process may end soon
                self.server.login.take(answer)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass  # the line would hold the code


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
