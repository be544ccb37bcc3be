"""Counts and logs values that do not fit a stream's schema: each field once, and a limited number of fields."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tap_aircall.errors import LONGEST_TEXT, one_line
from tap_aircall.reading.conform import DEEPEST_VALUE, Misfit
from tap_aircall.schemas.notation import ADDITIONAL_FIELDS, has

if TYPE_CHECKING:
    from singer_sdk import Stream

MOST_NAMED = 10
"""Fields to log per stream and run: field names are untrusted input, and could flood the log."""
MOST_REMEMBERED = 1_000
"""Fields to remember, so that endless new names take limited memory."""
PHONE_DIGITS = 5
"""Digits from which on a field name may be a phone number; shorter numbers identify nobody."""


class Misfits:
    """Values that do not fit one stream's schema in one run.

    Args:
        stream: The stream, with its catalog entry.
        secret_fields: Fields to drop silently.
    """

    def __init__(self, stream: Stream, secret_fields: frozenset[str] = frozenset()) -> None:
        self.counts: Counter[Misfit] = Counter()
        """Number of values of each kind."""
        self._stream = stream
        self._secret_fields = secret_fields
        self._seen: set[tuple[str, Misfit]] = set()

    @property
    def note(self) -> str:
        """Note for the summary of the run; empty if everything fits."""
        counts = ", ".join(f"{self.counts[kind]:,} {kind.value}" for kind in Misfit if self.counts[kind])
        return f"values that do not fit the schema: {counts}" if counts else ""

    def is_selected(self, path: str) -> bool:
        """Return whether the catalog selects a field, given its path from `conform`; unknown fields are selected."""
        if has(self._stream.schema, path) and not has(self._stream.effective_schema, path):
            return False  # the catalog is older than the field
        names = path.replace("[]", "").split(".", DEEPEST_VALUE)[:DEEPEST_VALUE]  # deeper fields follow their ancestors
        return self._stream.mask[tuple(part for name in names for part in ("properties", name))]

    def report(self, path: str, kind: Misfit) -> None:
        """Count a value, and log its field if it is one of the first."""
        if path in self._secret_fields:
            return
        self.counts[kind] += 1
        if len(self._seen) >= MOST_REMEMBERED or (path, kind) in self._seen:
            return
        self._seen.add((path, kind))
        if len(self._seen) <= MOST_NAMED:
            shown = path if sum(map(str.isdigit, path[:LONGEST_TEXT])) < PHONE_DIGITS else re.sub(r"\d", "#", path)
            self._stream.logger.warning(self._message(kind), one_line(shown), self._stream.name)

    def finish(self) -> None:
        """Log how many more fields there were."""
        if (more := len(self._seen) - MOST_NAMED) > 0:
            count = f"{more:,}" if len(self._seen) < MOST_REMEMBERED else f"at least {more:,}"
            self._stream.logger.warning("Stream '%s': %s more fields do not fit the schema.", self._stream.name, count)

    def _message(self, kind: Misfit) -> str:
        is_kept = ADDITIONAL_FIELDS in self._stream.effective_schema["properties"] and self.is_selected(
            ADDITIONAL_FIELDS
        )
        match kind:
            case Misfit.UNKNOWN:
                fate = f"it is kept in {ADDITIONAL_FIELDS}" if is_kept else "it is left out"
                return f"Aircall sends a field '%s' in '%s' that this version of the tap does not know; {fate}."
            case Misfit.CONVERTED:
                return "Aircall sends the field '%s' in '%s' with an undocumented type; it is converted."
            case Misfit.UNUSABLE:
                fate = f"{ADDITIONAL_FIELDS} keeps the value" if is_kept else "it is left empty"
                return f"Aircall sends the field '%s' in '%s' with a value that cannot be used; {fate}."
            case Misfit.SECRET:
                return "Aircall sends an unknown field '%s' in '%s' whose name looks like a secret; it is left out."
