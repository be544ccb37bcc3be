"""Lists that cost a request per owner: read whole once the last reading is old enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import AircallError, InputError
from tests.clock import NOW
from tests.conftest import Run
from tests.messages import names, refused, warnings
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Aircall

HOUR, DAY = 3600, 86_400
USERS = 12


@pytest.fixture
def company(aircall: Aircall) -> Aircall:
    number = aircall.world.add("numbers")["id"]
    for _ in range(USERS):
        aircall.world.user_numbers[aircall.world.add("users")["id"]] = [number]
    return aircall


def run_at(hours: Iterable[int], aircall: Aircall, stream: str, state: Any = None, **settings: Any) -> dict[int, Run]:
    """Run at these hours, each time from the state of the run before."""
    runs: dict[int, Run] = {}
    for hour in hours:
        aircall.clock.now = NOW + hour * HOUR
        run = runs[hour] = aircall.run(stream, state=state, **settings)
        state = run.state
    return runs


def test_they_are_read_once_a_day(company: Aircall) -> None:
    runs = run_at([0, 1, 2, 23, 24, 25], company, "user_numbers")

    assert [hour for hour, run in runs.items() if run.records("user_numbers")] == [0, 24]
    assert [run.requests for run in runs.values()] == [1 + USERS, 0, 0, 0, 1 + USERS, 0]


def test_daily_runs_that_begin_unevenly_read_them_every_time(company: Aircall) -> None:
    run = company.run("user_numbers")
    for uneven in (-300, 200, 0):
        company.clock.now += DAY + uneven
        run = company.run("user_numbers", state=run.state)
        assert len(run.records("user_numbers")) == USERS


@pytest.mark.parametrize(("hours", "read"), [(0, [0, 1, 2, 3]), (1, [0, 1, 2, 3]), (3, [0, 3])])
def test_the_setting_says_how_often(company: Aircall, hours: float, read: list[int]) -> None:
    runs = run_at(range(4), company, "user_numbers", owned_lists_every_hours=hours)

    assert [hour for hour, run in runs.items() if run.requests] == read


def test_a_run_in_between_sends_the_target_nothing(company: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    first = company.run("users", "user_numbers")
    company.clock.now += HOUR
    caplog.clear()
    with caplog.at_level("INFO"):
        second = company.run("users", "user_numbers", state=first.state)

    assert first.types("user_numbers") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]
    assert second.types("user_numbers") == []
    assert second.types("users") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]
    facts = ("user_numbers", "2026-11-24T12:59:59Z", "2026-11-23T12:59:59Z", "owned_lists_every_hours")
    told = [line for line in caplog.messages if names(line, *facts)]
    assert len(told) == 2  # its own line, and its row in the summary
    assert not warnings(caplog)


def test_rows_of_a_deleted_user_go_at_the_next_whole_reading(company: Aircall) -> None:
    gone = next(iter(company.world.kinds["users"]))
    state = company.run("user_numbers").state
    company.world.delete("users", gone)

    runs = run_at([23, 24], company, "user_numbers", state=state)

    assert runs[23].types("user_numbers") == []
    assert len(runs[24].records("user_numbers")) == USERS - 1
    assert runs[24].types("user_numbers") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]


@pytest.mark.parametrize("die_after", [1, 2, USERS + 1, USERS + 2, USERS + 3])
def test_a_run_that_is_killed_leaves_no_state_that_skips_them(company: Aircall, die_after: int) -> None:
    warehouse = Warehouse()
    stale = ("stale", 1)
    killed = company.run("user_numbers", die_after=die_after)
    warehouse.load(killed.messages)
    warehouse.tables.setdefault("user_numbers", {})[stale] = {}
    warehouse._versions.setdefault("user_numbers", {})[stale] = 1  # noqa: SLF001 - of a run before
    company.clock.now += HOUR

    warehouse.load(company.run("user_numbers", state=warehouse.state).messages)

    was_complete = any(message["type"] == "STATE" for message in killed.messages)
    assert was_complete == (die_after > USERS + 2)  # after schema, records and activation
    assert (stale in warehouse.tables["user_numbers"]) == was_complete
    assert len(warehouse.tables["user_numbers"].keys() - {stale}) == USERS


def test_the_next_run_repeats_a_failed_reading(company: Aircall) -> None:
    company.sandbox.faults.append(Fault(path="/v2/users/", after=5, status=400))
    run = Run()
    with pytest.raises(AircallError):
        company.tap(run, streams=("user_numbers",)).run()
    company.clock.now += HOUR

    again = company.run("user_numbers", state=run.states[-1] if run.states else None)

    assert len(again.records("user_numbers")) == USERS


def test_a_plan_that_lacks_one_is_asked_once_a_day(company: Aircall) -> None:
    company.world.optional.denied.add("dialer_campaigns")

    runs = run_at([0, 1, 23, 24], company, "dialer_campaigns")

    assert [hour for hour, run in runs.items() if run.requests] == [0, 24]
    assert runs[0].requests == 1 + 3


def test_refused_owners_cost_no_more_than_granted_ones(company: Aircall) -> None:
    users = list(company.world.kinds["users"])
    company.world.optional.denied_ids = set(users[1:3])
    company.world.optional.dialer_campaigns = {users[0]: {"id": 7, "number_id": "1", "phone_numbers": []}}

    runs = run_at(range(3), company, "dialer_campaigns")

    assert [run.requests for run in runs.values()] == [1 + USERS, 0, 0]
    assert [run.types("dialer_campaigns") for run in runs.values()] == [["SCHEMA", "RECORD"], [], []]


def test_a_state_of_a_clock_that_was_ahead_hides_nothing(company: Aircall) -> None:
    state = {"bookmarks": {"user_numbers": {"asked_at": "2026-11-23T13:05:00Z"}}}

    assert company.run("user_numbers", state=state).requests == 1 + USERS


def test_a_state_of_a_version_without_it_reads_them(company: Aircall) -> None:
    assert company.run("user_numbers", state={"bookmarks": {"user_numbers": {}}}).requests == 1 + USERS


@pytest.mark.parametrize("value", [-1, "often", 200_000])
def test_nonsense_gets_one_line(company: Aircall, value: Any) -> None:
    with refused(InputError, "owned_lists_every_hours"):
        company.tap(owned_lists_every_hours=value)


def test_now_is_the_time_of_aircall(company: Aircall) -> None:
    state = company.run("user_numbers").state

    assert state["bookmarks"]["user_numbers"] == {"asked_at": "2026-11-23T12:59:59Z"}
    assert int(NOW) % HOUR == 0
