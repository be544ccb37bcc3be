"""Counts what does not fit the schema of a stream, and says so: once for a field, and not for too many of them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tap_aircall.errors import LONGEST_TEXT, one_line
from tap_aircall.reading.conform import DEEPEST, Misfit
from tap_aircall.schemas.notation import ADDITIONAL_FIELDS, has

if TYPE_CHECKING:
    from singer_sdk import Stream

MOST_NAMED = 10
"""How many fields of a stream a run names: names of fields come from outside, and could fill a log."""
MOST_REMEMBERED = 1_000
"""How many are told from each other: an endless variety of names takes limited memory."""
PHONE_DIGITS = 5
"""The shortest numbers that can be called have fewer, but name nobody."""


class Misfits:
    """What does not fit the schema of one stream in one run.

    Args:
        stream: The stream, with its catalog entry.
        secret_fields: Fields that are left out without a word.
    """

    def __init__(self, stream: Stream, secret_fields: frozenset[str] = frozenset()) -> None:
        self.counts: Counter[Misfit] = Counter()
        """How many values there were of each kind."""
        self._stream = stream
        self._secret_fields = secret_fields
        self._seen: set[tuple[str, Misfit]] = set()

    @property
    def note(self) -> str:
        """What the summary of a run says of them; empty if there are none."""
        counts = ", ".join(f"{self.counts[kind]:,} {kind.value}" for kind in Misfit if self.counts[kind])
        return f"values that do not fit the schema: {counts}" if counts else ""

    def is_selected(self, path: str) -> bool:
        """Say whether the catalog selects the field of a path, as `conform` writes it; unknown ones are selected."""
        if has(self._stream.schema, path) and not has(self._stream.effective_schema, path):
            return False  # the catalog is older than the field
        names = path.replace("[]", "").split(".", DEEPEST)[:DEEPEST]  # what is deeper goes by those above it
        return self._stream.mask[tuple(part for name in names for part in ("properties", name))]

    def report(self, path: str, kind: Misfit) -> None:
        """Count a value, and name its field if it is among the first ones of its kind."""
        if path in self._secret_fields:
            return
        self.counts[kind] += 1
        if len(self._seen) >= MOST_REMEMBERED or (path, kind) in self._seen:
            return
        self._seen.add((path, kind))
        if len(self._seen) <= MOST_NAMED:
            # A name with so many digits may be somebody's number.
            shown = path if sum(map(str.isdigit, path[:LONGEST_TEXT])) < PHONE_DIGITS else re.sub(r"\d", "#", path)
            self._stream.logger.warning(self._message(kind), one_line(shown), self._stream.name)

    def finish(self) -> None:
        """Say how many fields were not named."""
        if (more := len(self._seen) - MOST_NAMED) > 0:
            count = f"{more:,}" if len(self._seen) < MOST_REMEMBERED else f"at least {more:,}"
            self._stream.logger.warning("Stream '%s': and %s more fields like these.", self._stream.name, count)

    def _message(self, kind: Misfit) -> str:
        is_kept = ADDITIONAL_FIELDS in self._stream.effective_schema["properties"] and self.is_selected(
            ADDITIONAL_FIELDS
        )
        match kind:
            case Misfit.UNKNOWN:
                fate = f"it is kept in {ADDITIONAL_FIELDS}" if is_kept else "it is left out"
                return f"Aircall sends a field '%s' in '%s' that this version of the tap does not know; {fate}."
            case Misfit.CONVERTED:
                return "Aircall sends the field '%s' in '%s' with another type than documented; it is converted."
            case Misfit.UNUSABLE:
                fate = f"; {ADDITIONAL_FIELDS} has what came" if is_kept else ""
                return f"Aircall sends the field '%s' in '%s' with a value that cannot be used: it is left empty{fate}."
            case Misfit.SECRET:
                return (
                    "Aircall sends a field '%s' in '%s' that this version of the tap does not know, and that looks "
                    "like a secret by its name; it is left out."
                )
