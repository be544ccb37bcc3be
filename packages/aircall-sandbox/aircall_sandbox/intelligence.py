"""AI results of calls (facts: Results of Aircall's AI).

A company without the plan gets 403 for all of them. With the plan, a call has no results (404) until some time after
its end. All results of a call describe the same conversation; they are made up on request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from aircall_sandbox.conversations import SUBJECTS, Conversation
from aircall_sandbox.messages import UNKNOWN_OBJECT, ApiResponse, Query, Route
from aircall_sandbox.phones import e164
from aircall_sandbox.templates import iso, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_sandbox.templates import Record
    from aircall_sandbox.world import World

ResultKind = Literal[
    "transcription",
    "realtime_transcription",
    "sentiments",
    "topics",
    "summary",
    "custom_summary_result",
    "action_items",
    "playbook_result",
    "evaluations",
    "predicted_csat",
]
RESULT_KINDS: tuple[ResultKind, ...] = get_args(ResultKind)
ENVELOPES: dict[str, str] = {
    "transcription": "transcription",
    "sentiments": "sentiment",
    "topics": "topic",
    "summary": "summary",
    "predicted_csat": "csat",
}
"""Envelopes by kind; other kinds have none."""
DELAY = 60
"""Seconds from the end of a call to its results, plus a tenth of its duration."""
NO_PLAN = ApiResponse(403, {"error": "Forbidden", "troubleshoot": "The company is not active"})


class Intelligence:
    """The AI results of a company's calls."""

    def __init__(self, company: World) -> None:
        self.plan = True
        """Whether the company has the AI plan."""
        self.denied_calls: set[int] = set()
        """Calls whose results are refused in spite of the plan."""
        self.is_wrapped = True
        """Whether results have their envelopes; sources disagree."""
        self.share = 0.0
        """Share of answered calls with all results, and of voicemails with a transcription, from 0 to 1, apart from
        results given by `add`."""
        self._company = company
        self._results: dict[tuple[str, int], tuple[float, Any]] = {}

    def add(self, call_id: int, kind: ResultKind, payload: Any = None, *, visible_at: float | None = None) -> Any:
        """Give a call an AI result.

        Args:
            call_id: The call.
            kind: The last segment of its path.
            payload: The result without its envelope; by default one that fits the call.
            visible_at: When the API first shows it (UNIX seconds); by default at once.

        Returns:
            The payload.
        """
        payload = self._make(kind, call_id) if payload is None else payload
        self._results[kind, call_id] = (visible_at or 0, payload)
        self._company.changed("results", None, self._event_data(kind, call_id, visible_at or 0))
        return payload

    def edit(self, call_id: int, kind: ResultKind, **changes: Any) -> None:
        """Edit a result, as a user can."""
        if (kind, call_id) not in self._results:
            visible_at, payload = self.find(kind, call_id)
            self.add(call_id, kind, payload, visible_at=visible_at)
        self._results[kind, call_id][1].update(changes)
        data = self._event_data(kind, call_id, 0)
        self._company.changed("results", data, data)

    def results_of(self, call_id: int) -> Iterator[Record]:
        """Yield the event data of each present or future result of a call."""
        for kind in RESULT_KINDS:
            visible_at, payload = self.find(kind, call_id)
            if payload is not None:
                yield self._event_data(kind, call_id, visible_at)

    def _event_data(self, kind: ResultKind, call_id: int, visible_at: float) -> Record:
        call = self._company.calls[call_id]
        return {
            "kind": kind,
            "ready_in": max(0.0, visible_at - self._company.now),
            "id": call_id * 10,
            "call_id": call_id,
            "call_uuid": call["sid"],
            "number_id": (call["number"] or {}).get("id"),
            "call_created_at": iso(call["started_at"]),
        }

    def conversation(self, call_id: int) -> Conversation:
        """Return the conversation of a call."""
        subject = self._company.subjects.get(call_id, SUBJECTS[call_id % len(SUBJECTS)])
        return Conversation(self._company.calls[call_id], subject, self._company.company_name)

    def _make(self, kind: ResultKind, call_id: int) -> Any:
        call = self._company.calls[call_id]
        made_at = _ready_at(call) if call["ended_at"] else self._company.now
        return _payload(kind, self.conversation(call_id), iso(made_at))

    def find(self, kind: ResultKind, call_id: int) -> tuple[float, Any]:
        """Return when the API first shows a result, and the result; infinity and None if there is none."""
        given = self._results.get((kind, call_id))
        if given is not None:
            return given
        call = self._company.shown_call(call_id)
        is_spoken = call is not None and (call["answered_at"] or (call["voicemail"] and kind == "transcription"))
        if call is None or not is_spoken or not call["ended_at"] or _lot(call_id) >= self.share:
            return float("inf"), None
        return _ready_at(call), self._make(kind, call_id)

    def routes(self) -> list[Route]:
        """Return a route per kind; realtime transcriptions have had none since March 2026."""
        kinds = (kind for kind in RESULT_KINDS if kind != "realtime_transcription")
        return [Route(f"/v1/calls/*/{kind}", partial(self.respond, kind)) for kind in kinds]

    def respond(self, kind: ResultKind, query: Query, call_id: str) -> ApiResponse:
        """Respond to a request for an AI result of a call."""
        if not self.plan or (call_id.isdigit() and int(call_id) in self.denied_calls):
            return NO_PLAN
        if not call_id.isdigit():
            return ApiResponse(400, {"error": "Bad Request", "troubleshoot": "The call's id must be a number"})
        realtime = kind == "transcription" and query.params.get("mode") == "realtime"
        visible_at, payload = self.find("realtime_transcription" if realtime else kind, int(call_id))
        if self._company.shown_call(int(call_id)) is None or visible_at > self._company.now:
            return UNKNOWN_OBJECT
        if kind == "playbook_result" and query.params.get("fetch_playbook") != "true":
            payload = without(payload, "playbook")
        envelope = ENVELOPES.get(kind)
        return ApiResponse(200, {envelope: payload} if envelope and self.is_wrapped else payload)


def _ready_at(call: Record) -> float:
    return float(call["ended_at"] + DELAY + call["duration"] // 10)


def _lot(call_id: int) -> float:
    """Return a pseudo-random number from 0 to 1 that depends on the call alone."""
    return call_id * 2_654_435_761 % 2**32 / 2**32


def _payload(kind: ResultKind, talk: Conversation, made_at: str) -> Record:  # noqa: PLR0911 - one case a kind
    """Make up a result of a conversation; `made_at` is a time in Aircall's format."""
    call, call_id = talk.call, talk.call["id"]
    user_id, number_id = ((call[part] or {}).get("id", 1) for part in ("user", "number"))
    about: Record = {"id": call_id * 10, "call_id": call_id, "created_at": made_at}
    score = {"POSITIVE": 80, "NEUTRAL": 60, "NEGATIVE": 25}[talk.subject.mood] + call_id % 16
    match kind:
        case "transcription" | "realtime_transcription":
            return {
                "id": call_id * 10,
                "call_id": call_id,
                "call_created_at": iso(call["started_at"]),
                "type": "call" if call["answered_at"] or not call["voicemail"] else "voicemail",
                "content": {"language": "en", "utterances": _utterances(kind, talk, user_id)},
            }
        case "sentiments":
            participant = {"phone_number": _digits(talk), "value": talk.subject.mood, "type": "external"}
            return {"id": call_id, "call_id": call_id, "participants": [participant]}
        case "topics":
            return about | {"content": list(talk.subject.topics)}
        case "summary":
            return about | {"content": talk.summary}
        case "custom_summary_result":
            sections = {"Reason": talk.reason, "Outcome": talk.outcome, "Next step": (talk.actions or ["None"])[0]}
            template = [{"name": name, "content": content} for name, content in sections.items()]
            summary = {"custom_summary": {"name": "Call notes"}, "summary_template_results": template}
            return about | {"number_id": number_id, "language": "en"} | summary
        case "action_items":
            items = [
                {
                    "id": call_id * 10 + position,
                    "content": action,
                    "ai_generated": True,
                    "created_by": None,
                    "created_at": made_at,
                    "updated_by": None,
                    "updated_at": made_at,
                }
                for position, action in enumerate(talk.actions)
            ]
            return {"call_id": call_id, "action_items": items}
        case "playbook_result":
            results = {"Greeting": "yes", "Reason of the call": talk.reason, "Next step": bool(talk.actions)}
            topics = [{"name": name, "result": result} for name, result in results.items()]
            who = {"user_id": user_id, "number_id": number_id, "adherence_score": 1.0 if talk.actions else 0.67}
            playbook = {"playbook": {"id": 7, "name": "Good calls", "language": "en"}}
            return about | who | playbook | {"playbook_result_topics": topics}
        case "evaluations":
            scored = {
                "scorecard": {"name": "Quality of service"},
                "score": {"normalized_score": float(score)},
                "categories": [],
                "questions": [{"question": "Was the customer helped?", "answer": talk.outcome}],
            }
            times = {"reviewed_at": made_at, "updated_at": made_at}
            return about | {"ai_generated": True} | times | {"evaluations": [scored]}
        case "predicted_csat":
            drivers = [{"polarity": talk.subject.mood, "label": talk.outcome}]
            return {"call_id": call_id, "call_uuid": call["sid"], "score": score, "drivers": drivers}


def _utterances(kind: ResultKind, talk: Conversation, user_id: int) -> list[Record]:
    agent = {"participant_type": "internal", "user_id": user_id}
    customer = {"participant_type": "external", "phone_number": _digits(talk)}
    answered_at = talk.call["answered_at"] or talk.call["started_at"]
    utterances = []
    for each in talk.utterances():
        times: Record = (
            {"start_time": each.start, "end_time": each.end}
            if kind == "transcription"
            else {
                "timestamp": answered_at + int(each.start),
                "duration_ms": round(1000 * (each.end - each.start)),
                "language": "en",
            }
        )
        utterances.append((agent if each.is_agent else customer) | {"text": each.text} | times)
    return utterances


def _digits(talk: Conversation) -> str | None:
    """Return the customer's number as transcriptions show it; None for anonymous callers."""
    digits = talk.call["raw_digits"]
    return e164(digits) if digits not in (None, "anonymous") else None
