"""What the dbt models have to say of a company: computed from the sandbox's world, by code that has nothing of theirs.

Times of the answers are UTC without a zone, or by the clock of `ZONE` where the name ends in `_local`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aircall_sandbox.templates import KINDS
from tap_aircall.streams.calls.details import SETTLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aircall_sandbox import World

Record = dict[str, Any]
ZONE = ZoneInfo("Europe/Paris")
SLA = 20
LATE = 7 * 86_400
OPEN = dict.fromkeys(range(1, 6), (9 * 60, 18 * 60))
REASONS = (
    "out_of_opening_hours",
    "short_abandoned",
    "abandoned_in_ivr",
    "abandoned_in_classic",
    "no_available_agent",
    "agents_did_not_answer",
)


@dataclass
class Told:
    """What the inbox knows besides."""

    call_events: list[Record] = field(default_factory=list)
    user_events: list[Record] = field(default_factory=list)
    user_availabilities: list[Record] = field(default_factory=list)
    messages: list[Record] = field(default_factory=list)
    group_messages: list[Record] = field(default_factory=list)
    deleted_objects: list[Record] = field(default_factory=list)


def utc(second: int | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).replace(tzinfo=None)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def local(second: int) -> datetime:
    return datetime.fromtimestamp(second, ZONE).replace(tzinfo=None)


def part(record: Record | None, name: str) -> Any:
    return None if record is None else record[name]


def full_name(record: Record | None) -> str | None:
    names = [] if record is None else [record["first_name"], record["last_name"]]
    return " ".join(name for name in names if name) or None


def key_of(digits: str | None) -> str | None:
    return None if digits in {None, "anonymous"} else re.sub(r"\D", "", str(digits))


class Answers:
    """The rows of each mart, by its name."""

    def __init__(self, world: World, told: Told) -> None:
        self.world = world
        self.told = told
        gone = {
            (each["object_type"], int(each["object_id"]))
            for each in told.deleted_objects
            if seconds(each["deleted_at"]) > world.now  # or it was listed since
        }
        self.contacts = {key: each for key, each in world.contacts.items() if ("contact", key) not in gone}
        self.listed = {
            kinds.removesuffix("s"): {
                key: each["name"]
                for key, each in world.kinds[kinds].items()
                if (kinds.removesuffix("s"), key) not in gone
            }
            for kinds in KINDS
            if kinds in {"users", "numbers", "teams"}
        }
        self.shown = sorted(
            (call for call in world.calls.values() if world.shown_call(call["id"])),
            key=lambda call: (call["started_at"], call["id"]),
        )
        self.names = self._names()
        self.rows = {call["id"]: self._call(call) for call in self.shown}
        for of_caller in self._by_caller().values():
            for position, call in enumerate(of_caller):
                if self.rows[call["id"]]["is_missed"]:
                    self._follow(call, of_caller[position + 1 :])
        for row in list(self.rows.values()):
            if row["callback_status"] == "called_back":
                self.rows[row["callback_call_id"]]["is_callback"] = True
        self.ended = [row for row in self.rows.values() if row["is_ended"]]

    def marts(self) -> dict[str, list[Record]]:
        """Return the rows of all marts, in no order."""
        return {
            "calls": list(self.rows.values()),
            "call_tags": list(self._call_tags()),
            "number_days": self._days(lambda row: [(row["number_id"],)], ("number_id",), "number", outbound=True),
            "team_days": self._days(self._teams_of, ("team_id",), "team", outbound=False),
            "hours": self._hours(),
            "agent_days": self._agent_days(),
            "missed_callers": list(self._missed_callers()),
            "contacts": list(self._contacts()),
            "conversations": list(self._conversations()),
            "messages": list(self._messages()),
            "completeness": list(self._completeness()),
        }

    def _names(self) -> dict[str, dict[int, str]]:
        """Return the names of users, numbers and teams, those that are gone included."""
        names: dict[str, dict[int, str]] = {"user": {}, "number": {}, "team": {}}
        for call in self.shown:
            for role in ("user", "assigned_to", "transferred_by", "transferred_to"):
                if call[role]:
                    names["user"][call[role]["id"]] = call[role]["name"]
            if call["number"]:
                names["number"][call["number"]["id"]] = call["number"]["name"]
            names["team"] |= {team["id"]: team["name"] for team in call["teams"]}
        return {kind: found | self.listed[kind] for kind, found in names.items()}

    def _user(self, identity: int | None) -> str | None:
        return self.names["user"].get(identity or 0)

    def _settled(self, call: Record) -> tuple[Record, int | None]:
        """Return a call without a transfer that failed, and its main user."""
        transfers = [
            (seconds(event["happened_at"]), event["event"])
            for event in self.told.call_events
            if event["call_id"] == call["id"] and event["event"].endswith(("transfer", "transferred"))
        ]
        if max(transfers, default=(0, ""))[1] == "call.unsuccessful_transfer":
            call = call | {"transferred_by": None, "transferred_to": None}
        user, by, to = (part(call[role], "id") for role in ("user", "transferred_by", "transferred_to"))
        is_inbound = call["direction"] == "inbound"
        if (is_inbound and call["ended_at"] and not call["answered_at"]) or (not is_inbound and (by or to)):
            return call, None
        return call, to if to and user in {None, by} else user

    def _call(self, call: Record) -> Record:
        is_answered, is_ended = call["answered_at"] is not None, call["ended_at"] is not None
        is_inbound = call["direction"] == "inbound"
        is_missed = is_inbound and is_ended and not is_answered
        at = local(call["started_at"])
        call, main = self._settled(call)
        user, by, to = (part(call[role], "id") for role in ("user", "transferred_by", "transferred_to"))
        rang_at = min(
            (
                rang
                for event in self.told.call_events
                if event["call_id"] == call["id"] and event["event"] == "call.ringing_on_agent"
                for rang in [seconds(event["happened_at"])]
            ),
            default=None,
        )
        is_exact = rang_at is not None and is_answered and call["started_at"] <= rang_at <= call["answered_at"]
        waited = (
            call["answered_at"] - (rang_at if is_exact else call["started_at"]) if is_answered and is_inbound else None
        )
        opening, closing = OPEN.get(at.isoweekday(), (0, 0))
        known = self.contacts.get(part(call["contact"], "id"))
        teams = {team["id"] for team in call["teams"]}
        wrap_ups = [work for work in self._wrap_ups() if work[0] == call["id"]]
        return {
            "call_id": call["id"],
            "call_uuid": call["sid"],
            "direction": call["direction"],
            "status": call["status"],
            "call_type": self._type(call, is_answered=is_answered, is_ended=is_ended),
            "is_ended": is_ended,
            "is_answered": is_answered,
            "is_missed": is_missed,
            "missed_call_reason": call["missed_call_reason"] if is_missed else None,
            "started_at": utc(call["started_at"]),
            "answered_at": utc(call["answered_at"]),
            "ended_at": utc(call["ended_at"]),
            "started_at_local": at,
            "call_date": at.date(),
            "call_hour": at.hour,
            "day_of_week": at.isoweekday(),
            "in_business_hours": call["missed_call_reason"] != "out_of_opening_hours"
            and opening <= at.hour * 60 + at.minute < closing,
            "number_id": part(call["number"], "id"),
            "number_name": self.names["number"].get(part(call["number"], "id")),
            "number_digits": part(call["number"], "digits"),
            "number_country": part(call["number"], "country"),
            "user_id": user,
            "user_name": self._user(user),
            "main_user_id": main,
            "main_user_name": self._user(main),
            "main_user_is_exact": main in {None, user},
            "assigned_to_id": part(call["assigned_to"], "id"),
            "assigned_to_name": self._user(part(call["assigned_to"], "id")),
            "transferred_by_id": by,
            "transferred_by_name": self._user(by),
            "transferred_to_id": to,
            "transferred_to_name": self._user(to),
            "teams_count": len(teams),
            "team_names": ", ".join(sorted(self.names["team"][team] for team in teams)) or None,
            "contact_id": part(call["contact"], "id"),
            "contact_name": full_name(known) or full_name(call["contact"]),
            "contact_company": part(known, "company_name") or part(call["contact"], "company_name"),
            "raw_digits": call["raw_digits"],
            "caller_key": key_of(call["raw_digits"]),
            "caller_e164": f"+{key_of(call['raw_digits'])}" if key_of(call["raw_digits"]) else None,
            "country": call["country_code_a2"],
            "duration_seconds": call["duration"],
            "time_to_answer_seconds": waited,
            "time_to_answer_is_upper_bound": None if waited is None else not is_exact,
            "is_in_sla": None if waited is None else waited <= SLA,
            "is_sla_uncertain": None if waited is None else waited > SLA and not is_exact,
            "talk_seconds": call["ended_at"] - call["answered_at"] if is_answered and is_ended else None,
            "missed_after_seconds": call["ended_at"] - call["started_at"] if is_missed else None,
            "wrap_up_seconds": sum(work[1] for work in wrap_ups) if wrap_ups else None,
            **dict.fromkeys(FOLLOWING),
            "is_callback": False,
            "has_recording": call["recording"] is not None,
            "has_voicemail": call["voicemail"] is not None,
            "is_archived": call["archived"],
            "cost_cents": Decimal(call["cost"]),
            "pricing_type": call["pricing_type"],
        }

    def _type(self, call: Record, *, is_answered: bool, is_ended: bool) -> str | None:
        if call["direction"] == "outbound":
            return "outbound"
        if is_answered or not is_ended:
            return "answered" if is_answered else None
        agents = call["ai_voice_agents"]
        if agents and not any(each["end_reason"] == "escalated" or each["escalation_reason"] for each in agents):
            return "ai_call"
        reason = str(call["missed_call_reason"])
        if "abandoned" in reason:
            return "abandoned"
        if reason == "out_of_opening_hours":
            return "out_of_business_hours"
        return "voicemail" if call["voicemail"] else "missed"

    def _wrap_ups(self) -> list[tuple[int, int]]:
        """Return the seconds of after-call work with the call that each was for."""
        if not hasattr(self, "_worked"):
            self._worked: list[tuple[int, int]] = []
            mains = {call["id"]: self._settled(call)[1] for call in self.shown}
            for begun in self.told.user_events:
                if begun["event"] != "user.wut_start.v2":
                    continue
                at = seconds(begun["happened_at"])
                later = [
                    (seconds(event["happened_at"]), event["event"])
                    for event in self.told.user_events
                    if event["user_id"] == begun["user_id"]
                    and "wut" in event["event"]
                    and seconds(event["happened_at"]) > at
                ]
                end, event = min(later, default=(0, ""))
                before = [
                    call
                    for call in self.shown
                    if call["ended_at"]
                    and at - 60 < call["ended_at"] <= at + 5
                    and mains[call["id"]] == begun["user_id"]
                ]
                if event.startswith("user.wut_end") and before:
                    self._worked.append((max(before, key=lambda call: (call["ended_at"], call["id"]))["id"], end - at))
        return self._worked

    def _by_caller(self) -> dict[str, list[Record]]:
        callers: dict[str, list[Record]] = defaultdict(list)
        for call in self.shown:
            if key := key_of(call["raw_digits"]):
                callers[key].append(call)
        return callers

    def _follow(self, missed: Record, later: list[Record]) -> None:
        """Note what came after a missed call."""
        row = self.rows[missed["id"]]
        row["callback_status"] = "waiting"
        for call in later:
            theirs = self.rows[call["id"]]
            after = max(call["started_at"] - missed["ended_at"], 0)
            if theirs["direction"] == "outbound" and row["callback_call_id"] is None:
                row |= {
                    "callback_call_id": call["id"],
                    "called_back_at": theirs["started_at"],
                    "called_back_after_seconds": after,
                    "called_back_by_id": theirs["user_id"],
                    "called_back_by_name": theirs["user_name"],
                    "callback_was_answered": theirs["is_answered"],
                }
            if theirs["direction"] == "inbound" and row["called_again_call_id"] is None:
                row |= {
                    "called_again_call_id": call["id"],
                    "called_again_at": theirs["started_at"],
                    "called_again_after_seconds": after,
                }
            if theirs["direction"] == "inbound" and theirs["is_answered"] and row["answered_again_at"] is None:
                row |= {
                    "answered_again_at": theirs["started_at"],
                    "answered_again_by_id": theirs["main_user_id"],
                    "answered_again_by_name": theirs["main_user_name"],
                }
            if row["callback_status"] == "waiting" and (theirs["direction"] == "outbound" or theirs["is_answered"]):
                row["callback_status"] = "called_back" if after <= LATE else "called_back_late"
                if theirs["direction"] == "inbound":
                    row["callback_status"] = "called_again"

    def _call_tags(self) -> Iterator[Record]:
        tags = self.world.kinds["tags"]
        for call in self.shown:
            row = self.rows[call["id"]]
            for tag in {
                each["id"]: each for each in sorted(call["tags"], key=lambda each: int(each["created_at"]))
            }.values():
                known = tags.get(tag["id"])
                yield {
                    "call_id": call["id"],
                    "tag_id": tag["id"],
                    "tag_name": (known or tag)["name"],
                    "tag_color": part(known, "color"),
                    "tagged_at": utc(tag["created_at"]),
                    "tagged_by_id": part(tag["tagged_by"], "id"),
                    "tagged_by_name": self._user(part(tag["tagged_by"], "id")),
                    **{name: row[name] for name in ("call_date", "direction", "is_answered", "is_missed", "number_id")},
                    **{name: row[name] for name in ("main_user_id", "talk_seconds")},
                }

    def _teams_of(self, row: Record) -> list[tuple[int, ...]]:
        return [(team,) for team in {team["id"] for team in self.world.calls[row["call_id"]]["teams"]}]

    def _days(
        self, of: Callable[[Record], list[tuple[Any, ...]]], keys: tuple[str, ...], kind: str, *, outbound: bool
    ) -> list[Record]:
        groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for row in self.ended:
            for key in of(row):
                groups[*key, row["call_date"]].append(row)
        return [
            dict(zip((*keys, "call_date"), key, strict=True))
            | {f"{kind}_name": self.names[kind][key[0]]}
            | inbound_figures(rows)
            | (outbound_figures(rows) if outbound else {})
            for key, rows in groups.items()
        ]

    def _hours(self) -> list[Record]:
        groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for row in self.ended:
            groups[row["call_date"], row["call_hour"], row["day_of_week"]].append(row)
        return [
            dict(zip(("call_date", "call_hour", "day_of_week"), key, strict=True))
            | inbound_figures(rows)
            | outbound_figures(rows)
            for key, rows in groups.items()
        ]

    def _agent_days(self) -> list[Record]:
        days: dict[tuple[Any, Any], dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for row in self.ended:
            days[row["main_user_id"], row["call_date"]]["main"].append(row)
            days[row["transferred_by_id"], row["call_date"]]["handed over"].append(row)
        for event in self.told.call_events:
            if event["event"] in {"call.ringing_on_agent", "call.agent_declined"}:
                days[event["user_id"], local(seconds(event["happened_at"])).date()]["rang"].append(event["event"])
        return [self._agent_day(*key, found) for key, found in days.items() if key[0] is not None]

    def _agent_day(self, user: int, date: Any, found: dict[str, list[Any]]) -> Record:
        rows, rang = found["main"], found["rang"]
        inbound = [row for row in rows if row["direction"] == "inbound"]
        return {
            "user_id": user,
            "call_date": date,
            "user_name": self._user(user),
            "is_deleted": user not in self.listed["user"] if user in self.names["user"] else None,
            "handled_calls": len(rows),
            "answered_calls": len(inbound),
            **outbound_figures(rows),
            "callbacks": len([row for row in rows if row["is_callback"]]),
            "calls_in_sla": len([row for row in inbound if row["is_in_sla"]]),
            "calls_sla_uncertain": len([row for row in inbound if row["is_sla_uncertain"]]),
            "time_to_answer_seconds_total": sum(row["time_to_answer_seconds"] for row in inbound),
            "inbound_talk_seconds": sum(row["talk_seconds"] for row in inbound),
            "handed_over_calls": len(found["handed over"]),
            "time_to_answer_seconds_max": max((row["time_to_answer_seconds"] for row in inbound), default=None),
            "talk_seconds_max": most(row["talk_seconds"] for row in rows),
            "wrap_up_seconds": total(row["wrap_up_seconds"] for row in rows),
            "ringing_attempts": rang.count("call.ringing_on_agent") if rang else None,
            "declined_calls": rang.count("call.agent_declined") if rang else None,
            "first_call_at_local": min((row["started_at_local"] for row in rows), default=None),
            "last_call_at_local": max((row["started_at_local"] for row in rows), default=None),
        }

    def _missed_callers(self) -> Iterator[Record]:
        for key, calls in self._by_caller().items():
            missed = [self.rows[call["id"]] for call in calls if self.rows[call["id"]]["is_missed"]]
            if not missed:
                continue
            waiting = [row for row in missed if row["callback_status"] == "waiting"]
            last = missed[-1]
            yield {
                "caller_key": key,
                **{name: last[name] for name in ("raw_digits", "caller_e164")},
                **{name: last[name] for name in ("contact_id", "contact_name", "contact_company")},
                "is_waiting": bool(waiting),
                "waiting_since": waiting[0]["started_at"] if waiting else None,
                "missed_calls_waiting": len(waiting),
                "voicemails_waiting": len([row for row in waiting if row["has_voicemail"]]),
                "missed_calls": len(missed),
                "missed_calls_called_back": len([row for row in missed if row["callback_status"] == "called_back"]),
                "missed_calls_called_back_late": len(
                    [row for row in missed if row["callback_status"] == "called_back_late"]
                ),
                "missed_calls_answered_later": len([row for row in missed if row["callback_status"] == "called_again"]),
                "first_missed_at": missed[0]["started_at"],
                "last_missed_at": last["started_at"],
                "last_missed_at_local": last["started_at_local"],
                "last_missed_call_id": last["call_id"],
                "last_missed_call_reason": last["missed_call_reason"],
                "last_number_id": last["number_id"],
                "last_number_name": last["number_name"],
                "last_team_names": last["team_names"],
                "assigned_to_id": last["assigned_to_id"],
                "assigned_to_name": last["assigned_to_name"],
            }

    def _contacts(self) -> Iterator[Record]:
        for identity, contact in self.contacts.items():
            rows = [row for row in self.ended if row["contact_id"] == identity]
            inbound = [row for row in rows if row["direction"] == "inbound"]
            spoken = [row for row in rows if row["is_answered"] and row["main_user_id"] is not None]
            yield {
                "contact_id": identity,
                "contact_name": full_name(contact),
                "contact_company": contact["company_name"],
                "created_at": utc(contact["created_at"]),
                "updated_at": utc(contact["updated_at"]),
                "phone_numbers": len(contact["phone_numbers"]),
                "calls": len(rows),
                "inbound_calls": len(inbound),
                "answered_calls": len([row for row in inbound if row["is_answered"]]),
                "missed_calls": len([row for row in inbound if row["is_missed"]]),
                "missed_and_waiting": len([row for row in inbound if row["callback_status"] == "waiting"]),
                **outbound_figures(rows),
                "inbound_talk_seconds": sum(row["talk_seconds"] or 0 for row in inbound),
                "first_call_at": min((row["started_at"] for row in rows), default=None),
                "last_call_at": max((row["started_at"] for row in rows), default=None),
                "last_user_id": spoken[-1]["main_user_id"] if spoken else None,
                "last_user_name": spoken[-1]["main_user_name"] if spoken else None,
            }

    def _result(self, kind: Any, call: Record) -> Any:
        """Return what Aircall's AI made of a call, if the tap can have read it."""
        _, found = self.world.intelligence.find(kind, call["id"])
        return found if found and call["ended_at"] + SETTLE_SECONDS <= self.world.now else None

    def _conversations(self) -> Iterator[Record]:
        for call in self.shown:
            transcript, topics, summary, notes = (
                self._result(kind, call) for kind in ("transcription", "topics", "summary", "custom_summary_result")
            )
            if not transcript:
                continue
            sentiment, csat, todo, playbook, evaluation = (
                self._result(kind, call)
                for kind in ("sentiments", "predicted_csat", "action_items", "playbook_result", "evaluations")
            )
            said = transcript["content"]["utterances"]
            sides = {
                side: [each for each in said if each["participant_type"] == side] for side in ("internal", "external")
            }
            row, items = self.rows[call["id"]], todo["action_items"] if todo else []
            same = ("call_id", "call_date", "direction", "is_answered", "number_id", "main_user_id", "contact_id")
            yield {
                **{name: row[name] for name in (*same, "talk_seconds")},
                "transcript_type": transcript["type"],
                "transcript_language": "en",
                "transcript": "\n".join(f"{each['participant_type']}: {each['text']}" for each in said),
                "utterances": len(said),
                "utterances_of_users": len(sides["internal"]),
                "user_speech_seconds": spoken_seconds(sides["internal"]),
                "customer_speech_seconds": spoken_seconds(sides["external"]),
                "summary": part(summary, "content"),
                "custom_summary": "\n".join(
                    f"{each['name']}: {each['content']}" for each in notes["summary_template_results"]
                )
                if notes
                else None,
                "topics_count": len(topics["content"]) if topics else 0,
                "topics": ", ".join(topics["content"]) if topics else None,
                "sentiment": sentiment["participants"][0]["value"] if sentiment else None,
                "csat_score": part(csat, "score"),
                "action_items": len(items),
                "action_items_open": len(items),
                "playbook_adherence_score": part(playbook, "adherence_score"),
                "evaluations": 1 if evaluation else 0,
            }

    def _messages(self) -> Iterator[Record]:
        for kind, messages in (("single", self.told.messages), ("group", self.told.group_messages)):
            for message in messages:
                at = seconds(message.get("sent_at") or message["created_at"])
                number, contact = message.get("number"), message.get("contact")
                digits = message.get("external_number")
                yield {
                    "kind": kind,
                    "message_id": message["id"],
                    "direction": message.get("direction"),
                    "channel": message.get("channel") or "sms",
                    "status": message.get("status"),
                    "body": message.get("body"),
                    "has_media": bool(message.get("media_details")),
                    "messaged_at": utc(at),
                    "messaged_at_local": local(at),
                    "message_date": local(at).date(),
                    "message_hour": local(at).hour,
                    "number_id": part(number, "id"),
                    "number_name": self.names["number"].get(part(number, "id")),
                    "contact_id": part(contact, "id"),
                    "contact_name": full_name(self.contacts.get(part(contact, "id"))) or full_name(contact),
                    "external_number": digits,
                    "caller_key": key_of(digits),
                    "group_conversation_id": message.get("group_conversation_id"),
                }

    def _completeness(self) -> Iterator[Record]:
        """Yield the days that were over, back to the first that Aircall serves for sure."""
        today = datetime.fromtimestamp(self.world.now, UTC).date()
        per_day: dict[Any, int] = defaultdict(int)
        for call in self.shown:
            per_day[datetime.fromtimestamp(call["started_at"], UTC).date()] += 1
        for date, calls in per_day.items():
            if date < today:
                yield {
                    "date": date,
                    "calls_at_aircall": calls,
                    "calls_here": calls,
                    "calls_lacking": 0,
                    "is_complete": True,
                    "counted_at": utc(int(self.world.now) - 1),  # the last second that was over
                }


FOLLOWING = (
    *("callback_call_id", "called_back_at", "called_back_after_seconds", "called_back_by_id", "called_back_by_name"),
    *("callback_was_answered", "called_again_call_id", "called_again_at", "called_again_after_seconds"),
    *("answered_again_at", "answered_again_by_id", "answered_again_by_name", "callback_status"),
)
"""Columns of a call that say what came after it was missed."""


def inbound_figures(rows: list[Record]) -> Record:
    inbound = [row for row in rows if row["direction"] == "inbound"]
    missed = [row for row in inbound if row["is_missed"]]
    waits = [row["time_to_answer_seconds"] for row in inbound if row["is_answered"]]
    return {
        "inbound_calls": len(inbound),
        "answered_calls": len(waits),
        "missed_calls": len(missed),
        **{
            f"missed_{reason}": len([row for row in missed if row["missed_call_reason"] == reason])
            for reason in REASONS
        },
        "voicemails": len([row for row in missed if row["has_voicemail"]]),
        "missed_and_reached_later": len(
            [row for row in missed if row["callback_status"] in {"called_back", "called_again"}]
        ),
        "missed_and_waiting": len([row for row in missed if row["callback_status"] == "waiting"]),
        "calls_in_sla": len([row for row in inbound if row["is_in_sla"]]),
        "calls_sla_uncertain": len([row for row in inbound if row["is_sla_uncertain"]]),
        "time_to_answer_seconds_total": sum(waits),
        "time_to_answer_seconds_max": max(waits, default=None),
        "inbound_talk_seconds": sum(row["talk_seconds"] or 0 for row in inbound),
    }


def outbound_figures(rows: list[Record]) -> Record:
    outbound = [row for row in rows if row["direction"] == "outbound"]
    return {
        "outbound_calls": len(outbound),
        "connected_calls": len([row for row in outbound if row["is_answered"]]),
        "outbound_talk_seconds": sum(row["talk_seconds"] or 0 for row in outbound),
    }


def most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def spoken_seconds(utterances: list[Record]) -> Decimal | None:
    lengths = [Decimal(str(each["end_time"])) - Decimal(str(each["start_time"])) for each in utterances]
    return sum(lengths, Decimal()) if lengths else None
