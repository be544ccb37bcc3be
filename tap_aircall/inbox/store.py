"""Where events are kept: a SQLite file, or a PostgreSQL database that several receivers share.

It is a log that is read by position. Whoever has seen a position never misses a lower one: writers take turns, from
before they take numbers until the numbers are visible. A sequence of PostgreSQL alone gives out 6 before 7, and may
show 7 first. A position is never used twice, not even after events were forgotten.

Everything that can fail here ends in one line, which quotes neither an event nor the password in an address.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from tap_aircall.errors import InboxError, InputError, needs_extra
from tap_aircall.http.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tap_aircall.inbox.deliveries import Row

T = TypeVar("T")

SETTING = "Setting inbox"
PATIENCE_SECONDS = 30.0
"""How long to wait for others who are writing."""
RETRY_SECONDS = 0.01
"""How long to wait before a file is switched to WAL again: the switch takes a few milliseconds."""
CONNECT_SECONDS = 5
"""How long to wait for a database server to answer at all."""
BATCH = 200
"""Events that are read, or forgotten, at once."""
IDS = 500
"""Ids that are asked for at once."""
LOCK = 0x616972_63616C6C
"""Number of the advisory lock that writers to PostgreSQL take in turn."""
_KEPT = ("message.*", "group_message.*", "ai_voice_agent.*")
"""What `Inbox.forget` keeps: messages and sessions are merged from all events of theirs, and exist nowhere else."""

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
_GIVEN = [column for column in _events.columns if column.name != "position"]


def _insert(value: str, source: str) -> sa.TextClause:
    """Write the statement that stores rows.

    Args:
        value: SQL for a column of a row, by its place and type.
        source: SQL for all rows as JSON arrays.
    """
    names = ", ".join(column.name for column in _GIVEN)
    values = ", ".join(value.format(place=place, type=column.type) for place, column in enumerate(_GIVEN))
    return sa.text(f"INSERT INTO events ({names}) SELECT {values} FROM {source} ON CONFLICT DO NOTHING")  # noqa: S608


_INSERT = {
    "sqlite": _insert("json_extract(value, '$[{place}]')", "json_each(:rows) WHERE true ORDER BY key"),
    "postgresql": _insert("CAST(value->>{place} AS {type})", "json_array_elements(CAST(:rows AS json))"),
}
"""Inserts rows, given as JSON in one piece: row by row, each would wait for the other threads of the server."""


def _first_schema(connection: sa.Connection) -> None:
    _metadata.create_all(connection, checkfirst=False)
    connection.execute(_meta.insert().values(key="inbox_id", value=uuid.uuid4().hex))


MIGRATIONS = (_first_schema,)
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
    """The delivery less its token."""


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

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

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
        url = _url(location, create=create)
        try:
            engine = _postgres(url, patience) if url.drivername.startswith("postgresql") else _sqlite(url, patience)
        except ModuleNotFoundError as error:
            message = needs_extra(f"{SETTING}: PostgreSQL", "inbox")
            raise InputError(message) from error
        inbox = cls(engine)
        try:
            with _explained():
                inbox._prepare(create=create)
        except InboxError as error:
            raise InputError(str(error)) from None
        finally:
            engine.dispose()  # a process that is forked from here on shares no connection
        return inbox

    @property
    def inbox_id(self) -> str:
        """A random text that this store got when it was made; a copy of it has the same."""
        return str(self._value("inbox_id"))

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
        return int(self._value(f"forgotten:{company}") or 0)

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
        wanted = sa.select(*_READ).where(_events.c.company == company, _events.c.position <= through, _are(kinds))
        yield from self._pages(wanted, after)

    def events_of(self, company: str, object_type: str, object_ids: Collection[str]) -> Iterator[Event]:
        """Read all events about some objects, in the order of their positions.

        Raises:
            InboxError: If the store cannot be read.
        """
        # First the positions, from the index alone: asked for events in this order, a database may look at all it has.
        ids, position = sorted(set(object_ids)), _events.c.position
        of_type = sa.select(position).where(_events.c.company == company, _events.c.object_type == object_type)
        positions: list[int] = []
        for part in _parts(ids, IDS):
            with self._reading() as connection:
                positions += connection.scalars(of_type.where(_events.c.object_id.in_(part)))
        for page in _parts(sorted(positions), BATCH):
            yield from self._read(sa.select(*_READ).where(position.in_(page)).order_by(position))

    # For the receiver

    def append(self, rows: Sequence[Row]) -> None:
        """Keep events for good: they are on disk when this returns. Those that are there already are left as they are.

        Raises:
            InboxError: If they could not be stored. Some may have been nevertheless; to append them again is safe.
        """
        with self._writing() as connection:
            connection.execute(_INSERT[self.engine.dialect.name], {"rows": msgspec.json.encode(rows).decode()})

    def webhooks(self) -> list[Webhook]:
        """Return all tokens that are known, the oldest first."""
        order = (_webhooks.c.registered_at, _webhooks.c.fingerprint)
        with self._reading() as connection:
            return [Webhook(*row) for row in connection.execute(sa.select(_webhooks).order_by(*order))]

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
        """Write something that changes nothing.

        Raises:
            InboxError: If the store cannot be written.
        """
        with self._writing() as connection:
            connection.execute(_meta.update().where(_meta.c.key == "inbox_id").values(value=_meta.c.value))

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
        old = sa.select(_events.c.position).where(_events.c.company == company, _events.c.received_at < before)
        if not everything:
            old = old.where(sa.not_(_are(_KEPT)))
        count, last = 0, 0
        while True:
            page = old.where(_events.c.position > last).order_by(_events.c.position).limit(BATCH)
            with self._writing() as connection:
                positions = list(connection.scalars(page))
                if not positions:
                    return count
                count, last = count + len(positions), positions[-1]
                connection.execute(_events.delete().where(_events.c.position.in_(positions)))
                forgotten = self._value(f"forgotten:{company}", connection)
                self._set(connection, f"forgotten:{company}", str(max(last, int(forgotten or 0))))

    # Within

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _explained(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Begin a transaction that no other writer's overlaps, and commit it."""
        with _explained(), self.engine.begin() as connection:
            self._take_turn(connection)
            yield connection

    def _take_turn(self, connection: sa.Connection) -> None:
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))

    def _pages(self, wanted: sa.Select[Any], after: int) -> Iterator[list[Event]]:
        """Read a page after the other: no transaction stays open, and no more than a page is in memory."""
        while True:
            page = self._read(wanted.where(_events.c.position > after).order_by(_events.c.position).limit(BATCH))
            if page:
                yield page
            if len(page) < BATCH:
                return
            after = page[-1].position

    def _read(self, wanted: sa.Select[Any]) -> list[Event]:
        with self._reading() as connection:
            rows = connection.execute(wanted).all()
        return [Event._make((*row[:-1], _body(row.body))) for row in rows]

    def _value(self, key: str, connection: sa.Connection | None = None) -> str | None:
        wanted = sa.select(_meta.c.value).where(_meta.c.key == key)
        if connection is not None:
            return connection.scalar(wanted)
        with self._reading() as reading:
            return reading.scalar(wanted)

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


def _url(location: str, *, create: bool) -> sa.URL:
    """Make sense of a location.

    Raises:
        InputError: If it is none.
    """
    if "://" in location:
        scheme, _, rest = location.partition("://")
        if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
            message = f"{SETTING}: must be the path of a file, or begin with postgresql://."
            raise InputError(message)
        try:
            return sa.make_url(f"postgresql+psycopg://{rest}")
        except (sa.exc.ArgumentError, ValueError):
            message = f"{SETTING}: is no address of a database, such as postgresql://user:password@host/name."
            raise InputError(message) from None
    path = Path(location).absolute()
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


def _sqlite(url: sa.URL, patience: float) -> sa.Engine:
    # Transactions are begun by hand: Python's own way begins them when they write, which may be too late.
    arguments = {"timeout": patience, "isolation_level": None}
    engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True)

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


def _body(text: str) -> dict[str, Any]:
    """Decode a body.

    Raises:
        InboxError: If it is damaged.
    """
    try:
        body = decode(text.encode())
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    message = f"{SETTING}: has an event that cannot be read; the store is damaged."
    raise InboxError(message)


@contextmanager
def _explained() -> Iterator[None]:
    """Say in one line why the store cannot be used.

    Raises:
        InboxError: Instead of SQLAlchemy's errors, which quote what they are about.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        reason = _of_sqlite(cause) if isinstance(cause, sqlite3.Error) else _of_postgres(cause)
        message = f"{SETTING}: the store {reason}."
        raise InboxError(message) from None


def _of_sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    reasons = {
        "SQLITE_BUSY": "is kept locked by another process",
        "SQLITE_LOCKED": "is kept locked by another process",
        "SQLITE_FULL": "has no room left on its disk",
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
        "53100": "has no room left on its disk",
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
