"""AI results of calls: transcripts, summaries, scores. One request a call and kind, asked for with care.

There is no list of any of these (facts: Results of Aircall's AI), so that they follow the calls: whenever `calls` has
read some, it has each selected stream here read what belongs to them, and only then says in the state that it is done
with them. When `calls` itself is not selected, it is read all the same, for these.

Only calls that can have results are asked for: answered ones, and voicemails. And only once they have settled, some
minutes after their end, since Aircall takes that long. What was found is not asked for again, unless people edit such
things; what was not found is asked for whenever the call is read again while it is young.

A call that Aircall refuses (403) is not done, even though `calls` moves on. The state remembers it, under `refused`:

- Where other calls of the kind are granted, the id of each refused call. It is asked for again at the end of the run,
  whenever the call is read again, and once a day. After a week of that the stream gives it up, with a warning.
- Where nothing is granted, or more is refused than the state can hold, the stream is left out, with one warning a run,
  and the state says from which start of a call on it lacks some. Once a day it asks for a few calls again. When one of
  those is granted, it reads the calls since then once more, for itself alone, and has lost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import ForbiddenError, NotFoundError, RejectedRequestError, StreamUnavailableError
from tap_aircall.http.addresses import path_of
from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading import states
from tap_aircall.reading.times import to_milliseconds, to_rfc3339, to_seconds
from tap_aircall.schemas import intelligence as schemas
from tap_aircall.streams.access import Access
from tap_aircall.streams.calls.followers import SETTLE_SECONDS, CallFollower, Reading
from tap_aircall.streams.calls.ids import MOST, CallIds
from tap_aircall.streams.intelligence.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.streams.base import AircallTap

DAY = 86_400
GIVE_UP_SECONDS = 7 * DAY
"""A single call that is still refused this long after its first refusal is given up."""
FOUND, REFUSED = "found", "refused"
"""Keys of the state."""
BAD_REQUEST = 400


class CallIntelligence(CallFollower):
    """One kind of AI results of calls."""

    primary_keys: Sequence[str] = ("call_id",)
    state_keys = (FOUND, REFUSED, MARK)
    is_editable: ClassVar[bool] = False
    """Whether people change it later, so that it is asked for whenever its call is read."""
    announced_by: ClassVar[tuple[str, ...]] = ()
    """Events that say that it is ready, or was edited."""

    def __init__(self, tap: AircallTap) -> None:
        super().__init__(tap, schemas.of(self.name))

    @override
    def sample(self) -> list[Record]:
        reading = Reading(int(self.clock.time()), 0, SETTLE_SECONDS)
        for call in filter(reading.is_ripe, self.calls.sample()):
            try:
                return [{**record, "call_id": call["id"]} for record in self._ask(call["id"]) or ()]
            except ForbiddenError as error:
                message = f"Stream '{self.name}': Aircall refuses it (status 403); the company's plan may lack it."
                raise StreamUnavailableError(message) from error
        return []

    @override
    def parse_state(self, state: Mapping[str, Any]) -> tuple[CallIds, Refused]:
        Mark.parse(state)
        return CallIds.parse(state.get(FOUND, {})), Refused.parse(state.get(REFUSED, {}))

    @override
    def begin(self, reading: Reading) -> None:
        super().begin(reading)
        self._found, self._refused = self.parse_state(self.stream_state)
        self._refused_now: dict[int, int] = {}  # calls with their starts, in UNIX seconds
        self._access = Access(self.client)
        self._now = reading.now
        self._announced = self._announced_calls(reading)
        self._is_due = states.is_due(self._refused.asked_at, DAY, reading.now)
        self._is_left_out = False
        if self._refused.after is not None and not self._is_due:
            self._leave_out()

    @override
    def follow(self, calls: Sequence[Record], reading: Reading) -> None:
        starts = {call["id"]: to_seconds(call["started_at"]) for call in calls}
        wanted = {
            call_id: start
            for call_id, start in starts.items()
            if self.is_editable or (call_id not in self._found and reading.is_open(start))
        }
        self._read_or_note(wanted)

    @override
    def follow_events(self) -> None:
        self._read_or_note(dict(self._announced))
        if self.tap.events is not None:
            self.stream_state.update(self.tap.events.mark())

    def _announced_calls(self, reading: Reading) -> dict[int, int]:
        """Return the calls of which webhooks said since the last run that there is something, with their starts."""
        source = self.tap.events
        calls: dict[int, int] = {}
        if source is None or not self.announced_by:
            return calls
        for event in source.news(self.stream_state, reading.read_through, self.announced_by):
            if (event.object_id or "").isdecimal():
                call_id = int(event.object_id or 0)
                if self.is_editable or call_id not in self._found:
                    calls[call_id] = _start(event)
        return calls

    def _read_or_note(self, wanted: Mapping[int, int]) -> None:
        """Read what there is of some calls, given with their starts, or note that it is lacking."""
        for call_id in wanted:
            self._announced.pop(call_id, None)
        if not self._is_left_out and not self._ask_for(wanted):
            self._leave_out()
        if self._is_left_out:
            self._note_lack(wanted.values())

    @property
    @override
    def lacks_after(self) -> int | None:
        return None if self._is_left_out else self._refused.after

    @override
    def catch_up(self, calls: Sequence[Record], reading: Reading, through: int | None) -> None:
        self.follow(calls, reading)
        if not self._is_left_out and through is not None:
            self._refused.after = through

    @override
    def note(self, reading: Reading) -> None:
        if not self.is_editable:
            self.stream_state[FOUND] = self._found.to_state(reading.forgets_before)
        self._note_refused()

    @override
    def finish(self) -> None:
        if not self._is_left_out:
            self._refused.after = None  # caught up with
        self._ask_again()
        self._note_refused()
        self.progress.close()

    def _ask_for(self, wanted: Mapping[int, int]) -> bool:
        """Ask for calls, given with their starts (UNIX seconds); return whether to go on with this kind."""
        for call_id, answer in self._access.ask(self._ask, list(wanted)):
            if isinstance(answer, ForbiddenError) and call_id not in self._refused.calls:
                if len(self._refused.calls) == MOST:
                    return False
                self._refused.calls.add(call_id, self._now)
                self._refused_now[call_id] = wanted[call_id]
            elif not isinstance(answer, ForbiddenError):
                self._take(call_id, wanted[call_id], answer)
        return not self._access.is_refused

    def _ask_again(self) -> None:
        """Ask for single calls that were refused: those of this run, and once a day the others."""
        refused = self._refused.calls
        again = [each for each in refused if (not self._is_left_out if each in self._refused_now else self._is_due)]
        hours = {call_id: refused.hour_of(call_id) for call_id in again}
        self._ask_for(hours)
        if self._refused_now and not self._access.is_granted and not self._is_left_out:
            self._leave_out()
        elif self._is_due and refused:
            self._refused.asked_at = self._now
            if self._access.is_granted:
                self._give_up([call_id for call_id, hour in hours.items() if hour < self._now - GIVE_UP_SECONDS])

    def _give_up(self, calls: Iterable[int]) -> None:
        """Forget those of some calls that are still refused."""
        given_up = [call_id for call_id in calls if call_id in self._refused.calls]
        for call_id in given_up:
            self._refused.calls.discard(call_id)
        if given_up:
            message = "Stream '%s': Aircall has refused %d of its calls for a week (status 403); they are given up."
            self.logger.warning(message, self.name, len(given_up))

    def _take(self, call_id: int, second: int, records: list[Record] | None) -> None:
        """Hand over what Aircall has of a call.

        Args:
            call_id: The call.
            second: When it started, or later (UNIX).
            records: None if there is nothing, or nothing yet.
        """
        self._refused.calls.discard(call_id)
        self._refused_now.pop(call_id, None)
        if records is None:
            return
        self.progress.add(len(records))
        self.write_records([{**record, "call_id": call_id} for record in records])
        if not self.is_editable:
            self._found.add(call_id, second)

    def _ask(self, call_id: int) -> list[Record] | None:
        """Ask for one call; None if there is nothing, or nothing yet."""
        try:
            return self.client.get(path_of(self.path, call_id), self.params(), self.records_of)
        except NotFoundError:
            return None
        except RejectedRequestError as error:
            if error.status != BAD_REQUEST:
                raise
            return None

    def _leave_out(self) -> None:
        """Ask for nothing more in this run, and note in the state what is missing, and since when."""
        self._is_left_out = True
        if self._refused_now and not self._access.is_granted:
            self._note_lack(self._refused_now.values())
            for call_id in self._refused_now:
                self._refused.calls.discard(call_id)
        if self._is_due or self._refused.asked_at is None:
            self._refused.asked_at = self._now
        until = to_rfc3339(self._refused.asked_at + DAY)
        message = "Stream '%s' is left out until %s: Aircall refuses it (status 403); the company's plan may lack it."
        self.left_out = message % (self.name, until)
        self.logger.warning("%s", self.left_out)

    def _note_lack(self, starts: Iterable[int]) -> None:
        """Note that calls with these starts (UNIX seconds) were not read."""
        known = [] if self._refused.after is None else [self._refused.after]
        self._refused.after = min([*known, *(start - 1 for start in starts)], default=None)

    def _note_refused(self) -> None:
        if state := self._refused.to_state():
            self.stream_state[REFUSED] = state
        else:
            self.stream_state.pop(REFUSED, None)

    def params(self) -> Query:
        """Return the query parameters."""
        return {}

    def records_of(self, payload: Any) -> list[Record] | None:
        """Take the record out of an answer, wrapped or flat; None if there is none in it."""
        found = payload.get(self.envelope, payload) if isinstance(payload, dict) else None
        return [found] if isinstance(found, dict) and found else None


def _start(event: Event) -> int:
    """Return when the call of an event began (UNIX seconds), or an earlier time if the event does not say."""
    data = event.body.get("data")
    try:
        return to_milliseconds(data.get("call_created_at") if isinstance(data, dict) else None) // 1000
    except ValueError:
        return event.happened_at // 1000 - DAY


class CallTranscriptions(CallIntelligence):
    """What was said, as text."""

    name = "call_transcriptions"
    cost = "one per call"
    path = "/v1/calls/{}/transcription"
    envelope = "transcription"
    announced_by = ("transcription.created",)

    @override
    def params(self) -> Query:
        return {"mode": self.tap.settings.transcription_mode}

    @override
    def _announced_calls(self, reading: Reading) -> dict[int, int]:
        # What is said to be ready is the transcription that is made after the call.
        return super()._announced_calls(reading) if self.tap.settings.transcription_mode == "async" else {}

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        records = super().records_of(payload)
        for record in records or ():
            if isinstance(record.get("content"), list):  # utterances alone, perhaps those of the realtime mode
                record["content"] = {"utterances": record["content"]}
        return records


class CallSentiments(CallIntelligence):
    """How the other party felt."""

    name = "call_sentiments"
    cost = "one per call"
    path = "/v1/calls/{}/sentiments"
    envelope = "sentiment"
    announced_by = ("sentiment.created",)


class CallTopics(CallIntelligence):
    """What a call was about, in a few words."""

    name = "call_topics"
    cost = "one per call"
    path = "/v1/calls/{}/topics"
    envelope = "topic"
    announced_by = ("topics.created",)


class CallSummaries(CallIntelligence):
    """What a call was about, in some sentences."""

    name = "call_summaries"
    cost = "one per call"
    path = "/v1/calls/{}/summary"
    envelope = "summary"
    announced_by = ("summary.created",)


class CallCustomSummaries(CallIntelligence):
    """A summary by the company's own template."""

    name = "call_custom_summaries"
    cost = "one per call, each time it is read"
    path = "/v1/calls/{}/custom_summary_result"
    envelope = "custom_summary_result"
    announced_by = ("custom_summary.*",)
    is_editable = True
    is_open = True


class CallActionItems(CallIntelligence):
    """What is to be done after a call: one record per item."""

    name = "call_action_items"
    cost = "one per call, each time it is read"
    path = "/v1/calls/{}/action_items"
    envelope = "action_items"
    announced_by = ("action_item.*",)
    primary_keys = ("call_id", "id")
    is_editable = True
    is_open = True

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        items = payload
        while isinstance(items, dict):  # in an envelope, or in two
            items = items.get(self.envelope)
        return None if items is None else [item for item in items if isinstance(item, dict)]


class CallPlaybookResults(CallIntelligence):
    """How closely a call followed its playbook."""

    name = "call_playbook_results"
    cost = "one per call, each time it is read"
    path = "/v1/calls/{}/playbook_result"
    envelope = "playbook_result"
    announced_by = ("playbook_result.*",)
    is_editable = True
    is_open = True

    @override
    def params(self) -> Query:
        return {"fetch_playbook": "true"}


class CallEvaluations(CallIntelligence):
    """How a call was scored, by people or by AI."""

    name = "call_evaluations"
    cost = "one per call, each time it is read"
    path = "/v1/calls/{}/evaluations"
    envelope = "evaluation"
    announced_by = ("call_evaluation.*",)
    is_editable = True
    is_open = True


class CallCsatPredictions(CallIntelligence):
    """How satisfied the other party is expected to be."""

    name = "call_csat_predictions"
    cost = "one per call"
    path = "/v1/calls/{}/predicted_csat"
    envelope = "csat"
