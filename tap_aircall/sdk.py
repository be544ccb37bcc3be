"""What the tap uses of singer-sdk's private parts, beside the methods that its tap and its streams override.

docs/sdk.md says of each name what it is for, and tests/test_sdk.py fails when the SDK changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_sdk.mapper import CustomStreamMap

Evaluation: TypeAlias = "Callable[[str, Any, dict[str, Any], str | None], Any]"
"""Evaluates an expression of a stream map: its text, its syntax tree, the record, and the field (None in a filter)."""


def wrap_evaluation(stream_map: CustomStreamMap, wrap: Callable[[Evaluation], Evaluation]) -> None:
    """Put a function around the one that evaluates each expression of a map: nothing else knows which field it is.

    Args:
        stream_map: The map; only this one changes.
        wrap: Given the SDK's function, returns the one to call in its place.
    """
    vars(stream_map)["_eval"] = wrap(stream_map._eval)  # noqa: SLF001
