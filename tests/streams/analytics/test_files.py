from __future__ import annotations

import csv
import io
import sys
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_aircall.errors import ReportError
from tap_aircall.streams.analytics import files
from tap_aircall.streams.analytics.files import parse
from tests.damage import damaged
from tests.messages import refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def rows(content: bytes, *, zipped: bool = False) -> list[dict[str, str]]:
    return list(parse(io.BytesIO(content), zipped=zipped))


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
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


def test_a_zip_file_is_recognized_without_its_suffix() -> None:
    assert rows(archive(("folder/", b""), ("folder/report.csv", b"A\n1\n"))) == [{"A": "1"}]


@pytest.mark.parametrize(
    ("content", "zipped", "facts"),
    [
        (b"A\n\xff", False, ["UTF-8"]),
        (b"A\n1\0\n", False, ["NUL"]),
        ("A\n1\n".encode("utf-16-le"), False, ["NUL"]),
        (b"A\n" + b"1," * 600_000, False, ["row", 2**20]),
        (b'A\n"1', False, ["CSV", "unexpected end of data"]),  # the reason is Python's, as in the next
        (b"A\n" + b"1" * 200_000, False, ["CSV", "field larger than field limit (131072)"]),
        (b"A\n1\n", True, ["zip"]),
        (archive(("report.csv", b"A\n1\n"))[:-10], True, ["zip"]),
        (archive(("report.csv", b"A\n1\n"), method=zipfile.ZIP_BZIP2), True, ["zip"]),  # needs much memory
        (archive(("report.csv", b"A\n1\n"), method=zipfile.ZIP_LZMA), True, ["zip"]),
        (archive(), True, ["zip", 0]),
        (archive(("a.csv", b""), ("b.csv", b"")), True, ["zip", 2]),
    ],
)
def test_an_unreadable_file_gets_one_line(content: bytes, zipped: bool, facts: list[object]) -> None:
    with refused(ReportError, *facts):
        rows(content, zipped=zipped)


def test_a_zip_file_with_a_wrong_checksum_is_refused() -> None:
    content = archive(("report.csv", b"A\n" + b"1\n" * 1000))
    place = content.index(b"PK\x01\x02") + 16  # where the directory of the archive keeps it
    broken = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    with refused(ReportError, "zip"):
        rows(broken, zipped=True)


def test_a_zip_file_that_would_fill_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 1_000)

    with refused(ReportError, "zip", 1_000):
        rows(archive(("report.csv", b"A\n" + b"1\n" * 1000)), zipped=True)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_is_read_a_row_at_a_time(monkeypatch: pytest.MonkeyPatch, *, zipped: bool) -> None:
    monkeypatch.setattr(files, "IN_MEMORY", 1_000)
    content = b"A\n" + b"1\n" * 30_000
    file = io.BytesIO(archive(("report.csv", content)) if zipped else content)
    tracemalloc.start()
    try:
        assert sum(1 for _ in parse(file, zipped=zipped)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20  # the rows would be several times that
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code></Error>',
        b"<?xml version='1.0'?>\n<Error>\n<Code>InternalError</Code>\n</Error>\n",
        b"\xef\xbb\xbf\r\n <!DOCTYPE html>\n<html>\n<body>Back, in a minute</body>\n</html>\n",
        b'{"error": "Internal Server Error", "code": 500}',
        b'[{"error": "Internal Server Error"}]\n',
    ],
)
def test_a_web_page_or_an_error_is_not_taken_for_a_report(content: bytes) -> None:
    for file in (content, archive(("report.csv", content))):
        with refused(ReportError, "HTML", "XML", "JSON"):
            rows(file)


FAULTS = [b"\xff", b"\0", b'"1\n', b"1" * 131_073, b'"1\n",' * 300_000]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_the_end_of_a_file_yields_no_rows(fault: bytes) -> None:
    content = b"A\n" + b"1\n" * 1_000 + fault
    for file in (content, archive(("report.csv", content))):
        with pytest.raises(ReportError):
            next(parse(io.BytesIO(file), zipped=False))


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TABLES = st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=8)


def written(table: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["Call ID", "Direction"], *table])
    return text.getvalue().encode()


@given(TABLES)
def test_every_cell_arrives_whatever_is_in_it(table: list[list[str]]) -> None:
    names = ["Call ID", "Direction", "column_3", "column_4", "column_5"]
    expected = [dict(zip(names, cells, strict=False)) for cells in table]

    for file in (written(table), archive(("report.csv", written(table)))):
        assert rows(file) == expected


TABLE = [[str(number), "inbound" if number % 3 else "outbound"] for number in range(100)]
WHOLE = rows(written(TABLE))


@settings(max_examples=few_or_many(300, 50_000))
@given(st.data())
def test_a_damaged_zip_file_has_all_rows_or_none(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    file = data.draw(damaged(archive(("calls.csv", written(TABLE)), method=method)))
    read = []
    try:
        for row in parse(io.BytesIO(file), zipped=True):
            read.append(row)  # noqa: PERF402 - what came before a failure counts
    except ReportError:
        assert read == []
    else:
        assert read == WHOLE


def work(content: bytes) -> int:
    """Count the lines of the tap that run while a file is read, which a busy machine does not change."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == files.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        rows(content)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda size: b"A\n" + b",1" * size + b"\n", id="surplus cells"),
        pytest.param(lambda size: b"A" + b",A" * size + b"\n1\n", id="one name for all"),
        pytest.param(lambda size: b"A,A_2" * size + b"\n1\n", id="names that look like copies"),
        pytest.param(lambda size: b"," * size + b"\n1\n", id="no names"),
        pytest.param(
            lambda size: (
                ",".join(f"column_{number}" for number in range(size, 0, -1)).encode() + b"\n" + b"," * 2 * size
            ),
            id="names that we would give",
        ),
        pytest.param(lambda size: b"A\n" + b"1\n" * size + b"1," * size + b"\n", id="one ragged row"),
    ],
)
def test_the_cost_of_a_file_grows_with_its_size_alone(shape: Callable[[int], bytes]) -> None:
    assert work(shape(2_000)) < 2.1 * work(shape(1_000))


def test_made_up_column_names_do_not_clash_with_real_ones() -> None:
    assert rows(b"column_3,column_3,A\n1,2,3,4,5\n1,2,3,4,5,6\n") == [
        {"column_3": "1", "column_3_2": "2", "A": "3", "column_4": "4", "column_5": "5"},
        {"column_3": "1", "column_3_2": "2", "A": "3", "column_4": "4", "column_5": "5", "column_6": "6"},
    ]
