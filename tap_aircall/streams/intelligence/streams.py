"""AI results of calls: transcripts, summaries, scores, at one request per call and kind.

They have no lists (facts: Results of Aircall's AI), so they are read by call (`tap_aircall.streams.calls.details`).
A result is requested once, unless people may edit it: then again each time its call is read. A call that an event in
the inbox names is requested at once.

If the first few calls of a run are all refused (403), the stream is left out for a day. Its state stays unchanged, so
the calls since then are read once the company's plan has the kind. Other refused calls are set aside.
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
from tap_aircall.reading.states import ASKED_AT
from tap_aircall.reading.times import DAY_SECONDS, HOUR_SECONDS, to_rfc3339, to_seconds
from tap_aircall.streams.access import Access
from tap_aircall.streams.calls.details import CallDetails, is_followed, upgrade_followed
from tap_aircall.streams.calls.stream import Calls

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_aircall.reading.cursors import Cursors
    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.streams.run import Run

FOUND, REFUSED, GRANTED = "found", "refused", "granted"
"""State keys: calls already read; when Aircall refused the whole kind; whether it ever granted any of it."""
BAD_REQUEST = 400
SHAPE_ATTEMPTS = 3
"""Attempts before a call with a response of unknown shape is set aside."""


class CallIntelligence(CallDetails):
    """One kind of AI results."""

    primary_keys: Sequence[str] = ("call_id",)
    cost = "one per call"
    state_keys = (*CallDetails.state_keys, FOUND, REFUSED, GRANTED)
    announced_by: ClassVar[tuple[str, ...]] = ()
    """Events that announce or change a result."""
    _access: Access

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self._refused_calls: list[int] = []
        """Refused calls, to be set aside once any call of the kind is granted."""
        self._has_requested_all = False
        """Whether this run has requested everything new."""
        self._found: dict[int, int] = {}
        """Calls with results: their starts, rounded down to the hour (UNIX seconds)."""
        self._announced: dict[int, int] = {}
        """Calls that events named: their starts (UNIX seconds)."""

    @override
    def begin(self) -> Cursors:
        cursors = super().begin()
        self._access = Access(self.client)
        asked_at = _asked_at(self.stream_state)
        if not states.is_due(asked_at, DAY_SECONDS, self._now):
            raise _refused(asked_at or self._now, is_expected=True)
        self._found = parse_ids(self.stream_state.get(FOUND, {}))
        self._announced = self._announced_calls(cursors)
        return cursors

    @override
    def finish(self, cursors: Cursors) -> Iterator[list[Record]]:
        yield from self.details_of([{"id": call_id} for call_id in list(self._announced)])
        if self._access.is_undecided and GRANTED not in self.stream_state:
            self._raise_refused()
        self._has_requested_all = True
        self.stream_state.pop(REFUSED, None)
        yield from super().finish(cursors)
        if self.run.events is not None:
            self.write_state(self.run.events.mark())

    @override
    def note(self, cursors: Cursors) -> None:
        if self._access.is_undecided and not self._has_requested_all:
            return  # the state stays unchanged in case the whole kind is refused
        for call_id in self._refused_calls:
            self.set_aside_call(call_id, Reason.REFUSED, "Aircall refuses it (status 403).")
        self._refused_calls.clear()
        super().note(cursors)

    @override
    def to_state(self, cursors: Cursors) -> dict[str, Any]:
        forgotten = cursors.read_for_good - HOUR_SECONDS
        self._found = {each: start for each, start in self._found.items() if start > forgotten}
        granted = {GRANTED: True} if self._access.is_granted else {}
        return {**super().to_state(cursors), FOUND: ids_to_state(self._found) or None, **granted}

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        Mark.parse(state)
        parse_ids(state.get(FOUND, {}))
        _asked_at(state)
        _refused_before(state)
        return super().parse_state(state)

    @override
    def upgrade_state(self) -> None:
        """Convert a state in which `calls` holds this stream's position (before version 0.3).

        Results missing then are requested again for calls young enough to get some.
        """
        state = self.stream_state  # may be empty, and still has a position in `calls`
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
        for call in self._ready(self.sibling(Calls).first_page, self.aircall_clock.reached()):
            try:
                result = self._ask(call["id"])
            except ForbiddenError as error:
                raise StreamUnavailableError(
                    "is left out: Aircall refuses it (status 403); the company's plan may lack it."
                ) from error
            if isinstance(result, ResponseError):
                raise result
            return [{**record, "call_id": call["id"]} for record in result or ()]
        return []

    @override
    def details_of(self, calls: Sequence[Record]) -> Iterator[list[Record]]:
        yield from self._request_results(self._access, calls)
        if self._access.is_refused:
            self._raise_refused()

    @override
    def details_again(self, calls: Sequence[int]) -> Generator[list[Record], None, bool]:
        access = self._access if self._access.is_granted else Access(self.client)
        yield from self._request_results(access, [{"id": call_id} for call_id in calls])
        return not access.is_refused

    def _request_results(self, access: Access, calls: Sequence[Record]) -> Iterator[list[Record]]:
        by_id = {call["id"]: call for call in calls}
        for call_id, result in access.ask(self._ask, list(by_id)):
            self._asked += 1
            start = self._announced.pop(call_id, None)
            yield from self._results(call_id, result, by_id[call_id].get("started_at", start))

    def _results(self, call_id: int, result: list[Record] | AircallError | None, start: Any) -> Iterator[list[Record]]:
        """Yield the results of a call, or set it aside."""
        match result:
            case None:
                # A call set aside before has a time limit of its own.
                if call_id in self._later or start is None or to_seconds(start) > self._now - YOUNG_SECONDS:
                    self.set_aside_call(call_id, Reason.MISSING)
            case ForbiddenError():
                is_full = self._later.room(Reason.REFUSED) <= len(self._refused_calls)
                if is_full and call_id not in self._later:
                    self._raise_refused()
                self._refused_calls.append(call_id)
            case ResponseError() if self._later.is_last_try(call_id, self._now):
                self._later.settle(call_id)
                found = result.found if isinstance(result.found, dict) else {"answer": result.found}
                yield [{**found, "call_id": call_id}]
            case ResponseError():
                self.set_aside_call(call_id, Reason.UNUSABLE, str(result))
            case AircallError():
                raise result
            case _:
                self._later.settle(call_id)
                yield [{**record, "call_id": call_id} for record in result]
                if not self.rereads:
                    self._found[call_id] = (
                        (self._now if start is None else to_seconds(start)) // HOUR_SECONDS * HOUR_SECONDS
                    )

    def _ask(self, call_id: int) -> list[Record] | ResponseError | None:
        """Request the results of one call; None if there are none, or none yet."""
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
        """Return the calls for which webhooks announced results since the last run, with their starts."""
        source = self.run.events
        calls: dict[int, int] = {}
        if source is None or not self.announced_by:
            return calls
        for event in source.news(self.stream_state, cursors.read_through, self.announced_by):
            call_id = event.number
            if call_id is not None and (self.rereads or call_id not in self._found):
                # Without a start in the event, an estimate that is early enough.
                calls[call_id] = event.second("call_created_at") or event.happened_at // 1000 - DAY_SECONDS
        return calls

    def _raise_refused(self) -> None:
        """Leave the stream out for a day, and its position unchanged; always raises `StreamUnavailableError`."""
        self.write_state({REFUSED: {ASKED_AT: to_rfc3339(self._now)}})
        raise _refused(self._now, is_expected=False)

    def records_of(self, payload: Any) -> list[Record] | None:
        """Parse the records of a response, with or without an envelope; None if it is empty.

        Raises:
            ResponseError: If the response is not recognised.
        """
        found = payload.get(self.envelope, payload) if isinstance(payload, dict) else payload
        if found is None or found in ({}, []):
            return None
        if not self.is_recognised(found):
            raise ResponseError(
                f"Aircall responded without the object '{self.envelope}'.", found=payload, attempts=SHAPE_ATTEMPTS
            )
        return [found]

    def is_recognised(self, record: Any) -> bool:
        """Return whether a record has at least one usable field of the schema besides ids."""
        if not isinstance(record, dict):
            return False
        if "id" in self.primary_keys and isinstance(record.get("id"), int | str):
            return True
        return is_recognised({name: value for name, value in record.items() if name != "id"}, self.schema)


def _asked_at(state: Mapping[str, Any]) -> int | None:
    """Return when Aircall refused the whole kind (UNIX seconds); None if it has not."""
    refused = state.get(REFUSED, {})
    return to_seconds(refused[ASKED_AT]) if ASKED_AT in refused else None


def _refused_before(state: Mapping[str, Any]) -> tuple[dict[int, int], int | None]:
    """Return the refusals in a state before version 0.3: calls with times, and since when calls are missing."""
    refused = state.get(REFUSED, {})
    return parse_ids(refused.get("calls", {})), to_seconds(refused["after"]) if "after" in refused else None


def _refused(asked_at: int, *, is_expected: bool) -> StreamUnavailableError:
    until = to_rfc3339(asked_at + DAY_SECONDS)
    return StreamUnavailableError(
        f"is left out until {until}: Aircall refuses it (status 403); the company's plan may lack it.",
        is_expected=is_expected,
    )


class CallTranscriptions(CallIntelligence):
    """Transcripts."""

    name = "call_transcriptions"
    path = "/v1/calls/{}/transcription"
    envelope = "transcription"
    announced_by = ("transcription.created",)

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        return {"mode": self.settings.transcription_mode}

    @override
    def _announced_calls(self, cursors: Cursors) -> dict[int, int]:
        # Events announce the transcription that is made after the call.
        return super()._announced_calls(cursors) if self.settings.transcription_mode == "async" else {}

    @override
    def records_of(self, payload: Any) -> list[Record] | None:
        records = super().records_of(payload)
        for record in records or ():
            if isinstance(record.get("content"), list):  # bare utterances, perhaps in realtime mode
                record["content"] = {"utterances": record["content"]}
        return records


class CallSentiments(CallIntelligence):
    """How the other party felt."""

    name = "call_sentiments"
    path = "/v1/calls/{}/sentiments"
    envelope = "sentiment"
    announced_by = ("sentiment.created",)


class CallTopics(CallIntelligence):
    """What a call was about, in a few keywords."""

    name = "call_topics"
    path = "/v1/calls/{}/topics"
    envelope = "topic"
    announced_by = ("topics.created",)


class CallSummaries(CallIntelligence):
    """What a call was about, in a few sentences."""

    name = "call_summaries"
    path = "/v1/calls/{}/summary"
    envelope = "summary"
    announced_by = ("summary.created",)


class EditedIntelligence(CallIntelligence):
    """Results that people may edit later, with partly unknown fields."""

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
    """Action items after a call, one record per item."""

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
                f"Aircall responded without the list '{self.envelope}'.", found=payload, attempts=SHAPE_ATTEMPTS
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
