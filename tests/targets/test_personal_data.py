"""The stream maps of the README, in a real warehouse: nobody is in it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import duckdb

from tap_aircall.sandbox.intelligence import ARTEFACTS
from tap_aircall.sandbox.phones import e164
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall

T0 = int(NOW)
NAME, EMAIL, PHONE, WORDS = "Planted Person", "planted@example.com", "+33 6 12 34 56 78", "planted words"


def maps() -> dict[str, Any]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    settings: dict[str, Any] = json.loads(text.split("## Personal data")[1].split("```json\n")[1].split("```")[0])
    return settings


def test_nobody_is_in_the_warehouse(aircall: Aircall, load: Any, tmp_path: Path) -> None:
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
    world.add_call(started_at=T0 - 90_001, raw_digits=None)
    for artefact in ARTEFACTS:
        world.intelligence.add(call["id"], artefact)
    talk = world.intelligence.conversation(call["id"])
    said = (talk.reason, talk.outcome, *talk.actions, *(utterance.text for utterance in talk.utterances()))
    entry = {"id": 1, "number": PHONE, "called": False, "created_at": "2020-01-02T11:41:01.000Z"}
    world.optional.dialer_campaigns[user] = {"id": user, "number_id": "7", "phone_numbers": [entry]}
    catalog = aircall.catalog(*STREAMS)
    for stream in catalog["streams"]:
        for item in stream["metadata"]:
            item["metadata"].setdefault("selected", True)
    path = tmp_path / "warehouse.duckdb"

    run = aircall.run(catalog=catalog, **maps())
    load("target-duckdb", run, {"filepath": str(path), "default_target_schema": "aircall"})

    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        everything = {name: str(connection.execute(f"SELECT * FROM aircall.{name}").fetchall()) for name in tables}
        calls = connection.execute("SELECT id, raw_digits FROM aircall.calls ORDER BY started_at").fetchall()
        emails = connection.execute("SELECT email FROM aircall.users").fetchall()
        contacts = connection.execute("SELECT id FROM aircall.contacts").fetchall()
    seed = maps()["stream_map_config"]["hash_seed"]
    assert [digits for _, digits in calls] == [None, hashlib.sha256((seed + PHONE).encode()).hexdigest()]
    assert emails == [(hashlib.sha256((seed + EMAIL).encode()).hexdigest(),)]
    assert contacts == [(contact["id"],)]
    assert {"call_action_items", "call_evaluations", "dialer_campaigns", "teams"} <= everything.keys()
    planted = (NAME, EMAIL, PHONE, WORDS, e164(PHONE), *said)
    assert [(name, each) for name, rows in everything.items() for each in planted if each in rows] == []


def test_all_streams_of_the_maps_exist() -> None:
    assert set(maps()["stream_maps"]) <= set(STREAMS)
