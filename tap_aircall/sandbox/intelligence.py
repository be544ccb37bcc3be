"""What Aircall's AI makes of calls, as its API shows it (facts, sections 4.3, 5.12 and 6.9).

A company without the plan gets 403 for all of it. With it, a call has nothing (404) until some time after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from tap_aircall.sandbox.api import UNKNOWN_OBJECT, Answer
from tap_aircall.sandbox.templates import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_aircall.sandbox.templates import Record
    from tap_aircall.sandbox.world import World

Artefact = Literal[
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
ARTEFACTS: tuple[Artefact, ...] = get_args(Artefact)
ENVELOPES: dict[str, str] = {
    "transcription": "transcription",
    "sentiments": "sentiment",
    "topics": "topic",
    "summary": "summary",
    "predicted_csat": "csat",
}
"""Those that come in an envelope; the others come as they are."""
NO_PLAN = (403, {"error": "Forbidden", "troubleshoot": "The company is not active"})


class Intelligence:
    """The artefacts of a company.

    Args:
        world: The company.
    """

    def __init__(self, world: World) -> None:
        self.plan = True
        """Whether the company has the AI plan."""
        self.denied_calls: set[int] = set()
        """Calls of which alone everything is refused."""
        self.is_wrapped = True
        """Whether those come in an envelope that do; sources differ."""
        self._world = world
        self._artefacts: dict[tuple[str, int], tuple[float, Any]] = {}

    def add(self, call_id: int, artefact: Artefact, payload: Any = None, *, visible_at: float | None = None) -> Any:
        """Give a call an artefact.

        Args:
            call_id: The call.
            artefact: What it is, by the last part of its path.
            payload: What it holds, without an envelope; by default an example.
            visible_at: When the API begins to show it (UNIX seconds); by default at once.

        Returns:
            The payload.
        """
        payload = example(artefact, call_id, self._world.now) if payload is None else payload
        self._artefacts[artefact, call_id] = (visible_at or 0, payload)
        return payload

    def edit(self, call_id: int, artefact: Artefact, **changes: Any) -> None:
        """Let somebody edit an artefact."""
        self._artefacts[artefact, call_id][1].update(changes)

    def answer(self, call_id: str, path: str, query: Mapping[str, str]) -> Answer | None:
        """Answer a request below a call; None where the path is of something else."""
        # The path of its own that realtime transcriptions had is gone since March 2026.
        if path not in ARTEFACTS or path == "realtime_transcription":
            return None
        if not self.plan or (call_id.isdigit() and int(call_id) in self.denied_calls):
            return Answer(*NO_PLAN)
        if not call_id.isdigit():
            return Answer(400, {"error": "Bad Request", "troubleshoot": "The call's id must be a number"})
        artefact = "realtime_transcription" if path == "transcription" and query.get("mode") == "realtime" else path
        visible_at, payload = self._artefacts.get((artefact, int(call_id)), (float("inf"), None))
        if self._world.shown_call(int(call_id)) is None or visible_at > self._world.now:
            return Answer(*UNKNOWN_OBJECT)
        if path == "playbook_result" and query.get("fetch_playbook") != "true":
            payload = {name: value for name, value in payload.items() if name != "playbook"}
        envelope = ENVELOPES.get(path)
        return Answer(200, {envelope: payload} if envelope and self.is_wrapped else payload)


def example(artefact: Artefact, call_id: int, now: float) -> Record:  # noqa: PLR0911 - one case a kind
    """Make up an artefact of a call."""
    made_at = iso(now)
    about: Record = {"id": call_id * 10, "call_id": call_id, "created_at": made_at}
    match artefact:
        case "transcription" | "realtime_transcription":
            spoken: list[Record] = [
                {"participant_type": "external", "phone_number": "+33 1 99 00 00 00", "text": "Hello, it is about ..."},
                {"participant_type": "internal", "user_id": 1, "text": "Of course, one moment."},
            ]
            times: list[Record] = [
                {"start_time": 2.5 * n, "end_time": 2.5 * n + 2}
                if artefact == "transcription"
                else {"timestamp": int(now) + n, "duration_ms": 2000, "language": "en"}
                for n in range(len(spoken))
            ]
            utterances = [said | time for said, time in zip(spoken, times, strict=True)]
            content = {"language": "en", "utterances": utterances}
            return {
                "id": call_id * 10,
                "call_id": call_id,
                "call_created_at": made_at,
                "type": "call",
                "content": content,
            }
        case "sentiments":
            participant = {"phone_number": "+33 1 99 00 00 00", "value": "POSITIVE", "type": "external"}
            return {"id": call_id, "call_id": call_id, "participants": [participant]}
        case "topics":
            return about | {"content": ["payment", "billing"]}
        case "summary":
            return about | {"content": "A question about a bill, which was answered."}
        case "custom_summary_result":
            sections = [{"name": "Budget", "content": "Approved"}]
            template = {"custom_summary": {"name": "BANT"}, "summary_template_results": sections}
            return about | {"number_id": 1, "language": "en"} | template
        case "action_items":
            item = {"content": "Send the quote", "ai_generated": True, "created_by": None, "updated_by": 1}
            times_of_item = {"created_at": made_at, "updated_at": made_at}
            return {"call_id": call_id, "action_items": [{"id": n} | item | times_of_item for n in (1, 2)]}
        case "playbook_result":
            topics = {"playbook_result_topics": [{"name": "Budget", "result": "asked for"}]}
            playbook = {"playbook": {"id": 7, "name": "BANT", "language": "en"}}
            return about | {"user_id": 1, "number_id": 1, "adherence_score": 0.8} | playbook | topics
        case "evaluations":
            scored = {
                "scorecard": {"name": "QA"},
                "score": {"normalized_score": 87.5},
                "categories": [],
                "questions": [],
            }
            return about | {
                "ai_generated": True,
                "reviewed_at": made_at,
                "updated_at": made_at,
                "evaluations": [scored],
            }
        case "predicted_csat":
            drivers = [{"polarity": "POSITIVE", "label": "The answer came at once"}]
            return {"call_id": call_id, "call_uuid": f"CA{call_id}", "score": 75, "drivers": drivers}
