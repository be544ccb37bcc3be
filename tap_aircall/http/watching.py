"""Limits that `http.client` lacks: the time for a whole response, the size of its head, and ambiguous framing.

A socket's time-out applies to each read, so a response that drips never ends. A head may have any size, and may
contradict itself about the length of the body.
"""

from __future__ import annotations

import functools
import io
import math
import re
import time
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_aircall.errors import ResponseError
from tap_aircall.http.addresses import check_addresses, look_up

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

    from tap_aircall.http.addresses import Allowed

RESPONSE_TIMEOUTS = 3
"""A response may take this many times `request_timeout` ..."""
SLOWEST = 16 * 2**10
"""... plus a second for each of this many bytes of its body."""
LARGEST_HEAD = 2**20
"""Bytes of everything before the body."""
_LENGTH = re.compile(r"[0-9]{1,18}")


class _Watch(io.RawIOBase):
    """Reads one response from a connection, within limits of time and size."""

    def __init__(self, connection: io.RawIOBase, seconds: float) -> None:
        self._connection = connection
        self._until = time.monotonic() + seconds
        """Deadline, in real time like socket time-outs."""
        self.room: float = LARGEST_HEAD
        """Bytes left for the head; infinite once the head is complete."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if time.monotonic() > self._until:
            raise TimeoutError
        size = self._connection.readinto(buffer) or 0
        if self.room == math.inf:
            self._until += size / SLOWEST
        elif size == 0:  # http.client would accept a truncated head
            raise ConnectionResetError
        self.room -= size
        if self.room < 0:
            raise HTTPException
        return size

    @override
    def close(self) -> None:
        self._connection.close()
        super().close()


class _WatchedResponse(HTTPResponse):
    """A response with a deadline and unambiguous framing."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        self._watch = _Watch(self.fp.detach(), math.inf if timeout is None else RESPONSE_TIMEOUTS * timeout)
        self.fp = io.BufferedReader(self._watch)

    @override
    def begin(self) -> None:
        super().begin()
        self._watch.room = math.inf
        lengths, transfers = (self.headers.get_all(name, []) for name in ("Content-Length", "Transfer-Encoding"))
        # Otherwise http.client may read to the end of the connection, or too little; and it would take the response
        # after an interim one such as 103 for the response to the next request.
        if (
            len(lengths) + len(transfers) > 1
            or not all(map(_LENGTH.fullmatch, lengths))
            or not all(transfer.lower() == "chunked" for transfer in transfers)
            or self.status < HTTPStatus.OK
        ):
            raise HTTPException


class Watched:
    """Marks connection classes whose responses are watched."""

    response_class = _WatchedResponse


@functools.lru_cache(maxsize=16)
def watched(connection: type, allowed: Allowed | None) -> type:
    """Derive a connection class with watched responses that connects to allowed addresses only."""
    parts: dict[str, Any] = {}
    if allowed is not None:

        def connect(self: Any) -> socket.socket:
            # Checked before, so that nothing is sent elsewhere, and after, since the name may now resolve differently.
            host = self.host.strip("[]")
            check_addresses(host, look_up(host, self.port), allowed)
            sock: socket.socket = connection._new_conn(self)  # type: ignore[attr-defined]  # noqa: SLF001
            try:
                check_addresses(host, [sock.getpeername()[0]], allowed)
            except ResponseError:
                sock.close()
                raise
            return sock

        parts["_new_conn"] = connect
    return type(connection.__name__, (Watched, connection), parts)
