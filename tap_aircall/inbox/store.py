"""The store of events: a SQLite file, or a PostgreSQL database that several receivers share.

The store is a log that readers follow by position. A reader that has seen a position never misses a lower one: each
writer holds a lock from before it assigns positions until they are visible. (With a PostgreSQL sequence alone,
position 7 may become visible before 6.) Positions are never reused, even after events are forgotten.

Error messages are one line, and never quote an event or the password in a URL.
"""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import filelock
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tap_aircall.errors import InboxError, InputError, needs_extra
from tap_aircall.http.decoding import decode
from tap_aircall.inbox.databases import (
    DAMAGED,
    NO_LOCKS,
    PATIENCE_SECONDS,
    PREFIX,
    has_locks,
    is_current,
    postgres_engine,
    sqlite_engine,
    translated_errors,
    url_of_file,
    url_of_server,
)
from tap_aircall.inbox.deliveries import LARGEST_BODY, MOST_VALUES
from tap_aircall.reading.conform import to_id
from tap_aircall.reading.times import DAY_MILLISECONDS, LAST_MILLISECONDS, event_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from tap_aircall.inbox.deliveries import EventRow

BATCH = 200
"""Events per query that reads or deletes them."""
BATCH_BYTES = 2 * LARGEST_BODY
"""Bytes of bodies per batch; only a single larger body may exceed it."""
FORGET_PAUSE_SECONDS = 0.05
"""Pause between deletions, to let other writers in; a deletion takes a fraction of it."""
MOST_OF_ONE = 1_000
"""Limit of events merged for one object, latest first; a message has a handful, of a few kB each."""
MOST_UNUSABLE_NAMED = 10
"""Limit of unusable events named in the log."""
IDS = 500
"""Ids per query."""
LOCK, REGISTERING = 0x616972_63616C6C, 0x616972_63616C6D
"""Keys of the PostgreSQL advisory locks for writing and for registering a webhook."""
SIZE, FORGOTTEN = "size:", "forgotten:"
"""Prefixes of keys in `meta`, each before a company's name: bytes of its bodies, and its last forgotten event, by
position and id."""
_KEPT = ("message.*", "group_message.*", "ai_voice_agent.*")
"""Events that `Inbox.forget` keeps: messages and sessions are merged from all their events, and exist nowhere else."""

logger = logging.getLogger(__name__)


_metadata = sa.MetaData()
_meta = sa.Table(
    "meta",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_webhooks = sa.Table(
    "webhooks",
    _metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("company", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("webhook_id", sa.Text),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", sa.JSON, nullable=False),
    sa.Column("registered_at", sa.BigInteger, nullable=False),
)
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("company", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("resource", sa.Text),
    sa.Column("object_type", sa.Text),
    sa.Column("object_id", sa.Text),
    sa.Column("happened_at", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("events_by_company", "company", "position"),
    sa.Index("events_by_object", "company", "object_type", "object_id", "position"),
    sqlite_autoincrement=True,
)
_SIZE = sa.func.length(_events.c.body).label("size")
"""Bytes of a body, which is ASCII."""
_INSERT: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
FIRST_SCHEMA, SCHEMA = "1", "2"
"""Versions of the schema, as `meta` records them."""


Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=LAST_MILLISECONDS)]


class Event(NamedTuple):
    """An event in the store."""

    position: int
    event_id: str
    company: str
    event: str
    """Name of the event, such as `call.tagged`."""
    object_type: str | None
    """Type of the object, such as `call`; None if unknown."""
    object_id: str | None
    happened_at: Moment
    """UNIX milliseconds, according to Aircall."""
    received_at: Moment
    """UNIX milliseconds."""
    body: dict[str, Any]
    """The delivery without its token; empty if unusable."""

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of the delivery; empty if it is not an object."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def number(self) -> int | None:
        """The id of the object as a number; None if it is not numeric."""
        return to_id(self.object_id)

    def second(self, name: str) -> int | None:
        """Return a time from `data` in UNIX seconds; None if missing or implausible."""
        told = event_milliseconds(self.data.get(name))
        if told is None or told < DAY_MILLISECONDS:  # some programs write 1 January 1970 for no time
            return None
        return told // 1000


_READ = [_events.c[name] for name in Event._fields]


class Webhook(NamedTuple):
    """A token that authenticates deliveries."""

    fingerprint: str
    company: str
    kind: str
    """`webhook` or `messages`; see `deliveries`."""
    webhook_id: str | None
    """Aircall's id; None for the messages of a number in proxy mode."""
    url: str
    events: list[str]
    """Names of the events to deliver; empty for all."""
    registered_at: int
    """UNIX milliseconds."""


class Inbox:
    """An open store; see `open`. Thread-safe."""

    def __init__(self, engine: sa.Engine, file: Path | None, patience: float) -> None:
        self.engine = engine
        self._file = file
        self._patience = patience
        self._unusable = 0
        """Number of unusable events so far."""

    @classmethod
    def open(cls, location: str, *, create: bool, patience: float = PATIENCE_SECONDS) -> Inbox:
        """Open a store.

        Args:
            location: Path of a SQLite file, or URL of a PostgreSQL database.
            create: Whether to create the store if there is none.
            patience: Seconds to wait for other writers.

        Raises:
            InputError: If the store is unusable, or does not exist and `create` is false.
        """
        file = None if "://" in location else Path(location).absolute()
        url = url_of_server(location) if file is None else url_of_file(file, create=create)
        try:
            engine = postgres_engine(url, patience) if file is None else sqlite_engine(url, file, patience)
        except ModuleNotFoundError as error:
            raise InputError(needs_extra(f"{PREFIX}: PostgreSQL", "inbox")) from error
        inbox = cls(engine, file, patience)
        try:
            with translated_errors():
                inbox._prepare(create=create)
        except InboxError as error:
            if file is not None and not has_locks(file.parent):  # SQLite takes this for another process's lock
                raise InputError(NO_LOCKS) from None
            raise InputError(str(error)) from None
        finally:
            engine.dispose()  # so that forked processes share no connection
        return inbox

    @property
    def inbox_id(self) -> str:
        """A random identifier of this store and its copies."""
        inbox_id = self._value("inbox_id")
        if not inbox_id:
            raise InboxError(DAMAGED)
        return inbox_id

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # For readers

    def companies(self) -> list[str]:
        """Return the names of all companies with webhooks or events, sorted."""
        stored = (company for company, size in self.sizes().items() if size)
        return sorted({*stored, *(webhook.company for webhook in self.webhooks())})

    def last_position(self, company: str) -> int:
        """Return the highest position of a company's events, including forgotten ones; 0 if there are none."""
        with self._reading() as connection:
            last = connection.scalar(sa.select(sa.func.max(_events.c.position)).where(_events.c.company == company))
        return max(last or 0, self.forgotten_position(company))

    def forgotten_position(self, company: str) -> int:
        """Return the highest position of a company's forgotten events; 0 if there are none."""
        with translated_errors():
            return _position_in(self._value(FORGOTTEN + company))

    def event_id(self, position: int) -> str | None:
        """Return the id of the event at a position, of any company.

        Returns:
            The id; None if there is none, or the event was forgotten and is not its company's last forgotten one.
        """
        key, value = _meta.c.key, _meta.c.value
        forgotten = sa.select(value).where(key.startswith(FORGOTTEN), value.startswith(f"{position} "))
        with self._reading() as connection:
            found = connection.scalar(sa.select(_events.c.event_id).where(_events.c.position == position))
            return found or (connection.scalar(forgotten) or "").partition(" ")[2] or None

    def events(self, company: str, after: int, through: int, *, kinds: Collection[str] = ()) -> Iterator[list[Event]]:
        """Read events after one position and up to another, in batches, in their order.

        `kinds` are names of events, or patterns with a `*`, such as `call.*`; empty for all.

        Raises:
            InboxError: If the store cannot be read.
        """
        position = _events.c.position
        wanted = sa.select(position, _SIZE).where(_events.c.company == company, position <= through, _are(kinds))
        while True:
            with self._reading() as connection:
                page = connection.execute(wanted.where(position > after).order_by(position).limit(BATCH)).all()
            for part in _bounded(page):
                if events := self._read(part):  # unless they were forgotten in the meantime
                    yield events
            if len(page) < BATCH:
                return
            after = page[-1].position

    def histories(
        self,
        company: str,
        object_type: str,
        object_ids: Collection[str],
        *,
        kinds: Collection[str],
        through: int,
        until: int,
    ) -> Iterator[list[Event]]:
        """Read the events about objects, one object at a time, so that only one history is in memory.

        Positions go up to `through`. Objects with an event after `until` are left out.

        Yields:
            The latest events about one object, up to `MOST_OF_ONE` and `BATCH_BYTES`, in the order of their positions.

        Raises:
            InboxError: If the store cannot be read.
        """
        position, object_id = _events.c.position, _events.c.object_id
        newest_first: dict[str, Any] = {"partition_by": object_id, "order_by": position.desc()}
        all_ids = sorted(set(object_ids))
        for first in range(0, len(all_ids), IDS):
            ids = all_ids[first : first + IDS]
            asked = (
                sa.values(sa.column("object_id", sa.Text), name="asked").data([(each,) for each in ids]).cte("asked")
            )
            theirs = sa.and_(
                _events.c.company == company,
                _events.c.object_type == object_type,
                position <= through,
                _are(kinds),
            )
            of_one = sa.and_(theirs, object_id == asked.c.object_id)
            last = sa.select(position).where(of_one).order_by(position.desc()).limit(1).scalar_subquery()
            complete = sa.select(asked.c.object_id).where(last <= until)
            ranked = sa.select(
                object_id,
                position,
                _SIZE,
                sa.func.row_number().over(**newest_first).label("place"),
                (sa.func.sum(_SIZE.element).over(**newest_first) - _SIZE.element).label("before"),
            ).where(theirs, object_id.in_(complete))
            all_of_them = ranked.subquery().c
            latest = sa.and_(all_of_them.place <= MOST_OF_ONE, all_of_them.before < BATCH_BYTES)
            wanted = sa.select(all_of_them.position, all_of_them.size).where(latest)
            with self._reading() as connection:
                rows = connection.execute(wanted.order_by(all_of_them.object_id, all_of_them.position)).all()
            events = (event for part in _bounded(rows) for event in self._read(part))
            for _, history in itertools.groupby(events, attrgetter("object_id")):
                yield list(history)

    # For the receiver

    def append(self, rows: Sequence[EventRow]) -> None:
        """Store events durably: they are on disk when the method returns. Idempotent.

        Raises:
            InboxError: If some or all of them could not be stored.
        """
        with self._writing() as connection:
            insert = _INSERT[self.engine.dialect.name](_events).on_conflict_do_nothing()
            insert = insert.returning(_events.c.company, _SIZE)
            added: Counter[str] = Counter()
            for company, size in connection.execute(insert, [row._asdict() for row in rows]):
                added[company] += size
            for company, size in added.items():
                self._grow(connection, company, size)

    def webhooks(self) -> list[Webhook]:
        """Return all known tokens, oldest first."""
        order = (_webhooks.c.registered_at, _webhooks.c.fingerprint)
        with self._reading() as connection:
            return [Webhook(*row) for row in connection.execute(sa.select(_webhooks).order_by(*order))]

    def sizes(self) -> dict[str, int]:
        """Return the size of each company's events in bytes, by company."""
        wanted = sa.select(_meta).where(sa.func.substr(_meta.c.key, 1, len(SIZE)) == SIZE)
        with self._reading() as connection:
            return {row.key.removeprefix(SIZE): int(row.value) for row in connection.execute(wanted)}

    def add_webhook(self, webhook: Webhook) -> None:
        """Add a token, or replace the entry of a known one."""
        values = webhook._asdict()
        with self._writing() as connection:
            connection.execute(_webhooks.delete().where(_webhooks.c.fingerprint == webhook.fingerprint))
            connection.execute(_webhooks.insert().values(values))

    def remove_webhook(self, fingerprint: str) -> None:
        """Remove a token."""
        with self._writing() as connection:
            connection.execute(_webhooks.delete().where(_webhooks.c.fingerprint == fingerprint))

    def check(self) -> None:
        """Check that events can be stored.

        Raises:
            InboxError: If it is not.
        """
        with self._writing() as connection:
            nothing = sa.select(_events).where(sa.false())
            connection.execute(_events.insert().from_select(_events.columns.keys(), nothing))
            self._set(connection, "checked", uuid.uuid4().hex)  # a new value; SQLite skips writes that change nothing

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Hold a lock that keeps other processes from registering webhooks.

        Raises:
            InboxError: If another process holds the lock for too long.
        """
        with ExitStack() as stack:
            with translated_errors():
                if self._file is not None:
                    lock = filelock.FileLock(f"{self._file.resolve()}.lock", timeout=self._patience, mode=0o600)
                    stack.enter_context(lock)
                else:
                    connection = stack.enter_context(self.engine.begin())
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REGISTERING)))
            yield

    def last_event(self, company: str) -> tuple[str, int] | None:
        """Return the name of a company's last event and when it arrived (UNIX milliseconds); None without events."""
        last = sa.select(_events.c.event, _events.c.received_at).where(_events.c.company == company)
        with self._reading() as connection:
            row = connection.execute(last.order_by(_events.c.position.desc()).limit(1)).first()
        return None if row is None else (row.event, row.received_at)

    def count_since(self, company: str, moment: int) -> int:
        """Count a company's events that arrived at a time (UNIX milliseconds) or later."""
        theirs = _events.c.company == company
        before = sa.select(_events.c.position).where(theirs, _events.c.received_at < moment)
        with self._reading() as connection:
            last = connection.scalar(before.order_by(_events.c.position.desc()).limit(1)) or 0
            since = sa.select(sa.func.count()).where(theirs, _events.c.position > last)
            return int(connection.scalar(since) or 0)

    def forget(self, company: str, before: int, *, everything: bool = False) -> int:
        """Delete a company's events that arrived before a time (UNIX milliseconds), and return their number.

        Those of messages and sessions stay, unless `everything` goes.
        """
        columns = (_events.c.position, _events.c.event_id, _SIZE)
        old = sa.select(*columns).where(_events.c.company == company, _events.c.received_at < before)
        if not everything:
            old = old.where(sa.not_(_are(_KEPT)))
        count, last = 0, 0
        while True:
            page = old.where(_events.c.position > last).order_by(_events.c.position).limit(BATCH)
            with self._writing() as connection:
                found = connection.execute(page).all()
                positions = [row.position for row in found]
                if not positions:
                    return count
                count, last = count + len(positions), positions[-1]
                connection.execute(_events.delete().where(_events.c.position.in_(positions)))
                if last > _position_in(self._value(FORGOTTEN + company, connection)):
                    self._set(connection, FORGOTTEN + company, f"{last} {found[-1].event_id}")
                self._grow(connection, company, -sum(row.size for row in found))
            time.sleep(FORGET_PAUSE_SECONDS)

    # Internals

    @property
    def _is_sqlite(self) -> bool:
        return self._file is not None

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translated_errors(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Run a transaction while no other writer runs one, and check that it went to the current file."""
        whole = False
        try:
            with translated_errors(), self.engine.begin() as connection:
                self._take_turn(connection)
                yield connection
                info = connection.info
            whole = self._file is None or is_current(self._file, info)
        finally:
            if not whole:
                self.engine.dispose()  # the next connection opens the current file
        if not whole:
            raise InboxError(f"{PREFIX}: {self._file} was removed, replaced, truncated or made read-only while in use.")

    def _take_turn(self, connection: sa.Connection) -> None:
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))

    def _read(self, positions: Sequence[int]) -> list[Event]:
        """Read the events at these positions, in that order."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(*_READ).where(_events.c.position.in_(positions))).all()
        found = {row.position: row for row in rows}
        there = (found[position] for position in positions if position in found)
        return [event for event in map(self._event, there) if event is not None]

    def _event(self, row: sa.Row[Any]) -> Event | None:
        """Return the event in a row: without a body that is damaged or exceeds today's limits; None if the rest is."""
        event, body, text = None, None, str(row.body)
        with suppress(ValueError, RecursionError):
            body = decode(text.encode()) if sum(map(text.count, ",{[")) <= MOST_VALUES else None
        is_whole = isinstance(body, dict)
        with suppress(msgspec.ValidationError):
            event = msgspec.convert((*row[:-1], body if is_whole else {}), Event)
        if event is None or not is_whole:
            self._unusable += 1
            if self._unusable <= MOST_UNUSABLE_NAMED:
                logger.warning("%s: the event at position %d cannot be used and is set aside.", PREFIX, row.position)
        return event

    def _value(self, key: str, connection: sa.Connection | None = None) -> str | None:
        wanted = sa.select(_meta.c.value).where(_meta.c.key == key)
        if connection is not None:
            return connection.scalar(wanted)
        with self._reading() as reading:
            return reading.scalar(wanted)

    def _grow(self, connection: sa.Connection, company: str, size: int) -> None:
        """Add to the recorded size of a company's events, in bytes."""
        key = SIZE + company
        self._set(connection, key, str(int(self._value(key, connection) or 0) + size))

    def _set(self, connection: sa.Connection, key: str, value: str) -> None:
        connection.execute(_meta.delete().where(_meta.c.key == key))
        connection.execute(_meta.insert().values(key=key, value=value))

    def _prepare(self, *, create: bool) -> None:
        """Create the tables, or upgrade those of version 1, which did not count bytes.

        Raises:
            InputError: If another program or version made them, or they are missing or old and `create` is false.
        """
        with self.engine.connect() as connection:
            if self._version(connection) == SCHEMA:
                return
        if not create:
            raise InputError(f"{PREFIX}: missing or of an older version; aircall-inbox serve creates or upgrades it.")
        with self._writing() as connection:
            version = self._version(connection)  # another process may have been faster
            if version is None:
                _metadata.create_all(connection, checkfirst=False)
                self._set(connection, "inbox_id", uuid.uuid4().hex)
            elif version == FIRST_SCHEMA:
                company = _events.c.company
                sizes = sa.select(SIZE + company, sa.cast(sa.func.sum(_SIZE.element), sa.Text)).group_by(company)
                connection.execute(_meta.insert().from_select(["key", "value"], sizes))
            self._set(connection, "schema", SCHEMA)

    def _version(self, connection: sa.Connection) -> str | None:
        """Return the version of the schema; None without tables."""
        there = set(sa.inspect(connection).get_table_names()) & set(_metadata.tables)
        if not there:
            return None
        version = self._value("schema", connection) if there == set(_metadata.tables) else None
        if version not in {FIRST_SCHEMA, SCHEMA}:
            raise InputError(
                f"{PREFIX}: another program or version of tap-aircall made its tables; choose another one."
            )
        return version


def _position_in(forgotten: str | None) -> int:
    """Return the position in a value of `FORGOTTEN`; 0 if there is none."""
    return int((forgotten or "0").partition(" ")[0])


def _bounded(rows: Iterable[sa.Row[Any]]) -> Iterator[list[int]]:
    """Yield the positions of rows in batches within the limits."""
    part: list[int] = []
    size = 0
    for row in rows:
        if part and (len(part) >= BATCH or size + row.size > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(row.position)
        size += row.size
    if part:
        yield part


def _are(kinds: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that an event has one of these names; `*` matches any text."""
    conditions = []
    for kind in kinds:
        start, star, end = kind.partition("*")
        name = _events.c.event
        # Not LIKE, which ignores case in SQLite.
        conditions.append(
            sa.and_(
                sa.func.length(name) >= len(start) + len(end),
                sa.func.substr(name, 1, len(start)) == start,
                sa.func.substr(name, sa.func.length(name) - len(end) + 1) == end,
            )
            if star
            else name == kind
        )
    return sa.or_(*conditions) if conditions else sa.true()
