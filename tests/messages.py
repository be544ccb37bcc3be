"""What tests ask of a message: the class of its error and the facts it must name, never its wording."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tap_aircall.errors import StreamError, TapAircallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def names(text: str, *facts: object) -> bool:
    """Return whether a text names all facts: settings, streams, paths, ids, times or numbers, as whole words."""
    return not _lacking(text, facts)


def each_names(lines: Iterable[str], *facts: tuple[object, ...]) -> None:
    """Check that there is one line per tuple of facts, in this order, and that it names them."""
    lines = list(lines)
    assert len(lines) == len(facts), lines
    for line, of_line in zip(lines, facts, strict=True):
        assert not (lacking := _lacking(line, of_line)), f"{lacking} not in {line!r}"


def check(error: BaseException, kind: type[Exception], *facts: object, stream: str | None = None) -> None:
    """Check the class of an error, or of the cause if one stream failed, and the facts in its message."""
    assert type(error.cause if isinstance(error, StreamError) else error) is kind, repr(error)
    assert stream is None or getattr(error, "stream", None) == stream, repr(error)
    each_names([error.line if isinstance(error, TapAircallError) else str(error)], facts)


@contextmanager
def refused(
    kind: type[Exception], *facts: object, stream: str | None = None
) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Expect an error; see `check`."""
    with pytest.raises((kind, StreamError)) as raised:
        yield raised
    check(raised.value, kind, *facts, stream=stream)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages logged as a warning or an error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def _lacking(text: str, wanted: Iterable[object]) -> list[object]:
    return [fact for fact in wanted if not re.search(_pattern(fact), text)]


def _pattern(fact: object) -> str:
    """Return a pattern for a fact as a whole word, a whole number with or without its commas."""
    form = f"(?:{fact}|{fact:,})" if isinstance(fact, int) else re.escape(str(fact))
    before = r"(?<!\w)(?<!\d[.,])" if re.match(r"\w", str(fact)) else ""
    after = r"(?!\w|[.,]\d)" if re.search(r"\w$", str(fact)) else ""
    return before + form + after
