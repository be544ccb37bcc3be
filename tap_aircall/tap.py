"""The tap: its settings, its streams and its command line."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import click
from singer_sdk.cli import plugin_cli
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import JSONSchemaValidator, PluginBase
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_aircall.cli import AircallCommand, discard_stdout, pop_bad_log_level, read_json
from tap_aircall.errors import (
    AircallError,
    BlockedError,
    CredentialsError,
    InputError,
    LoginNeededError,
    StreamsFailedError,
    StreamUnavailableError,
    TapAircallError,
    UnavailableError,
)
from tap_aircall.inbox.source import EventSource
from tap_aircall.reading.clock import AircallClock, SystemClock
from tap_aircall.reading.states import bookmarks_of
from tap_aircall.sdk import get_selected_schema
from tap_aircall.settings import (
    DEFINITION,
    BasicSettings,
    Settings,
    explain,
    from_environment,
    normalize,
    unknown_settings,
    unknown_variables,
    unusable_flattening,
    unusable_texts,
)
from tap_aircall.streams import maps, registry
from tap_aircall.streams.base import AircallTap
from tap_aircall.streams.custom.definitions import SETTING, parse_definitions
from tap_aircall.streams.custom.stream import MARK
from tap_aircall.streams.progress import summary
from tap_aircall.streams.registry import STREAMS, all_streams
from tap_aircall.writer import InterruptibleWriter, SilentWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Stream

    from tap_aircall.auth.app import OAuthApp
    from tap_aircall.auth.login import Person
    from tap_aircall.http.client import AircallClient
    from tap_aircall.http.credentials import Authenticator
    from tap_aircall.http.limiter import RateLimiter
    from tap_aircall.reading.clock import Clock
    from tap_aircall.settings import OAuthSettings
    from tap_aircall.streams.base import AircallStream
    from tap_aircall.streams.custom.definitions import Definition

PING_ATTEMPTS = 4
"""How often to ask whether Aircall is still there after a stream failed; the stream was patient already."""

VARIABLES = "TAP_AIRCALL_"
"""What the environment variables for settings begin with."""
SERVED_SECONDS = 185 * 86_400
"""How far back Aircall serves calls: six months (facts: Calls)."""


class TapAircall(AircallTap):
    """Singer tap for Aircall: calls, contacts and the whole directory of a company, complete and kept up to date."""

    name = "tap-aircall"
    package_name = "tap-aircall"
    config_jsonschema: ClassVar[dict[str, Any]] = deepcopy(DEFINITION)  # the SDK adds settings of its own
    message_writer_class = InterruptibleWriter
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
        catalog: dict[str, Any] | Catalog | None = None,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        self.clock = clock or SystemClock()
        self.aircall_clock = AircallClock(self.clock)
        self._failures: dict[str, tuple[str, AircallError]] = {}
        super().__init__(catalog=_as_catalog(catalog), **kwargs)

    @cached_property
    @override
    def settings(self) -> Settings:
        """The settings of this run.

        Raises:
            InputError: If one cannot be used.
        """
        return Settings.from_config(self.config, now=self.clock.time(), version=self.plugin_version)

    @cached_property
    def definitions(self) -> list[Definition]:
        """The streams that the settings define, beside those that the tap has itself.

        Raises:
            InputError: If one cannot be used.
        """
        return parse_definitions(self.config.get(SETTING), taken=STREAMS)

    @cached_property
    def chosen(self) -> set[str] | None:
        """The streams that the settings choose to read when there is no catalog; None for those selected by default.

        Raises:
            InputError: If one does not exist.
        """
        value = self.config.get(registry.SETTING)
        if value is None:
            return None
        return registry.choose(value, [*STREAMS, *(definition.name for definition in self.definitions)])

    @cached_property
    @override
    def client(self) -> AircallClient:
        """The one HTTP client of this run, with its limiter and authenticator."""
        from tap_aircall.http.credentials import BasicAuthenticator  # noqa: PLC0415 - discovery needs none of it

        auth = self.settings.auth
        if isinstance(auth, BasicSettings):
            return self._make_client(BasicAuthenticator(auth.user, auth.password))
        return self._make_client(self._app(auth).authenticator(self.person))

    @cached_property
    @override
    def events(self) -> EventSource | None:
        """What the inbox holds, the same all through the run; None without the setting `inbox`."""
        settings = self.settings
        return EventSource(settings.inbox, settings.inbox_company) if settings.inbox else None

    @cached_property
    def person(self) -> Person:
        """Whoever may log in."""
        from tap_aircall.auth.login import PersonAtTerminal  # noqa: PLC0415

        return PersonAtTerminal()

    def log_in(self) -> None:
        """Lead a person through the OAuth login, and save the tokens for later runs.

        Raises:
            TapAircallError: If it did not come to its end.
        """
        auth = self.settings.auth
        if isinstance(auth, BasicSettings):
            message = "Setting auth_scheme: must be OAUTH for a login."
            raise InputError(message)
        writer = self.message_writer
        writer.last_words = "The login was stopped; nothing was saved."

        def saving() -> None:
            writer.last_words = "The login was stopped, but its tokens may have been saved already."

        self._app(auth).log_in(self.person, saving)

    def _app(self, auth: OAuthSettings) -> OAuthApp:
        from tap_aircall.auth.app import OAuthApp  # noqa: PLC0415

        return OAuthApp(auth, self.settings.api_url, self._make_client, self.clock)

    @cached_property
    def _limiter(self) -> RateLimiter:
        from tap_aircall.http.limiter import RateLimiter  # noqa: PLC0415
        from tap_aircall.http.stores import open_store  # noqa: PLC0415

        store = open_store(self.settings.rate_limit_store, self.clock)
        return RateLimiter(self.settings.requests_per_minute, self.clock, store)

    def _make_client(self, authenticator: Authenticator | None) -> AircallClient:
        from tap_aircall.http.client import AircallClient  # noqa: PLC0415

        settings = self.settings
        return AircallClient(
            api_url=settings.api_url,
            authenticator=authenticator,
            limiter=self._limiter,
            clock=self.clock,
            aircall_clock=self.aircall_clock,
            user_agent=settings.user_agent,
            timeout=settings.request_timeout,
            max_concurrent_requests=settings.max_concurrent_requests,
        )

    @override
    def discover_streams(self) -> list[AircallStream]:
        streams = all_streams(self, self.definitions)
        if self.chosen is not None:
            for stream in streams:
                stream.selected_by_default = stream.name in self.chosen
        if self.input_catalog is not None:
            _complete(self.input_catalog, streams)
        return streams

    @cached_property
    @override
    def streams(self) -> dict[str, Stream]:
        """All streams by name, in the order in which they are read."""
        return dict(sorted(super().streams.items(), key=lambda item: cast("AircallStream", item[1]).turn))

    @override
    def setup_mapper(self) -> None:
        # The SDK would give the mapper no fields of a stream that is not selected, and so refuse maps that name some.
        streams = cast("dict[str, AircallStream]", self.streams)
        maps.check(self.config.get(maps.SETTING, {}), streams.values())
        with maps.explained(f"Setting {maps.SETTING}: cannot be used with the other settings of the SDK"):
            PluginBase.setup_mapper(self)
            for name, stream in streams.items():
                schema = (
                    get_selected_schema(name, stream.effective_schema, stream.mask)
                    if stream.selected
                    else stream.schema
                )
                self.mapper.register_raw_stream_schema(name, schema, stream.primary_keys)
        maps.explain_failures(self.mapper)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, unless it is another tap's.

        Raises:
            InputError: If it is not a state of this tap.
        """
        bookmarks = bookmarks_of(state)
        if strangers := sorted(name for name in bookmarks.keys() - self.streams.keys() if MARK not in bookmarks[name]):
            message = f"State: has unknown streams ({', '.join(strangers)}); is it another tap's?"
            raise InputError(message)
        super().load_state(state)
        for stream in cast("list[AircallStream]", list(self.streams.values())):
            stream.check_state()

    def check_credentials(self) -> None:
        """Ask Aircall with `GET /v1/ping` whether it accepts the credentials.

        Raises:
            AircallError: If it does not, or cannot be reached.
        """
        self.client.ping()
        self.logger.info("Aircall accepts the credentials.")

    def point_out_doubts(self) -> None:
        """Warn of what is probably a mistake, but no reason not to run."""
        selected = {name for name, stream in self.streams.items() if stream.selected}
        if not selected:
            self.logger.warning(
                "No stream is selected, so nothing is read: select some in the catalog, or in the setting streams."
            )
        start, reads_calls = self.settings.start, "calls" in selected and "calls" not in self.state.get("bookmarks", {})
        if reads_calls and start is not None and start < self.clock.time() - SERVED_SECONDS:
            self.logger.warning(
                "Setting start_date: Aircall serves calls of the last six months only, and none before."
            )

    def run(self) -> None:
        """Read all selected streams, and leave a state that says how far.

        A stream that fails does not keep the others from being read; see `note_failure`.

        Raises:
            TapAircallError: If a stream could not be read to its end.
            StreamsFailedError: If several could not.
        """
        client, began = self.client, self.clock.monotonic()
        try:
            self.check_credentials()
            streams = cast("list[AircallStream]", list(self.streams.values()))
            for stream in streams:
                stream.check_times()
            for stream in streams:
                if stream.selected:
                    stream.prepare()
            self.sync_all()
            self._sum_up(self.clock.monotonic() - began)
            self._raise_failures()
        except BrokenPipeError as error:
            discard_stdout()
            message = "The target stopped reading; the last state that it kept is safe to go on from."
            raise TapAircallError(message) from error
        except BaseException:
            if self.state:
                self.state_writer.write_state(self.state)
            raise
        finally:
            client.close()
            self._close_events()

    def try_streams(self) -> None:
        """Ask for one record of each selected stream, with one request each, and say whether all is well.

        Raises:
            AircallError: If nothing can be read at all.
            StreamsFailedError: With a line for each stream that cannot be read, and one more for the verdict.
        """
        streams = [stream for stream in cast("list[AircallStream]", list(self.streams.values())) if stream.selected]
        left_out = 0
        try:
            self.client.ping()
            for stream in streams:
                try:
                    stream.try_out()
                except StreamUnavailableError as reason:
                    left_out += 1
                    self.logger.warning("%s", reason)
                except AircallError as error:
                    self._keep_failure(stream.name, error)
        finally:
            self.client.close()
            self._close_events()
        readable = f"{len(streams) - left_out - len(self._failures)} of {len(streams)} selected streams can be read."
        if self._failures:
            lines = [line for line, _ in self._failures.values()]
            raise StreamsFailedError([*lines, f"The test failed: {readable}"])
        self.logger.info("The test passed: Aircall accepts the credentials. %s", readable)

    def _close_events(self) -> None:
        if "events" in vars(self) and self.events is not None:
            self.events.close()

    def verify(self) -> None:
        """Ask Aircall whether it behaves as the tap relies on, and tell what came of it, in a table and a trace.

        Raises:
            AircallError: If nothing can be asked.
            TapAircallError: If something differs that could lose data.
        """
        from tap_aircall.verify import verify  # noqa: PLC0415 - no run needs it

        streams = [stream for stream in cast("list[AircallStream]", list(self.streams.values())) if stream.selected]
        try:
            verify(self, streams)
        finally:
            self.client.close()

    def select_all(self) -> None:
        """Select all streams, with the fields of each that are selected: otherwise a stream's schema has none."""
        for stream in self.streams.values():
            stream.selected = True
        self.setup_mapper()

    @override
    def note_failure(self, stream: str, error: AircallError) -> None:
        """Note that a stream cannot be read to its end: the run goes on with the others, and fails after them.

        Args:
            stream: Its name.
            error: Why.

        Raises:
            AircallError: This error, if it is not about the stream alone: the ping (facts: Addresses and errors) fails
                as well.
        """
        self._keep_failure(stream, error)
        self.logger.info("Stream '%s' failed; the other streams are read, then the run fails.", stream)

    def _keep_failure(self, stream: str, error: AircallError) -> None:
        """Keep for the end what to say of a stream that failed; see `note_failure`."""
        if isinstance(error, BlockedError | LoginNeededError):
            raise error
        if isinstance(error, CredentialsError | UnavailableError):
            try:
                self.client.ping(attempts=PING_ATTEMPTS)
            except AircallError:
                raise error from None
        line = str(error)
        self._failures[stream] = (line if line.startswith("Stream '") else f"Stream '{stream}': {line}", error)

    def _sum_up(self, seconds: float) -> None:
        """Log what the run has read and how long it took, and what it has not read."""
        streams = cast("list[AircallStream]", list(self.streams.values()))
        rows = [stream.row() for stream in streams if stream.selected or stream.client.requests_sent]
        rows = [row._replace(note="failed") if row.stream in self._failures else row for row in rows]
        if rows:
            requests = self.client.requests_sent
            head, *lines = summary(rows, requests, seconds)
            counts = {row.stream: row.records for row in rows}
            self.logger.info("%s", head, extra={"requests": requests, "records": counts})  # for structured logs
            for line in lines:
                self.logger.info("%s", line)
        if others := len(streams) - len(rows):
            self.logger.info("%d other streams are not selected.", others)

    def _raise_failures(self) -> None:
        if len(self._failures) > 1:
            raise StreamsFailedError([line for line, _ in self._failures.values()])
        for line, error in self._failures.values():
            error.args = (line,)
            raise error

    # What the SDK calls

    @override
    def check_config(self, config: dict[str, Any], *, raise_errors: bool) -> list[str]:
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        normalize(config, schema["properties"])
        errors = unknown_settings(config, schema["properties"])
        # The SDK's schema of stream maps is no schema where it is about `__else__`; `maps.check` looks at them.
        checked = {"properties": {**schema["properties"], maps.SETTING: {"type": "object"}}}
        errors += [explain(error) for error in JSONSchemaValidator(checked).iter_errors(config)]
        errors = errors or [*unusable_texts(config), *unusable_flattening(config)]
        if raise_errors:
            if errors:
                raise InputError(" ".join(errors))
            _ = self.settings, self.definitions, self.chosen
        return errors

    @override
    def read_environment(self) -> dict[str, Any]:
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        config = from_environment(schema["properties"], VARIABLES)
        for line in unknown_variables(schema["properties"], VARIABLES):
            self.logger.warning(line)
        return config

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        # The SDK's own reads UTF-8 only, takes NaN for a number, and has tracebacks for what is no JSON.
        given = super().cb_config(ctx, param, tuple(path for path in value if path == "ENV"))
        for path in value:
            if path != "ENV":
                given.config |= read_json(path, "Config")
        return given

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        config: Any,
        about: bool = False,
        about_format: str | None = None,
        state: str | None = None,
        catalog: str | None = None,
        test: str | None = None,
        login: bool = False,
        verify: bool = False,
    ) -> None:
        """Run the tap from its command line.

        Args:
            config: What `--config` gave.
            about: Print what the tap is and can, and do nothing else.
            about_format: `json` or `markdown`, for `about`.
            state: File of a state to go on from.
            catalog: File that says which streams and fields to read.
            test: `all` to try each selected stream, `schema` to write the schemas of all streams; and no more.
            login: Lead a person through the OAuth login, and read nothing.
            verify: Ask Aircall whether it behaves as the tap relies on, and read nothing.

        Raises:
            TapAircallError: If the run fails.
        """
        if about:
            cls.print_about(about_format)
            return
        trying = test == CliTestOptionValue.All.value
        if not trying:
            cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            message_writer=SilentWriter() if trying or verify else None,
            state=None if state is None else read_json(state, "State"),
            catalog=None if catalog is None else read_json(catalog, "Catalog"),
        )
        if login:
            tap.log_in()
            return
        if test == CliTestOptionValue.Schema.value:
            tap.select_all()
            tap.write_schemas()
            return
        if verify:
            tap.verify()
            return
        tap.point_out_doubts()
        if trying:
            tap.try_streams()
            return
        tap.run()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.__class__ = AircallCommand
        for option in command.params:
            if option.name in {"state", "catalog"}:
                option.type = click.STRING  # click reports a file that cannot be read in its own words
            if isinstance(option, click.Option) and option.name == "test":
                # The SDK's own callback knows neither catalog nor state, and reads streams that nobody selected.
                option.callback, option.expose_value, option.default = None, True, None
                option.type = click.Choice([CliTestOptionValue.All.value, CliTestOptionValue.Schema.value])
                option.help = (
                    "Read one record of each selected stream and say whether all is well; "
                    "--test=schema writes the schemas of all streams."
                )
        command.params += [
            click.Option(["--login"], is_flag=True, help="Log in over OAuth with a browser, and save the tokens."),
            click.Option(
                ["--verify"],
                is_flag=True,
                help="Ask Aircall whether it behaves as the tap relies on, with at most 60 requests; print a table, "
                "and write a trace without values to aircall-verify.jsonl.",
            ),
        ]
        return command

    @plugin_cli
    @override
    def cli(cls) -> click.Command:  # noqa: N805 - the SDK's decorator gives it the class
        """Return the command line."""
        problem = pop_bad_log_level(VARIABLES)
        command = cast("AircallCommand", super().cli)
        if problem:
            command.fail(problem)
        return command


def _as_catalog(catalog: dict[str, Any] | Catalog | None) -> Catalog | None:
    """Build the SDK's catalog.

    Raises:
        InputError: If it is not a Singer catalog.
    """
    if catalog is None:
        return None
    try:
        if not isinstance(catalog, Catalog):
            _ = catalog["streams"]
            catalog = Catalog.from_dict(cast("dict[str, Any]", catalog))
    except (KeyError, TypeError, AttributeError) as error:
        message = "Catalog: not a Singer catalog; make one with --discover."
        raise InputError(message) from error
    return catalog


def _complete(catalog: Catalog, streams: Iterable[AircallStream]) -> None:
    """Fill in what a catalog is silent about.

    One that does not name the keys of a stream does not mean "without keys": the stream would be read whole and, worse,
    older rows would leave the warehouse.

    Raises:
        InputError: If it is another tap's.
    """
    known = {stream.name: stream for stream in streams}
    if strangers := sorted(catalog.keys() - known.keys()):
        message = f"Catalog: has unknown streams ({', '.join(strangers)}); make a new one with --discover."
        raise InputError(message)
    for name, entry in catalog.items():
        root, stream = entry.metadata.root, known[name]
        entry.key_properties = entry.key_properties or root.table_key_properties or list(stream.primary_keys)
        entry.replication_key = entry.replication_key or root.replication_key or stream.replication_key
