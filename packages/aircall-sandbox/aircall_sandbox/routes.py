"""Which part of the sandbox answers which path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aircall_sandbox.messages import Answer

ANY = "*"


class Query(NamedTuple):
    """A `GET`, as Aircall reads it."""

    path: str
    """With its version."""
    params: Mapping[str, str]
    """The last value of each parameter."""
    tags: Sequence[str] = ()
    """All values of `tags[]`."""


class Route(NamedTuple):
    """A form of path, and what answers it."""

    form: str
    """Such as `/v1/users/*/numbers`; a star stands for any one part."""
    answer: Callable[..., Answer]
    """Takes the query, and then what stood in place of each star."""


def answered(routes: Iterable[Route], query: Query) -> Answer | None:
    """Return the answer of the first route that fits a query; None if none does."""
    parts = query.path.strip("/").split("/")
    for form, answer in routes:
        wanted = form.strip("/").split("/")
        if len(wanted) == len(parts) and all(want in (ANY, part) for want, part in zip(wanted, parts, strict=True)):
            return answer(query, *(part for want, part in zip(wanted, parts, strict=True) if want == ANY))
    return None
