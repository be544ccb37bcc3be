"""Everything that the tap uses of singer-sdk's private parts, in one place.

docs/sdk.md says of each name what it is for, and tests/test_sdk.py fails when the SDK changes it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

from singer_sdk import Stream, Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._catalog import get_selected_schema
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.mapper import CustomStreamMap

    from tap_aircall.writer import InterruptibleWriter

__all__ = ["UNHANDLED", "SdkStream", "SdkTap", "get_selected_schema", "parse_environment_config", "wrap_evaluation"]

UNHANDLED = "An unhandled error occurred"
"""How the line begins that the SDK logs when a stream fails."""

Evaluation: TypeAlias = "Callable[[str, Any, dict[str, Any], str | None], Any]"
"""Evaluates an expression of a stream map: its text, its syntax tree, the record, and the field (None in a filter)."""


class SdkStream(Stream):
    """A stream that reads and writes its records itself."""

    @abstractmethod
    def sync_pages(self) -> None:
        """Read the stream to its end, and write what it has."""

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, Any, None]:
        # The SDK's loop takes one record at a time, and puts a bookmark of its own into the state.
        self.sync_pages()
        yield from ()

    @override
    def _write_schema_message(self) -> None:
        self.write_schema()

    def write_schema(self) -> None:
        """Tell the target what will come; the SDK calls it when the stream's turn comes."""
        super()._write_schema_message()


class SdkTap(Tap):
    """A tap that reads its settings itself, and ends at a signal only when its line is whole."""

    message_writer: InterruptibleWriter

    @abstractmethod
    def check_config(self, config: dict[str, Any], *, raise_errors: bool) -> list[str]:
        """Bring the settings into their form, and check them.

        Args:
            config: What the user gave; changed in place.
            raise_errors: Whether to raise what is wrong, rather than return it.

        Returns:
            A line for each thing that is wrong.

        Raises:
            InputError: With these lines.
        """

    @abstractmethod
    def read_environment(self) -> dict[str, Any]:
        """Read the settings that environment variables give."""

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's messages quote the value, which may be a secret, and pass over unknown settings.
        return self.check_config(self._config, raise_errors=raise_errors)

    @property
    @override
    def _env_var_config(self) -> dict[str, Any]:
        # The SDK's own ends with a traceback that names no variable, and passes over misspelt ones.
        return self.read_environment()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK writes a state right here, possibly into the middle of a line, and exits with 0.
        self.message_writer.terminate(signum)

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        # From 0.55 on the SDK adds a setting to switch these messages off; the tap always sends them.
        config_jsonschema["properties"].pop("emit_activate_version_messages", None)


def wrap_evaluation(stream_map: CustomStreamMap, wrap: Callable[[Evaluation], Evaluation]) -> None:
    """Put a function around the one that evaluates each expression of a map: nothing else knows which field it is.

    Args:
        stream_map: The map; only this one changes.
        wrap: Given the SDK's function, returns the one to call in its place.
    """
    vars(stream_map)["_eval"] = wrap(stream_map._eval)  # noqa: SLF001
