"""Logged requests and responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


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
