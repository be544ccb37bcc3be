"""The storage of recordings: a folder or an object store, through fsspec.

A file is stored whole or not at all. In a folder, it is written under a temporary name and renamed once it is on the
disk; an object store gets it in one put. New folders and files are readable only by their owner.
"""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tap_aircall.errors import AircallError, InputError, StorageError, needs_extra, one_line, reason_of
from tap_aircall.http.session import PIECE
from tap_aircall.reading.times import DAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fsspec import AbstractFileSystem

SETTING = "recordings_location"
PARTS = 8 * 2**20
"""Bytes of a multipart upload's part; less than fsspec's, so that memory stays flat."""
PUT: dict[str, dict[str, Any]] = {
    "s3": {"chunksize": PARTS, "max_concurrency": 1},
    "gs": {"chunksize": PARTS},
    "abfs": {"max_concurrency": 1},
}
"""Upload options of each object store; each store needs the extra of the same name."""
LIBRARIES = ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs")
"""Loggers to silence: they log long tracebacks with URLs where the tap logs one line."""
NO_CREDENTIALS = "finds no credentials in the environment"
ASIDE = ".part"
"""Suffix of incomplete files."""
ABANDONED_SECONDS = DAY_SECONDS
"""Age of an incomplete file that a killed run must have left."""
DAYS_REMEMBERED = 64


class Kept(NamedTuple):
    """A stored file."""

    path: str
    """Path, including the location."""
    size: int
    """In bytes."""
    sha256: str


class Archive:
    """Files by day and name. Thread-safe, except for `names_of`.

    Args:
        location: A folder, or a URL in an object store.

    Raises:
        InputError: If such a place cannot be used.
    """

    def __init__(self, location: str) -> None:
        protocol, is_url, path = location.partition("://")
        self._location = location.rstrip("/") or "/"
        self._options = PUT[protocol] if is_url and protocol in PUT else None
        if is_url and (self._options is None or not path.strip("/")):
            raise InputError(f"Setting {SETTING}: must be a folder, or a URL such as s3://bucket, gs:// or abfs://.")
        self._system = _file_system(protocol if is_url else "file")
        self.names_of = lru_cache(DAYS_REMEMBERED)(self._list)
        """Returns the files of a day, such as `2026/11/23`, with their sizes in bytes, or raises a `StorageError`."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a local folder rather than an object store."""
        return self._options is None

    def check(self, day: str) -> None:
        """Check that the files of a day can be listed, and that a folder can take new ones; leaves nothing behind.

        Raises:
            StorageError: If not.
        """
        self.names_of(day)
        if self.is_folder:
            folder = Path(self._path(day)).absolute()
            there = next(each for each in folder.parents if each.exists())
            with self._explained(), tempfile.TemporaryFile(dir=there):
                pass

    def keep(self, day: str, name: str, pieces: Iterable[bytes]) -> Kept:
        """Store a file.

        Args:
            day: Such as `2026/11/23`.
            name: Name of the file.
            pieces: Its content. If they raise an error, nothing is stored.

        Raises:
            StorageError: If it cannot be stored.
        """
        path, digest, size = self._path(day, name), hashlib.sha256(), 0
        with self._aside(path) as file:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                with self._explained():
                    file.write(piece)
            with self._explained():
                self._move(file, path)
        return Kept(path, size, digest.hexdigest())

    def look_at(self, day: str, name: str) -> Kept:
        """Read a stored file.

        Raises:
            StorageError: If it cannot be read.
        """
        path, digest, size = self._path(day, name), hashlib.sha256(), 0
        with self._explained(), self._system.open(path, "rb", block_size=PARTS, cache_type="readahead") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                size += len(piece)
        return Kept(path, size, digest.hexdigest())

    def _path(self, *names: str) -> str:
        return posixpath.join(self._location, *names)

    def _list(self, day: str) -> dict[str, int]:
        with self._explained():
            try:
                entries = self._system.ls(self._path(day), detail=True)
            except FileNotFoundError as error:
                if error.__cause__ is not None:  # on S3, the bucket is missing rather than empty
                    raise
                return {}
            if self.is_folder:
                _sweep(Path(self._path(day)))
        files = [entry for entry in entries if entry["type"] == "file" and not entry["name"].endswith(ASIDE)]
        return {posixpath.basename(entry["name"]): int(entry["size"]) for entry in files}

    @contextmanager
    def _aside(self, path: str) -> Iterator[IO[bytes]]:
        """Open a temporary file for the content of a path; it is removed at the end unless moved."""
        with self._explained():
            folder = posixpath.dirname(path) if self.is_folder else None
            if folder is not None:
                _make_folder(Path(folder))
            # Readable only by its owner, as tempfile creates it.
            file = tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=ASIDE, delete=False)  # noqa: SIM115
        try:
            yield file
        finally:
            with suppress(OSError):  # buffered data may not fit on a full disk
                file.close()
            Path(file.name).unlink(missing_ok=True)

    def _move(self, file: IO[bytes], path: str) -> None:
        file.flush()
        if self._options is None:
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        else:
            self._system.put_file(file.name, path, **self._options)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise a `StorageError` in place of any error of a file system or store."""
        try:
            yield
        except AircallError:
            raise
        except Exception as error:
            raise StorageError(
                f"Setting {SETTING}: files cannot be stored in {one_line(self._location)}: {_reason(error)}."
            ) from error


def _file_system(protocol: str) -> AbstractFileSystem:
    import fsspec  # noqa: PLC0415 - slow to import

    try:
        for name in LIBRARIES:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # No cached listings: other processes write too.
        return fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        raise InputError(needs_extra(f"Setting {SETTING}: {protocol}://", protocol)) from error
    except Exception as error:
        raise InputError(f"Setting {SETTING}: {protocol}:// {NO_CREDENTIALS}; see docs/recordings.md.") from error


def _reason(error: Exception) -> str:
    """Return why a place cannot be used, without the error's text, which may be a server's, or contain a URL."""
    kind = type(error).__name__
    if "Credential" in kind:
        return NO_CREDENTIALS
    if "Connect" in kind or "Timeout" in kind:
        return "its server cannot be reached"
    if isinstance(error, OSError) and error.errno:
        return reason_of(OSError(error.errno, os.strerror(error.errno)))
    return {"FileNotFoundError": "there is no such bucket", "PermissionError": "its server refuses it"}.get(kind, kind)


def _make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible only to their owner."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)


def _sweep(folder: Path) -> None:
    """Remove incomplete files that killed runs left in a folder."""
    for file in folder.glob(f".*{ASIDE}"):
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                file.unlink()
