"""Sends requests over the connections of a `requests` session, without what `requests` does anew at each of them.

A session finds the proxy, the certificates and the connections for an address, merges headers and cookies, and wraps
the answer. For one address, all but the sending is the same each time, and costs more than that. So it is done once,
and the requests go to the pool of connections in which they would end anyway.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
import requests
from urllib3 import HTTPConnectionPool, Retry, Timeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests.adapters import HTTPAdapter
    from urllib3 import BaseHTTPResponse

ONCE = Retry(total=False, redirect=False)
"""Neither a failure nor a redirect is followed."""


class Transport:
    """Sends requests to one address. Safe to use from several threads.

    Args:
        session: Has the headers, the proxies and the certificates.
        adapter: Has the connections of the session.
        root: The address, to which paths are added.
        timeout: Seconds to wait for a connection, and for each next part of an answer.
    """

    def __init__(self, session: requests.Session, adapter: HTTPAdapter, root: str, timeout: float) -> None:
        self._session = session
        self._adapter = adapter
        self._root = root
        self._timeout = Timeout(timeout)

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
    ) -> BaseHTTPResponse:
        """Send one request.

        Args:
            method: Such as `GET`.
            path: Path below the root.
            params: Query parameters.
            headers: Those of this request alone.
            body: What to send as JSON, if anything.

        Returns:
            The answer, with its body still to be read.

        Raises:
            requests.exceptions.RequestException: If the address cannot be used.
            urllib3.exceptions.HTTPError: If there is no answer.
        """
        pool, prefix = self._way
        target = f"{prefix}{path}"
        if params:
            target += ("&" if "?" in path else "?") + urlencode(params)
        every = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        return pool.urlopen(
            method,
            target,
            body=None if body is None else msgspec.json.encode(body),
            headers={**every, **headers},
            retries=ONCE,
            redirect=False,
            assert_same_host=False,
            timeout=self._timeout,
            preload_content=False,
        )

    @cached_property
    def _way(self) -> tuple[HTTPConnectionPool, str]:
        """The connections, and what stands before a path: the root's own path, or all of it for a plain proxy."""
        session = self._session
        root = session.prepare_request(requests.Request("GET", self._root))
        pool = self._adapter.get_connection_with_tls_context(root, session.verify, session.proxies)
        assert isinstance(pool, HTTPConnectionPool)  # noqa: S101 - what every adapter has, with or without TLS
        self._adapter.cert_verify(pool, self._root, session.verify, None)  # type: ignore[no-untyped-call]
        return pool, self._adapter.request_url(root, session.proxies).rstrip("/")

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._session.headers.items()}
