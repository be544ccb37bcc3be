"""The guard: one run of a customer at a time, each from the state that the one before it left."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aircall_customers.guard import Claim, Guard, GuardError, RefusedError, SupersededError
from aircall_customers.local import make_database
from tests.messages import refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATE = "dev:tap-aircall-to-target:acme"


def cut_off(database: str) -> None:
    """End the connections of those who hold a customer, and wait until the server has freed their locks."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )


def kill(machine: Guard, database: str) -> None:
    """Close a machine's connection, and wait until the server has noticed."""
    pid = machine._connection.info.backend_pid  # noqa: SLF001 - which connection to wait for
    machine.close()
    with psycopg.connect(database, autocommit=True) as admin:
        while admin.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).rowcount:
            pass


def write(guard: Guard, claim: Claim | None, value: int) -> None:
    with guard.writing(STATE, claim):
        guard.put(STATE, claim, {"value": value})


def test_a_second_run_of_a_customer_is_refused_with_one_line(connect: Callable[[], Guard]) -> None:
    with connect().claim("acme", "machine 1"):
        with refused(RefusedError, "acme", "machine 1"), connect().claim("acme", "machine 2"):
            pass
        with connect().claim("globex", "machine 2") as other:
            assert other == Claim("globex", 1)


def test_a_run_that_was_killed_keeps_nobody_waiting_and_counts_as_a_failure(
    connect: Callable[[], Guard], database: str
) -> None:
    with ExitStack() as stack:
        killed = connect()
        first = stack.enter_context(killed.claim("acme", "machine 1"))
        write(killed, first, 1)
        kill(killed, database)

        guard = connect()
        record = guard.records()["acme"]
        assert record.was_killed
        with guard.claim("acme", "machine 2") as second:
            assert (second.epoch, guard.state(STATE, second)) == (2, {"value": 1})
            record = guard.records()["acme"]
            assert (record.failures, record.error_kind, record.is_held) == (1, "Killed", True)


def test_nothing_is_written_by_a_run_that_another_has_followed(connect: Callable[[], Guard]) -> None:
    machine, other = connect(), connect()
    with machine.claim("acme", "machine 1") as first:
        write(machine, first, 1)
    with other.claim("acme", "machine 2") as second:
        write(other, second, 2)
        attempts: list[Callable[[], object]] = [
            lambda: write(machine, first, 3),
            lambda: machine.check(first),
            lambda: machine.state(STATE, first),
            lambda: machine.end(first),
        ]
        for attempt in attempts:
            with refused(SupersededError, "acme", 1):
                attempt()
        assert other.state(STATE, second) == {"value": 2}


def test_a_run_waits_with_its_beginning_for_a_write_that_is_under_way(
    connect: Callable[[], Guard], database: str
) -> None:
    machine, other = connect(), connect()
    with ExitStack() as stack:
        first = stack.enter_context(machine.claim("acme", "machine 1"))
        states = connect()  # as Meltano has a connection of its own
        began = []

        def take_over() -> None:
            with other.claim("acme", "machine 2") as second:
                began.append(other.state(STATE, second))

        with states.writing(STATE, first):
            kill(machine, database)  # while its Meltano writes
            thread = threading.Thread(target=take_over)
            thread.start()
            states.put(STATE, first, {"value": 1})
            thread.join(0.2)
            assert began == []
        thread.join()

    assert began == [{"value": 1}]


def test_a_person_may_change_a_state_only_while_no_run_is_under_way(connect: Callable[[], Guard]) -> None:
    guard, person = connect(), connect()
    with guard.claim("acme", "machine 1") as claim:
        write(guard, claim, 1)
        with refused(RefusedError, "acme"):
            write(person, None, 2)
        assert guard.state(STATE, claim) == {"value": 1}

    write(person, None, 2)

    with guard.claim("acme", "machine 1") as claim:
        assert guard.state(STATE, claim) == {"value": 2}


def test_outcomes_are_kept(guard: Guard) -> None:
    until = datetime(2026, 11, 23, 13, tzinfo=UTC)
    with guard.claim("acme", "machine 1", inbox_position=7) as claim:
        guard.end(claim, calls_until=until)
    first = guard.records()["acme"]
    for _ in range(2):
        with guard.claim("acme", "machine 1") as claim:
            guard.end(claim, "LoginNeeded", "Please log in again.", is_final=True)
    failed = guard.records(["acme", "globex"])["acme"]
    with guard.claim("acme", "a person") as claim:
        guard.end(claim)
    well = guard.records()["acme"]

    assert (first.failures, first.calls_until, first.inbox_position, first.run) == (0, until, 7, None)
    assert first.began_at
    assert first.ended_at
    assert first.began_at <= first.ended_at == first.succeeded_at
    assert (failed.failures, failed.error_kind, failed.error) == (2, "LoginNeeded", "Please log in again.")
    assert (failed.succeeded_at, failed.calls_until) == (first.succeeded_at, until)
    assert failed.marked_at
    assert (well.failures, well.error, well.marked_at, well.epoch) == (0, None, None, 4)


def test_machines_that_begin_at_the_same_time_make_the_tables_once(postgres_server: Path) -> None:
    address = make_database(postgres_server, "at_once")
    ready, failures = threading.Barrier(4), []

    def begin() -> None:
        ready.wait()
        try:
            Guard(address).close()
        except GuardError as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


@pytest.mark.parametrize(
    "address",
    ["postgresql://me:secret@127.0.0.1:1/none", "nonsense secret", "postgresql://[secret", "host=/none/secret"],
)
def test_a_database_that_cannot_be_used_gets_one_line_without_its_address(address: str) -> None:
    with refused(GuardError, "AIRCALL_DATABASE") as raised:
        Guard(address)

    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_lost_connection_ends_the_run(connect: Callable[[], Guard], database: str) -> None:
    guard = connect()
    with guard.claim("acme", "machine 1") as claim:
        cut_off(database)
        with refused(SupersededError, "acme", "database"):
            guard.check(claim)

    with connect().claim("acme", "machine 2") as claim:
        assert claim.epoch == 2


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "write", "end", "kill", "cut"]), st.integers(0, 2)), min_size=1, max_size=30
)


@given(steps=STEPS)
@settings(
    max_examples=few_or_many(40, 1_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each history empties the database
)
def test_whatever_machines_do_each_run_begins_from_the_state_before_it(
    database: str, steps: list[tuple[str, int]]
) -> None:
    """Three machines load one customer; they are killed, or lose their lock and go on all the same."""
    machines = [Guard(database) for _ in range(3)]
    with psycopg.connect(database) as admin:
        admin.execute("TRUNCATE aircall_customers CASCADE")
    held: dict[int, ExitStack] = {}
    claims: dict[int, Claim] = {}
    truth: dict[str, int] | None = None
    latest = 0
    try:
        for value, (step, machine) in enumerate(steps):
            guard = machines[machine]
            if step == "begin" and machine not in held:
                stack = ExitStack()
                try:
                    claim = stack.enter_context(guard.claim("acme", f"machine {machine}"))
                except RefusedError:
                    assert held
                    continue
                assert not held
                assert claim.epoch == latest + 1
                assert guard.state(STATE, claim) == truth
                latest, held[machine], claims[machine] = claim.epoch, stack, claim
            elif step == "write" and machine in claims:
                if claims[machine].epoch == latest:
                    write(guard, claims[machine], value)
                    truth = {"value": value}
                else:
                    with pytest.raises(SupersededError):
                        write(guard, claims[machine], value)
            elif step == "end" and machine in held:
                guard.end(claims.pop(machine))
                held.pop(machine).close()
            elif step == "kill":
                kill(guard, database)
                claims.pop(machine, None)
                held.pop(machine, ExitStack()).pop_all()
                machines[machine] = Guard(database)
            elif step == "cut" and machine in held:  # it loses the lock, and does not know
                held.pop(machine).close()
    finally:
        for guard in machines:
            guard.close()
