"""Reads the file of a report: CSV, zipped or not (facts: Reports).

Before the first row of a file is used, all of it is known to be

- whole: a zip file holds one file, whose length and checksum are right;
- text: UTF-8 without NUL;
- CSV: what begins with `<`, `{` or `[` is a page or an error in HTML, XML or JSON that came in place of the report. No
  column is called so; the Content-Type is not asked, since storage servers give any type to a file;
- made of rows of at most `LONGEST_ROW` characters, the first of which names the columns. Others may have more cells
  than that one, or fewer.

Any other file has no rows at all, not even those before the fault.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from tap_aircall.errors import ReportError, one_line

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

LARGEST_FILE = 2 * 2**30
"""Bytes of one day's report, as it is sent and unzipped; no company has as many calls."""
IN_MEMORY = 8 * 2**20
"""Bytes of an unzipped file beyond which it goes to the disk."""
PIECE = 2**16
"""Bytes to unzip at a time."""
LONGEST_ROW = 2**20
"""Characters of one row, which is the most that reading a file has in memory."""
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How a file may be zipped; the others can ask for gigabytes of memory, and nobody uses them for reports."""


def parse(file: IO[bytes], *, zipped: bool) -> Iterator[dict[str, str]]:
    """Read the rows of a report.

    Args:
        file: The file as it was fetched.
        zipped: Whether Aircall says that it is a zip file; one that is not called so is recognized by its beginning.

    Yields:
        The cells of each row by the name of their column. A repeated name gets a number, and so does a
        column without a name.

    Raises:
        ReportError: Before the first row, if the file is not as this module says.
    """
    beginning = file.read(4)
    file.seek(0)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as unzipped:
        if zipped or beginning.startswith(b"PK\x03\x04"):
            for piece in _unzip(file):
                unzipped.write(piece)
            file = unzipped
        with _explained():
            for _ in _read(file):
                pass
        columns = _Columns()
        with closing(_read(file)) as rows:
            columns.add(next(rows, []))
            for cells in rows:
                columns.add([""] * (len(cells) - len(columns.names)))
                yield dict(zip(columns.names, cells, strict=False))


def _unzip(file: IO[bytes]) -> Iterator[bytes]:
    """Read the one file of a zip file, to its end, where the checksum is compared.

    Raises:
        ReportError: If there is no such file, or not whole.
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive)) as member:
            while piece := member.read(PIECE):
                yield piece
    except ReportError:
        raise
    except Exception as error:  # a damaged file makes zipfile fail in ways that it does not list
        raise ReportError("The zip file is damaged, or of a kind that cannot be read.") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; its size is what it says, since Python reads no more than that."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise ReportError(f"The zip file has {len(members)} files instead of one.")
    if members[0].file_size > LARGEST_FILE:
        raise ReportError(f"The zip file holds more than {LARGEST_FILE:,} bytes.")
    if members[0].compress_type not in METHODS:
        raise NotImplementedError
    return members[0]


def _read(file: IO[bytes]) -> Generator[list[str]]:
    """Read the rows of a CSV file from its beginning, empty lines left out; the first one names the columns."""
    length = 0  # of the row so far, which may have several lines

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(LONGEST_ROW + 1):
            length += len(line)
            if length > LONGEST_ROW:
                raise ReportError(f"The file has a row of more than {LONGEST_ROW:,} characters.")
            if "\0" in line:
                raise ReportError("The file is not text: it has NUL in it.")
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
        text.detach()  # closing the wrapper would close the file under its owner


class _Columns:
    """Names columns, each differently, in a time that grows with their number and no faster."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._taken: set[str] = set()
        self._copies: dict[str, int] = {}

    def add(self, header: Iterable[str]) -> None:
        """Add columns; the empty name stands for none."""
        for name in header:
            base = unique = name.strip() or f"column_{len(self.names) + 1}"
            while unique in self._taken:
                self._copies[base] = self._copies.get(base, 1) + 1
                unique = f"{base}_{self._copies[base]}"
            self._taken.add(unique)
            self.names.append(unique)


@contextmanager
def _explained() -> Iterator[None]:
    """Say what is wrong with a file in one line, without any of its content."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ReportError("The file is not text in UTF-8.") from error
    except csv.Error as error:
        raise ReportError(f"The file is not valid CSV: {one_line(str(error))}") from error
