"""Recordings and voicemails: each file is downloaded once to `recordings_location`.

Links expire after an hour (facts: Changes after the call), so files are downloaded as soon as their page of calls is
read. The state moves on only when they are stored. A stored file of the same length as the download is reused. Calls
are read again at the ages of `reread_after_hours`, since a recording may appear late; files that the state remembers
are not downloaded again.

An expired link is requested again through its call, once. A file that Aircall no longer has gets a record too, as does,
after a week, one that is unusable or refused.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from typing_extensions import override

from tap_aircall.errors import (
    AircallError,
    ExpiredError,
    RejectedRequestError,
    ResponseError,
    StorageError,
    StreamUnavailableError,
    TransientError,
    UnavailableError,
)
from tap_aircall.reading.cursors import BEGINNING
from tap_aircall.reading.later import YOUNG_SECONDS, Reason, ids_to_state, parse_ids
from tap_aircall.reading.times import HOUR_SECONDS, to_rfc3339, to_seconds
from tap_aircall.streams.calls.details import CallDetails, is_followed, upgrade_followed
from tap_aircall.streams.recordings.archive import SETTING, Archive, Kept

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from singer_sdk import Tap

    from tap_aircall.http.session import Incoming
    from tap_aircall.reading.cursors import Cursors
    from tap_aircall.reading.pages import Record
    from tap_aircall.streams.run import Run

KINDS = ("recording", "voicemail")
"""Kinds of files, and the call's fields with their links."""
LARGEST = 2 * 2**30
"""Bytes of a file; more than a day of uncompressed speech."""
MOST_REDIRECTS = 3
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
KEPT = "kept"
"""State key: calls whose files are stored."""
KINDS_OF_AUDIO = {
    "aac": ("aac",),
    "m4a": ("m4a", "mp4", "x-m4a"),
    "mp3": ("mp3", "mpeg"),
    "ogg": ("ogg",),
    "wav": ("vnd.wave", "wav", "wave", "x-wav"),
    "webm": ("webm",),
}
EXTENSIONS = {f"audio/{kind}": extension for extension, kinds in KINDS_OF_AUDIO.items() for kind in kinds}
NO_AUDIO = ("text/", "application/json", "application/xml", "application/xhtml")
"""Content types of pages and errors in place of a file."""


class Wanted(NamedTuple):
    """One file of a call."""

    call: Record
    kind: str
    day: str
    """UTC day of the call's start, as folders."""
    there: dict[str, int]
    """Stored files that it may be, with their sizes in bytes."""

    @property
    def started_at(self) -> int:
        """When the call began (UNIX seconds)."""
        return to_seconds(self.call["started_at"])

    def name(self, extension: str) -> str:
        """Return the name of the file."""
        return f"{self.call['id']}-{self.kind}.{extension}"


class CallRecordings(CallDetails):
    """Recordings and voicemails: which are stored, and where."""

    name = "call_recordings"
    cost = "one per 50 calls, at each age; one for each link that expired before the file was fetched"
    primary_keys = ("call_id", "kind")
    path = "/v1/calls"
    envelope = "call"
    state_keys = (*CallDetails.state_keys, KEPT)
    rereads = True
    _archive: Archive

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self._read_call = partial(self.read_one, self.envelope, {})
        self._kept: dict[str, dict[int, int]] = {kind: {} for kind in KINDS}
        """Calls with stored files, by kind: their starts, rounded down to the hour (UNIX seconds)."""
        self._forgotten = BEGINNING
        """The initial state remembers no files of calls that began up to then (UNIX seconds)."""

    @override
    def prepare(self) -> None:
        if self.settings.recordings_location:
            self._archive = Archive(self.settings.recordings_location)
            super().prepare()

    @override
    def pages(self) -> Generator[list[Record]]:
        if not self.settings.recordings_location:
            raise StreamUnavailableError(f"is left out: the setting {SETTING} is missing.")
        yield from super().pages()

    @override
    def sample(self) -> list[Record]:
        """Check `recordings_location` without downloading a file."""
        if not self.settings.recordings_location:
            raise StorageError(f"Setting {SETTING}: missing; name a folder or bucket for the files.")
        self.prepare()
        self._archive.check(_day_of(int(self.clock.time())))
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        _kept_of(state)
        return super().parse_state(state)

    @override
    def upgrade_state(self) -> None:
        if KEPT in self.stream_state and is_followed(self.tap.state, self.name):
            upgrade_followed(self.tap.state, self.name, back=YOUNG_SECONDS)

    @override
    def begin(self) -> Cursors:
        self._kept = _kept_of(self.stream_state)
        cursors = super().begin()
        self._forgotten = _forgotten_by(cursors)
        return cursors

    @override
    def to_state(self, cursors: Cursors) -> dict[str, Any]:
        forgotten = _forgotten_by(cursors) - HOUR_SECONDS
        self._kept = {
            kind: {call_id: start for call_id, start in ids.items() if start > forgotten}
            for kind, ids in self._kept.items()
        }
        kept = {kind: ids_to_state(ids) for kind, ids in self._kept.items() if ids}
        return {**super().to_state(cursors), KEPT: kept}

    @override
    def wanted(self, calls: Sequence[Record]) -> list[Record]:
        return [call for call in calls if any(self._link_in(call, kind) for kind in KINDS)]

    @override
    def details_of(self, calls: Sequence[Record]) -> Iterator[list[Record]]:
        files = [each for call in calls for each in self._missing(call)]
        wanted = [each for each in files if self._is_remembered(each)]
        waiting = {each.call["id"] for each in files if not each.there and not self._is_remembered(each)}
        for call_id in waiting:
            self._later.add(call_id, Reason.EARLY, self._now)
        for each, outcome in zip(wanted, self.client.in_flight(self._try_to_download, wanted), strict=True):
            self._asked += 1
            if (record := self._record_or_none(each, outcome)) is None:
                waiting.add(each.call["id"])
            else:
                self._kept[each.kind][each.call["id"]] = each.started_at // HOUR_SECONDS * HOUR_SECONDS
                self.progress.add(0, size=record["bytes"] or 0)
                yield [record]
        for call in calls:
            if call["id"] not in waiting:
                self._later.settle(call["id"])

    @override
    def details_again(self, calls: Sequence[int]) -> Generator[list[Record], None, bool]:
        for call_id, call in zip(calls, self.client.in_flight(self._read_call, calls), strict=True):
            if call is None:
                self._later.settle(call_id)
            else:
                yield from self.details_of([call])
        return True

    def _record_or_none(self, wanted: Wanted, outcome: Record | AircallError) -> Record | None:
        """Return the record of a file, or set its call aside and return None."""
        if not isinstance(outcome, AircallError):
            return outcome
        call_id = wanted.call["id"]
        reason = Reason.REFUSED if isinstance(outcome, ExpiredError) else Reason.UNUSABLE
        if self._later.is_last_try(call_id, self._now):
            return self._record(wanted, None, None, status=reason.value)
        self.set_aside_call(call_id, reason, str(outcome))
        return None

    def _link_in(self, call: Record, kind: str) -> str | None:
        link = call.get(kind)
        return link if isinstance(link, str) and link and call["id"] not in self._kept[kind] else None

    def _missing(self, call: Record) -> Iterator[Wanted]:
        """Yield the files of a call that the state does not remember as stored."""
        for kind in KINDS:
            if self._link_in(call, kind) is not None:
                day, begin = _day_of(to_seconds(call["started_at"])), Wanted(call, kind, "", {}).name("")
                there = {name: size for name, size in self._archive.names_of(day).items() if name.startswith(begin)}
                yield Wanted(call, kind, day, there)

    def _is_remembered(self, wanted: Wanted) -> bool:
        """Return whether the initial state would remember a file that has a record.

        It forgets old calls. A stored file of such a call has a record: a run that misses the file only sets its call
        aside, and a later run, whose state records that, downloads it.
        """
        return wanted.started_at > self._forgotten or wanted.call["id"] in self._later

    def _try_to_download(self, wanted: Wanted) -> Record | AircallError:
        """Download a file; return its record or the error. Runs in any thread."""
        try:
            return self._download(wanted)
        except (ExpiredError, ResponseError, RejectedRequestError, UnavailableError) as error:
            return error

    def _download(self, wanted: Wanted) -> Record:
        link: str | None = wanted.call[wanted.kind]
        has_asked = False
        while link is not None:
            try:
                take = partial(self._store, wanted, link)
                kept, content_type = self.client.downloader.receive(link, take, redirects=MOST_REDIRECTS)
            except ExpiredError as error:
                if has_asked and error.status not in GONE:
                    raise
                link, has_asked = None if has_asked else self._link_of(wanted), True
            else:
                return self._record(wanted, kept, content_type)
        for name in wanted.there:
            return self._record(wanted, self._archive.look_at(wanted.day, name), None)
        return self._record(wanted, None, None)

    def _store(self, wanted: Wanted, link: str, incoming: Incoming) -> tuple[Kept, str]:
        """Store an incoming file unless it already exists."""
        content_type = incoming.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        name = wanted.name(_extension(content_type, link))
        if incoming.length and wanted.there.get(name) == incoming.length:
            return self._archive.look_at(wanted.day, name), content_type
        pieces = incoming.pieces(LARGEST)
        first = next(pieces, b"")
        if not first or content_type.startswith(NO_AUDIO):
            raise TransientError(f"Aircall's link to a {wanted.kind} leads to something other than audio.")
        return self._archive.keep(wanted.day, name, itertools.chain([first], pieces)), content_type

    def _link_of(self, wanted: Wanted) -> str | None:
        """Request a call's link again; None if the call is gone or has none."""
        call = self._read_call(wanted.call["id"]) or {}
        link = call.get(wanted.kind)
        return link if isinstance(link, str) and link else None

    def _record(self, wanted: Wanted, kept: Kept | None, content_type: str | None, status: str = "gone") -> Record:
        return {
            "call_id": wanted.call["id"],
            "kind": wanted.kind,
            "status": status if kept is None else "kept",
            "path": kept and kept.path,
            "bytes": kept and kept.size,
            "sha256": kept and kept.sha256,
            "content_type": content_type or None,
            "duration": wanted.call["duration"],
            "archived_at": to_rfc3339(int(self.clock.time())),
        }


def _kept_of(state: Mapping[str, Any]) -> dict[str, dict[int, int]]:
    """Parse the calls with stored files in a state; raise an error that `check_state` catches if malformed."""
    kept = state.get(KEPT, {})
    if strangers := kept.keys() - set(KINDS):
        raise ValueError(strangers)
    return {kind: parse_ids(kept.get(kind, {})) for kind in KINDS}


def _forgotten_by(cursors: Cursors) -> int:
    """Return the time up to which a state with these cursors forgets files of calls (UNIX seconds)."""
    return BEGINNING if cursors.read_through is None else cursors.read_through - YOUNG_SECONDS


def _day_of(second: int) -> str:
    """Return the UTC day of a UNIX second, as folders."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y/%m/%d")


def _extension(content_type: str, link: str) -> str:
    """Return the extension for a content type, or else that of the link."""
    said = urlsplit(link).path.rpartition(".")[2].lower()
    return EXTENSIONS.get(content_type) or (said if said in EXTENSIONS.values() else "bin")
