"""What `http.client` leaves open about an answer: how long it may take, how long its head may be, and what it may say.

A time-out applies to each piece of an answer, so one that drips never ends. A head may have any size, and may
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

ANSWER_TIMEOUTS = 3
"""A whole answer may take this many times the `request_timeout` ..."""
SLOWEST = 16 * 2**10
"""... and one more second for each of so many bytes of its body."""
LARGEST_HEAD = 2**20
"""Bytes of all that comes before a body."""
_LENGTH = re.compile(r"[0-9]{1,18}")


class TooSlowError(HTTPException):
    """An answer took longer than a whole one may."""


class _Watch(io.RawIOBase):
    """What comes over a connection for one answer, for as long as that may take.

    Args:
        connection: What to read from.
        seconds: How long it may take.
    """

    def __init__(self, connection: io.RawIOBase, seconds: float) -> None:
        self._connection = connection
        self._until = time.monotonic() + seconds
        """When it must be over; the machine's time, as that of time-outs is."""
        self.room: float = LARGEST_HEAD
        """How many bytes may still come; without limit as soon as the head is there."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if time.monotonic() > self._until:
            raise TooSlowError
        size = self._connection.readinto(buffer) or 0
        if self.room == math.inf:
            self._until += size / SLOWEST
        elif size == 0:  # http.client would take half a head for one
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
    """An answer that must be over in time, and whose head must be clear."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        self._watch = _Watch(self.fp.detach(), math.inf if timeout is None else ANSWER_TIMEOUTS * timeout)
        self.fp = io.BufferedReader(self._watch)

    @override
    def begin(self) -> None:
        super().begin()
        self._watch.room = math.inf
        lengths, transfers = (self.headers.get_all(name, []) for name in ("Content-Length", "Transfer-Encoding"))
        # Where these are odd, http.client reads to the end of the connection, or too little; and what follows an answer
        # such as 103 would be taken for the answer to the next request.
        if (
            len(lengths) + len(transfers) > 1
            or not all(map(_LENGTH.fullmatch, lengths))
            or not all(transfer.lower() == "chunked" for transfer in transfers)
            or self.status < HTTPStatus.OK
        ):
            raise HTTPException


class Watched:
    """Marks a class of connections whose answers are watched."""

    response_class = _WatchedResponse


@functools.lru_cache(maxsize=16)
def watched(connection: type, allowed: Allowed | None) -> type:
    """Derive a class of connections whose answers are watched, and which lead to allowed addresses only."""
    parts: dict[str, Any] = {}
    if allowed is not None:

        def connect(self: Any) -> socket.socket:
            # Looked up before, so that nothing at all is sent elsewhere, and looked at after, since the name may lead
            # elsewhere the next moment.
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
