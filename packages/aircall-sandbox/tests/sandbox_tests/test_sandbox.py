"""The sandbox responds as Aircall does: a test per fact."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from aircall_sandbox import generate_company
from sandbox_tests.asking import ask, get, listed
from tests.clock import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Aircall

T0 = int(NOW)
DAY = 86_400


class TestEdge:
    @pytest.mark.parametrize(
        ("path", "auth", "status", "body"),
        [
            ("/v1/ping", ("sandbox-id", "sandbox-token"), 200, b'{"ping":"pong"}'),
            ("/v1/ping", None, 401, b'{"message":"Unauthorized"}'),
            ("/v1/ping", ("sandbox-id", "wrong"), 403, b'{"message":"Forbidden"}'),
            ("/v1/pong", ("sandbox-id", "sandbox-token"), 404, b'{"message":"Not Found"}'),
        ],
    )
    def test_errors_have_the_exact_bodies_of_the_facts(
        self, lasting: Aircall, path: str, auth: Any, status: int, body: bytes
    ) -> None:
        answer = requests.get(lasting.sandbox.url + path, auth=auth, timeout=10)
        assert (answer.status_code, answer.content) == (status, body)

    def test_requests_that_write_are_refused(self, aircall: Aircall) -> None:
        answer = ask(aircall, "POST", "/v1/tags", {"name": "VIP"})
        assert (answer.status_code, answer.content) == (404, b'{"message":"Not Found"}')

    def test_only_a_429_has_rate_limit_headers(self, make_aircall: Callable[..., Aircall]) -> None:
        headers = get(make_aircall(requests_per_minute=5), "/v1/ping").headers
        assert not [name for name in headers if name.lower().startswith("x-aircallapi")]

    @pytest.mark.parametrize(
        ("unit", "reset"), [("seconds", str(T0 + 60)), ("milliseconds", str((T0 + 60) * 1000)), ("none", None)]
    )
    def test_too_many_requests_block_for_a_minute(
        self, make_aircall: Callable[..., Aircall], unit: str, reset: str | None
    ) -> None:
        aircall = make_aircall(requests_per_minute=2, reset_unit=unit)

        assert [get(aircall, "/v1/ping").status_code for _ in range(3)] == [200, 200, 429]
        headers = get(aircall, "/v1/ping").headers
        assert headers.get("X-AircallApi-Limit") == "2"
        assert headers.get("X-AircallApi-Remaining") == "0"
        assert headers.get("X-AircallApi-Reset") == reset
        aircall.clock.now += 59
        assert get(aircall, "/v1/ping").status_code == 429
        aircall.clock.now += 2
        assert get(aircall, "/v1/ping").status_code == 200


class TestLists:
    @pytest.mark.parametrize(
        "path", ["/v1/calls", "/v1/contacts", "/v1/tags", "/v2/users", "/v1/teams", "/v1/numbers", "/v1/webhooks"]
    )
    def test_position_10_000_is_the_last_even_in_an_empty_list(self, lasting: Aircall, path: str) -> None:
        assert get(lasting, path, page=200, per_page=50).status_code == 200
        refused = get(lasting, path, page=201, per_page=50)
        assert refused.status_code == 400
        assert refused.json() == {
            "error": "Bad Request",
            "data": None,
            "message": "BAD_REQUEST",
            "errors": (
                "Your query is limited to 10k results and pagination is out of bound, "
                "please use timestamps or other filters."
            ),
            "troubleshoot": "BAD_REQUEST",
            "success": False,
        }
        assert get(lasting, path, page=501, per_page=20).status_code == 400

    def test_meta_has_counts_and_links_to_adjacent_pages(self, aircall: Aircall) -> None:
        for n in range(60):
            aircall.world.add_contact(created_at=T0 - 1_000 + n)
        meta = get(aircall, "/v1/contacts", page=2, per_page=25, order="asc", order_by="created_at").json()["meta"]
        link = "https://api.aircall.io/v1/contacts?order=asc&order_by=created_at&per_page=25&page="
        assert meta == {
            "count": 25,
            "total": 60,
            "current_page": 2,
            "per_page": 25,
            "next_page_link": link + "3",
            "previous_page_link": link + "1",
        }

    def test_pages_have_20_by_default_and_50_at_most(self, aircall: Aircall) -> None:
        for _ in range(60):
            aircall.world.add("tags")
        assert len(listed(aircall, "/v1/tags")) == 20
        assert len(listed(aircall, "/v1/tags", per_page=500)) == 50
        assert len(listed(aircall, "/v1/tags", per_page=0)) == 1

    def test_tags_have_no_order(self, aircall: Aircall) -> None:
        ids = [aircall.world.add("tags")["id"] for _ in range(3)]
        assert listed(aircall, "/v1/tags", order="desc") == ids
        link = get(aircall, "/v1/tags", order="desc", per_page=2).json()["meta"]["next_page_link"]
        assert link == "https://api.aircall.io/v1/tags?per_page=2&page=2"

    def test_a_next_page_is_linked_beyond_the_cap(self, aircall: Aircall) -> None:
        for n in range(10_001):
            aircall.world.add_contact(created_at=T0 - 20_000 + n)
        link = get(aircall, "/v1/contacts", page=200, per_page=50).json()["meta"]["next_page_link"]
        assert link.endswith("page=201")

    def test_webhooks_have_secrets_and_no_links(self, aircall: Aircall) -> None:
        webhook = aircall.world.add("webhooks")
        payload = get(aircall, "/v1/webhooks").json()
        assert payload["meta"] == {"count": 1, "total": 1, "current_page": 1, "per_page": 20}
        assert payload["webhooks"][0]["token"] == webhook["token"]

    def test_unknown_parameters_are_ignored(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - 5)["id"]
        assert listed(aircall, "/v1/contacts", query="Aircall") == [contact]


class TestCalls:
    def test_from_is_exclusive_and_to_inclusive(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_call(started_at=T0 - 10 + n)["id"] for n in range(5)]
        assert listed(aircall, "/v1/calls", **{"from": T0 - 10, "to": T0 - 8}) == ids[1:3]

    def test_dates_as_text_select_nothing(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 10)
        answer = get(aircall, "/v1/calls", **{"from": "2026-11-01"})
        assert (answer.status_code, answer.json()["calls"]) == (200, [])

    def test_calls_older_than_six_months_are_not_served(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 200 * DAY)
        young = aircall.world.add_call(started_at=T0 - 170 * DAY)["id"]
        assert listed(aircall, "/v1/calls") == [young]

    def test_calls_are_listed_newest_first_when_asked(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_call(started_at=T0 - 10 + n)["id"] for n in range(5)]
        assert listed(aircall, "/v1/calls", order="desc", per_page=2, page=2) == [ids[2], ids[1]]

    def test_parts_without_their_flag_are_null_or_absent(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - DAY)
        aircall.world.add_call(started_at=T0 - 500, contact=contact)
        (bare,) = get(aircall, "/v1/calls").json()["calls"]
        assert bare["contact"] is bare["recording_short_url"] is bare["voicemail_short_url"] is None
        assert not bare.keys() & {"ivr_options_selected", "ai_voice_agents", "created_at", "updated_at"}
        flags = dict.fromkeys(("fetch_contact", "fetch_short_urls", "fetch_call_timeline", "fetch_aiva_conv"), "true")
        (full,) = get(aircall, "/v1/calls", **flags).json()["calls"]
        assert full["contact"] == contact
        assert full["recording_short_url"]
        assert full["ivr_options_selected"] == full["ai_voice_agents"] == []
        assert get(aircall, "/v1/calls", fetch_contact="1").json()["calls"][0]["contact"] is None

    def test_a_call_begins_ends_and_is_recalculated(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(started_at=T0 + 10, talk_seconds=60, recalculated_after=300, moves_start=True)
        seen = []
        for now in (T0, T0 + 12, T0 + 20, T0 + 80, T0 + 400):
            aircall.clock.now = now
            payload = get(aircall, "/v1/calls").json()["calls"]
            fields = ("status", "started_at", "ended_at", "duration", "cost", "pricing_type")
            seen.append([payload[0][name] for name in fields] if payload else None)
        assert call["started_at"] == T0 + 11
        assert seen == [
            None,
            ["initial", T0 + 10, None, 0, "0.0", None],
            ["answered", T0 + 10, None, 0, "0.0", None],
            ["done", T0 + 10, T0 + 75, 65, "0.0", None],
            ["done", T0 + 11, T0 + 75, 64, "3.0", "in_bundle"],
        ]

    def test_duration_is_corrected_after_the_end(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(started_at=T0 - 65, duration_excess=1)
        durations = []
        for now in (T0, T0 + 300):
            aircall.clock.now = now
            durations.append(get(aircall, f"/v1/calls/{call['id']}").json()["call"]["duration"])
        assert durations == [61, 60]

    def test_missed_calls_end_with_a_reason_and_a_voicemail(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(
            started_at=T0 - 10,
            ring_seconds=30,
            talk_seconds=None,
            missed_call_reason="no_available_agent",
            leaves_voicemail=True,
        )["id"]
        fields = ("status", "missed_call_reason", "answered_at", "voicemail_short_url", "asset", "cost")
        seen = []
        for now in (T0, T0 + 20):
            aircall.clock.now = now
            shown = get(aircall, f"/v1/calls/{call}", fetch_short_urls="true").json()["call"]
            seen.append([shown[name] for name in fields])
        short = f"https://short.example.com/v/{call}-2"
        asset = f"https://assets.aircall.io/calls/{call}/voicemail"
        assert seen == [
            ["initial", None, None, None, None, "0.0"],
            ["done", "no_available_agent", None, short, asset, "0.0"],
        ]

    def test_menu_choices_are_served_for_two_months(self, aircall: Aircall) -> None:
        choice = [{"id": "ivr-1", "title": "Sales", "key": "1", "branch": None}]
        for days in (70, 50):
            aircall.world.add_call(started_at=T0 - days * DAY, ivr_options_selected=choice)
        calls = get(aircall, "/v1/calls", fetch_call_timeline="true").json()["calls"]
        assert [call["ivr_options_selected"] for call in calls] == [[], choice]

    def test_a_call_is_shown_by_its_id_and_an_unknown_one_is_404(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(started_at=T0 - 20)["id"]
        assert get(aircall, f"/v1/calls/{call}").json()["call"]["id"] == call
        assert get(aircall, "/v1/calls/1").status_code == 404

    def test_calls_that_are_not_shown_yet_are_unknown(self, aircall: Aircall) -> None:
        late = aircall.world.add_call(started_at=T0 - 20, visible_at=T0 + 5)["id"]
        ahead = aircall.world.add_call(started_at=T0 + 20)["id"]
        paths = [f"/v1/calls/{late}", f"/v1/calls/{ahead}"]
        assert [get(aircall, path).status_code for path in paths] == [404, 404]
        assert listed(aircall, "/v1/calls") == []
        aircall.clock.now = T0 + 30
        assert [get(aircall, path).status_code for path in paths] == [200, 200]
        assert listed(aircall, "/v1/calls") == [late, ahead]


class TestContacts:
    def test_bounds_are_inclusive_and_by_creation_in_any_order(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_contact(created_at=T0 - 10 + n)["id"] for n in range(5)]
        aircall.world.edit_contact(ids[1], at=T0)
        bounds = {"from": T0 - 10, "to": T0 - 8}
        assert listed(aircall, "/v1/contacts", **bounds) == ids[:3]
        assert listed(aircall, "/v1/contacts", order_by="updated_at", order="desc", **bounds) == [
            ids[1],
            ids[2],
            ids[0],
        ]

    def test_a_contact_is_shown_by_its_id(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - 5)["id"]
        assert get(aircall, f"/v1/contacts/{contact}").json()["contact"]["id"] == contact


class TestDirectory:
    def test_a_deleted_user_leaves_its_numbers(self, aircall: Aircall) -> None:
        world = aircall.world
        user, number = world.add("users")["id"], world.add("numbers")["id"]
        world.user_numbers[user].append(number)
        (shown,) = get(aircall, f"/v2/users/{user}/numbers").json()["numbers"]
        assert (shown["id"], shown["flow_editor_enabled"]) == (number, True)
        world.delete("users", user)
        assert get(aircall, f"/v2/users/{user}/numbers").status_code == 404

    def test_a_deleted_tag_leaves_past_calls(self, aircall: Aircall) -> None:
        tag = aircall.world.add("tags")["id"]
        tagged = [{"id": tag, "name": "VIP", "created_at": T0, "tagged_by": None}]
        aircall.world.add_call(started_at=T0 - 10, tags=tagged)
        aircall.world.delete("tags", tag)
        assert get(aircall, "/v1/calls").json()["calls"][0]["tags"] == []


def test_the_same_seed_makes_the_same_data() -> None:
    sizes = {"calls": 300, "contacts": 100, "users": 5, "days": 20}
    one, two, other = (generate_company(seed=seed, now=NOW, **sizes) for seed in (7, 7, 8))
    for name in ("calls", "contacts", "kinds", "user_numbers"):
        assert json.dumps(getattr(one, name)) == json.dumps(getattr(two, name))
    assert json.dumps(one.calls) != json.dumps(other.calls)
    assert (len(one.calls), len(one.contacts), len(one.kinds["users"])) == (300, 100, 5)


def test_the_made_up_company_has_calls_of_every_kind() -> None:
    calls = generate_company(seed=1, now=NOW, calls=3_000, contacts=500).calls.values()
    for field, share in {
        "missed_call_reason": 0.1,
        "voicemail": 0.02,
        "transferred_to": 0.02,
        "tags": 0.1,
        "comments": 0.08,
        "answered_at": 0.6,
    }.items():
        assert len([call for call in calls if call[field]]) > share * len(calls)
    written = [n.get("posted_at") or n["created_at"] for call in calls for n in call["comments"] + call["tags"]]
    assert max(written) <= NOW
    weekend = len([call for call in calls if (call["started_at"] // DAY + 3) % 7 > 4])
    assert 0 < weekend < 0.1 * len(calls)
