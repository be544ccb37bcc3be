"""A clock on which a minute takes a second; and, run as a module, a tap that lives by it in a process of its own.

Usage: `python -m tests.fast BEGAN CONFIG STREAM...`, with the real time at which the fast clock stood at `NOW`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_aircall.clock import Clock
from tap_aircall.tap import TapAircall
from tests.clock import NOW

if TYPE_CHECKING:
    from threading import Event

SPEED = 60


class FastClock(Clock):
    """The same for all processes that know when it began.

    Args:
        began: Real UNIX time in seconds at which it stood at `NOW`; earlier to move it on.
    """

    def __init__(self, began: float) -> None:
        self.began = began

    @override
    def time(self) -> float:
        return NOW + (time.time() - self.began) * SPEED

    @override
    def monotonic(self) -> float:
        return self.time()

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        interrupt.wait(seconds / SPEED)


def main() -> None:
    """Run the tap."""
    began, config, *streams = sys.argv[1:]
    catalog = TapAircall(config={}, validate_config=False).catalog_dict
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["tap_stream_id"] in streams
    TapAircall(config=json.loads(config), catalog=catalog, clock=FastClock(float(began))).run()


if __name__ == "__main__":
    main()
