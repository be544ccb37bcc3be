"""Where events are kept: a SQLite file, or a PostgreSQL database that several receivers share.

It is a log that is read by position. Whoever has seen a position never misses a lower one: writers take turns, from
before they take numbers until the numbers are visible. A sequence of PostgreSQL alone gives out 6 before 7, and may
show 7 first. A position is never used twice, not even after events were forgotten.

Everything that can fail here ends in one line, which quotes neither an event nor the password in an address.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import sqlite3
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import filelock
import msgspec
import sqlalchemy as sa

from tap_aircall.errors import InboxError, InputError, needs_extra, reason_of
from tap_aircall.http.decoding import decode
from tap_aircall.inbox.deliveries import LARGEST_BODY, MOST_VALUES
from tap_aircall.reading.conform import to_id
from tap_aircall.reading.times import told_milliseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tap_aircall.inbox.deliveries import Row

T = TypeVar("T")

SETTING = "Setting inbox"
PATIENCE_SECONDS = 30.0
"""How long to wait for others who are writing."""
RETRY_SECONDS = 0.01
"""How long to wait before a file is switched to WAL again: the switch takes a few milliseconds."""
DAY = 86_400_000
"""Milliseconds. The first day of 1970 stands for no time in some programs."""
CONNECT_SECONDS = 5
"""How long to wait for a database server to answer at all."""
BATCH = 200
"""Events that are read, or forgotten, at once."""
BATCH_BYTES = 2 * LARGEST_BODY
"""Bytes of their bodies, unless a single one has more."""
PAUSE_SECONDS = 0.05
"""How long to let others write between two batches that are forgotten, which takes a fraction of that."""
MOST_OF_ONE = 1_000
"""Events about one object that are merged, the latest; of messages there are a handful, of which one has some KB."""
MOST_NAMED = 10
"""How many events that cannot be used are named."""
IDS = 500
"""Ids that are asked for at once."""
LOCK, REGISTERING = 0x616972_63616C6C, 0x616972_63616C6D
"""Numbers of the advisory locks that those who write to PostgreSQL, and who register, take in turn."""
SIZE, FORGOTTEN = "size:", "forgotten:"
"""How keys begin, before the name of a company, for the bytes of its bodies and the last position that is forgotten."""
_KEPT = ("message.*", "group_message.*", "ai_voice_agent.*")
"""What `Inbox.forget` keeps: messages and sessions are merged from all events of theirs, and exist nowhere else."""

logger = logging.getLogger(__name__)

_DAMAGED = f"{SETTING}: the store is damaged; restore it from a copy."
_NO_LOCKS = f"{SETTING}: the store cannot be used: {reason_of(OSError(errno.ENOLCK, ''))}."

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
_READ = [
    _events.c[name]
    for name in (
        "position",
        "event_id",
        "company",
        "event",
        "object_type",
        "object_id",
        "happened_at",
        "received_at",
        "body",
    )
]
_SIZE = sa.func.length(_events.c.body).label("size")
"""Bytes of a body, since it is ASCII."""
_GIVEN = [column for column in _events.columns if column.name != "position"]


def _insert(value: str, source: str) -> sa.TextClause:
    """Write the statement that stores rows.

    Args:
        value: SQL for a column of a row, by its place and type.
        source: SQL for all rows as JSON arrays.
    """
    names = ", ".join(column.name for column in _GIVEN)
    values = ", ".join(value.format(place=place, type=column.type) for place, column in enumerate(_GIVEN))
    insert = f"INSERT INTO events ({names}) SELECT {values} FROM {source} ON CONFLICT DO NOTHING"  # noqa: S608
    return sa.text(f"{insert} RETURNING company, length(body)")


_INSERT = {
    "sqlite": _insert("json_extract(value, '$[{place}]')", "json_each(:rows) WHERE true ORDER BY key"),
    "postgresql": _insert("CAST(value->>{place} AS {type})", "json_array_elements(CAST(:rows AS json))"),
}
"""Inserts rows, given as JSON in one piece: row by row, each would wait for the other threads of the server."""


def _first_schema(connection: sa.Connection) -> None:
    _metadata.create_all(connection, checkfirst=False)
    connection.execute(_meta.insert().values(key="inbox_id", value=uuid.uuid4().hex))


def _count_bytes(connection: sa.Connection) -> None:
    company = _events.c.company
    sizes = sa.select(SIZE + company, sa.cast(sa.func.sum(_SIZE.element), sa.Text)).group_by(company)
    connection.execute(_meta.insert().from_select(["key", "value"], sizes))


MIGRATIONS = (_first_schema, _count_bytes)
"""What leads from each version of the schema to the next; `meta` says how many of them a store has behind it."""


class Event(NamedTuple):
    """What Aircall told of one event."""

    position: int
    event_id: str
    company: str
    event: str
    """Its name, such as `call.tagged`."""
    object_type: str | None
    """What it is about, such as `call`; None where that cannot be told."""
    object_id: str | None
    happened_at: int
    """UNIX milliseconds, as Aircall says."""
    received_at: int
    """UNIX milliseconds."""
    body: dict[str, Any]
    """The delivery less its token; empty if it cannot be used."""

    @property
    def data(self) -> dict[str, Any]:
        """What it says of its object; nothing, where it says that in no form that is known."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def number(self) -> int | None:
        """The id of its object, where that is a number; None otherwise."""
        return to_id(self.object_id)

    def second(self, name: str) -> int | None:
        """Return a time that it says of its object (UNIX seconds); None if it says none that can be."""
        told = told_milliseconds(self.data.get(name))
        return None if told is None or told < DAY else told // 1000


class Webhook(NamedTuple):
    """A token by which deliveries prove themselves."""

    fingerprint: str
    company: str
    kind: str
    """`webhook` or `messages`; see `deliveries`."""
    webhook_id: str | None
    """Aircall's id; None where there is none, as for the messages of a number in proxy mode."""
    url: str
    events: list[str]
    """The events that are asked for; empty for all."""
    registered_at: int
    """UNIX milliseconds."""


class Inbox:
    """A store that is open; see `open`. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, file: Path | None, patience: float) -> None:
        self.engine = engine
        self._file = file
        self._patience = patience
        self._unusable = 0
        """How many events could not be used so far."""

    @classmethod
    def open(cls, location: str, *, create: bool, patience: float = PATIENCE_SECONDS) -> Inbox:
        """Open a store.

        Args:
            location: Path of a SQLite file, or address of a PostgreSQL database.
            create: Make the store if there is none, and bring its schema up to date.
            patience: Seconds to wait for others who are writing.

        Raises:
            InputError: If it cannot be used, or there is none and `create` is false.
        """
        file = None if "://" in location else Path(location).absolute()
        url = _url(location) if file is None else _url_of_file(file, create=create)
        try:
            engine = _postgres(url, patience) if file is None else _sqlite(url, file, patience)
        except ModuleNotFoundError as error:
            message = needs_extra(f"{SETTING}: PostgreSQL", "inbox")
            raise InputError(message) from error
        inbox = cls(engine, file, patience)
        try:
            with _explained():
                inbox._prepare(create=create)
        except InboxError as error:
            if file is not None and not _has_locks(file.parent):  # which SQLite takes for locked by somebody else
                raise InputError(_NO_LOCKS) from None
            raise InputError(str(error)) from None
        finally:
            engine.dispose()  # a process that is forked from here on shares no connection
        return inbox

    @property
    def inbox_id(self) -> str:
        """A random text that this store got when it was made; a copy of it has the same."""
        inbox_id = self._value("inbox_id")
        if not inbox_id:
            raise InboxError(_DAMAGED)
        return inbox_id

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    # For those who read

    def companies(self) -> list[str]:
        """Return the companies with webhooks or events, in the order of the alphabet."""
        with self._reading() as connection:
            companies = set(connection.scalars(sa.select(_webhooks.c.company).distinct()))
            first = sa.select(sa.func.min(_events.c.company))
            company = connection.scalar(first)
            while company is not None:  # a look into the index for each, where DISTINCT would read all of it
                companies.add(company)
                company = connection.scalar(first.where(_events.c.company > company))
        return sorted(companies)

    def last_position(self, company: str) -> int:
        """Return the highest position that an event of a company ever had, forgotten ones included; 0 for none."""
        with self._reading() as connection:
            last = connection.scalar(sa.select(sa.func.max(_events.c.position)).where(_events.c.company == company))
        return max(last or 0, self.forgotten_position(company))

    def first_position(self, company: str) -> int | None:
        """Return the lowest position of the events of a company that are there; None for none."""
        with self._reading() as connection:
            first = connection.scalar(sa.select(sa.func.min(_events.c.position)).where(_events.c.company == company))
        return None if first is None else int(first)

    def forgotten_position(self, company: str) -> int:
        """Return the highest position of a company's events that were forgotten: up to there, some are missing."""
        with _explained():
            return int(self._value(FORGOTTEN + company) or 0)

    def event_id(self, position: int) -> str | None:
        """Return the id of the event at a position, whatever company it is of; None if there is none, or no more."""
        with self._reading() as connection:
            return connection.scalar(sa.select(_events.c.event_id).where(_events.c.position == position))

    def events(self, company: str, after: int, through: int, *, kinds: Collection[str] = ()) -> Iterator[list[Event]]:
        """Read events in the order of their positions.

        Args:
            company: Whose.
            after: Only those of higher positions.
            through: None of a higher position.
            kinds: Names of events, or patterns with a `*`, such as `call.*`; empty for all.

        Yields:
            A batch of them.

        Raises:
            InboxError: If the store cannot be read.
        """
        position = _events.c.position
        wanted = sa.select(position, _SIZE).where(_events.c.company == company, position <= through, _are(kinds))
        while True:
            with self._reading() as connection:
                page = connection.execute(wanted.where(position > after).order_by(position).limit(BATCH)).all()
            for part in _bounded(page):
                if events := self._read(part):  # they may have been forgotten meanwhile
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
        """Read the events about some objects: one object after the other, so that only one history is in memory.

        Args:
            company: Whose.
            object_type: Type of the objects.
            object_ids: Their ids.
            kinds: As for `events`.
            through: No event of a higher position.
            until: Leave out objects that have an event of a higher position than this.

        Yields:
            The events about one object, in the order of their positions. Of more than `MOST_OF_ONE`, or more than
            `BATCH_BYTES`, it is the latest.

        Raises:
            InboxError: If the store cannot be read.
        """
        position, object_id = _events.c.position, _events.c.object_id
        newest_first: dict[str, Any] = {"partition_by": object_id, "order_by": position.desc()}
        for ids in _parts(sorted(set(object_ids)), IDS):
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

    def append(self, rows: Sequence[Row]) -> None:
        """Keep events for good: they are on disk when this returns. Those that are there already are left as they are.

        Raises:
            InboxError: If they could not be stored. Some may have been nevertheless; to append them again is safe.
        """
        with self._writing() as connection:
            insert = _INSERT[self.engine.dialect.name]
            added: Counter[str] = Counter()
            for company, size in connection.execute(insert, {"rows": msgspec.json.encode(rows).decode()}):
                added[company] += size
            for company, size in added.items():
                self._grow(connection, company, size)

    def webhooks(self) -> list[Webhook]:
        """Return all tokens that are known, the oldest first."""
        order = (_webhooks.c.registered_at, _webhooks.c.fingerprint)
        with self._reading() as connection:
            return [Webhook(*row) for row in connection.execute(sa.select(_webhooks).order_by(*order))]

    def sizes(self) -> dict[str, int]:
        """Return how many bytes the events of each company have, by its name."""
        wanted = sa.select(_meta).where(sa.func.substr(_meta.c.key, 1, len(SIZE)) == SIZE)
        with self._reading() as connection:
            return {row.key.removeprefix(SIZE): int(row.value) for row in connection.execute(wanted)}

    def add_webhook(self, webhook: Webhook) -> None:
        """Make a token known; one that is known already gets these values."""
        values = webhook._asdict()
        with self._writing() as connection:
            connection.execute(_webhooks.delete().where(_webhooks.c.fingerprint == webhook.fingerprint))
            connection.execute(_webhooks.insert().values(values))

    def remove_webhook(self, fingerprint: str) -> None:
        """Let a token be unknown."""
        with self._writing() as connection:
            connection.execute(_webhooks.delete().where(_webhooks.c.fingerprint == fingerprint))

    def check(self) -> None:
        """Write something that nobody reads. It is another each time: SQLite writes nothing that is there already.

        Raises:
            InboxError: If the store cannot be written.
        """
        with self._writing() as connection:
            self._set(connection, "checked", uuid.uuid4().hex)

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Let no other process register webhooks meanwhile.

        Raises:
            InboxError: If another does not finish.
        """
        with ExitStack() as stack:
            with _explained():
                if self._file is not None:
                    lock = filelock.FileLock(f"{self._file}.lock", timeout=self._patience, mode=0o600)
                    stack.enter_context(lock)
                else:
                    connection = stack.enter_context(self.engine.begin())
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REGISTERING)))
            yield

    def last_event(self, company: str) -> tuple[str, int] | None:
        """Return the name of the last event of a company, and when it came (UNIX milliseconds)."""
        last = sa.select(_events.c.event, _events.c.received_at).where(_events.c.company == company)
        with self._reading() as connection:
            row = connection.execute(last.order_by(_events.c.position.desc()).limit(1)).first()
        return None if row is None else (row.event, row.received_at)

    def count_since(self, company: str, moment: int) -> int:
        """Count the events of a company that came at a moment (UNIX milliseconds) or later."""
        theirs = _events.c.company == company
        before = sa.select(_events.c.position).where(theirs, _events.c.received_at < moment)
        with self._reading() as connection:
            last = connection.scalar(before.order_by(_events.c.position.desc()).limit(1)) or 0
            since = sa.select(sa.func.count()).where(theirs, _events.c.position > last)
            return int(connection.scalar(since) or 0)

    def size(self) -> int:
        """Return how many bytes the store takes."""
        with self._reading() as connection:
            if self._is_sqlite:
                return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one()) * int(
                    connection.exec_driver_sql("PRAGMA page_size").scalar_one()
                )
            total = sa.select(sa.func.sum(sa.func.pg_total_relation_size(sa.literal_column("oid")))).select_from(
                sa.text("pg_class")
            )
            tables = sa.text("oid IN ('events'::regclass, 'webhooks'::regclass, 'meta'::regclass)")
            return int(connection.scalar(total.where(tables)) or 0)

    def forget(self, company: str, before: int, *, everything: bool = False) -> int:
        """Forget the events of a company that came before a moment (UNIX milliseconds).

        Args:
            company: Whose.
            before: The moment.
            everything: Also those that messages and sessions are merged from.

        Returns:
            How many.
        """
        old = sa.select(_events.c.position, _SIZE).where(_events.c.company == company, _events.c.received_at < before)
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
                forgotten = self._value(FORGOTTEN + company, connection)
                self._set(connection, FORGOTTEN + company, str(max(last, int(forgotten or 0))))
                self._grow(connection, company, -sum(row.size for row in found))
            time.sleep(PAUSE_SECONDS)

    # Within

    @property
    def _is_sqlite(self) -> bool:
        return self._file is not None

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _explained(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Begin a transaction that no other writer's overlaps, commit it, and see that it went where others look."""
        with _explained(), self.engine.begin() as connection:
            self._take_turn(connection)
            yield connection
            info = connection.info
        if self._file is not None and not _is_whole(self._file, info):
            self.engine.dispose()  # the next one opens what is there
            message = f"{SETTING}: {self._file} was removed, replaced, cut or made read-only while it was in use."
            raise InboxError(message)

    def _take_turn(self, connection: sa.Connection) -> None:
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))

    def _read(self, positions: Sequence[int]) -> list[Event]:
        """Read the events of some positions, in that order."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(*_READ).where(_events.c.position.in_(positions))).all()
        found = {row.position: row for row in rows}
        there = (found[position] for position in positions if position in found)
        return [Event._make((*row[:-1], self._body(row.position, row.body))) for row in there]

    def _body(self, position: int, text: str) -> dict[str, Any]:
        """Decode a body; one that is damaged, or too large for what the receiver takes by now, is empty."""
        try:
            body = decode(text.encode()) if sum(map(text.count, ",{[")) <= MOST_VALUES else None
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        self._unusable += 1
        if self._unusable <= MOST_NAMED:
            logger.warning("%s: the event at position %d cannot be used, and is set aside.", SETTING, position)
        return {}

    def _value(self, key: str, connection: sa.Connection | None = None) -> str | None:
        wanted = sa.select(_meta.c.value).where(_meta.c.key == key)
        if connection is not None:
            return connection.scalar(wanted)
        with self._reading() as reading:
            return reading.scalar(wanted)

    def _grow(self, connection: sa.Connection, company: str, size: int) -> None:
        """Note that a company has so many bytes more."""
        key = SIZE + company
        self._set(connection, key, str(int(self._value(key, connection) or 0) + size))

    def _set(self, connection: sa.Connection, key: str, value: str) -> None:
        connection.execute(_meta.delete().where(_meta.c.key == key))
        connection.execute(_meta.insert().values(key=key, value=value))

    def _prepare(self, *, create: bool) -> None:
        """Bring the schema up to date.

        Raises:
            InputError: If the store is another program's, or a later version's; or has no or an old schema, and may not
                be changed.
        """
        with self.engine.connect() as connection:
            version = self._version(connection)
        if version == len(MIGRATIONS):
            return
        if not create:
            message = f"{SETTING}: there is no inbox, or an old one; aircall-inbox serve makes it."
            raise InputError(message)
        with self._writing() as connection:
            version = self._version(connection)  # another process may have been faster
            for migrate in MIGRATIONS[version:]:
                migrate(connection)
            self._set(connection, "schema", str(len(MIGRATIONS)))

    def _version(self, connection: sa.Connection) -> int:
        there = set(sa.inspect(connection).get_table_names()) & set(_metadata.tables)
        if not there:
            return 0
        version = self._value("schema", connection) if there == set(_metadata.tables) else None
        if version is None:
            message = f"{SETTING}: has tables of another program; name another place."
            raise InputError(message)
        if int(version) > len(MIGRATIONS):
            message = f"{SETTING}: a later version of tap-aircall made it; update this one."
            raise InputError(message)
        return int(version)


def _url(location: str) -> sa.URL:
    """Make sense of an address.

    Raises:
        InputError: If it is none of PostgreSQL.
    """
    scheme, _, rest = location.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        message = f"{SETTING}: must be the path of a file, or begin with postgresql://."
        raise InputError(message)
    try:
        return sa.make_url(f"postgresql+psycopg://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        message = f"{SETTING}: is no address of a database, such as postgresql://user:password@host/name."
        raise InputError(message) from None


def _url_of_file(path: Path, *, create: bool) -> sa.URL:
    """Return what opens a file, which is made if it is to be.

    Raises:
        InputError: If it is not there, or cannot be opened.
    """
    try:
        if create:  # for its owner alone, since it holds personal data; SQLite's other files take after it
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        else:
            path.stat()
    except FileNotFoundError:
        message = f"{SETTING}: there is no file {path}; aircall-inbox serve makes it."
        if create:
            message = f"{SETTING}: there is no folder {path.parent}."
        raise InputError(message) from None
    except (OSError, ValueError) as error:
        message = f"{SETTING}: {path} cannot be opened: {getattr(error, 'strerror', None) or 'no path'}."
        raise InputError(message) from None
    return sa.URL.create("sqlite", database=path.as_uri(), query={"mode": "rw", "uri": "true"})


def _is_whole(path: Path, info: dict[str, Any]) -> bool:
    """Say whether a file is still the one that a connection has open: what is written to another one is lost."""
    try:
        opened, found = info["file"], path.stat()
    except OSError:
        return False
    info["file"] = found
    return os.path.samestat(opened, found) and found.st_size >= opened.st_size and bool(found.st_mode & 0o222)


def _has_locks(folder: Path) -> bool:
    """Say whether the file system of a folder has the locks that SQLite needs, as far as that can be told."""
    try:
        import fcntl  # noqa: PLC0415 - not everywhere

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as error:
        return reason_of(error) not in _NO_LOCKS
    return True


def _sqlite(url: sa.URL, path: Path, patience: float) -> sa.Engine:
    # Transactions are begun by hand: Python's own way begins them when they write, which may be too late.
    arguments = {"timeout": patience, "isolation_level": None}
    engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True)

    @sa.event.listens_for(engine, "do_connect")
    def _connecting(_dialect: Any, record: Any, _arguments: Any, _options: Any) -> None:
        record.info["file"] = path.stat()  # before it is opened: another one would be noticed later

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        _use_wal(connection, patience)
        for pragma in ("synchronous=FULL", "fullfsync=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch a fresh file to WAL; one that is switched stays so.

    SQLite's own timeout is not enough: where two processes switch a file at once, one is told at once that it is busy.
    """
    give_up_at = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _postgres(url: sa.URL, patience: float) -> sa.Engine:
    # A server that is gone without a word is given up after some time too.
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": int(patience * 1000),
        **{name: value for name, value in url.query.items() if name in {"connect_timeout", "tcp_user_timeout"}},
    }
    engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(patience * 1000)}")
            cursor.execute("SET timezone = 'UTC'")
            # A database that does not wait for its disk could lose what Aircall was told to be safe.
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchone() == ("off",):
                cursor.execute("SET synchronous_commit = on")
        connection.commit()

    return engine


def _bounded(rows: Iterable[sa.Row[Any]]) -> Iterator[list[int]]:
    """Cut rows of positions and sizes into what may be read at once; return the positions."""
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


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    """Cut a list into parts of a size."""
    return (items[at : at + size] for at in range(0, len(items), size))


def _are(kinds: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that an event has one of these names; a `*` stands for any text."""
    conditions = []
    for kind in kinds:
        start, star, end = kind.partition("*")
        name = _events.c.event
        # Not LIKE: to SQLite, it is the same in capitals.
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


@contextmanager
def _explained() -> Iterator[None]:
    """Say in one line why the store cannot be used.

    Raises:
        InboxError: Instead of SQLAlchemy's errors, which quote what they are about, and of those of a damaged value.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_IOERR_LOCK":
            raise InboxError(_NO_LOCKS) from None
        reason = _of_sqlite(cause) if isinstance(cause, sqlite3.Error) else _of_postgres(cause)
        message = f"{SETTING}: the store {reason}."
        raise InboxError(message) from None
    except filelock.Timeout:
        message = f"{SETTING}: another process is registering a webhook, and does not finish; is one stuck?"
        raise InboxError(message) from None
    except OSError as error:
        message = f"{SETTING}: the store cannot be used: {reason_of(error)}."
        raise InboxError(message) from None
    except ValueError:
        raise InboxError(_DAMAGED) from None


def _of_sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    reasons = {
        "SQLITE_BUSY": "is kept locked by another process",
        "SQLITE_LOCKED": "is kept locked by another process",
        "SQLITE_FULL": "cannot grow: disk full",
        "SQLITE_READONLY": "may not be written to",
        "SQLITE_PERM": "may not be written to",
        "SQLITE_CANTOPEN": "cannot be opened",
        "SQLITE_CORRUPT": "is damaged",
        "SQLITE_NOTADB": "is no SQLite file",
    }
    known = (reason for prefix, reason in reasons.items() if name.startswith(prefix))
    return next(known, f"cannot be used ({name})")


def _of_postgres(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None) or ""
    reasons = {
        "28": "refuses the user or the password",
        "3D": "has no such database",
        "42501": "does not allow this user what is needed",
        "25006": "is a copy that may not be written to",
        "53100": "cannot grow: disk full",
        "57014": "takes too long",
        "55P03": "takes too long",
    }
    known = (reason for prefix, reason in reasons.items() if state.startswith(prefix))
    if not state:
        # When it cannot be connected to, psycopg has the reason in its text alone, which may name users and hosts.
        text = str(error)
        if "password" in text or "authentication" in text:
            return reasons["28"]
        return reasons["3D" if "database" in text else "28"] if "does not exist" in text else "cannot be reached"
    return next(known, f"cannot be used (SQLSTATE {state})")
