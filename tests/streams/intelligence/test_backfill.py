"""The commands in docs/ai-results.md for reading a period again, and a stream selected later."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.clock import NOW
from tests.processes import run as run_command

if TYPE_CHECKING:
    from tests.conftest import Aircall

PAGE = (Path(__file__).parents[3] / "docs/ai-results.md").read_text(encoding="utf-8")
DAY = 86_400


def printed_settings() -> dict[str, Any]:
    """Return the settings that the page prints."""
    found = re.search(r"test_backfill.py writes it -->\n```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert found
    settings: dict[str, Any] = json.loads(found[1])
    return settings


def add_calls(aircall: Aircall, *ago: int) -> list[int]:
    calls = [aircall.world.add_call(started_at=int(NOW) - each, talk_seconds=55)["id"] for each in ago]
    for call_id in calls:
        aircall.world.intelligence.add(call_id, "transcription")
    return calls


def brought(messages: list[dict[str, Any]]) -> list[int]:
    return [message["record"]["call_id"] for message in messages if message["type"] == "RECORD"]


def test_the_printed_command_reads_one_stream_for_one_period(aircall: Aircall, tmp_path: Path) -> None:
    _, within, _ = add_calls(aircall, 60 * DAY, 30 * DAY, DAY)
    (tmp_path / "config.json").write_text(json.dumps(aircall.config()), encoding="utf-8")
    (tmp_path / "backfill.json").write_text(json.dumps(printed_settings()), encoding="utf-8")
    command = re.search(r"^tap-aircall (.*?) \|", PAGE, re.MULTILINE)
    assert command
    arguments = [str(tmp_path / word) if word.endswith(".json") else word for word in command[1].split()]

    done = run_command(*arguments)

    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert brought(messages) == [within]
    assert {message["stream"] for message in messages if "stream" in message} == {"call_transcriptions"}
    assert messages[-1]["value"]["bookmarks"].keys() == {"call_transcriptions"}


def test_a_stream_that_is_selected_later_begins_with_the_first_call(aircall: Aircall) -> None:
    calls = add_calls(aircall, 60 * DAY, 30 * DAY, DAY)
    before = aircall.run("calls")
    aircall.clock.now += 3600

    run = aircall.run("calls", "call_transcriptions", state=before.state)

    assert [record["call_id"] for record in run.records("call_transcriptions")] == calls


def test_a_run_for_one_stream_leaves_the_states_of_others_alone(aircall: Aircall) -> None:
    add_calls(aircall, 60 * DAY, 30 * DAY, DAY)
    before = aircall.run("calls", "call_transcriptions", "call_topics")
    aircall.clock.now += DAY
    add_calls(aircall, -DAY + 7200)

    alone = aircall.run("call_transcriptions", state=before.state)

    assert len(alone.records("call_transcriptions")) == 1
    for stream in ("calls", "call_topics"):
        assert alone.state["bookmarks"][stream] == before.state["bookmarks"][stream]
