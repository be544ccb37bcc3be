"""Fields of the API's resources: all documented ones (facts: Fields) but secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_aircall.schemas.notation import day, flag, integer, key, list_of, object_of, objects, open_object, text, time

if TYPE_CHECKING:
    from tap_aircall.schemas.notation import Fields, Schema

LINK = text("URL of the object in Aircall's API.")
WHOLE = open_object("The whole object without secrets, for targets that create columns only for known fields.")


def id_of(what: str) -> Schema:
    """Return the schema of an id."""
    return integer(f"Identifier of the {what}.")


def created(what: str) -> Schema:
    """Return the schema of a time of creation."""
    return time(f"When the {what} was created.")


def picked(fields: Fields, names: str) -> Fields:
    """Return the fields with these names (separated by spaces), in that order."""
    return {name: fields[name] for name in names.split()}


USER: Fields = {
    "id": id_of("user"),
    "direct_link": LINK,
    "name": text("Name of the user."),
    "email": text("Email address of the user."),
    "available": flag("Whether the user is within their working hours."),
    "availability_status": text("Status that the user set: available, custom or unavailable."),
    "created_at": created("user"),
    "time_zone": text("IANA time zone of the user."),
    "language": text("Language the user chose, such as en-US."),
    "state": text("Working-hours state, such as always_opened; undocumented."),
    "substatus": text("Why the user is unavailable, such as 'On a break', or always_opened or always_closed."),
    "wrap_up_time": integer("Pause after each call, in seconds."),
    "extension": text("Internal extension, with leading zeros."),
}
"""A user within a call; authors of comments and tags have only the first fields."""
DEFAULT_NUMBER = {"default_number_id": integer("Default caller number for outbound calls of the user.")}

MESSAGES = {
    "welcome": "when a call begins",
    "waiting": "while the caller waits",
    "ringing_tone": "while it rings",
    "unanswered_call": "when nobody answers; frozen since Smartflows",
    "after_hours": "outside opening hours",
    "ivr": "to offer the IVR's options",
    "voicemail": "before a voicemail is recorded",
    "closed": "while the number is closed; frozen since Smartflows",
    "callback_later": "to ask to call later; frozen since Smartflows",
}
"""When a number plays each message."""
NUMBER: Fields = {
    "id": id_of("number"),
    "direct_link": LINK,
    "name": text("Name of the number."),
    "digits": text("The number in international format, with spaces."),
    "country": text("Country of the number, ISO 3166-1 alpha-2."),
    "time_zone": text("IANA time zone of the number."),
    "open": flag("Whether the number is open; frozen since Smartflows."),
    "availability_status": text("Opening hours of the number: open, custom or closed."),
    "is_ivr": flag("Whether the number has a classic IVR; frozen since Smartflows."),
    "live_recording_activated": flag("Whether calls on the number are recorded."),
    "priority": integer("1 if calls of the number go first in the queue, 0 if not."),
    "messages": object_of(
        {name: text(f"URL of the audio played {when}.") for name, when in MESSAGES.items()},
        "Audio messages of the number; within a call, with the defaults filled in.",
    ),
    "created_at": created("number"),
}
FLOW_EDITOR = {"flow_editor_enabled": flag("Whether Smartflows route the number's calls.")}
"""A field that the list of numbers lacks."""


def _details(what: str) -> Schema:
    fields = {"id": id_of(what), "label": text(f"Label of the {what}, such as Work."), "value": text(f"The {what}.")}
    return objects(fields, f"Each {what} of the contact.")


CONTACT: Fields = {
    "id": id_of("contact"),
    "direct_link": LINK,
    "first_name": text("First name of the contact."),
    "last_name": text("Last name of the contact."),
    "company_name": text("Company of the contact."),
    "description": text("Description of the contact; documented, not seen yet."),
    "information": text("Free text about the contact."),
    "is_shared": flag("Whether all users see the contact; true for all in the API."),
    "created_at": created("contact"),
    "phone_numbers": _details("phone number"),
    "emails": _details("email address"),
    "updated_at": time("When the contact was last edited, or created."),
}
PARTICIPANT: Fields = {
    "id": text("Identifier of the user or contact; text or a number.") | {"type": ["string", "integer", "null"]},
    "type": text("user, contact or external."),
    "name": text("Name of the participant."),
    "phone_number": text("Phone number of the participant."),
}
IVR_OPTION: Fields = {
    "id": text("Identifier of the choice."),
    "title": text("Title of the option."),
    "key": text("Key that the caller pressed."),
    "branch": text("Branch of the flow that the call took."),
    "created_at": time("When the key was pressed."),
    "transition_started_at": time("When the transition to the next step started."),
    "transition_ended_at": time("When the transition to the next step ended."),
}
AI_VOICE_AGENT: Fields = {
    "agent_id": text("Identifier of the AI voice agent."),
    "agent_name": text("Name of the AI voice agent."),
    "started_at": time("When the agent took the call."),
    "ended_at": time("When the agent finished."),
    "end_reason": text("Why the agent's part ended."),
    "escalation_reason": text("Why the agent escalated the call."),
    "escalation_target": object_of(
        {"type": text("branch, user, team or external."), "destination": text("Name or number of the target.")},
        "Where the agent escalated the call to.",
    ),
}
URL_HOUR = "presigned URL that expires after one hour and differs each time the call is read"
URL_SHORT = "short URL that expires after three hours; filled only when this field is selected"
CALL: Fields = {
    "id": key(id_of("call")),
    "sid": text("Identifier of the call at the telephony provider; call_uuid in webhooks."),
    "direct_link": LINK,
    "direction": text("inbound or outbound."),
    "status": text("initial (ringing), answered (ongoing) or done."),
    "missed_call_reason": text(
        "Why an inbound call was missed: out_of_opening_hours, short_abandoned, abandoned_in_ivr, "
        "abandoned_in_classic, no_available_agent or agents_did_not_answer; null if answered or outbound."
    ),
    "started_at": key(time("When the call began; Aircall may move it by a second after the call's end.")),
    "answered_at": time("When the call was answered; null if it was not."),
    "ended_at": time("When the call ended; null while it is ongoing."),
    "duration": integer("Length in seconds from start to end, including ringing."),
    "raw_digits": text("Number of the other party in international format, with spaces, or 'anonymous'."),
    "asset": text("Web page of the recording or voicemail; long-lived, needs a login."),
    "recording": text(f"Recording as MP3: a {URL_HOUR}."),
    "voicemail": text(f"Voicemail as MP3: a {URL_HOUR}."),
    "recording_short_url": text(f"Recording: a {URL_SHORT}."),
    "voicemail_short_url": text(f"Voicemail: a {URL_SHORT}."),
    "archived": flag("Whether the call was archived."),
    "cost": text("Cost in US cents as decimal text; legacy, filled some minutes after the call's end."),
    "country_code_a2": text("Country of the other party, ISO 3166-1 alpha-2; undocumented."),
    "pricing_type": text("How the call is priced, such as in_bundle; filled some minutes after its end; undocumented."),
    "number": object_of(NUMBER | FLOW_EDITOR, "Number of the company that the call went through, as it is now."),
    "user": object_of(USER, "User who took or made the call; null if nobody did."),
    "contact": object_of(CONTACT, "Contact with the other party's number; filled only when this field is selected."),
    "assigned_to": object_of(USER, "User to whom the call was assigned for follow-up."),
    "transferred_by": object_of(USER, "User who transferred the call."),
    "transferred_to": object_of(USER, "User to whom the call was transferred; the first user if it went to a team."),
    "teams": objects(
        {"id": id_of("team"), "name": text("Name of the team."), "direct_link": LINK, "created_at": created("team")},
        "Teams that the call rang for; inbound calls only.",
    ),
    "comments": objects(
        {
            "id": id_of("comment"),
            "content": text("Text of the comment, without emojis."),
            "posted_at": time("When the comment was written."),
            "posted_by": object_of(USER, "User who wrote it; null if an integration did."),
        },
        "Comments on the call, at most five.",
    ),
    "tags": objects(
        {
            "id": id_of("tag"),
            "name": text("Name of the tag."),
            "created_at": time("When the call was tagged."),
            "tagged_by": object_of(USER, "User who tagged the call; null if an integration did."),
        },
        "Tags of the call; a deleted tag disappears from past calls.",
    ),
    "conference_participants": objects(PARTICIPANT, "Participants of a conference call."),
    "participants": objects(PARTICIPANT, "Participants of a conference call, by the name in webhooks."),
    "ivr_options_selected": objects(
        IVR_OPTION,
        "Keys that the caller pressed in a Smartflow, for calls of the last two months; filled only when this field is "
        "selected.",
    ),
    "ai_voice_agents": objects(
        AI_VOICE_AGENT, "Parts of the call that AI voice agents handled; filled only when this field is selected."
    ),
}
OF_A_USER = {"user_id": integer("Identifier of the user whose campaign it is; added by the tap.")}
DIALED: Fields = {
    "called": flag("Whether the dialer has called it."),
    "created_at": time("When it was added to the campaign."),
}
TO_CALL = text("Phone number to call.")
OF_A_NUMBER = {"number_id": key(integer("Identifier of the number; added by the tap."))}

FIELDS: dict[str, Fields] = {
    "calls": CALL,
    "contacts": CONTACT | {"id": key(CONTACT["id"]), "updated_at": key(CONTACT["updated_at"])},
    "users": picked(
        USER | DEFAULT_NUMBER | {"id": key(USER["id"])},
        "id direct_link name email created_at available availability_status substatus state time_zone language "
        "wrap_up_time extension default_number_id",
    ),
    "user_availabilities": {
        "id": key(id_of("user")),
        "availability": text(
            "Availability during the run: available, offline, do_not_disturb, in_call or after_call_work."
        ),
    },
    "user_numbers": {
        "user_id": key(integer("Identifier of the user who may use the number; added by the tap.")),
        **NUMBER,
        "id": key(NUMBER["id"]),
        **FLOW_EDITOR,
    },
    "teams": {
        "id": key(id_of("team")),
        "name": text("Name of the team."),
        "direct_link": LINK,
        "created_at": created("team"),
        "users": objects(
            picked(
                USER | DEFAULT_NUMBER,
                "id direct_link name email availability_status default_number_id created_at time_zone language "
                "wrap_up_time",
            ),
            "Members of the team.",
        ),
    },
    "numbers": NUMBER | {"id": key(NUMBER["id"])},
    "tags": {
        "id": key(id_of("tag")),
        "name": text("Name of the tag."),
        "color": text("Colour of the tag, as #RRGGBB."),
        "description": text("Purpose of Aircall's own tags; null for tags that users created."),
        "direct_link": text("URL of the tag in Aircall's API; documented, not seen yet."),
    },
    "webhooks": {
        "webhook_id": key(text("Identifier of the webhook, a UUID.")),
        "id": integer("Numeric identifier; deprecated for the UUID."),
        "direct_link": LINK,
        "url": text("Where Aircall sends the events."),
        "active": flag("Whether the webhook is active; Aircall disables it when too many deliveries fail."),
        "events": list_of(text(""), "Events sent, such as call.created."),
        "created_at": created("webhook"),
        "custom_name": text("Name that a user gave the webhook."),
    },
    "company": {
        "name": key(text("Name of the company.")),
        "users_count": integer("Number of users of the company."),
        "numbers_count": integer("Number of numbers of the company."),
    },
    "integrations": {
        "company_id": key(id_of("company")),
        "name": key(text("Name of the app.")),
        "custom_name": text("Name that an admin gave the integration."),
        "logo": text("URL of the app's logo."),
        "status": text("Whether the app is installed."),
        "active": flag("Whether the integration is enabled."),
        "number_ids": list_of(integer(""), "Numbers that admins let the app see."),
        "numbers_count": integer("Number of these numbers."),
        "user": object_of(USER, "User who installed the app."),
    },
    "dialer_campaigns": {
        "id": key(id_of("campaign")),
        **OF_A_USER,
        "number_id": text("Identifier of the caller number, as text."),
        "created_at": created("campaign"),
        "phone_numbers": objects({"id": id_of("entry"), "number": TO_CALL, **DIALED}, "Phone numbers of the campaign."),
    },
    "dialer_campaign_phone_numbers": {
        "user_id": key(OF_A_USER["user_id"]),
        "number": key(TO_CALL),
        "id": id_of("entry"),
        **DIALED,
    },
    "number_registration_statuses": {**OF_A_NUMBER, "record": WHOLE},
    "number_message_configurations": {
        **OF_A_NUMBER,
        "callbackUrl": text("Where Aircall sends messages to the number."),
        "type": text("Kind of the configuration."),
        "record": WHOLE,
    },
    "number_whatsapp_statuses": {
        **OF_A_NUMBER,
        "wabaId": text("Identifier of the WhatsApp business account."),
        "status": text("Status of the number, such as ONLINE."),
        "canSendMessage": flag("Whether messages can be sent from the number."),
        "messagingLimitTier": text("Daily limit of messages, such as TIER_1K."),
        "qualityRating": text("Quality rating by recipients, such as GREEN."),
        "businessVerificationStatus": text("Whether the business is verified."),
    },
    "whatsapp_templates": {
        **OF_A_NUMBER,
        "id": key(id_of("template")),
        "wabaId": text("Identifier of the WhatsApp business account."),
        "name": text("Name of the template."),
        "category": text("Kind of the template, such as UTILITY."),
        "status": text("Approval status, such as APPROVED."),
        "language": text("Language of the text, such as en."),
    },
    "sms_templates": {
        "id": key(id_of("template")),
        "name": text("Name of the template."),
        "body": text("Text of the template."),
    },
    "analytics_reports": {
        "report_name": key(text("Aircall's name of the report, such as CALLS_HISTORY; added by the tap.")),
        "report_date": key(day("Day that the report covers, in analytics_timezone; added by the tap.")),
        "row_number": key(integer("Position of the row within the report of that day, from 1; added by the tap.")),
        "row": open_object(
            "The cells of the row as text, by column name. Null where a later export of the same day had fewer rows."
        ),
    },
    "call_recordings": {
        "call_id": key(id_of("call")),
        "kind": key(text("recording or voicemail.")),
        "status": text("kept, or gone if Aircall no longer had the file."),
        "path": text("Where the file is, including recordings_location."),
        "bytes": integer("Size of the file."),
        "sha256": text("SHA-256 of the file, in hexadecimal."),
        "content_type": text("Media type, such as audio/mpeg."),
        "duration": integer("Duration of the call in seconds, from its start to its end."),
        "archived_at": time("When the tap stored the file, or found it stored or gone."),
    },
    "call_counts": {
        "date": key(day("Day in UTC.")),
        "calls": integer("Number of calls that began on that day, according to Aircall."),
        "counted_at": time("When they were counted; a later count of the day replaces it."),
    },
}
