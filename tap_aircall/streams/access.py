"""Access to resources that are requested one by one: the one rule for 403 responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tap_aircall.errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_aircall.http.client import AircallClient

T = TypeVar("T")
S = TypeVar("S")

ENOUGH_REFUSALS = 3
"""Refusals without any success after which the account counts as lacking the whole kind."""


class Access:
    """Whether this account may see one kind of resource.

    A 403 may mean that the plan lacks the kind, that this one item is off limits, or a temporary fault (facts: Results
    of Aircall's AI). A single response cannot tell, so the first few items are requested one at a time.
    """

    def __init__(self, client: AircallClient) -> None:
        self._client = client
        self.is_granted = False
        """Whether any request has succeeded."""
        self.refusals = 0
        """Refusals before the first success."""

    @property
    def is_undecided(self) -> bool:
        """Whether every request so far was refused."""
        return not self.is_granted and self.refusals > 0

    @property
    def is_refused(self) -> bool:
        """Whether the whole kind counts as refused."""
        return not self.is_granted and self.refusals >= ENOUGH_REFUSALS

    def ask(self, function: Callable[[S], T], items: Sequence[S]) -> Iterator[tuple[S, T | ForbiddenError]]:
        """Request items one at a time until one succeeds, then concurrently.

        The first ones are spread over the items, since neighbours may be off limits together.

        Yields:
            Each item, in order, with its result or refusal; nothing once the kind is refused.

        Raises:
            AircallError: Any error of `function` but `ForbiddenError`.
        """

        def attempt(item: S) -> T | ForbiddenError:
            try:
                return function(item)
            except ForbiddenError as error:
                return error

        early: dict[int, T | ForbiddenError] = {}
        gaps = ENOUGH_REFUSALS - 1
        for place in sorted({n * (len(items) - 1) // gaps for n in range(ENOUGH_REFUSALS)}) if items else ():
            if self.is_granted or self.is_refused:
                break
            early[place] = result = attempt(items[place])
            if isinstance(result, ForbiddenError):
                self.refusals += 1
            else:
                self.is_granted = True
        if self.is_refused:
            return
        places = range(len(items))
        results = self._client.in_flight(lambda n: early[n] if n in early else attempt(items[n]), places)
        yield from zip(items, results, strict=True)
