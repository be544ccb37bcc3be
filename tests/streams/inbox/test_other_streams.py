"""Events and the streams that read Aircall's API: exactly the named records are read again, at once."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import AircallError, ForbiddenError, ResponseError
from tap_aircall.inbox.store import Inbox
from tests.messages import refused
from tests.streams.inbox.conftest import COMPANY, T0

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Run
    from tests.streams.inbox.conftest import Hooked

HOUR, DAY = 3_600, 86_400
AGES = {"reread_after_hours": [24, 720]}


class Company:
    """A company with old calls that the tap has read, and an empty inbox."""

    def __init__(self, hooked: Hooked, **options: Any) -> None:
        self.hooked = hooked
        self.world = hooked.aircall.world
        self.options = {**AGES, **options}
        self.calls: list[int] = []

    def add_calls(self, starts: list[int]) -> None:
        """Add calls that began so many seconds ago, oldest first, without events."""
        forwards = self.hooked.aircall.sandbox.webhooks.forwards
        kept = dict(forwards)
        forwards.clear()
        self.calls = [self.world.add_call(started_at=T0 - start)["id"] for start in sorted(starts, reverse=True)]
        forwards.update(kept)

    def tag(self, *calls: int) -> None:
        """Tag calls."""
        for call in calls:
            self.world.edit_call(call, tags=[{"id": 1, "name": "VIP", "created_at": T0, "tagged_by": None}])

    def run(self, *streams: str, state: Any = None, **options: Any) -> tuple[Run, list[str]]:
        """Run the tap; return the run, and what it asked for of calls and contacts by their ids."""
        asked = self.hooked.aircall.sandbox.requests
        before = len(asked)
        run = self.hooked.run(*(streams or ("calls",)), state=state, **{**self.options, **options})
        return run, [log.path for log in asked[before:] if log.path.count("/") > 2]


@pytest.fixture
def company(hooked: Hooked) -> Company:
    """A company that the tap has not read yet."""
    return Company(hooked)


def deliver(company: Company) -> None:
    """Deliver everything, and let a minute pass, so that runs do not meet the last seconds again."""
    company.hooked.deliver(200)


class TestCalls:
    def test_the_next_run_reads_an_edit_with_one_request(self, company: Company) -> None:
        company.add_calls([10 * DAY + n * HOUR for n in range(200)])
        state = company.run()[0].state

        company.tag(company.calls[77])
        deliver(company)
        quiet, _ = company.run(state=state, inbox=None)
        run, asked = company.run(state=state)

        assert [(r["id"], r["tags"][0]["name"]) for r in run.records("calls")] == [(company.calls[77], "VIP")]
        assert asked == [f"/v1/calls/{company.calls[77]}"]
        assert run.requests == quiet.requests + 1
        assert company.run(state=run.state)[0].records("calls") == []

    def test_neighbouring_calls_are_read_by_the_page(self, company: Company) -> None:
        company.add_calls([10 * DAY + n * 60 for n in range(250)])
        state = company.run()[0].state

        edited = company.calls[100:230:3]
        company.tag(*edited)
        deliver(company)
        quiet, _ = company.run(state=state, inbox=None)
        run, asked = company.run(state=state)

        assert run.ids("calls") == edited
        assert asked == []
        assert run.requests == quiet.requests + 3

    @pytest.mark.parametrize("gap", [1, 40, 3_000])
    def test_it_never_takes_more_requests_than_there_are_named_calls(self, company: Company, gap: int) -> None:
        company.add_calls([10 * DAY + n * gap for n in range(400)])
        state = company.run()[0].state
        edited = [company.calls[n] for n in (0, 3, 90, 180, 181, 182, 250, 399)]
        company.tag(*edited)
        deliver(company)

        quiet, _ = company.run(state=state, inbox=None)
        run, _ = company.run(state=state)

        assert sorted(run.ids("calls")) == sorted(edited)
        assert 0 < run.requests - quiet.requests <= len(edited)

    def test_more_calls_in_a_second_than_a_page_holds_are_read_by_their_ids(self, company: Company) -> None:
        company.add_calls([10 * DAY] * 120)
        state = company.run()[0].state
        company.tag(company.calls[5], company.calls[110])
        deliver(company)
        run, asked = company.run(state=state)
        assert sorted(run.ids("calls")) == [company.calls[5], company.calls[110]]
        assert asked == [f"/v1/calls/{company.calls[110]}"]

    def test_calls_that_are_read_anyway_cost_nothing_extra(self, company: Company) -> None:
        company.add_calls([10 * DAY])
        state = company.run()[0].state
        new = [company.world.add_call(started_at=T0 + 300 + n)["id"] for n in range(20)]
        company.hooked.aircall.clock.now += 1_000
        deliver(company)
        run, asked = company.run(state=state)
        assert (run.ids("calls"), asked) == (new, [])
        without, _ = company.run(state=state, inbox=None)
        assert without.requests == run.requests

    def test_without_an_inbox_nothing_changes(self, company: Company) -> None:
        company.add_calls([10 * DAY, 5 * DAY])
        first, _ = company.run(inbox=None)
        assert "inbox" not in first.state["bookmarks"]["calls"]
        company.tag(*company.calls)
        deliver(company)
        assert company.run(state=first.state, inbox=None)[0].records("calls") == []

    def test_a_state_without_a_position_starts_at_its_last_run(self, company: Company) -> None:
        company.add_calls([10 * DAY, 5 * DAY])
        company.tag(company.calls[0])
        deliver(company)
        state = company.run(inbox=None)[0].state
        company.hooked.aircall.clock.now += 600
        company.tag(company.calls[1])
        deliver(company)
        run, asked = company.run(state=state)
        assert (run.ids("calls"), asked) == ([company.calls[1]], [f"/v1/calls/{company.calls[1]}"])

    def test_a_position_in_another_inbox_is_ignored(self, company: Company, tmp_path: Path) -> None:
        company.add_calls([10 * DAY, 5 * DAY])
        state = company.run()[0].state
        company.hooked.location = str(tmp_path / "other.db")
        company.hooked.inbox = Inbox.open(company.hooked.location, create=True)
        company.hooked.aircall.clock.now += 600
        company.tag(company.calls[1])
        deliver(company)
        run, _ = company.run(state=state)
        assert run.ids("calls") == [company.calls[1]]
        assert run.state["bookmarks"]["calls"]["inbox"]["inbox"] == company.hooked.inbox.inbox_id
        company.hooked.inbox.close()

    def test_without_events_the_ages_still_catch_changes(self, company: Company) -> None:
        company.add_calls([DAY - HOUR])
        state = company.run()[0].state
        company.tag(company.calls[0])
        deliver(company)
        company.hooked.inbox.forget(COMPANY, before=int(company.hooked.aircall.clock.now * 1000) + 1)
        run, _ = company.run(state=state)
        assert run.records("calls") == []
        company.hooked.aircall.clock.now += 2 * HOUR
        assert company.run(state=run.state)[0].ids("calls") == company.calls

    def test_deleted_and_unlisted_calls_are_not_errors(self, company: Company) -> None:
        company.add_calls([10 * DAY, 8 * DAY, 5 * DAY])
        state = company.run()[0].state
        company.tag(*company.calls)
        deliver(company)
        company.world.delete_call(company.calls[0])
        company.hooked.tell("call.tagged", 300, id=4711)
        company.hooked.tell("call.tagged", 300, id="no id")
        run, _ = company.run(state=state)
        assert sorted(run.ids("calls")) == company.calls[1:]
        assert company.run(state=run.state)[1] == []

    @pytest.mark.parametrize("stream", ["calls", "contacts"])
    def test_one_that_is_refused_is_left_out_only_if_the_credentials_are_still_accepted(
        self, company: Company, stream: str
    ) -> None:
        company.add_calls([10 * DAY])
        contacts = [company.world.add_contact(created_at=T0 - days * DAY)["id"] for days in (2, 1)]
        named = {"calls": company.calls[0], "contacts": contacts[0]}[stream]
        state = company.run(stream)[0].state
        company.hooked.tell(f"{stream[:-1]}.updated", 300, id=named)
        faults = company.hooked.aircall.sandbox.faults
        faults += [Fault(path=f"/v1/{stream}/", status=403), Fault(path="/v1/ping", status=403, after=1)]
        with refused(ForbiddenError, "/v1/ping", stream=stream):
            company.run(stream, state=state)
        assert named in company.run(stream, state=state)[0].ids(stream)
        faults.append(Fault(path=f"/v1/{stream}/", status=403))
        assert named not in company.run(stream, state=state)[0].ids(stream)

    def test_calls_outside_the_extracted_period_are_ignored(self, company: Company) -> None:
        company.options["start_date"] = "2026-11-15T00:00:00Z"
        company.add_calls([10 * DAY, 5 * DAY])
        state = company.run()[0].state
        company.tag(*company.calls)
        deliver(company)
        company.hooked.tell("call.tagged", 200, id=company.calls[0])  # does not say when it began
        run, _ = company.run(state=state)
        assert run.ids("calls") == [company.calls[1]]

    def test_the_position_advances_only_after_reading_everything(self, company: Company) -> None:
        company.add_calls([10 * DAY + n * 3 * HOUR for n in range(60)])
        state = company.run()[0].state
        company.tag(*company.calls[::6])
        deliver(company)
        everything, _ = company.run(state=state)
        for die_after in range(2, len(everything.messages), 6):
            dead, _ = company.run(state=state, die_after=die_after)
            last = dead.states[-1] if dead.states else state
            again, _ = company.run(state=last)
            assert set(dead.ids("calls")) | set(again.ids("calls")) >= set(company.calls[::6])

    def test_a_failure_does_not_advance_the_position(self, company: Company) -> None:
        company.add_calls([10 * DAY])
        state = company.run()[0].state
        company.tag(*company.calls)
        deliver(company)
        company.hooked.aircall.sandbox.faults.append(Fault(path="/v1/calls/", status=409, times=1))
        with pytest.raises(AircallError):
            company.run(state=state)
        assert company.run(state=state)[0].ids("calls") == company.calls

    @pytest.mark.parametrize("other", [{}, {"call": None}, {"call": {"id": 1}}, []])
    def test_a_response_with_another_call_fails_the_stream(self, company: Company, other: Any) -> None:
        company.add_calls([10 * DAY])
        state = company.run()[0].state
        company.tag(*company.calls)
        deliver(company)
        faults = company.hooked.aircall.sandbox.faults
        faults.append(Fault(path="/v1/calls/", mutate=lambda _: other, times=inf))
        with refused(ResponseError, "call", stream="calls"):
            company.run(state=state)
        faults.clear()
        assert company.run(state=state)[0].ids("calls") == company.calls

    def test_reread_calls_have_the_fields_that_need_a_flag(self, company: Company) -> None:
        company.add_calls([10 * DAY])
        contact = company.world.add_contact(created_at=T0 - DAY)
        deliver(company)
        state = company.run()[0].state
        company.world.edit_call(company.calls[0], archived=True, contact=contact)
        deliver(company)
        (record,) = company.run(state=state)[0].records("calls")
        assert (record["archived"], record["contact"]["id"]) == (True, contact["id"])


class TestIntelligence:
    def test_an_announced_result_is_read_once(self, company: Company) -> None:
        company.add_calls([4 * DAY, 10 * 60])
        intelligence = company.world.intelligence
        deliver(company)
        run, asked = company.run("calls", "call_transcriptions")
        assert run.records("call_transcriptions") == []
        old, young = company.calls
        for call in company.calls:
            intelligence.add(call, "transcription")
        deliver(company)

        run, asked = company.run("calls", "call_transcriptions", state=run.state)
        assert sorted(r["call_id"] for r in run.records("call_transcriptions")) == [old, young]
        assert sorted(asked) == sorted(f"/v1/calls/{call}/transcription" for call in company.calls)

        company.hooked.aircall.clock.now += 2 * DAY
        run, asked = company.run("calls", "call_transcriptions", state=run.state)
        assert [path for path in asked if "transcription" in path] == []

    def test_an_edited_result_is_reread_at_once(self, company: Company) -> None:
        company.add_calls([4 * DAY])
        intelligence = company.world.intelligence
        intelligence.add(company.calls[0], "playbook_result")
        deliver(company)
        run, _ = company.run("call_playbook_results", "call_topics")
        intelligence.edit(company.calls[0], "playbook_result", adherence_score=0.25)
        deliver(company)
        run, asked = company.run("call_playbook_results", "call_topics", state=run.state)
        assert [r["adherence_score"] for r in run.records("call_playbook_results")] == [0.25]
        assert asked == [f"/v1/calls/{company.calls[0]}/playbook_result"]
        assert company.run("call_playbook_results", "call_topics", state=run.state)[1] == []

    def test_a_followed_call_is_read_once(self, company: Company) -> None:
        company.add_calls([4 * DAY])
        state = company.run("calls", "call_evaluations")[0].state
        company.tag(*company.calls)
        company.world.intelligence.add(company.calls[0], "evaluations")
        deliver(company)
        run, asked = company.run("calls", "call_evaluations", state=state)
        assert len(run.records("call_evaluations")) == len(run.records("calls")) == 1
        call = f"/v1/calls/{company.calls[0]}"
        assert asked == [call, f"{call}/evaluations"]

    def test_a_refused_announced_result_is_read_once_permitted(self, company: Company) -> None:
        company.add_calls([2 * DAY + n for n in range(5)])
        state = company.run("call_summaries")[0].state
        company.world.intelligence.plan = False
        for call in company.calls:
            company.world.intelligence.add(call, "summary")
        deliver(company)
        run, _ = company.run("call_summaries", state=state)
        assert run.records("call_summaries") == []
        company.world.intelligence.plan = True
        company.hooked.aircall.clock.now += DAY
        run, _ = company.run("call_summaries", state=run.state)
        assert sorted(r["call_id"] for r in run.records("call_summaries")) == company.calls

    def test_events_of_async_transcriptions_do_not_announce_realtime_ones(self, company: Company) -> None:
        company.options["transcription_mode"] = "realtime"
        company.add_calls([4 * DAY])
        state = company.run("call_transcriptions")[0].state
        company.world.intelligence.add(company.calls[0], "transcription")
        deliver(company)
        assert company.run("call_transcriptions", state=state)[1] == []


class TestContacts:
    def test_a_contact_whose_updated_at_did_not_change_is_read_by_id(self, company: Company) -> None:
        ids = [company.world.add_contact(created_at=T0 - DAY + n)["id"] for n in range(5)]
        deliver(company)
        state = company.run("contacts")[0].state
        phones = [{"id": 1, "value": "+33", "label": "Home"}]
        company.world.contacts[ids[1]]["phone_numbers"] = phones
        company.hooked.tell("contact.updated", 300, id=ids[1])
        run, asked = company.run("contacts", state=state)
        assert asked == [f"/v1/contacts/{ids[1]}"]
        assert [r["phone_numbers"] for r in run.records("contacts") if r["id"] == ids[1]] == [phones]
        assert company.run("contacts", state=run.state)[1] == []

    def test_a_listed_contact_costs_nothing_extra(self, company: Company) -> None:
        ids = [company.world.add_contact(created_at=T0 - DAY + n)["id"] for n in range(5)]
        deliver(company)
        state = company.run("contacts")[0].state
        company.hooked.aircall.clock.now += HOUR
        company.world.edit_contact(ids[1], at=company.hooked.aircall.clock.now, first_name="Grace")
        deliver(company)
        run, asked = company.run("contacts", state=state)
        assert (run.ids("contacts")[0], asked) == (ids[1], [])

    def test_a_deleted_or_unshared_contact_is_not_an_error(self, company: Company) -> None:
        ids = [company.world.add_contact(created_at=T0 - DAY + n)["id"] for n in range(5)]
        deliver(company)
        state = company.run("contacts")[0].state
        company.world.delete_contact(ids[1])
        company.world.contacts[ids[2]]["is_shared"] = False
        company.hooked.tell("contact.updated", 300, id=ids[2])
        deliver(company)
        run, asked = company.run("contacts", "deleted_objects", state=state)
        assert sorted(asked) == sorted(f"/v1/contacts/{each}" for each in ids[1:3])
        assert [r["object_id"] for r in run.records("deleted_objects")] == [str(ids[1])]
        assert not {ids[1], ids[2]} & set(run.ids("contacts"))

    def test_a_full_reading_reads_no_contact_by_id(self, company: Company) -> None:
        ids = [company.world.add_contact(created_at=T0 - DAY + n)["id"] for n in range(5)]
        deliver(company)
        company.hooked.tell("contact.updated", 300, id=ids[2])
        catalog = company.hooked.aircall.catalog("contacts")
        (entry,) = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == "contacts"]
        entry["replication_method"] = "FULL_TABLE"
        run = company.hooked.run(catalog=catalog)
        assert run.ids("contacts") == ids
        assert company.run("contacts")[1] == []
