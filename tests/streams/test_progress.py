from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aircall_sandbox import Fault
from tap_aircall.errors import RejectedRequestError
from tap_aircall.streams.progress import Progress
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW, FakeClock
from tests.messages import each_names, names, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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

    each_names(
        caplog.messages,
        ("calls", 1_500, 25_000, 30, "8 min"),
        ("calls", 3_000, 25_000, 60, "8 min"),
        ("calls", 4_500, 25_000, 90, "7 min"),
        ("calls", 4_500, 90),
    )


def test_without_a_total_no_time_left_is_shown(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, client = make(clock)
    client.requests_sent += 2
    clock.now += 31

    progress.add(100)

    each_names(caplog.messages, ("calls", 100, 2))
    assert not names(caplog.text, "min")


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
    assert names(drawn, 4, "1 min")


def test_a_long_run_logs_its_progress(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    """1,000 calls at two requests a minute."""
    caplog.set_level(logging.INFO)
    for second in range(1_000):
        aircall.world.add_call(started_at=int(NOW) - 10 * 86_400 + second)

    aircall.run("calls", requests_per_minute=2, max_concurrent_requests=1)

    lines = [line for line in caplog.messages if names(line, "calls", "records", "requests")]
    assert names(lines[0], 100, 1_000, 2, "9 min")
    assert names(lines[-2], 1_000, 21)
    assert names(lines[-1], 1_000, 21, "10 min")  # in the summary
    assert len(lines) == 12


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

    with refused(RejectedRequestError, stream="tags"):
        aircall.run("call_topics", "call_sentiments", "integrations", "user_numbers", "tags")

    begin = next(n for n, record in enumerate(caplog.records) if hasattr(record, "records"))
    each_names(
        caplog.messages[begin:],
        (60, 129),
        ("user_numbers", 0, 3),
        ("tags", 0, 1, "failed"),
        ("integrations", 0, 0, "OAuth"),
        ("call_sentiments", 0, 63),  # with the pages of the list that both need
        ("call_topics", 60, 60),
        (len(STREAMS) - 5,),
    )
