"""Keeps personal data and secrets out of all log lines of the process."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from tap_aircall.errors import TapAircallError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSPEAKABLE = "urllib3"
"""It logs addresses that give access to files, headers and queries; `http.session` has lines of its own."""

DETAILS = ("METRIC: ", "Skipping deselected stream", "Skipping parse of env", "Parsing env var", "Starting incremental")
"""How lines begin that the SDK logs at INFO, several for each stream, and that tell most users nothing."""
TALKATIVE = ("singer_sdk.metrics", "tap-aircall")
"""The loggers of these lines."""


def be_brief() -> None:
    """Leave out what the SDK logs about each stream, unless the level is DEBUG; the tap has a summary."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Say whether a line is more than a detail of the SDK's; for the loggers of streams, too."""
    is_detail = record.levelno == logging.INFO and str(record.msg).startswith(DETAILS)
    return not is_detail or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def be_discreet() -> None:
    """Log no text of errors that are not the tap's own, and nothing from urllib3, at any level.

    Errors of other libraries quote what they failed over: a header with a token, the address of a file, a phone number.
    So only their kind and where they came from is shown, which is what a developer needs.
    """
    logging.setLogRecordFactory(_make_record)
    for name in list(logging.getLogger().manager.loggerDict):
        if name.partition(".")[0] == UNSPEAKABLE:
            logging.getLogger(name).disabled = True


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    record.msg = _shown(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(map(_shown, record.args))
    if record.exc_info and record.exc_info[1]:
        lines = "\n".join(_lines(record.exc_info[1]))
        record.msg = f"{record.msg}\n{lines.replace('%', '%%') if record.args else lines}"
        record.exc_info = None
    return record


def _shown(value: Any) -> Any:
    """Return what to log for a part of a message."""
    if isinstance(value, BaseException) and not isinstance(value, TapAircallError):
        return type(value).__name__
    return value


def _lines(error: BaseException) -> Iterator[str]:
    """Format an error and those that led to it, as Python does, but without the texts."""
    chain = [error]
    while (earlier := chain[-1].__cause__ or chain[-1].__context__) and earlier not in chain:
        chain.append(earlier)
    for each in reversed(chain):
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(each.__traceback__)).rstrip()
        text = f": {each}" if isinstance(each, TapAircallError) else ""
        yield f"{type(each).__module__}.{type(each).__qualname__}{text}"
