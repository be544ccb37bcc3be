"""Damaged files for property tests."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Flip bits, remove and insert bytes; mostly at either end, where formats keep their directories."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        edges = st.integers(0, 40) | st.integers(0, 90).map(lambda back: max(0, len(changed) - back))
        place = min(draw(edges | st.integers(0, len(changed))), len(changed) - 1)
        match draw(st.sampled_from(["flip", "end", "cut", "insert"])):
            case "flip" if changed:
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "end":
                del changed[place:]
            case "cut":
                del changed[place : place + draw(st.integers(1, 30))]
            case _:
                changed[place:place] = draw(st.binary(min_size=1, max_size=30))
    return bytes(changed)
