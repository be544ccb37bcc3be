"""The events of Aircall's webhooks, and their payloads (facts: Events)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from aircall_sandbox.templates import without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aircall_sandbox.templates import Record

_NAMES = {
    "call": (
        "created ringing_on_agent agent_declined answered transferred external_transferred unsuccessful_transfer "
        "hungup ended hold unhold ivr_option_selected comm_assets_generated voicemail_left assigned archived tagged "
        "untagged commented"
    ),
    "user": (
        "created deleted connected disconnected opened closed wut_start wut_end created.v2 deleted.v2 connected.v2 "
        "disconnected.v2 opened.v2 closed.v2 wut_start.v2 wut_end.v2"
    ),
    "number": "created opened closed deleted",
    "contact": "created updated deleted",
    "message": "sent received status_updated",
    "group_message": "sent received status_updated",
    "transcription": "created",
    "summary": "created",
    "topics": "created",
    "sentiment": "created",
    "action_item": "created",
    "playbook_result": "created updated",
    "realtime_transcription": "utterances_received",
    "custom_summary": "result_created result_updated",
    "call_evaluation": "created updated",
    "ai_voice_agent": "started ended escalated summary",
    "analytics": "report_created report_failed",
    "integration": "deleted",
    "outbound_campaign": "outcome_recorded status_changed",
}
EVENTS = tuple(f"{family}.{name}" for family, names in _NAMES.items() for name in names.split())
"""Names of all events."""
OF_RESULTS = {
    "transcription": "transcription.created",
    "sentiments": "sentiment.created",
    "topics": "topics.created",
    "summary": "summary.created",
    "custom_summary_result": "custom_summary.result_created",
    "action_items": "action_item.created",
    "playbook_result": "playbook_result.created",
    "evaluations": "call_evaluation.created",
}
"""Events of new AI results, by the last segment of their path; the others have no event."""
ENDED_AFTER = 30.0
"""Seconds from `call.hungup` to `call.ended`."""
ASSETS_AFTER = 60.0
"""Seconds from the end of a call to its recording."""
_NOT_IN_DELIVERIES = (
    *("sid", "conference_participants", "recording_short_url", "voicemail_short_url"),
    *("ivr_options_selected", "ai_voice_agents"),
)


class WebhookEvent(NamedTuple):
    """An event to deliver."""

    name: str
    data: Record
    after: float = 0.0
    """Seconds from the change until Aircall sends it."""


def of_change(kind: str, before: Record | None, after: Record | None) -> Iterator[WebhookEvent]:
    """Yield the events of a change.

    Args:
        kind: `calls`, `contacts`, `users`, `numbers`, `outcomes` (of campaigns) or `results` (of Aircall's AI); other
            kinds have no events.
        before: The object before; None if it is new.
        after: The object after; None if it was deleted.
    """
    match kind:
        case "calls" if after is not None:
            yield from _of_call(before, after)
        case "contacts":
            yield from _of_contact(before, after)
        case "users":
            for name, data in _of_user(before, after):
                for twin in (f"user.{name}", f"user.{name}.v2"):  # the deprecated event and its successor
                    yield WebhookEvent(twin, data)
        case "numbers":
            yield from _of_number(before, after)
        case "outcomes" if after is not None:
            yield WebhookEvent("outbound_campaign.outcome_recorded", after)
        case "results" if after is not None and after["kind"] in OF_RESULTS:
            name = OF_RESULTS[after["kind"]]
            updated = name.replace("created", "updated")
            data = without(after, "kind", "ready_in")
            if before is None or updated in EVENTS:
                yield WebhookEvent(name if before is None else updated, data, after["ready_in"])


def call_data(call: Record) -> Record:
    """Return a call as deliveries contain it (facts: Payloads of deliveries)."""
    shown = without(call, *_NOT_IN_DELIVERIES)
    defaults = {
        "call_uuid": call["sid"],
        "participants": call.get("conference_participants") or [],
        "hangup_cause": "normal" if call["ended_at"] else None,
        "external_transferred_to": None,
        "external_caller_number": None,
        "automatic_callback_call_id": None,
    }
    return defaults | shown | {name: call[name] or {} for name in ("user", "contact", "number")}


def _of_call(before: Record | None, after: Record) -> Iterator[WebhookEvent]:
    data = call_data(after)
    status = None if before is None else before["status"]
    if before is None:
        yield WebhookEvent("call.created", data)
        if after["user"]:
            yield WebhookEvent("call.ringing_on_agent", data)
    if after["answered_at"] and status in {None, "initial"} and after["status"] != "initial":
        yield WebhookEvent("call.answered", data)
    if after["status"] == "done" and status != "done":
        yield WebhookEvent("call.hungup", data)
        yield WebhookEvent("call.ended", data, ENDED_AFTER)
        if after["voicemail"]:
            yield WebhookEvent("call.voicemail_left", data, ENDED_AFTER)
        if after["recording"] or after["voicemail"]:
            yield WebhookEvent("call.comm_assets_generated", data, ASSETS_AFTER)
    if before is None:
        return
    tags, tags_before = ({tag["id"] for tag in call["tags"]} for call in (after, before))
    for name, is_so in (
        ("tagged", bool(tags - tags_before)),
        ("untagged", bool(tags_before - tags)),
        ("commented", len(after["comments"]) > len(before["comments"])),
        ("assigned", bool(after["assigned_to"]) and after["assigned_to"] != before["assigned_to"]),
        ("archived", after["archived"] and not before["archived"]),
        ("transferred", bool(after["transferred_to"]) and after["transferred_to"] != before["transferred_to"]),
    ):
        if is_so:
            yield WebhookEvent(f"call.{name}", data)


def _of_contact(before: Record | None, after: Record | None) -> Iterator[WebhookEvent]:
    if after is not None:
        times = {name: _text(after[name]) for name in ("created_at", "updated_at")}
        yield WebhookEvent("contact.created" if before is None else "contact.updated", after | times)
    elif before is not None:
        yield WebhookEvent("contact.deleted", {"id": before["id"]})


def _of_user(before: Record | None, after: Record | None) -> Iterator[tuple[str, Record]]:
    known = after or before
    if known is None:
        return
    data = without(known, "availability")
    if before is None or after is None:
        yield ("created" if before is None else "deleted"), data
        return
    if after["availability_status"] != before["availability_status"]:
        if after["availability_status"] == "available":
            yield "opened", data
        else:
            yield "closed", data | {"substatus": None}
            if after["substatus"]:
                yield "closed", data
    here, there = after["availability"], before["availability"]
    if here != there:
        if "offline" in {here, there}:
            yield ("disconnected" if here == "offline" else "connected"), data
        if "after_call_work" in {here, there}:
            yield ("wut_start" if here == "after_call_work" else "wut_end"), data


def _of_number(before: Record | None, after: Record | None) -> Iterator[WebhookEvent]:
    if after is None or before is None:
        if known := after or before:
            yield WebhookEvent("number.created" if before is None else "number.deleted", known)
    elif after["availability_status"] != before["availability_status"]:
        yield WebhookEvent("number.closed" if after["availability_status"] == "closed" else "number.opened", after)


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
