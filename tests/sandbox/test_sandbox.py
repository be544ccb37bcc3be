"""The sandbox answers as the facts say that Aircall does; one test a fact."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_aircall.sandbox import Fault, Sandbox, World
from tests.clock import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Aircall

T0 = int(NOW)
DAY = 86_400


def get(aircall: Aircall, path: str, **params: Any) -> requests.Response:
    auth = (aircall.sandbox.api_id, aircall.sandbox.api_token)
    return requests.get(aircall.sandbox.url + path, params=params, auth=auth, timeout=10)


def listed(aircall: Aircall, path: str, **params: Any) -> list[int]:
    payload = get(aircall, path, **params).json()
    (records,) = (value for name, value in payload.items() if name != "meta")
    return [record["id"] for record in records]


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
    def test_bodies_are_exact(self, aircall: Aircall, path: str, auth: Any, status: int, body: bytes) -> None:
        answer = requests.get(aircall.sandbox.url + path, auth=auth, timeout=10)
        assert (answer.status_code, answer.content) == (status, body)

    def test_normal_answers_have_no_rate_limit_headers(self, make_aircall: Callable[..., Aircall]) -> None:
        headers = get(make_aircall(requests_per_minute=5), "/v1/ping").headers
        assert not [name for name in headers if name.lower().startswith("x-aircallapi")]

    @pytest.mark.parametrize(
        ("unit", "reset"), [("seconds", str(T0 + 60)), ("milliseconds", str((T0 + 60) * 1000)), ("none", None)]
    )
    def test_too_many_requests_block_for_a_minute(
        self, make_aircall: Callable[..., Aircall], unit: str, reset: str | None
    ) -> None:
        aircall = make_aircall(requests_per_minute=2, reset_unit=unit, retry_after=True)

        assert [get(aircall, "/v1/ping").status_code for _ in range(3)] == [200, 200, 429]
        headers = get(aircall, "/v1/ping").headers
        assert headers.get("X-AircallApi-Limit") == "2"
        assert headers.get("X-AircallApi-Remaining") == "0"
        assert headers.get("X-AircallApi-Reset") == reset
        assert headers.get("Retry-After") == "60"
        aircall.clock.now += 59
        assert get(aircall, "/v1/ping").status_code == 429
        aircall.clock.now += 2
        assert get(aircall, "/v1/ping").status_code == 200


class TestLists:
    @pytest.mark.parametrize(
        "path", ["/v1/calls", "/v1/contacts", "/v1/tags", "/v2/users", "/v1/teams", "/v1/numbers", "/v1/webhooks"]
    )
    def test_position_10_000_is_the_last_even_of_an_empty_list(self, aircall: Aircall, path: str) -> None:
        assert get(aircall, path, page=200, per_page=50).status_code == 200
        refused = get(aircall, path, page=201, per_page=50)
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
        assert get(aircall, path, page=501, per_page=20).status_code == 400

    def test_meta_and_links(self, aircall: Aircall) -> None:
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

    def test_a_next_page_is_named_beyond_the_cap(self, aircall: Aircall) -> None:
        for n in range(10_001):
            aircall.world.add_contact(created_at=T0 - 20_000 + n)
        link = get(aircall, "/v1/contacts", page=200, per_page=50).json()["meta"]["next_page_link"]
        assert link.endswith("page=201")

    def test_webhooks_have_no_links_but_secrets(self, aircall: Aircall) -> None:
        webhook = aircall.world.add("webhooks")
        payload = get(aircall, "/v1/webhooks").json()
        assert payload["meta"] == {"count": 1, "total": 1, "current_page": 1, "per_page": 20}
        assert payload["webhooks"][0]["token"] == webhook["token"]

    def test_unknown_parameters_are_ignored(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - 5)["id"]
        assert listed(aircall, "/v1/contacts/search", query="Aircall") == [contact]


class TestCalls:
    def test_from_is_exclusive_and_to_inclusive(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_call(started_at=T0 - 10 + n)["id"] for n in range(5)]
        for path in ("/v1/calls", "/v1/calls/search"):
            assert listed(aircall, path, **{"from": T0 - 10, "to": T0 - 8}) == ids[1:3]

    def test_dates_as_text_select_nothing(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 10)
        answer = get(aircall, "/v1/calls", **{"from": "2026-11-01"})
        assert (answer.status_code, answer.json()["calls"]) == (200, [])

    def test_older_than_six_months_is_not_served(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 200 * DAY)
        young = aircall.world.add_call(started_at=T0 - 170 * DAY)["id"]
        assert listed(aircall, "/v1/calls") == [young]

    def test_order(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_call(started_at=T0 - 10 + n)["id"] for n in range(5)]
        assert listed(aircall, "/v1/calls", order="desc", per_page=2, page=2) == [ids[2], ids[1]]

    def test_parts_that_were_not_asked_for_are_null_or_absent(self, aircall: Aircall) -> None:
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

    def test_addresses_change_at_each_reading(self, aircall: Aircall) -> None:
        aircall.world.add_call(started_at=T0 - 500)
        first, second = (get(aircall, "/v1/calls").json()["calls"][0]["recording"] for _ in range(2))
        assert first != second

    def test_a_call_begins_ends_and_is_rewritten(self, aircall: Aircall) -> None:
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

    def test_search_filters(self, aircall: Aircall) -> None:
        user = aircall.world.add("users")["id"]
        tag = {"id": 9, "name": "VIP", "created_at": T0, "tagged_by": None}
        one = aircall.world.add_call(started_at=T0 - 20, direction="outbound", tags=[tag])["id"]
        two = aircall.world.add_call(
            started_at=T0 - 10, user=aircall.world.call_user(user), raw_digits="+33 1 99 00 11 22"
        )["id"]
        assert listed(aircall, "/v1/calls/search", direction="outbound") == [one]
        assert listed(aircall, "/v1/calls/search", user_id=user) == [two]
        assert listed(aircall, "/v1/calls/search", phone_number="+33199001122") == [two]
        assert listed(aircall, "/v1/calls/search", **{"tags[]": [9]}) == [one]
        assert listed(aircall, "/v1/calls/search", **{"tags[]": [9, 10]}) == []

    def test_single_calls(self, aircall: Aircall) -> None:
        call = aircall.world.add_call(started_at=T0 - 20)["id"]
        assert get(aircall, f"/v1/calls/{call}").json()["call"]["id"] == call
        assert get(aircall, "/v1/calls/1").status_code == 404


class TestContacts:
    def test_bounds_are_inclusive_and_on_creation_whatever_the_order(self, aircall: Aircall) -> None:
        ids = [aircall.world.add_contact(created_at=T0 - 10 + n)["id"] for n in range(5)]
        aircall.world.edit_contact(ids[1], at=T0)
        bounds = {"from": T0 - 10, "to": T0 - 8}
        assert listed(aircall, "/v1/contacts", **bounds) == ids[:3]
        assert listed(aircall, "/v1/contacts", order_by="updated_at", order="desc", **bounds) == [
            ids[1],
            ids[2],
            ids[0],
        ]

    def test_search(self, aircall: Aircall) -> None:
        mail = [{"id": 1, "label": "Work", "value": "ada@example.org"}]
        contact = aircall.world.add_contact(created_at=T0 - 5, emails=mail)["id"]
        aircall.world.add_contact(created_at=T0 - 4)
        assert listed(aircall, "/v1/contacts/search", email="ada@example.org") == [contact]
        number = aircall.world.contacts[contact]["phone_numbers"][0]["value"]
        assert listed(aircall, "/v1/contacts/search", phone_number=number) == [contact]
        assert get(aircall, f"/v1/contacts/{contact}").json()["contact"]["id"] == contact


class TestDirectory:
    def test_users(self, make_aircall: Callable[..., Aircall]) -> None:
        aircall = make_aircall()
        user = aircall.world.add("users", availability="in_call")
        shown = get(aircall, f"/v2/users/{user['id']}").json()["user"]
        assert shown == {k: v for k, v in user.items() if k != "availability"}
        assert get(aircall, "/v2/users/" + user["email"]).json()["user"] == shown
        assert get(aircall, f"/v1/users/{user['id']}/availability").json() == {"availability": "in_call"}
        assert get(aircall, "/v1/users").status_code == get(aircall, f"/v1/users/{user['id']}").status_code == 410

    def test_users_before_the_sunset(self, make_aircall: Callable[..., Aircall]) -> None:
        aircall = make_aircall(retired_users_v1=False)
        user = aircall.world.add("users")
        (old,) = get(aircall, "/v1/users").json()["users"]
        assert user.keys() - old.keys() == {"availability", "default_number_id", "substatus"}
        assert old["direct_link"].endswith(f"/v1/users/{user['id']}")

    def test_single_objects(self, aircall: Aircall) -> None:
        world = aircall.world
        user, number = world.add("users")["id"], world.add("numbers")["id"]
        world.user_numbers[user].append(number)
        assert [u["id"] for u in get(aircall, f"/v1/numbers/{number}").json()["number"]["users"]] == [user]
        (through_user,) = get(aircall, f"/v2/users/{user}/numbers").json()["numbers"]
        assert through_user["flow_editor_enabled"] is True
        tag, team, webhook = world.add("tags"), world.add("teams"), world.add("webhooks")
        assert get(aircall, f"/v1/tags/{tag['id']}").json() == {"tag": tag}
        assert get(aircall, f"/v1/teams/{team['id']}").json() == {"team": team}
        for identity in (webhook["webhook_id"], webhook["id"]):
            assert get(aircall, f"/v1/webhooks/{identity}").json() == {"webhook": webhook}

    def test_a_deleted_tag_leaves_past_calls(self, aircall: Aircall) -> None:
        tag = aircall.world.add("tags")["id"]
        tagged = [{"id": tag, "name": "VIP", "created_at": T0, "tagged_by": None}]
        aircall.world.add_call(started_at=T0 - 10, tags=tagged)
        aircall.world.delete("tags", tag)
        assert get(aircall, "/v1/calls").json()["calls"][0]["tags"] == []


def test_same_seed_same_data() -> None:
    sizes = {"calls": 300, "contacts": 100, "users": 5, "days": 20}
    one, two, other = (World.generate(seed=seed, now=NOW, **sizes) for seed in (7, 7, 8))
    for name in ("calls", "contacts", "kinds", "user_numbers"):
        assert json.dumps(getattr(one, name)) == json.dumps(getattr(two, name))
    assert json.dumps(one.calls) != json.dumps(other.calls)
    assert (len(one.calls), len(one.contacts), len(one.kinds["users"])) == (300, 100, 5)


def test_the_made_up_company_has_what_a_company_has() -> None:
    calls = World.generate(seed=1, now=NOW, calls=3_000, contacts=500).calls.values()
    for field, share in {
        "missed_call_reason": 0.1,
        "voicemail": 0.02,
        "transferred_to": 0.02,
        "tags": 0.1,
        "comments": 0.08,
        "answered_at": 0.6,
    }.items():
        assert len([call for call in calls if call[field]]) > share * len(calls)
    weekend = len([call for call in calls if (call["started_at"] // DAY + 3) % 7 > 4])
    assert 0 < weekend < 0.1 * len(calls)


class TestControl:
    def post(self, aircall: Aircall, path: str, body: Any) -> Any:
        return requests.post(f"{aircall.sandbox.url}/_sandbox/{path}", json=body, timeout=10).json()

    def test_records_come_change_and_go(self, aircall: Aircall) -> None:
        call = self.post(aircall, "calls", {"started_at": T0 - 10})["id"]
        url = f"{aircall.sandbox.url}/_sandbox/calls/{call}"
        requests.patch(url, json={"archived": True}, timeout=10)
        assert get(aircall, f"/v1/calls/{call}").json()["call"]["archived"] is True
        requests.delete(url, timeout=10)
        assert listed(aircall, "/v1/calls") == []
        tag = self.post(aircall, "tags", {"name": "VIP"})["id"]
        requests.delete(f"{aircall.sandbox.url}/_sandbox/tags/{tag}", timeout=10)
        assert listed(aircall, "/v1/tags") == []

    def test_the_clock_moves(self, aircall: Aircall) -> None:
        assert self.post(aircall, "clock", {"advance": 100}) == {"now": NOW + 100}
        assert self.post(aircall, "clock", {"set": NOW + 7}) == {"now": NOW + 7}

    def test_faults_and_requests(self, aircall: Aircall) -> None:
        self.post(aircall, "faults", {"status": 503, "times": 1})
        assert [get(aircall, "/v1/ping", x="y").status_code for _ in range(2)] == [503, 200]
        told = requests.get(f"{aircall.sandbox.url}/_sandbox/requests", params={"since": 1}, timeout=10).json()
        logged = {"method": "GET", "path": "/v1/ping", "query": {"x": "y"}, "status": 200, "at": NOW}
        assert told == {"count": 2, "requests": [logged]}


def test_a_fault_befalls_what_it_should(aircall: Aircall) -> None:
    aircall.sandbox.faults.append(Fault(path="/v1/tags", query={"page": "2"}, after=1, times=2, status=500))
    statuses = [get(aircall, "/v1/tags", page=page).status_code for page in (1, 2, 2, 2, 2)]
    assert statuses == [200, 200, 500, 500, 200]


class TestCommandLine:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tap_aircall.sandbox", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def test_a_port_in_use_gets_one_line(self) -> None:
        with Sandbox(World()) as sandbox:
            port = sandbox.url.rpartition(":")[2]
            done = self.run("--port", port, "--calls", "0", "--contacts", "0", "--users", "1")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"Port {port} cannot be used: ")
        assert line.endswith("Choose another with --port.")

    def test_a_bad_option_is_named(self) -> None:
        done = self.run("--calls", "-1")
        assert done.returncode == 2
        assert "argument --calls: must not be negative" in done.stderr

    def test_serves_and_ends_on_a_signal(self) -> None:
        command = [sys.executable, "-m", "tap_aircall.sandbox", "--port=0", "--calls=5", "--contacts=5", "--users=2"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        words = process.stdout.readline().replace(",", "").split()
        answer = requests.get(words[3] + "/v1/ping", auth=(words[5], words[7]), timeout=10)
        process.terminate()
        _, stderr = process.communicate(timeout=20)
        assert answer.json() == {"ping": "pong"}
        assert stderr == ""
