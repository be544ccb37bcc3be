"""`--verify`: what holds, differs and cannot be seen, against sandboxes that tell the truth and that lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import CredentialsError, TapAircallError
from tap_aircall.streams.registry import STREAMS
from tap_aircall.verify import MOST_REQUESTS
from tests.clock import NOW
from tests.companies import add_everything, furnish
from tests.inboxes import FROM_API

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Aircall

DEFAULT = [name for name, stream in STREAMS.items() if stream.selected_by_default]
LOSES = "DIFFERS, COULD LOSE DATA"


@pytest.fixture
def company(aircall: Aircall) -> Aircall:
    furnish(aircall.world, calls=130, contacts=70, users=3)
    return aircall


def verified(aircall: Aircall, capsys: pytest.CaptureFixture[str], *streams: str) -> dict[str, tuple[str, str]]:
    """Return what is said of each thing, and whether the command fails when it should."""
    before = len(aircall.sandbox.requests)
    has_failed = False
    try:
        aircall.tap(streams=streams or DEFAULT).verify()
    except TapAircallError as error:
        has_failed = str(error).startswith("The verification failed: ")
    assert len(aircall.sandbox.requests) - before <= MOST_REQUESTS
    rows = [line[2:-2].split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = {what: (verdict, seen) for verdict, what, seen in rows[1:]}
    assert has_failed == (LOSES in {verdict for verdict, _ in found.values()})
    return found


def test_the_sandbox_is_as_the_tap_relies_on(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    found = verified(company, capsys)

    assert {verdict for verdict, _ in found.values()} == {"holds"}
    assert len(found) == 31
    assert found["users: as many as the company says"] == ("holds", "3 listed, 3 said")
    assert found["what is beyond it is refused with status 400"] == ("holds", "status 400")
    assert found["calls: `total` fits what is listed"] == ("holds", "130 in all")
    assert len(company.sandbox.requests) <= 25


def test_every_stream_is_looked_at_as_far_as_the_requests_go(
    company: Aircall, capsys: pytest.CaptureFixture[str]
) -> None:
    add_everything(company.world)

    found = verified(company, capsys, *STREAMS)

    looked_at = {name: found[f"{name}: records are as the schema says"] for name in FROM_API}
    assert {name for name, (verdict, _) in looked_at.items() if verdict != "holds"} == {
        "integrations",  # OAuth only
        "analytics_reports",  # none are chosen
        "call_recordings",  # no place for them
    }
    assert len(company.sandbox.requests) == MOST_REQUESTS


def test_what_is_not_there_is_not_seen(aircall: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    aircall.world.add("users")

    found = verified(aircall, capsys)

    unseen = {what for what, (verdict, _) in found.items() if verdict == "not seen"}
    assert {"calls: order, bounds and pages", "contacts: order and bounds", "calls of six months are served"} <= unseen
    assert LOSES not in {verdict for verdict, _ in found.values()}


def each(envelope: str, change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Make a lie that changes the list in an answer."""

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
"""When the oldest call on the newest page began."""
LIES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "calls: `order=desc` is by `started_at`",
        LOSES,
        {"query": {"order": "desc"}, "mutate": each("calls", list.reverse)},
    ),
    (
        "calls: `order=asc` is by `started_at`",
        LOSES,
        {"query": {"order": "asc"}, "mutate": each("calls", list.reverse)},
    ),
    (
        "calls: both orders show the same calls",
        LOSES,
        {"query": {"from": str(SECOND - 1)}, "mutate": each("calls", list.pop)},
    ),
    (
        "calls: page 2 goes on where page 1 ends",
        LOSES,
        {"query": {"page": "2"}, "mutate": each("calls", set_fields(id=4_200_000_001))},
    ),
    ("calls: `to` is inclusive", LOSES, {"query": {"from": str(SECOND - 1), "to": str(SECOND)}, "mutate": nothing}),
    (
        "calls: `from` is exclusive",
        "differs",
        {"query": {"from": str(SECOND)}, "mutate": lambda _: {"calls": [{"id": 4_200_000_050}]}},
    ),
    (
        "calls: what is outside of `from` and `to` is not listed",
        LOSES,
        {
            "after": 3,
            "query": {"order": "asc"},
            "path": "/v1/calls",
            "mutate": lambda _: {"calls": [{"id": 1, "started_at": 1}]},
        },
    ),
    (
        "a page has 50 records at most",
        "differs",
        {"query": {"per_page": "100"}, "mutate": lambda p: p | {"calls": 2 * p["calls"]}},
    ),
    ("position 10,000 of a list can be asked for", LOSES, {"query": {"page": "200"}, "status": 400}),
    ("what is beyond it is refused with status 400", "differs", {"query": {"page": "201"}, "status": 422}),
    (
        "calls: `meta` says what the list has",
        "differs",
        {"query": {"order": "desc"}, "mutate": lambda p: {"calls": p["calls"], "meta": {"total": 130}}},
    ),
    ("calls: `total` fits what is listed", LOSES, {"query": {"order": "desc"}, "mutate": meta(total=7)}),
    (
        "calls of six months are served",
        "differs",
        {"query": {"per_page": "50"}, "mutate": each("calls", set_fields(started_at=int(NOW) - 300 * 86_400))},
    ),
    (
        "contacts: `order_by=updated_at` is obeyed",
        LOSES,
        {"path": "/v1/contacts", "mutate": each("contacts", list.reverse)},
    ),
    (
        "contacts: `from` and `to` are inclusive, and on `created_at`",
        LOSES,
        {"path": "/v1/contacts", "query": {"order": "asc"}, "mutate": lambda p: p | {"contacts": []}},
    ),
    (
        "contacts: what is outside of `from` and `to` is not listed",
        LOSES,
        {"path": "/v1/contacts", "query": {"order": "asc"}, "mutate": each("contacts", set_fields(created_at=5))},
    ),
    ("users: version 2 has them", LOSES, {"path": "/v2/users", "mutate": lambda p: p | {"users": []}}),
    ("users: as many as the company says", "differs", {"path": "/v2/users", "mutate": meta(total=2)}),
    (
        "tags: records are as the schema says",
        "differs",
        {"path": "/v1/tags", "mutate": each("tags", set_fields(mood="good"))},
    ),
    (
        "tags: records are as the schema says",
        LOSES,
        {"path": "/v1/tags", "mutate": each("tags", set_fields(id=None))},
    ),
    (
        "teams: records are as the schema says",
        LOSES,
        {"path": "/v1/teams", "mutate": each("teams", set_fields(created_at="soon"))},
    ),
    ("teams: records are as the schema says", LOSES, {"path": "/v1/teams", "mutate": lambda _: {"teem": []}}),
    ("webhooks: records are as the schema says", "not seen", {"path": "/v1/webhooks", "status": 404}),
]


@pytest.mark.parametrize(("what", "verdict", "fault"), LIES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_lie_is_found(
    company: Aircall, capsys: pytest.CaptureFixture[str], what: str, verdict: str, fault: dict[str, Any]
) -> None:
    company.sandbox.faults.append(Fault(times=float("inf"), **({"path": "/v1/calls"} | fault)))

    assert verified(company, capsys)[what][0] == verdict


def test_fields_are_named_with_counts_and_without_values(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    def change(tags: list[Any]) -> None:
        tags[0]["Planted"] = "Planted Person"
        tags[1]["color"] = 7
        del tags[0]["description"], tags[2]["description"]

    company.sandbox.faults.append(Fault(path="/v1/tags", times=9, mutate=each("tags", change)))

    found = verified(company, capsys)

    assert found["tags: records are as the schema says"] == (
        "differs",
        "3 records; unknown: `Planted` (1), `color` (1); missing: `description` (2), `direct_link` (3)",
    )


@pytest.mark.parametrize(("seconds", "verdict"), [(30, "holds"), (-3600, "differs")])
def test_the_clocks_are_compared(
    company: Aircall, capsys: pytest.CaptureFixture[str], seconds: int, verdict: str
) -> None:
    company.sandbox.clock_offset = seconds

    found = verified(company, capsys)

    assert found["answers say what time it is (header `Date`)"] == (
        verdict,
        f"Aircall's clock is {seconds:+} s from this machine's",
    )
    company.sandbox.date = lambda _: None
    assert verified(company, capsys)["answers say what time it is (header `Date`)"][0] == "differs"


def test_a_fault_that_stays_costs_no_more_requests_than_there_are(
    company: Aircall, capsys: pytest.CaptureFixture[str]
) -> None:
    company.sandbox.faults.append(Fault(path="/v1", after=1, times=float("inf"), status=500))

    found = verified(company, capsys)

    assert found["teams: records are as the schema says"] == ("not seen", "Aircall answered /v1/teams with status 500.")


def test_rejected_credentials_end_it(company: Aircall, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CredentialsError):
        company.tap(password="wrong").verify()
    assert capsys.readouterr().out == ""


def test_it_is_a_command(company: Aircall, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(company.config()), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "tap-aircall"), "--config", str(config), "--verify"]

    good = subprocess.run(command, capture_output=True, text=True, check=False)
    company.sandbox.faults.append(Fault(path="/v2/users", mutate=lambda payload: payload | {"users": []}))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)

    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines()[2:4] == ["| | what the tap relies on | what was seen |", "|---|---|---|"]
    assert '"type"' not in good.stdout
    assert bad.returncode == 1
    assert f"| {LOSES} | users: version 2 has them |" in bad.stdout
    assert "could lose data. Please open an issue with the table." in bad.stderr
