"""Keeps personal data and secrets out of the logs of the whole process."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from tap_aircall.errors import TapAircallError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSPEAKABLE = "urllib3"
"""Logger that shows presigned URLs, headers and queries; `http.session` logs requests instead."""

DETAILS = ("METRIC: ", "Skipping deselected stream", "Skipping parse of env", "Parsing env var", "Starting incremental")
"""Beginnings of INFO lines that the SDK logs for each stream, and that few users need."""
TALKATIVE = ("singer_sdk.metrics", "tap-aircall")
"""Their loggers."""


def be_brief() -> None:
    """Hide the SDK's details about each stream unless the level is DEBUG; the tap logs a summary."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return whether to log a line: it is not one of the SDK's details, or the level is DEBUG."""
    is_detail = record.levelno == logging.INFO and str(record.msg).startswith(DETAILS)
    return not is_detail or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def be_discreet() -> None:
    """Hide the messages of other libraries' errors, and everything from urllib3, at any level.

    Such errors quote what they failed on: a header with a token, a presigned URL, a phone number. Their type and
    traceback are logged, which is what a developer needs.
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
    """Return what to log for an argument of a message."""
    if isinstance(value, BaseException) and not isinstance(value, TapAircallError):
        return type(value).__name__
    return value


def _lines(error: BaseException) -> Iterator[str]:
    """Format an error and its causes as Python does, but without messages of other libraries."""
    chain = [error]
    while (earlier := chain[-1].__cause__ or chain[-1].__context__) and earlier not in chain:
        chain.append(earlier)
    for each in reversed(chain):
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(each.__traceback__)).rstrip()
        text = f": {each}" if isinstance(each, TapAircallError) else ""
        yield f"{type(each).__module__}.{type(each).__qualname__}{text}"
