"""The JSON schemas of the streams that come from webhooks (facts: What deliveries hold).

Everything but keys and positions may be null, since an event may leave anything out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import singer_sdk.typing as th

from tap_aircall.schemas import resources as schemas
from tap_aircall.schemas.resources import INTEGER, OPEN, P, completed, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXPIRES = "a signed link, which expires"


def _key(name: str, description: str) -> P[Any]:
    return P(name, th.StringType, required=True, nullable=False, description=description)


def _position(of: str) -> P[Any]:
    return P(
        "position", INTEGER, required=True, nullable=False, description=f"Position of {of} in the inbox; it only grows."
    )


def _event() -> tuple[P[Any], ...]:
    """List the fields of every event."""
    return (
        _key("event_id", "Identifier of the event: the same for each delivery of it."),
        _position("the event"),
        P("event", th.StringType, description="What happened, such as call.tagged."),
        P("happened_at", th.DateTimeType, description="When it happened, as Aircall says."),
        P("received_at", th.DateTimeType, description="When the inbox received it."),
    )


def _merged() -> tuple[P[Any], ...]:
    """List the fields of every record that several events make up."""
    return (
        _position("the latest event about it"),
        P("happened_at", th.DateTimeType, description="When the latest known event about it happened."),
    )


def _webhook_events() -> th.PropertiesList:
    return th.PropertiesList(
        *_event(),
        P("company", th.StringType, description="Company in the inbox."),
        P("resource", th.StringType, description="Kind of object, as Aircall calls it."),
        P("object_type", th.StringType, description="Kind of object it is about: call, contact, message, ..."),
        P("object_id", th.StringType, description="Identifier of the object."),
        P("body", OPEN, description="What was delivered, without the token."),
    )


def _call_events() -> th.PropertiesList:
    return th.PropertiesList(
        *_event(),
        P("call_id", INTEGER, description="Identifier of the call."),
        P(
            "user_id",
            INTEGER,
            description="Identifier of the user it is about: who was rung, declined, answered, held, and so on.",
        ),
        P("call_uuid", th.StringType, description="Identifier of the call at the telephony provider; sid in calls."),
        P("hangup_cause", th.StringType, description="Why the call ended."),
        P("external_transferred_to", th.StringType, description="External number that the call was transferred to."),
        P("external_caller_number", th.StringType, description="Number that was shown as the caller."),
        P("automatic_callback_call_id", INTEGER, description="Identifier of the automatic callback."),
    )


def _user_events() -> th.PropertiesList:
    return th.PropertiesList(*_event(), P("user_id", INTEGER, description="Identifier of the user."))


def _number() -> P[Any]:
    return P(
        "number",
        th.ObjectType(
            P("id", INTEGER, description="Identifier of the number."),
            P("name", th.StringType, description="Name of the number."),
            P("digits", th.StringType, description="The number in international form."),
            P("e164_digits", th.StringType, description="The number in international form, without spaces."),
            P("country", th.StringType, description="Country of the number, ISO 3166-1 alpha-2."),
            P("time_zone", th.StringType, description="IANA time zone of the number."),
            P("availability_status", th.StringType, description="Opening hours of the number: open, custom or closed."),
        ),
        description="Number of the company that it went through.",
    )


def _person(name: str, description: str, *fields: str) -> P[Any]:
    return P(
        name,
        th.ObjectType(
            P("id", INTEGER, description=f"Identifier of the {name}."),
            *(P(field, th.StringType, description=f"The {field.replace('_', ' ')} of the {name}.") for field in fields),
        ),
        description=description,
    )


def _text_message() -> tuple[P[Any], ...]:
    """List what messages and group messages have in common."""
    media = (
        P("file_name", th.StringType, description="Name of the file."),
        P("file_type", th.StringType, description="Type of the file, such as image/png."),
        P("presigned_url", th.StringType, description=f"Address of the file: {_EXPIRES}."),
    )
    return (
        P("direct_link", th.StringType, description="Address of the message in Aircall's API."),
        P("direction", th.StringType, description="inbound or outbound."),
        P("body", th.StringType, description="The text."),
        P("status", th.StringType, description="How far it got, such as received, sent, delivered or failed."),
        P("raw_digits", th.StringType, description="Number of the other party, with spaces."),
        P("media_details", th.ArrayType(th.ObjectType(*media, nullable=True)), description="Files that came with it."),
        P(
            "media_url",
            th.ArrayType(th.StringType(nullable=True)),
            description=f"Addresses of the files, each {_EXPIRES}.",
        ),
        P("created_at", th.DateTimeType, description="When the message was created."),
        P("updated_at", th.DateTimeType, description="When the message last changed."),
        P("sent_at", th.DateTimeType, description="When the message was sent."),
        P("channel", th.StringType, description="null for SMS and MMS, or whatsapp."),
        P("origin", th.StringType, description="Where it comes from, such as native."),
        _number(),
        _person("user", "Who wrote it, or who is to answer it.", "name", "email", "direct_link"),
    )


def _messages() -> th.PropertiesList:
    return th.PropertiesList(
        _key("id", "Identifier of the message, as text."),
        *_merged(),
        *_text_message(),
        P("external_number", th.StringType, description="Number of the other party."),
        _person(
            "contact",
            "Contact with the other party's number.",
            "first_name",
            "last_name",
            "company_name",
            "direct_link",
        ),
        P("type", th.StringType, description="Kind of message; WhatsApp."),
        P("template_content", th.StringType, description="What the template was filled with, as JSON; WhatsApp."),
        P("metadata", OPEN, description="Further facts about it; WhatsApp."),
        P("parent_id", th.StringType, description="Identifier of the message that it answers; WhatsApp."),
        P(
            "whatsapp_message_category",
            th.StringType,
            description="Category it is billed as, such as utility; WhatsApp.",
        ),
        P("whatsapp_message_type", th.StringType, description="Kind of message at WhatsApp."),
        P("recipient_country", th.StringType, description="Country of the recipient; WhatsApp."),
    )


def _group_messages() -> th.PropertiesList:
    return th.PropertiesList(
        _key("id", "Identifier of the message, a UUID."),
        *_merged(),
        *_text_message(),
        P("group_conversation_id", th.StringType, description="Identifier of the conversation."),
        P(
            "participants",
            th.ArrayType(th.StringType(nullable=True)),
            description="Phone numbers of the participants, digits only.",
        ),
    )


def _ai_voice_agent_sessions() -> th.PropertiesList:
    return th.PropertiesList(
        _key("ai_voice_agent_session_id", "Identifier of the session."),
        *_merged(),
        P("call_id", INTEGER, description="Identifier of the call."),
        P("call_uuid", th.StringType, description="Identifier of the call at the telephony provider."),
        P("ai_voice_agent_id", th.StringType, description="Identifier of the agent."),
        P("ai_voice_agent_name", th.StringType, description="Name of the agent."),
        P("number_id", INTEGER, description="Identifier of the number of the call."),
        P("external_caller_number", th.StringType, description="Number of the caller."),
        P("aircall_number", th.StringType, description="Number that was called."),
        P("created_at", th.DateTimeType, description="When the latest of its events was created."),
        P("started_at", th.DateTimeType, description="When the agent took the call."),
        P("ended_at", th.DateTimeType, description="When the agent was done."),
        P(
            "call_end_reason",
            th.StringType,
            description="Why the agent's part ended: answered, escalated, disconnected or caller_hung_up.",
        ),
        P("escalation_reason", th.StringType, description="Why the agent passed the call on."),
        P("extracted_data", OPEN, description="What the agent found out, under names that the company chose."),
    )


def _deleted_objects() -> th.PropertiesList:
    return th.PropertiesList(
        _key("object_type", "Kind of object: user, number, contact or integration."),
        _key("object_id", "Identifier of the object, as text."),
        _position("the event"),
        P("deleted_at", th.DateTimeType, description="When it was deleted, as Aircall says."),
        P("received_at", th.DateTimeType, description="When the inbox received the event."),
        P("event", th.StringType, description="The event that reported it, such as contact.deleted."),
        P("event_id", th.StringType, description="Identifier of the event."),
    )


_BUILDERS: Mapping[str, Callable[[], th.PropertiesList]] = {
    "webhook_events": _webhook_events,
    "call_events": _call_events,
    "user_events": _user_events,
    "messages": _messages,
    "group_messages": _group_messages,
    "ai_voice_agent_sessions": _ai_voice_agent_sessions,
    "deleted_objects": _deleted_objects,
}
_SHOWN = {"call_events": ("calls", {"id", "sid", "conference_participants"}), "user_events": ("users", {"id"})}
"""Streams whose events show an object: the stream that has it, and the fields that go by other names here."""


@cache
def of(stream: str) -> dict[str, Any]:
    """Return the JSON schema of a stream's records."""
    schema = completed(_BUILDERS[stream]())
    if stream in _SHOWN:
        other, left_out = _SHOWN[stream]
        shown = {
            name: _nullable(definition)
            for name, definition in schemas.of(other)["properties"].items()
            if name not in left_out
        }
        schema["properties"] |= shown | schema["properties"]
    return schema


def _nullable(definition: dict[str, Any]) -> dict[str, Any]:
    types = types_of(definition)
    return definition | {"type": [*types, *({"null"} - set(types))]}
