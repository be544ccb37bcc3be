"""Group commit: stores events that arrive together in one transaction, since every commit waits for the disk.

Events that arrive during a commit go into the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tap_aircall.errors import InboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_aircall.inbox.deliveries import EventRow

MOST_AT_ONCE = 500
"""Events per commit; storing them takes a fraction of Aircall's time-out."""
GATHERING_SECONDS = 0.005
"""Wait for more events before a commit, whose cost hardly depends on their number."""

logger = logging.getLogger(__name__)


class Intake:
    """Queues events for group commit.

    Args:
        append: Stores events durably, or raises an `InboxError`. Called in another thread.
    """

    def __init__(self, append: Callable[[Sequence[EventRow]], None]) -> None:
        self._append = append
        self._waiting: deque[tuple[EventRow, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._is_failing = False

    async def keep(self, row: EventRow) -> None:
        """Store an event; return once it is durable. If cancelled, drop it unless its commit has begun.

        Raises:
            InboxError: If it could not be stored.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((row, stored))
        self._arrived.set()
        await stored

    async def run(self) -> None:
        """Store queued events until the task is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                await asyncio.sleep(GATHERING_SECONDS)
                batch = self._next()
                if not batch:
                    self._arrived.clear()
                    continue
                failure = await loop.run_in_executor(self._thread, self._store, [row for row, _ in batch])
                for _, stored in batch:
                    if stored.done():  # cancelled
                        continue
                    if failure is None:
                        stored.set_result(None)
                    else:
                        stored.set_exception(failure)
        finally:
            self._thread.shutdown(wait=False)

    def _next(self) -> list[tuple[EventRow, asyncio.Future[None]]]:
        """Take the events for the next commit, skipping cancelled ones."""
        batch: list[tuple[EventRow, asyncio.Future[None]]] = []
        while self._waiting and len(batch) < MOST_AT_ONCE:
            row, stored = self._waiting.popleft()
            if not stored.done():
                batch.append((row, stored))
        return batch

    def _store(self, rows: Sequence[EventRow]) -> InboxError | None:
        """Store events, and log when the store starts to fail and when it recovers."""
        try:
            self._append(rows)
        except InboxError as error:
            if not self._is_failing:
                line = "%s Deliveries are refused until it works again; Aircall sends them again later."
                logger.error(line, error)  # noqa: TRY400 - the reason is in the line
            self._is_failing = True
            return error
        except Exception as error:
            logger.exception("Unexpected %s while storing events.", type(error).__name__)
            return InboxError("The store failed.")
        if self._is_failing:
            logger.info("The store works again.")
        self._is_failing = False
        return None
