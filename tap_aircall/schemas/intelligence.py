"""Fields of AI results (facts: Results of Aircall's AI). Objects that are only inferred are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_aircall.schemas.notation import (
    flag,
    integer,
    key,
    list_of,
    number,
    object_of,
    objects,
    open_object,
    text,
    time,
)
from tap_aircall.schemas.resources import id_of

if TYPE_CHECKING:
    from tap_aircall.schemas.notation import Fields

CALL_UUID = text("Identifier of the call at the telephony provider.")
EDITED = time("When it was last edited.")
UTTERANCE: Fields = {
    "start_time": number("Start of the utterance, in seconds from the start of the call."),
    "end_time": number("End of the utterance, in seconds from the start of the call."),
    "text": text("The spoken text."),
    "participant_type": text("internal, external or ai_voice_agent."),
    "user_id": integer("Identifier of the user who spoke, if internal."),
    "phone_number": text("Number of the party who spoke, if external."),
    "ai_voice_agent_id": text("Identifier of the AI voice agent that spoke."),
    "timestamp": number("When it was spoken; realtime mode."),
    "duration_ms": integer("Duration in milliseconds; realtime mode."),
    "language": text("Language of the utterance; realtime mode."),
}
SENTIMENT: Fields = {
    "phone_number": text("Number of the participant."),
    "value": text("POSITIVE, NEGATIVE or NEUTRAL."),
    "type": text("Kind of the participant, such as external."),
}
DRIVER: Fields = {
    "polarity": text("POSITIVE or NEGATIVE."),
    "label": text("What pleased or displeased the other party."),
}

RESULTS: dict[str, Fields] = {
    "call_transcriptions": {
        "id": id_of("transcription"),
        "call_uuid": CALL_UUID,
        "call_created_at": time("When the call was created."),
        "type": text("call or voicemail."),
        "content": object_of(
            {
                "language": text("Language of the transcript, such as en or fr-FR."),
                "utterances": objects(UTTERANCE, "The utterances, in order."),
            },
            "The transcript.",
        ),
    },
    "call_sentiments": {
        "id": id_of("sentiment"),
        "participants": objects(SENTIMENT, "The sentiment of each party."),
    },
    "call_topics": {
        "id": id_of("topics"),
        "created_at": time("When the list was created."),
        "content": list_of(text(""), "Topics of the call."),
    },
    "call_summaries": {
        "id": id_of("summary"),
        "created_at": time("When the summary was created."),
        "content": text("The summary."),
    },
    "call_custom_summaries": {
        "id": id_of("summary"),
        "number_id": id_of("number of the call"),
        "language": text("Language of the summary."),
        "created_at": time("When the summary was created."),
        "custom_summary": open_object("The template, with its name."),
        "summary_template_results": list_of(open_object(""), "Sections of the summary, each with name and content."),
    },
    "call_action_items": {
        "id": key(id_of("item")),
        "content": text("What to do."),
        "ai_generated": flag("Whether AI wrote it."),
        "created_by": integer("Identifier of the user who wrote it."),
        "created_at": time("When the item was created."),
        "updated_by": integer("Identifier of the user who last edited it."),
        "updated_at": EDITED,
        "assignee_user_id": integer("Identifier of the user it is assigned to."),
        "due_at": time("When it is due."),
        "completed_at": time("When it was done."),
    },
    "call_playbook_results": {
        "id": id_of("result"),
        "user_id": integer("Identifier of the user who took the call."),
        "number_id": id_of("number of the call"),
        "adherence_score": number("How closely the call followed the playbook."),
        "created_at": time("When the result was created."),
        "updated_at": EDITED,
        "playbook": open_object("The playbook, with id, name and language."),
        "playbook_result_topics": list_of(open_object(""), "Topics of the playbook, each with name and result."),
    },
    "call_evaluations": {
        "id": id_of("evaluation"),
        "ai_generated": flag("Whether AI created it."),
        "reviewed_at": time("When a person reviewed it."),
        "created_at": time("When the evaluation was created."),
        "updated_at": EDITED,
        "evaluations": list_of(open_object(""), "One for each scorecard, with score, categories and questions."),
    },
    "call_csat_predictions": {
        "call_uuid": CALL_UUID,
        "score": integer("Predicted satisfaction, from 0 to 100."),
        "drivers": objects(DRIVER, "Reasons for the score."),
    },
}
FIELDS = {stream: {"call_id": key(id_of("call"))} | fields for stream, fields in RESULTS.items()}
