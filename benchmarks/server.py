"""Companies whose calls begin at even intervals, and are made on request, since there are too many to keep.

`python -m benchmarks.server CALLS` serves one in its own process: it prints the URL, and after the end of its standard
input, the number of requests for calls.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from typing_extensions import override

from aircall_sandbox import Sandbox, World, generate_company
from aircall_sandbox.index import TimeIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aircall_sandbox.templates import Record

DAY = 86_400
A_DAY = 2 * DAY
"""Calls per day that the command serves."""
TEMPLATES = 500
"""Number of made-up calls, which repeat with other ids and times."""


class EvenCalls(Mapping[int, "Record"]):
    """Calls at even intervals; the id determines the start.

    Args:
        a_day: Calls per day.
        templates: The calls, apart from ids and times.
    """

    def __init__(self, a_day: int, templates: Sequence[Record]) -> None:
        self._a_day, self._templates = a_day, templates

    @override
    def __getitem__(self, identity: int) -> Record:
        started_at = identity * DAY // self._a_day
        times = {"started_at": started_at, "ended_at": started_at + 60, "duration": 60}
        return self._templates[identity % len(self._templates)] | {"id": identity, **times}

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(())

    @override
    def __len__(self) -> int:
        return 0


class EvenIndex(TimeIndex):
    """Finds these calls by time.

    Args:
        a_day: Calls per day.
        since: UNIX second of the first call.
        until: Returns the UNIX second of the last call.
    """

    def __init__(self, a_day: int, since: float, until: Callable[[], float]) -> None:
        super().__init__()
        self._a_day, self._since, self._until = a_day, since, until

    @override
    def select(self, first: float, last: float, start: int, count: int, *, descending: bool) -> tuple[list[int], int]:
        low = math.ceil(max(first, self._since) * self._a_day / DAY)
        end = math.floor((min(last, self._until()) + 1) * self._a_day / DAY - 1e-9) + 1
        ids = range(low, max(low, end))
        return list((ids[::-1] if descending else ids)[start : start + count]), len(ids)


def main() -> None:
    """Serve calls, the last of them an hour old."""
    count, now = int(sys.argv[1]), int(time.time())
    until = now - 3_600
    world = World(now)
    made_up = generate_company(seed=1, now=now, calls=TEMPLATES, contacts=50)
    world.calls = EvenCalls(A_DAY, list(made_up.calls.values()))  # type: ignore[assignment]
    world.calls_by_start = EvenIndex(A_DAY, until + 1 - count * DAY / A_DAY, lambda: until)
    with Sandbox(world) as sandbox:
        print(sandbox.url, flush=True)  # noqa: T201 - for the parent process
        sys.stdin.read()
        print(sum(log.path == "/v1/calls" for log in sandbox.requests))  # noqa: T201


if __name__ == "__main__":
    main()
