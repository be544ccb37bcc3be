"""Unpacks bodies, reads JSON, and replaces text that no target could store.

Aircall's users write what they like, and its API passes it on. Three things cannot be stored: NUL (PostgreSQL refuses
it), halves of surrogate pairs, and bytes that are not UTF-8. Each becomes U+FFFD, the replacement character, for every
target alike. Nothing else is changed.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AUTOMATIC = zlib.MAX_WBITS | 32
"""Lets zlib see whether it has gzip or deflate. Both have a checksum; without one, a damaged body would look whole."""
REPLACEMENT = "\ufffd"
DEEPEST = 100
"""How many levels of objects and lists anything may have that others wrote: ten times what any catalog or event has."""
_BACKSLASH = b"\\"
_NUL = b"\\u0000"
_ESCAPE = re.compile(
    rb"""
    (?P<kept> \\[^u] | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} )  # of those a backslash may be one
    | \\u0000
    | \\u[dD][89a-fA-F][0-9a-fA-F]{2}
    """,
    re.VERBOSE,
)
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=float)
"""Takes `1e400` for infinite, so that only this value is set aside."""


class BrokenError(ValueError):
    """A packed body is damaged, or was cut short."""


def unpack(pieces: Iterable[bytes], largest: int, *, may_be_empty: bool) -> Iterator[bytes]:
    """Unpack a body in gzip or deflate, or several that follow each other, to the end.

    urllib3 could do so in little memory as well, but takes one that was cut off for whole, or whose second part is
    damaged.

    Args:
        pieces: The packed body.
        largest: How many bytes to have in hand at once.
        may_be_empty: Whether there may be nothing at all.

    Raises:
        BrokenError: If it is damaged or not whole.
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
    """Decode JSON.

    Args:
        body: The JSON, supposed to be in UTF-8.

    Returns:
        Its value, in which all text is Unicode without NUL. A number that is too large for a float is infinite.

    Raises:
        msgspec.ValidationError: If it has a whole number of more than 4,300 digits.
        msgspec.DecodeError: If it is not JSON.
    """
    if _BACKSLASH not in body or _NUL not in body:  # one byte is found much faster than six
        try:
            return _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # perhaps only for its text
    text = body.decode("utf-8", "replace").encode()
    return _DECODER.decode(_ESCAPE.sub(_replace, text))


def is_deep(value: Any) -> bool:
    """Say whether a decoded value has more than `DEEPEST` levels of objects and lists."""
    level = [value]
    for _ in range(DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [item for items in inner for item in items]
    return bool(level)


def _replace(match: re.Match[bytes]) -> bytes:
    return match["kept"] or b"\\ufffd"
