"""The interactive OAuth login: a person consents in a browser, and a code comes back.

If the callback URL is on this machine, a small server receives the code. Otherwise the person pastes the URL that
the browser ended on. Nothing is written to standard output, which is for Singer messages.

Any web page and any local process can reach that server, so only a response with the `state` of this login counts.
Anything else gets status 400, and the login keeps waiting.
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

LOGIN_SECONDS = 300.0
"""Time limit for the person to log in."""
ARRIVED = "Aircall's response has arrived. You can close this window; the terminal shows whether you are logged in."
NOT_OURS = "This response does not belong to the login in the terminal. Open the URL shown there."
PAGE_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}
NO_MORE_INPUT = "no_more_input"
FAILURES = {
    "access_denied": "Access was denied on Aircall's page; nothing was changed.",
    NO_MORE_INPUT: "Standard input ended before the browser's address was pasted: log in at a terminal.",
}
"""Messages for the `error` of a response."""
FAILED = "Aircall's page ended with an error; check oauth_client_id and callback_url."

_Response: TypeAlias = dict[str, str]
"""The fields of an authorization response: `code` or `error`, and others."""


class Person:
    """The person who logs in, at this terminal and perhaps with a browser on this machine."""

    def tell(self, line: str) -> None:
        """Show a line."""
        if sys.stderr is not None:  # if it is closed, `print` would write to standard output
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - it is for a person

    def open_browser(self, url: str) -> bool:
        """Open a page; return whether that was possible."""
        graphical = os.name != "posix" or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if not graphical and "BROWSER" not in os.environ:
            return False  # a text browser would take over the terminal
        with _stdout_on_stderr():
            return webbrowser.open(url)

    def can_type(self) -> bool:
        """Return whether the person is at a terminal, and so can paste a URL."""
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))

    def read_line(self) -> str:
        """Return a typed line with its line end; an empty string at the end of input."""
        # As bytes: a paste in another encoding than the terminal's is just a wrong paste.
        try:
            return "" if sys.stdin is None else sys.stdin.buffer.readline().decode(errors="replace")
        except OSError:  # the terminal is gone
            return ""


class Login:
    """One login; Aircall sends the browser to `callback_url` afterwards, as registered for the app."""

    def __init__(self, dashboard_url: str, client_id: str, callback_url: str, person: Person) -> None:
        self._state = secrets.token_urlsafe(24)  # known only to Aircall and this login's browser
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
        self._is_local = self._callback.scheme == "http" and is_loopback(self._callback.hostname or "")
        self._responses: queue.Queue[_Response] = queue.Queue()  # only the first counts
        self._is_over = False

    def run(self) -> str:
        """Lead a person through the login.

        Returns:
            The code, which works once and within ten minutes.

        Raises:
            LoginFailedError: If no code came back.
        """
        with self._listening():
            self._show_address()
            if self._person.can_type() or not self._is_local:
                threading.Thread(target=self._read_pasted, daemon=True).start()
            response = self._wait_for()
        if "code" in response:
            return response["code"]
        raise LoginFailedError(FAILURES.get(response["error"], FAILED))

    def response_in(self, address: str) -> _Response | None:
        """Return the response to this login in the URL on which the browser ended; None if it has none."""
        try:
            fields = parse_qs(urlsplit(address).query)
        except ValueError:
            return None
        response = {name: values[0] for name, values in fields.items() if len(values) == 1}
        given = response.get("state", "").encode(errors="replace")
        is_ours = secrets.compare_digest(given, self._state.encode())
        return response if is_ours and ("code" in response or "error" in response) else None

    def take(self, response: _Response) -> None:
        """End the wait with a response. Thread-safe."""
        self._responses.put(response)

    def _wait_for(self) -> _Response:
        try:
            for timeout in timeouts(LOGIN_SECONDS):
                with contextlib.suppress(queue.Empty):
                    return self._responses.get(timeout=timeout)
        finally:
            self._is_over = True
        raise LoginFailedError(f"Nobody logged in within {LOGIN_SECONDS / 60:g} minutes; please start again.")

    def _show_address(self) -> None:
        person = self._person
        person.tell(f"Log in to Aircall as an admin, and grant access, at this address:\n\n  {self._address}\n")
        if not person.open_browser(self._address):
            person.tell("No browser could be opened here; please open the address yourself.")
        if not self._is_local:
            person.tell(
                "The browser will end on an address that begins with the callback_url and contains a code. Paste it\n"
                "here, even if the page shows an error:"
            )
        elif person.can_type():
            person.tell(
                "Waiting for the browser. If it is on another machine, it will end on an address that it cannot\n"
                "reach. Paste that address here."
            )

    def _read_pasted(self) -> None:
        """Read lines until one is the response, or the browser has delivered it."""
        while (line := self._person.read_line()) and not self._is_over:
            if response := self.response_in(line.strip()):
                self.take(response)
                return
            if line.strip():
                self._person.tell(
                    "That is not the address that the browser ended on: it has no code for this login. Please paste\n"
                    "the whole address:"
                )
        if not line and not self._is_local:
            self.take({"error": NO_MORE_INPUT})

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Listen on the callback URL, if it is on this machine."""
        if not self._is_local:
            yield
            return
        port = self._callback.port or 80
        try:
            server = _CallbackServer((self._callback.hostname or "", port), self)
        except OSError as error:
            raise LoginFailedError(
                f"The tap cannot listen on port {port} of the callback_url ({error.strerror}): stop what uses it, or "
                "register another callback with Aircall."
            ) from error
        with server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()


class _CallbackServer(ThreadingHTTPServer):
    """Receives the browser at the callback URL. Each connection has a thread, so that an idle one blocks no other."""

    request_queue_size = 64  # browsers and pages open several connections at once
    allow_reuse_address = os.name == "posix"  # on Windows, two processes could share the port

    def __init__(self, address: tuple[str, int], login: Login) -> None:
        self.login = login
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _CallbackHandler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: anyone who can connect could cause tracebacks."""


class _CallbackHandler(BaseHTTPRequestHandler):
    server: _CallbackServer
    timeout = 10  # seconds; browsers open idle connections in advance

    def do_GET(self) -> None:
        response = self.server.login.response_in(self.path)
        try:
            self.send_response(HTTPStatus.OK if response else HTTPStatus.BAD_REQUEST)
            for name, value in PAGE_HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write((ARRIVED if response else NOT_OURS).encode())
        finally:
            if response:  # only now: the process may exit before the browser has its page
                self.server.login.take(response)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass  # the line would contain the code


@contextlib.contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Point the standard output of new processes to standard error: the target reads the real one."""
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
