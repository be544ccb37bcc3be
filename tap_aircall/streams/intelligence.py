"""What Aircall's AI makes of calls: transcripts, summaries, scores. One request a call and kind, asked for with care.

There is no list of any of these (facts, section 4.3), so that they follow the calls: whenever `calls` has read some, it
has each selected stream here read what belongs to them, and only then says in the state that it is done with them. When
`calls` itself is not selected, it is read all the same, for these.

Asked for are calls that can have something: answered, or with a voicemail; and not before they have settled, some
minutes after their end, for Aircall takes that long. What was found is not asked for again, unless people edit such
things; what was not found is asked for whenever the call is read again while it is young.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall import intelligence_schemas
from tap_aircall.clock import TRAIL_SECONDS
from tap_aircall.errors import ForbiddenError, NotFoundError, RejectedRequestError
from tap_aircall.found import Found
from tap_aircall.progress import Progress
from tap_aircall.streams.base import AircallStream
from tap_aircall.times import to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_aircall.cursors import Cursors
    from tap_aircall.streams.calls import Calls
    from tap_aircall.tap import TapAircall
    from tap_aircall.walks import Query, Record

SETTLE_SECONDS = 20 * 60
"""So long after its end a call has settled: Aircall recalculates it until then (facts, section 6.1)."""
YOUNG_SECONDS = 72 * 3600
"""Until this age of a call something may still appear."""
ENOUGH_REFUSALS = 3
"""When the first so many calls are refused, the account's plan has not got this kind."""
FOUND = "found"
"""Key of the state."""
BAD_REQUEST = 400


class Reading(NamedTuple):
    """When calls are read, and what is known of earlier readings. Times are UNIX seconds."""

    now: int
    settled_through: int
    """All calls up to here were read before, at an age at which they could have settled."""
    last_age: int
    """At this age (seconds) a call is read for the last time."""

    @classmethod
    def of(cls, cursors: Cursors, now: int) -> Reading:
        """Describe a run that begins with these cursors."""
        return cls(now, cursors.position_at(SETTLE_SECONDS), max(cursors.ages[-1], TRAIL_SECONDS))

    def is_ripe(self, call: Record) -> bool:
        """Say whether a call can have anything, and has settled or will not be read again."""
        if call.get("status") != "done" or not (call.get("answered_at") or call.get("voicemail")):
            return False
        started_at = to_seconds(call["started_at"])
        try:
            ended_at = to_seconds(call.get("ended_at") or started_at)
        except ValueError:
            return False  # `calls` says what is wrong with it
        return ended_at + SETTLE_SECONDS <= self.now or started_at + self.last_age <= self.now

    def is_open(self, started_at: int) -> bool:
        """Say whether what was not found yet may still be found."""
        return started_at > self.forgets_before

    @property
    def forgets_before(self) -> int:
        """Up to which start of a call nothing is asked for again."""
        return min(self.now - YOUNG_SECONDS, self.settled_through)


class Access(Enum):
    """Whether the account's plan has a kind."""

    UNKNOWN = "unknown"
    GRANTED = "granted"
    REFUSED = "refused"


class Artefacts(AircallStream):
    """One kind of what Aircall's AI makes of calls."""

    selected_by_default = False
    turn = 1  # after the calls
    primary_keys: Sequence[str] = ("call_id",)
    state_keys = (FOUND,)
    is_editable: ClassVar[bool] = False
    """Whether people change it later, so that it is asked for whenever its call is read."""

    def __init__(self, tap: TapAircall) -> None:
        super().__init__(tap, intelligence_schemas.of(self.name))
        self._access = Access.UNKNOWN
        self._refusals = 0
        self._found: Found | None = None
        self._has_begun = False

    @override
    def _write_schema_message(self) -> None:
        if not self._has_begun:  # the SDK would do so when it is this stream's turn
            super()._write_schema_message()

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # it reads what `calls` reads, and no version of the whole

    @override
    def extract(self) -> Iterable[list[Record]]:
        calls = cast("Calls", self._tap.streams["calls"])
        if not calls.was_read:
            for _ in calls.get_records(None):
                pass  # of interest to those that follow only
        return ()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Found:
        return Found.parse(state.get(FOUND, {}))

    def begin(self) -> None:
        """Tell the target what will come, before the first call is read."""
        self._write_schema_message()
        self._has_begun = True
        self._found = self.parse_state(self.stream_state)
        self.progress = Progress(self.name, self.client, self.clock, self.logger)

    def follow(self, calls: Sequence[Record], reading: Reading) -> None:
        """Read what belongs to some calls, and hand it to the target.

        Args:
            calls: Calls as Aircall sent them; only those that are ripe.
            reading: When they were read.

        Raises:
            AircallError: If something cannot be read that is there.
        """
        assert self._found is not None  # noqa: S101 - begin() comes first
        wanted = [
            call
            for call in calls
            if self.is_editable or (call["id"] not in self._found and reading.is_open(to_seconds(call["started_at"])))
        ]
        for call, records in self._ask_for(wanted):
            if records is None:
                continue
            self.progress.add(len(records))
            self.write_records([{**record, "call_id": call["id"]} for record in records])
            if not self.is_editable:
                self._found.add(call["id"], to_seconds(call["started_at"]))

    def note(self, reading: Reading) -> None:
        """Put into the state what was found; the caller writes it."""
        if self._found is not None and not self.is_editable:
            self.stream_state[FOUND] = self._found.to_state(reading.forgets_before)

    def finish(self) -> None:
        """Come to an end, and say so if there was nothing to be had."""
        self.progress.close()
        if self._access is Access.UNKNOWN and self._refusals:
            self._give_up()

    def _ask_for(self, calls: list[Record]) -> Iterator[tuple[Record, list[Record] | None]]:
        """Ask for one call after the other until it is clear that the plan has this kind, then for several at once."""
        remaining = iter(calls)
        while self._access is Access.UNKNOWN:
            call = next(remaining, None)
            if call is None:
                return
            yield call, self._ask(call["id"])
        if self._access is Access.GRANTED:
            others = list(remaining)
            yield from zip(others, self.client.in_flight(self._ask, [call["id"] for call in others]), strict=True)

    def _ask(self, call_id: int) -> list[Record] | None:
        """Ask for one call; None if there is nothing, or nothing yet."""
        try:
            records = self.client.get(self.path.format(call_id), self.params(), self.records_of)
        except ForbiddenError:
            self._refusals += 1
            if self._access is Access.UNKNOWN and self._refusals >= ENOUGH_REFUSALS:
                self._give_up()
            return None
        except RejectedRequestError as error:
            if error.status != BAD_REQUEST:
                raise
            records = None
        except NotFoundError:
            records = None
        if self._access is Access.UNKNOWN:
            self._access = Access.GRANTED
        return records

    def _give_up(self) -> None:
        self._access = Access.REFUSED
        self.logger.warning(
            "Stream '%s' is left out: Aircall refuses it (status 403); the company's plan may lack it.", self.name
        )

    def params(self) -> Query:
        """Return the query parameters."""
        return {}

    def records_of(self, payload: Any) -> list[Record] | None:
        """Take the record out of an answer, wrapped or flat; None if there is none in it."""
        found = payload.get(self.envelope, payload) if isinstance(payload, dict) else None
        return [found] if isinstance(found, dict) and found else None


class CallTranscriptions(Artefacts):
    """What was said, as text."""

    name = "call_transcriptions"
    path = "/v1/calls/{}/transcription"
    envelope = "transcription"

    @override
    def params(self) -> Query:
        return {"mode": self._tap.settings.transcription_mode}

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        records = super().records_of(payload)
        for record in records or ():
            if isinstance(record.get("content"), list):  # utterances alone, perhaps those of the realtime mode
                record["content"] = {"utterances": record["content"]}
        return records


class CallSentiments(Artefacts):
    """How the other party felt."""

    name = "call_sentiments"
    path = "/v1/calls/{}/sentiments"
    envelope = "sentiment"


class CallTopics(Artefacts):
    """What a call was about, in a few words."""

    name = "call_topics"
    path = "/v1/calls/{}/topics"
    envelope = "topic"


class CallSummaries(Artefacts):
    """What a call was about, in some sentences."""

    name = "call_summaries"
    path = "/v1/calls/{}/summary"
    envelope = "summary"


class CallCustomSummaries(Artefacts):
    """A summary by the company's own template."""

    name = "call_custom_summaries"
    path = "/v1/calls/{}/custom_summary_result"
    envelope = "custom_summary_result"
    is_editable = True
    is_open = True


class CallActionItems(Artefacts):
    """What is to be done after a call: a record an item."""

    name = "call_action_items"
    path = "/v1/calls/{}/action_items"
    envelope = "action_items"
    primary_keys = ("call_id", "id")
    is_editable = True
    is_open = True

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        items = payload
        while isinstance(items, dict):  # in an envelope, or in two
            items = items.get(self.envelope)
        return None if items is None else [item for item in items if isinstance(item, dict)]


class CallPlaybookResults(Artefacts):
    """How closely a call followed its playbook."""

    name = "call_playbook_results"
    path = "/v1/calls/{}/playbook_result"
    envelope = "playbook_result"
    is_editable = True
    is_open = True

    @override
    def params(self) -> Query:
        return {"fetch_playbook": "true"}


class CallEvaluations(Artefacts):
    """How a call was scored, by people or by AI."""

    name = "call_evaluations"
    path = "/v1/calls/{}/evaluations"
    envelope = "evaluation"
    is_editable = True
    is_open = True


class CallCsatPredictions(Artefacts):
    """How satisfied the other party is expected to be."""

    name = "call_csat_predictions"
    path = "/v1/calls/{}/predicted_csat"
    envelope = "csat"
