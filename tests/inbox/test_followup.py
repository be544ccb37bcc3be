"""What the receiver runs when events came."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from threading import Event
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tap_aircall.errors import InboxError, InputError
from tap_aircall.inbox import followup
from tap_aircall.inbox.followup import FollowUp
from tests.clock import NOW, FakeClock
from tests.messages import names, refused

if TYPE_CHECKING:
    from collections.abc import Callable


class Day(FakeClock):
    """Ends after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        super().wait(seconds, interrupt)
        if self.now >= NOW + self.seconds:
            interrupt.set()


def runs(monkeypatch: pytest.MonkeyPatch, seconds: float, position: Callable[[int], int], *codes: int) -> list[int]:
    """Return the seconds in which a command was begun that takes 5 s, and ends with these codes and then with 0."""
    clock, begun, left = Day(seconds), [], list(codes)
    problems = {0: None, 1: "the command failed with exit code 1."}

    def take(_self: FollowUp, _ended: Event) -> str | None:
        begun.append(int(clock.now - NOW))
        clock.now += 5
        return problems[left.pop(0) if left else 0]

    monkeypatch.setattr(FollowUp, "run", take)
    FollowUp("true", lambda: position(int(clock.now - NOW)), clock).watch(Event())
    return begun


def test_it_runs_at_most_once_a_minute_and_only_after_new_events(monkeypatch: pytest.MonkeyPatch) -> None:
    came = [0, 10, 11, 12, 500, 503]  # one comes while it runs: that run may have missed it

    assert runs(monkeypatch, 3000, lambda now: sum(each <= now for each in came)) == [0, 60, 500, 560]
    assert runs(monkeypatch, 3000, lambda now: now) == list(range(1, 3000, 60))
    assert runs(monkeypatch, 3000, lambda _: 0) == []


def test_it_backs_off_while_the_command_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = runs(monkeypatch, 30_000, lambda _: 1, *[1] * 8)

    assert [later - sooner - 5 for sooner, later in itertools.pairwise(begun)] == [
        *(60, 120, 240, 480, 960, 1920, 3600, 3600)
    ]
    assert names(caplog.messages[1], "--then", 1, "2 minutes")


def test_an_unreadable_store_counts_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def position(now: int) -> int:
        if now < 100:
            raise InboxError("Setting inbox: the store is damaged.")
        return 1

    assert runs(monkeypatch, 1000, position) == [180]


@pytest.mark.parametrize(
    ("command", "fact"),
    [
        ("true", None),
        ("sh -c 'exit 3'", 3),
        ("sh -c 'kill -9 $$'", -9),
        ("/gone", os.strerror(errno.ENOENT)),
    ],
)
def test_a_failed_command_is_described(command: str, fact: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)

    problem = FollowUp(command, lambda: 1, FakeClock()).run(Event())

    assert problem is fact is None or names(str(problem), fact)


def test_a_command_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followup, "EXIT_SECONDS", 0.1)
    ended = Event()
    ended.set()

    assert FollowUp("sh -c 'trap : TERM; while :; do sleep 9; done'", lambda: 1, FakeClock()).run(ended) is None


@pytest.mark.parametrize("command", ["", "no-such-command x", "true 'x"])
def test_an_invalid_command_is_refused(command: str) -> None:
    with refused(InputError, "--then"):
        FollowUp(command, lambda: 1, FakeClock())
