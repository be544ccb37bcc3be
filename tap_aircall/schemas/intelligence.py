"""The JSON schemas of AI results (facts: Results of Aircall's AI).

Objects that only a reconstruction shows are open: known fields are typed, all others are passed on as they are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import singer_sdk.typing as th

from tap_aircall.schemas.resources import INTEGER, OPEN, P, completed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CALL = P("call_id", INTEGER, required=True, nullable=False, description="Identifier of the call.")


def _id(of: str) -> P[Any]:
    return P("id", INTEGER, description=f"Identifier of the {of}.")


def _created(of: str) -> P[Any]:
    return P("created_at", th.DateTimeType, description=f"When the {of} was made.")


def _list_of(*fields: P[Any]) -> th.ArrayType[th.ObjectType]:
    return th.ArrayType(th.ObjectType(*fields, nullable=True))


_TEXTS: th.ArrayType[th.StringType] = th.ArrayType(th.StringType(nullable=True))
_OBJECTS: th.ArrayType[Any] = th.ArrayType(OPEN)


def _call_transcriptions() -> th.PropertiesList:
    utterance = (
        P("start_time", th.NumberType, description="Start of the utterance, in seconds from that of the call."),
        P("end_time", th.NumberType, description="End of the utterance, in seconds from the start of the call."),
        P("text", th.StringType, description="What was said."),
        P("participant_type", th.StringType, description="internal, external or ai_voice_agent."),
        P("user_id", INTEGER, description="Identifier of the user who spoke, if internal."),
        P("phone_number", th.StringType, description="Number of the party who spoke, if external."),
        P("ai_voice_agent_id", th.StringType, description="Identifier of the AI voice agent that spoke."),
        P("timestamp", th.NumberType, description="When it was said; realtime mode."),
        P("duration_ms", INTEGER, description="How long it took, in milliseconds; realtime mode."),
        P("language", th.StringType, description="Language of the utterance; realtime mode."),
    )
    return th.PropertiesList(
        _CALL,
        _id("transcription"),
        P("call_uuid", th.StringType, description="Identifier of the call at the telephony provider."),
        P("call_created_at", th.DateTimeType, description="When the call was created."),
        P("type", th.StringType, description="call or voicemail."),
        P(
            "content",
            th.ObjectType(
                P("language", th.StringType, description="Language that was recognized, such as en or fr-FR."),
                P("utterances", _list_of(*utterance), description="What was said, in order."),
            ),
            description="The transcript.",
        ),
    )


def _call_sentiments() -> th.PropertiesList:
    participant = (
        P("phone_number", th.StringType, description="Number of the participant."),
        P("value", th.StringType, description="POSITIVE, NEGATIVE or NEUTRAL."),
        P("type", th.StringType, description="Kind of the participant, such as external."),
    )
    return th.PropertiesList(
        _CALL, _id("sentiment"), P("participants", _list_of(*participant), description="The sentiment of each party.")
    )


def _call_topics() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL, _id("topics"), _created("list"), P("content", _TEXTS, description="Topics of the call.")
    )


def _call_summaries() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL, _id("summary"), _created("summary"), P("content", th.StringType, description="The summary.")
    )


def _call_custom_summaries() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL,
        _id("summary"),
        P("number_id", INTEGER, description="Identifier of the number of the call."),
        P("language", th.StringType, description="Language of the summary."),
        _created("summary"),
        P("custom_summary", OPEN, description="The template, with its name."),
        P("summary_template_results", _OBJECTS, description="Sections of the summary, each with name and content."),
    )


def _call_action_items() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL,
        P("id", INTEGER, required=True, nullable=False, description="Identifier of the item."),
        P("content", th.StringType, description="What is to be done."),
        P("ai_generated", th.BooleanType, description="Whether AI wrote it."),
        P("created_by", INTEGER, description="Identifier of the user who wrote it."),
        _created("item"),
        P("updated_by", INTEGER, description="Identifier of the user who edited it last."),
        P("updated_at", th.DateTimeType, description="When it was edited last."),
        P("assignee_user_id", INTEGER, description="Identifier of the user who is to do it."),
        P("due_at", th.DateTimeType, description="When it is due."),
        P("completed_at", th.DateTimeType, description="When it was done."),
    )


def _call_playbook_results() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL,
        _id("result"),
        P("user_id", INTEGER, description="Identifier of the user who took the call."),
        P("number_id", INTEGER, description="Identifier of the number of the call."),
        P("adherence_score", th.NumberType, description="How closely the call followed the playbook."),
        _created("result"),
        P("updated_at", th.DateTimeType, description="When it was edited last."),
        P("playbook", OPEN, description="The playbook, with id, name and language."),
        P("playbook_result_topics", _OBJECTS, description="Topics of the playbook, each with name and result."),
    )


def _call_evaluations() -> th.PropertiesList:
    return th.PropertiesList(
        _CALL,
        _id("evaluation"),
        P("ai_generated", th.BooleanType, description="Whether AI made it."),
        P("reviewed_at", th.DateTimeType, description="When a person reviewed it."),
        _created("evaluation"),
        P("updated_at", th.DateTimeType, description="When it was edited last."),
        P("evaluations", _OBJECTS, description="One for each scorecard, with score, categories and questions."),
    )


def _call_csat_predictions() -> th.PropertiesList:
    driver = (
        P("polarity", th.StringType, description="POSITIVE or NEGATIVE."),
        P("label", th.StringType, description="What satisfied the other party, or did not."),
    )
    return th.PropertiesList(
        _CALL,
        P("call_uuid", th.StringType, description="Identifier of the call at the telephony provider."),
        P("score", INTEGER, description="Expected satisfaction, from 0 to 100."),
        P("drivers", _list_of(*driver), description="What the score comes from."),
    )


_BUILDERS: Mapping[str, Callable[[], th.PropertiesList]] = {
    "call_transcriptions": _call_transcriptions,
    "call_sentiments": _call_sentiments,
    "call_topics": _call_topics,
    "call_summaries": _call_summaries,
    "call_custom_summaries": _call_custom_summaries,
    "call_action_items": _call_action_items,
    "call_playbook_results": _call_playbook_results,
    "call_evaluations": _call_evaluations,
    "call_csat_predictions": _call_csat_predictions,
}


@cache
def of(stream: str) -> dict[str, Any]:
    """Return the JSON schema of a stream's records."""
    return completed(_BUILDERS[stream]())
