"""Unpacks bodies, reads JSON, and replaces text that no target could store.

Aircall's users write what they like, and its API passes it on. Three things cannot be stored: NUL (PostgreSQL refuses
it), halves of surrogate pairs, and bytes that are not UTF-8. Each becomes U+FFFD, the replacement character, for every
target alike. Nothing else is changed.
"""

from __future__ import annotations

import json
import math
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
        Its value, in which all text is Unicode without NUL.

    Raises:
        msgspec.ValidationError: If it has a number that is too large for any type of number.
        msgspec.DecodeError: If it is not JSON.
    """
    if _BACKSLASH not in body or _NUL not in body:  # one byte is found much faster than six
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # perhaps only for its text
    text = body.decode("utf-8", "replace").encode()
    return msgspec.json.decode(_ESCAPE.sub(_replace, text))


def is_deep(value: Any) -> bool:
    """Say whether a decoded value has more than `DEEPEST` levels of objects and lists."""
    level = [value]
    for _ in range(DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [item for items in inner for item in items]
    return bool(level)


def place_of_endless_number(body: bytes) -> str:
    """Find the number in JSON that is too large for any type of number, such as `1e400`.

    Args:
        body: JSON that `decode` refused with a `msgspec.ValidationError`, for no other reason.

    Returns:
        The names of the fields that lead there, with dots between them.
    """
    return ".".join(_way_to_infinity(json.loads(body.decode("utf-8", "replace"), parse_int=float)) or ())


def _way_to_infinity(value: Any) -> list[str] | None:
    if isinstance(value, float):
        return [] if math.isinf(value) else None
    if isinstance(value, dict):
        ways = ((name, _way_to_infinity(inner)) for name, inner in value.items())
        return next(([name, *way] for name, way in ways if way is not None), None)
    ways_of_items = map(_way_to_infinity, value if isinstance(value, list) else ())
    return next((way for way in ways_of_items if way is not None), None)


def _replace(match: re.Match[bytes]) -> bytes:
    return match["kept"] or b"\\ufffd"
