"""The JSON schemas of all streams: every documented field, with its type and what it means (facts: Fields).

Objects that several streams share are written once. Apart from keys everything may be null, since Aircall leaves out
more than it documents, and a target must not refuse a call over that. Times are `date-time`, whatever Aircall sends.
A field that is not in here goes to `additional_fields`, which every stream has; secrets are missing on purpose.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import singer_sdk.typing as th

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

P = th.Property

INTEGER = th.IntegerType(minimum=-(2**63), maximum=2**63 - 1)
"""Aircall's ids have 64 bits; a target that is told so chooses a bigint."""

OPEN: th.CustomType = th.CustomType({"type": ["object", "null"], "properties": {}, "additionalProperties": True})
"""An object whose fields are not known; it is passed on as it is. Empty `properties` are for target-snowflake."""

ADDITIONAL_FIELDS = "additional_fields"
"""Name of the field for what a schema has no place for."""

_ALL_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_MAYBE_INTEGER = th.IntegerType(minimum=-(2**63), maximum=2**63 - 1, nullable=True)


def _key(name: str, kind: th.JSONTypeHelper[Any] | type[th.JSONTypeHelper[Any]], description: str) -> P[Any]:
    return P(name, kind, required=True, nullable=False, description=description)


def _id(of: str) -> P[Any]:
    return _key("id", INTEGER, f"Identifier of the {of}.")


def _ref(of: str) -> P[Any]:
    return P("id", INTEGER, description=f"Identifier of the {of}.")


def _link() -> P[Any]:
    return P("direct_link", th.StringType, description="Address of the object in Aircall's API.")


def _created(of: str) -> P[Any]:
    return P("created_at", th.DateTimeType, description=f"When the {of} was created.")


def _time_zone(of: str) -> P[Any]:
    return P("time_zone", th.StringType, description=f"IANA time zone of the {of}.")


def _name(of: str) -> P[Any]:
    return P("name", th.StringType, description=f"Name of the {of}.")


def _list_of(*fields: P[Any]) -> th.ArrayType[th.ObjectType]:
    """Build a list of objects; any of them may be null."""
    return th.ArrayType(th.ObjectType(*fields, nullable=True))


_EMAIL = P("email", th.StringType, description="Email address of the user.")
_LANGUAGE = P("language", th.StringType, description="Language the user chose, such as en-US.")
_AVAILABLE = P("available", th.BooleanType, description="Whether the user is within their working hours.")
_AVAILABILITY = P(
    "availability_status", th.StringType, description="How the user set themselves: available, custom or unavailable."
)
_STATE = P("state", th.StringType, description="Working-hours state, such as always_opened; undocumented.")
_SUBSTATUS = P(
    "substatus",
    th.StringType,
    description="Why the user is unavailable, such as 'On a break', or always_opened or always_closed.",
)
_WRAP_UP = P("wrap_up_time", INTEGER, description="Pause after each call, in seconds.")
_EXTENSION = P("extension", th.StringType, description="Internal extension, with leading zeros.")
_DEFAULT_NUMBER = P("default_number_id", INTEGER, description="Number that outbound calls of the user show by default.")


@cache
def _call_user() -> th.ObjectType:
    """Build the user as calls show it; authors of comments and tags have the first fields only."""
    return th.ObjectType(
        _ref("user"),
        _link(),
        _name("user"),
        _EMAIL,
        _AVAILABLE,
        _AVAILABILITY,
        _created("user"),
        _time_zone("user"),
        _LANGUAGE,
        _STATE,
        _SUBSTATUS,
        _WRAP_UP,
        _EXTENSION,
    )


@cache
def _number_fields() -> tuple[P[Any], ...]:
    """List the fields of a number, except its id and the one that the list of numbers lacks."""

    def message(name: str, when: str) -> P[Any]:
        return P(name, th.StringType, description=f"Address of the audio played {when}.")

    return (
        _link(),
        _name("number"),
        P("digits", th.StringType, description="The number in international form, with spaces."),
        P("country", th.StringType, description="Country of the number, ISO 3166-1 alpha-2."),
        _time_zone("number"),
        P("open", th.BooleanType, description="Whether the number is open; frozen since Smartflows."),
        P("availability_status", th.StringType, description="Opening hours of the number: open, custom or closed."),
        P("is_ivr", th.BooleanType, description="Whether the number has a classic IVR; frozen since Smartflows."),
        P("live_recording_activated", th.BooleanType, description="Whether calls on the number are recorded."),
        P("priority", INTEGER, description="1 if the number goes before others in the queue, 0 if not."),
        P(
            "messages",
            th.ObjectType(
                message("welcome", "when a call begins"),
                message("waiting", "while the caller waits"),
                message("ringing_tone", "while it rings"),
                message("unanswered_call", "when nobody answers; frozen since Smartflows"),
                message("after_hours", "outside opening hours"),
                message("ivr", "to offer the IVR's options"),
                message("voicemail", "before a voicemail is recorded"),
                message("closed", "while the number is closed; frozen since Smartflows"),
                message("callback_later", "to ask to call later; frozen since Smartflows"),
            ),
            description="Audio messages of the number; within a call, with the defaults filled in.",
        ),
        _created("number"),
    )


_FLOW_EDITOR = P("flow_editor_enabled", th.BooleanType, description="Whether Smartflows route the number's calls.")


@cache
def _contact_fields() -> tuple[P[Any], ...]:
    """List the fields of a contact, except its id and the time of its last change."""

    def details(name: str, what: str) -> P[Any]:
        return P(
            name,
            _list_of(
                P("id", INTEGER, description=f"Identifier of the {what}."),
                P("label", th.StringType, description=f"Label of the {what}, such as Work."),
                P("value", th.StringType, description=f"The {what}."),
            ),
            description=f"Each {what} of the contact.",
        )

    return (
        _link(),
        P("first_name", th.StringType, description="First name of the contact."),
        P("last_name", th.StringType, description="Last name of the contact."),
        P("company_name", th.StringType, description="Company of the contact."),
        P("description", th.StringType, description="Description of the contact; documented, not seen yet."),
        P("information", th.StringType, description="Free text about the contact."),
        P("is_shared", th.BooleanType, description="Whether all users see the contact; true for all in the API."),
        _created("contact"),
        details("phone_numbers", "phone number"),
        details("emails", "email address"),
    )


_CONTACT_UPDATED = "When the contact itself was last edited, or created."


def _participants(name: str, note: str) -> P[Any]:
    return P(
        name,
        _list_of(
            P(
                "id",
                th.CustomType({"type": ["string", "integer", "null"]}),
                description="Identifier of the user or contact; text or a number.",
            ),
            P("type", th.StringType, description="user, contact or external."),
            P("name", th.StringType, description="Name of the participant."),
            P("phone_number", th.StringType, description="Phone number of the participant."),
        ),
        description=f"Who took part in a conference call{note}.",
    )


def _calls() -> th.PropertiesList:
    user = _call_user()
    url_hour = "signed address that expires after one hour and differs each time the call is read"
    url_short = "short address that expires after three hours; filled only when this field is selected"
    return th.PropertiesList(
        _id("call"),
        P("sid", th.StringType, description="Identifier of the call at the telephony provider; call_uuid in webhooks."),
        _link(),
        P("direction", th.StringType, description="inbound or outbound."),
        P("status", th.StringType, description="initial (ringing), answered (going on) or done."),
        P(
            "missed_call_reason",
            th.StringType,
            description=(
                "Why an inbound call was missed: out_of_opening_hours, short_abandoned, abandoned_in_ivr, "
                "abandoned_in_classic, no_available_agent or agents_did_not_answer; null if answered or outbound."
            ),
        ),
        _key(
            "started_at", th.DateTimeType, "When the call began; Aircall may move it by a second after the call's end."
        ),
        P("answered_at", th.DateTimeType, description="When the call was answered; null if it was not."),
        P("ended_at", th.DateTimeType, description="When the call ended; null while it goes on."),
        P("duration", INTEGER, description="Length in seconds from start to end, ringing included."),
        P(
            "raw_digits",
            th.StringType,
            description="Number of the other party in international form, with spaces, or 'anonymous'.",
        ),
        P("asset", th.StringType, description="Web page of the recording or voicemail; long-lived, needs a login."),
        P("recording", th.StringType, description=f"Recording as MP3: a {url_hour}."),
        P("voicemail", th.StringType, description=f"Voicemail as MP3: a {url_hour}."),
        P("recording_short_url", th.StringType, description=f"Recording: a {url_short}."),
        P("voicemail_short_url", th.StringType, description=f"Voicemail: a {url_short}."),
        P("archived", th.BooleanType, description="Whether the call was archived."),
        P(
            "cost",
            th.StringType,
            description="Cost in US cents as decimal text; legacy, filled some minutes after the call's end.",
        ),
        P(
            "country_code_a2",
            th.StringType,
            description="Country of the other party, ISO 3166-1 alpha-2; undocumented.",
        ),
        P(
            "pricing_type",
            th.StringType,
            description="How the call is priced, such as in_bundle; filled some minutes after its end; undocumented.",
        ),
        P(
            "number",
            th.ObjectType(_ref("number"), *_number_fields(), _FLOW_EDITOR),
            description="Number of the company that the call went through, as it is now.",
        ),
        P("user", user, description="Who took or made the call; null if nobody did."),
        P(
            "contact",
            th.ObjectType(
                _ref("contact"),
                *_contact_fields(),
                P("updated_at", th.DateTimeType, description=_CONTACT_UPDATED),
            ),
            description="Contact with the other party's number; filled only when this field is selected.",
        ),
        P("assigned_to", user, description="Who the call was assigned to, to follow up."),
        P("transferred_by", user, description="Who transferred the call."),
        P(
            "transferred_to",
            user,
            description="Who the call was transferred to; the first user if it went to a team.",
        ),
        P(
            "teams",
            _list_of(_ref("team"), _name("team"), _link(), _created("team")),
            description="Teams that the call rang for; inbound calls only.",
        ),
        P(
            "comments",
            _list_of(
                _ref("comment"),
                P("content", th.StringType, description="Text of the comment, without emojis."),
                P("posted_at", th.DateTimeType, description="When the comment was written."),
                P("posted_by", user, description="Who wrote it; null if an integration did."),
            ),
            description="Comments on the call, at most five.",
        ),
        P(
            "tags",
            _list_of(
                _ref("tag"),
                _name("tag"),
                P("created_at", th.DateTimeType, description="When the call was tagged."),
                P("tagged_by", user, description="Who tagged the call; null if an integration did."),
            ),
            description="Tags of the call; a deleted tag disappears from past calls.",
        ),
        _participants("conference_participants", ""),
        _participants("participants", ", under the name that webhooks use"),
        P(
            "ivr_options_selected",
            _list_of(
                P("id", th.StringType, description="Identifier of the choice."),
                P("title", th.StringType, description="Title of the option."),
                P("key", th.StringType, description="Key that the caller pressed."),
                P("branch", th.StringType, description="Branch of the flow that the call took."),
                P("created_at", th.DateTimeType, description="When the key was pressed."),
                P("transition_started_at", th.DateTimeType, description="When the flow began to move on."),
                P("transition_ended_at", th.DateTimeType, description="When the flow had moved on."),
            ),
            description=(
                "Keys that the caller pressed in a Smartflow, for calls of the last two months; filled only when this "
                "field is selected."
            ),
        ),
        P(
            "ai_voice_agents",
            _list_of(
                P("agent_id", th.StringType, description="Identifier of the AI voice agent."),
                P("agent_name", th.StringType, description="Name of the AI voice agent."),
                P("started_at", th.DateTimeType, description="When the agent took the call."),
                P("ended_at", th.DateTimeType, description="When the agent was done."),
                P("end_reason", th.StringType, description="Why the agent's part ended."),
                P("escalation_reason", th.StringType, description="Why the agent passed the call on."),
                P(
                    "escalation_target",
                    th.ObjectType(
                        P("type", th.StringType, description="branch, user, team or external."),
                        P("destination", th.StringType, description="Name or number passed on to."),
                    ),
                    description="Where the agent passed the call on to.",
                ),
            ),
            description="Parts of the call that AI voice agents handled; filled only when this field is selected.",
        ),
    )


def _contacts() -> th.PropertiesList:
    return th.PropertiesList(_id("contact"), *_contact_fields(), _key("updated_at", th.DateTimeType, _CONTACT_UPDATED))


def _users() -> th.PropertiesList:
    return th.PropertiesList(
        _id("user"),
        _link(),
        _name("user"),
        _EMAIL,
        _created("user"),
        _AVAILABLE,
        _AVAILABILITY,
        _SUBSTATUS,
        _STATE,
        _time_zone("user"),
        _LANGUAGE,
        _WRAP_UP,
        _EXTENSION,
        _DEFAULT_NUMBER,
    )


def _user_availabilities() -> th.PropertiesList:
    return th.PropertiesList(
        _id("user"),
        P(
            "availability",
            th.StringType,
            description=(
                "What the user does at the time of the run: available, offline, do_not_disturb, in_call or "
                "after_call_work."
            ),
        ),
    )


def _numbers() -> th.PropertiesList:
    return th.PropertiesList(_id("number"), *_number_fields())


def _user_numbers() -> th.PropertiesList:
    return th.PropertiesList(
        _key("user_id", INTEGER, "Identifier of the user who may use the number; added by the tap."),
        _id("number"),
        *_number_fields(),
        _FLOW_EDITOR,
    )


def _teams() -> th.PropertiesList:
    return th.PropertiesList(
        _id("team"),
        _name("team"),
        _link(),
        _created("team"),
        P(
            "users",
            _list_of(
                _ref("user"),
                _link(),
                _name("user"),
                _EMAIL,
                _AVAILABILITY,
                _DEFAULT_NUMBER,
                _created("user"),
                _time_zone("user"),
                _LANGUAGE,
                _WRAP_UP,
            ),
            description="Members of the team.",
        ),
    )


def _tags() -> th.PropertiesList:
    return th.PropertiesList(
        _id("tag"),
        _name("tag"),
        P("color", th.StringType, description="Colour of the tag, as #RRGGBB."),
        P("description", th.StringType, description="What Aircall's own tags are for; null for those that users made."),
        P("direct_link", th.StringType, description="Address of the tag in Aircall's API; documented, not seen yet."),
    )


def _webhooks() -> th.PropertiesList:
    return th.PropertiesList(
        _key("webhook_id", th.StringType, "Identifier of the webhook, a UUID."),
        P("id", INTEGER, description="Numeric identifier, from before there were UUIDs; deprecated."),
        _link(),
        P("url", th.StringType, description="Where Aircall sends the events."),
        P("active", th.BooleanType, description="Whether it sends them; Aircall stops when too many fail."),
        P("events", th.ArrayType(th.StringType(nullable=True)), description="Events sent, such as call.created."),
        _created("webhook"),
        P("custom_name", th.StringType, description="Name that a user gave the webhook."),
    )


def _company() -> th.PropertiesList:
    return th.PropertiesList(
        _key("name", th.StringType, "Name of the company."),
        P("users_count", INTEGER, description="How many users the company has."),
        P("numbers_count", INTEGER, description="How many numbers the company has."),
    )


def _integrations() -> th.PropertiesList:
    return th.PropertiesList(
        _key("company_id", INTEGER, "Identifier of the company."),
        _key("name", th.StringType, "Name of the app."),
        P("custom_name", th.StringType, description="Name that an admin gave the integration."),
        P("logo", th.StringType, description="Address of the app's logo."),
        P("status", th.StringType, description="Whether the app is installed."),
        P("active", th.BooleanType, description="Whether the integration is switched on."),
        P("number_ids", th.ArrayType(_MAYBE_INTEGER), description="Numbers that admins let the app see."),
        P("numbers_count", INTEGER, description="How many of those numbers there are."),
        P("user", _call_user(), description="Who installed the app."),
    )


_CAMPAIGN_NUMBER = (
    P("called", th.BooleanType, description="Whether the dialer has called it."),
    P("created_at", th.DateTimeType, description="When it was added to the campaign."),
)


def _dialer_campaigns() -> th.PropertiesList:
    return th.PropertiesList(
        _id("campaign"),
        P("user_id", INTEGER, description="Identifier of the user whose campaign it is; added by the tap."),
        P("number_id", th.StringType, description="Identifier of the number that the calls show, as text."),
        _created("campaign"),
        P(
            "phone_numbers",
            _list_of(_ref("entry"), P("number", th.StringType, description="Phone number to call."), *_CAMPAIGN_NUMBER),
            description="Phone numbers of the campaign.",
        ),
    )


def _dialer_campaign_phone_numbers() -> th.PropertiesList:
    return th.PropertiesList(
        _key("user_id", INTEGER, "Identifier of the user whose campaign it is; added by the tap."),
        _key("number", th.StringType, "Phone number to call."),
        _ref("entry"),
        *_CAMPAIGN_NUMBER,
    )


_NUMBER_KEY = _key("number_id", INTEGER, "Identifier of the number; added by the tap.")
_WHOLE = P(
    "record",
    OPEN,
    description="All that Aircall sent, for targets that make columns of named fields only; without secrets.",
)


def _number_registration_statuses() -> th.PropertiesList:
    return th.PropertiesList(_NUMBER_KEY, _WHOLE)


def _number_message_configurations() -> th.PropertiesList:
    return th.PropertiesList(
        _NUMBER_KEY,
        P("callbackUrl", th.StringType, description="Where Aircall sends messages to the number."),
        P("type", th.StringType, description="Kind of the configuration."),
        _WHOLE,
    )


def _number_whatsapp_statuses() -> th.PropertiesList:
    return th.PropertiesList(
        _NUMBER_KEY,
        P("wabaId", th.StringType, description="Identifier of the WhatsApp business account."),
        P("status", th.StringType, description="Whether the number is online, such as ONLINE."),
        P("canSendMessage", th.BooleanType, description="Whether messages can be sent from the number."),
        P("messagingLimitTier", th.StringType, description="How many messages a day are allowed, such as TIER_1K."),
        P("qualityRating", th.StringType, description="How receivers rate the number, such as GREEN."),
        P("businessVerificationStatus", th.StringType, description="Whether the business is verified."),
    )


def _whatsapp_templates() -> th.PropertiesList:
    return th.PropertiesList(
        _NUMBER_KEY,
        _id("template"),
        P("wabaId", th.StringType, description="Identifier of the WhatsApp business account."),
        _name("template"),
        P("category", th.StringType, description="Kind of the template, such as UTILITY."),
        P("status", th.StringType, description="Whether it may be used, such as APPROVED."),
        P("language", th.StringType, description="Language of the text, such as en."),
    )


def _sms_templates() -> th.PropertiesList:
    return th.PropertiesList(
        _id("template"), _name("template"), P("body", th.StringType, description="Text of the template.")
    )


def _analytics_reports() -> th.PropertiesList:
    return th.PropertiesList(
        _key("report_name", th.StringType, "Aircall's name of the report, such as CALLS_HISTORY; added by the tap."),
        _key("report_date", th.DateType, "Day that the report covers, in analytics_timezone; added by the tap."),
        _key("row_number", INTEGER, "Position of the row within the report of that day, from 1; added by the tap."),
        P(
            "row",
            OPEN,
            description=(
                "The cells of the row as text, by column name. Null where a later export of the same day had fewer "
                "rows."
            ),
        ),
    )


def _call_recordings() -> th.PropertiesList:
    return th.PropertiesList(
        _key("call_id", INTEGER, "Identifier of the call."),
        _key("kind", th.StringType, "recording or voicemail."),
        P("status", th.StringType, description="kept, or gone if Aircall no longer had the file."),
        P("path", th.StringType, description="Where the file is, including recordings_location."),
        P("bytes", INTEGER, description="Size of the file."),
        P("sha256", th.StringType, description="SHA-256 of the file, in hexadecimal."),
        P("content_type", th.StringType, description="What kind of audio it is, such as audio/mpeg."),
        P("duration", INTEGER, description="Duration of the call in seconds, from its start to its end."),
        P("archived_at", th.DateTimeType, description="When the tap kept the file, or found it kept or gone."),
    )


def _call_counts() -> th.PropertiesList:
    return th.PropertiesList(
        _key("date", th.DateType, "Day in UTC."),
        P("calls", INTEGER, description="How many calls began on that day, as Aircall counts them."),
        P("counted_at", th.DateTimeType, description="When they were counted; the latest count of a day stays."),
    )


_BUILDERS: Mapping[str, Callable[[], th.PropertiesList]] = {
    "calls": _calls,
    "contacts": _contacts,
    "users": _users,
    "user_availabilities": _user_availabilities,
    "user_numbers": _user_numbers,
    "teams": _teams,
    "numbers": _numbers,
    "tags": _tags,
    "webhooks": _webhooks,
    "company": _company,
    "integrations": _integrations,
    "dialer_campaigns": _dialer_campaigns,
    "dialer_campaign_phone_numbers": _dialer_campaign_phone_numbers,
    "number_registration_statuses": _number_registration_statuses,
    "number_message_configurations": _number_message_configurations,
    "number_whatsapp_statuses": _number_whatsapp_statuses,
    "whatsapp_templates": _whatsapp_templates,
    "sms_templates": _sms_templates,
    "analytics_reports": _analytics_reports,
    "call_recordings": _call_recordings,
    "call_counts": _call_counts,
}


@cache
def of(stream: str) -> dict[str, Any]:
    """Return the JSON schema of a stream's records."""
    return completed(_BUILDERS[stream]())


def completed(fields: th.PropertiesList) -> dict[str, Any]:
    """Return the JSON schema of records with some fields, and one more for all that has no place in these."""
    description = (
        "Fields that Aircall sent and this version of the tap does not know, and values that could not be used, each "
        "by its path: `mood`, `number.e164`, or `tags[].x`, a list with one value for each of the tags; `tags[]` has "
        "items that could not be used. Null for most records. Where unknown fields are passed on beside the known "
        "ones, only those within others are here."
    )
    fields.append(P(ADDITIONAL_FIELDS, OPEN, description=description))
    return fields.to_dict()


def types_of(definition: Mapping[str, Any]) -> Sequence[str]:
    """Return the JSON types that a definition allows; all of them, if it names none."""
    types: str | Sequence[str] = definition.get("type", _ALL_TYPES)
    return [types] if isinstance(types, str) else types


def has(schema: Mapping[str, Any], field: str) -> bool:
    """Say whether a schema has a field, named with dots through objects and arrays (`tags.id` or `tags[].id`)."""
    for name in field.replace("[]", "").split("."):
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True
