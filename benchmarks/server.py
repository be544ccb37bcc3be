"""Serves prepared pages of calls, for which the sandbox is too slow.

Runs in its own process, prints its URL, and stops at the end of its standard input. It supports `page`, `per_page`,
`from` (exclusive), `to`, the total and the next link. Usage: `python -m benchmarks.server CALLS`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from aircall_sandbox import generate_company

TEMPLATES = 500
"""Number of made-up calls, which repeat with other ids and times."""
PER_SECOND = 2
"""Calls per second."""


class Calls:
    """A list of calls, the last of them an hour old.

    Args:
        count: Number of calls.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._first = int(time.time()) - 3_600 - count // PER_SECOND
        world = generate_company(seed=1, now=time.time(), calls=TEMPLATES, contacts=50)
        flagged = ("ivr_options_selected", "ai_voice_agents")
        blank: dict[str, Any] = {"contact": None, "recording_short_url": None, "voicemail_short_url": None}
        self._templates = [
            {name: value for name, value in call.items() if name not in flagged} | blank
            for call in world.calls.values()
        ]

    def page(self, query: dict[str, list[str]]) -> bytes:
        """Return the body of a page."""
        number, size = int(query.get("page", ["1"])[0]), int(query.get("per_page", ["20"])[0])
        skipped = self._through(int(query["from"][0])) if "from" in query else 0
        end = self._through(int(query["to"][0])) if "to" in query else self._count
        total = max(0, end - skipped)
        begin = skipped + (number - 1) * size
        calls = [self._call(position) for position in range(begin, min(begin + size, end))]
        more = number * size < total
        meta = {"count": len(calls), "total": total, "current_page": number, "per_page": size}
        links = {"next_page_link": "https://api.aircall.io/v1/calls" if more else None, "previous_page_link": None}
        return msgspec.json.encode({"calls": calls, "meta": meta | links})

    def _through(self, second: int) -> int:
        """Return the number of calls up to the end of a second."""
        return min(self._count, max(0, second - self._first + 1) * PER_SECOND)

    def _call(self, position: int) -> dict[str, Any]:
        second = self._first + position // PER_SECOND
        return self._templates[position % TEMPLATES] | {"id": 4_200_000_000 + position, "started_at": second}


class Server:
    """Responds to requests, and counts them.

    Args:
        calls: The calls to serve.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._requests = 0
        self._pages: dict[str, bytes] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it closes."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = self._answer(head.split(b" ", 2)[1].decode())
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str) -> bytes:
        parts = urlsplit(target)
        if parts.path == "/requests":
            return msgspec.json.encode(self._requests)
        if parts.path == "/v1/ping":
            return b'{"ping":"pong"}'
        self._requests += 1
        # Pages are cached, so that a page costs later clients no more than the first.
        if target not in self._pages:
            self._pages[target] = self._calls.page(parse_qs(parts.query))
        return self._pages[target]


async def serve(calls: int) -> None:
    """Serve until standard input ends."""
    handler = Server(Calls(calls))
    server = await asyncio.start_server(handler.handle, "127.0.0.1", 0, limit=2**20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - for the parent process
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Run the server."""
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
