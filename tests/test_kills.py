"""Runs that are killed at random moments, and go on from the last state that a target kept."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.sandbox.intelligence import ARTEFACTS
from tests.clock import NOW
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)
SOAK = "SOAK" in os.environ
"""Whether `make soak` asks for more of it."""
STREAMS = ("calls", "contacts", "users", "tags", "call_topics", "call_action_items")
KILLS = 6
REPEATED = 1_100
"""At most so many records come again after a kill: 1,000, and what was on its way."""


@pytest.mark.parametrize("seed", range(40 if SOAK else 2))
def test_what_arrives_is_the_truth_however_often_runs_die(aircall: Aircall, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    world = aircall.world
    for n in range(700):
        call = world.add_call(started_at=T0 - 10 * 86_400 + n * 600)
        if n % 40 == 0:
            for artefact in ARTEFACTS:
                world.intelligence.add(call["id"], artefact)
        world.add_contact(created_at=T0 - 10 * 86_400 + n * 600)
    for _ in range(60):
        world.add("users")
        world.add("tags")
    truth = Warehouse()
    truth.load(aircall.run(*STREAMS).messages)

    warehouse = Warehouse()
    kills = 0
    while True:
        die_after = dice.randrange(1, 1_500) if kills < KILLS else None
        run = aircall.run(*STREAMS, state=warehouse.state or None, die_after=die_after)
        before = {stream: set(table) for stream, table in warehouse.tables.items()}
        warehouse.load(run.messages)
        for stream in ("calls", "contacts"):
            again = sum((record["id"],) in before.get(stream, ()) for record in run.records(stream))
            assert again <= REPEATED
        if die_after is None:
            break
        kills += 1

    assert warehouse.tables == truth.tables


def test_an_incremental_run_that_dies_loses_no_change(aircall: Aircall) -> None:
    dice = random.Random(5)  # noqa: S311 - not for secrets
    world = aircall.world
    calls = [world.add_call(started_at=T0 - 5 * 3600 + n)["id"] for n in range(400)]
    contacts = [world.add_contact(created_at=T0 - 86_400 + n)["id"] for n in range(400)]
    warehouse = Warehouse()
    warehouse.load(aircall.run("calls", "contacts").messages)

    for _ in range(20 if SOAK else 8):
        aircall.clock.now += 3600
        world.move_on(aircall.clock.now)
        for identity in dice.sample(calls, 30):
            world.edit_call(identity, archived=bool(dice.getrandbits(1)))
        for identity in dice.sample(contacts, 60):
            world.edit_contact(identity, at=aircall.clock.now - dice.randrange(60), first_name=str(dice.random()))
        die_after = dice.randrange(1, 150)
        warehouse.load(aircall.run("calls", "contacts", state=warehouse.state, die_after=die_after).messages)
        warehouse.load(aircall.run("calls", "contacts", state=warehouse.state).messages)
        for identity in contacts:
            row = warehouse.tables["contacts"][identity,]
            assert row["first_name"] == world.contacts[identity]["first_name"]

    aircall.clock.now += 40 * 86_400
    warehouse.load(aircall.run("calls", "contacts", state=warehouse.state).messages)
    archived: Counter[Any] = Counter()
    for identity in calls:
        archived[warehouse.tables["calls"][identity,]["archived"] == world.calls[identity]["archived"]] += 1
    assert archived == {True: 400}
