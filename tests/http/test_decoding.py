"""Text that no target can store is replaced; all other text stays as it is."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.http.decoding import decode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'"\u0000"', "\ufffd"),
        (rb'"\\u0000"', r"\u0000"),
        (rb'"\\\u0000"', "\\\ufffd"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\uDC00 \uD83D"', "\ufffd \ufffd"),
        (rb'"\ud83d\ude00 \u0000"', "\U0001f600 \ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud800 \ud800"', "\\ud800 \ufffd"),
        (b'"\xff\xc3\xa9"', "\ufffd\xe9"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'{"a\\u0000": ["\\u202e\\n"]}', {"a\ufffd": ["\u202e\n"]}),
        ('{"emoji 😀": "שלום"}'.encode(), {"emoji 😀": "שלום"}),
    ],
)
def test_bytes_that_are_not_text_are_replaced(body: bytes, value: Any) -> None:
    assert decode(body) == value


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'"a', b'{"a": "\xff', b"\x00", rb'{"a": "\u0000"'])
def test_anything_but_json_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body)


@pytest.mark.parametrize(("number", "value"), [("1e400", math.inf), ("-1e400", -math.inf), ("1.25e2", 125.0)])
def test_a_number_too_large_for_a_float_is_infinite(number: str, value: float) -> None:
    assert decode(f'{{"a": "\\u0000", "cost": [1.5, {number}]}}'.encode()) == {"a": "\ufffd", "cost": [1.5, value]}
    assert decode(f"[{number}]".encode()) == [value]


@pytest.mark.parametrize(
    ("body", "kind"), [(b"9" * 5_000, msgspec.ValidationError), (b"[1e400, NaN]", msgspec.DecodeError)]
)
def test_numbers_that_are_none_are_refused(body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        decode(body)


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**300])
def test_whole_numbers_stay_exact_however_large(number: int) -> None:
    assert decode(str(number).encode()) == number


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {without_nul(name): without_nul(inner) for name, inner in value.items()}
    return [without_nul(inner) for inner in value] if isinstance(value, list) else value


@given(JSON, st.booleans())
def test_json_keeps_everything_but_nul(value: Any, ascii_only: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=ascii_only).encode()) == without_nul(value)


@given(st.binary())
def test_bytes_in_a_text_never_fail(content: bytes) -> None:
    quoted = b'"' + bytes(byte for byte in content if byte >= 0x20 and byte not in b'"\\') + b'"'

    assert isinstance(decode(quoted), str)
