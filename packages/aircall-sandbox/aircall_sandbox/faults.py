"""Faults between a client and Aircall, on demand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Failure = Literal["reset", "cut", "stall", "cut_json", "html", "empty"]


@dataclass(kw_only=True)
class Fault:
    """A fault that requests run into. Without `status`, `failure` and `mutate` it only delays them.

    A `failure` is one of: `reset` (the connection is reset before the response), `cut` (it closes in the middle of the
    body), `stall` (half of the body, then nothing), `cut_json` (half of the body, with a matching Content-Length),
    `html` (a page with status 200) and `empty` (no body, with status 200).
    """

    path: str = "/"
    """Prefix of the paths that it hits."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters that a request must have."""
    times: float = 1
    """Number of requests to hit."""
    after: int = 0
    """Number of requests to let pass first."""
    probability: float = 1.0
    """Probability of hitting a matching request."""
    seed: int = 0
    """Seed of that."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"error":"Internal Server Error"}'
    failure: Failure | None = None
    mutate: Callable[[Any], Any] | None = None
    """Takes the payload of the response, and returns a modified one."""
    delay: float = 0.0
    """Real seconds before the response."""

    def __post_init__(self) -> None:
        """Seed the random numbers."""
        self._random = random.Random(self.seed)  # noqa: S311 - not for secrets

    def hits(self, path: str, query: Mapping[str, str]) -> bool:
        """Return whether it hits a request; count the request."""
        if not path.startswith(self.path) or any(query.get(name) != value for name, value in self.query.items()):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times <= 0 or self._random.random() >= self.probability:
            return False
        self.times -= 1
        return True
