"""A target in memory, to compare with Aircall's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Record = dict[str, Any]

CHANGING = ("recording", "voicemail", "recording_short_url", "voicemail_short_url")
"""Addresses that Aircall signs anew for each response."""


class Warehouse:
    """Tables by stream and rows by key, like those of a target with upserts and versions, and the last state.

    Args:
        changing: Fields to drop.
    """

    def __init__(self, changing: Collection[str] = CHANGING) -> None:
        self._changing = changing
        self.tables: dict[str, dict[tuple[Any, ...], Record]] = {}
        self.state: Record = {}
        self._keys: dict[str, list[str]] = {}
        self._versions: dict[str, dict[tuple[Any, ...], int | None]] = {}

    def load(self, messages: Iterable[Record]) -> None:
        """Load messages, in order."""
        for message in messages:
            stream = message.get("stream", "")
            match message["type"]:
                case "SCHEMA":
                    self._keys[stream] = message["key_properties"]
                    self.tables.setdefault(stream, {})
                    self._versions.setdefault(stream, {})
                case "RECORD":
                    key = tuple(message["record"][name] for name in self._keys[stream])
                    row = {name: value for name, value in message["record"].items() if name not in self._changing}
                    self.tables[stream][key] = row
                    self._versions[stream][key] = message.get("version")
                case "ACTIVATE_VERSION":
                    old = [key for key, version in self._versions[stream].items() if version != message["version"]]
                    for key in old:
                        del self.tables[stream][key], self._versions[stream][key]
                case "STATE":
                    self.state = message["value"]
