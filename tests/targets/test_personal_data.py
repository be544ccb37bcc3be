"""The stream maps on the page about personal data, as printed: they leave nobody in a real warehouse."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from aircall_sandbox.intelligence import RESULT_KINDS
from aircall_sandbox.phones import e164
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW
from tests.inboxes import fill, one_of_each
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall

T0 = int(NOW)
NAME, EMAIL, PHONE, WORDS = "Planted Person", "planted@example.com", "+33 6 12 34 56 78", "planted words"
HIDDEN = (None, "anonymous", "Anonymous", "")


PAGE = (ROOT / "docs/personal-data.md").read_text(encoding="utf-8")
PRINTED: dict[str, Any] = json.loads(PAGE.split("```json\n")[1].split("```")[0])
DEFAULT = {name for name, stream in STREAMS.items() if stream.selected_by_default}


def advice() -> dict[str, dict[str, Any] | None]:
    """Return what the table says to add for each stream; None for streams not to select."""
    rows = re.findall(r"^\| (`[a-z].*) \| (?:`(\{.*\})`|do not select them) \|$", PAGE, re.MULTILINE)
    return {name: json.loads(what) if what else None for names, what in rows for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize(
    "selected",
    [DEFAULT, {name for name in STREAMS if advice().get(name, {}) is not None}],
    ids=["the streams of the default", "all that may be selected"],
)
def test_the_maps_leave_nobody_in_the_warehouse(
    selected: set[str], aircall: Aircall, load: Any, tmp_path: Path
) -> None:
    world = aircall.world
    user = world.add("users", name=NAME, email=EMAIL)["id"]
    world.add("teams", name="Sales", users=[world.member(user)])
    person = {"id": 1, "type": "external", "name": NAME, "phone_number": PHONE}
    contact = world.add_contact(
        created_at=T0 - 90_000,
        first_name=NAME,
        information=WORDS,
        emails=[{"id": 1, "label": None, "value": EMAIL}],
        phone_numbers=[{"id": 1, "label": None, "value": PHONE}],
    )
    author = world.author(user)
    call = world.add_call(
        started_at=T0 - 90_000,
        raw_digits=PHONE,
        user=world.call_user(user),
        assigned_to=world.call_user(user),
        contact=contact,
        comments=[{"id": 1, "content": WORDS, "posted_at": T0 - 60, "posted_by": author}],
        tags=[{"id": 1, "name": "VIP", "created_at": T0 - 60, "tagged_by": author}],
        participants=[person],
    )
    for second, digits in enumerate(HIDDEN, -len(HIDDEN)):
        world.add_call(started_at=T0 - 90_000 + second, raw_digits=digits)
    for kind in RESULT_KINDS:
        world.intelligence.add(call["id"], kind)
    talk = world.intelligence.conversation(call["id"])
    said = (talk.reason, talk.outcome, *talk.actions, *(utterance.text for utterance in talk.utterances()))
    entry = {"id": 1, "number": PHONE, "called": False, "created_at": "2020-01-02T11:41:01.000Z"}
    world.optional.dialer_campaigns[user] = {"id": user, "number_id": "7", "phone_numbers": [entry]}
    catalog = None
    settings = {**PRINTED}
    if selected != DEFAULT:
        catalog = aircall.catalog(*selected)
        for stream in catalog["streams"]:
            for item in stream["metadata"]:
                item["metadata"].setdefault("selected", True)
        fill(str(tmp_path / "inbox.db"), one_of_each(T0, WORDS))
        settings["inbox"] = str(tmp_path / "inbox.db")
        additions = {name: what for name, what in advice().items() if what is not None}
        settings["stream_maps"] = PRINTED["stream_maps"] | additions
    path = tmp_path / "warehouse.duckdb"

    run = aircall.run(catalog=catalog, **settings)
    load("target-duckdb", run, {"filepath": str(path), "default_target_schema": "aircall"})

    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        everything = {name: str(connection.execute(f"SELECT * FROM aircall.{name}").fetchall()) for name in tables}
        calls = connection.execute("SELECT id, raw_digits FROM aircall.calls ORDER BY started_at").fetchall()
        emails = connection.execute("SELECT email FROM aircall.users").fetchall()
        contacts = connection.execute("SELECT id FROM aircall.contacts").fetchall()
    seed = PRINTED["stream_map_config"]["hash_seed"]
    assert [digits for _, digits in calls] == [*HIDDEN, hashlib.sha256((seed + PHONE).encode()).hexdigest()]
    assert emails == [(hashlib.sha256((seed + EMAIL).encode()).hexdigest(),)]
    assert contacts == [(contact["id"],)]
    assert {"calls", "contacts", "users", "teams"} <= everything.keys() <= selected
    assert (selected == DEFAULT) or {"call_action_items", "call_evaluations", "dialer_campaigns"} <= everything.keys()
    planted = (NAME, EMAIL, PHONE, WORDS, e164(PHONE), *said)
    assert [(name, each) for name, rows in everything.items() for each in planted if each in rows] == []


def test_the_maps_are_for_the_streams_that_are_selected_by_default() -> None:
    assert set(PRINTED["stream_maps"]) <= DEFAULT
    assert set(advice()) <= set(STREAMS) - DEFAULT
