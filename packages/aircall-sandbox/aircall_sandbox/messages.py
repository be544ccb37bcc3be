"""Requests, responses, and the routes between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class RequestLog:
    """A request that the sandbox received."""

    method: str
    path: str
    query: dict[str, str]
    at: float
    """By the sandbox's clock, in UNIX seconds."""
    headers: Mapping[str, str] = field(repr=False)
    status: int = 0


class ApiResponse(NamedTuple):
    """A status and a payload."""

    status: int
    payload: Any


UNAUTHORIZED = ApiResponse(401, {"message": "Unauthorized"})
FORBIDDEN = ApiResponse(403, {"message": "Forbidden"})
NO_SUCH_PATH = ApiResponse(404, {"message": "Not Found"})
UNKNOWN_OBJECT = ApiResponse(404, {"error": "Not Found", "troubleshoot": "No object has this id"})


class Query(NamedTuple):
    """A `GET`, as Aircall reads it."""

    path: str
    """Including the version."""
    params: Mapping[str, str]
    """The last value of each parameter."""


class Route(NamedTuple):
    """A path pattern and its handler."""

    pattern: str
    """Such as `/v1/users/*/numbers`; a star matches one segment."""
    handler: Callable[..., ApiResponse]
    """Takes the query and the segments that the stars match."""


def dispatch(routes: Iterable[Route], query: Query) -> ApiResponse | None:
    """Return the response of the first route that matches a query; None if none does."""
    segments = query.path.strip("/").split("/")
    for pattern, handler in routes:
        pairs = list(zip_longest(pattern.strip("/").split("/"), segments))
        if all(wanted == segment or (wanted == "*" and segment is not None) for wanted, segment in pairs):
            return handler(query, *(segment for wanted, segment in pairs if wanted == "*"))
    return None
