"""Everything that can stop a run, each with one line that tells the user what to change.

A message never holds a response body, a phone number, a token or a query: it may end up in a log that others read.
"""

from __future__ import annotations

import difflib
import errno
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_TEXT = 200
"""How many characters of a text from elsewhere a line may hold."""
RUN_TERMINATED = "The run was terminated; the last state written is safe to go on from."


def one_line(text: str) -> str:
    """Make a text from elsewhere fit for a log line, which it can then neither break, forge nor flood.

    Args:
        text: Words that the tap did not choose, such as a reason or a name that Aircall sent.

    Returns:
        The same in at most `LONGEST_TEXT` characters, each of them printable: runs of anything else, such as line ends,
        colours for a terminal or marks that turn text around, become one space.
    """
    beginning = text[: 10 * LONGEST_TEXT]  # however long it is, it costs no more
    line = " ".join("".join(each if each.isprintable() else " " for each in beginning).split())
    return line if len(line) <= LONGEST_TEXT and beginning == text else line[: LONGEST_TEXT - 1] + "…"


def reason_of(error: OSError) -> str:
    """Say in a few words why the system refused something."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"disk full ({error.strerror})"
    if error.errno in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
        return "its file system has no locks, such as some network drives; name a place on another"
    return error.strerror or type(error).__name__


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of a line about an unknown name.

    Args:
        name: The name, as a user wrote it.
        known: The names there are.
        otherwise: What to say when none of them is like it.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def needs_extra(what: str, extra: str) -> str:
    """Return the line for what needs an extra of this package, which is on no index yet (docs/releasing.md)."""
    return f"{what} needs the extra {extra}: pip install '.[{extra}]' in a clone of tap-aircall."


class TapAircallError(Exception):
    """The run cannot go on; `line` is the one line that the user sees."""

    stream: str | None = None
    """The stream that it is about; None if it is about the whole run."""

    @property
    def kind(self) -> str:
        """What kind of error it is, for machines to tell one from another: `Credentials` for a `CredentialsError`."""
        return type(self).__name__.removesuffix("Error")

    @property
    def line(self) -> str:
        """What the user sees: the message, with the stream before it."""
        return " ".join((f"Stream '{self.stream}': {self}" if self.stream else str(self)).split())


class InputError(TapAircallError):
    """The config, the catalog or the state given to the tap cannot be used."""


class AircallError(TapAircallError):
    """Aircall did not give what was asked for."""


class CredentialsError(AircallError):
    """Aircall rejects the credentials (401 or 403 on a core endpoint; facts: Addresses and errors)."""


class ForbiddenError(CredentialsError):
    """Aircall answers 403: it rejects the credentials, or they may not see this one resource.

    A stream that not every account has may take it for "none here". The client has ruled out that an OAuth token has
    ended.
    """


class LoginNeededError(CredentialsError):
    """There are no OAuth tokens that Aircall accepts, and only a person can get new ones."""


class LoginFailedError(TapAircallError):
    """The OAuth login was not completed."""


class NotFoundError(AircallError):
    """Aircall has no such object or path (404)."""


class RejectedRequestError(AircallError):
    """Aircall refuses this request, and would refuse it again (any other 4xx, or a redirect).

    Args:
        message: The line.
        status: Status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ExpiredError(RejectedRequestError):
    """The address of a file has expired. There may be a new one for the same file."""


class TransientError(AircallError):
    """One attempt failed in a way that the next may not."""


class UnavailableError(AircallError):
    """Aircall could not be reached, or kept failing for as long as the tap was willing to wait."""


class BlockedError(UnavailableError):
    """Aircall keeps refusing requests of the company as too many, whatever they ask for."""


class ResponseError(AircallError):
    """Aircall answered with data that does not have the documented shape.

    Args:
        message: The line.
        found: What came instead, if it is to be kept.
        attempts: How often to ask at most before it counts; None for as often as for any fault on the way.
    """

    def __init__(self, message: str, *, found: object = None, attempts: int | None = None) -> None:
        super().__init__(message)
        self.found = found
        self.attempts = attempts


class MisorderedError(ResponseError):
    """Aircall lists records in another order than asked for, or others than asked for."""


class UnreadableError(AircallError):
    """The data exists, but this API has no way to read it (10,000 calls or more in one second)."""


class StreamUnavailableError(AircallError):
    """This account does not have what a stream reads. The stream ends with this line, and the run goes on.

    Args:
        message: What to say of the stream, such as `is left out: ...`.
        is_expected: Whether that is information rather than a warning.
    """

    @property
    @override
    def line(self) -> str:
        return f"Stream '{self.stream}' {self}"

    def __init__(self, message: str, *, is_expected: bool = False) -> None:
        super().__init__(message)
        self.is_expected = is_expected


class InboxError(AircallError):
    """The store in which the receiver of webhooks keeps events cannot be read or written at the moment."""


class StorageError(AircallError):
    """What Aircall gave cannot be kept where the settings say."""


class GapError(AircallError):
    """Aircall counts records in a list that it does not show; all others were read."""


class ReportError(AircallError):
    """Aircall did not make a report, or what it made cannot be read; other reports may be fine."""


class StreamError(AircallError):
    """One stream could not be read to its end; all others were.

    Args:
        stream: Its name.
        cause: Why.
    """

    def __init__(self, stream: str, cause: AircallError) -> None:
        super().__init__(f"Stream '{stream}': {cause}")
        self.stream = stream
        self.cause = cause

    @property
    @override
    def line(self) -> str:
        return str(self)

    @property
    @override
    def kind(self) -> str:
        return self.cause.kind


class StreamsFailedError(AircallError):
    """Several streams could not be read to their end; all others were.

    Args:
        errors: One for each.
    """

    def __init__(self, errors: Sequence[TapAircallError]) -> None:
        super().__init__(" ".join(error.line for error in errors))
        self.errors = errors


class RunEndedError(TapAircallError):
    """The client was closed while a request was waiting for its turn."""

    def __init__(self) -> None:
        super().__init__("The run was ended.")


class TerminatedError(BaseException):
    """A signal ended the run. Not an `Exception`, so that nothing takes it for a fault to survive.

    Args:
        signum: The signal.
        line: What to say about it.
    """

    def __init__(self, signum: int, line: str = RUN_TERMINATED) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum
        self.line = line
