"""Reads the file of a report: CSV, zipped or not (facts: Reports).

Before the first row is used, the whole file is checked to be

- complete: a zip file with one file of the right length and checksum;
- text: UTF-8 without NUL;
- CSV: not HTML, XML or JSON, which begin with `<`, `{` or `[`; storage servers' Content-Type is unreliable;
- rows of at most `LONGEST_ROW` characters. The first one names the columns; others may have more cells, or fewer.

A bad file yields no rows, not even those before the fault.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from contextlib import closing
from typing import IO, TYPE_CHECKING

from tap_aircall.errors import ReportError, one_line
from tap_aircall.http.session import PIECE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

LARGEST_FILE = 2 * 2**30
"""Maximum bytes of one day's report, zipped or unzipped; more than any company's calls need."""
IN_MEMORY = 8 * 2**20
"""Bytes of an unzipped file to keep in memory; a larger one goes to disk."""
LONGEST_ROW = 2**20
"""Characters; limits memory, which holds one row."""
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Compression methods; others may take gigabytes of memory, and are unusual for reports."""


def parse(file: IO[bytes], *, zipped: bool) -> Iterator[dict[str, str]]:
    """Read the rows of a report.

    Args:
        file: The downloaded file.
        zipped: Whether Aircall declares a zip file; an undeclared one is recognized by its first bytes.

    Yields:
        The cells of each row by column name. Repeated and missing names get a number.

    Raises:
        ReportError: Before the first row, if the file is bad.
    """
    beginning = file.read(4)
    file.seek(0)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as unzipped:
        if zipped or beginning.startswith(b"PK\x03\x04"):
            for piece in _unzip(file):
                unzipped.write(piece)
            file = unzipped
        try:
            for _ in _read(file):
                pass
        except UnicodeDecodeError as error:
            raise ReportError("The file is not UTF-8 text.") from error
        except csv.Error as error:  # says nothing of the content
            raise ReportError(f"The file is not valid CSV: {one_line(str(error))}") from error
        columns: dict[str, int] = {}
        with closing(_read(file)) as rows:
            _add_columns(columns, next(rows, []))
            for cells in rows:
                _add_columns(columns, [""] * (len(cells) - len(columns)))
                yield dict(zip(columns, cells, strict=False))


def _unzip(file: IO[bytes]) -> Iterator[bytes]:
    """Read the one file in a zip file to its end, where the checksum is verified.

    Raises:
        ReportError: If there is no such file, or it is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive)) as member:
            while piece := member.read(PIECE):
                yield piece
    except ReportError:
        raise
    except Exception as error:  # zipfile fails on damaged files with undocumented errors
        raise ReportError("The zip file is damaged, or of a kind that cannot be read.") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; Python reads no more than its declared size."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise ReportError(f"The zip file has {len(members)} files instead of one.")
    if members[0].file_size > LARGEST_FILE:
        raise ReportError(f"The zip file has more than {LARGEST_FILE:,} bytes.")
    if members[0].compress_type not in METHODS:
        raise NotImplementedError
    return members[0]


def _read(file: IO[bytes]) -> Generator[list[str]]:
    """Read the rows of a CSV file from its beginning, without empty lines."""
    length = 0  # of the current row, which may span several lines

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(LONGEST_ROW + 1):
            length += len(line)
            if length > LONGEST_ROW:
                raise ReportError(f"The file has a row of more than {LONGEST_ROW:,} characters.")
            if "\0" in line:
                raise ReportError("The file is not text: it has NUL characters.")
            yield line

    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        first = True
        for cells in csv.reader(lines(), strict=True):
            length = 0
            if not cells:
                continue
            if first and cells[0].lstrip().startswith(("<", "{", "[")):
                raise ReportError("The file is a page or an error (HTML, XML or JSON) instead of CSV.")
            first = False
            yield cells
    finally:
        text.detach()  # closing the wrapper would close the caller's file


def _add_columns(names: dict[str, int], header: Iterable[str]) -> None:
    """Add unique column names; "" is a column without a name.

    `names` counts the copies of each name, so that repeated names take linear time.
    """
    for name in header:
        base = unique = name.strip() or f"column_{len(names) + 1}"
        while unique in names:
            names[base] += 1
            unique = f"{base}_{names[base]}"
        names[unique] = 1
