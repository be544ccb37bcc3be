from __future__ import annotations

import io
import zipfile
from typing import IO

import pytest
from typing_extensions import override

from tap_aircall import report_files
from tap_aircall.errors import ReportError
from tap_aircall.report_files import parse


def rows(content: bytes, *, zipped: bool = False) -> list[dict[str, str]]:
    return list(parse(io.BytesIO(content), zipped=zipped))


def archive(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"A,B\n", [], id="no rows"),
        pytest.param(b"A,B\r\n1,2\r\n3,4", [{"A": "1", "B": "2"}, {"A": "3", "B": "4"}], id="any line ending"),
        pytest.param(b"\xef\xbb\xbfA\n1\n", [{"A": "1"}], id="byte order mark"),
        pytest.param(b"A\n\n1\n\n", [{"A": "1"}], id="empty lines"),
        pytest.param(b'A,B\n"x, ""y""\nz",\n', [{"A": 'x, "y"\nz', "B": ""}], id="quotes"),
        pytest.param("Größe\n😀\n".encode(), [{"Größe": "😀"}], id="not ASCII"),
        pytest.param(b"A,A,,A_2\n1,2,3,4\n", [{"A": "1", "A_2": "2", "column_3": "3", "A_2_2": "4"}], id="names"),
        pytest.param(
            b"A,B\n1\n1,2,3,4\n", [{"A": "1"}, {"A": "1", "B": "2", "column_3": "3", "column_4": "4"}], id="ragged"
        ),
    ],
)
def test_cells_are_named_by_their_columns(content: bytes, expected: list[dict[str, str]]) -> None:
    assert rows(content) == expected
    assert rows(archive(("report.csv", content)), zipped=True) == expected


def test_a_zip_file_that_is_not_called_one_is_known() -> None:
    assert rows(archive(("folder/", b""), ("folder/report.csv", b"A\n1\n"))) == [{"A": "1"}]


@pytest.mark.parametrize(
    ("content", "zipped", "line"),
    [
        (b"A\n\xff", False, "The file is not text in UTF-8."),
        (b'A\n"1', False, "The file is not valid CSV: unexpected end of data"),
        (b"A\n" + b"1" * 200_000, False, "The file is not valid CSV: field larger than field limit (131072)"),
        (b"A\n1\n", True, "The zip file is damaged, or of a kind that cannot be read."),
        (archive(("report.csv", b"A\n1\n"))[:-10], True, "The zip file is damaged, or of a kind that cannot be read."),
        (archive(), True, "The zip file has 0 files instead of one."),
        (archive(("a.csv", b""), ("b.csv", b"")), True, "The zip file has 2 files instead of one."),
    ],
)
def test_what_cannot_be_read_gets_one_line(content: bytes, zipped: bool, line: str) -> None:  # noqa: FBT001
    with pytest.raises(ReportError) as caught:
        rows(content, zipped=zipped)
    assert str(caught.value) == line


def test_a_zip_file_with_a_wrong_checksum_is_refused() -> None:
    content = archive(("report.csv", b"A\n" + b"1\n" * 1000))
    place = content.index(b"PK\x01\x02") + 16  # where the directory of the archive has it
    broken = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    with pytest.raises(ReportError, match="damaged"):
        rows(broken, zipped=True)


def test_a_zip_file_that_would_fill_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_files, "LARGEST_FILE", 1_000)

    with pytest.raises(ReportError, match=r"^The zip file holds more than 1,000 bytes\.$"):
        rows(archive(("report.csv", b"A\n" + b"1\n" * 1000)), zipped=True)


def test_rows_come_while_the_file_is_read() -> None:
    class Counting(io.BytesIO):
        asked = 0

        @override
        def read1(self, size: int | None = -1, /) -> bytes:
            self.asked += 1
            return super().read1(size)

    file: IO[bytes] = Counting(b"A\n" + b"1\n" * 1_000_000)
    some = parse(file, zipped=False)
    next(some)
    assert isinstance(file, Counting)
    assert file.asked == 1
