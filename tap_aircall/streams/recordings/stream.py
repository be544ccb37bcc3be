"""Recordings and voicemails: each file is fetched once, and kept where `recordings_location` says.

A link in a call ends after an hour (facts: Changes after the call), so that the files follow the calls: whenever
`calls` has read some, their files are fetched. Only when they are whole in their place does the state say that these
calls are done. A file that is there already, as long as the one behind the link, is looked at rather than fetched. When
a call is read again, what the state remembers is not asked for again; a recording that appeared late is.

A link that has ended is asked for again through its call, once. What Aircall no longer has is a record as well.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from functools import cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from typing_extensions import override

from tap_aircall.errors import ExpiredError, NotFoundError, ResponseError, StreamUnavailableError, TransientError
from tap_aircall.http.addresses import path_of
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.streams.calls.followers import CallFollower, Reading
from tap_aircall.streams.calls.ids import CallIds
from tap_aircall.streams.recordings.archive import SETTING, Archive, Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_aircall.http.session import Incoming
    from tap_aircall.reading.pages import Record

KINDS = ("recording", "voicemail")
"""What a call may have; the fields with their links are called so."""
LARGEST = 2 * 2**30
"""Bytes of a file; a day of uncompressed speech has less."""
REDIRECTS = 3
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
KEPT = "kept"
"""Key of the state."""
EXTENSIONS = {
    "audio/aac": "aac",
    "audio/m4a": "m4a",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/vnd.wave": "wav",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/webm": "webm",
    "audio/x-m4a": "m4a",
    "audio/x-wav": "wav",
}
NO_AUDIO = ("text/", "application/json", "application/xml", "application/xhtml")
"""Types of what may come in place of a file: a page, or an error."""


class Wanted(NamedTuple):
    """One file of a call."""

    call: Record
    kind: str
    day: str
    """UTC day on which the call began, as folders."""
    there: dict[str, int]
    """Files that it may be, with their sizes in bytes."""

    @property
    def started_at(self) -> int:
        """When the call began (UNIX seconds)."""
        return to_seconds(self.call["started_at"])

    def name(self, extension: str) -> str:
        """Return the name of the file."""
        return f"{self.call['id']}-{self.kind}.{extension}"


class CallRecordings(CallFollower):
    """Which recordings and voicemails are kept, and where."""

    name = "call_recordings"
    cost = "none; one for each link that expired before the file was fetched"
    primary_keys = ("call_id", "kind")
    path = "/v1/calls/{}"
    envelope = "call"
    state_keys = (KEPT,)
    asks_for_each = False

    @cached_property
    def _archive(self) -> Archive | None:
        """Where the files are kept; None if the settings do not say."""
        location = self.tap.settings.recordings_location
        return Archive(location) if location else None

    @override
    def prepare(self) -> None:
        _ = self._archive  # a place that cannot be used ends the run before it begins

    @override
    def extract(self) -> Iterable[list[Record]]:
        if self._archive is None:
            raise self._left_out()
        return super().extract()

    @override
    def sample(self) -> list[Record]:
        """See whether there is a place for files, without asking for one."""
        if self._archive is None:
            raise self._left_out()
        self._archive.names_of(_day_of(int(self.clock.time())))
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> dict[str, CallIds]:
        kept = state.get(KEPT, {})
        if strangers := kept.keys() - set(KINDS):
            raise ValueError(strangers)
        return {kind: CallIds.parse(kept.get(kind, {})) for kind in KINDS}

    @override
    def begin(self, reading: Reading) -> None:
        if self._archive is not None:
            super().begin(reading)
        self._kept = self.parse_state(self.stream_state)

    @override
    def follow(self, calls: Sequence[Record], reading: Reading) -> None:
        if self._archive is None:
            return
        wanted = list(self._wanted(self._archive, calls, reading))
        for each, record in zip(
            wanted, self.client.in_flight(partial(self._fetched, self._archive), wanted), strict=True
        ):
            self.write_records([record])
            self._kept[each.kind].add(each.call["id"], each.started_at)
            self.progress.add(1, size=record["bytes"] or 0)

    @property
    @override
    def lacks_after(self) -> int | None:
        return None

    @override
    def catch_up(self, calls: Sequence[Record], reading: Reading, through: int | None) -> None:
        raise AssertionError  # it lacks nothing

    @override
    def note(self, reading: Reading) -> None:
        if self._archive is not None:
            kept = {kind: ids.to_state(reading.forgets_before) for kind, ids in self._kept.items()}
            self.stream_state[KEPT] = {kind: ids for kind, ids in kept.items() if ids}

    @override
    def finish(self) -> None:
        self.progress.close()

    def _wanted(self, archive: Archive, calls: Sequence[Record], reading: Reading) -> Iterator[Wanted]:
        """Say which files of some calls are to be kept and, as far as is known, are not."""
        for call in calls:
            for kind in KINDS:
                if not isinstance(call[kind], str) or not call[kind] or call["id"] in self._kept[kind]:
                    continue
                started_at = to_seconds(call["started_at"])
                day, begin = _day_of(started_at), Wanted(call, kind, "", {}).name("")
                there = {name: size for name, size in archive.names_of(day).items() if name.startswith(begin)}
                if reading.is_open(started_at) or not there:
                    yield Wanted(call, kind, day, there)

    def _fetched(self, archive: Archive, wanted: Wanted) -> Record:
        """Have a file kept; return its record. May run in any thread."""
        take = partial(self._take, archive, wanted)
        link: str | None = wanted.call[wanted.kind]
        has_asked = False
        while link is not None:
            try:
                kept, content_type = self.client.receive(link, partial(take, link), redirects=REDIRECTS)
            except ExpiredError as error:
                if has_asked and error.status not in GONE:
                    raise
                link, has_asked = None if has_asked else self._link_of(wanted), True
            else:
                return self._record(wanted, kept, content_type)
        for name in wanted.there:
            return self._record(wanted, archive.look_at(wanted.day, name), None)
        return self._record(wanted, None, None)

    def _take(self, archive: Archive, wanted: Wanted, link: str, incoming: Incoming) -> tuple[Kept, str]:
        """Keep a file that comes in, unless it is there."""
        content_type = incoming.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        name = wanted.name(_extension(content_type, link))
        if incoming.length and wanted.there.get(name) == incoming.length:
            return archive.look_at(wanted.day, name), content_type
        pieces = incoming.pieces(LARGEST)
        first = next(pieces, b"")
        if not first or content_type.startswith(NO_AUDIO):
            message = f"Aircall's link to a {wanted.kind} leads to something that is no audio."
            raise TransientError(message)
        return archive.keep(wanted.day, name, itertools.chain([first], pieces)), content_type

    def _link_of(self, wanted: Wanted) -> str | None:
        """Ask a call for its link once more; None if it has none, or is gone."""

        def parse(payload: Any) -> str | None:
            call = payload.get(self.envelope) if isinstance(payload, dict) else None
            if not isinstance(call, dict) or call.get("id") != wanted.call["id"]:
                message = "Aircall answered with another call than asked for."
                raise ResponseError(message)
            link = call.get(wanted.kind)
            return link if isinstance(link, str) and link else None

        try:
            return self.client.get(path_of(self.path, wanted.call["id"]), {}, parse)
        except NotFoundError:
            return None

    def _left_out(self) -> StreamUnavailableError:
        return StreamUnavailableError(
            f"Stream '{self.name}' is left out: the setting {SETTING} does not say where to keep the files."
        )

    def _record(self, wanted: Wanted, kept: Kept | None, content_type: str | None) -> Record:
        return {
            "call_id": wanted.call["id"],
            "kind": wanted.kind,
            "status": "gone" if kept is None else "kept",
            "path": kept and kept.path,
            "bytes": kept and kept.size,
            "sha256": kept and kept.sha256,
            "content_type": content_type or None,
            "duration": wanted.call["duration"],
            "archived_at": to_rfc3339(int(self.clock.time())),
        }


def _day_of(second: int) -> str:
    """Return the UTC day of a UNIX second, as folders."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y/%m/%d")


def _extension(content_type: str, link: str) -> str:
    """Choose how the name of a file ends: by its type, or as its link does."""
    said = urlsplit(link).path.rpartition(".")[2].lower()
    return EXTENSIONS.get(content_type) or (said if said in EXTENSIONS.values() else "bin")
