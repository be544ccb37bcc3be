"""Whether this account may see what a stream asks for one by one: the one rule about answers of 403."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tap_aircall.errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_aircall.http.client import AircallClient

T = TypeVar("T")
S = TypeVar("S")

ENOUGH_REFUSALS = 3
"""When so many are refused and nothing was granted, the account is taken to lack the whole kind."""


class Access:
    """What is known of one kind of resource.

    A 403 may mean that the company's plan lacks the kind, that this one item is kept from the account, or that
    something is wrong for a moment (facts: Results of Aircall's AI). Nobody can tell from one answer, so the first few
    are asked for one at a time. Only the thread that uses the answers judges them, in the order in which it asked.

    Args:
        client: Sends the requests.
    """

    def __init__(self, client: AircallClient) -> None:
        self._client = client
        self.is_granted = False
        """Whether Aircall has granted anything of this kind."""
        self.refusals = 0
        """How many were refused before anything was granted."""

    @property
    def is_refused(self) -> bool:
        """Whether asking on is pointless."""
        return not self.is_granted and self.refusals >= ENOUGH_REFUSALS

    def ask(self, function: Callable[[S], T], items: Sequence[S]) -> Iterator[tuple[S, T | ForbiddenError]]:
        """Ask for each item: one at a time until something is granted, then several at once.

        The first to be asked for are spread over the items, since neighbours may be kept back together.

        Args:
            function: Makes the request for one item.
            items: What to ask for.

        Yields:
            In the order of the items, each with the answer, or with the refusal. Nothing, once the kind is refused.

        Raises:
            AircallError: What `function` raises, apart from `ForbiddenError`.
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
            early[place] = answer = attempt(items[place])
            if isinstance(answer, ForbiddenError):
                self.refusals += 1
            else:
                self.is_granted = True
        if self.is_refused:
            return
        places = range(len(items))
        answers = self._client.in_flight(lambda n: early[n] if n in early else attempt(items[n]), places)
        yield from zip(items, answers, strict=True)
