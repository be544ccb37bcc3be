"""What can go wrong between a client and Aircall, on demand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Failure = Literal["reset", "cut", "stall", "cut_json", "html", "empty"]


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong with requests. Without `status`, `failure` and `mutate` it only delays them.

    A `failure` is one of: `reset` (the connection is reset before the answer), `cut` (it ends in the middle of the
    body), `stall` (half of the body, and then nothing), `cut_json` (half of the body, with a matching Content-Length),
    `html` (a page with status 200) and `empty` (no body, with status 200).
    """

    path: str = "/"
    """Only requests whose path begins with this."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Only requests with these parameters."""
    times: float = 1
    """How many requests it hits."""
    after: int = 0
    """How many requests it lets pass first."""
    probability: float = 1.0
    """How likely it hits a request that it could."""
    seed: int = 0
    """Seed of the dice."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"error":"Internal Server Error"}'
    failure: Failure | None = None
    mutate: Callable[[Any], Any] | None = None
    """Changes the payload that would be sent; returns the new one."""
    delay: float = 0.0
    """Real seconds to wait before answering."""

    def __post_init__(self) -> None:
        """Seed the dice."""
        self._dice = random.Random(self.seed)  # noqa: S311 - not for secrets

    def hits(self, path: str, query: Mapping[str, str]) -> bool:
        """Return whether it hits a request, and count that."""
        if not path.startswith(self.path) or any(query.get(name) != value for name, value in self.query.items()):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times <= 0 or self._dice.random() >= self.probability:
            return False
        self.times -= 1
        return True
