"""AI results of calls: transcripts, summaries, scores. One request a call and kind, asked for with care.

There is no list of any of these (facts: Results of Aircall's AI), so that they are read by call, as
`tap_aircall.streams.calls.details` says. What was found is not asked for again, unless people edit such things: those
are asked for whenever their call is read again. A call that an event in the inbox names is asked for at once.

A 403 may mean that the company's plan lacks the kind, or that this one call is kept from the account. When the first
few calls of a run are all refused, the stream is left out for a day: its state stays where it was, so that the calls
since then are read when the plan has changed. Other refused calls are set aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import (
    AircallError,
    ForbiddenError,
    NotFoundError,
    RejectedRequestError,
    ResponseError,
    StreamUnavailableError,
)
from tap_aircall.http.addresses import path_of
from tap_aircall.inbox.source import Mark
from tap_aircall.reading import later, states
from tap_aircall.reading.conform import is_recognised
from tap_aircall.reading.cursors import POSITIONS
from tap_aircall.reading.later import YOUNG_SECONDS, Later, Reason, ids_to_state, parse_ids
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.streams.access import Access
from tap_aircall.streams.calls.details import CallDetails, is_followed, upgrade_followed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_aircall.reading.cursors import Cursors
    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.streams.run import Run

HOUR = 3600
DAY = 86_400
FOUND, REFUSED, GRANTED = "found", "refused", "granted"
"""Keys of the state: calls that need not be asked for when a cursor meets them; when Aircall refused the whole kind;
whether it ever granted anything of it."""
ASKED_AT = "asked_at"
BAD_REQUEST = 400
ATTEMPTS = 3
"""How often to ask for an answer of a shape that the tap does not know, before it is set aside."""


class CallIntelligence(CallDetails):
    """One kind of AI results of calls."""

    primary_keys: Sequence[str] = ("call_id",)
    cost = "one per call"
    state_keys = (*CallDetails.state_keys, FOUND, REFUSED, GRANTED)
    announced_by: ClassVar[tuple[str, ...]] = ()
    """Events that say that it is ready, or was edited."""

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self._access: Access | None = None
        self._was_granted = False
        """Whether an earlier run has read it."""
        self._denied: list[int] = []
        """Calls that Aircall refused, which is noted when something else of the kind was granted."""
        self._is_over = False
        """Whether this run has asked for all that is new."""
        self._found: dict[int, int] = {}
        """Calls with their starts, by the hour (UNIX seconds)."""
        self._announced: dict[int, int] = {}
        """Calls that events named, with their starts (UNIX seconds)."""

    @override
    def prepare(self) -> None:
        self.run.open_events()
        super().prepare()

    @override
    def begin(self) -> Cursors:
        cursors = super().begin()
        asked_at = _asked_at(self.stream_state)
        if not states.is_due(asked_at, DAY, self._now):
            raise _refused(asked_at or self._now, is_expected=True)
        self._was_granted = GRANTED in self.stream_state
        self._found = parse_ids(self.stream_state.get(FOUND, {}))
        self._announced = self._announced_calls(cursors)
        return cursors

    @override
    def finish(self, cursors: Cursors) -> Iterator[list[Record]]:
        yield from self.details_of([{"id": call_id} for call_id in list(self._announced)])
        if self._is_undecided and not self._was_granted:
            self._raise_refused()
        self._is_over = True
        self.stream_state.pop(REFUSED, None)
        yield from super().finish(cursors)
        if self.run.events is not None:
            self.write_state(self.run.events.mark())

    @property
    def _is_undecided(self) -> bool:
        """Whether the few calls asked for so far were refused, so that perhaps the whole kind is."""
        return self._access is not None and self._access.refusals > 0 and not self._access.is_granted

    @override
    def note(self, cursors: Cursors) -> None:
        if self._is_undecided and not self._is_over:
            return  # the state stays where it was, in case nothing can be read
        for call_id in self._denied:
            self.set_aside_call(call_id, Reason.REFUSED, "Aircall refuses it (status 403).")
        self._denied.clear()
        if self._access is not None and self._access.is_granted:
            self.stream_state[GRANTED] = True
        through = cursors.position_at(cursors.ages[-1])  # calls up to here are not met again
        self._found = {each: start for each, start in self._found.items() if start + HOUR > through}
        if self._found:
            self.stream_state[FOUND] = ids_to_state(self._found)
        else:
            self.stream_state.pop(FOUND, None)
        super().note(cursors)

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        Mark.parse(state)
        parse_ids(state.get(FOUND, {}))
        _asked_at(state)
        _refused_before(state)
        return super().parse_state(state)

    @override
    def upgrade_state(self) -> None:
        """Take over a state in which the stream `calls` said how far this one is (before version 0.3).

        What was not there yet is asked for once more, as far as calls are young enough.
        """
        state = self.stream_state  # the SDK passes over an empty one, which says something too
        if POSITIONS in state or not is_followed(self.tap.state, self.name):
            return
        calls, after = _refused_before(state)
        state.pop(REFUSED, None)
        state |= {GRANTED: True} if after is None else {}
        upgrade_followed(self.tap.state, self.name, back=0 if self.rereads else YOUNG_SECONDS, after=after)
        waiting = Later({}, ())
        for call_id, second in calls.items():
            waiting.add(call_id, Reason.REFUSED, second)
        state |= {later.KEY: waiting.to_state()} if waiting else {}

    @override
    def wanted(self, calls: Sequence[Record]) -> list[Record]:
        known = {} if self.rereads else self._found
        return [call for call in calls if call["id"] not in known and (self.rereads or call["id"] not in self._later)]

    @override
    def sample(self) -> list[Record]:
        for call in self.sample_calls():
            try:
                answer = self._ask(call["id"])
            except ForbiddenError as error:
                raise StreamUnavailableError(
                    "is left out: Aircall refuses it (status 403); the company's plan may lack it."
                ) from error
            if isinstance(answer, ResponseError):
                raise answer
            return [{**record, "call_id": call["id"]} for record in answer or ()]
        return []

    @override
    def details_of(self, calls: Sequence[Record]) -> Iterator[list[Record]]:
        self._access = self._access or Access(self.client)
        yield from self._asked_for(self._access, calls)
        if self._access.is_refused:
            self._raise_refused()

    @override
    def details_again(self, calls: Sequence[int]) -> Generator[list[Record], None, bool]:
        is_granted = self._access is not None and self._access.is_granted
        access = self._access if self._access is not None and is_granted else Access(self.client)
        yield from self._asked_for(access, [{"id": call_id} for call_id in calls])
        return not access.is_refused

    def _asked_for(self, access: Access, calls: Sequence[Record]) -> Iterator[list[Record]]:
        by_id = {call["id"]: call for call in calls}
        for call_id, answer in access.ask(self._ask, list(by_id)):
            self._asked += 1
            start = self._announced.pop(call_id, None)
            yield from self._taken(call_id, answer, by_id[call_id].get("started_at", start))

    def _taken(self, call_id: int, answer: list[Record] | AircallError | None, start: Any) -> Iterator[list[Record]]:
        """Hand over what Aircall has of a call, or set it aside."""
        match answer:
            case None:
                self._set_missing_aside(call_id, start)
            case ForbiddenError() if call_id not in self._later and self._later.room(Reason.REFUSED) <= len(
                self._denied
            ):
                self._raise_refused()
            case ForbiddenError():
                self._denied.append(call_id)
            case ResponseError() if self._later.is_last_try(call_id, self._now):
                self._later.settle(call_id)
                found = answer.found if isinstance(answer.found, dict) else {"answer": answer.found}
                yield [{**found, "call_id": call_id}]
            case ResponseError():
                self.set_aside_call(call_id, Reason.UNUSABLE, str(answer))
            case AircallError():
                raise answer
            case _:
                self._later.settle(call_id)
                yield [{**record, "call_id": call_id} for record in answer]
                if not self.rereads:
                    self._found[call_id] = (self._now if start is None else to_seconds(start)) // HOUR * HOUR

    def _set_missing_aside(self, call_id: int, start: Any) -> None:
        """Ask again for what is not there while its call is young; of what was set aside, the list knows how long."""
        is_young = call_id in self._later or start is None or to_seconds(start) > self._now - YOUNG_SECONDS
        if is_young:
            self.set_aside_call(call_id, Reason.MISSING)

    def _ask(self, call_id: int) -> list[Record] | ResponseError | None:
        """Ask for one call; None if there is nothing, or nothing yet."""
        try:
            return self.client.get(path_of(self.path, call_id), self.get_url_params(None, None), self.records_of)
        except NotFoundError:
            return None
        except RejectedRequestError as error:
            if error.status != BAD_REQUEST:
                raise
            return None
        except ResponseError as error:
            return error

    def _announced_calls(self, cursors: Cursors) -> dict[int, int]:
        """Return the calls of which webhooks said since the last run that there is something, with their starts."""
        source = self.run.events
        calls: dict[int, int] = {}
        if source is None or not self.announced_by:
            return calls
        for event in source.news(self.stream_state, cursors.read_through, self.announced_by):
            call_id = event.number
            if call_id is not None and (self.rereads or call_id not in self._found):
                # An earlier time, if the event does not say.
                calls[call_id] = event.second("call_created_at") or event.happened_at // 1000 - DAY
        return calls

    def _raise_refused(self) -> None:
        """Leave the stream out for a day; its state stays where it was.

        Raises:
            StreamUnavailableError: Always.
        """
        self.write_state({REFUSED: {ASKED_AT: to_rfc3339(self._now)}})
        raise _refused(self._now, is_expected=False)

    def records_of(self, payload: Any) -> list[Record] | None:
        """Take the record out of an answer, wrapped or flat; None if there is none in it.

        Raises:
            ResponseError: If there is something else.
        """
        found = payload.get(self.envelope, payload) if isinstance(payload, dict) else payload
        if found is None or found in ({}, []):
            return None
        if not self.is_recognised(found):
            raise ResponseError(
                f"Aircall answered without the object '{self.envelope}'.", found=payload, attempts=ATTEMPTS
            )
        return [found]

    def is_recognised(self, record: Any) -> bool:
        """Say whether a record has a field of the schema in usable form, beside those that say whose it is."""
        if not isinstance(record, dict):
            return False
        if "id" in self.primary_keys and isinstance(record.get("id"), int | str):
            return True
        return is_recognised({name: value for name, value in record.items() if name != "id"}, self.schema)


def _asked_at(state: Mapping[str, Any]) -> int | None:
    """Return when Aircall refused the whole kind (UNIX seconds); None if it did not."""
    refused = state.get(REFUSED, {})
    return to_seconds(refused[ASKED_AT]) if ASKED_AT in refused else None


def _refused_before(state: Mapping[str, Any]) -> tuple[dict[int, int], int | None]:
    """Return the refusals in a state of before version 0.3: calls with times, and since when calls are lacking."""
    refused = state.get(REFUSED, {})
    return parse_ids(refused.get("calls", {})), to_seconds(refused["after"]) if "after" in refused else None


def _refused(asked_at: int, *, is_expected: bool) -> StreamUnavailableError:
    until = to_rfc3339(asked_at + DAY)
    return StreamUnavailableError(
        f"is left out until {until}: Aircall refuses it (status 403); the company's plan may lack it.",
        is_expected=is_expected,
    )


class CallTranscriptions(CallIntelligence):
    """What was said, as text."""

    name = "call_transcriptions"
    path = "/v1/calls/{}/transcription"
    envelope = "transcription"
    announced_by = ("transcription.created",)

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        return {"mode": self.settings.transcription_mode}

    @override
    def _announced_calls(self, cursors: Cursors) -> dict[int, int]:
        # What is said to be ready is the transcription that is made after the call.
        return super()._announced_calls(cursors) if self.settings.transcription_mode == "async" else {}

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
    path = "/v1/calls/{}/sentiments"
    envelope = "sentiment"
    announced_by = ("sentiment.created",)


class CallTopics(CallIntelligence):
    """What a call was about, in a few words."""

    name = "call_topics"
    path = "/v1/calls/{}/topics"
    envelope = "topic"
    announced_by = ("topics.created",)


class CallSummaries(CallIntelligence):
    """What a call was about, in some sentences."""

    name = "call_summaries"
    path = "/v1/calls/{}/summary"
    envelope = "summary"
    announced_by = ("summary.created",)


class EditedIntelligence(CallIntelligence):
    """A kind that people edit later, and of which not all fields are known."""

    cost = "one per call, each time it is read"
    rereads = True
    is_open = True


class CallCustomSummaries(EditedIntelligence):
    """A summary by the company's own template."""

    name = "call_custom_summaries"
    path = "/v1/calls/{}/custom_summary_result"
    envelope = "custom_summary_result"
    announced_by = ("custom_summary.*",)


class CallActionItems(EditedIntelligence):
    """What is to be done after a call: one record per item."""

    name = "call_action_items"
    path = "/v1/calls/{}/action_items"
    envelope = "action_items"
    announced_by = ("action_item.*",)
    primary_keys = ("call_id", "id")

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        items = payload
        while isinstance(items, dict):  # in an envelope, or in two
            items = items.get(self.envelope)
        if items is None:
            return None
        if not isinstance(items, list) or not all(map(self.is_recognised, items)):
            raise ResponseError(
                f"Aircall answered without the list '{self.envelope}'.", found=payload, attempts=ATTEMPTS
            )
        return items


class CallPlaybookResults(EditedIntelligence):
    """How closely a call followed its playbook."""

    name = "call_playbook_results"
    path = "/v1/calls/{}/playbook_result"
    envelope = "playbook_result"
    announced_by = ("playbook_result.*",)

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        return {"fetch_playbook": "true"}


class CallEvaluations(EditedIntelligence):
    """How a call was scored, by people or by AI."""

    name = "call_evaluations"
    path = "/v1/calls/{}/evaluations"
    envelope = "evaluation"
    announced_by = ("call_evaluation.*",)


class CallCsatPredictions(CallIntelligence):
    """How satisfied the other party is expected to be."""

    name = "call_csat_predictions"
    path = "/v1/calls/{}/predicted_csat"
    envelope = "csat"
