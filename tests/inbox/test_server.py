from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
import requests
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_aircall.errors import InputError
from tap_aircall.inbox import server
from tap_aircall.inbox.deliveries import LARGEST_BODY, MESSAGES, Delivery
from tap_aircall.inbox.server import HEALTH, Receiver, Server
from tap_aircall.inbox.store import Inbox
from tests.inbox.conftest import SECRET, delivery, event, ids, known
from tests.messages import each_names, refused

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tap_aircall.inbox.deliveries import EventRow
    from tests.clock import FakeClock
    from tests.inbox.conftest import Running
    from tests.postgres import Postgres

POST = b"POST /aircall HTTP/1.1\r\nHost: localhost\r\n"


def answer(connection: socket.socket) -> bytes:
    """Read all that comes until the other side ends the connection, or has sent a whole short answer."""
    received = b""
    while b"\r\n\r\n" not in received and (piece := connection.recv(65_536)):
        received += piece
    return received


def status(connection: socket.socket) -> int:
    return int(answer(connection).split()[1])


def test_a_delivery_is_stored_before_the_response(inbox: Inbox, make_receiver: Callable[..., Running]) -> None:
    inbox.add_webhook(known())
    receiver = make_receiver(inbox)

    done = receiver.post(delivery(1))

    assert (done.status_code, done.content) == (200, b"")
    ((stored,),) = inbox.events("Acme", 0, 100)
    assert stored.received_at == receiver.clock.now * 1000
    assert stored.body == {name: value for name, value in json.loads(delivery(1)).items() if name != "token"}


def test_the_same_delivery_twice_is_one_event(receiver: Running) -> None:
    assert [receiver.post(delivery(number)).status_code for number in (1, 1, 2, 1)] == [200] * 4

    assert ids(receiver.inbox) == [1, 2]


def test_unknown_events_and_fields_are_kept(receiver: Running) -> None:
    body = event("fax.shredded", token="planted-token", version=7, data={"id": 1, "pages": [1, {"of": None}]})

    assert receiver.post(json.dumps(body)).status_code == 200

    ((stored,),) = receiver.inbox.events("Acme", 0, 100)
    assert (stored.event, stored.object_type, stored.body["version"]) == ("fax.shredded", None, 7)
    assert stored.body["data"] == {"id": 1, "pages": [1, {"of": None}]}


def test_the_token_identifies_the_company(receiver: Running) -> None:
    receiver.inbox.add_webhook(known("s3cret", "Zoo"))

    for number, token in enumerate(("planted-token", "s3cret", "planted-token")):
        assert receiver.post(delivery(number, token=token)).status_code == 200

    assert [ids(receiver.inbox, company) for company in ("Acme", "Zoo")] == [[0, 2], [1]]


def test_numbers_in_proxy_mode_have_their_own_tokens(receiver: Running) -> None:
    receiver.inbox.add_webhook(known("s3cret", kind=MESSAGES))
    body = {"event_name": "message.updated", "timestamp": 1_700_000_000_123, "token": "s3cret", "data": {"id": "m1"}}

    assert receiver.post(json.dumps(body), "/aircall/messages").status_code == 200

    ((stored,),) = receiver.inbox.events("Acme", 0, 100)
    assert (stored.event, stored.object_type, stored.object_id) == ("message.updated", "message", "m1")
    assert stored.happened_at == 1_700_000_000_123
    assert (
        receiver.post(json.dumps(body | {"token": SECRET})).status_code == 400
    )  # it has no name where webhooks have it


@pytest.mark.parametrize("path", ["/", "/aircall", "/aircall/", "//aircall//", "/hooks/of%20mine?a=b", "/health"])
def test_deliveries_are_accepted_at_any_path(receiver: Running, path: str) -> None:
    done = receiver.post(delivery(1), path, allow_redirects=False)

    assert (done.status_code, ids(receiver.inbox)) == (200, [1])


def test_a_delivery_with_only_a_token_gets_the_inbox_id(receiver: Running) -> None:
    done = receiver.post(json.dumps({"token": SECRET}))

    assert (done.status_code, done.json()) == (200, {"inbox": receiver.inbox.inbox_id})
    assert receiver.post(json.dumps({"token": "wrong"})).status_code == 401
    assert ids(receiver.inbox) == []


def test_a_request_without_a_valid_token_learns_nothing(receiver: Running) -> None:
    bodies = [delivery(1, token=token) for token in (None, "", "wrong", 5, "planted-tokeN", ["planted-token"])]
    bodies += [b"{}", b'{"token": "wrong", "event": 5}']

    answers = [receiver.post(body) for body in bodies]

    assert {done.status_code for done in answers} == {401}
    assert len({done.content for done in answers}) == 1
    assert {frozenset(done.headers) for done in answers} == {frozenset(answers[0].headers)}
    assert ids(receiver.inbox) == []


def test_tokens_that_other_processes_add_or_remove_are_noticed(receiver: Running) -> None:
    assert receiver.post(delivery(1)).status_code == 200
    assert receiver.post(delivery(2, token="s3cret")).status_code == 401
    receiver.inbox.add_webhook(known("s3cret"))

    receiver.clock.now += server.CACHE_SECONDS
    assert receiver.post(delivery(2, token="s3cret")).status_code == 200
    receiver.inbox.remove_webhook(known("s3cret").fingerprint)
    receiver.clock.now += server.CACHE_SECONDS
    assert receiver.post(delivery(3, token="s3cret")).status_code == 401
    assert ids(receiver.inbox) == [1, 2]


@pytest.mark.parametrize("body", [b"", delivery(1)[:-1], delivery(1, event=None)], ids=range(3))
def test_a_body_that_is_not_an_event_is_refused(receiver: Running, body: bytes) -> None:
    assert receiver.post(body).status_code == 400
    assert receiver.post(delivery(2)).status_code == 200
    assert ids(receiver.inbox) == [2]


def test_odd_but_valid_events_are_kept(receiver: Running) -> None:
    odd = [
        {"id": 2**80},
        {"id": None},
        [],
        "text",
        5,
        {"id": "\0"},
        {"id": "\ud800"},
        {"id": "é" * 300},
        {"": {"": ""}},
    ]
    for data in odd:
        assert receiver.post(delivery(1, data=data)).status_code == 200

    kept = [each.body["data"] for page in receiver.inbox.events("Acme", 0, 100) for each in page]
    assert kept == [*odd[:5], {"id": "\ufffd"}, {"id": "\ufffd"}, *odd[7:]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_body_crashes_it(receiver: Running, body: bytes) -> None:
    assert receiver.post(body).status_code in {400, 401}


def test_a_body_is_limited_in_size(receiver: Running) -> None:
    room = LARGEST_BODY - len(delivery(""))
    assert receiver.post(delivery("x" * room)).status_code == 200
    assert receiver.post(delivery("x" * (room + 1))).status_code == 413
    assert receiver.post(iter([delivery(1), b" " * 4 * LARGEST_BODY])).status_code == 413
    assert receiver.post(delivery(2)).status_code == 200
    assert [len(str(each)) for each in ids(receiver.inbox)] == [room, 1]


def test_a_slow_body_times_out(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)
    with receiver.connect() as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        assert status(connection) == 408
        assert connection.recv(1000) in {b"", b'{"error":"The body took too long."}'}


def test_a_connection_that_closes_early_does_no_harm(receiver: Running) -> None:
    for part in (b"", b"POST", POST, POST + b"Content-Length: 100\r\n\r\n{"):
        with receiver.connect() as connection:
            connection.sendall(part)
    assert receiver.post(delivery(1)).status_code == 200


@pytest.mark.parametrize(
    "request_line", [b"\0\1\2\3\r\n\r\n", b"GET /\r\n\r\n", b"\x16\x03\x01\x02\x00" * 9 + b"\r\n\r\n"]
)
def test_invalid_http_is_refused(receiver: Running, request_line: bytes) -> None:
    with receiver.connect() as connection:
        connection.sendall(request_line)
        assert answer(connection).startswith(b"HTTP/1.1 400 ")
    assert receiver.post(delivery(1)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"), [("GET", "/aircall", 405), ("GET", "/", 405), ("PUT", "/aircall", 405)]
)
def test_other_requests_are_refused(receiver: Running, method: str, path: str, expected: int) -> None:
    assert requests.request(method, receiver.url + path, timeout=60).status_code == expected


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_total_size_of_bodies_is_limited(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_IN_HAND", 100_000)
    with receiver.connect() as slow:
        slow.sendall(POST + b"Content-Length: 90000\r\n\r\n" + b" " * 80_000)
        while receiver.post(delivery("x" * 30_000)).status_code != 503:
            pass  # until the server has read it
        assert receiver.post(delivery(1)).status_code == 200
        slow.sendall(b" " * 10_000)
        assert status(slow) == 400
    assert receiver.post(delivery("x" * 60_000)).status_code == 200


def test_the_number_of_deliveries_in_progress_is_limited(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_DELIVERIES", 1)
    with receiver.connect() as slow:
        body = delivery(1)
        slow.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert status(slow) == 100  # it has begun with this one
        done = receiver.post(delivery(2))
        assert (done.status_code, done.headers["Retry-After"]) == (503, "60")
        slow.sendall(body)
        assert status(slow) == 200
    assert receiver.post(delivery(2)).status_code == 200
    assert ids(receiver.inbox) == [1, 2]


def test_deliveries_get_503_while_the_store_fails(receiver: Running, tmp_path: Path) -> None:
    assert receiver.post(delivery(1)).status_code == 200
    with closing(sqlite3.connect(tmp_path / "inbox.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        done = receiver.post(delivery(2))
        assert (done.status_code, done.headers["Retry-After"]) == (503, "60")
        other.rollback()

    assert [receiver.post(delivery(number)).status_code for number in (2, 3)] == [200, 200]
    assert ids(receiver.inbox) == [1, 2, 3]


def test_deliveries_work_again_once_the_database_is_back(
    postgres: Postgres, make_receiver: Callable[..., Running]
) -> None:
    with closing(Inbox.open(postgres.url, create=True, patience=5)) as inbox:
        inbox.add_webhook(known())
        receiver = make_receiver(inbox)
        assert receiver.post(delivery(1)).status_code == 200
        postgres.goes_down()
        receiver.clock.now += server.CACHE_SECONDS
        assert [receiver.post(delivery(2)).status_code for _ in range(3)] == [503] * 3
        assert receiver.post(delivery(3, token="wrong")).status_code == 503  # it may be new
        postgres.comes_back()
        assert receiver.post(delivery(2)).status_code == 200
        assert receiver.post(delivery(3, token="wrong")).status_code == 401
        assert ids(inbox) == [1, 2]
        receiver.stop()


def test_a_store_that_hangs_gets_503(
    inbox: Inbox, make_receiver: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.add_webhook(known())
    may_go_on, append = threading.Event(), inbox.append

    def slow(rows: Sequence[EventRow]) -> None:
        assert may_go_on.wait(60)
        append(rows)

    monkeypatch.setattr(inbox, "append", slow)
    monkeypatch.setattr(server, "STORE_SECONDS", 0.05)
    receiver = make_receiver(inbox)
    assert receiver.post(delivery(1)).status_code == 503
    monkeypatch.setattr(server, "STORE_SECONDS", 60)
    may_go_on.set()
    assert receiver.post(delivery(1)).status_code == 200
    receiver.stop()
    assert ids(inbox) == [1]


def test_one_company_cannot_starve_the_others(
    inbox: Inbox, make_receiver: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, append = threading.Event(), inbox.append
    monkeypatch.setattr(server, "SMALLEST_SHARE", server.LARGEST_SHARE)
    monkeypatch.setattr(server, "STORE_SECONDS", 60)
    monkeypatch.setattr(inbox, "append", lambda rows: [may_go_on.wait(60), append(rows)])
    inbox.add_webhook(known())
    inbox.add_webhook(known("s3cret", "Zoo"))
    receiver = make_receiver(inbox)

    def post(body: bytes) -> int:
        return requests.post(f"{receiver.url}/aircall", data=body, timeout=60).status_code

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(post, delivery(number)) for number in range(2)]
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        other = pool.submit(post, delivery(3, token="s3cret"))
        may_go_on.set()
        assert sorted(each.result() for each in waiting) == [200, 503]
    assert (done.pop().result(), other.result()) == (503, 200)
    assert (len(ids(inbox)), ids(inbox, "Zoo")) == (1, [3])
    receiver.stop()


def test_a_large_body_does_not_delay_the_others(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def slow(body: bytes) -> Delivery:
        if len(body) > server.QUICK_BODY:
            begun.set()
            assert may_go_on.wait(5)
        return Delivery(body)

    monkeypatch.setattr(server, "Delivery", slow)
    monkeypatch.setattr(server, "STORE_SECONDS", 60)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(receiver.post, delivery(1, text="x" * server.QUICK_BODY))
        assert begun.wait(60)
        assert receiver.post(delivery(2)).status_code == 200
        assert not large.done()
        may_go_on.set()
        assert large.result().status_code == 200
    assert ids(receiver.inbox) == [2, 1]


def test_a_company_at_its_limit_does_not_affect_others(
    inbox: Inbox, make_receiver: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    inbox.add_webhook(known())
    inbox.add_webhook(known("s3cret", "Zoo"))
    receiver = make_receiver(inbox, largest=2_000)

    def status(number: int, token: str = SECRET) -> int:
        receiver.clock.now += server.CACHE_SECONDS
        return receiver.post(delivery(number, token=token)).status_code

    statuses = [status(number) for number in range(15)]
    assert statuses == sorted(statuses)
    kept = statuses.count(200)
    assert sum(len(json.dumps(each.body)) for page in inbox.events("Acme", 0, 100) for each in page) < 2_300
    assert (status(0, "s3cret"), ids(inbox, "Zoo"), ids(inbox)) == (200, [0], list(range(kept)))
    assert [record.args for record in caplog.records if "aircall-inbox forget" in record.msg] == [("Acme", ANY)]
    inbox.forget("Acme", int(receiver.clock.now * 1000) + 1)
    assert status(99) == 200


BREAKS: dict[str, Callable[[Path], object]] = {
    "removed": lambda file: file.unlink(),
    "renamed": lambda file: file.rename(file.with_suffix(".old")),
    "emptied": lambda file: (file.rename(file.with_suffix(".old")), file.write_bytes(b"")),
    "replaced": lambda file: shutil.copy(file, file.with_suffix(".new")) and file.with_suffix(".new").replace(file),
    "cut": lambda file: os.truncate(file, 0),
    "read-only": lambda file: file.chmod(0o400),
    "without its log": lambda file: file.with_name(f"{file.name}-wal").unlink(),
}


@pytest.mark.parametrize("how", BREAKS)
def test_no_delivery_is_confirmed_that_went_to_a_lost_file(receiver: Running, tmp_path: Path, how: str) -> None:
    assert receiver.post(delivery(1)).status_code == 200
    BREAKS[how](tmp_path / "inbox.db")

    assert receiver.get(HEALTH).status_code == 503
    works_again = how in {"replaced", "without its log"}
    assert receiver.post(delivery(2)).status_code == (200 if works_again else 503)
    if works_again:
        with closing(Inbox.open(str(tmp_path / "inbox.db"), create=False)) as inbox:
            assert ids(inbox) == [1, 2]
    if (old := tmp_path / "inbox.old").exists():
        old.replace(tmp_path / "inbox.db")
        receiver.get(HEALTH)  # may notice that it was replaced once more
        assert receiver.post(delivery(3)).status_code == 200


def test_each_health_check_writes(receiver: Running, tmp_path: Path) -> None:
    written = []
    for _ in range(3):
        assert receiver.get(HEALTH).status_code == 200
        written.append((tmp_path / "inbox.db-wal").read_bytes())
    assert len(set(written)) == 3


def test_health_is_whether_the_store_is_writable(receiver: Running, tmp_path: Path) -> None:
    assert (receiver.get(HEALTH).status_code, receiver.get(HEALTH).json()) == (200, {"status": "ok"})
    with closing(sqlite3.connect(tmp_path / "inbox.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        done = receiver.get(HEALTH)
        assert (done.status_code, done.json()) == (503, {"status": "the store is not writable"})
        other.rollback()
        for old, new, status in (("events", "gone", 503), ("gone", "events", 200)):
            other.execute(f"ALTER TABLE {old} RENAME TO {new}")
            assert receiver.get(HEALTH).status_code == status
    assert receiver.get(HEALTH).status_code == 200
    assert ids(receiver.inbox) == []


def test_concurrent_deliveries_are_all_stored(receiver: Running) -> None:
    def post(number: int) -> int:
        return requests.post(f"{receiver.url}/aircall", data=delivery(number), timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(200))) == {200}
    assert sorted(ids(receiver.inbox)) == list(range(200))


def test_accepted_deliveries_are_finished_on_shutdown(receiver: Running) -> None:
    body = delivery(1)
    with receiver.connect() as connection, receiver.connect() as idle:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body[:10])
        while not receiver.server.server_state.tasks:
            pass  # until the server has begun with it
        ending = threading.Thread(target=receiver.stop)
        ending.start()
        assert ended(idle)
        connection.sendall(body[10:])
        assert status(connection) == 200
        ending.join()
    assert ids(receiver.inbox) == [1]


def test_refusals_are_counted_in_the_log(receiver: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tap_aircall")
    for body in (b"hello", b"{}", b"{}", b"hello"):
        receiver.post(body)
    receiver.get("/aircall")  # what a redirect makes of a delivery
    receiver.clock.now += server.REFUSALS_LOG_SECONDS
    receiver.post(b"{}")

    each_names(caplog.messages, ("1 with 400",), ("1 with 400", "3 with 401", "1 with 405"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_it_serves_https_with_a_certificate(
    tmp_path: Path, make_receiver: Callable[..., Running], authority: trustme.CA
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    issued.private_key_pem.write_to_path(key)
    with closing(Inbox.open(str(tmp_path / "inbox.db"), create=True)) as inbox:
        inbox.add_webhook(known())
        receiver = make_receiver(inbox, certificate=certificate, key=key)

        done = receiver.post(delivery(1), verify=str(tmp_path / "ca.pem"))

        assert receiver.url.startswith("https://")
        assert done.status_code == 200
        assert ids(inbox) == [1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"certificate": "missing.pem"}, ["--certificate", "--key", os.strerror(errno.ENOENT)]),
        ({"certificate": "text.pem"}, ["--certificate", "--key"]),
        ({"host": "256.0.0.1"}, ["--host", "--port", "256.0.0.1", 0]),
        ({"host": "x" * 300}, ["--host", "--port"]),
    ],
    ids=range(4),
)
def test_unusable_options_are_refused(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], named: list[object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pem").write_text("hello", encoding="utf-8")
    with closing(Inbox.open("inbox.db", create=True)) as inbox, refused(InputError, *named):
        Server(Receiver(inbox, clock), **options)


def test_a_port_in_use_is_refused(receiver: Running) -> None:
    with refused(InputError, receiver.port, os.strerror(errno.EADDRINUSE)):
        Server(Receiver(receiver.inbox, receiver.clock), port=receiver.port)
