"""Streams from a real inbox, filled over real HTTP."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_aircall.errors import InputError
from tap_aircall.inbox.deliveries import MESSAGES, WEBHOOK
from tap_aircall.inbox.store import Inbox, Webhook
from tap_aircall.reading.times import to_seconds
from tests.messages import each_names, names, refused, warnings
from tests.slow import few_or_many
from tests.streams.inbox.conftest import COMPANY, T0, said

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.streams.inbox.conftest import Hooked

HOUR = 3_600
ALL = (
    "messages",
    "group_messages",
    "ai_voice_agent_sessions",
    "call_events",
    "user_events",
    "deleted_objects",
    "webhook_events",
)


def last(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last record of each message."""
    return {record["id"]: record for record in records}


class TestMessages:
    def test_a_message_is_merged_from_all_its_events(self, hooked: Hooked) -> None:
        number = hooked.aircall.world.add("numbers", name="Sales")
        texts = hooked.aircall.sandbox.texts
        media = [{"file_name": "a.png", "file_type": "image/png", "presigned_url": "https://example.com/a?x"}]
        message = texts.add(direction="outbound", body="Hello", media_details=media, origin="native")
        texts.edit(message["id"], status="delivered")
        hooked.deliver()

        run = hooked.run("messages")

        (record,) = run.records("messages")
        assert record["id"] == message["id"]
        assert record["body"] == "Hello"
        assert record["status"] == "delivered"
        assert record["media_details"] == media
        assert record["number"]["id"] == number["id"]
        assert {record[name] for name in ("created_at", "updated_at", "sent_at")} == {"2026-11-23T13:00:00Z"}
        assert run.requests == 0

    def test_later_runs_read_new_messages(self, hooked: Hooked) -> None:
        texts = hooked.aircall.sandbox.texts
        first = texts.add(body="first")["id"]
        texts.add(body="second")
        hooked.deliver()
        run = hooked.run("messages")
        assert len(run.records("messages")) == 2
        assert run.state["bookmarks"]["messages"] == {
            "replication_key": "position",
            "replication_key_value": 2,
            "inbox": {
                "inbox": hooked.inbox.inbox_id,
                "company": COMPANY,
                "position": 2,
                "event": hooked.inbox.event_id(2),
            },
        }
        again = hooked.run("messages", state=run.state)
        assert (again.records("messages"), again.state) == ([], run.state)

        texts.edit(first, body=None)
        hooked.deliver()
        (record,) = hooked.run("messages", state=run.state).records("messages")
        assert (record["id"], record["body"], record["status"]) == (first, None, "received")

    def test_order_and_repetition_of_deliveries_do_not_matter(self, hooked: Hooked, tmp_path: Path) -> None:
        texts = hooked.aircall.sandbox.texts
        ids = [texts.add(body=str(n))["id"] for n in range(5)]
        for status in ("delivered", "read"):
            hooked.aircall.clock.now += 1
            for identity in ids[::2]:
                texts.edit(identity, status=status, body=None if status == "read" else "edited")
        hooked.deliver()
        deliveries = hooked.receiver.bodies
        expected = {key: (m["status"], m["body"]) for key, m in texts.messages.items()}

        for seed in range(4):
            hooked.location = str(tmp_path / f"{seed}.db")
            hooked.inbox = Inbox.open(hooked.location, create=True)
            dice = random.Random(seed)  # noqa: S311 - not for secrets
            state = None
            records = []
            for part in range(3):  # as they come over three runs
                hooked.put(*dice.sample(deliveries, len(deliveries) if part == 2 else 4))
                run = hooked.run("messages", state=state)
                state = run.state
                records += run.records("messages")
            hooked.inbox.close()
            assert {key: (r["status"], r["body"]) for key, r in last(records).items()} == expected

    def test_a_run_emits_a_message_once(self, hooked: Hooked) -> None:
        hooked.put(*(said("message.status_updated", n, id=f"m{n % 3}", status=str(n)) for n in range(1_000)))
        records = hooked.run("messages").records("messages")
        assert sorted((r["id"], r["status"]) for r in records) == [("m0", "999"), ("m1", "997"), ("m2", "998")]

    def test_after_a_killed_run_nothing_is_lost(self, hooked: Hooked) -> None:
        hooked.put(*(said("message.received", n, id=f"m{n:03d}", body=str(n)) for n in range(500)))
        found: dict[str, dict[str, Any]] = {}
        state, deaths = None, 0
        for die_after in (3, 150, 300, 450, None):
            run = hooked.run("messages", "webhook_events", state=state, die_after=die_after)
            deaths += die_after is not None
            state = run.states[-1] if run.states else state
            found |= last(run.records("messages"))
            positions = [record["position"] for record in run.records("messages")]
            assert positions == sorted(positions)
            if run.states and "position" in run.states[-1]["bookmarks"]["messages"].get("inbox", {}):
                done = run.states[-1]["bookmarks"]["messages"]["inbox"]["position"]
                assert {f"m{n:03d}" for n in range(done)} <= found.keys()
        assert (deaths, sorted(found)) == (4, [f"m{n:03d}" for n in range(500)])

    def test_messages_of_numbers_in_proxy_mode_are_read(self, hooked: Hooked) -> None:
        body = {"event_name": "message.received", "timestamp": T0 * 1000, "data": {"id": "p1", "body": "Hello"}}
        hooked.put(body, kind=MESSAGES)
        (record,) = hooked.run("messages").records("messages")
        assert (record["id"], record["body"], record["happened_at"]) == ("p1", "Hello", "2026-11-23T13:00:00Z")

    def test_unusable_values_are_named_once(self, hooked: Hooked, caplog: pytest.LogCaptureFixture) -> None:
        for n in range(3):
            hooked.tell("message.received", n, id=f"m{n}", number="planted words", created_at="planted words", body=7)
        records = hooked.run("messages").records("messages")
        assert [(r["body"], r["number"], r["created_at"]) for r in records] == [("7", None, None)] * 3
        odd = {"number": "planted words", "created_at": "planted words"}
        assert [r["additional_fields"] for r in records] == [odd] * 3
        (body, *lines) = sorted(warnings(caplog))
        assert names(body, "body", "messages")
        each_names(lines, *((name, "messages", "additional_fields") for name in ("created_at", "number")))

    def test_a_value_is_converted_to_the_type_of_its_field(self, hooked: Hooked) -> None:
        cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"body": {"text": "x"}}, {"body": '{"text":"x"}'}),
            ({"created_at": 1_795_438_800}, {"created_at": "2026-11-23T13:00:00Z"}),
            ({"created_at": 1_795_438_800_250}, {"created_at": "2026-11-23T13:00:00.250Z"}),
            ({"created_at": "1795438800000"}, {"created_at": "2026-11-23T13:00:00Z"}),
            ({"created_at": "2026-11-23T14:00:00+01:00"}, {"created_at": "2026-11-23T13:00:00Z"}),
            (
                {"media_url": ["a", 7]},
                {"media_url": ["a", "7"], "media_details": [{"presigned_url": "a"}, {"presigned_url": "7"}]},
            ),
            ({"media_url": "a"}, {"media_url": ["a"], "media_details": [{"presigned_url": "a"}]}),
            (
                {"media_url": [{"file_name": "b"}]},
                {"media_url": ['{"file_name":"b"}'], "media_details": [{"file_name": "b"}]},
            ),
            (
                {"media_url": "a", "media_details": [{"file_name": "b"}]},
                {"media_url": ["a"], "media_details": [{"file_name": "b"}]},
            ),
            ({"metadata": {"a": [1, {"b": None}]}}, {"metadata": {"a": [1, {"b": None}]}}),
            ({"number": {"id": "5", "x": 1}}, {"number": {"id": 5}, "additional_fields": {"number.x": 1}}),
            ({"media_details": ["x"]}, {"media_details": [], "additional_fields": {"media_details[]": ["x"]}}),
            ({"body": "x", "contact": {}}, {"body": "x"}),
            ({"mood": 1}, {"additional_fields": {"mood": 1}}),
        ]
        for number, (told, _) in enumerate(cases):
            hooked.tell("message.received", number, id=f"m{number:02}", **told)
        records = hooked.run("messages").records("messages")
        common = {"id", "position", "happened_at"}
        found = [{name: value for name, value in each.items() if name not in common} for each in records]
        assert found == [kept for _, kept in cases]

    def test_group_messages_have_their_id_under_either_name(self, hooked: Hooked) -> None:
        sent = hooked.aircall.sandbox.texts.add_to_group(direction="outbound")
        hooked.deliver()
        hooked.tell("group_message.status_updated", 60, group_message_id=sent["id"], status="delivered")
        (record,) = hooked.run("group_messages").records("group_messages")
        assert (record["id"], record["status"], record["participants"]) == (
            sent["id"],
            "delivered",
            sent["participants"],
        )


def test_sessions_of_voice_agents_are_merged(hooked: Hooked) -> None:
    call = hooked.aircall.world.add_call(started_at=T0 - HOUR)["id"]
    agent = hooked.aircall.sandbox.texts.voice_agent
    agent(call, "started", started_at=T0 * 1000, external_caller_number="+33")
    agent(call, "summary", extracted_data={"order": "4711"})
    agent(call, "ended", ended_at=T0 + 60, call_end_reason="answered")
    hooked.deliver()
    (record,) = hooked.run("ai_voice_agent_sessions").records("ai_voice_agent_sessions")
    expected = {
        "ai_voice_agent_session_id": f"session-{call}",
        "call_id": call,
        "started_at": "2026-11-23T13:00:00Z",
        "ended_at": "2026-11-23T13:01:00Z",
        "call_end_reason": "answered",
        "extracted_data": {"order": "4711"},
    }
    assert expected.items() <= record.items()


class TestEvents:
    def test_call_events_have_the_time_and_user_of_each_step(self, hooked: Hooked) -> None:
        ada, bob = ({"id": n, "name": f"User {n}"} for n in (1, 2))
        hooked.tell("call.ringing_on_agent", 1, id=7, user=ada, status="initial", contact={})
        hooked.tell("call.agent_declined", 4, id=7, user=ada)
        hooked.tell("call.hold", 60, id=7, user=bob)
        hooked.tell("call.transferred", 90, id=7, user=bob, transferred_to=ada, transferred_by=bob)
        hooked.tell("call.hungup", 99, id=7, hangup_cause="normal", external_transferred_to="+33")
        records = hooked.run("call_events").records("call_events")
        assert [(r["event"], r["happened_at"], r["call_id"], r["user_id"]) for r in records] == [
            ("call.ringing_on_agent", "2026-11-23T13:00:01Z", 7, 1),
            ("call.agent_declined", "2026-11-23T13:00:04Z", 7, 1),
            ("call.hold", "2026-11-23T13:01:00Z", 7, 2),
            ("call.transferred", "2026-11-23T13:01:30Z", 7, 2),
            ("call.hungup", "2026-11-23T13:01:39Z", 7, None),
        ]
        assert records[0]["contact"] is None
        assert (records[3]["transferred_to"]["id"], records[3]["transferred_by"]["id"]) == (1, 2)
        assert (records[4]["hangup_cause"], records[4]["external_transferred_to"]) == ("normal", "+33")

    def test_the_time_of_a_tag_is_found_under_either_name(self, hooked: Hooked) -> None:
        tags = [{"id": 1, "tagged_at": T0}, {"id": 2, "created_at": T0 + 1, "tagged_by": {}}, "x"]
        hooked.tell("call.tagged", 1, id=7, tags=tags)
        (record,) = hooked.run("call_events").records("call_events")
        assert [tag["created_at"][-6:] for tag in record["tags"]] == ["00:00Z", "00:01Z"]
        assert record["additional_fields"]["tags[]"] == ["x"]

    def test_user_events_have_v1_only_without_a_v2_twin(self, hooked: Hooked) -> None:
        hooked.tell("user.opened.v2", 1, id=5, name="Ada")
        hooked.tell("user.opened", 2, id=5, name="Ada")
        hooked.tell("user.opened", 2, id=6)
        hooked.tell("user.opened", 100, id=5)
        hooked.tell("user.wut_start", 1, id=5)
        records = hooked.run("user_events").records("user_events")
        assert [(r["event"], r["user_id"], r["happened_at"][-6:]) for r in records] == [
            ("user.opened.v2", 5, "00:01Z"),
            ("user.opened", 6, "00:02Z"),
            ("user.opened", 5, "01:40Z"),
            ("user.wut_start", 5, "00:01Z"),
        ]

    def test_events_that_happen_twice_are_not_twins(self, hooked: Hooked) -> None:
        user = hooked.aircall.world.add("users")["id"]
        hooked.aircall.world.edit("users", user, availability_status="unavailable", substatus="On a break")
        hooked.deliver()
        records = hooked.run("user_events").records("user_events")
        closed = [r["substatus"] for r in records if r["event"] == "user.closed.v2"]
        assert sorted(map(str, closed)) == ["None", "On a break"]
        assert not [r for r in records if r["event"] == "user.closed"]

    @settings(max_examples=few_or_many(5, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        logins=st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(-10, 10)), max_size=5), data=st.data()
    )
    def test_twins_are_one_record_in_either_order(
        self, hooked: Hooked, logins: list[tuple[bool, int, int]], data: st.DataObject
    ) -> None:
        told: list[tuple[str, int, str]] = []
        expected = []
        for at, (is_in_first, seconds, apart) in zip(range(0, 600, 60), logins, strict=False):
            second = [("user.opened.v2", at, "ab"[n]) for n in range(seconds)]
            first = [("user.opened", at + apart, "c")] if is_in_first else []
            told += second + first
            expected += second or first
        user = hooked.inbox.last_position(COMPANY) + 1
        state = hooked.run("user_events").state
        rows: dict[str, dict[str, Any]] = {}
        for event, at, substatus in data.draw(st.permutations(told)):
            hooked.tell(event, at, id=user, substatus=substatus)
            if data.draw(st.booleans()):
                run = hooked.run("user_events", state=state)
                state = run.state
                rows |= {r["event_id"]: r for r in run.records("user_events")}
        rows |= {r["event_id"]: r for r in hooked.run("user_events", state=state).records("user_events")}

        found = [(r["event"], to_seconds(r["happened_at"]) - T0, r["substatus"]) for r in rows.values()]
        assert sorted(found) == sorted(expected)

    def test_deleted_objects_have_one_record_per_object(self, hooked: Hooked) -> None:
        hooked.tell("contact.created", 0, id=9)
        hooked.tell("contact.deleted", 5, id=9)
        hooked.tell("user.deleted.v2", 7, id=3)
        hooked.tell("user.deleted", 7, id=3)
        hooked.tell("integration.deleted", 8, integration_id=4, company_id=1)
        run = hooked.run("deleted_objects")
        assert [(r["object_type"], r["object_id"], r["deleted_at"][-6:]) for r in run.records("deleted_objects")] == [
            ("contact", "9", "00:05Z"),
            ("user", "3", "00:07Z"),
            ("integration", "4", "00:08Z"),
        ]
        hooked.tell("contact.deleted", 50, id=9)  # repeated
        (again,) = hooked.run("deleted_objects", state=run.state).records("deleted_objects")
        assert again["deleted_at"][-6:] == "00:05Z"

    def test_webhook_events_have_everything_but_the_token(self, hooked: Hooked) -> None:
        webhook = next(iter(hooked.aircall.world.kinds["webhooks"].values()))
        hooked.put(
            {
                "resource": "moon",
                "event": "moon.landed",
                "timestamp": T0,
                "token": webhook["token"],
                "extra": [1],
                "data": {"big": 2**70, "token": "planted-token", "deep": {"Token": "planted-token", "x": None}},
            }
        )
        (record,) = hooked.run("webhook_events").records("webhook_events")
        assert record["body"] == {
            "resource": "moon",
            "event": "moon.landed",
            "timestamp": T0,
            "extra": [1],
            "data": {"big": 2**70, "deep": {"x": None}},
        }
        assert (record["event"], record["resource"], record["object_type"]) == ("moon.landed", "moon", None)
        assert len(record["event_id"]) == 32

    def test_no_event_ends_a_stream(self, hooked: Hooked) -> None:
        odd: list[Any] = [None, [], "x", {"id": {}}, {"user": 7, "id": 2**70}]
        events = ("call.x", "message.x", "group_message.x", "user.x", "contact.deleted", "ai_voice_agent.ended")
        hooked.put(*({"event": event, "data": data} for data in odd for event in events))
        run = hooked.run(*ALL)
        assert len(run.records("webhook_events")) == len(odd) * len(events)
        assert len(run.records("call_events")) == len(odd)

    def test_malicious_events_do_no_harm(self, hooked: Hooked, caplog: pytest.LogCaptureFixture) -> None:
        call = hooked.aircall.world.add_call(started_at=T0 - HOUR)["id"]
        state = hooked.run(*ALL, "calls", "contacts", "call_transcriptions").state
        edges = [
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59.999999Z",
            -(10**11),
            0,
            1,
            10**14,
        ]
        families = ("call.tagged", "contact.updated", "transcription.created", "message.sent", "user.opened.v2")
        wrong = ["9" * 199, "9" * 19, 2**63, 2**70, -1, 0, "0", "٣", "1" * 201, None, {}, "../users"]
        for family in families:
            for at in edges:
                times = dict.fromkeys(("started_at", "call_created_at", "created_at", "updated_at"), at)
                hooked.put({"event": family, "timestamp": at, "data": {"id": call, "call_id": call, **times}})
            for number in wrong:
                hooked.tell(family, 1, id=number, call_id=number)
        unknown: dict[str, Any] = {f"+33 6 12 34 56 {n:04d}": {} for n in range(2_000)}
        hooked.put(*(said("message.sent", n, id=f"m{n}", **unknown) for n in range(3)))
        hooked.aircall.sandbox.requests.clear()
        caplog.clear()

        run = hooked.run(*ALL, "calls", "contacts", "call_transcriptions", state=state)

        assert run.ids("calls") == [call]
        asked = {log.path for log in hooked.aircall.sandbox.requests if log.path.count("/") > 2}
        assert asked <= {f"/v1/{path}" for path in (f"calls/{call}", f"contacts/{call}", f"calls/{call}/transcription")}
        assert len(caplog.messages) < 200
        assert "33 6 12" not in caplog.text


class TestPositions:
    def test_a_batch_is_emitted_before_its_state(self, hooked: Hooked) -> None:
        hooked.put(*(said("call.created", n, id=n) for n in range(450)))
        run = hooked.run("call_events")
        emitted = 0
        for message in run.messages:
            if message["type"] == "RECORD":
                emitted = message["record"]["position"]
            elif message["type"] == "STATE" and (mark := message["value"]["bookmarks"]["call_events"].get("inbox")):
                assert mark["position"] <= emitted
        assert emitted == 450
        assert len([s for s in run.states if s["bookmarks"]["call_events"]]) >= 3

    def test_events_that_arrive_during_a_run_wait_for_the_next(self, hooked: Hooked) -> None:
        hooked.tell("call.created", 0, id=1)
        hooked.aircall.world.add("tags")

        def arrive(log: Any) -> None:
            if log.path == "/v1/ping":
                hooked.tell("call.created", 1, id=2)
            if log.path == "/v1/tags":
                hooked.tell("call.created", 2, id=3)

        hooked.aircall.sandbox.on_request = arrive
        run = hooked.run("tags", "call_events")
        hooked.aircall.sandbox.on_request = None
        assert [r["call_id"] for r in run.records("call_events")] == [1, 2]
        later = hooked.run("call_events", state=run.state)
        assert [r["call_id"] for r in later.records("call_events")] == [3]

    def test_events_forgotten_before_they_were_read_are_reported(
        self, hooked: Hooked, caplog: pytest.LogCaptureFixture
    ) -> None:
        hooked.tell("call.created", 0, id=1)
        state = hooked.run("call_events").state
        hooked.tell("call.created", 1, id=2)
        hooked.inbox.forget(COMPANY, before=int(hooked.aircall.clock.now * 1000) + 1)
        hooked.tell("call.created", 2, id=3)
        run = hooked.run("call_events", state=state)
        assert [r["call_id"] for r in run.records("call_events")] == [3]
        each_names(warnings(caplog), ("call_events",))

    @pytest.mark.parametrize("is_first", [False, True])
    def test_events_forgotten_during_a_run_are_reported(
        self, hooked: Hooked, caplog: pytest.LogCaptureFixture, *, is_first: bool
    ) -> None:
        hooked.tell("call.created", 0, id=1)
        state = None if is_first else hooked.run("call_events").state
        hooked.tell("call.created", 1, id=2)
        hooked.aircall.world.add("tags")

        def forget(log: Any) -> None:
            if log.path == "/v1/tags":
                hooked.inbox.forget(COMPANY, before=int(hooked.aircall.clock.now * 1000) + 1)

        hooked.aircall.sandbox.on_request = forget
        run = hooked.run("tags", "call_events", state=state)
        hooked.aircall.sandbox.on_request = None
        assert run.records("call_events") == []
        hooked.tell("call.created", 2, id=3)
        each_names(warnings(caplog), ("call_events",))
        hooked.run("call_events", state=run.state)
        assert len(warnings(caplog)) == 1

    @pytest.fixture(params=["sqlite", "postgresql"])
    def hooked_to(self, hooked: Hooked, request: pytest.FixtureRequest) -> Iterator[Hooked]:
        """The same with a store of each kind."""
        if request.param == "postgresql":
            hooked.location = request.getfixturevalue("postgres").url
            hooked.inbox = Inbox.open(hooked.location, create=True)
        yield hooked
        hooked.inbox.close()

    @given(restored=st.integers(0, 9), more=st.integers(1, 30), is_forgotten=st.booleans())
    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_restore_is_noticed_even_after_more_events(
        self, hooked_to: Hooked, restored: int, more: int, *, is_forgotten: bool
    ) -> None:
        hooked = hooked_to
        is_file = hooked.inbox.engine.dialect.name == "sqlite"
        before = hooked.inbox.last_position(COMPANY)
        hooked.put(*(said("message.sent", n, id=f"{before} {n}") for n in range(10)))
        state = hooked.run("messages").state
        if is_forgotten:
            hooked.inbox.add_webhook(Webhook("token", COMPANY, WEBHOOK, None, "https://hooks.example.com", [], 0))
            hooked.inbox.forget(COMPANY, before=int(hooked.aircall.clock.now * 1000) + 1, everything=True)
            state = hooked.run("messages", state=state).state
        with hooked.inbox.engine.begin() as connection:  # makes it what a copy from before would be
            connection.execute(sa.text("DELETE FROM meta WHERE key LIKE 'forgotten:%'"))
            connection.execute(sa.text("DELETE FROM events WHERE position > :last"), {"last": before + restored})
            last = before + restored
            connection.exec_driver_sql(
                f"UPDATE sqlite_sequence SET seq = {last}"
                if is_file
                else f"ALTER TABLE events ALTER COLUMN position RESTART WITH {last + 1}"
            )
        hooked.put(*(said("message.sent", 60 + n, id=f"new {before} {n}") for n in range(more)))

        with refused(InputError, "State", "messages", "position"):
            hooked.run("messages", state=state)

    def test_a_state_of_another_inbox_or_ahead_of_it_is_refused(self, hooked: Hooked, tmp_path: Path) -> None:
        hooked.tell("message.sent", 0, id="m")
        state = hooked.run("messages").state
        other = Inbox.open(str(tmp_path / "other.db"), create=True)
        hooked.location, hooked.inbox = str(tmp_path / "other.db"), other
        hooked.tell("message.sent", 0, id="m")
        with refused(InputError, "State", "messages", "setting inbox"):
            hooked.run("messages", state=state)
        state["bookmarks"]["messages"]["inbox"] |= {"inbox": other.inbox_id, "position": 2}
        with refused(InputError, "State", "messages", 2, 1):
            hooked.run("messages", state=state)
        state["bookmarks"]["messages"]["inbox"] |= {"position": 1, "company": "Globex"}
        with refused(InputError, "State", "messages", "inbox_company"):
            hooked.run("messages", state=state)
        other.close()

    @pytest.mark.parametrize("mark", [7, {}, {"inbox": "x", "company": "y", "position": "z"}])
    def test_a_malformed_state_is_refused(self, hooked: Hooked, mark: Any) -> None:
        with refused(InputError, "State", "messages"):
            hooked.run("messages", state={"bookmarks": {"messages": {"inbox": mark}}})


class TestSettings:
    def test_they_are_deselected_by_default(self, aircall: Aircall) -> None:
        tap = aircall.tap()
        assert not [name for name in ALL if tap.streams[name].selected]

    @pytest.mark.parametrize("stream", ALL)
    def test_a_stream_without_an_inbox_is_one_clear_line(self, aircall: Aircall, stream: str) -> None:
        with refused(InputError, f"'{stream}'", "setting inbox"):
            aircall.run(stream, "tags")
        assert {log.path for log in aircall.sandbox.requests} == {"/v1/ping"}

    def test_a_missing_inbox_is_one_clear_line(self, hooked: Hooked) -> None:
        for stream in ("messages", "calls", "contacts", "call_topics"):
            with refused(InputError, "Setting inbox", "/nowhere.db"):
                hooked.run(stream, inbox="/nowhere.db")

    def test_with_several_companies_one_must_be_named(self, hooked: Hooked) -> None:
        hooked.tell("call.created", 0, id=1)
        hooked.tell("call.created", 0, "Globex", id=2)
        with refused(InputError, "inbox_company", "Acme", "Globex"):
            hooked.run("call_events")
        with refused(InputError, "inbox_company", "Globe", "Globex"):
            hooked.run("call_events", inbox_company="Globe")
        run = hooked.run("call_events", inbox_company="Globex")
        assert [r["call_id"] for r in run.records("call_events")] == [2]

    def test_an_empty_inbox_gives_no_records_and_no_state(self, hooked: Hooked) -> None:
        run = hooked.run(*ALL)
        assert [run.records(stream) for stream in ALL] == [[]] * len(ALL)
        assert not any(run.state["bookmarks"].values())

    def test_a_connection_test_reads_one_record(self, hooked: Hooked) -> None:
        hooked.tell("call.created", 0, id=1)
        hooked.aircall.tap(inbox=hooked.location, streams=ALL).try_streams()
