"""Decompresses bodies, decodes JSON, and replaces text that targets cannot store.

Users type anything into Aircall, and its API passes it on. NUL (which PostgreSQL refuses), lone surrogates and invalid
UTF-8 become U+FFFD, the replacement character, for every target alike. Nothing else changes.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AUTOMATIC = zlib.MAX_WBITS | 32
"""Lets zlib detect gzip or zlib format. Both have a checksum, so damage is noticed."""
DEEPEST_INPUT = 100
"""Levels of nesting allowed in input: ten times those of any catalog or event."""
_NUL = b"\\u0000"
_ESCAPE = re.compile(
    rb"""
    (?P<kept> \\[^u] | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} )  # an escaped backslash, for one
    | \\u0000
    | \\u[dD][89a-fA-F][0-9a-fA-F]{2}
    """,
    re.VERBOSE,
)
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=float)
"""Decodes `1e400` as infinity, so that one such value does not spoil the whole response."""


class BrokenError(ValueError):
    """A compressed body is damaged or truncated."""


def unpack(pieces: Iterable[bytes], largest: int, *, may_be_empty: bool) -> Iterator[bytes]:
    """Decompress a body of one or more gzip or deflate members.

    urllib3 would accept a truncated body, or one whose second member is damaged.

    Args:
        pieces: The compressed body.
        largest: Bytes to decompress at once.
        may_be_empty: Whether an empty body is valid.

    Raises:
        BrokenError: If it is damaged or truncated.
    """
    unpacking = None
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if unpacking is None or unpacking.eof:
                    unpacking = zlib.decompressobj(AUTOMATIC)
                yield unpacking.decompress(rest, largest)
                rest = unpacking.unconsumed_tail or unpacking.unused_data
        if unpacking is not None:
            yield unpacking.flush()
    except zlib.error as error:
        raise BrokenError from error
    if not unpacking.eof if unpacking else not may_be_empty:
        raise BrokenError


def decode(body: bytes) -> Any:
    """Decode JSON that should be UTF-8.

    Returns:
        The value; its text is valid Unicode without NUL. A number too large for a float is infinite.

    Raises:
        msgspec.ValidationError: If it has an integer of more than 4,300 digits.
        msgspec.DecodeError: If it is not JSON.
    """
    if _NUL not in body:
        try:
            return _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # perhaps just invalid text
    text = body.decode("utf-8", "replace").encode()
    return _DECODER.decode(_ESCAPE.sub(lambda match: match["kept"] or b"\\ufffd", text))


def finite(text: str) -> float:
    """Parse a number for the `json` module, which would accept NaN and infinity.

    Raises:
        ValueError: If it is one of them, or too large for a float.
    """
    if not math.isfinite(number := float(text)):
        raise ValueError("not finite")
    return number


def is_deep(value: Any) -> bool:
    """Return whether a decoded value has more than `DEEPEST_INPUT` levels of nesting."""
    level = [value]
    for _ in range(DEEPEST_INPUT):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [item for items in inner for item in items]
    return bool(level)
