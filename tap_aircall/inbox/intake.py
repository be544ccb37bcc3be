"""Group commit: stores events that arrive together in one transaction, since every commit waits for the disk.

Events that arrive during a commit go into the next one.
"""

from __future__ import annotations

import asyncio
import logging
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
        self._waiting: asyncio.Queue[tuple[EventRow, asyncio.Future[None]]] = asyncio.Queue()
        self._is_failing = False

    async def keep(self, row: EventRow) -> None:
        """Store an event; return once it is durable. If cancelled, drop it unless its commit has begun.

        Raises:
            InboxError: If it could not be stored.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((row, stored))
        await stored

    async def run(self) -> None:
        """Store queued events until the task is cancelled."""
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHERING_SECONDS)
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            rows = [row for row, stored in batch if not stored.done()]  # the others were cancelled
            failure = await asyncio.to_thread(self._store, rows) if rows else None
            for _, stored in batch:
                if stored.done():
                    continue
                if failure is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(failure)

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
