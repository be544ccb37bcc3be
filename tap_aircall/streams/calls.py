"""Calls: all of them, once, in order; then again when they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_aircall.cursors import FIRST_RUN, POSITIONS, Cursors, Window
from tap_aircall.errors import AircallError
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.intelligence import Artefacts, Reading
from tap_aircall.times import to_rfc3339, to_seconds
from tap_aircall.walks import AscendingWalk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.singerlib import MetadataMapping

    from tap_aircall.walks import Query, Record

FETCH_FLAGS = {
    "contact": "fetch_contact",
    "recording_short_url": "fetch_short_urls",
    "voicemail_short_url": "fetch_short_urls",
    "ivr_options_selected": "fetch_call_timeline",
    "ai_voice_agents": "fetch_aiva_conv",
}
"""Fields that Aircall fills only when asked to, and what to ask (facts, section 4.1). They cost Aircall time and a
target space, so that they are opted into."""

FOLLOWED = ("id", "started_at")
"""What the streams that follow calls have to know of one."""
PAGES_PER_STATE = 10
"""After so many pages, 500 calls, the target is told where to go on after a failure; after each, when each of its calls
costs further requests."""


class Calls(AircallStream):
    """Calls of the company, but for internal ones, which Aircall shows to nobody."""

    name = "calls"
    primary_keys = ("id",)
    replication_key = "started_at"
    path = "/v1/calls"
    envelope = "calls"
    state_keys = (FIRST_RUN, POSITIONS)

    was_read = False
    """Whether this run has read calls, for itself or for the streams that follow them."""
    _is_held = False
    """Whether the state stays where it is, since a stream that follows failed."""
    _began: float | None = None
    """When it began to (monotonic seconds)."""

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        if self._tap_input_catalog is None:
            for field in FETCH_FLAGS:
                metadata["properties", field].selected_by_default = False
        return metadata

    @override
    def extract(self) -> Iterator[list[Record]]:
        self._began = self.clock.monotonic()
        cursors = self.parse_state({} if self.is_full_table else self.stream_state)
        reading = Reading.of(cursors, self._now)
        self.was_read = True
        streams = self._tap.streams.values()
        followers = [stream for stream in streams if isinstance(stream, Artefacts) and stream.selected]
        for follower in followers:
            follower.begin()
        for window in cursors.windows():
            yield from self._read(window, cursors, list(followers), reading)
        for follower in followers:
            follower.finish()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        settings = self._tap.settings
        return Cursors(
            state,
            state.get("replication_key_value"),
            ages=settings.reread_after_seconds,
            now=self._now,
            start=settings.start,
            end=settings.end,
            horizon=self.aircall_clock.horizon(),
        )

    @property
    def _now(self) -> int:
        """What Aircall's clock had reached when calls began to be read (UNIX second), as far as it is known by now."""
        return self.aircall_clock.reached(self._began)

    def _read(
        self, window: Window, cursors: Cursors, followers: list[Artefacts], reading: Reading
    ) -> Iterator[list[Record]]:
        walk = AscendingWalk(
            self.reader(),
            "started_at",
            from_is_exclusive=True,
            params=self._flags(),
            name=self.name,
        )
        for number, step in enumerate(walk.steps(*window), start=1):
            self.progress.expect(step.remaining or 0)
            self.progress.add(len(step.records))
            # Taken before the records are brought into their shape; what follows calls is written after them.
            calls = step.records if followers else []
            ripe = [{name: call[name] for name in FOLLOWED} for call in calls if reading.is_ripe(call)]
            yield step.records
            self._follow(followers, ripe, reading)
            if step.through is not None:
                cursors.advance(step.through, self._now)
            if self.is_full_table or self._is_held:
                continue
            if followers or number % PAGES_PER_STATE == 0 or not step.records:
                for follower in followers:
                    follower.note(Reading.of(cursors, reading.now))
                self.write_state(self._state(cursors, step.last))

    def _follow(self, followers: list[Artefacts], calls: list[Record], reading: Reading) -> None:
        """Have the streams that follow read what belongs to some calls.

        One that fails is taken off the list. The others go on, and so do the calls, but the state stays where it is: it
        says of all of them that they are done.

        Raises:
            AircallError: If the failure is not about one stream alone.
        """
        for follower in list(followers):
            try:
                follower.follow(calls, reading)
            except AircallError as error:
                self._tap.note_failure(follower.name, error)
                followers.remove(follower)
                self._is_held = True

    def _state(self, cursors: Cursors, last: int | None) -> dict[str, Any]:
        """Build the state: the cursors, and the latest `started_at` emitted as the bookmark that Singer knows."""
        state = cursors.to_state()
        if last is not None:
            before = self.stream_state.get("replication_key_value")
            latest = last if before is None else max(last, to_seconds(before))
            state |= {
                "replication_key": self.replication_key,
                "replication_key_value": to_rfc3339(latest),
            }
        return state

    def _flags(self) -> Query:
        fields = self.effective_schema["properties"]
        return {
            flag: "true" for field, flag in FETCH_FLAGS.items() if field in fields and self.mask["properties", field]
        }
