"""What the command line adds to the SDK's: whole lines, one line for each failure, and a prompt end."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import signal
import sys
import textwrap
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from singer_sdk.about import AboutFormatter
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_aircall.errors import InputError, StreamsFailedError, TapAircallError
from tap_aircall.http.decoding import is_deep
from tap_aircall.http.logs import be_brief, be_discreet
from tap_aircall.writer import TerminatedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.about import AboutInfo

ABOUT_WIDTH = 90
"""Characters in a line of a description."""


class ReadableAbout(AboutFormatter, format_name="text"):
    """What `--about` prints: the SDK's own text has neither descriptions nor defaults."""

    @override
    def format_about(self, about_info: AboutInfo) -> str:
        prefix = about_info.env_var_prefix
        return "\n".join(
            [
                f"{about_info.name} {about_info.version} (Meltano SDK {about_info.sdk_version})",
                f"{about_info.description}",
                f"Python: {', '.join(about_info.supported_python_versions or ())}",
                f"Capabilities: {', '.join(capability.value for capability in about_info.capabilities)}",
                "",
                f"Settings, for a config file, or as variables such as {prefix}USER:",
                *(
                    line
                    for name, definition in about_info.settings.get("properties", {}).items()
                    for line in _about_setting(name, definition)
                ),
            ]
        )


def _about_setting(name: str, definition: Mapping[str, Any]) -> list[str]:
    kinds = definition.get("type", [])
    facts = [" or ".join(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")]
    facts += ["secret"] if definition.get("secret") else []
    facts += [f"default {json.dumps(definition['default'])}"] if definition.get("default") is not None else []
    description = textwrap.wrap(" ".join(definition.get("description", "").split()), ABOUT_WIDTH)
    return ["", f"  {name} ({', '.join(filter(None, facts))})", *(f"      {line}" for line in description)]


class OneLineCommand(click.Command):
    """A command line, where every failure is one line and an exit code."""

    logger: logging.Logger

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        be_discreet()
        be_brief()
        with forgiven_stderr():
            return self._main(*args, **kwargs)

    def _main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with signals_until_the_end(), signals_first(), whole_stdout():
                return super().main(*args, **kwargs)
        except StreamsFailedError as error:
            self.fail(*(each.line for each in error.errors), kind=error.kind)
        except TapAircallError as error:
            self.fail(error.line, kind=error.kind, stream=error.stream)
        except TerminatedError as terminated:
            self.logger.error(terminated.line)  # noqa: TRY400
            logging.shutdown()
            # Threads may still wait for an answer of Aircall that nobody needs.
            os._exit(terminated.exit_code)
        except OSError as error:
            discard_stdout()
            self.fail(f"{error.strerror or type(error).__name__}: {error.filename or 'standard output'}")
        except Exception as error:
            self.logger.debug("Details of the failure:", exc_info=True)
            self.fail(f"Unexpected {type(error).__name__}; LOGLEVEL=DEBUG shows where. Please report it.")

    def fail(self, *lines: str, kind: str = "Unexpected", stream: str | None = None) -> NoReturn:
        """End the process with these lines and exit code 1; a structured log has the kind and the stream as well."""
        extra = {"error_kind": kind} | ({"error_stream": stream} if stream else {})
        for line in lines:
            self.logger.error(" ".join(line.split()), extra=extra)
        sys.exit(1)


class AircallCommand(OneLineCommand, SingerCommand):
    """The command line of the tap."""

    @override
    def excepthook(self, exc_type: type[BaseException], exc_value: BaseException, exc_traceback: Any) -> None:
        # The SDK's own logs the text, which may quote anything.
        self.logger.error("Unexpected %s.", exc_type.__name__)


@contextmanager
def signals_until_the_end() -> Iterator[None]:
    """Let signals just end the process afterwards, since nothing is left that they could interrupt."""
    try:
        yield
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)


@contextmanager
def signals_first() -> Iterator[None]:
    """Treat any failure that a signal caused as the signal.

    A signal that comes while Python waits for a lock may find it released for a moment. Python then releases it twice,
    and raises an error of its own in place of the signal's.

    Raises:
        TerminatedError: If a signal came before the failure.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, TerminatedError):
                raise cause from error
            cause = cause.__context__
        raise


@contextmanager
def whole_stdout() -> Iterator[None]:
    """Write all that goes to standard output, or fail.

    Without a buffer (`PYTHONUNBUFFERED`, as in many container images), Python believes that a write is done even if a
    full disk took only a part of it. And if the flush at exit failed, Python would print a line of its own.

    Raises:
        OSError: From the end of the context at the latest.
    """
    if sys.__stdout__ is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    raw = isinstance(sys.stdout.buffer, io.RawIOBase)
    stdout = open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) if raw else sys.stdout  # noqa: SIM115
    with redirect_stdout(stdout):
        try:
            yield
        finally:
            stdout.flush()


def discard_stdout() -> None:
    """Point standard output nowhere, since Python would try to flush what could not be written when it exits."""
    if sys.__stdout__ is not None:
        _discard(sys.stdout.fileno())


def _discard(descriptor: int) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


@contextmanager
def forgiven_stderr() -> Iterator[None]:
    """Do not fail over lines that could not be written, such as to a full disk: what matters is standard output.

    Python would try again at exit, and take a failure for one of the process.
    """
    try:
        yield
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr.fileno())


def pop_bad_log_level(prefix: str) -> str:
    """Return a line if LOGLEVEL names no level, and take it out of the environment; otherwise an empty text.

    Args:
        prefix: What the tap's variables begin with.
    """
    for name in (f"{prefix}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name)
        if level is not None and level.upper() not in logging.getLevelNamesMapping():
            del os.environ[name]  # the SDK ends with a traceback over it, even when it is empty
            if level:
                return f"Variable {name}: must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
    return ""


def read_json(path: str, what: str) -> dict[str, Any]:
    """Read a JSON object from a file, in UTF-8, or in UTF-16 as PowerShell writes what is redirected.

    Args:
        path: The file; `-` for standard input.
        what: What to call it in an error, which also names the file.

    Raises:
        InputError: If it cannot be read, or holds something else.
    """
    what = f"{what} {path}"
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        value = json.loads(content.decode(json.detect_encoding(content)), parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        message = f"{what}: cannot be read: {error.strerror}."
    except UnicodeDecodeError:
        message = f"{what}: cannot be read: it is not text in UTF-8."
    except EndlessNumberError:
        message = f"{what}: has NaN, Infinity or a number too large for any use, which is not valid JSON."
    except json.JSONDecodeError as error:
        message = f"{what}: is not JSON (line {error.lineno}, column {error.colno})."
    except (ValueError, RecursionError):
        message = f"{what}: is not JSON that anything could use."
    else:
        if isinstance(value, dict) and not is_deep(value):
            return value
        message = f"{what}: is nested too deeply." if isinstance(value, dict) else f"{what}: must be a JSON object."
    raise InputError(message)


class EndlessNumberError(ValueError):
    """A number is not finite."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise EndlessNumberError
    return number
