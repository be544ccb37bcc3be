from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import sqlite3
import stat
import threading
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_aircall.errors import InboxError, InputError
from tap_aircall.inbox import store
from tap_aircall.inbox.databases import DAMAGED
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery, EventRow
from tap_aircall.inbox.store import Inbox, Webhook
from tests.inbox.conftest import event
from tests.messages import refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.postgres import Postgres

NOW = 1_700_000_100_000
HOUR = 3_600_000
EVERYTHING = 10**15


def rows(ids: Iterable[Any], name: str = "call.tagged", *, company: str = "Acme", at: int = NOW) -> list[EventRow]:
    bodies = (json.dumps(event(name, data={"id": each})).encode() for each in ids)
    return [Delivery(body).row(company, WEBHOOK, at) for body in bodies]


def ids(inbox: Inbox, company: str = "Acme", after: int = 0, through: int = EVERYTHING, **options: Any) -> list[Any]:
    return [each.body["data"]["id"] for page in inbox.events(company, after, through, **options) for each in page]


def webhook(number: int, company: str = "Acme") -> Webhook:
    return Webhook(
        f"fingerprint {number}", company, WEBHOOK, f"id {number}", "https://a.b/aircall", ["x"], NOW + number
    )


def test_an_event_is_read_as_it_was_stored(inbox: Inbox) -> None:
    (row,) = rows([5])

    inbox.append([row])

    ((read,),) = inbox.events("Acme", 0, EVERYTHING)
    body = {"resource": "call", "event": "call.tagged", "timestamp": 1_700_000_000, "data": {"id": 5}}
    assert read == (1, row.event_id, "Acme", "call.tagged", "call", "5", 1_700_000_000_000, NOW, body)


def test_events_come_in_order_in_batches(inbox: Inbox) -> None:
    inbox.append(rows(range(250)))
    inbox.append(rows(range(250, 500)))

    pages = list(inbox.events("Acme", 0, EVERYTHING))

    assert [len(page) for page in pages] == [200, 200, 100]
    assert [each.body["data"]["id"] for page in pages for each in page] == list(range(500))
    positions = [each.position for page in pages for each in page]
    assert positions == sorted(set(positions))
    assert ids(inbox, after=positions[9], through=positions[11]) == [10, 11]


def test_the_same_event_is_kept_once_and_keeps_its_position(inbox: Inbox) -> None:
    inbox.append(rows([1, 1, 2]))
    before = list(inbox.events("Acme", 0, EVERYTHING))

    inbox.append(rows([2, 1], at=NOW + HOUR))

    assert list(inbox.events("Acme", 0, EVERYTHING)) == before
    assert ids(inbox) == [1, 2]


def test_kinds_filter_events_by_name(inbox: Inbox) -> None:
    for name in (
        "call.tagged",
        "Call.tagged",
        "callXtagged",
        "contact.deleted",
        "call.",
        "group_message.sent",
        "g.deleted",
    ):
        inbox.append(rows([name], name))

    assert ids(inbox, kinds=["call.*"]) == ["call.tagged", "call."]
    assert ids(inbox, kinds=["*.deleted", "call.tagged"]) == ["call.tagged", "contact.deleted", "g.deleted"]
    assert ids(inbox, kinds=["*"]) == ids(inbox)
    assert ids(inbox, kinds=["group%"]) == []
    assert ids(inbox, kinds=["call.*.tagged"]) == []


def histories(inbox: Inbox, ids: Iterable[str], **options: Any) -> list[list[tuple[str, str | None]]]:
    options = {"kinds": ["call.*"], "through": EVERYTHING, "until": EVERYTHING, **options}
    found = inbox.histories("Acme", "call", list(ids), **options)
    return [[(each.event, each.object_id) for each in history] for history in found]


def test_the_events_of_each_object_come_in_order(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "IDS", 2)
    monkeypatch.setattr(store, "BATCH", 3)
    names = ["call.created", "call.ended", "call.tagged"]
    for name in (*names[:2], "contact.created", *names[2:], "summary.created"):
        inbox.append(rows(range(10), name))
    inbox.append(rows([3], "call.created", company="Other"))

    assert histories(inbox, ["9", "3", "1", "3", "77"]) == [[(name, each) for name in names] for each in "139"]
    assert histories(inbox, "139", through=32) == [
        [(name, each) for name in names[: 3 if each == "1" else 2]] for each in "139"
    ]
    assert histories(inbox, "139", until=33) == [[(name, "1") for name in names]]  # the others are not complete there
    assert histories(inbox, "3", kinds=["*.ended"]) == [[("call.ended", "3")]]
    assert histories(inbox, []) == []


@pytest.mark.parametrize("bound", ["MOST_OF_ONE", "BATCH_BYTES"])
def test_of_a_long_history_the_latest_events_are_read(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    for number in range(100, 130):
        inbox.append(rows([1], f"call.{number}"))
    with inbox.engine.connect() as connection:
        size = connection.execute(sa.text("SELECT length(body) FROM events LIMIT 1")).scalar_one()
    monkeypatch.setattr(store, bound, 4 if bound == "MOST_OF_ONE" else 4 * size)

    assert histories(inbox, "1") == [[(f"call.{number}", "1") for number in range(126, 130)]]


def test_companies_are_kept_apart(inbox: Inbox) -> None:
    assert inbox.companies() == []
    inbox.append(rows([1, 2]))
    inbox.append(rows([1], company="Zoo"))
    inbox.append(rows([3]))
    inbox.add_webhook(webhook(1, "Bee"))

    assert inbox.companies() == ["Acme", "Bee", "Zoo"]
    assert [ids(inbox, company) for company in ("Acme", "Zoo", "Bee")] == [[1, 2, 3], [1], []]
    assert inbox.last_position("Bee") == 0


def test_positions_of_forgotten_events_are_not_reused(inbox: Inbox, location: str) -> None:
    inbox.append(rows(range(450), at=NOW - HOUR))
    inbox.append(rows([450], company="Zoo", at=NOW - HOUR))
    last = inbox.last_position("Acme")

    assert inbox.forget("Acme", NOW) == 450

    assert ids(inbox) == []
    assert inbox.last_position("Acme") == inbox.forgotten_position("Acme") == last
    assert ids(inbox, "Zoo") == [450]
    assert inbox.forgotten_position("Zoo") == 0
    inbox.forget("Zoo", NOW)
    with closing(Inbox.open(location, create=True)) as later:
        later.append(rows([1]))
        assert later.last_position("Acme") > last


def test_events_of_messages_and_sessions_are_forgotten_only_when_asked(inbox: Inbox) -> None:
    merged = ["message.sent", "group_message.received", "ai_voice_agent.summary"]
    for name in ["call.tagged", *merged, "messages.x"]:
        inbox.append(rows([name], name, at=NOW - HOUR))
    inbox.append(rows(["new"], "message.sent", at=NOW))

    assert inbox.forget("Acme", NOW) == 2
    assert ids(inbox) == [*merged, "new"]
    assert inbox.forget("Acme", NOW) == 0
    assert inbox.forget("Acme", NOW, everything=True) == 3
    assert ids(inbox) == ["new"]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Acme", "Zoo"]), st.lists(st.integers(0, 99), min_size=1, max_size=9), st.booleans()
        ),
        max_size=6,
    )
)
def test_the_size_of_each_company_is_known(inbox: Inbox, steps: list[tuple[str, list[int], bool]]) -> None:
    for company, numbers, forgets in steps:
        inbox.append(rows(["é" * number for number in numbers], company=company, at=NOW - HOUR))
        if forgets:
            inbox.forget(company, NOW)
    with inbox.engine.connect() as connection:
        sql = "SELECT company, sum(length(body)) AS size FROM events GROUP BY company"
        expected = {row.company: row.size for row in connection.exec_driver_sql(sql)}
    assert {company: size for company, size in inbox.sizes().items() if size} == expected


def test_the_forgotten_position_never_decreases(inbox: Inbox) -> None:
    inbox.append(rows(["kept"], "message.sent", at=NOW - HOUR))
    inbox.append(rows([1], at=NOW - HOUR))
    inbox.forget("Acme", NOW)
    forgotten = inbox.forgotten_position("Acme")

    inbox.forget("Acme", NOW, everything=True)

    assert inbox.forgotten_position("Acme") == forgotten == 2


def test_figures_for_the_status(inbox: Inbox) -> None:
    assert inbox.last_event("Acme") is None
    assert inbox.count_since("Acme", 0) == 0
    for hours in range(5):
        inbox.append(rows([hours], f"call.{hours}", at=NOW + hours * HOUR))
    inbox.append(rows([9], company="Zoo", at=NOW + 9 * HOUR))

    assert inbox.last_event("Acme") == ("call.4", NOW + 4 * HOUR)
    assert inbox.count_since("Acme", NOW + 3 * HOUR) == 2
    assert inbox.count_since("Acme", 0) == 5


def test_tokens_are_stored_by_fingerprint(inbox: Inbox) -> None:
    assert inbox.webhooks() == []
    for number in (2, 1):
        inbox.add_webhook(webhook(number))
    inbox.add_webhook(webhook(1)._replace(url="https://c.d/aircall"))

    assert inbox.webhooks() == [webhook(1)._replace(url="https://c.d/aircall"), webhook(2)]
    inbox.remove_webhook("fingerprint 1")
    assert inbox.webhooks() == [webhook(2)]


def test_reopening_a_store_keeps_its_identity(location: str) -> None:
    with closing(Inbox.open(location, create=True)) as inbox:
        name = inbox.inbox_id
        inbox.append(rows([1]))
    for create in (True, False):
        with closing(Inbox.open(location, create=create)) as inbox:
            inbox.check()
            assert (inbox.inbox_id, ids(inbox)) == (name, [1])
    assert len(name) == 32


def test_stores_have_different_identities(tmp_path: Path) -> None:
    names = {Inbox.open(str(tmp_path / name), create=True).inbox_id for name in "ab"}

    assert len(names) == 2


def make_at_once(location: str) -> None:
    """Let four make a store at the same time; they must all get the same one."""
    found: list[str] = []
    ready = threading.Barrier(4)

    def make() -> None:
        ready.wait()
        with closing(Inbox.open(location, create=True)) as inbox:
            found.append(inbox.inbox_id)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len(set(found)) == 1


def test_processes_that_create_a_store_at_once_create_one(location: str) -> None:
    make_at_once(location)


def test_a_file_is_created_once_by_many_processes(tmp_path: Path) -> None:
    for number in range(few_or_many(5, 300)):
        make_at_once(str(tmp_path / f"{number}.db"))


def test_it_waits_for_a_file_that_another_process_is_creating(tmp_path: Path) -> None:
    file = tmp_path / "inbox.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")  # SQLite would not wait for this before it switches to WAL
        end = threading.Timer(0.1, other.rollback)
        end.start()
        with closing(Inbox.open(str(file), create=True)) as inbox:
            inbox.append(rows([1]))
            assert ids(inbox) == [1]
        end.join()


def test_the_wait_for_a_file_that_another_process_is_creating_times_out(tmp_path: Path) -> None:
    file = tmp_path / "inbox.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused(InputError, "Setting inbox", "locked"):
            Inbox.open(str(file), create=True, patience=0.05)


EACH = few_or_many(60, 120)


def append_bit_by_bit(location: str, first: int) -> None:
    with closing(Inbox.open(location, create=True)) as inbox:
        for number in range(first, first + EACH, 2):
            inbox.append(rows(range(number, number + 2)))


def follow(location: str, found: list[int], done: threading.Event) -> None:
    """Go on from the last position seen, as the tap does, until there is nothing more to come."""
    with closing(Inbox.open(location, create=False)) as inbox:
        after, is_over = 0, False
        while not is_over:
            is_over = done.is_set()
            for page in inbox.events("Acme", after, inbox.last_position("Acme")):
                found.extend(each.body["data"]["id"] for each in page)
                after = page[-1].position


def test_a_reader_sees_no_position_before_a_lower_one(location: str, inbox: Inbox) -> None:
    done = threading.Event()
    seen: list[list[int]] = [[], []]
    writers = [threading.Thread(target=append_bit_by_bit, args=[location, first]) for first in (0, 1000, 2000)]
    readers = [threading.Thread(target=follow, args=[location, found, done]) for found in seen]
    for thread in [*readers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()

    assert seen == [ids(inbox), ids(inbox)]
    assert sorted(ids(inbox)) == [*range(EACH), *range(1000, 1000 + EACH), *range(2000, 2000 + EACH)]


def test_a_failed_batch_leaves_nothing(inbox: Inbox) -> None:
    good, bad = rows([1, 2])

    with pytest.raises(InboxError):
        inbox.append([good, bad._replace(event=None)])  # type: ignore[arg-type]

    assert ids(inbox) == []
    inbox.append([good])
    assert ids(inbox) == [1]


def test_only_opening_with_create_upgrades_an_old_store(location: str) -> None:
    with closing(Inbox.open(location, create=True)) as inbox:
        inbox.append(rows([1]))
        name, sizes = inbox.inbox_id, inbox.sizes()
    change(location, "DELETE FROM meta WHERE key LIKE 'size%'")
    change(location, "UPDATE meta SET value = '1' WHERE key = 'schema'")

    with refused(InputError, "Setting inbox", "aircall-inbox serve"):
        Inbox.open(location, create=False)
    for create in (True, True, False):
        with closing(Inbox.open(location, create=create)) as inbox:
            assert (inbox.inbox_id, ids(inbox), inbox.sizes()) == (name, [1], sizes)


def test_a_store_of_another_version_is_refused(location: str) -> None:
    Inbox.open(location, create=True).close()
    change(location, "UPDATE meta SET value = '99' WHERE key = 'schema'")

    for create in (True, False):
        with refused(InputError, "Setting inbox", "tap-aircall", "version"):
            Inbox.open(location, create=create)


def test_only_opening_with_create_creates_a_store(tmp_path: Path, postgres: Postgres) -> None:
    file = tmp_path / "inbox.db"
    with refused(InputError, "Setting inbox", file, "aircall-inbox serve"):
        Inbox.open(str(file), create=False)
    file.touch()
    with refused(InputError, "Setting inbox", "aircall-inbox serve"):
        Inbox.open(str(file), create=False)
    with refused(InputError, "Setting inbox", "aircall-inbox serve"):
        Inbox.open(postgres.url, create=False)
    assert postgres.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == [(0,)]


def test_a_file_may_be_a_link(tmp_path: Path) -> None:
    link, folder = tmp_path / "link.db", tmp_path / "elsewhere"
    folder.mkdir()
    link.symlink_to(folder / "inbox.db")

    with closing(Inbox.open(str(link), create=True)) as inbox:
        for number in (1, 2):
            inbox.append(rows([number]))
        assert ids(inbox) == [1, 2]


def test_only_its_owner_can_read_a_file(tmp_path: Path) -> None:
    with closing(Inbox.open(str(tmp_path / "in box?#%.db"), create=True)) as inbox:
        inbox.append(rows([1]))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {f"in box?#%.db{end}": 0o600 for end in ("", "-wal", "-shm")}


@pytest.mark.parametrize(
    ("place", "facts"),
    [
        ("missing/inbox.db", ["{folder}/missing"]),
        (".", ["{folder}", os.strerror(errno.EISDIR)]),
        ("text.db", ["SQLite"]),
        ("a\0b", ["{folder}/a\0b"]),
        ("other.db", ["tables"]),
    ],
)
def test_an_unusable_file_is_one_line(tmp_path: Path, place: str, facts: list[str]) -> None:
    (tmp_path / "text.db").write_text("Dear diary, " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE events (id INTEGER)")

    with refused(InputError, "Setting inbox", *(fact.format(folder=tmp_path) for fact in facts)):
        Inbox.open(str(tmp_path) if place == "." else f"{tmp_path}/{place}", create=True)


@pytest.mark.parametrize(
    ("url", "fact"),
    [
        ("mysql://me:hush@host/name", "postgresql://"),
        ("postgresql://me:hush@host:port/x", "postgresql://user:password@host/name"),
        ("postgresql://me:hush@127.0.0.1:1/x", "reached"),
        ("postgres://me:hush@/x?host=/nowhere", "reached"),
        ("postgresql://postgres:hush@/nothing?host={folder}", "database"),
        ("postgresql://me:hush@/postgres?host={folder}", "password"),
    ],
)
def test_an_unusable_database_is_one_line_without_its_password(postgres: Postgres, url: str, fact: str) -> None:
    with refused(InputError, "Setting inbox", fact) as raised:
        Inbox.open(url.format(folder=postgres.host), create=True)

    assert "hush" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_file_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "inbox.db"
    with closing(Inbox.open(str(file), create=True, patience=0.01)) as inbox, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused(InboxError, "Setting inbox", "locked"):
            inbox.append(rows([1]))
        assert ids(inbox) == []  # to read is possible
        other.rollback()
        inbox.append(rows([1]))
        assert ids(inbox) == [1]


def test_a_database_that_stays_locked_is_an_error(postgres: Postgres) -> None:
    with closing(Inbox.open(postgres.url, create=True, patience=0.2)) as inbox:
        engine = sa.create_engine(postgres.url)
        with engine.connect() as other:
            other.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": store.LOCK})
            with refused(InboxError, "Setting inbox"):
                inbox.append(rows([1]))
        engine.dispose()
        inbox.append(rows([1]))
        assert ids(inbox) == [1]


def test_connections_that_the_server_closed_are_replaced(postgres: Postgres) -> None:
    with closing(Inbox.open(postgres.url, create=True)) as inbox:
        inbox.append(rows([1]))
        postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        inbox.append(rows([2]))
        assert ids(inbox) == [1, 2]


def test_a_database_commits_synchronously_whatever_its_default(postgres: Postgres) -> None:
    postgres.query(f'ALTER DATABASE "{postgres.name}" SET synchronous_commit = off')
    with closing(Inbox.open(postgres.url, create=True)) as inbox, inbox.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_file_commits_synchronously(tmp_path: Path) -> None:
    with closing(Inbox.open(str(tmp_path / "inbox.db"), create=True)) as inbox, inbox.engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]


def change(location: str, statement: str) -> None:
    engine = sa.create_engine(location if "://" in location else f"sqlite:///{location}")
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


HEAVY = "{}," * 60_000


@pytest.mark.parametrize("body", ['{"event"', "[]", "[" * 5_000, f'{{"data": [{HEAVY}0]}}'], ids=range(4))
def test_an_event_that_cannot_be_used_is_set_aside_and_named(
    inbox: Inbox, location: str, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    inbox.append(rows(range(15)))
    change(location, f"UPDATE events SET body = '{body}' WHERE position <> 3")

    read = [each for page in inbox.events("Acme", 0, EVERYTHING) for each in page]

    assert [(each.position, each.object_id) for each in read] == [(n, str(n - 1)) for n in range(1, 16)]
    assert [each.position for each in read if each.body] == [3]
    assert [record.args for record in caplog.records] == [("Setting inbox", number) for number in (1, 2, *range(4, 12))]


@pytest.mark.parametrize("damage", ["happened_at = -9", "received_at = 9000000000000000000", "happened_at = 'soon'"])
def test_an_event_with_a_damaged_time_is_set_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    location = str(tmp_path / "inbox.db")
    with closing(Inbox.open(location, create=True)) as inbox:
        inbox.append(rows(range(3)))
        change(location, f"UPDATE events SET {damage} WHERE position = 2")

        assert ids(inbox) == [0, 2]
    assert [record.args for record in caplog.records] == [("Setting inbox", 2)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE meta SET value = 'x' WHERE key LIKE 'forgotten%'",
        f"UPDATE meta SET value = '{10**21} x' WHERE key LIKE 'forgotten%'",
        "DELETE FROM meta WHERE key = 'inbox_id'",
        "UPDATE webhooks SET events = '{'",
    ],
)
def test_a_damaged_value_is_one_line(tmp_path: Path, damage: str) -> None:
    location = str(tmp_path / "inbox.db")
    with closing(Inbox.open(location, create=True)) as inbox:
        inbox.append(rows([1]))
        inbox.add_webhook(webhook(1))
        inbox.forget("Acme", NOW + 1)
    change(location, damage)

    def use() -> None:
        with closing(Inbox.open(location, create=False)) as inbox:
            _ = inbox.event_id(inbox.last_position("Acme")), inbox.inbox_id, inbox.webhooks()

    with pytest.raises((InboxError, InputError), match=re.escape(DAMAGED)):
        use()


def test_memory_does_not_grow_with_the_number_of_events(inbox: Inbox) -> None:
    body = '{"data": [' + "{}," * 45_000 + "0]}"
    (row,) = rows([1])
    inbox.append([row._replace(event_id=str(n), body=body) for n in range(55)])
    tracemalloc.start()

    for page in inbox.events("Acme", 0, EVERYTHING):
        assert page

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150_000_000


def test_registering_is_exclusive(location: str) -> None:
    one, other = (Inbox.open(location, create=True, patience=0.1) for _ in range(2))
    with closing(one), closing(other):
        with one.registering():
            with pytest.raises(InboxError), other.registering():
                pytest.fail("It was not its turn.")
            other.append(rows([1]))  # to write is possible
        with other.registering():
            assert ids(one) == [1]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def lockf(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    file = tmp_path / "inbox.db"
    monkeypatch.setattr(fcntl, "lockf", lockf)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # which is what SQLite takes it for
        with refused(InputError, "Setting inbox", "locks"):
            Inbox.open(str(file), create=True, patience=0.05)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with closing(Inbox.open(str(tmp_path / "inbox.db"), create=True)) as inbox:
        with inbox.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        with refused(InboxError, "Setting inbox", "full"):
            inbox.append(rows(range(1000)))


@pytest.mark.parametrize("how", ["garbage", "gone"])
def test_a_file_that_breaks_while_open_is_an_error(tmp_path: Path, how: str) -> None:
    file = tmp_path / "inbox.db"
    with closing(Inbox.open(str(file), create=True)) as inbox:
        inbox.append(rows(range(300)))
    breaks: dict[str, Callable[[], Any]] = {
        "garbage": lambda: file.write_bytes(file.read_bytes()[:8192] + os.urandom(200_000)),
        "gone": lambda: file.write_bytes(b""),
    }
    with closing(Inbox.open(str(file), create=False)) as inbox:
        breaks[how]()
        with refused(InboxError, "Setting inbox"):
            ids(inbox)


def test_text_that_no_target_could_store_is_replaced_on_reading(inbox: Inbox) -> None:
    inbox.append(rows(["a\0b \ud800 é 😀"]))

    assert ids(inbox) == ["a\ufffdb \ufffd é 😀"]
