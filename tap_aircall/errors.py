"""Everything that can stop a run, each with one line that tells the user what to change.

A message never holds a response body, a phone number, a token or a query: it may end up in a log that others read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TEXT = 200
"""How many characters of a text from elsewhere a line may hold."""


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


def kind_of(error: Exception) -> str:
    """Return the kind of an error, for machines to tell one from another: `Credentials` for a `CredentialsError`."""
    return type(error).__name__.removesuffix("Error")


class TapAircallError(Exception):
    """The run cannot go on; the message is the one line that the user sees."""


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


class TransientError(AircallError):
    """One attempt failed in a way that the next may not."""


class UnavailableError(AircallError):
    """Aircall could not be reached, or kept failing for as long as the tap was willing to wait."""


class BlockedError(UnavailableError):
    """Aircall keeps refusing requests of the company as too many, whatever they ask for."""


class ResponseError(AircallError):
    """Aircall answered with data that does not have the documented shape."""

    attempts: int | None = None
    """How often to ask at most before it is believed; None for as often as after any other fault."""


class MisorderedError(ResponseError):
    """Aircall lists records in another order than asked for, or others than asked for."""


class UnreadableError(AircallError):
    """The data exists, but this API has no way to read it (10,000 calls or more in one second)."""


class StreamUnavailableError(AircallError):
    """This account does not have what a stream reads. The stream ends with this line, and the run goes on.

    Args:
        message: The line. is_expected: Whether the line is information rather than a warning.
    """

    def __init__(self, message: str, *, is_expected: bool = False) -> None:
        super().__init__(message)
        self.is_expected = is_expected


class InboxError(AircallError):
    """The store in which the receiver of webhooks keeps events cannot be read or written at the moment."""


class ExpiredError(AircallError):
    """The address of a file has expired. There may be a new one for the same file.

    Args:
        message: The line.
        status: Status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StorageError(AircallError):
    """What Aircall gave cannot be kept where the settings say."""


class ReportError(AircallError):
    """Aircall did not make a report, or what it made cannot be read; other reports may be fine."""


class StreamsFailedError(AircallError):
    """Several streams could not be read to their end; all others were.

    Args:
        lines: One line for each, which names it.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class RunEndedError(TapAircallError):
    """The client was closed while a request was waiting for its turn."""

    def __init__(self) -> None:
        super().__init__("The run was ended.")
