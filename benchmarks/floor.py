"""The floor: the least that a client in Python has to do to turn pages of calls into Singer lines.

One kept-alive connection, msgspec to decode and encode, no schema, no state, no checks.
Usage: `python -m benchmarks.floor URL`.
"""

from __future__ import annotations

import http.client
import sys
from urllib.parse import urlsplit

import msgspec

LAST_PAGE = 200


def main() -> None:
    """Read all calls and write them to standard output."""
    connection = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)
    decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
    write = sys.stdout.buffer.write
    number, after, last = 1, "", 0
    while True:
        connection.request("GET", f"/v1/calls?order=asc&page={number}&per_page=50{after}")
        payload = decoder.decode(connection.getresponse().read())
        for call in payload["calls"]:
            write(encoder.encode({"type": "RECORD", "stream": "calls", "record": call}) + b"\n")
            last = call["started_at"]
        if payload["meta"]["next_page_link"] is None:
            return
        number += 1
        if number > LAST_PAGE:
            number, after = 1, f"&from={last - 1}"


if __name__ == "__main__":
    main()
