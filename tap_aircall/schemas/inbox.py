"""Fields of streams from webhooks (facts: Payloads of deliveries)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_aircall.schemas.notation import integer, key, list_of, object_of, objects, open_object, text, time, types_of
from tap_aircall.schemas.resources import CALL, CONTACT, NUMBER, USER, id_of, picked
from tap_aircall.schemas.resources import FIELDS as RESOURCES

if TYPE_CHECKING:
    from tap_aircall.schemas.notation import Fields, Schema

EXPIRES = "a signed link, which expires"
CALL_UUID = text("Identifier of the call at the telephony provider; sid in calls.")


def _position(of: str) -> Schema:
    return key(integer(f"Position of {of} in the inbox; it only increases."))


EVENT: Fields = {
    "event_id": key(text("Identifier of the event: the same for each delivery of it.")),
    "position": _position("the event"),
    "event": text("What happened, such as call.tagged."),
    "happened_at": time("When it happened, according to Aircall."),
    "received_at": time("When the inbox received it."),
}
MERGED: Fields = {
    "position": _position("the latest event about it"),
    "happened_at": time("When the latest known event about it happened."),
}
"""Fields of records that are merged from several events."""
FILE: Fields = {
    "file_name": text("Name of the file."),
    "file_type": text("Type of the file, such as image/png."),
    "presigned_url": text(f"URL of the file: {EXPIRES}."),
}
TEXT_MESSAGE: Fields = {
    "direct_link": text("URL of the message in Aircall's API."),
    "direction": text("inbound or outbound."),
    "body": text("The text."),
    "status": text("Status, such as received, sent, delivered or failed."),
    "raw_digits": text("Number of the other party, with spaces."),
    "media_details": objects(FILE, "Files that came with it."),
    "media_url": list_of(text(""), f"URLs of the files, each {EXPIRES}."),
    "created_at": time("When the message was created."),
    "updated_at": time("When the message last changed."),
    "sent_at": time("When the message was sent."),
    "channel": text("null for SMS and MMS, or whatsapp."),
    "origin": text("Where it comes from, such as native."),
    "number": object_of(
        picked(
            NUMBER | {"e164_digits": text("The number in international format, without spaces.")},
            "id name digits e164_digits country time_zone availability_status",
        ),
        "The company's number that it went through.",
    ),
    "user": object_of(picked(USER, "id name email direct_link"), "User who wrote it, or who should reply to it."),
}


def _nullable(definition: Schema) -> Schema:
    types = types_of(definition)
    return definition | {"type": [*types, *({"null"} - set(types))]}


def _shown(fields: Fields, *apart: str) -> Fields:
    """Return the fields of an object in an event, nullable, without those that have other names here."""
    return {name: _nullable(definition) for name, definition in fields.items() if name not in apart}


FIELDS: dict[str, Fields] = {
    "webhook_events": {
        **EVENT,
        "company": text("Company in the inbox."),
        "resource": text("Aircall's name for the kind of object."),
        "object_type": text("Kind of object that the event is about: call, contact, message, ..."),
        "object_id": text("Identifier of the object."),
        "body": open_object("The delivered body, without the token."),
    },
    "call_events": {
        **EVENT,
        "call_id": id_of("call"),
        "user_id": integer("Identifier of the user whose phone rang, or who declined, answered, held and so on."),
        "call_uuid": CALL_UUID,
        "hangup_cause": text("Why the call ended."),
        "external_transferred_to": text("External number that the call was transferred to."),
        "external_caller_number": text("Number that was shown as the caller."),
        "automatic_callback_call_id": id_of("automatic callback"),
        **_shown(CALL, "id", "sid", "conference_participants"),
    },
    "user_events": {**EVENT, "user_id": id_of("user"), **_shown(RESOURCES["users"], "id")},
    "messages": {
        "id": key(text("Identifier of the message, as text.")),
        **MERGED,
        **TEXT_MESSAGE,
        "external_number": text("Number of the other party."),
        "contact": object_of(
            picked(CONTACT, "id first_name last_name company_name direct_link"),
            "Contact with the other party's number.",
        ),
        "type": text("Kind of message; WhatsApp."),
        "template_content": text("Values for the template, as JSON; WhatsApp."),
        "metadata": open_object("Metadata; WhatsApp."),
        "parent_id": text("Identifier of the message that it replies to; WhatsApp."),
        "whatsapp_message_category": text("Billing category, such as utility; WhatsApp."),
        "whatsapp_message_type": text("Kind of message at WhatsApp."),
        "recipient_country": text("Country of the recipient; WhatsApp."),
    },
    "group_messages": {
        "id": key(text("Identifier of the message, a UUID.")),
        **MERGED,
        **TEXT_MESSAGE,
        "group_conversation_id": text("Identifier of the conversation."),
        "participants": list_of(text(""), "Phone numbers of the participants, digits only."),
    },
    "ai_voice_agent_sessions": {
        "ai_voice_agent_session_id": key(text("Identifier of the session.")),
        **MERGED,
        "call_id": id_of("call"),
        "call_uuid": CALL_UUID,
        "ai_voice_agent_id": text("Identifier of the agent."),
        "ai_voice_agent_name": text("Name of the agent."),
        "number_id": id_of("number of the call"),
        "external_caller_number": text("Number of the caller."),
        "aircall_number": text("Number that was called."),
        "created_at": time("When the latest of its events was created."),
        "started_at": time("When the agent took the call."),
        "ended_at": time("When the agent finished."),
        "call_end_reason": text("Why the agent's part ended: answered, escalated, disconnected or caller_hung_up."),
        "escalation_reason": text("Why the agent escalated the call."),
        "extracted_data": open_object("Data that the agent collected, under names that the company chose."),
    },
    "deleted_objects": {
        "object_type": key(text("Kind of object: user, number, contact or integration.")),
        "object_id": key(text("Identifier of the object, as text.")),
        "position": _position("the event"),
        "deleted_at": time("When it was deleted, according to Aircall."),
        "received_at": time("When the inbox received the event."),
        "event": text("The event that reported it, such as contact.deleted."),
        "event_id": text("Identifier of the event."),
    },
}
