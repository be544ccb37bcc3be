"""The tap: its settings, its streams and its command line."""

from __future__ import annotations

from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

import click
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import JSONSchemaValidator
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_aircall.cli import (
    AircallCommand,
    InterruptibleWriter,
    discard_stdout,
    expect_many_records,
    parse_json,
    read_json,
)
from tap_aircall.clock import AircallClock, SystemClock
from tap_aircall.errors import (
    AircallError,
    BlockedError,
    CredentialsError,
    InputError,
    LoginNeededError,
    StreamsFailedError,
    TapAircallError,
    UnavailableError,
)
from tap_aircall.settings import (
    DEFINITION,
    BasicSettings,
    Settings,
    explain,
    parse_numbers,
    unknown_settings,
)
from tap_aircall.states import bookmarks_of
from tap_aircall.streams.base import AircallTap
from tap_aircall.streams.custom.definitions import SETTING, parse_definitions
from tap_aircall.streams.custom.stream import MARK
from tap_aircall.streams.registry import STREAMS, all_streams

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from singer_sdk import Stream
    from singer_sdk.plugin_base import _ConfigInput

    from tap_aircall.api.client import AircallClient
    from tap_aircall.api.credentials import Authenticator
    from tap_aircall.api.limiter import RateLimiter
    from tap_aircall.clock import Clock
    from tap_aircall.oauth.app import OAuthApp
    from tap_aircall.oauth.login import Person
    from tap_aircall.settings import OAuthSettings
    from tap_aircall.streams.base import AircallStream
    from tap_aircall.streams.custom.definitions import Definition

PING_ATTEMPTS = 4
"""How often to ask whether Aircall is there after a stream failed, which was patient enough."""


class TapAircall(AircallTap):
    """Singer tap for Aircall: calls, contacts and the whole directory of a company, complete and kept up to date."""

    name = "tap-aircall"
    package_name = "tap-aircall"
    config_jsonschema: ClassVar[dict[str, Any]] = DEFINITION
    message_writer_class = InterruptibleWriter
    capabilities: ClassVar = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        TapCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(
        self,
        *,
        catalog: dict[str, Any] | Catalog | None = None,
        parse_env_config: bool = False,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        self.clock = clock or SystemClock()
        self.aircall_clock = AircallClock(self.clock)
        self._failures: dict[str, tuple[str, AircallError]] = {}
        try:
            super().__init__(catalog=_as_catalog(catalog), parse_env_config=parse_env_config, **kwargs)
        except ValueError as error:
            if not parse_env_config:
                raise
            message = f"One of the variables {self._env_var_prefix}* is not the number or JSON it must be."
            raise InputError(message) from error

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
    @override
    def client(self) -> AircallClient:
        """The one HTTP client of this run, with its limiter and authenticator."""
        from tap_aircall.api.credentials import BasicAuthenticator  # noqa: PLC0415 - discovery needs none of it

        auth = self.settings.auth
        if isinstance(auth, BasicSettings):
            return self._make_client(BasicAuthenticator(auth.user, auth.password))
        return self._make_client(self._app(auth).authenticator(self.person))

    @cached_property
    def person(self) -> Person:
        """Whoever may log in."""
        from tap_aircall.oauth.login import PersonAtTerminal  # noqa: PLC0415

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
        from tap_aircall.oauth.app import OAuthApp  # noqa: PLC0415

        return OAuthApp(auth, self.settings.api_url, self._make_client, self.clock)

    @cached_property
    def _limiter(self) -> RateLimiter:
        from tap_aircall.api.limiter import RateLimiter  # noqa: PLC0415
        from tap_aircall.api.stores import open_store  # noqa: PLC0415

        store = open_store(self.settings.rate_limit_store, self.clock)
        return RateLimiter(self.settings.requests_per_minute, self.clock, store)

    def _make_client(self, authenticator: Authenticator | None) -> AircallClient:
        from tap_aircall.api.client import AircallClient  # noqa: PLC0415

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
        _ = self.streams  # the mapper reads the catalog, which discover_streams completes
        super().setup_mapper()

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

    def run(self) -> None:
        """Read all selected streams, and leave a state that says how far.

        A stream that fails does not keep the others from being read; see `note_failure`.

        Raises:
            TapAircallError: If a stream could not be read to its end.
            StreamsFailedError: If several could not.
        """
        client = self.client
        try:
            self.check_credentials()
            streams = cast("list[AircallStream]", list(self.streams.values()))
            for stream in streams:
                stream.check_times()
            for stream in streams:
                if stream.selected:
                    stream.prepare()
            self.sync_all()
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

    @override
    def note_failure(self, stream: str, error: AircallError) -> None:
        """Note that a stream cannot be read to its end: the run goes on with the others, and fails after them.

        Args:
            stream: Its name.
            error: Why.

        Raises:
            AircallError: This error, if it is not about the stream alone: the ping (facts, section 1) fails as well.
        """
        if isinstance(error, BlockedError | LoginNeededError):
            raise error
        if isinstance(error, CredentialsError | UnavailableError):
            try:
                self.client.ping(attempts=PING_ATTEMPTS)
            except AircallError:
                raise error from None
        line = str(error)
        self._failures[stream] = (line if line.startswith("Stream '") else f"Stream '{stream}': {line}", error)
        self.logger.info("Stream '%s' failed; the other streams are read, then the run fails.", stream)

    def _raise_failures(self) -> None:
        if len(self._failures) > 1:
            raise StreamsFailedError([line for line, _ in self._failures.values()])
        for line, error in self._failures.values():
            error.args = (line,)
            raise error

    # What the SDK calls

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's messages quote the value, which may be a secret, and pass over unknown settings.
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        for name in [name for name, value in self._config.items() if value is None]:
            del self._config[name]  # null is the same as not set
        parse_numbers(self._config, schema["properties"])
        errors = unknown_settings(self._config, schema["properties"])
        errors += [explain(error) for error in JSONSchemaValidator(schema).iter_errors(self._config)]
        if raise_errors:
            if errors:
                raise InputError(" ".join(errors))
            _ = self.settings, self.definitions
        return errors

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self.message_writer.terminate(signum)

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        for path in value:
            if path != "ENV":
                read_json(path, "Config")
        return super().cb_config(ctx, param, value)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        config = ctx.params["config"]
        tap = cls(config=config.config, parse_env_config=config.parse_env)
        client = tap.client
        try:
            tap.check_credentials()
            tap.run_connection_test()
        finally:
            client.close()
        ctx.exit()

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        config: _ConfigInput,
        about: bool = False,
        about_format: str | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        login: bool = False,
    ) -> None:
        """Run the tap from its command line.

        Args:
            config: What `--config` gave.
            about: Print what the tap is and can, and do nothing else.
            about_format: `json` or `markdown`, for `about`.
            state: A state to go on from.
            catalog: Which streams and fields to read.
            login: Lead a person through the OAuth login, and read nothing.

        Raises:
            TapAircallError: If the run fails.
        """
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=None if state is None else parse_json(state.read(), f"State {state.name}"),
            catalog=None if catalog is None else parse_json(catalog.read(), f"Catalog {catalog.name}"),
        )
        if login:
            tap.log_in()
            return
        expect_many_records()
        tap.run()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.__class__ = AircallCommand
        command.params.append(
            click.Option(["--login"], is_flag=True, help="Log in over OAuth with a browser, and save the tokens.")
        )
        return command


def _as_catalog(catalog: dict[str, Any] | Catalog | None) -> Catalog | None:
    """Build the SDK's catalog out of what was given.

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
