"""A misbehaving server: any bytes, at any pace, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import TracebackType

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Hostile:
    """Serves one request per connection. Use it as a context manager.

    Args:
        answer: The response: bytes, or a function that writes to the socket.
        times: Number of requests with this response; later ones get an empty object.
        before_tls: Takes the bare socket in place of TLS and a request, equally often.
        tls: The certificate; None for no TLS.
    """

    def __init__(
        self,
        answer: bytes | Iterable[bytes] | Callable[[socket.socket], None] = GOOD,
        *,
        times: float = float("inf"),
        before_tls: Callable[[socket.socket], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        """Heads of the requests."""
        self.connections = 0
        self.answer = answer
        self._times = times
        self._before_tls = before_tls
        self._tls = tls
        self._is_over = False
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        """Serve in a background thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._is_over = True
        socket.create_connection(self._listening.getsockname()).close()  # wakes it up
        self._thread.join(5)
        self._listening.close()

    def _listen(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._is_over:
                connection.close()
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        is_hostile = self.connections <= self._times
        if self._before_tls is not None and is_hostile:
            self._before_tls(connection)
            return
        with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as stream:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := stream.recv(65536)):
                    return
                head += piece
            self.requests.append(head)
            answer = self.answer if is_hostile else GOOD
            if callable(answer):
                answer(stream)
                return
            for piece in [answer] if isinstance(answer, bytes) else answer:
                stream.sendall(piece)
