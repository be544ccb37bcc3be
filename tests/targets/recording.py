"""Two runs of the tap, one recording for every target: all streams, and between the runs all that can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Sandbox, World, generate_company
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW, FakeClock
from tests.companies import add_everything
from tests.conftest import Aircall, Record, Run
from tests.inboxes import fill, one_of_each
from tests.slow import few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

T0 = int(NOW)
LARGEST = 2**63 - 1
REPORT = "CALLS_HISTORY"
MINE = [{"name": "labels", "path": "/v1/tags", "records_key": "tags", "primary_keys": ["id"]}]
TEXTS = [
    *(
        "",
        "''",
        '"',
        "'VIP'",
        'say "hi"',
        "NULL",
        "null",
        "\\N",
        "back\\slash \\n",
        "{}",
        "[1, 2]",
        "true",
        "007",
        "1e3",
    ),
    *("a\nb\r\nc\td", "comma, semicolon; |", " spaces ", "$1:x::int", "%s :name {{ x }}", "'`\\;--", "2026-11-23"),
    *("Zoë 👩‍👩‍👧", "שלום \u202e123", "a\u2028b\u0085c\u00a0", "a\x00b", "é" * 20_000),
]
"""Texts that some target may take for something else."""


@dataclass
class Recording:
    """What two runs wrote."""

    runs: tuple[Run, Run]

    @property
    def streams(self) -> list[str]:
        """The names of all streams."""
        return list(dict.fromkeys(message["stream"] for message in self.runs[1].messages if "stream" in message))

    def schema(self, stream: str) -> tuple[Record, list[str]]:
        """Return the fields of a stream by name, and its keys."""
        message = next(each for each in self.runs[1].messages if each.get("stream") == stream)
        return message["schema"]["properties"], message["key_properties"]

    def is_open(self, stream: str) -> bool:
        """Return whether a stream has records with fields that its schema lacks."""
        return any(record.keys() - self.schema(stream)[0].keys() for record in self.runs[0].records(stream))

    def of(self, streams: Collection[str]) -> Recording:
        """Return what the runs wrote of some streams."""
        first, second = (
            Run([message for message in run.messages if message.get("stream") in {None, *streams}]) for run in self.runs
        )
        return Recording((first, second))

    def expected(self, *, deletes: bool = True) -> dict[str, dict[tuple[Any, ...], Record]]:
        """Return the rows of each table by key, as a target has them that deletes what a version ends, or doesn't."""
        warehouse = Warehouse(changing=())
        for run in self.runs:
            warehouse.load(message for message in run.messages if deletes or message["type"] != "ACTIVATE_VERSION")
        return warehouse.tables


def company(calls: int) -> World:
    """Make a company with some of everything, and with texts and numbers that are hard to load."""
    world = generate_company(seed=6, now=NOW, calls=calls, contacts=40, users=7, days=9)
    add_everything(world)
    for number, text in enumerate(TEXTS):
        world.add("tags", name=text, description=None if number % 2 else text)
        world.add_contact(
            id=LARGEST - number,
            created_at=T0 - 100 + number,
            first_name=text,
            last_name=None,
            emails=[{"id": LARGEST, "label": None, "value": text}],
            phone_numbers=None if number % 2 else [],
        )
    world.add_call(started_at=T0 - 5_000, id=LARGEST, duration=-(2**63), cost="0.10", raw_digits=None)
    return world


def change(world: World, now: int) -> None:
    """Change some of everything: what is edited, new and gone."""
    calls, contacts = list(world.calls), list(world.contacts)
    for call in calls[-9::2]:
        world.edit_call(call, archived=True, tags=[{"id": 7, "name": "VIP", "created_at": now, "tagged_by": None}])
    for number in range(3):
        world.add_call(started_at=now - 900 + number)
    world.edit_contact(contacts[0], at=now - 5, first_name="Renamed")
    world.delete_contact(contacts[1])
    world.add_contact(created_at=now - 4)
    for kind in ("users", "teams", "numbers", "tags"):
        world.delete(kind, next(iter(world.kinds[kind])))
    world.edit("tags", next(iter(world.kinds["tags"])), name="Renamed")


def record(folder: Path, calls: int) -> Recording:
    """Run the tap twice, six hours apart, with all streams and fields selected."""
    clock = FakeClock()
    world = company(calls)
    inbox = str(folder / "inbox.db")
    with Sandbox(world, clock=clock.time) as sandbox:
        sandbox.analytics.seconds = 0
        sandbox.analytics.rows[REPORT] = [{"Call": "1", "Größe": 'say "hi"'}, {"Call": "2"}]
        aircall = Aircall(sandbox, clock)
        catalog = aircall.catalog(*STREAMS, "labels", custom_streams=MINE)
        for entry in catalog["streams"]:
            for item in entry["metadata"]:
                item["metadata"].setdefault("selected", True)
                if item["breadcrumb"]:
                    item["metadata"]["selected"] = True
        settings: dict[str, Any] = aircall.oauth(folder) | {
            "initiate_oauth": "OFF",
            "oauth_access_token": sandbox.oauth.tokens()["access_token"],
            "analytics_reports": [REPORT],
            "custom_streams": MINE,
            "inbox": inbox,
            "recordings_location": str(folder / "recordings"),
            "start_date": "2026-11-13",
            "owned_lists_every_hours": 0,
        }
        fill(inbox, one_of_each(T0))
        first = aircall.run(catalog=catalog, **settings)
        clock.now += 6 * 3600
        change(world, int(clock.now))
        fill(inbox, one_of_each(int(clock.now), "'Hello'\nagain"))
        sandbox.analytics.rows[REPORT] = [{"Call": "9"}]
        second = aircall.run(catalog=catalog, state=first.state, **settings)
    for message in second.messages:
        if "version" in message:
            message["version"] += 1  # both runs may be within one second
    return Recording((first, second))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two runs, recorded once for all tests."""
    return record(tmp_path_factory.mktemp("recording"), few_or_many(100, 2_000))
