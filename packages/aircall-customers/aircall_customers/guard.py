"""The guard: one run per customer at a time, each starting from the state of the previous one.

It keeps the customers' records and states in one PostgreSQL database, and relies on nothing else:

- A run holds a session-level advisory lock while it is alive. The server releases the lock when the connection ends, so
  a killed run does not block others.
- Each run gets the next epoch, a fencing token. A state is written in a transaction that locks the customer's row and
  checks the epoch. A run that has been superseded can write nothing, even if its machine still believes that it holds
  the lock.
- All times are the database's; no other clock is read.
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
"""Environment variable: URL of the guard's database."""
DATABASE_HANDLE = "AIRCALL_DATABASE_HANDLE"
"""Environment variable: file descriptor that passes the URL to Meltano, but not to tap and target."""
CLAIM = "AIRCALL_CLAIM"
"""Environment variable: claim of the run that started Meltano; unset when a person runs it."""
LOCKS = 1_094_930_246
"""First half of the guard's advisory lock keys; the second half is the customer's number."""
SETUP = -1
"""Second half of the key for creating the tables; no customer has this number."""
CONNECTION: dict[str, Any] = {
    "application_name": "aircall-customers",
    "connect_timeout": 10,
    # A vanished machine loses its lock within about a minute, and a machine that lost the server notices as fast.
    # Statements take milliseconds; a session that hangs while it holds a row lock is ended by the server.
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
    """The guard cannot do what it was asked to; the message is one line with the solution."""


class RefusedError(GuardError):
    """Another run of the customer is in progress."""


class SupersededError(GuardError):
    """The run has lost its claim; another may have started."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The record of one customer. Times are the database's."""

    customer: str
    epoch: int
    """Number of the latest run; 0 before the first."""
    run: str | None
    """Who started the latest run; None once it has ended."""
    is_held: bool
    """Whether the latest run is alive. A run that is neither alive nor ended was killed."""
    began_at: datetime | None
    ended_at: datetime | None
    succeeded_at: datetime | None
    """End of the latest successful run."""
    calls_until: datetime | None
    """All calls that started until then are in the warehouse."""
    failures: int
    """Failures since the latest success."""
    error_kind: str | None
    error: str | None
    """Message of the latest failure, if no run has succeeded since."""
    marked_at: datetime | None
    """Since when Aircall is known to reject the credentials."""
    inbox_position: int | None
    """Position of the inbox when the latest run started."""
    alerted_for: str | None
    """Subject of the latest alert; None once the customer has recovered."""

    @property
    def was_killed(self) -> bool:
        """Whether the latest run died without reporting its end."""
        return self.run is not None and not self.is_held


class Claim(NamedTuple):
    """The right to load a customer and to write its states."""

    customer: str
    epoch: int
    place: str | None = None
    """The schema and location that the run loads into; None if it does not load."""

    @override
    def __str__(self) -> str:
        """Serialize it for `parse`."""
        return json.dumps(self)

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Parse the output of `str`."""
        return cls(*json.loads(text))


def database_address() -> str:
    """Return the address of the database: from the run that started this process, else from the environment."""
    handle = os.environ.get(DATABASE_HANDLE)
    return os.pread(int(handle), 65_536, 0).decode() if handle else os.environ.get(DATABASE, "")


class Guard:
    """A connection to the database.

    Args:
        database: Its address, in any form that libpq takes.

    Raises:
        GuardError: If it cannot be used, now or in any method. The message does not reveal the address.
    """

    def __init__(self, database: str) -> None:
        try:
            self._connection = psycopg.connect(database, autocommit=True, row_factory=tuple_row, **CONNECTION)
            try:
                self._set_up()
            except BaseException:  # including signals: nothing else could close it
                self._connection.close()
                raise
        except psycopg.Error as error:
            raise _unusable(error) from error

    def _set_up(self) -> None:
        """Create the tables unless they exist."""
        # Not `to_regclass`, which may use a snapshot older than the lock.
        is_there = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'aircall_guard' AND pg_table_is_visible(oid))"
        if not self._value(is_there):
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, SETUP))
                if not self._value(is_there):
                    self._connection.execute(TABLES)
        self.id = str(self._value("SELECT id FROM aircall_guard"))
        """Identifier of this guard, since customers of another guard may have the same names."""

    def __enter__(self) -> Self:
        """Enter a block that closes the connection at its end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection, which frees its locks."""
        self._connection.close()

    def now(self) -> datetime:
        """Return the current time."""
        time: datetime = self._value("SELECT aircall_now()")
        return time

    def records(self, customers: Iterable[str] | None = None) -> dict[str, Record]:
        """Return the records of customers, by name; by default of all."""
        names = None if customers is None else list(customers)
        rows = self._execute(
            f"""SELECT customer, epoch, run, {HELD} AS is_held, began_at, ended_at, succeeded_at, calls_until,
                failures, error_kind, error, marked_at, inbox_position, alerted_for
            FROM aircall_customers WHERE %(names)s::text[] IS NULL OR customer = ANY(%(names)s)""",
            {"names": names},
        )
        rows.row_factory = class_row(Record)
        return {row.customer: row for row in rows}

    # For runs

    @contextmanager
    def claim(self, customer: str, run: str, *, inbox_position: int | None = None) -> Iterator[Claim]:
        """Claim a customer: no other run of it can start inside the block.

        Args:
            customer: Its name.
            run: Description of this run for others, such as its machine and process.
            inbox_position: Position of the inbox now.

        Raises:
            RefusedError: If another run holds it.
        """
        self._execute("INSERT INTO aircall_customers (customer) VALUES (%s) ON CONFLICT DO NOTHING", (customer,))
        number = self._value("SELECT number FROM aircall_customers WHERE customer = %s", customer)
        if not self._value("SELECT pg_try_advisory_lock(%s, %s)", LOCKS, number):
            holder = self._value("SELECT run FROM aircall_customers WHERE customer = %s", customer)
            message = f"Customer {customer} is already being loaded ({holder or 'it has just begun'}); this run ends."
            raise RefusedError(message)
        try:
            epoch = self._value(
                # A run that never reported its end was killed, which counts as a failure.
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
            yield Claim(customer, epoch)
        finally:
            with suppress(GuardError):  # a lost connection holds no lock
                self._value("SELECT pg_advisory_unlock(%s, %s)", LOCKS, number)

    def check(self, claim: Claim) -> None:
        """Check that a claim is still valid.

        Raises:
            SupersededError: If it is not, or the database does not respond.
        """
        try:
            held = self._value(
                f"SELECT {HELD} AND epoch = %s FROM aircall_customers WHERE customer = %s", claim.epoch, claim.customer
            )
        except GuardError as error:
            message = (
                f"Customer {claim.customer}: the database connection was lost, and the claim with it; this run ends."
            )
            raise SupersededError(message) from error
        if not held:
            raise self._superseded(claim)

    def end(
        self,
        claim: Claim,
        error_kind: str | None = None,
        error: str | None = None,
        *,
        is_final: bool = False,
        calls_until: datetime | None = None,
    ) -> None:
        """Record how a run ended.

        Args:
            claim: The run.
            error_kind: None for success.
            error: The message.
            is_final: Whether retrying is pointless: Aircall rejects the credentials.
            calls_until: All calls that started until then are in the warehouse; None if unknown.

        Raises:
            SupersededError: If another run has started since.
        """
        failed = error_kind is not None
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
                "calls_until": calls_until,
                "kind": error_kind,
                "error": error,
                "final": failed and is_final,
            },
        )
        if not updated.rowcount:
            raise self._superseded(claim)

    def alerted(self, customer: str, subject: str | None) -> None:
        """Record the subject of an alert."""
        self._execute("UPDATE aircall_customers SET alerted_for = %s WHERE customer = %s", (subject, customer))

    # States

    def state(self, state_id: str, claim: Claim | None) -> State | None:
        """Return a state; None if there is none.

        Args:
            state_id: Its name.
            claim: Claim of the run that starts from it; None to only read it.

        Raises:
            SupersededError: If the claim is no longer valid.
        """
        if claim is not None:
            self.check(claim)
        text: str | None = self._value("SELECT state::text FROM aircall_states WHERE state_id = %s", state_id)
        return None if text is None else json.loads(text)

    def state_of(self, claim: Claim) -> State | None:
        """Return the state that a run wrote; None if it wrote none."""
        text: str | None = self._value(
            "SELECT state::text FROM aircall_states WHERE customer = %s AND epoch = %s", claim.customer, claim.epoch
        )
        return None if text is None else json.loads(text)

    def elsewhere(self, claim: Claim, job: str, schema: str) -> list[tuple[str, str]]:
        """Return the customer's states for a job that belong to another place: pairs of state id and place.

        States written by a person have no place, and are left out; older ones have only the schema.

        Args:
            claim: Claim of the run that would start from them.
            job: Meltano's name of the job without the customer, such as `tap-to-target`.
            schema: The customer's schema in the list; empty if it has none.
        """
        rows = self._execute(
            """SELECT state_id, coalesce(state->>'place', 'schema ' || (state->>'schema')) AS place FROM aircall_states
            WHERE customer = %s AND state_id LIKE '%%:' || %s || ':%%'
                AND coalesce(state->>'place' <> %s, state->>'schema' <> %s)""",
            (claim.customer, job, claim.place, schema),
        )
        return list(rows)

    def states(self, pattern: str = "%") -> list[str]:
        """Return the ids of the states that match an SQL LIKE pattern."""
        rows = self._execute("SELECT state_id FROM aircall_states WHERE state_id LIKE %s ORDER BY state_id", (pattern,))
        return [state_id for (state_id,) in rows]

    @contextmanager
    def writing(self, state_id: str, claim: Claim | None) -> Iterator[None]:
        """Lock a state for writing: inside the block, nothing else writes it or starts from it.

        Args:
            state_id: Its id.
            claim: Claim of the run that writes; None for a person, who may write only while no run is in progress.

        Raises:
            SupersededError: If the claim is no longer valid.
            RefusedError: If there is no claim, and a run is in progress.
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
        """Write a state, or delete it if it is None. Call it inside `writing`."""
        if state is None:
            self._execute("DELETE FROM aircall_states WHERE state_id = %s", (state_id,))
            return
        if claim is not None and claim.place is not None:
            state = {**state, "place": claim.place}
        self._execute(
            """INSERT INTO aircall_states VALUES (%s, %s, %s, %s, aircall_now())
            ON CONFLICT (state_id) DO UPDATE SET state = excluded.state, written_at = excluded.written_at,
                epoch = excluded.epoch, customer = coalesce(excluded.customer, aircall_states.customer)""",
            (state_id, claim and claim.customer, claim and claim.epoch, json.dumps(state)),
        )

    def _exclude_runs(self, state_id: str) -> None:
        """Keep runs of the state's customer from starting until the transaction ends."""
        row = self._execute(
            """SELECT customer, pg_try_advisory_xact_lock(%s, number) FROM aircall_customers
            WHERE customer = (SELECT customer FROM aircall_states WHERE state_id = %s) FOR UPDATE""",
            (LOCKS, state_id),
        ).fetchone()
        if row and not row[1]:
            message = f"Customer {row[0]} is being loaded; change its state after the load."
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
        "and that its user may create tables."
    )
