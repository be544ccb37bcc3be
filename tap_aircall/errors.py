"""The errors that can end a run or a stream, each with one line that tells the user what to change.

A message never contains a response body, a phone number, a token or a query: others may read the log.
"""

from __future__ import annotations

import difflib
import errno
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_TEXT = 200
"""Maximum number of characters of foreign text in a line."""
RUN_TERMINATED = "Terminated; the next run can continue from the last state written."


def one_line(text: str) -> str:
    """Sanitize foreign text for a log line, so that it cannot break, forge or flood the log.

    Args:
        text: Text from outside the tap, such as a reason or a name that Aircall sent.

    Returns:
        At most `LONGEST_TEXT` printable characters. Runs of others, such as line ends, terminal escapes and
        bidirectional marks, become one space.
    """
    beginning = text[: 10 * LONGEST_TEXT]  # bounds the cost of a very long text
    line = " ".join("".join(each if each.isprintable() else " " for each in beginning).split())
    return line if len(line) <= LONGEST_TEXT and beginning == text else line[: LONGEST_TEXT - 1] + "…"


def reason_of(error: OSError) -> str:
    """Describe an error of the operating system in a few words."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"disk full ({error.strerror})"
    if error.errno in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
        return "its file system has no locks, like some network drives; use another one"
    return error.strerror or type(error).__name__


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of a line about an unknown name.

    Args:
        name: The name that a user wrote.
        known: The valid names.
        otherwise: The text if none of them is similar.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def needs_extra(what: str, extra: str) -> str:
    """Return a line about a missing extra. The package is not on an index yet (docs/releasing.md)."""
    return f"{what} needs the extra {extra}: pip install '.[{extra}]' in a clone of tap-aircall."


class TapAircallError(Exception):
    """The run cannot continue; `line` is what the user sees."""

    stream: str | None = None
    """The stream that failed; None if the error concerns the whole run."""

    @property
    def kind(self) -> str:
        """The kind of error for structured logs, such as `Credentials` for a `CredentialsError`."""
        return type(self).__name__.removesuffix("Error")

    @property
    def line(self) -> str:
        """The message, with the stream before it."""
        return " ".join((f"Stream '{self.stream}': {self}" if self.stream else str(self)).split())


class InputError(TapAircallError):
    """The given config, catalog or state cannot be used."""


class AircallError(TapAircallError):
    """Something could not be read from Aircall."""


class CredentialsError(AircallError):
    """Aircall rejects the credentials (401 or 403 on a core endpoint; facts: Addresses and errors)."""


class ForbiddenError(CredentialsError):
    """Aircall responds with 403: it rejects the credentials, or they may not see this one resource.

    A stream that not every account has may treat it as "not available". An expired OAuth token is ruled out before.
    """


class LoginNeededError(CredentialsError):
    """There are no OAuth tokens that Aircall accepts, and only a person can get new ones."""


class LoginFailedError(TapAircallError):
    """The OAuth login was not completed."""


class NotFoundError(AircallError):
    """Aircall has no such object or path (404)."""


class RejectedRequestError(AircallError):
    """Aircall refuses this request permanently (any other 4xx, or a redirect)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ExpiredError(RejectedRequestError):
    """The URL of a file has expired; Aircall may have a new one for it."""


class TransientError(AircallError):
    """An attempt failed, but a retry may succeed."""


class UnavailableError(AircallError):
    """Aircall could not be reached, or kept failing until the tap gave up."""


class BlockedError(UnavailableError):
    """Aircall keeps responding to all requests of the company with 429."""


class ResponseError(AircallError):
    """Aircall responded with data that does not have the documented shape.

    Args:
        message: The message.
        found: What Aircall sent instead, if it should be kept.
        attempts: Maximum number of attempts; None for as many as for other faults.
    """

    def __init__(self, message: str, *, found: object = None, attempts: int | None = None) -> None:
        super().__init__(message)
        self.found = found
        self.attempts = attempts


class MisorderedError(ResponseError):
    """Aircall lists records in the wrong order, or records that were not asked for."""


class UnreadableError(AircallError):
    """The data exists, but this API has no way to read it (10,000 calls or more in one second)."""


class StreamUnavailableError(AircallError):
    """This account lacks what a stream reads. The stream ends with this line, and the run continues.

    Args:
        message: The predicate of the line, such as `is left out: ...`.
        is_expected: Whether to log it as information rather than a warning.
    """

    @property
    @override
    def line(self) -> str:
        return f"Stream '{self.stream}' {self}"

    def __init__(self, message: str, *, is_expected: bool = False) -> None:
        super().__init__(message)
        self.is_expected = is_expected


class InboxError(AircallError):
    """The inbox cannot be read or written at the moment."""


class StorageError(AircallError):
    """A file from Aircall cannot be stored at the configured location."""


class GapError(AircallError):
    """Aircall counts records in a list but does not show them; all others were read."""


class ReportError(AircallError):
    """Aircall did not produce a report, or its file cannot be read; other reports may be fine."""


class StreamError(AircallError):
    """One stream failed; all others were read."""

    def __init__(self, stream: str, cause: AircallError) -> None:
        super().__init__(str(cause))
        self.stream = stream
        self.cause = cause

    @property
    @override
    def kind(self) -> str:
        return self.cause.kind


class StreamsFailedError(AircallError):
    """Several streams failed; all others were read."""

    def __init__(self, errors: Sequence[TapAircallError]) -> None:
        super().__init__(" ".join(error.line for error in errors))
        self.errors = errors


class RunEndedError(TapAircallError):
    """The client was closed while a request waited for the rate limit."""

    def __init__(self) -> None:
        super().__init__("The run was ended.")


class TerminatedError(BaseException):
    """A signal ended the run. Not an `Exception`, so that no handler swallows it."""

    def __init__(self, signum: int, line: str = RUN_TERMINATED) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum
        self.line = line
