from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from tap_aircall.errors import StreamError
from tap_aircall.streams.progress import Progress
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Aircall


def make(clock: FakeClock) -> tuple[Progress, Any]:
    client: Any = SimpleNamespace(requests_sent=0, limiter=SimpleNamespace(requests_per_minute=60))
    return Progress("calls", client, clock, logging.getLogger("calls")), client


def test_progress_is_logged_twice_a_minute(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, client = make(clock)

    for _ in range(90):
        clock.now += 1
        client.requests_sent += 1
        progress.expect(25_000 - 50 * (client.requests_sent - 1))
        progress.add(50)
    progress.close()

    assert caplog.messages == [
        "calls: 1,500 of 25,000 records, 30 requests, about 8 min left",
        "calls: 3,000 of 25,000 records, 60 requests, about 8 min left",
        "calls: 4,500 of 25,000 records, 90 requests, about 7 min left",
        "calls: 4,500 records, 90 requests",
    ]


def test_without_a_total_no_time_left_is_shown(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, client = make(clock)
    client.requests_sent += 2
    clock.now += 31

    progress.add(100)

    assert caplog.messages == ["calls: 100 records, 2 requests"]


def test_a_terminal_gets_a_bar(
    clock: FakeClock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that nothing is cut off
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress, client = make(clock)
    client.requests_sent += 4
    progress.expect(400)
    progress.add(200)
    progress.close()

    drawn = capsys.readouterr().err
    assert "calls:  50%" in drawn
    assert "200/400" in drawn
    assert "4 requests, about 1 min left" in drawn


def test_a_long_run_logs_its_progress(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    """1,000 calls at two requests a minute."""
    caplog.set_level(logging.INFO)
    for second in range(1_000):
        aircall.world.add_call(started_at=int(NOW) - 10 * 86_400 + second)

    aircall.run("calls", requests_per_minute=2, max_concurrent_requests=1)

    lines = [m for m in caplog.messages if m.startswith("calls: ")]
    assert lines[-1] == "calls: 1,000 records, 21 requests"
    assert "  calls  1,000 records  21 requests  10 min" in caplog.messages
    assert lines[0] == "calls: 100 of 1,000 records, 2 requests, about 9 min left"
    assert len(lines) == 11


def test_a_run_ends_with_a_summary_of_all_streams(
    make_aircall: Callable[..., Aircall], caplog: pytest.LogCaptureFixture
) -> None:
    """Each stream counts its own requests; the run also counts those for shared lists."""
    caplog.set_level(logging.INFO, logger="tap-aircall")
    aircall = make_aircall()
    for second in range(60):
        call = aircall.world.add_call(started_at=int(NOW) - 10 * 86_400 + second, answered_at=int(NOW) - 9 * 86_400)
        aircall.world.intelligence.add(call["id"], "topics")
    for _ in range(3):
        aircall.world.add("users")
    aircall.sandbox.faults.append(Fault(path="/v1/tags", status=410))

    with pytest.raises(StreamError, match="'tags'"):
        aircall.run("call_topics", "call_sentiments", "integrations", "user_numbers", "tags")

    begin = next(n for n, line in enumerate(caplog.messages) if line.startswith("Read "))
    assert caplog.messages[begin:] == [
        "Read 60 records with 129 requests in 0 s:",
        "  user_numbers      0 records   3 requests  0 s",
        "  tags              0 records   1 requests  0 s  failed",
        "  integrations      0 records   0 requests  0 s  left out: Aircall shows it to OAuth apps only.",
        "  call_sentiments   0 records  63 requests  0 s",  # with the pages of the list that both need
        "  call_topics      60 records  60 requests  0 s",
        f"{len(STREAMS) - 5} other streams are not selected.",
    ]


COST = "up to 40 requests, about 80 min at 0.5 requests a minute. If that is too long"
LATER = "select fewer streams, or set a later start_date"


@pytest.mark.parametrize(
    ("per_minute", "expected"),
    [(0.75, []), (0.5, [f"1 selected stream takes a request for each of 40 users: {COST}, select fewer streams."])],
)
def test_more_than_an_hour_of_requests_is_announced_once(
    aircall: Aircall, caplog: pytest.LogCaptureFixture, per_minute: float, expected: list[str]
) -> None:
    for second in range(20):
        aircall.world.add_call(started_at=int(NOW) - 10 * 86_400 + second, answered_at=int(NOW) - 9 * 86_400)
    for _ in range(40):
        aircall.world.add("users")

    aircall.run("call_topics", "call_sentiments", "user_numbers", requests_per_minute=per_minute)

    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line for line in lines if "a request for each" in line] == expected
