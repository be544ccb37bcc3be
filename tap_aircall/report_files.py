"""Reads the file of a report: CSV, zipped or not (facts, section 4.7)."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tap_aircall.errors import ReportError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST_FILE = 2 * 2**30
"""Bytes of one day's report, as it is sent and unzipped; no company has as many calls."""


def parse(file: IO[bytes], *, zipped: bool) -> Iterator[dict[str, str]]:
    """Read the rows of a report.

    Args:
        file: The file as it was fetched.
        zipped: Whether Aircall says that it is a zip file; one that is not called so is known by its beginning.

    Yields:
        The cells of each row by the name of their column. A name that is there twice gets a number, as has a column
        without any.

    Raises:
        ReportError: If it is no CSV in UTF-8, or no zip file with one such file.
    """
    beginning = file.read(4)
    file.seek(0)
    with _explained():
        if zipped or beginning.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive)) as member:
                yield from _parse_csv(member)
        else:
            yield from _parse_csv(file)


def _parse_csv(file: IO[bytes]) -> Iterator[dict[str, str]]:
    # Closing the wrapper would close the file under its owner.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        lines = csv.reader(text, strict=True)
        names = _unique(next(lines, []))
        for cells in lines:
            while len(cells) > len(names):
                names = _unique([*names, ""])
            if cells:
                yield dict(zip(names, cells, strict=False))
    finally:
        text.detach()


def _unique(header: Sequence[str]) -> list[str]:
    """Name all columns, and each differently."""
    names: list[str] = []
    for number, name in enumerate(header, start=1):
        base = name.strip() or f"column_{number}"
        unique, copy = base, 1
        while unique in names:
            copy += 1
            unique = f"{base}_{copy}"
        names.append(unique)
    return names


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; its size is what it says, since Python reads no more than that."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        message = f"The zip file has {len(members)} files instead of one."
        raise ReportError(message)
    if members[0].file_size > LARGEST_FILE:
        message = f"The zip file holds more than {LARGEST_FILE:,} bytes."
        raise ReportError(message)
    return members[0]


@contextmanager
def _explained() -> Iterator[None]:
    """Say what is wrong with a file in one line, without any of its content."""
    try:
        yield
    except UnicodeDecodeError as error:
        message = "The file is not text in UTF-8."
        raise ReportError(message) from error
    except csv.Error as error:
        message = f"The file is not valid CSV: {one_line(str(error))}"
        raise ReportError(message) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        message = "The zip file is damaged, or of a kind that cannot be read."
        raise ReportError(message) from error
