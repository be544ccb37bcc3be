"""Phone numbers that regulators reserve for fiction, so they belong to nobody."""

from __future__ import annotations

BLOCKS: dict[str, tuple[str, ...]] = {
    "FR": tuple(f"+33 {start} ## ##" for start in ("1 99 00", "2 61 91", "3 53 01", "4 65 71", "5 36 49", "6 39 98")),
    "US": tuple(f"+1 {area}-555-####" for area in ("202", "303", "404", "505", "606", "707", "808", "909")),
    "GB": ("+44 20 7946 0###", "+44 7700 900###", *(f"+44 {area} 496 0###" for area in (113, 117, 121, 131, 141, 161))),
    "DE": ("+49 30 23125 ###", "+49 69 90009 ###", "+49 40 66969 ###", "+49 221 4710 ###", "+49 89 99998 ###"),
}
"""Blocks of numbers by country, as calls show them; `#` stands for any digit."""
SCATTER = 7_919
"""Scatters consecutive positions over their block; coprime to powers of ten, so that no number repeats."""


def phone(country: str, position: int) -> str:
    """Return a number of a country, with spaces, as calls show it.

    Args:
        country: ISO 3166 code, one of `BLOCKS`.
        position: From 0; each position has its own number. Beyond the blocks, numbers get longer.
    """
    for block in BLOCKS[country]:
        width = block.count("#")
        if position < 10**width:
            return block.replace("#", "{}").format(*f"{position * SCATTER % 10**width:0{width}d}")
        position -= 10**width
    return BLOCKS[country][0].rstrip("# ") + f" {position + 10**5}"


def e164(digits: str) -> str:
    """Return a number as contacts show it: without spaces and dashes."""
    return digits.replace(" ", "").replace("-", "")
