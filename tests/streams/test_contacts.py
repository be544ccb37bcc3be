"""Contacts over real HTTP: all of them, then changed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.reading.times import to_rfc3339
from tests.clock import NOW

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)
DAY = 86_400
SLOW = pytest.mark.slow


def add_contacts(aircall: Aircall, count: int) -> list[int]:
    """Add contacts, one a minute, the newest ten minutes old."""
    return [aircall.world.add_contact(created_at=T0 - 600 - 60 * (count - n))["id"] for n in range(count)]


def bookmark(state: dict[str, Any]) -> dict[str, Any]:
    contacts: dict[str, Any] = state["bookmarks"]["contacts"]
    return contacts


@pytest.mark.parametrize(
    ("count", "requests"),
    [(0, 2), (1, 3), *(pytest.param(*each, marks=SLOW) for each in ((10_000, 203), (10_001, 203), (11_000, 223)))],
)
def test_the_first_run_reads_all_past_the_cap(aircall: Aircall, count: int, requests: int) -> None:
    ids = add_contacts(aircall, count)

    run = aircall.run("contacts")

    assert run.ids("contacts") == ids
    assert run.requests == requests


@pytest.mark.usefixtures("low_cap")
@pytest.mark.parametrize(("count", "requests"), [(200, 7), (201, 7), (220, 7)])
def test_the_first_run_reads_all_past_a_low_cap(aircall: Aircall, count: int, requests: int) -> None:
    ids = add_contacts(aircall, count)

    run = aircall.run("contacts")

    assert run.ids("contacts") == ids
    assert run.requests == requests


@SLOW
def test_many_created_in_one_second_are_read(aircall: Aircall) -> None:
    """An import creates many at once, across the borders of a page and of a chunk."""
    ids = [aircall.world.add_contact(created_at=T0 - DAY + n // 900)["id"] for n in range(11_000)]

    assert aircall.run("contacts").ids("contacts") == ids


def test_later_runs_cost_what_changed(aircall: Aircall) -> None:
    ids = add_contacts(aircall, 400)
    state = aircall.run("contacts").state
    assert bookmark(state) == {"replication_key": "updated_at", "replication_key_value": to_rfc3339(T0 - 660)}

    for position, old in enumerate(ids[:120]):
        aircall.world.edit_contact(old, at=T0 + position, information="edited")
    new = aircall.world.add_contact(created_at=T0 + 500)["id"]
    aircall.clock.now += 3600
    run = aircall.run("contacts", state=state)

    assert run.ids("contacts") == [new, *reversed(ids[:120]), ids[-1]]
    assert run.requests == 3
    assert {r["information"] for r in run.records("contacts")[1:121]} == {"edited"}
    assert bookmark(run.state)["replication_key_value"] == to_rfc3339(T0 + 500)
    assert aircall.run("contacts", state=run.state).requests == 1


def test_an_edit_within_the_second_of_the_bookmark_arrives(aircall: Aircall) -> None:
    first, second = add_contacts(aircall, 2)
    aircall.world.edit_contact(first, at=T0 - 5)
    state = aircall.run("contacts").state
    aircall.world.edit_contact(second, at=T0 - 5)

    assert set(aircall.run("contacts", state=state).ids("contacts")) == {first, second}


@pytest.mark.usefixtures("low_cap")
def test_more_changes_than_the_cap_are_read_by_creation(aircall: Aircall) -> None:
    ids = add_contacts(aircall, 430)
    state = aircall.run("contacts").state
    for position, contact in enumerate(ids):
        aircall.world.edit_contact(contact, at=T0 + position // 10)
    aircall.clock.now += 7200

    run = aircall.run("contacts", state=state)

    assert set(run.ids("contacts")) == set(ids)
    assert bookmark(run.state)["replication_key_value"] == to_rfc3339(T0 + 429 // 10)
    assert aircall.run("contacts", state=run.state).requests == 1


@pytest.mark.parametrize(
    ("contacts", "die_after"), [(1_100, 2), (1_100, 800), pytest.param(10_500, 10_400, marks=SLOW)]
)
def test_a_killed_first_run_goes_on_and_misses_no_edit(aircall: Aircall, contacts: int, die_after: int) -> None:
    ids = add_contacts(aircall, contacts)

    killed = aircall.run("contacts", die_after=die_after)
    aircall.world.edit_contact(ids[3], at=T0 + 1, information="edited")
    resumed = aircall.run("contacts", state=killed.states[-1] if killed.states else None)
    later = aircall.run("contacts", state=resumed.state)

    together = killed.records("contacts") + resumed.records("contacts") + later.records("contacts")
    assert {record["id"] for record in together} == set(ids)
    assert {r["id"]: r["information"] for r in together}[ids[3]] == "edited"
    assert len(killed.ids("contacts")) + len(resumed.ids("contacts")) - len(ids) <= 1_000


def test_a_killed_later_run_reads_the_changes_again(aircall: Aircall) -> None:
    ids = add_contacts(aircall, 500)
    state = aircall.run("contacts").state
    for position, contact in enumerate(ids[:300]):
        aircall.world.edit_contact(contact, at=T0 + position)

    killed = aircall.run("contacts", state=state, die_after=120)
    resumed = aircall.run("contacts", state=killed.states[-1])

    assert bookmark(killed.states[-1]) == bookmark(state)
    assert set(resumed.ids("contacts")) >= set(ids[:300])


def test_values_reach_the_target_as_aircall_sent_them(aircall: Aircall) -> None:
    contact = aircall.world.add_contact(
        created_at=T0 - DAY,
        updated_at=T0 - 100,
        id=2**40,
        last_name=None,
        emails=[{"id": 2**33, "label": None, "value": "ada@example.org"}],
    )

    assert aircall.run("contacts").records("contacts") == [
        {**contact, "created_at": "2026-11-22T13:00:00Z", "updated_at": "2026-11-23T12:58:20Z"}
    ]


def test_start_date_is_for_calls_only(aircall: Aircall) -> None:
    ids = add_contacts(aircall, 3)

    assert aircall.run("contacts", start_date="2026-11-23").ids("contacts") == ids


def test_a_full_table_run_drops_deleted_contacts(aircall: Aircall) -> None:
    ids = add_contacts(aircall, 60)
    catalog = aircall.catalog("contacts")
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "contacts":
            entry["replication_method"] = "FULL_TABLE"

    run = aircall.run(catalog=catalog)

    assert run.ids("contacts") == ids
    assert run.types("contacts") == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]


def test_contacts_are_not_lost_when_this_clock_is_behind(aircall: Aircall) -> None:
    contacts = [aircall.world.add_contact(created_at=T0 - 30 + n)["id"] for n in range(60)]

    first = aircall.run("contacts")
    second = aircall.run("contacts", state=first.state)

    assert first.ids("contacts") == contacts
    assert set(second.ids("contacts")) <= set(contacts)


class TestTimesToCome:
    """A contact that claims to have changed in the future."""

    FAR = T0 + 10 * 365 * 86_400

    def test_hides_no_change_of_others(self, aircall: Aircall) -> None:
        honest, odd = (aircall.world.add_contact(created_at=T0 - 1000)["id"] for _ in range(2))
        aircall.world.edit_contact(odd, at=self.FAR)
        first = aircall.run("contacts")
        aircall.clock.now += 3600
        aircall.world.edit_contact(honest, at=T0 + 1800)

        second = aircall.run("contacts", state=first.state)

        assert bookmark(first.state)["replication_key_value"] == to_rfc3339(T0 - 1000)
        assert second.ids("contacts") == [odd, honest]
        assert bookmark(second.state)["replication_key_value"] == to_rfc3339(T0 + 1800)

    def test_a_bookmark_taken_from_it_is_ignored(self, aircall: Aircall) -> None:
        """A bookmark as earlier versions wrote it."""
        contact = aircall.world.add_contact(created_at=T0 - 1000)["id"]
        mark = {"replication_key": "updated_at", "replication_key_value": to_rfc3339(self.FAR)}

        run = aircall.run("contacts", state={"bookmarks": {"contacts": mark}})

        assert run.ids("contacts") == [contact]
        assert bookmark(run.state)["replication_key_value"] == to_rfc3339(T0 - 1000)

    def test_a_walk_that_would_end_with_it_starts_over(self, aircall: Aircall) -> None:
        contact = aircall.world.add_contact(created_at=T0 - 1000)["id"]
        backfill = {"bookmark": to_rfc3339(self.FAR), "created_through": to_rfc3339(T0)}

        run = aircall.run("contacts", state={"bookmarks": {"contacts": {"backfill": backfill}}})

        assert run.ids("contacts") == [contact]
        assert bookmark(run.state) == {"replication_key": "updated_at", "replication_key_value": to_rfc3339(T0 - 1000)}
