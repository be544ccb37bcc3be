"""A signal ends a wait, even one that arrives just before the wait begins."""

from __future__ import annotations

import signal
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import pytest

from tap_aircall.auth.login import Login
from tap_aircall.reading.clock import Clock, result_of
from tests.people import Admin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(60)
NEVER_SECONDS = 3_600
"""A wait that does not end by itself in the time of a test."""


class SignalError(BaseException):
    """What the signal handler raises in these tests."""


@pytest.fixture
def _signal_soon() -> Iterator[None]:
    """Send this process a signal in a moment, in a way that does not wake the main thread.

    A signal that comes just before a wait behaves like this: Python has noted it, and runs the handler only when the
    main thread is back. Here another thread takes the signal, which has the same effect at any moment.
    """

    def handler(*_: object) -> NoReturn:
        raise SignalError

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def login() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        callback = f"http://127.0.0.1:{unused.getsockname()[1]}/callback"
    Login("http://localhost", "client", callback, Admin(None, at_terminal=False)).run()


def budget() -> None:
    Clock().wait(NEVER_SECONDS, threading.Event())


def answer() -> None:
    with ThreadPoolExecutor(1) as pool:
        ended = threading.Event()
        future = pool.submit(ended.wait, NEVER_SECONDS)
        try:
            result_of(future)
        finally:
            ended.set()


@pytest.mark.usefixtures("_signal_soon")
@pytest.mark.parametrize("wait", [login, budget, answer])
def test_a_signal_ends_a_wait(wait: Callable[[], None]) -> None:
    with pytest.raises(SignalError):
        wait()


def test_an_event_ends_a_wait() -> None:
    interrupt = threading.Event()
    threading.Timer(0.7, interrupt.set).start()
    began = time.monotonic()

    Clock().wait(NEVER_SECONDS, interrupt)

    assert time.monotonic() - began > 0.6


def test_a_wait_lasts_as_long_as_asked() -> None:
    began = time.monotonic()

    Clock().wait(0.6, threading.Event())

    assert time.monotonic() - began >= 0.6


def test_a_failure_is_raised_as_it_is() -> None:
    future: Future[None] = Future()
    future.set_exception(TimeoutError("its own"))

    with pytest.raises(TimeoutError, match="its own"):
        result_of(future)
