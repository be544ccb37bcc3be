from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tap_aircall.progress import Progress
from tests.clock import NOW, FakeClock

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Aircall


def make(clock: FakeClock, *, terminal: bool) -> tuple[Progress, Any]:
    client: Any = SimpleNamespace(requests_sent=3, limiter=SimpleNamespace(requests_per_minute=60))
    return Progress("calls", client, clock, logging.getLogger("calls"), terminal=terminal), client


def test_a_line_twice_a_minute_says_how_far_it_is(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, client = make(clock, terminal=False)

    for _ in range(90):
        clock.now += 1
        client.requests_sent += 1
        progress.expect(25_000 - 50 * (client.requests_sent - 4))
        progress.add(50)
    progress.close()

    assert caplog.messages == [
        "calls: 1,500 of 25,000 records, 30 requests, about 8 min left",
        "calls: 3,000 of 25,000 records, 60 requests, about 8 min left",
        "calls: 4,500 of 25,000 records, 90 requests, about 7 min left",
        "calls: 4,500 records, 90 requests",
    ]


def test_without_a_total_no_end_is_named(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, client = make(clock, terminal=False)
    client.requests_sent += 2
    clock.now += 31

    progress.add(100)

    assert caplog.messages == ["calls: 100 records, 2 requests"]


def test_a_terminal_gets_a_bar(
    clock: FakeClock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that nothing is cut off
    progress, client = make(clock, terminal=True)
    client.requests_sent += 4
    progress.expect(400)
    progress.add(200)
    progress.close()

    drawn = capsys.readouterr().err
    assert "calls:  50%" in drawn
    assert "200/400" in drawn
    assert "4 requests, about 1 min left" in drawn


def test_a_long_run_shows_where_it_is(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    """1,000 calls at two requests a minute: the waits alone make it long."""
    caplog.set_level(logging.INFO)
    for second in range(1_000):
        aircall.world.add_call(started_at=int(NOW) - 10 * 86_400 + second)

    aircall.run("calls", requests_per_minute=2, max_concurrent_requests=1)

    lines = [m for m in caplog.messages if m.startswith("calls: ")]
    assert lines[-1] == "calls: 1,000 records, 21 requests"
    assert lines[0] == "calls: 100 of 1,000 records, 2 requests, about 9 min left"
    assert len(lines) == 11
