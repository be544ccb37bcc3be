"""The place for recordings, a folder or S3: files are stored whole or not at all, in constant memory."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error

from tap_aircall.errors import InputError, StorageError, TransientError
from tap_aircall.streams.recordings.archive import ABANDONED_SECONDS, PARTS, Archive
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.streams.recordings.buckets import Bucket

DAY = "2026/11/23"
PIECE = 2**16


def pieces(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * PIECE


def broken(count: int) -> Iterator[bytes]:
    yield from pieces(count)
    message = "cut"
    raise TransientError(message)


@pytest.fixture(params=["folder", "bucket"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "kept")
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.url


@pytest.mark.parametrize("count", [1, 2 * PARTS // PIECE + 3])
def test_a_file_is_kept_whole_and_found_again(location: str, count: int) -> None:
    content = b"".join(pieces(count))

    kept = Archive(location).keep(DAY, "1-recording.mp3", pieces(count))

    assert kept == (f"{location}/{DAY}/1-recording.mp3", len(content), hashlib.sha256(content).hexdigest())
    again = Archive(location)
    assert again.names_of(DAY) == {"1-recording.mp3": len(content)}
    assert again.look_at(DAY, "1-recording.mp3") == kept
    assert again.names_of("2026/11/22") == {}


def test_one_that_breaks_off_leaves_nothing(location: str, tmp_path: Path) -> None:
    archive = Archive(location)
    for count in (0, 1, 2 * PARTS // PIECE + 3):
        with pytest.raises(TransientError):
            archive.keep(DAY, "1-recording.mp3", broken(count))

    assert Archive(location).names_of(DAY) == {}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_one_that_is_there_is_replaced_by_a_whole_one_or_stays(location: str) -> None:
    archive = Archive(location)
    first = archive.keep(DAY, "1-recording.mp3", pieces(1))
    with pytest.raises(TransientError):
        archive.keep(DAY, "1-recording.mp3", broken(2))
    assert archive.look_at(DAY, "1-recording.mp3") == first

    second = archive.keep(DAY, "1-recording.mp3", pieces(3))
    assert archive.look_at(DAY, "1-recording.mp3") == second


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    tracemalloc.start()
    kept = archive.keep(DAY, "1-recording.mp3", pieces(1_000))
    assert archive.look_at(DAY, "1-recording.mp3") == kept
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept.size == 1_000 * PIECE
    assert peak < 2 * PARTS


def test_old_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / DAY
    folder.mkdir(parents=True)
    old, new = folder / ".abc.part", folder / ".def.part"
    for file, age in ((old, ABANDONED_SECONDS + 60), (new, 60)):
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age, time.time() - age))

    assert Archive(str(tmp_path)).names_of(DAY) == {}
    assert not old.exists()
    assert new.exists()  # another run may be writing it


def test_existing_folders_keep_their_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Archive(str(tmp_path)).keep(DAY, "1-recording.mp3", pieces(1))

    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "2026").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("protocol", ["s3", "gs", "abfs"])
def test_a_missing_extra_is_named(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    known = vars(importlib.import_module("fsspec.registry"))["_registry"]
    monkeypatch.delitem(known, protocol, raising=False)

    with refused(InputError, "recordings_location", f"{protocol}://", f"pip install '.[{protocol}]'"):
        Archive(f"{protocol}://voices")


class TestBuckets:
    def test_a_run_keeps_files_in_one(self, aircall: Aircall, bucket: Bucket) -> None:
        call = aircall.world.add_call(started_at=int(aircall.clock.now) - 7200)["id"]

        first = aircall.run("call_recordings", recordings_location=bucket.url)
        again = aircall.run("call_recordings", recordings_location=bucket.url)

        (record,) = first.records("call_recordings")
        path = f"s3://{bucket.name}/aircall/2026/11/23/{call}-recording.mp3"
        assert record["path"] == path
        assert list(bucket.files()) == [path]
        assert hashlib.sha256(bucket.files()[path]).hexdigest() == record["sha256"]
        assert again.records("call_recordings") == [record]

    @pytest.mark.parametrize(
        ("variable", "value", "named"),
        [
            ("AWS_ENDPOINT_URL", None, "bucket"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "server"),
            ("AWS_ACCESS_KEY_ID", "", "credentials"),
        ],
    )
    def test_one_that_cannot_be_used_is_one_line(
        self, bucket: Bucket, variable: str, value: str | None, named: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", "/nowhere")
        if value is not None:
            monkeypatch.setenv(variable, value)
        url = bucket.url if value is not None else "s3://nowhere/"

        for use in (lambda: Archive(url).names_of(DAY), lambda: Archive(url).keep(DAY, "1-recording.mp3", pieces(1))):
            with refused(StorageError, "recordings_location", url.rstrip("/"), named):
                use()

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidBucketName", "NoSuchBucket", "QuotaExceeded", "SlowDown"])
    def test_server_messages_are_not_passed_on(
        self, bucket: Bucket, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            said = {"Error": {"Code": code, "Message": "forged\nline, +33 6 12 34 56 78"}}
            raise translate_boto_error(ClientError(said, "PutObject"))

        archive = Archive(bucket.url)
        monkeypatch.setattr(vars(archive)["_system"], "put_file", refuse)

        with refused(StorageError, "recordings_location", bucket.url) as raised:
            archive.keep(DAY, "1-recording.mp3", pieces(1))
        assert not re.search("forged|\n|33 6", str(raised.value))

    def test_azure_without_its_variables_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            monkeypatch.delenv(name)
        with refused(InputError, "recordings_location", "abfs://", "docs/recordings.md"):
            Archive("abfs://voices")

    def test_store_libraries_log_nothing(self, bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        Archive(bucket.url)
        for name in ("gcsfs", "azure.identity.aio", "aiobotocore.credentials"):
            logging.getLogger(name).error("pages")
        assert caplog.messages == []
