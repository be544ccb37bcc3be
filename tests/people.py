"""Made-up people who log in."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import requests
from typing_extensions import override

from tap_aircall.auth.login import Person
from tests.leaks import BROWSER

if TYPE_CHECKING:
    from collections.abc import Callable


class Admin(Person):
    """An admin with a browser, who decides on the sandbox's page.

    Args:
        decision: The button to press: allow or deny; None to do nothing.
        at_terminal: Whether they can type.
        has_browser: Whether a browser can be opened.
        pastes: Converts the final URL of the browser to the lines to paste, after which the input ends; None not to
            paste.
        changes: Changes the URL that the browser is redirected to.
    """

    def __init__(
        self,
        decision: str | None = "allow",
        *,
        at_terminal: bool = True,
        has_browser: bool = True,
        pastes: Callable[[str], str] | None = None,
        changes: Callable[[str], str] = str,
    ) -> None:
        self.lines: list[str] = []
        self.opened: list[str] = []
        self.pages: list[requests.Response] = []
        self._decision = decision
        self._at_terminal = at_terminal
        self._has_browser = has_browser
        self._pastes = pastes
        self._changes = changes
        self._pasted: queue.Queue[str] = queue.Queue()
        self._threads: list[threading.Thread] = []

    @property
    def told(self) -> str:
        """The text shown to them."""
        return "\n".join(self.lines)

    @property
    def page(self) -> requests.Response:
        """The final page of the browser."""
        for thread in self._threads:
            thread.join(10)
        (page,) = self.pages
        return page

    @override
    def tell(self, line: str) -> None:
        self.lines.append(line)

    @override
    def open_browser(self, url: str) -> bool:
        self.opened.append(url)
        if self._decision is not None:
            thread = threading.Thread(target=self._decide, args=(url,), name=BROWSER)
            thread.start()
            self._threads.append(thread)
        return self._has_browser

    @override
    def can_type(self) -> bool:
        return self._at_terminal

    @override
    def read_line(self) -> str:
        with contextlib.suppress(queue.Empty):
            return self._pasted.get(timeout=10)
        return ""

    def _decide(self, url: str) -> None:
        assert requests.get(url, timeout=10).status_code == 200
        parts = urlsplit(url)
        form = dict(parse_qsl(parts.query)) | {"decision": self._decision}
        answer = requests.post(
            f"{parts.scheme}://{parts.netloc}{parts.path}", data=form, allow_redirects=False, timeout=10
        )
        address = self._changes(answer.headers["Location"])
        if self._pastes is not None:
            for line in [*self._pastes(address).splitlines(keepends=True), ""]:
                self._pasted.put(line)
        else:
            self.pages.append(requests.get(address, timeout=10))
