from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tap_aircall import schemas
from tap_aircall.tap import TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_aircall.streams.base import AircallStream

STREAMS = TapAircall(config={}, validate_config=False).streams

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    """Say whether it is a time with its zone; jsonschema itself knows only with a further package."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


TIME = "2026-03-02T08:15:30Z"
LINK = "https://api.example.com/v1/things/1"
BRIEF_USER = {
    "id": 61,
    "direct_link": LINK,
    "name": "Ines Abel",
    "email": "ines@example.com",
    "available": True,
    "availability_status": "custom",
    "created_at": "2024-05-06T07:08:09.000Z",
}
CALL_USER = BRIEF_USER | {
    "time_zone": "Europe/Lisbon",
    "language": "pt-PT",
    "state": "always_opened",
    "substatus": "On a break",
    "wrap_up_time": 15,
    "extension": "007",
}
MESSAGES = dict.fromkeys(
    (
        "welcome",
        "waiting",
        "ringing_tone",
        "unanswered_call",
        "after_hours",
        "ivr",
        "voicemail",
        "closed",
        "callback_later",
    ),
    "https://audio.example.com/1.mp3",
)
NUMBER = {
    "id": 5001,
    "direct_link": LINK,
    "name": "Porto",
    "digits": "+351 22 000 0000",
    "country": "PT",
    "time_zone": "Europe/Lisbon",
    "open": False,
    "availability_status": "closed",
    "is_ivr": True,
    "live_recording_activated": False,
    "priority": 1,
    "messages": MESSAGES,
    "created_at": TIME,
}
FLOW_NUMBER = NUMBER | {"flow_editor_enabled": True}
CONTACT = {
    "id": 9_000_000_001,
    "direct_link": LINK,
    "first_name": "Otto",
    "last_name": "Berg",
    "company_name": "Berg & Co",
    "description": "Buys ink",
    "information": "Calls on Mondays",
    "is_shared": True,
    "created_at": TIME,
    "updated_at": TIME,
    "phone_numbers": [{"id": 3_000_000_001, "label": "Work", "value": "+4930000000"}],
    "emails": [{"id": 3_000_000_002, "label": "Home", "value": "otto@example.com"}],
}
PARTICIPANTS = [
    {"id": "61", "type": "user", "name": "Ines Abel", "phone_number": None},
    {"id": 9_000_000_001, "type": "contact", "name": "Otto Berg", "phone_number": "+4930000000"},
    {"id": None, "type": "external", "name": None, "phone_number": "+4930000001"},
]
CALL = {
    "id": 6_000_000_001,
    "sid": "CAfeed",
    "direct_link": LINK,
    "direction": "inbound",
    "status": "done",
    "missed_call_reason": "a_reason_of_tomorrow",
    "started_at": TIME,
    "answered_at": "2026-03-02T08:15:34Z",
    "ended_at": "2026-03-02T08:16:00Z",
    "duration": 30,
    "raw_digits": "anonymous",
    "asset": "https://assets.example.com/1",
    "recording": "https://audio.example.com/2.mp3",
    "voicemail": "https://audio.example.com/3.mp3",
    "recording_short_url": "https://s.example.com/2",
    "voicemail_short_url": "https://s.example.com/3",
    "archived": False,
    "cost": "4.5",
    "country_code_a2": "DE",
    "pricing_type": "in_bundle",
    "number": FLOW_NUMBER,
    "user": CALL_USER,
    "contact": CONTACT,
    "assigned_to": CALL_USER,
    "transferred_by": CALL_USER,
    "transferred_to": CALL_USER,
    "teams": [{"id": 81, "name": "Sales", "direct_link": LINK, "created_at": TIME}],
    "comments": [
        {"id": 91, "content": "Call back", "posted_at": TIME, "posted_by": CALL_USER},
        {"id": 92, "content": "Done", "posted_at": TIME, "posted_by": None},
    ],
    "tags": [
        {"id": 71, "name": "vip", "created_at": TIME, "tagged_by": CALL_USER},
        {"id": 72, "name": "spam", "created_at": TIME, "tagged_by": BRIEF_USER},
    ],
    "conference_participants": PARTICIPANTS,
    "participants": PARTICIPANTS,
    "ivr_options_selected": [
        {
            "id": "option-1",
            "title": "Orders",
            "key": "2",
            "branch": "orders",
            "created_at": TIME,
            "transition_started_at": TIME,
            "transition_ended_at": TIME,
        }
    ],
    "ai_voice_agents": [
        {
            "agent_id": "agent-1",
            "agent_name": "Night desk",
            "started_at": TIME,
            "ended_at": TIME,
            "end_reason": "escalated",
            "escalation_reason": "asked for a person",
            "escalation_target": {"type": "team", "destination": "Sales"},
        }
    ],
}
TEAM_MEMBER = {
    name: value for name, value in CALL_USER.items() if name not in {"available", "state", "substatus", "extension"}
} | {"default_number_id": 5001}
FULL: Mapping[str, dict[str, Any]] = {
    "calls": CALL,
    "contacts": CONTACT,
    "users": CALL_USER | {"default_number_id": 5001},
    "user_availabilities": {"id": 61, "availability": "in_call"},
    "user_numbers": FLOW_NUMBER | {"user_id": 61},
    "teams": {
        "id": 81,
        "name": "Sales",
        "direct_link": LINK,
        "created_at": TIME,
        "users": [TEAM_MEMBER],
    },
    "numbers": NUMBER,
    "tags": {"id": 71, "name": "vip", "color": "#AA00FF", "description": "queue_callback", "direct_link": LINK},
    "webhooks": {
        "webhook_id": "0b5e6a3c-1111-4222-8333-944445555666",
        "id": 31,
        "direct_link": LINK,
        "url": "https://hooks.example.com",
        "active": True,
        "events": ["call.created"],
        "created_at": TIME,
        "custom_name": "To the warehouse",
    },
    "company": {"name": "Ink Ltd", "users_count": 4, "numbers_count": 2},
    "integrations": {
        "company_id": 8,
        "name": "tap-aircall",
        "custom_name": "Warehouse",
        "logo": "https://example.com/logo.png",
        "status": "installed",
        "active": True,
        "number_ids": [1234],
        "numbers_count": 1,
        "user": CALL_USER,
    },
    "dialer_campaigns": {
        "id": 3,
        "user_id": 61,
        "number_id": "1234",
        "created_at": TIME,
        "phone_numbers": [{"id": 1, "number": "+33 1 99 00 00 01", "called": False, "created_at": TIME}],
    },
    "dialer_campaign_phone_numbers": {
        "user_id": 61,
        "number": "+33 1 99 00 00 01",
        "id": 1,
        "called": True,
        "created_at": TIME,
    },
    "number_registration_statuses": {"number_id": 7, "record": {}},
    "number_message_configurations": {
        "number_id": 7,
        "callbackUrl": "https://example.com/sms",
        "type": "proxy",
        "record": {},
    },
    "number_whatsapp_statuses": {
        "number_id": 7,
        "wabaId": "123456789",
        "status": "ONLINE",
        "canSendMessage": True,
        "messagingLimitTier": "TIER_1K",
        "qualityRating": "GREEN",
        "businessVerificationStatus": "VERIFIED",
    },
    "whatsapp_templates": {
        "number_id": 7,
        "id": 1,
        "wabaId": "123456789",
        "name": "order_confirmation",
        "category": "UTILITY",
        "status": "APPROVED",
        "language": "en",
    },
    "sms_templates": {"id": 8821, "name": "order_update", "body": "Your order is on its way."},
    "call_transcriptions": {
        "call_id": 5,
        "id": 50,
        "call_uuid": "CA5",
        "call_created_at": TIME,
        "type": "call",
        "content": {
            "language": "en",
            "utterances": [
                {
                    "start_time": 1.5,
                    "end_time": 2,
                    "text": "Hello",
                    "participant_type": "internal",
                    "user_id": 61,
                    "phone_number": None,
                    "ai_voice_agent_id": None,
                    "timestamp": 1790000000,
                    "duration_ms": 500,
                    "language": "en",
                }
            ],
        },
    },
    "call_sentiments": {
        "call_id": 5,
        "id": 5,
        "participants": [{"phone_number": "+33 1 99 00 00 01", "value": "NEUTRAL", "type": "external"}],
    },
    "call_topics": {"call_id": 5, "id": 50, "created_at": TIME, "content": ["billing"]},
    "call_summaries": {"call_id": 5, "id": 50, "created_at": TIME, "content": "About a bill."},
    "call_custom_summaries": {
        "call_id": 5,
        "id": 50,
        "number_id": 7,
        "language": "en",
        "created_at": TIME,
        "custom_summary": {},
        "summary_template_results": [{}],
    },
    "call_action_items": {
        "call_id": 5,
        "id": 1,
        "content": "Send the quote",
        "ai_generated": True,
        "created_by": 61,
        "created_at": TIME,
        "updated_by": 61,
        "updated_at": TIME,
        "assignee_user_id": 61,
        "due_at": TIME,
        "completed_at": TIME,
    },
    "call_playbook_results": {
        "call_id": 5,
        "id": 55,
        "user_id": 61,
        "number_id": 7,
        "adherence_score": 0.8,
        "created_at": TIME,
        "updated_at": TIME,
        "playbook": {},
        "playbook_result_topics": [{}],
    },
    "call_evaluations": {
        "call_id": 5,
        "id": 77,
        "ai_generated": True,
        "reviewed_at": TIME,
        "created_at": TIME,
        "updated_at": TIME,
        "evaluations": [{}],
    },
    "call_csat_predictions": {
        "call_id": 5,
        "call_uuid": "CA5",
        "score": 75,
        "drivers": [{"polarity": "POSITIVE", "label": "Quick answer"}],
    },
    "analytics_reports": {"report_name": "CALLS_HISTORY", "report_date": "2026-05-20", "row_number": 1, "row": {}},
}
"""A record of each stream as it leaves the tap, with every field there is."""


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk through every property at every depth."""
    for name, definition in schema.get("properties", {}).items():
        yield path + name, definition
        yield from properties(definition, f"{path}{name}.")
        yield from properties(definition.get("items", {}), f"{path}{name}[].")


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Walk through every field of a record, named as `properties` names them."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield path + name
        yield from fields(inner, f"{path}{name}.")
        for item in inner if isinstance(inner, list) else ():
            yield from fields(item, f"{path}{name}[].")


def blank(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make an object of nulls, in objects that are there as well."""
    return {
        name: blank(definition) if "properties" in definition else None
        for name, definition in schema["properties"].items()
    }


def errors(stream: str, record: Mapping[str, Any]) -> list[str]:
    """Validate a record; return where it is wrong."""
    validator = Draft202012Validator(STREAMS[stream].schema, format_checker=FORMATS)
    return [error.json_path for error in validator.iter_errors(record)]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
class TestEverySchema:
    def test_is_valid(self, stream: AircallStream) -> None:
        Draft202012Validator.check_schema(stream.schema)

    def test_describes_every_field(self, stream: AircallStream) -> None:
        bare = [path for path, definition in properties(stream.schema) if not definition.get("description")]
        assert bare == []

    def test_has_keys_that_are_never_null_and_nothing_else_that_is_required(self, stream: AircallStream) -> None:
        keys = {*stream.primary_keys, *filter(None, [stream.replication_key])}
        strict = {path for path, definition in properties(stream.schema) if "null" not in definition["type"]}
        assert strict == keys
        assert set(stream.schema["required"]) == keys

    def test_has_times_where_names_say_so(self, stream: AircallStream) -> None:
        for path, definition in properties(stream.schema):
            assert (definition.get("format") == "date-time") == path.endswith("_at"), path

    def test_has_no_secret(self, stream: AircallStream) -> None:
        names = {path.rpartition(".")[2] for path, _ in properties(stream.schema)}
        assert not names & {"token", "password", "secret", *stream.secret_fields}

    def test_takes_a_record_with_every_field(self, stream: AircallStream) -> None:
        record = FULL[stream.name]

        assert set(fields(record)) == {path for path, _ in properties(stream.schema)}
        assert errors(stream.name, record) == []

    def test_takes_null_for_all_but_keys(self, stream: AircallStream) -> None:
        record = FULL[stream.name]
        keys = {name: record[name] for name in stream.schema["required"]}

        assert errors(stream.name, keys) == []
        assert errors(stream.name, dict.fromkeys(record) | keys) == []
        assert errors(stream.name, blank(stream.schema) | keys) == []

    def test_takes_null_in_every_list(self, stream: AircallStream) -> None:
        lists = [(path, definition["items"]) for path, definition in properties(stream.schema) if "items" in definition]

        assert [path for path, items in lists if "null" not in items["type"]] == []

    def test_wants_each_key(self, stream: AircallStream) -> None:
        record = FULL[stream.name]
        for key in stream.schema["required"]:
            assert errors(stream.name, {name: value for name, value in record.items() if name != key}) == ["$"]
            assert errors(stream.name, record | {key: None}) == [f"$.{key}"]


@pytest.mark.parametrize(
    ("stream", "change", "where"),
    [
        ("calls", {"started_at": 1772439330}, "$.started_at"),
        ("calls", {"ended_at": "yesterday"}, "$.ended_at"),
        ("calls", {"cost": 4.5}, "$.cost"),
        ("calls", {"duration": "30"}, "$.duration"),
        ("calls", {"assigned_to": "Ines Abel"}, "$.assigned_to"),
        ("calls", {"comments": [{"posted_at": 1772439330}]}, "$.comments[0].posted_at"),
        ("calls", {"number": {"messages": {"ivr": 1}}}, "$.number.messages.ivr"),
        ("calls", {"participants": [{"id": 1.5}]}, "$.participants[0].id"),
        ("contacts", {"id": 2**63}, "$.id"),
        ("contacts", {"emails": [{"id": "3000000002"}]}, "$.emails[0].id"),
        ("users", {"extension": 7}, "$.extension"),
        ("user_numbers", {"user_id": "61"}, "$.user_id"),
        ("teams", {"users": [61]}, "$.users[0]"),
        ("numbers", {"priority": "1"}, "$.priority"),
        ("webhooks", {"events": "call.created"}, "$.events"),
        ("company", {"users_count": "4"}, "$.users_count"),
        ("analytics_reports", {"row_number": "1"}, "$.row_number"),
        ("analytics_reports", {"row": ["cell"]}, "$.row"),
    ],
)
def test_wrong_values_are_refused(stream: str, change: dict[str, Any], where: str) -> None:
    assert errors(stream, FULL[stream] | change) == [where]


def test_fields_are_found_through_objects_and_arrays() -> None:
    calls = schemas.of("calls")

    assert schemas.has(calls, "comments.posted_by.name")
    assert schemas.has(calls, "number.messages.welcome")
    assert not schemas.has(calls, "number.messages.goodbye")
    assert not schemas.has(calls, "comments.posted_by.name.first")
