"""Runs killed at random moments: every file with a record is complete, with the recorded hash."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Sandbox, World
from aircall_sandbox.recordings import RECORDING_PATH, address_of, audio
from tests.clock import NOW, FastClock
from tests.conftest import Aircall
from tests.processes import Command, Mishap
from tests.slow import few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Record
    from tests.streams.recordings.buckets import Bucket

CALLS = few_or_many(20, 120)
STREAMS = ("calls", "call_recordings")

pytestmark = pytest.mark.timeout(few_or_many(300, 3_600))


@pytest.fixture
def company() -> Iterator[tuple[Aircall, FastClock]]:
    """A company whose calls began ten to 300 hours ago, each with a recording or a voicemail."""
    clock = FastClock(time.time())
    world = World(now=NOW)
    for n in range(CALLS):
        missed = {"talk_seconds": None, "leaves_voicemail": True} if n % 3 == 0 else {}
        world.add_call(started_at=int(NOW) - 36_000 - n * 9_000, **missed)
    with Sandbox(world, clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock), clock  # type: ignore[arg-type] # nobody moves it


def truth(world: World) -> dict[tuple[int, str], bytes]:
    """Return the files to store, by call and kind."""
    kinds = {call: "recording" if record["recording"] else "voicemail" for call, record in world.calls.items()}
    return {(call, kind): audio(address_of(call, kind)) for call, kind in kinds.items()}


def check(rows: dict[tuple[Any, ...], Record], there: dict[str, bytes], expected: dict[tuple[int, str], bytes]) -> None:
    """Check that every file is complete, and stored if it has a record."""
    for path, content in there.items():
        call, kind = Path(path).stem.split("-")
        assert content == expected[int(call), kind]
    for (call, kind), record in rows.items():
        assert record["status"] == "kept"
        assert hashlib.sha256(there[record["path"]]).hexdigest() == record["sha256"]
        assert there[record["path"]] == expected[call, kind]


def test_files_in_a_folder(company: tuple[Aircall, FastClock], tmp_path: Path) -> None:
    aircall, clock = company
    expected, dice = truth(aircall.world), random.Random(7)  # noqa: S311 - not for secrets
    befell = lives = 0
    while befell < few_or_many(3, 100):
        lives += 1
        folder, warehouse = tmp_path / str(lives), Warehouse()
        config = aircall.config(recordings_location=str(folder))
        command = Command(tmp_path, config, aircall.catalog(*STREAMS), clock)

        def there(folder: Path = folder) -> dict[str, bytes]:
            return {str(path): path.read_bytes() for path in folder.rglob("*.mp3")}

        while True:
            before, fetched, delay = len(aircall.sandbox.requests), dice.randrange(CALLS), dice.random() / 50
            moment: list[float] = []

            def when(
                _: bytearray,
                before: int = before,
                fetched: int = fetched,
                delay: float = delay,
                moment: list[float] = moment,
            ) -> bool:
                files = sum(log.path.startswith(RECORDING_PATH) for log in aircall.sandbox.requests[before:])
                if not moment and files > fetched:
                    moment.append(time.monotonic() + delay)
                return bool(moment) and time.monotonic() >= moment[0]

            done = command.run(warehouse.state, Mishap.KILL, when=when)
            warehouse.load(done.messages)
            check(warehouse.tables.get("call_recordings", {}), there(), expected)
            if done.exit_code == 0:
                break
            assert done.exit_code == -9
            befell += 1
        assert warehouse.tables["call_recordings"].keys() == expected.keys()
        assert len(there()) == CALLS


def test_files_in_a_bucket(company: tuple[Aircall, FastClock], bucket: Bucket, tmp_path: Path) -> None:
    aircall, clock = company
    expected, dice = truth(aircall.world), random.Random(8)  # noqa: S311 - not for secrets
    config = json.dumps(aircall.config(recordings_location=bucket.url))
    command = [sys.executable, "-m", "tests.fast", str(clock.began), config, *STREAMS]
    output = tmp_path / "out.jsonl"
    rows: dict[tuple[Any, ...], Record] = {}
    for kills_left in range(few_or_many(1, 20), -1, -1):
        bucket.empty()
        before, fetched = len(aircall.sandbox.requests), dice.randrange(CALLS // 2)
        with output.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL) as process:
            while kills_left and process.poll() is None:
                if sum(log.path.startswith(RECORDING_PATH) for log in aircall.sandbox.requests[before:]) > fetched:
                    time.sleep(dice.random() / 20)
                    process.kill()
                time.sleep(0.001)
        written = output.read_bytes()
        messages = [json.loads(line) for line in written[: written.rfind(b"\n") + 1].splitlines()]
        records = [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == "call_recordings"]
        rows = {(record["call_id"], record["kind"]): record for record in records}
        check(rows, bucket.files(), expected)
    assert process.returncode == 0
    assert rows.keys() == expected.keys()
