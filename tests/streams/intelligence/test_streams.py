"""AI results: complete, without needless requests."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from aircall_sandbox.conversations import SUBJECTS
from tap_aircall.errors import InputError, RejectedRequestError, ResponseError
from tap_aircall.streams.intelligence.streams import CallIntelligence
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW
from tests.messages import each_names, names, refused, warnings

if TYPE_CHECKING:
    from tests.conftest import Aircall, Run

T0 = int(NOW)
MINUTE, HOUR, DAY = 60, 3600, 86_400

KINDS: dict[str, Any] = {
    "call_transcriptions": "transcription",
    "call_sentiments": "sentiments",
    "call_topics": "topics",
    "call_summaries": "summary",
    "call_custom_summaries": "custom_summary_result",
    "call_action_items": "action_items",
    "call_playbook_results": "playbook_result",
    "call_evaluations": "evaluations",
    "call_csat_predictions": "predicted_csat",
}
EDITABLE = ["call_custom_summaries", "call_action_items", "call_playbook_results", "call_evaluations"]
OTHERS = [name for name in KINDS if name not in EDITABLE]


def add_call(aircall: Aircall, ago: int, *kinds: str, talk: int | None = 55, **options: Any) -> int:
    """Add a call that began so many seconds ago, with these streams' AI results."""
    call_id: int = aircall.world.add_call(started_at=int(aircall.clock.now) - ago, talk_seconds=talk, **options)["id"]
    for kind in kinds:
        aircall.world.intelligence.add(call_id, KINDS[kind])
    return call_id


def asked(aircall: Aircall, before: int = 0) -> Counter[str]:
    """Count the requests for AI results, by call and kind."""
    paths = [log.path for log in aircall.sandbox.requests[before:]]
    return Counter(path.removeprefix("/v1/calls/") for path in paths if path.count("/") > 2)


def later(aircall: Aircall, run: Run, seconds: int, *streams: str, **settings: Any) -> Run:
    """Let time pass, and run again from the state."""
    aircall.clock.now += seconds
    return aircall.run(*streams, state=run.state, **settings)


class TestRecords:
    @pytest.mark.parametrize("is_wrapped", [True, False])
    def test_there_is_one_a_call(self, aircall: Aircall, is_wrapped: bool) -> None:
        aircall.world.intelligence.is_wrapped = is_wrapped
        call_id = add_call(aircall, 2 * HOUR)
        streams = [name for name in KINDS if name != "call_action_items"]
        sent = {stream: aircall.world.intelligence.add(call_id, KINDS[stream]) for stream in streams}
        add_call(aircall, 3 * HOUR)

        run = aircall.run(*streams)

        for stream in streams:
            assert run.records(stream) == [sent[stream]]
            assert run.types(stream) == ["SCHEMA", "RECORD"]  # no version: the target keeps its rows

    def test_there_is_one_for_each_action_item(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        aircall.world.subjects[call_id] = next(subject for subject in SUBJECTS if len(subject.actions) > 1)
        items = aircall.world.intelligence.add(call_id, "action_items")["action_items"]

        records = aircall.run("call_action_items").records("call_action_items")

        assert len(items) > 1
        assert records == [item | {"call_id": call_id} for item in items]

    @pytest.mark.parametrize(
        "payload",
        [[{"id": 1}], {"action_items": {"call_id": 5, "action_items": [{"id": 1}]}}, {"action_items": [{"id": 1}]}],
    )
    def test_action_items_come_in_any_envelope(self, aircall: Aircall, payload: Any) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        aircall.world.intelligence.add(call_id, "action_items", payload)

        assert aircall.run("call_action_items").records("call_action_items") == [{"id": 1, "call_id": call_id}]

    def test_undocumented_fields_are_passed_on(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR, "call_evaluations")
        aircall.world.intelligence.edit(call_id, "evaluations", mood={"a": [1]})

        (record,) = aircall.run("call_evaluations").records("call_evaluations")

        assert record["mood"] == {"a": [1]}

    def test_transcriptions_come_in_either_mode(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        add = aircall.world.intelligence.add
        after, during = (add(call_id, kind) for kind in ("transcription", "realtime_transcription"))

        (made_after,) = aircall.run("call_transcriptions").records("call_transcriptions")
        (made_during,) = aircall.run("call_transcriptions", transcription_mode="Realtime").records(
            "call_transcriptions"
        )

        assert made_after == after
        assert made_during == during
        assert after["content"] != during["content"]
        modes = [log.query["mode"] for log in aircall.sandbox.requests if log.path.endswith("/transcription")]
        assert modes == ["async", "realtime"]

    def test_a_realtime_transcription_may_be_flat(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        flat = {"call_id": call_id, "call_uuid": "CA1", "content": [{"text": "Hello", "language": "en"}]}
        aircall.world.intelligence.is_wrapped = False
        aircall.world.intelligence.add(call_id, "realtime_transcription", flat)

        (record,) = aircall.run("call_transcriptions", transcription_mode="realtime").records("call_transcriptions")

        assert record == flat | {"content": {"utterances": flat["content"]}}

    def test_playbook_results_come_with_their_playbook(self, aircall: Aircall) -> None:
        add_call(aircall, 2 * HOUR, "call_playbook_results")

        (record,) = aircall.run("call_playbook_results").records("call_playbook_results")

        assert record["playbook"]["name"] == "Good calls"

    def test_an_unknown_mode_gets_one_line(self, aircall: Aircall) -> None:
        with refused(InputError, "transcription_mode", "both", "async"):
            aircall.run("call_transcriptions", transcription_mode="both")


class TestWhichCalls:
    def test_only_calls_that_can_have_results_are_asked_for(self, aircall: Aircall) -> None:
        answered = add_call(aircall, 2 * HOUR)
        voicemail = add_call(aircall, 3 * HOUR, talk=None, leaves_voicemail=True)
        add_call(aircall, 4 * HOUR, talk=None)
        add_call(aircall, 5 * HOUR, talk=None, missed_call_reason="no_available_agent")

        aircall.run("call_topics")

        assert asked(aircall) == {f"{answered}/topics": 1, f"{voicemail}/topics": 1}

    def test_no_call_is_asked_for_before_it_has_settled(self, aircall: Aircall) -> None:
        long = add_call(aircall, 3 * HOUR, "call_topics", talk=3 * HOUR - 10 * MINUTE)
        short = add_call(aircall, 10 * MINUTE, "call_topics")
        going_on = add_call(aircall, HOUR, "call_topics", talk=2 * HOUR)

        run = aircall.run("call_topics")
        assert asked(aircall) == {}
        assert run.state["bookmarks"]["call_topics"]["later"].keys() == {"too_early", "asked_at"}
        run = later(aircall, run, 30 * MINUTE, "call_topics")
        assert sorted(record["call_id"] for record in run.records("call_topics")) == [long, short, going_on]
        run = later(aircall, run, 30 * HOUR, "call_topics")

        assert asked(aircall) == {f"{short}/topics": 1, f"{long}/topics": 1, f"{going_on}/topics": 1}

    @pytest.mark.parametrize("ages", [[], [168], [0.5, 6]])
    def test_a_call_is_asked_for_when_it_has_settled_whatever_the_ages(
        self, aircall: Aircall, ages: list[float]
    ) -> None:
        call_id = add_call(aircall, 10 * MINUTE, "call_topics")
        run = aircall.run("call_topics", reread_after_hours=ages)
        assert run.records("call_topics") == []

        run = later(aircall, run, HOUR, "call_topics", reread_after_hours=ages)

        assert [record["call_id"] for record in run.records("call_topics")] == [call_id]

    def test_calls_that_show_up_late_are_asked_for(self, aircall: Aircall) -> None:
        run = aircall.run("call_topics")
        call_id = add_call(aircall, 2 * HOUR, "call_topics", visible_at=NOW + 2 * HOUR)
        run = later(aircall, run, HOUR, "call_topics")
        assert run.records("call_topics") == []

        run = later(aircall, run, DAY, "call_topics")

        assert [record["call_id"] for record in run.records("call_topics")] == [call_id]

    def test_results_are_read_whether_or_not_calls_are_selected(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR, "call_topics")

        alone, together = aircall.run("call_topics"), aircall.run("call_topics", "calls")

        assert alone.ids("calls") == []
        assert together.ids("calls") == [call_id]
        assert alone.records("call_topics") == together.records("call_topics") != []
        assert alone.state["bookmarks"].keys() == {"call_topics"}
        assert alone.state["bookmarks"]["call_topics"] == together.state["bookmarks"]["call_topics"]

    def test_streams_share_the_pages_of_the_list(self, aircall: Aircall) -> None:
        add_call(aircall, 2 * HOUR, *KINDS)
        run = aircall.run("call_topics")
        alone = aircall.sandbox.requests[:]

        run = aircall.run(*KINDS)

        lists = [log for log in aircall.sandbox.requests[len(alone) :] if log.path == "/v1/calls"]
        assert len({str(log.query) for log in lists}) == len(lists)
        assert run.requests == len(lists) + len(KINDS)


class TestHowOften:
    def test_a_result_is_asked_for_once_when_it_exists(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR, *OTHERS)
        run = aircall.run(*OTHERS)

        for seconds in (HOUR, 5 * HOUR, DAY, 2 * DAY, 4 * DAY, 24 * DAY):  # past each age
            run = later(aircall, run, seconds, *OTHERS)
            assert [run.records(stream) for stream in OTHERS] == [[]] * len(OTHERS)

        assert asked(aircall) == {f"{call_id}/{KINDS[stream]}": 1 for stream in OTHERS}

    def test_results_that_people_edit_are_asked_for_whenever_the_call_is_read(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR, *EDITABLE)
        run = aircall.run(*EDITABLE)
        edited: dict[str, Any] = {stream: {"updated_at": "2026-11-24T00:00:00.000Z"} for stream in EDITABLE}
        edited["call_action_items"] = {"action_items": [{"id": 1, "content": "Done"}]}
        for stream, edit in edited.items():
            aircall.world.intelligence.edit(call_id, KINDS[stream], **edit)

        run = later(aircall, run, 2 * DAY, *EDITABLE)

        for stream in EDITABLE:
            (*_, record) = run.records(stream)
            expected = {"content": "Done"} if stream == "call_action_items" else edited[stream]
            assert record | expected == record
        assert asked(aircall) == {f"{call_id}/{KINDS[stream]}": 2 for stream in EDITABLE}

    def test_a_missing_result_is_asked_for_again_while_the_call_is_young(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        run = aircall.run("call_topics")
        for days in (1, 1, 1, 1, 3, 7, 30):
            run = later(aircall, run, days * DAY, "call_topics")

        # At first, and after one and three days.
        assert asked(aircall) == {f"{call_id}/topics": 3}

    def test_a_missing_result_is_asked_for_until_it_is_there(self, aircall: Aircall) -> None:
        call_id = add_call(aircall, 2 * HOUR)
        aircall.world.intelligence.add(call_id, "topics", visible_at=NOW + HOUR)
        run = aircall.run("call_topics")

        runs = []
        for _ in range(9):
            run = later(aircall, run, 7 * HOUR, "call_topics")
            runs.append(len(run.records("call_topics")))

        assert runs == [1, 0, 0, 0, 0, 0, 0, 0, 0]
        assert asked(aircall) == {f"{call_id}/topics": 2}

    def test_old_calls_of_the_first_run_are_asked_for_once(self, aircall: Aircall) -> None:
        there, absent = add_call(aircall, 90 * DAY, "call_topics"), add_call(aircall, 80 * DAY)
        run = aircall.run("call_topics")
        for _ in range(5):
            run = later(aircall, run, 10 * DAY, "call_topics")

        assert asked(aircall) == {f"{there}/topics": 1, f"{absent}/topics": 1}

    @pytest.mark.parametrize("width", [1, 8])
    def test_a_first_run_makes_hardly_more_requests_than_there_are_results(self, aircall: Aircall, width: int) -> None:
        streams = ("call_transcriptions", "call_summaries", "call_action_items")
        eligible = [add_call(aircall, 90 * DAY - n * HOUR, *streams) for n in range(60)]
        for n in range(15):
            add_call(aircall, 90 * DAY - n * HOUR - 1, talk=None)

        run = aircall.run(*streams, max_concurrent_requests=width)

        assert [record["call_id"] for record in run.records("call_transcriptions")] == eligible
        for_calls = sum(log.path == "/v1/calls" for log in aircall.sandbox.requests)
        assert run.requests - for_calls <= 1.05 * len(streams) * len(eligible)
        assert set(asked(aircall).values()) == {1}

    def test_the_state_does_not_grow_with_the_calls(self, aircall: Aircall) -> None:
        sizes = []
        for _ in range(2):
            for n in range(30):
                add_call(aircall, 100 * DAY - n * HOUR, "call_topics")
            sizes.append(len(json.dumps(aircall.run("call_topics").state)))

        assert sizes[0] == sizes[1] < 1_000


class TestFailures:
    @pytest.mark.parametrize(("count", "width"), [(1, 1), (2, 8), (3, 1), (60, 8)])
    def test_an_account_without_the_plan_costs_one_line(
        self, aircall: Aircall, count: int, width: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        aircall.world.intelligence.plan = False
        for n in range(count):
            add_call(aircall, 2 * DAY + n)
        aircall.world.add("tags", name="VIP")

        run = aircall.run("call_topics", "calls", "tags", max_concurrent_requests=width)

        assert len(asked(aircall)) == min(count, 3)
        each_names(warnings(caplog), ("call_topics", "2026-11-24T12:59:59Z", 403))
        assert (len(run.records("calls")), len(run.records("tags"))) == (count, 1)

    def test_refused_calls_do_not_stop_the_stream(self, aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
        calls = [add_call(aircall, 2 * DAY - n, "call_topics") for n in range(30)]
        aircall.world.intelligence.denied_calls = {*calls[:2], *calls[5:20]}

        run = aircall.run("call_topics")

        assert [record["call_id"] for record in run.records("call_topics")] == [*calls[2:5], *calls[20:]]
        denied = [*calls[:2], *calls[5:20]]
        each_names(warnings(caplog), *(("call_topics", call_id, 403) for call_id in denied[:10]))
        assert any(names(line, "call_topics", 17, "refused") for line in caplog.messages)

    @pytest.mark.parametrize("status", [400, 404])
    def test_a_call_without_results_is_no_failure(self, aircall: Aircall, status: int) -> None:
        calls = [add_call(aircall, 2 * DAY - n, "call_topics") for n in range(5)]
        aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{calls[1]}/", status=status))

        run = aircall.run("call_topics")

        assert [record["call_id"] for record in run.records("call_topics")] == [calls[0], *calls[2:]]

    def test_a_call_that_the_list_shows_oddly_is_named(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = [add_call(aircall, 2 * HOUR - n, "call_topics") for n in range(30)]

        def spoil(payload: Any) -> Any:
            for call in payload.get("calls", ()):
                if call["id"] == calls[3]:
                    call["started_at"] = "?"
            return payload

        aircall.sandbox.faults.append(Fault(path="/v1/calls", times=99, mutate=spoil))

        run = aircall.run("call_topics")

        assert [record["call_id"] for record in run.records("call_topics")] == [*calls[:3], *calls[4:]]
        each_names(warnings(caplog), ("call_topics", calls[3]))

    def test_an_answer_that_is_not_recognised_is_set_aside_and_stops_nothing(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = [add_call(aircall, 2 * HOUR - n, "call_topics") for n in range(30)]
        odd: list[Any] = [{"sentiments": {"content": ["x"]}}, ["topics"], "topics", {"topic": "billing"}]
        for call, answer in zip(calls[3:7], odd, strict=True):
            lie = partial(lambda said, _: said, answer)
            aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{call}/", times=99, mutate=lie))

        run = first = aircall.run("call_topics")

        assert [record["call_id"] for record in first.records("call_topics")] == [*calls[:3], *calls[7:]]
        each_names(warnings(caplog), *(("call_topics", call, "'topic'") for call in calls[3:7]))
        assert [asked(aircall)[f"{call}/topics"] for call in calls[3:7]] == [3] * 4
        assert any(names(line, "call_topics", 4, "unusable") for line in caplog.messages)
        for _ in range(8):
            run = later(aircall, run, DAY, "call_topics")
            if run.records("call_topics"):
                break
        assert [record["call_id"] for record in run.records("call_topics")] == calls[3:7]  # after a week, as they are
        assert "later" not in run.state["bookmarks"]["call_topics"]

    def test_a_repaired_answer_is_read_at_the_next_age(self, aircall: Aircall) -> None:
        calls = [add_call(aircall, 2 * HOUR - n, "call_topics") for n in range(3)]
        aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{calls[1]}/", status=200, body=b'{"topics": {}}', times=3))
        run = aircall.run("call_topics")
        assert [record["call_id"] for record in run.records("call_topics")] == [calls[0], calls[2]]

        run = later(aircall, run, HOUR, "call_topics")

        assert [record["call_id"] for record in run.records("call_topics")] == [calls[1]]

    def test_many_answers_of_another_shape_fail_the_stream(self, aircall: Aircall) -> None:
        for n in range(30):
            add_call(aircall, 2 * HOUR - n, "call_topics")
        aircall.sandbox.faults.append(Fault(path="/v1/calls/", times=999, mutate=lambda _: {"subjects": ["billing"]}))

        with refused(ResponseError, "'topic'", stream="call_topics"):
            aircall.run("call_topics")

    def test_any_other_error_fails_the_stream(self, aircall: Aircall) -> None:
        calls = [add_call(aircall, 2 * DAY - n, "call_topics") for n in range(5)]
        aircall.sandbox.faults.append(Fault(path=f"/v1/calls/{calls[1]}/", status=410))

        with refused(RejectedRequestError, stream="call_topics"):
            aircall.run("call_topics")

    @pytest.mark.parametrize("die_after", [3, 61, 130])
    def test_a_state_that_calls_are_done_covers_their_results(self, aircall: Aircall, die_after: int) -> None:
        streams = ("calls", "call_topics", "call_action_items")
        calls = [add_call(aircall, 2 * DAY - n, *streams[1:]) for n in range(60)]

        killed = aircall.run(*streams, die_after=die_after)
        state = killed.states[-1] if killed.states else None
        resumed = aircall.run(*streams, state=state)

        for stream in streams[1:]:
            both = [record["call_id"] for run in (killed, resumed) for record in run.records(stream)]
            assert set(both) == set(calls), stream
        assert set(killed.ids("calls")) | set(resumed.ids("calls")) == set(calls)
        # A page of 50 calls with two kinds may be asked for again, and no more.
        assert sum(asked(aircall).values()) <= 2 * len(calls) + 2 * 50 + 8


def test_a_state_that_is_not_the_streams_gets_one_line(aircall: Aircall) -> None:
    state = {"bookmarks": {"call_topics": {"found": {"yesterday": [1]}}}}

    with refused(InputError, "State", "call_topics"):
        aircall.run("call_topics", state=state)


def test_every_kind_of_result_has_a_stream() -> None:
    assert [name for name, stream in STREAMS.items() if issubclass(stream, CallIntelligence)] == list(KINDS)
    assert not any(STREAMS[name].selected_by_default for name in KINDS)
