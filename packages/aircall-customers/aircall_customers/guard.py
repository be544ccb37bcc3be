"""The guard: what is known of each customer, who may load it now, and the states that its loads left.

All of it is in one PostgreSQL database, which is all that the guard relies on:

- A run holds a session's advisory lock for as long as it lives. The server frees it when the connection ends, in
  whatever way, so that a run that was killed keeps nobody waiting.
- Each run gets a number, one more than that of the run before it. A state is written in a transaction that locks the
  customer's row and finds the run's own number there. So a run that another has followed can write nothing, and each
  run begins from the state that the one before it left, even if a machine thinks wrongly that it holds the lock.
- The time of day is the database's. No other clock is asked.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import psycopg
from psycopg.rows import class_row, tuple_row
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

State: TypeAlias = dict[str, Any]

DATABASE = "AIRCALL_DATABASE"
"""The variable with the address of the guard's database."""
DATABASE_HANDLE = "AIRCALL_DATABASE_HANDLE"
"""The variable with the number of the open file by which a run tells Meltano the address, but not tap and target."""
CLAIM = "AIRCALL_CLAIM"
"""The variable with the claim of the run that Meltano is a part of; none when a person runs Meltano."""
LOCKS = 1_094_930_246
"""First half of the keys of our advisory locks; the second is the customer's number."""
SETUP = -1
"""Second half of the key under which the tables are made. No customer has it."""
CONNECTION: dict[str, Any] = {
    "application_name": "aircall-customers",
    "connect_timeout": 10,
    # A machine that has vanished keeps its lock for about a minute, and one that has lost the server knows as soon.
    # Nothing that is done here takes seconds, unless somebody who hangs has a lock; who hangs with one loses it.
    "options": "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    " -c statement_timeout=60s -c idle_in_transaction_session_timeout=30s",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

TABLES = """
CREATE TABLE aircall_customers (
    customer text PRIMARY KEY,
    number integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    epoch bigint NOT NULL DEFAULT 0,
    run text,
    began_at timestamptz,
    ended_at timestamptz,
    succeeded_at timestamptz,
    calls_until timestamptz,
    failures integer NOT NULL DEFAULT 0,
    error_kind text,
    error text,
    marked_at timestamptz,
    inbox_position bigint,
    alerted_for text
);
CREATE TABLE aircall_states (
    state_id text PRIMARY KEY,
    customer text REFERENCES aircall_customers,
    epoch bigint,
    state json NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE TABLE aircall_guard AS SELECT gen_random_uuid() AS id;
CREATE FUNCTION aircall_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
"""
HELD = f"""EXISTS (
    SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database() AND granted
      AND classid = {LOCKS} AND objid::bigint = number AND objsubid = 2
)"""


class GuardError(Exception):
    """What cannot be done, in one line that says what to do."""


class RefusedError(GuardError):
    """Another run of the customer is under way."""


class SupersededError(GuardError):
    """The run no longer holds its customer; another may have begun."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one customer. Times are those of the database."""

    customer: str
    epoch: int
    """The number of its latest run; 0 before the first."""
    run: str | None
    """Who began the latest run, until that has ended."""
    is_held: bool
    """Whether the latest run is alive. One that has not ended and is not alive was killed."""
    began_at: datetime | None
    ended_at: datetime | None
    succeeded_at: datetime | None
    """When the latest run ended that did all it should."""
    calls_until: datetime | None
    """How far calls have been read: all that began until then are in the warehouse."""
    failures: int
    """How many runs have failed since one succeeded."""
    error_kind: str | None
    error: str | None
    """The line that the latest failure left, if nothing has succeeded since."""
    marked_at: datetime | None
    """Since when it is known that Aircall lets us in no longer."""
    inbox_position: int | None
    """How far the inbox went when the latest run began."""
    alerted_for: str | None
    """What the latest alert was about; None when all was well after it."""

    @property
    def was_killed(self) -> bool:
        """Whether the latest run ended without a word."""
        return self.run is not None and not self.is_held


class Claim(NamedTuple):
    """The right to load a customer, and to write its states."""

    customer: str
    epoch: int
    schema: str | None = None
    """The schema that the states are about."""

    @override
    def __str__(self) -> str:
        """Return what `parse` reads."""
        return json.dumps(self)

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Read what `str` made of one."""
        return cls(*json.loads(text))


class Outcome(NamedTuple):
    """How a run ended."""

    error_kind: str | None = None
    """None if it succeeded."""
    error: str | None = None
    is_final: bool = False
    """Whether there is no use in trying again: Aircall lets us in no longer."""
    calls_until: datetime | None = None


def database_address() -> str:
    """Return the address of the database: from the run that this process is a part of, else from the environment."""
    handle = os.environ.get(DATABASE_HANDLE)
    return os.pread(int(handle), 65_536, 0).decode() if handle else os.environ.get(DATABASE, "")


class Guard:
    """A connection to the database.

    Args:
        database: Its address, as PostgreSQL's own tools take it.

    Raises:
        GuardError: If it cannot be used, now or later. The line does not show the address.
    """

    def __init__(self, database: str) -> None:
        try:
            self._connection = psycopg.connect(database, autocommit=True, row_factory=tuple_row, **CONNECTION)
            try:
                self._set_up()
            except BaseException:  # a signal, too: nobody else could close it
                self._connection.close()
                raise
        except psycopg.Error as error:
            raise _unusable(error) from error

    def _set_up(self) -> None:
        """Make the tables, if nobody has."""
        # Not by `to_regclass`, which may still answer what was true before the lock was had.
        is_there = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'aircall_guard' AND pg_table_is_visible(oid))"
        if not self._value(is_there):
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, SETUP))
                if not self._value(is_there):
                    self._connection.execute(TABLES)
        self.id = str(self._value("SELECT id FROM aircall_guard"))
        """Tells this guard from others, whose customers may have the same names."""

    def __enter__(self) -> Self:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the connection, and with it what it holds."""
        self._connection.close()

    def now(self) -> datetime:
        """Return the time of day."""
        time: datetime = self._value("SELECT aircall_now()")
        return time

    def records(self, customers: Iterable[str] | None = None) -> dict[str, Record]:
        """Return what is known of customers, by name; of all of them by default."""
        names = None if customers is None else list(customers)
        rows = self._execute(
            f"""SELECT customer, epoch, run, {HELD} AS is_held, began_at, ended_at, succeeded_at, calls_until,
                failures, error_kind, error, marked_at, inbox_position, alerted_for
            FROM aircall_customers WHERE %(names)s::text[] IS NULL OR customer = ANY(%(names)s)""",
            {"names": names},
        )
        rows.row_factory = class_row(Record)
        return {row.customer: row for row in rows}

    # What a run does

    @contextmanager
    def claim(
        self, customer: str, run: str, *, schema: str | None = None, inbox_position: int | None = None
    ) -> Iterator[Claim]:
        """Hold a customer, so that no other run of it can begin.

        Args:
            customer: Whom.
            run: What to tell others of this run, such as machine and process.
            schema: What the run loads into.
            inbox_position: How far the inbox goes now.

        Raises:
            RefusedError: If another run holds it.
        """
        self._execute("INSERT INTO aircall_customers (customer) VALUES (%s) ON CONFLICT DO NOTHING", (customer,))
        number = self._value("SELECT number FROM aircall_customers WHERE customer = %s", customer)
        if not self._value("SELECT pg_try_advisory_lock(%s, %s)", LOCKS, number):
            holder = self._value("SELECT run FROM aircall_customers WHERE customer = %s", customer)
            message = f"Customer {customer} is being loaded already ({holder or 'it has just begun'}); this run ends."
            raise RefusedError(message)
        try:
            epoch = self._value(
                # A run that said nothing at its end was killed, which counts as a failure.
                """UPDATE aircall_customers SET epoch = epoch + 1, run = %s, began_at = aircall_now(),
                    inbox_position = coalesce(%s, inbox_position),
                    failures = failures + (run IS NOT NULL)::int,
                    error_kind = CASE WHEN run IS NULL THEN error_kind ELSE 'Killed' END,
                    error = CASE WHEN run IS NULL THEN error ELSE 'The run was killed.' END
                WHERE customer = %s RETURNING epoch""",
                run,
                inbox_position,
                customer,
            )
            yield Claim(customer, epoch, schema)
        finally:
            with suppress(GuardError):  # a connection that is gone holds nothing
                self._value("SELECT pg_advisory_unlock(%s, %s)", LOCKS, number)

    def check(self, claim: Claim) -> None:
        """Make sure that a claim still holds.

        Raises:
            SupersededError: If it does not, or nobody can tell.
        """
        try:
            held = self._value(
                f"SELECT {HELD} AND epoch = %s FROM aircall_customers WHERE customer = %s", claim.epoch, claim.customer
            )
        except GuardError as error:
            message = f"Customer {claim.customer}: the database is gone, and the claim with it; this run ends."
            raise SupersededError(message) from error
        if not held:
            raise self._superseded(claim)

    def end(self, claim: Claim, outcome: Outcome) -> None:
        """Note how a run ended.

        Raises:
            SupersededError: If another has begun since.
        """
        failed = outcome.error_kind is not None
        updated = self._execute(
            """UPDATE aircall_customers SET run = NULL, ended_at = clock.now,
                succeeded_at = CASE WHEN %(failed)s THEN succeeded_at ELSE clock.now END,
                calls_until = coalesce(%(calls_until)s, calls_until),
                failures = CASE WHEN %(failed)s THEN failures + 1 ELSE 0 END,
                error_kind = %(kind)s, error = %(error)s,
                marked_at = CASE WHEN %(final)s THEN coalesce(marked_at, clock.now) END
            FROM (SELECT aircall_now() AS now) AS clock
            WHERE customer = %(customer)s AND epoch = %(epoch)s""",
            {
                **claim._asdict(),
                "failed": failed,
                "calls_until": outcome.calls_until,
                "kind": outcome.error_kind,
                "error": outcome.error,
                "final": failed and outcome.is_final,
            },
        )
        if not updated.rowcount:
            raise self._superseded(claim)

    def alerted(self, customer: str, subject: str | None) -> None:
        """Note what an alert was about."""
        self._execute("UPDATE aircall_customers SET alerted_for = %s WHERE customer = %s", (subject, customer))

    # States

    def state(self, state_id: str, claim: Claim | None) -> State | None:
        """Return a state; None if there is none.

        Args:
            state_id: Its name.
            claim: Of the run that is to begin from it; None to have a look.

        Raises:
            SupersededError: If the claim no longer holds.
        """
        if claim is not None:
            self.check(claim)
        text: str | None = self._value("SELECT state::text FROM aircall_states WHERE state_id = %s", state_id)
        return None if text is None else json.loads(text)

    def state_of(self, claim: Claim) -> State | None:
        """Return the state that a run left, if it left one."""
        text: str | None = self._value(
            "SELECT state::text FROM aircall_states WHERE customer = %s AND epoch = %s", claim.customer, claim.epoch
        )
        return None if text is None else json.loads(text)

    def elsewhere(self, claim: Claim, job: str) -> list[tuple[str, str]]:
        """Return the names of the customer's states for a job, with their schemas, where those are others.

        Of a state that a person has written nobody knows the schema.

        Args:
            claim: Of the run that is to begin from one of them.
            job: What Meltano calls it before the customer's name, such as `tap-to-target`.
        """
        rows = self._execute(
            """SELECT state_id, state->>'schema' FROM aircall_states
            WHERE customer = %s AND state_id LIKE '%%:' || %s || ':%%' AND state->>'schema' <> %s""",
            (claim.customer, job, claim.schema),
        )
        return list(rows)

    def states(self, pattern: str = "%") -> list[str]:
        """Return the names of states that are like an SQL pattern."""
        rows = self._execute("SELECT state_id FROM aircall_states WHERE state_id LIKE %s ORDER BY state_id", (pattern,))
        return [state_id for (state_id,) in rows]

    @contextmanager
    def writing(self, state_id: str, claim: Claim | None) -> Iterator[None]:
        """Make sure that until the end nobody else writes this state, or begins from it.

        Args:
            state_id: Its name.
            claim: Of the run that writes; None for a person, who may write while no run is under way.

        Raises:
            SupersededError: If the claim no longer holds.
            RefusedError: If there is none, and a run is under way.
        """
        try:
            with self._connection.transaction():
                if claim is None:
                    self._exclude_runs(state_id)
                elif not self._value(
                    "SELECT true FROM aircall_customers WHERE customer = %s AND epoch = %s FOR UPDATE",
                    claim.customer,
                    claim.epoch,
                ):
                    raise self._superseded(claim)
                yield
        except psycopg.Error as error:
            raise _unusable(error) from error

    def put(self, state_id: str, claim: Claim | None, state: State | None) -> None:
        """Write a state, or remove it for None. Only while `writing` it."""
        if state is None:
            self._execute("DELETE FROM aircall_states WHERE state_id = %s", (state_id,))
            return
        if claim is not None and claim.schema is not None:
            state = {**state, "schema": claim.schema}
        self._execute(
            """INSERT INTO aircall_states VALUES (%s, %s, %s, %s, aircall_now())
            ON CONFLICT (state_id) DO UPDATE SET state = excluded.state, written_at = excluded.written_at,
                epoch = excluded.epoch, customer = coalesce(excluded.customer, aircall_states.customer)""",
            (state_id, claim and claim.customer, claim and claim.epoch, json.dumps(state)),
        )

    def _exclude_runs(self, state_id: str) -> None:
        """Keep runs of a state's customer from beginning before the transaction ends."""
        row = self._execute(
            """SELECT customer, pg_try_advisory_xact_lock(%s, number) FROM aircall_customers
            WHERE customer = (SELECT customer FROM aircall_states WHERE state_id = %s) FOR UPDATE""",
            (LOCKS, state_id),
        ).fetchone()
        if row and not row[1]:
            message = f"Customer {row[0]} is being loaded; change its state when that has ended."
            raise RefusedError(message)

    def _superseded(self, claim: Claim) -> SupersededError:
        return SupersededError(f"Customer {claim.customer}: run {claim.epoch} lost its claim; this run ends.")

    def _execute(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            raise _unusable(error) from error

    def _value(self, query: str, *parameters: Any) -> Any:
        row = self._execute(query, parameters).fetchone()
        return row and row[0]


def _unusable(error: psycopg.Error) -> GuardError:
    return GuardError(
        f"The database of {DATABASE} cannot be used ({type(error).__name__}): check its address, that its server runs, "
        "and that its user may make tables."
    )
