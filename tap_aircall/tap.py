"""The tap: its settings, its streams and its runs."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_aircall.errors import (
    AircallError,
    InputError,
    StreamsFailedError,
    StreamUnavailableError,
    TapAircallError,
)
from tap_aircall.reading.clock import Clock
from tap_aircall.reading.states import bookmarks_of
from tap_aircall.reading.times import DAY_SECONDS
from tap_aircall.settings import DEFINITION, Settings, from_environment, problems
from tap_aircall.streams import maps, registry
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.custom.definitions import SETTING, parse_definitions
from tap_aircall.streams.custom.stream import CUSTOM
from tap_aircall.streams.progress import summary
from tap_aircall.streams.registry import PARENTS, STREAMS, TAKEN, all_streams
from tap_aircall.streams.run import Run
from tap_aircall.writer import InterruptibleWriter, discard_stdout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from singer_sdk import Stream

VARIABLES = "TAP_AIRCALL_"
"""Prefix of the environment variables."""
API_URL = DEFINITION["properties"]["api_url"]["default"]
MOST_A_MINUTE = 120
"""Aircall's rate limit for a company, all integrations together (facts: Rate limit)."""
SERVED_SECONDS = 185 * DAY_SECONDS
"""Six months; Aircall serves no older calls (facts: Calls)."""


class TapAircall(Tap):
    """Singer tap for Aircall: calls, contacts and the whole directory of a company, complete and kept up to date.

    Args:
        config: The settings.
        catalog: The streams and fields to read; None for those that the settings choose.
        parse_env_config: Whether to read environment variables too.
        validate_config: Whether to require the settings of a run; discovery needs none.
        clock: This machine's clock.
        **kwargs: Passed to the SDK's tap.

    Raises:
        InputError: If the settings, the catalog or the state cannot be used.
    """

    name = "tap-aircall"
    package_name = "tap-aircall"
    config_jsonschema: ClassVar[dict[str, Any]] = deepcopy(DEFINITION)  # the SDK adds its own settings
    message_writer_class = InterruptibleWriter
    message_writer: InterruptibleWriter
    capabilities: ClassVar = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        catalog: dict[str, Any] | Catalog | None = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        config = dict(config or {})
        if parse_env_config:
            # The SDK's own parser fails with a traceback that names no variable, and ignores misspelt ones.
            variables, lines = from_environment(schema["properties"], VARIABLES)
            config |= variables
            for line in lines:
                self.logger.warning(line)
        if lines := problems(config, schema["properties"]):
            raise InputError(" ".join(lines))
        settings, clock = None, clock or Clock()
        if validate_config:
            settings = Settings.from_config(config, now=clock.time(), version=self.plugin_version)
        self.this_run = Run(settings, clock)
        """What the streams of this run share."""
        self._definitions = parse_definitions(config[SETTING], TAKEN, PARENTS)
        self._order = [*STREAMS, *(definition.name for definition in self._definitions)]
        chosen = config.get(registry.SETTING)
        self._chosen = None if chosen is None else registry.choose(chosen, self._order)
        super().__init__(config=config, catalog=_as_catalog(catalog), validate_config=False, **kwargs)

    @override
    def discover_streams(self) -> list[AircallStream]:
        streams = all_streams(self, self.this_run, self._definitions)
        if self._chosen is not None:
            for stream in streams:
                stream.selected_by_default = stream.name in self._chosen
        if self.input_catalog is not None:
            _complete(self.input_catalog, streams)
        return streams

    @cached_property
    @override
    def streams(self) -> dict[str, Stream]:
        """All streams by name, in reading order; the SDK sorts them by name."""
        return dict(sorted(super().streams.items(), key=lambda item: self._order.index(item[0])))

    @property
    def aircall_streams(self) -> list[AircallStream]:
        """All streams, in reading order."""
        return [stream for stream in self.streams.values() if isinstance(stream, AircallStream)]

    @override
    def setup_mapper(self) -> None:
        maps.check(self.config.get(maps.SETTING, {}), self.aircall_streams)
        with maps.explained(f"Setting {maps.SETTING}: cannot be used with the other settings of the SDK"):
            PluginBase.setup_mapper(self)
            selected = {stream.name for stream in self.aircall_streams if stream.selected}
            entries = [entry for entry in self.catalog.streams if entry.tap_stream_id in selected]
            for entry in entries:
                try:
                    self.mapper.register_raw_streams_from_catalog(Catalog([(entry.tap_stream_id, entry)]))
                except ValueError as error:
                    raise InputError(
                        f"Setting flattening_separator: gives two columns of stream '{entry.tap_stream_id}' the same "
                        "name; use another, such as __."
                    ) from error
            maps.check_aliases(self.mapper)
            vars(self.mapper)["flattening_options"] = None
            for stream in self.aircall_streams:
                # The SDK would register these without fields, and so refuse maps that name one. Its connection test
                # reads them.
                if stream.name not in selected:
                    self.mapper.register_raw_stream_schema(stream.name, stream.schema, stream.primary_keys)
        maps.explain_failures(self.mapper)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state.

        Raises:
            InputError: If it is not a state of this tap.
        """
        bookmarks = bookmarks_of(state)
        if unknown := sorted(name for name in bookmarks.keys() - self.streams.keys() if CUSTOM not in bookmarks[name]):
            raise InputError(f"State: has unknown streams ({', '.join(unknown)}); is it another tap's?")
        super().load_state(state)
        for stream in self.aircall_streams:
            try:
                stream.check_state()
                if stream.name in bookmarks:
                    stream.upgrade_state()
            except InputError:
                if stream.selected:  # a deselected stream keeps what it cannot read
                    raise

    def log_in(self) -> None:
        """Lead a person through the OAuth login, and save the tokens for later runs.

        Raises:
            TapAircallError: If the login fails.
        """
        writer = self.message_writer
        writer.last_words = "The login was stopped; nothing was saved."

        def saving() -> None:
            writer.last_words = "The login was stopped, but its tokens may have been saved already."

        self.this_run.oauth_app.log_in(self.this_run.person, saving)

    def warn_of_mistakes(self) -> None:
        """Warn of probable mistakes that do not prevent a run."""
        settings = self.this_run.settings
        selected = {stream.name for stream in self.aircall_streams if stream.selected}
        if not selected:
            self.logger.warning(
                "No stream is selected, so nothing is read: select some in the catalog, or in the setting streams."
            )
        if self.input_catalog is not None and self._chosen not in (None, selected):
            self.logger.warning(
                "Setting streams: has no effect, because a catalog selects the streams; with Meltano, use select."
            )
        if settings.requests_per_minute > MOST_A_MINUTE and settings.api_url == API_URL:
            self.logger.warning(
                "Setting requests_per_minute: Aircall allows %d for a company, and blocks all its integrations for a "
                "minute when they exceed that.",
                MOST_A_MINUTE,
            )
        start = settings.start
        reads_calls = "calls" in selected and "calls" not in self.state.get("bookmarks", {})
        if reads_calls and start is not None and start < self.this_run.clock.time() - SERVED_SECONDS:
            self.logger.warning("Setting start_date: Aircall serves only the calls of the last six months.")

    def run(self) -> None:
        """Read all selected streams.

        If a stream fails, the others are still read; see `Run.note_failure`.

        Raises:
            TapAircallError: If a stream failed, or the whole run.
            StreamsFailedError: If several streams failed.
        """
        began = self.this_run.clock.monotonic()
        try:
            self.this_run.client.ping()
            self.logger.info("Aircall accepts the credentials.")
            selected = [stream for stream in self.aircall_streams if stream.selected]
            for stream in selected:
                stream.check_times()
            for stream in selected:
                stream.prepare()
            self.sync_all()
            self._log_summary(self.this_run.clock.monotonic() - began)
            self._raise_failures()
        except BrokenPipeError as error:
            discard_stdout()
            raise TapAircallError(
                "The target stopped reading; the next run can continue from its last state."
            ) from error
        except BaseException:  # even for a signal: a target that has records needs their state
            if self.state:
                self.state_writer.write_state(self.state)
            raise
        finally:
            self.this_run.close()

    def try_streams(self) -> None:
        """Read one record of each selected stream, with one request each, and log the result.

        Raises:
            AircallError: If nothing can be read at all.
            StreamsFailedError: If some streams cannot be read; has a line for each, and one for the result.
        """
        streams = [stream for stream in self.aircall_streams if stream.selected]
        left_out = 0
        try:
            self.this_run.client.ping()
            for stream in streams:
                try:
                    stream.try_out()
                except StreamUnavailableError as reason:
                    left_out += 1
                    reason.is_expected = False  # a test warns of what it could not try
                    stream.note_left_out(reason)
                except AircallError as error:
                    self.this_run.note_failure(stream.name, error)
        finally:
            self.this_run.close()
        failures = list(self.this_run.failures.values())
        readable = f"{len(streams) - left_out - len(failures)} of {len(streams)} selected streams can be read."
        if failures:
            raise StreamsFailedError([*failures, TapAircallError(f"The test failed: {readable}")])
        self.logger.info("The test passed: Aircall accepts the credentials. %s", readable)

    def verify(self) -> None:
        """Check that Aircall behaves as the tap expects; print a table and write a trace.

        Raises:
            AircallError: If Aircall cannot be reached, or rejects the credentials.
            TapAircallError: If it differs in a way that could lose data.
        """
        from tap_aircall.verify import verify  # noqa: PLC0415 - runs do not need it

        try:
            verify(self.this_run, self.aircall_streams, f"tap-aircall {self.plugin_version}")
        finally:
            self.this_run.close()

    def select_all(self) -> None:
        """Select all streams, and register their selected fields, without which their schemas would be empty."""
        for stream in self.streams.values():
            stream.selected = True
        self.setup_mapper()

    def _log_summary(self, seconds: float) -> None:
        """Log a summary of the run: records, requests, seconds, and the streams not selected."""
        streams = [stream for stream in self.aircall_streams if stream.selected or stream.left_out]
        rows = [stream.row() for stream in streams]
        rows = [row._replace(note="failed") if row.stream in self.this_run.failures else row for row in rows]
        if rows:
            requests = self.this_run.client.requests_sent
            head, *lines = summary(rows, requests, seconds)
            counts = {row.stream: row.records for row in rows}
            self.logger.info("%s", head, extra={"requests": requests, "records": counts})  # for structured logs
            for line in lines:
                self.logger.info("%s", line)
        if others := len(self.streams) - len(rows):
            self.logger.info("%d other streams are not selected.", others)

    def _raise_failures(self) -> None:
        failures = list(self.this_run.failures.values())
        if len(failures) > 1:
            raise StreamsFailedError(failures)
        for failure in failures:
            raise failure from failure.cause

    # Private in the SDK (docs/architecture.md)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK would write a state at once, possibly in the middle of a line, and exit with 0.
        self.message_writer.terminate(signum)

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        properties = config_jsonschema["properties"]
        # From 0.55 on, the SDK adds a setting to disable these messages, but the tap always sends them.
        properties.pop("emit_activate_version_messages", None)
        # The SDK's schema of `__else__` is invalid; `maps.check` checks the rest.
        stream_maps = properties[maps.SETTING]
        properties[maps.SETTING] = {key: stream_maps[key] for key in ("type", "title", "description")}


def _as_catalog(catalog: Any) -> Catalog | None:
    """Build the SDK's catalog.

    Raises:
        InputError: If it is not a Singer catalog.
    """
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    try:
        return Catalog.from_dict({"streams": catalog["streams"]})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("Catalog: not a Singer catalog; make one with --discover.") from error


def _complete(catalog: Catalog, streams: Iterable[AircallStream]) -> None:
    """Fill in the keys that a catalog omits.

    Without them, a stream would be read whole and, worse, older rows would be deleted from the warehouse.

    Raises:
        InputError: If the catalog has streams of another tap.
    """
    known = {stream.name: stream for stream in streams}
    if unknown := sorted(catalog.keys() - known.keys()):
        raise InputError(f"Catalog: has unknown streams ({', '.join(unknown)}); make a new one with --discover.")
    for name, entry in catalog.items():
        root, stream = entry.metadata.root, known[name]
        entry.key_properties = entry.key_properties or root.table_key_properties or list(stream.primary_keys)
        entry.replication_key = entry.replication_key or root.replication_key or stream.replication_key
