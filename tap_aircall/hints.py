"""What users may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of a line about an unknown name.

    Args:
        name: The name, as a user wrote it.
        known: The names there are.
        otherwise: What to say when none of them is like it.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise
