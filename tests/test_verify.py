"""`--verify`: what holds, differs and is not seen, against truthful and lying sandboxes."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from aircall_sandbox import Fault, Sandbox, World
from aircall_sandbox.__main__ import main as serve
from aircall_sandbox.replay import Replay
from tap_aircall.errors import CredentialsError, TapAircallError
from tap_aircall.streams.registry import STREAMS
from tap_aircall.verify import MOST_REQUESTS
from tests.clock import NOW, FakeClock
from tests.companies import add_everything, furnish
from tests.conftest import Aircall
from tests.inboxes import FROM_API
from tests.leaks import PEOPLE, SECRETS
from tests.messages import names, refused
from tests.slow import few_or_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT = [name for name, stream in STREAMS.items() if stream.selected_by_default]
LOSES = "DIFFERS, COULD LOSE DATA"
TRACE = "aircall-verify.jsonl"
NOBODY = ("--calls=0", "--contacts=0", "--users=1")
Verdicts = dict[str, tuple[str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a separate folder, where the traces go."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def shared() -> Iterator[Aircall]:
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        furnish(sandbox.world, calls=130, contacts=70, users=3)
        yield Aircall(sandbox, clock)


@pytest.fixture
def company(shared: Aircall) -> Iterator[Aircall]:
    """A company that all tests share."""
    shared.clock.now = NOW
    yield shared
    shared.sandbox.faults.clear()
    shared.sandbox.clock_offset = 0


def verified(aircall: Aircall, capsys: pytest.CaptureFixture[str], *streams: str) -> Verdicts:
    """Return the verdicts, and check that the command fails exactly if one could lose data."""
    before = len(aircall.sandbox.requests)
    has_failed = False
    try:
        aircall.tap(streams=streams or DEFAULT).verify()
    except TapAircallError as error:
        has_failed = type(error) is TapAircallError
    assert len(aircall.sandbox.requests) - before <= MOST_REQUESTS
    found = rows(capsys.readouterr().out)
    assert has_failed == (LOSES in {verdict for verdict, _ in found.values()})
    return found


def rows(output: str) -> Verdicts:
    """Read the table."""
    cells = [line[2:-2].split(" | ") for line in output.splitlines() if line.startswith("| ")]
    assert {len(row) for row in cells[1:]} == {3}
    return {what: (verdict, seen) for verdict, what, seen in cells[1:]}


def trace(path: str | Path = TRACE) -> list[dict[str, Any]]:
    """Read a trace without its header."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()][1:]


def test_the_sandbox_is_as_the_tap_relies_on(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(company.sandbox.requests)

    found = verified(company, capsys)

    assert {verdict for verdict, _ in found.values()} == {"holds"}
    assert len(found) == 22 + len(DEFAULT)
    assert found["calls: a window is read to its end"] == ("holds", "130 calls on 3 pages")
    assert found["users: as many as `users_count` of the company"] == ("holds", "3 listed, 3 expected")
    assert found["positions beyond it are refused with status 400"] == ("holds", "status 400")
    assert found["calls: `total` matches the list"] == ("holds", "130 in all")
    assert len(company.sandbox.requests) - before == len(trace()) <= 30


def test_every_stream_is_looked_at_as_far_as_the_requests_go(
    aircall: Aircall, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(aircall.world, calls=130, contacts=70, users=3)
    add_everything(aircall.world)

    found = verified(aircall, capsys, *STREAMS)

    looked_at = {name: found[f"{name}: records match the schema"] for name in FROM_API}
    assert {name for name, (verdict, _) in looked_at.items() if verdict != "holds"} == {
        "integrations",  # OAuth only
        "analytics_reports",  # none are chosen
        "call_recordings",  # they have no location
        *("campaigns", "campaign_outcomes", "campaign_contacts", "campaign_call_outcomes"),  # there are none
    }


def test_more_requests_than_allowed_are_not_made(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    tap, before = company.tap(streams=DEFAULT), len(company.sandbox.requests)
    tap.this_run.client.requests_sent = 42

    tap.verify()

    found = rows(capsys.readouterr().out)
    assert len(company.sandbox.requests) - before == 18
    assert found["webhooks: records match the schema"] == ("not seen", "All of 60 requests are used up.")


def test_an_empty_account_has_nothing_to_see(
    aircall: Aircall, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = verified(aircall, capsys)

    assert {what for what, (verdict, _) in found.items() if verdict != "not seen"} == {
        "responses have the time (header `Date`)",
        "position 10,000 of a list can be read",
        "positions beyond it are refused with status 400",
        "company: records match the schema",
    }
    assert names(caplog.messages[-2], "calls", "contacts", "users")


def test_what_is_not_there_is_not_seen(
    aircall: Aircall, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    furnish(aircall.world, calls=20, contacts=0, users=1)

    found = verified(aircall, capsys)

    unseen = {what: seen for what, (verdict, seen) in found.items() if verdict == "not seen"}
    assert unseen == {
        "calls: page 2 continues where page 1 ends": "there is one page",
        "calls: a window is read to its end": "20 calls on one page are all there are",
        "contacts: order and bounds": "there are no contacts",
        "contacts: records match the schema": "there are none",
    }
    assert LOSES not in {verdict for verdict, _ in found.values()}
    assert not [line for line in caplog.messages if names(line, "calls", "contacts", "users")]


def test_a_total_that_changes_is_told(aircall: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    furnish(aircall.world, calls=530, contacts=0, users=1)
    assert verified(aircall, capsys)["calls: a window is read to its end"] == ("holds", "400 calls on 8 pages")
    deep = {"order": "asc", "page": "5"}
    aircall.sandbox.faults.append(Fault(path="/v1/calls", query=deep, mutate=meta(total=401)))

    found = verified(aircall, capsys)

    assert found["calls: a window is read to its end"] == ("holds", "400 calls on 10 pages; changes of the total: 3")


def test_calls_that_are_counted_and_not_shown_are_found(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    company.sandbox.faults.append(
        Fault(path="/v1/calls", query={"order": "asc"}, after=3, times=99, mutate=meta(total=133))
    )

    found = verified(company, capsys)

    assert found["calls: a window is read to its end"][0] == "holds"
    assert found["calls: all counted calls are shown"] == (LOSES, "hidden: 3")


def test_users_that_are_counted_and_not_shown_are_found(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    company.sandbox.faults.append(Fault(path="/v2/users", times=99, mutate=each("users", list.pop)))

    found = verified(company, capsys)

    assert found["users: records match the schema"] == (LOSES, "2 records; 1 hidden by Aircall")


def test_calls_that_cannot_be_used_are_found(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    company.sandbox.faults.append(
        Fault(
            path="/v1/calls",
            query={"order": "asc", "page": "1"},
            after=3,
            times=99,
            mutate=each("calls", lambda calls: calls and calls[0].update(started_at="")),
        )
    )

    found = verified(company, capsys)

    verdict, seen = found["calls: records match the schema"]
    assert (verdict, "1 set aside (unusable)" in seen) == (LOSES, True)


def test_a_window_without_end_is_given_up(aircall: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    furnish(aircall.world, calls=0, contacts=0, users=1)
    for _ in range(900):
        aircall.world.add_call(started_at=int(NOW) - 90_000)

    found = verified(aircall, capsys)

    assert found["calls: a window is read to its end"] == ("not seen", "More than 16 pages were not read.")
    assert found["users: records match the schema"][0] == "holds"


def each(envelope: str, change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Return a lie that changes the list in an answer."""

    def lie(payload: Any) -> Any:
        if envelope in payload:
            change(payload[envelope])
        return payload

    return lie


def meta(**values: Any) -> Callable[[Any], Any]:
    def lie(payload: Any) -> Any:
        payload["meta"].update(values)
        return payload

    return lie


def nothing(payload: Any) -> Any:
    return payload | {"calls": []}


def set_fields(**values: Any) -> Callable[[list[Any]], None]:
    def change(records: list[Any]) -> None:
        for record in records:
            record.update(values)

    return change


SECOND = int(NOW) - 90_000 - 49 * 37
"""Start of the oldest call on the newest page, in UNIX seconds."""


def lie(
    what: str, verdict: str, mutate: Callable[[Any], Any] | None = None, path: str = "/v1/calls", **fault: Any
) -> Any:
    """Return a case: the verdict on an expectation while this fault lasts."""
    return pytest.param(what, verdict, Fault(path=path, times=float("inf"), mutate=mutate, **fault), id=what)


ASC, DESC = {"order": "asc"}, {"order": "desc"}
CONTACTS, TAGS, TEAMS, USERS = "/v1/contacts", "/v1/tags", "/v1/teams", "/v2/users"
TWICE = each("calls", lambda calls: calls.insert(20, calls[19] | {"id": 5}))
LONG_AGO = each("calls", set_fields(started_at=int(NOW) - 300 * 86_400))
MATCHES = "{}: records match the schema"


@pytest.mark.parametrize(
    ("what", "verdict", "fault"),
    [
        lie("calls: `order=desc` is by `started_at`", LOSES, each("calls", list.reverse), query=DESC),
        lie("calls: a window is read to its end", LOSES, each("calls", list.reverse), query=ASC),
        lie("calls: both orders show the same calls", LOSES, TWICE, query={"page": "2", **DESC}),
        lie(
            "calls: page 2 continues where page 1 ends",
            LOSES,
            each("calls", set_fields(id=4_200_000_001)),
            query={"page": "2"},
        ),
        lie("calls: `to` is inclusive", LOSES, nothing, query={"from": str(SECOND - 1), "to": str(SECOND)}),
        lie(
            "calls: `from` is exclusive",
            "differs",
            lambda _: {"calls": [{"id": 4_200_000_050}]},
            query={"from": str(SECOND)},
        ),
        lie(
            "calls: none outside `from` and `to` are listed",
            LOSES,
            lambda _: {"calls": [{"id": 1, "started_at": 1}]},
            after=2,
            query=ASC,
        ),
        lie(
            "a page has 50 records at most",
            "differs",
            lambda p: p | {"calls": 2 * p["calls"]},
            query={"per_page": "100"},
        ),
        lie("position 10,000 of a list can be read", LOSES, query={"page": "200"}, status=400),
        lie("positions beyond it are refused with status 400", "differs", query={"page": "201"}, status=422),
        lie(
            "calls: `meta` is complete",
            "differs",
            lambda p: {"calls": p["calls"], "meta": {"total": 130}},
            query=DESC,
        ),
        lie("calls: `total` matches the list", LOSES, meta(total=7), query=DESC),
        lie("calls of six months are served", "differs", LONG_AGO, query={"per_page": "50"}),
        lie("contacts: `order_by=updated_at` works", LOSES, each("contacts", list.reverse), CONTACTS),
        lie(
            "contacts: `from` and `to` are inclusive, and filter by `created_at`",
            LOSES,
            lambda p: p | {"contacts": []},
            CONTACTS,
            query=ASC,
        ),
        lie(
            "contacts: none outside `from` and `to` are listed",
            LOSES,
            each("contacts", set_fields(created_at=5)),
            CONTACTS,
            query=ASC,
        ),
        lie("users: version 2 lists them all", LOSES, lambda p: p | {"users": []}, USERS),
        lie(
            "users: as many as `users_count` of the company",
            "differs",
            lambda p: p | {"users": p["users"][:2], "meta": p["meta"] | {"total": 2}},
            USERS,
        ),
        lie("users: `total` matches the list", LOSES, meta(total=2), USERS),
        lie(MATCHES.format("tags"), "differs", each("tags", set_fields(mood="good")), TAGS),
        lie(MATCHES.format("tags"), LOSES, each("tags", set_fields(id=None)), TAGS),
        lie(MATCHES.format("teams"), LOSES, each("teams", set_fields(created_at="soon")), TEAMS),
        lie(MATCHES.format("teams"), LOSES, lambda _: {"teem": []}, TEAMS),
        lie(MATCHES.format("webhooks"), "not seen", path="/v1/webhooks", status=404),
    ],
)
def test_a_lie_is_found(
    company: Aircall, capsys: pytest.CaptureFixture[str], what: str, verdict: str, fault: Fault
) -> None:
    company.sandbox.faults.append(fault)

    assert verified(company, capsys)[what][0] == verdict


def test_fields_are_named_with_counts_and_without_values(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    def change(tags: list[Any]) -> None:
        tags[0]["Planted"] = "Planted Person"
        tags[1]["color"] = 7
        del tags[0]["description"], tags[2]["description"]

    company.sandbox.faults.append(Fault(path="/v1/tags", times=9, mutate=each("tags", change)))

    found = verified(company, capsys)

    assert found["tags: records match the schema"] == (
        "differs",
        "3 records; unknown: `Planted` (1), `color` (1); missing: `description` (2), `direct_link` (3)",
    )


@pytest.mark.parametrize(("seconds", "verdict"), [(30, "holds"), (-3600, "differs")])
def test_the_clocks_are_compared(
    company: Aircall, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seconds: int, verdict: str
) -> None:
    company.sandbox.clock_offset = seconds

    found = verified(company, capsys)

    assert found["responses have the time (header `Date`)"] == (
        verdict,
        f"Aircall's clock is {seconds:+} s from this machine's",
    )
    monkeypatch.setattr(company.sandbox, "date", lambda _: None)
    assert verified(company, capsys)["responses have the time (header `Date`)"][0] == "differs"


def test_a_fault_that_stays_costs_no_more_requests_than_there_are(
    company: Aircall, capsys: pytest.CaptureFixture[str]
) -> None:
    company.sandbox.faults.append(Fault(path="/v1", after=1, times=float("inf"), status=500))

    found = verified(company, capsys)

    assert found["teams: records match the schema"] == ("not seen", "Aircall responded to /v1/teams with status 500.")


def test_rejected_credentials_end_it(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CredentialsError):
        company.tap(password="wrong").verify()
    assert capsys.readouterr().out == ""


# What is written


def test_nobodys_data_is_in_what_it_writes(company: Aircall, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    said: set[Any] = set()
    plants = [*SECRETS, *PEOPLE]

    def plant(value: Any) -> Any:
        """Add people, numbers and secrets to all objects, as values and as names, and collect all values."""
        if isinstance(value, list):
            return [plant(inner) for inner in value]
        if not isinstance(value, dict):
            said.add(value)
            return value
        planted = {name: plant(inner) for name, inner in value.items()}
        return planted | {"mood": plants[len(said) % len(plants)], "+33 6 12 34 56 78": 1, "Planted Person": {"a": 1}}

    company.sandbox.faults.append(Fault(times=float("inf"), mutate=plant))

    found = verified(company, capsys)

    assert found["tags: records match the schema"][1].startswith("3 records; unknown: `(other)` (3), `mood` (3)")
    text = (folder / TRACE).read_text(encoding="utf-8")
    assert not [each for each in plants if each in text]
    words = {each for each in said if isinstance(each, str) and each not in {"", "text", "time", "asc", "desc"}}
    numbers = {str(each) for each in said if type(each) is int and each > 9_999}
    assert not words & set(re.findall(r'"([^"]*)"(?!:)', text))
    assert not numbers & set(re.findall(r"\d+", text))


def test_ids_are_not_in_the_table(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    company.sandbox.faults.append(Fault(path="/v2/users/", times=9, status=500))

    found = verified(company, capsys)

    line = "Aircall responded to /v2/users/{id}/numbers with status 500."
    assert found["user_numbers: records match the schema"] == ("not seen", line)


def test_a_trace_is_its_owners_alone_and_takes_no_others_place(
    company: Aircall, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / TRACE).write_text("mine")
    (folder / "aircall-verify-2.jsonl").symlink_to(folder / "elsewhere")

    company.tap(streams=["tags"]).verify()

    written = folder / "aircall-verify-3.jsonl"
    assert written.stat().st_mode & 0o777 == 0o600
    assert names(capsys.readouterr().out, written.name)
    assert (folder / TRACE).read_text() == "mine"
    assert not (folder / "elsewhere").exists()


def test_the_table_is_printed_where_no_file_can_be_written(
    company: Aircall, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    company.tap(streams=["tags"]).verify()

    *_, last = capsys.readouterr().out.splitlines()
    assert last == ("There is no trace, because the working directory is not writable: No such file or directory.")


# A trace, replayed


ODD: list[list[dict[str, Any]]] = [
    [],
    [{"query": {"order": "asc"}, "mutate": each("calls", list.reverse)}, {"path": "/v2/users", "status": 500}],
    [{"mutate": meta(per_page="50")}, {"path": "/v1/tags", "failure": "html"}, {"path": "/v1/teams", "status": 403}],
    [{"mutate": each("calls", set_fields(id={"a": 1}))}, {"path": "/v1/contacts", "failure": "reset"}],
    [{"query": {"order": "desc"}, "mutate": meta(total=-7)}, {"path": "/v1/contacts", "mutate": lambda _: ["x"]}],
    [{"path": "/v1/tags", "status": 429, "headers": {"X-AircallApi-Reset": str(int(NOW) + 20)}, "times": 1}],
    [{"path": "/v1/tags", "status": 429, "headers": {"X-AircallApi-Reset": str(int(NOW * 1000) + 9_000)}, "times": 1}],
    [{"path": "/v1/tags", "mutate": each("tags", lambda tags: tags[1].update(icon="x", name=3, color=[]))}],
    [{"path": "/v1/company", "mutate": lambda _: {"company": {"users_count": "3"}}}],
]


@pytest.mark.parametrize("faults", ODD, ids=range(len(ODD)))
def test_a_replayed_account_gives_the_same_verdicts_and_the_same_trace(
    company: Aircall, aircall: Aircall, capsys: pytest.CaptureFixture[str], faults: list[dict[str, Any]]
) -> None:
    everywhere: dict[str, Any] = {"path": "/v1/calls", "times": float("inf")}
    company.sandbox.faults += [Fault(**(everywhere | fault)) for fault in faults]
    company.sandbox.clock_offset = -3 * len(faults)
    found = verified(company, capsys)
    aircall.clock.now = NOW
    replay = Replay.read(Path(TRACE), aircall.clock.time)
    aircall.sandbox.faults.append(replay)
    aircall.sandbox.date = replay.date

    again = verified(aircall, capsys)

    assert {what: verdict for what, (verdict, _) in again.items()} == {
        what: verdict for what, (verdict, _) in found.items()
    }
    assert trace("aircall-verify-2.jsonl") == trace()


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 7, 2**70, 0.5, "", "x|y`z`", "50", [], ["a"], [[]], {}, {"id": {}}, [{"id": []}]]
)


@st.composite
def lies(draw: st.DrawFn) -> Fault:
    """Draw a fault that changes answers: whole ones, lists, records, fields or `meta`."""
    resource = draw(st.sampled_from(["calls", "calls", "contacts", "users", "company", "tags", "numbers", "webhooks"]))
    what = draw(st.sampled_from(["payload", "list", "record", "field", "meta"]))
    field = draw(st.sampled_from(["id", "started_at", "created_at", "updated_at", "name", "users_count", "webhook_id"]))
    key = draw(st.sampled_from(["total", "per_page", "current_page", "count", "next_page_link"]))
    junk, every = draw(JUNK), draw(st.booleans())

    def lie(payload: Any) -> Any:
        records = payload.get(resource)
        if what == "payload":
            return junk
        if what == "list":
            return payload | {resource: junk}
        if what == "meta":
            return payload | {"meta": payload["meta"] | {key: junk} if "meta" in payload and every else junk}
        if not isinstance(records, list):
            return payload | {resource: payload.get(resource, {}) | {field: junk}}
        for n in range(len(records))[: None if every else 1]:
            records[n] = junk if what == "record" else records[n] | {field: junk}
        return payload

    path = f"/{'v2' if resource == 'users' else 'v1'}/{resource}"
    return Fault(path=path, after=draw(st.integers(0, 6)), times=draw(st.sampled_from([1, 99])), mutate=lie)


def test_whatever_the_server_says_gets_a_verdict(
    company: Aircall, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    @settings(max_examples=few_or_many(10, 100))
    @given(st.lists(lies(), min_size=1, max_size=3))
    def check(drawn: list[Fault]) -> None:
        company.sandbox.faults[:] = drawn
        found = verified(company, capsys)
        assert not [seen for _, seen in found.values() if "the tap fails" in seen]
        (written,) = folder.glob("aircall-verify*")
        assert trace(written)
        written.unlink()

    check()


def test_they_are_commands(company: Aircall, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(company.config()), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "tap-aircall"), "--config", str(config), "--verify"]

    good = subprocess.run(command, capture_output=True, text=True, check=False)
    no_users = Fault(path="/v2/users", times=9, mutate=lambda payload: payload | {"users": []})
    company.sandbox.faults.append(no_users)
    bad = subprocess.run(command, capture_output=True, text=True, check=False)

    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines()[3] == "|---|---|---|"
    assert '"type"' not in good.stdout
    assert bad.returncode == 1
    assert f"| {LOSES} | users: version 2 lists them all |" in bad.stdout
    assert names(bad.stderr.splitlines()[-1], "ERROR", "aircall-verify-2.jsonl")
    replaying = [sys.executable, "-m", "aircall_sandbox", "--port=0", *NOBODY, "--trace", "aircall-verify-2.jsonl"]
    with subprocess.Popen(replaying, stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        url = sandbox.stdout.readline().split()[3].rstrip(",")
        with refused(TapAircallError, "aircall-verify-3.jsonl"):
            company.tap(streams=DEFAULT, api_url=url).verify()
        sandbox.terminate()
    assert rows(capsys.readouterr().out).keys() == rows(bad.stdout).keys()


def test_what_is_no_trace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"type": "STATE"}\n')
    for path, problem in ((other, "tap-aircall --verify"), (tmp_path / "none", os.strerror(errno.ENOENT))):
        monkeypatch.setattr("sys.argv", ["aircall_sandbox", *NOBODY, "--trace", str(path)])
        assert serve() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert problem in line
