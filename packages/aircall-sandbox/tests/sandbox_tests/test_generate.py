"""The made-up company is consistent, for any seed and size."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aircall_sandbox import World, generate_company
from aircall_sandbox.conversations import SUBJECTS, WRONG_NUMBER
from aircall_sandbox.extras import add_campaigns
from aircall_sandbox.intelligence import RESULT_KINDS
from aircall_sandbox.phones import BLOCKS, e164, phone
from tests.clock import NOW
from tests.slow import few_or_many

Record = dict[str, Any]
WEEK = 7 * 86_400


@pytest.fixture(scope="module")
def company() -> World:
    return generate_company(seed=1, now=NOW, calls=4_000, contacts=1_500)


def local(call: Record) -> datetime:
    """Return the start of a call in the time zone of its number."""
    zone = ZoneInfo(call["number"]["time_zone"])
    return datetime.fromtimestamp(call["started_at"], zone)


def is_open(at: datetime) -> bool:
    return at.weekday() < 5 and 9 <= at.hour < 18


def overlaps(calls: list[Record], party: Any) -> list[tuple[int, int]]:
    """Return pairs of calls that overlap for somebody."""
    by_party: dict[Any, list[Record]] = defaultdict(list)
    for call in calls:
        for who in party(call):
            by_party[who].append(call)
    return [
        (one["id"], two["id"])
        for theirs in by_party.values()
        for one, two in pairwise(sorted(theirs, key=lambda call: int(call["id"])))
        if one["ended_at"] is None or two["started_at"] < one["ended_at"]
    ]


def check_presence(world: World) -> None:
    """Assert that users are at work when their lines are open, and on calls when calls keep them busy."""
    on_calls: dict[int, set[int]] = defaultdict(set)
    since = min(presence[0].at for presence in world.presence.values())
    for call in world.calls.values():
        begun_at = call["started_at"] if call["direction"] == "outbound" else call["answered_at"]
        if begun_at and (user := call["transferred_to"] or call["user"]):
            ended_at = int(world.now) + 1 if call["ended_at"] is None else call["ended_at"]
            on_calls[user["id"]].update(range(max(begun_at, since), ended_at))
    for identity, user in world.kinds["users"].items():
        presence = world.presence[identity]
        assert user.items() >= presence[-1].fields.items()
        assert all(a.at < b.at <= world.now and a.fields != b.fields for a, b in pairwise(presence))
        for shown, until in zip(presence, [*(each.at for each in presence[1:]), int(world.now) + 1], strict=True):
            for at in (shown.at, until - 1):
                assert (shown.availability == "in_call") == (at in on_calls[identity])
                moment = datetime.fromtimestamp(at, ZoneInfo(user["time_zone"]))
                assert shown.availability != "offline" or not is_open(moment)
                is_here = shown.availability in {"available", "do_not_disturb"}
                assert not is_here or is_open(moment) or moment.hour in {8, 18}


def check(world: World) -> None:
    """Assert the invariants of every company."""
    calls = list(world.calls.values())
    owners = {
        phone["value"]: contact["id"] for contact in world.contacts.values() for phone in contact["phone_numbers"]
    }
    lines = {e164(number["digits"]) for number in world.kinds["numbers"].values()}
    assert len(owners) == sum(len(contact["phone_numbers"]) for contact in world.contacts.values())
    assert not lines & owners.keys()
    members = {team["id"]: {user["id"] for user in team["users"]} for team in world.kinds["teams"].values()}
    for call in calls:
        inbound, user, number = call["direction"] == "inbound", call["user"], call["number"]
        digits, contact = e164(call["raw_digits"]), call["contact"]
        assert (contact and contact["id"]) == owners.get(digits)
        assert contact is None or contact is world.contacts[contact["id"]]
        assert digits not in lines
        assert inbound or digits != "anonymous"
        assert inbound or call["teams"] == []
        assert user is not None or inbound
        if user:
            assert number["id"] in world.user_numbers[user["id"]]
            if inbound:
                assert any(user["id"] in members[team["id"]] for team in call["teams"])
        if call["ended_at"] is not None:
            assert (call["missed_call_reason"] is not None) == (inbound and call["answered_at"] is None)
        if call["missed_call_reason"]:
            assert user is None
            assert call["recording"] is None
        closed = call["missed_call_reason"] == "out_of_opening_hours"
        border = local(call).minute == local(call).second == 0  # started_at may have moved by a second
        assert border or call["ended_at"] is None or closed != is_open(local(call))
        if call["transferred_to"]:
            assert call["transferred_by"]["id"] == user["id"] != call["transferred_to"]["id"]
        assert (call["ivr_options_selected"] == []) or number["is_ivr"]
        written = [tag["created_at"] for tag in call["tags"]] + [each["posted_at"] for each in call["comments"]]
        assert all(call["ended_at"] < at <= world.now for at in written)
        if call["status"] == "done" and call["pricing_type"]:
            assert call["duration"] == call["ended_at"] - call["started_at"]
    assert [call["id"] for call in calls] == sorted(world.calls)
    assert all(one["started_at"] <= two["started_at"] + 1 for one, two in pairwise(calls))
    known = [call for call in calls if call["raw_digits"] != "anonymous"]
    assert overlaps(known, lambda call: [call["contact"]["id"] if call["contact"] else call["raw_digits"]]) == []
    roles = ("user", "transferred_to")
    assert overlaps(calls, lambda call: [call[role]["id"] for role in roles if call[role]]) == []
    check_presence(world)
    assert all(world.user_numbers[identity] for identity in world.kinds["users"])


def test_a_company_of_usual_size_is_consistent(company: World) -> None:
    check(company)


@settings(max_examples=few_or_many(12, 200))
@given(
    seed=st.integers(),
    now=st.integers(int(NOW) - WEEK, int(NOW) + 60 * WEEK),
    calls=st.integers(0, 400),
    contacts=st.integers(0, 60),
    users=st.integers(1, 12),
    days=st.integers(1, 30),
)
def test_any_company_is_consistent(seed: int, now: int, **sizes: int) -> None:
    world = generate_company(seed=seed, now=now, **sizes)
    check(world)
    assert (len(world.calls), len(world.contacts)) == (sizes["calls"], sizes["contacts"])


def test_calls_follow_the_week_of_their_number(company: World) -> None:
    times = [local(call) for call in company.calls.values()]
    days, hours = Counter(at.weekday() for at in times), Counter(at.hour for at in times)
    assert max(days[5], days[6]) * 5 < min(days[day] for day in range(5))
    assert days[0] > days[4]
    assert max(hours[hour] for hour in (*range(6), 23)) * 5 < min(hours[hour] for hour in range(9, 18))
    assert max(hours[12], hours[13]) < min(hours[10], hours[15])


def test_some_call_often_and_missed_callers_are_called_back(company: World) -> None:
    calls = [call for call in company.calls.values() if call["raw_digits"] != "anonymous"]
    callers = Counter(call["raw_digits"] for call in calls)
    assert callers.most_common(1)[0][1] > 10
    assert min(callers.values()) == 1
    later: dict[tuple[str, str], int] = {(call["raw_digits"], call["direction"]): call["started_at"] for call in calls}
    missed = [call for call in calls if call["missed_call_reason"]]

    def followed(direction: str) -> float:
        found = [call for call in missed if later.get((call["raw_digits"], direction), 0) > call["started_at"]]
        return len(found) / len(missed)

    assert 0.3 < followed("outbound") < 0.8
    assert followed("inbound") > 0.1


def test_contacts_have_one_number_or_several_and_call_from_each(company: World) -> None:
    assert {len(contact["phone_numbers"]) for contact in company.contacts.values()} == {1, 2, 3}
    used: dict[int, set[str]] = defaultdict(set)
    for call in company.calls.values():
        if call["contact"]:
            used[call["contact"]["id"]].add(call["raw_digits"])
    assert max(map(len, used.values())) == 3


def test_some_callers_are_anonymous_and_some_unknown(company: World) -> None:
    calls = company.calls.values()
    anonymous = [call for call in calls if call["raw_digits"] == "anonymous"]
    unknown = [call for call in calls if call["contact"] is None]
    assert 0 < len(anonymous) < 0.05 * len(calls) < 0.1 * len(calls) < len(unknown) < 0.5 * len(calls)
    assert {call["country_code_a2"] for call in anonymous} == {None}


def test_tags_and_comments_fit_the_subject_of_the_call(company: World) -> None:
    ours = {subject.tag for subject in (*SUBJECTS, WRONG_NUMBER)} - {None}
    seen = set()
    for call in company.calls.values():
        subject = company.subjects[call["id"]]
        names = {tag["name"] for tag in call["tags"]}
        assert names & ours <= {subject.tag}
        assert [each["content"] for each in call["comments"]] in (
            [],
            [company.intelligence.conversation(call["id"]).comment],
        )
        assert "Callback Request" not in names or call["missed_call_reason"] == "no_available_agent"
        assert "Voicemail drop" not in names or (call["direction"], call["answered_at"]) == ("outbound", None)
        assert subject is WRONG_NUMBER or call["number"]["name"].endswith(f" {subject.line}")
        assert subject is not WRONG_NUMBER or call["contact"] is None
        seen |= names
    assert seen == {tag["name"] for tag in company.kinds["tags"].values()}


def test_ai_results_fit_their_call(company: World) -> None:
    company.intelligence.share = 1.0
    texts = set()
    for call in [call for call in company.calls.values() if call["answered_at"] and call["ended_at"]][-300:]:
        results = {kind: company.intelligence.find(kind, call["id"])[1] for kind in RESULT_KINDS}
        utterances = results["transcription"]["content"]["utterances"]
        speakers = [utterance["participant_type"] for utterance in utterances]
        assert speakers[0] == speakers[-1] == "internal"
        assert all(one != two for one, two in pairwise(speakers[:-1]))
        for utterance in utterances:
            if utterance["participant_type"] == "internal":
                assert utterance["user_id"] == call["user"]["id"]
            elif call["raw_digits"] != "anonymous":
                assert utterance["phone_number"] == e164(call["raw_digits"])
        times = [time for utterance in utterances for time in (utterance["start_time"], utterance["end_time"])]
        assert times == sorted(times)
        assert times[0] == 0 < times[-1] <= call["ended_at"] - call["answered_at"]
        words = " ".join(utterance["text"] for utterance in utterances)
        assert call["user"]["name"].split()[0] in words
        assert "{" not in words + results["summary"]["content"]
        assert call["contact"] is None or (call["contact"]["first_name"] in results["summary"]["content"])
        (mood,) = [participant["value"] for participant in results["sentiments"]["participants"]]
        assert {"POSITIVE": 75, "NEUTRAL": 50, "NEGATIVE": 0}[mood] <= results["predicted_csat"]["score"] <= 100
        items = [item["content"] for item in results["action_items"]["action_items"]]
        steps = [part["content"] for part in results["custom_summary_result"]["summary_template_results"]]
        assert steps[2] == (items[0] if items else "None")
        assert results["topics"]["content"] == list(company.subjects[call["id"]].topics)
        assert results["realtime_transcription"]["content"]["utterances"][0]["timestamp"] == call["answered_at"]
        texts.add(words)
    assert len(texts) > 200
    company.intelligence.share = 0.0


def test_a_phone_number_belongs_to_one_person() -> None:
    for country in BLOCKS:
        assert len({e164(phone(country, position)) for position in range(0, 200_000, 7)}) == len(range(0, 200_000, 7))


def test_campaigns_know_the_calls_of_their_user(company: World) -> None:
    add_campaigns(company)
    campaigns = company.optional.dialer_campaigns
    outbound = [call for call in company.calls.values() if call["direction"] == "outbound"]
    owners = {phone["value"] for contact in company.contacts.values() for phone in contact["phone_numbers"]}
    (team,) = [team for team in company.kinds["teams"].values() if team["name"] == "Sales"]
    assert campaigns.keys() == {user["id"] for user in team["users"]}
    for user, campaign in campaigns.items():
        called = {e164(call["raw_digits"]) for call in outbound if call["user"]["id"] == user}
        begun = datetime.fromisoformat(campaign["created_at"]).timestamp()
        recently = {e164(call["raw_digits"]) for call in outbound if call["started_at"] > begun}
        assert int(campaign["number_id"]) in company.user_numbers[user]
        for entry in campaign["phone_numbers"]:
            assert entry["number"] in owners
            assert entry["number"] in called if entry["called"] else entry["number"] not in recently
    entries = [entry for campaign in campaigns.values() for entry in campaign["phone_numbers"]]
    assert {entry["called"] for entry in entries} == {True, False}
    assert len({entry["id"] for entry in entries}) == len(entries)
