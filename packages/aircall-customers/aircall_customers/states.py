"""A state backend for Meltano that keeps customers' states in the guard: `MELTANO_STATE_BACKEND_URI=aircall://`.

`meltano run` and `meltano state` go through it. The rules that make it safe are in `guard`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from meltano.core.state_store import MeltanoState, StateStoreManager
from typing_extensions import override

from aircall_customers.guard import CLAIM, Claim, Guard, database_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class GuardedStates(StateStoreManager):
    """A state store that refuses writes from a run without a valid claim.

    Meltano creates one for each use, and passes its settings.

    Raises:
        GuardError: From all methods, if the database cannot be used or the claim is not valid.
    """

    label = "the guard of customers"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._guard = Guard(database_address())
        claim = os.environ.get(CLAIM)
        self._claim = Claim.parse(claim) if claim else None

    @override
    def close(self) -> None:
        self._guard.close()

    @override
    @contextmanager
    def acquire_lock(self, state_id: str, *, retry_seconds: float = 1) -> Iterator[None]:
        with self._guard.writing(state_id, self._claim):
            yield

    @override
    def get(self, state_id: str) -> MeltanoState | None:
        state = self._guard.state(state_id, self._claim)
        return None if state is None else MeltanoState(state_id, state["partial"], state["completed"])

    @override
    def set(self, state: MeltanoState) -> None:
        with self._guard.writing(state.state_id, self._claim):
            self._guard.put(state.state_id, self._claim, state.to_dict())

    @override
    def delete(self, state_id: str) -> None:
        with self._guard.writing(state_id, self._claim):
            self._guard.put(state_id, self._claim, None)

    @override
    def get_state_ids(self, pattern: str | None = None) -> Iterable[str]:
        return self._guard.states((pattern or "*").replace("*", "%"))
