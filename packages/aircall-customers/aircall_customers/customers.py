"""The list of customers, `customers.yml`, and how each is loaded. It is reread whenever it is needed."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from zlib import crc32

import yaml
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TAP = "tap-aircall"
SPREAD = {"@hourly": 60, "@daily": 1_440}
"""Schedules without a fixed minute, and their period in minutes. Each customer gets a minute derived from its name."""
OWN = ("user", "password", "oauth_access_token", "oauth_refresh_token", "oauth_settings_location")
"""Settings of the tap that decide whose data it reads. They come only from the customer's entry, never from the
environment: otherwise, one company's calls could end up in another's schema."""
SCHEMA = "default_target_schema"
"""The loaders' setting for the schema."""
SET_BY_RUN = frozenset({"streams", "source_schema", "schema", "target_path", "log_path"})
"""Settings of the tap and of dbt that each run sets itself, such as the schemas to read and write."""
PLACES = re.compile(
    r"account|bucket|catalog|database|dataset.*|dbname|host.*|port|project.*|server|.*(dir|file|folder|location|path|prefix|uri|url)"
)
"""Names of loader settings that decide where the data goes."""
URL = "sqlalchemy_url"
"""A database loader's setting that overrides all others for its location."""
NOT_A_PLACE = re.compile(r"(?<=//)[^/]*@|\?.*")
"""Parts of a URL that may be secret or change: user, password and options."""
MAPS = "stream_maps"
"""The setting of the tap for the SDK's maps, which add a column to each row."""
LONGEST_NAME = 63
"""Bytes of a schema's name in PostgreSQL, which truncates longer ones."""
COLUMN = "aircall_customer"
"""The column with the customer's name."""
FILE = "filepath"
"""The setting of loaders that write a single file, such as DuckDB's; only one process at a time can open it."""


class CustomersError(Exception):
    """The list, or something that it refers to, cannot be used. The message is one line, and names the location."""


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys, where dates and times stay text as written."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class above
        first: [(tag, form) for tag, form in resolvers if not tag.endswith((":timestamp", ":int"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                message = f"duplicate key {key.value} (line {key.start_mark.line + 1})"
                raise CustomersError(message)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))


def _read_yaml(path: Path) -> Any:
    """Return the content of a file.

    Raises:
        CustomersError: If it cannot be read; names the location.
    """
    try:
        return yaml.load(path.read_bytes(), _Loader)  # noqa: S506 - a safe loader
    except CustomersError as error:
        message = f"{path}: {error}"
        raise CustomersError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CustomersError(message) from error
    except yaml.reader.ReaderError as error:
        message = f"{path} is not UTF-8 text"
        raise CustomersError(message) from error
    except (yaml.YAMLError, RecursionError, AttributeError, LookupError, ValueError) as error:  # the last: odd tags
        mark = getattr(error, "problem_mark", None)
        message = f"{path} is not YAML{f' (line {mark.line + 1})' if mark else ''}"
        raise CustomersError(message) from error


def _schedule(text: str) -> str:
    if text not in SPREAD:
        try:
            CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 - only tries it
        except CronSimError as error:
            message = f"{text!r} is neither a cron expression nor one of {', '.join(SPREAD)}"
            raise ValueError(message) from error
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Credentials(_Strict):
    """The location of a customer's credentials, which are never in the list."""

    environment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*$")] | None = None
    """Prefix of the environment variables: `ACME` for `ACME_USER` and `ACME_PASSWORD`."""
    file: Path | None = None
    """A JSON file of settings of the tap, such as `{"user": "...", "password": "..."}`."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.environment is None) == (self.file is None):
            message = "must name either an environment or a file"
            raise ValueError(message)
        return self

    def variables(self, tap: Plugin) -> dict[str, str]:
        """Return the tap's settings by environment variable; empty for a file."""
        if self.environment is None:
            return {}
        return {f"{self.environment}_{setting.name.upper()}": setting.name for setting in tap.settings}

    def read(self, tap: Plugin) -> dict[str, Any]:
        """Return the settings of the tap, including secrets.

        Raises:
            CustomersError: If they cannot be read, or have no credentials.
        """
        if self.file is None:
            names = self.variables(tap)
            values: Any = {setting: os.environ[name] for name, setting in names.items() if name in os.environ}
        else:
            try:
                values = json.loads(self.file.read_bytes())
            except OSError as error:
                message = f"the file {self.file} cannot be read: {error.strerror}"
                raise CustomersError(message) from error
            except ValueError as error:
                message = f"the file {self.file} is not JSON"
                raise CustomersError(message) from error
        if not (isinstance(values, dict) and any(values.get(name) for name in OWN)):
            place = f"variables {self.environment}_..." if self.environment else f"the file {self.file}"
            message = f"{place}: no credentials found, such as user and password"
            raise CustomersError(message)
        return values


class Customer(_Strict):
    """An entry of the list."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
    credentials: Credentials
    target: str = "target-postgres"
    """A loader of the Meltano project."""
    target_schema: str | None = Field(default=None, alias="schema")
    """The warehouse schema to load into."""
    target_settings: dict[str, Any] = {}
    streams: Annotated[list[str], Field(min_length=1)] | None = None
    """Streams to read, as names or patterns; by default those that meltano.yml selects."""
    settings: dict[str, Any] = {}
    """Other settings of the tap, without secrets."""
    name_rows: bool = False
    """Whether each row has the customer's name in an additional column."""
    schedule: Annotated[str, AfterValidator(_schedule)] = "@hourly"
    """A cron expression in UTC, or `@hourly` or `@daily` at a minute derived from the name."""
    build: str | None = None
    """A Meltano command to run after each load, such as `dbt-duckdb:build`."""
    build_settings: dict[str, Any] = {}
    """Settings of the build's plugin, without secrets."""
    inbox_company: str | None = None
    """The customer's name in the inbox; by default the same name."""

    @field_validator("settings", "build_settings")
    @classmethod
    def _leaves_out_what_the_run_sets(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if given := sorted(settings.keys() & SET_BY_RUN):
            message = f"{' and '.join(given)} must not be set: each run sets it itself"
            raise ValueError(message)
        return settings

    @property
    def schema_name(self) -> str | None:
        """The schema to load into, whichever key of the entry names it."""
        name = self.target_settings.get(SCHEMA, self.target_schema)
        return None if name is None else str(name)

    @property
    def company(self) -> str:
        """The customer's name in the inbox."""
        return self.inbox_company or self.name

    def next_after(self, moment: datetime) -> datetime:
        """Return the time of the schedule's next run after a moment (UTC)."""
        length = SPREAD.get(self.schedule)
        if length is None:
            following: datetime = next(CronSim(self.schedule, moment))
            return following
        minute = timedelta(minutes=crc32(self.name.encode()) % length)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1) + minute
        length_of = timedelta(minutes=length)
        return midnight + ((moment - midnight) // length_of + 1) * length_of


class _List(_Strict):
    defaults: dict[str, Any] = {}
    customers: dict[str, dict[str, Any]]
    """Required, so that a truncated or emptied file does not remove every customer."""


def read_customers(path: Path, project: Project) -> dict[str, Customer]:
    """Return the customers of a list, by name.

    Raises:
        CustomersError: If it cannot be used; names each mistake and its location.
    """
    try:
        listed = _List.model_validate(_read_yaml(path) or {})
    except ValidationError as error:
        message = f"{path}: {_explain(error)}"
        raise CustomersError(message) from error
    customers, mistakes = {}, []
    for name, entry in listed.customers.items():
        try:
            customers[name] = Customer.model_validate({**listed.defaults, **entry, "name": name})
        except ValidationError as error:
            mistakes.append(f"customer {name}: {_explain(error)}")
    if mistakes := [*mistakes, *project.conflicts(customers.values())]:
        message = f"{path}: {'; '.join(mistakes)}"
        raise CustomersError(message)
    return customers


def _explain(error: ValidationError) -> str:
    return ", ".join(
        f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


class Plugin(BaseModel):
    """The part of a plugin's definition in meltano.yml that matters here."""

    class Setting(BaseModel):
        """A setting of the plugin."""

        name: str
        sensitive: bool = False
        value: Any = None

    name: str
    inherit_from: str | None = None
    settings: list[Setting] = []
    config: dict[str, Any] = {}
    select: list[str] = []
    ancestors: list[str] = []
    """Plugins that it inherits from, nearest first."""

    @property
    def kind(self) -> str:
        """The root of its inheritance: the plugin itself, if it inherits nothing."""
        return [self.name, *self.ancestors][-1]

    def value(self, setting: str) -> object:
        """Return a setting's value as Meltano resolves it without the customer's entry."""
        for name in (self.name, *self.ancestors):
            if given := os.environ.get(f"{_prefix(name)}{setting.upper()}"):
                return given
        return self.config.get(setting, {each.name: each.value for each in self.settings}.get(setting))

    def environment(self, values: Mapping[str, Any], *, secrets: bool) -> dict[str, str]:
        """Return environment variables for settings.

        Raises:
            CustomersError: If a setting is unknown, or a secret that is not allowed.
        """
        known = {setting.name: setting.sensitive for setting in self.settings}
        if unknown := sorted(values.keys() - known.keys()):
            message = f"{self.name} has no setting {', '.join(unknown)}"
            raise CustomersError(message)
        if misplaced := [] if secrets else sorted(name for name in values if known[name]):
            message = f"{', '.join(misplaced)} of {self.name} is secret, and belongs in the environment or a file"
            raise CustomersError(message)
        return {
            f"{_prefix(self.name)}{name.upper()}": value if isinstance(value, str) else json.dumps(value, default=str)
            for name, value in values.items()
        }


def _prefix(plugin: str) -> str:
    """Return the prefix of a plugin's environment variables."""
    return f"{re.sub(r'[^A-Z0-9]', '_', plugin.upper())}_"


def _maps(customer: Customer, tap: Plugin) -> dict[str, Any]:
    """Return the existing stream maps, with a column added to each row."""
    maps: Any = customer.settings.get(MAPS) or tap.value(MAPS) or {}
    if not customer.name_rows:
        return {}
    try:
        own = dict(json.loads(maps) if isinstance(maps, str) else maps)
    except ValueError as error:
        message = f"{MAPS} of {tap.name} must be an object"
        raise CustomersError(message) from error
    added = {COLUMN: f"'{customer.name}'"}
    every = {} if "__else__" in own else {"*": added}  # streams without a map are left out
    # Of the maps that match a stream, the last one counts.
    return {MAPS: every | {name: rules | added if isinstance(rules, dict) else rules for name, rules in own.items()}}


def _identity(path: Path) -> str:
    """Return the same for all paths of a file: what exists of it by device and inode, since it may have hard links."""
    there = next(each for each in (path, *path.parents) if os.access(each, os.F_OK))
    status = there.stat()
    return f"{status.st_dev}:{status.st_ino}/{path.relative_to(there)}"


class Project:
    """A Meltano project, read from the `meltano.yml` in a folder and the files that it includes.

    Raises:
        CustomersError: If it has no usable meltano.yml.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins: dict[str, Plugin] = {}
        try:
            root = _read_yaml(folder / "meltano.yml")
            included = [path for pattern in root.get("include_paths", ()) for path in sorted(folder.glob(pattern))]
            for content in (root, *map(_read_yaml, included)):
                for plugins in (content.get("plugins") or {}).values():
                    self.plugins |= {each["name"]: Plugin.model_validate(each) for each in plugins}
        except (CustomersError, AttributeError, KeyError, TypeError, ValidationError) as error:
            message = f"{folder} (AIRCALL_PROJECT) has no usable meltano.yml"
            raise CustomersError(message) from error

    def conflicts(self, customers: Iterable[Customer]) -> list[str]:
        """Return a message for each location or environment variable that two customers would share."""
        mistakes: list[str] = []
        places: dict[tuple[object, ...], str] = {}
        taken = {"AIRCALL_INBOX": "this deployment"} | {
            f"{_prefix(plugin.name)}{setting.name.upper()}": plugin.name
            for plugin in self.plugins.values()
            for setting in plugin.settings
        }
        for customer in customers:
            try:
                for place in self._places(customer) if customer.target in self.plugins else ():
                    first = places.setdefault(place, customer.name)
                    if first != customer.name:
                        mistakes.append(f"customer {customer.name}: loads into the {place[0]} of {first}")
            except CustomersError as error:
                mistakes.append(f"customer {customer.name}: {error}")
            own = f"environment {customer.credentials.environment}"
            if foreign := sorted(name for name in self.variables(customer) if taken.setdefault(name, own) != own):
                owner = taken[foreign[0]]
                mistakes.append(f"customer {customer.name}: {foreign[0]} belongs to {owner}; name another environment")
        return mistakes

    def variables(self, customer: Customer) -> set[str]:
        """Return the environment variables that may hold a customer's credentials and settings."""
        return set(customer.credentials.variables(self.plugins[TAP])) if TAP in self.plugins else set()

    def _places(self, customer: Customer) -> Iterator[tuple[object, ...]]:
        """Yield the normalized locations that a customer's load and build write to."""
        found = self._location(customer)
        places = {name: _identity(each) if isinstance(each, Path) else each for name, each in found.items()}
        address = (self._plugin(customer.target).kind, *((name, each.casefold()) for name, each in places.items()))
        if FILE in found:
            yield ("file", *address)
            return
        schema = self._schema(customer).casefold()
        for ending in ("", "_analytics", "_analytics_staging") if customer.build else ("",):
            name = f"{schema}{ending}".encode()[:LONGEST_NAME]
            yield ("schema", *address, name)

    def place(self, customer: Customer) -> str:
        """Return the schema and the location that a customer's load writes to, for people and without credentials."""
        found = {"schema": self._schema(customer), **self._location(customer)}
        within = f"{self.folder.resolve()}{os.sep}"  # other machines may have the project elsewhere
        return ", ".join(
            f"{name} {NOT_A_PLACE.sub('', str(each)).removeprefix(within)}" for name, each in found.items() if each
        )

    def _schema(self, customer: Customer) -> str:
        return str(customer.schema_name or self._plugin(customer.target).value(SCHEMA) or "")

    def _location(self, customer: Customer) -> dict[str, Path | str]:
        """Return the normalized settings that decide where a customer's loader writes."""
        values = self.target_values(customer)
        names = [URL] if URL in values else [name for name in sorted(values) if PLACES.fullmatch(name)]
        return {name: self._resolve(name, values[name]) for name in names}

    def target_values(self, customer: Customer) -> dict[str, Any]:
        """Return the settings of a customer's loader that have a value, from the entry or the project."""
        target = self._plugin(customer.target)
        names = {each.name for each in target.settings} | customer.target_settings.keys()
        values = {name: customer.target_settings.get(name) or target.value(name) for name in names}
        return {name: value for name, value in values.items() if value}

    def path(self, value: object) -> Path:
        """Return the resolved path of a setting.

        Raises:
            CustomersError: If it is not a valid path.
        """
        try:
            return (self.folder / Path(self._expand(value)).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a symlink loop, an unknown user, or NUL
            message = f"invalid path: {value!r}"
            raise CustomersError(message) from error

    def _expand(self, value: object) -> str:
        return os.path.expandvars(str(value).replace("$MELTANO_PROJECT_ROOT", str(self.folder)))

    def _resolve(self, name: str, value: object) -> Path | str:
        """Normalize a setting that names a location."""
        text = self._expand(value).casefold()
        is_path = re.search("dir|file|folder|path", name) and "://" not in text
        return self.path(value) if is_path else {"127.0.0.1": "localhost", "::1": "localhost"}.get(text, text)

    def environment(self, customer: Customer, folder: Path, inbox: str | None = None) -> dict[str, str]:
        """Return the environment variables with which Meltano loads and builds a customer in a working folder.

        Raises:
            CustomersError: If the project lacks a plugin or setting that the entry names.
        """
        try:
            tap, target = self._plugin(TAP), self._plugin(customer.target)
            if inbox and any(setting.name == "inbox" for setting in tap.settings):
                events = {"inbox": inbox, "inbox_company": customer.company}
            else:
                events = {}
            place = {} if customer.schema_name is None else {SCHEMA: customer.schema_name}
            variables = {
                **tap.environment(events, secrets=True),
                **tap.environment({**customer.settings, **_maps(customer, tap)}, secrets=False),
                **tap.environment(customer.credentials.read(tap), secrets=True),
                **target.environment({**customer.target_settings, **place}, secrets=False),
                **self._build_environment(customer, folder),
            }
        except CustomersError as error:
            message = f"Customer {customer.name}: {error}."
            raise CustomersError(message) from error
        if customer.streams is not None:
            left_out = [rule for rule in tap.select if rule.startswith("!")]
            variables[f"{_prefix(TAP)}_SELECT"] = json.dumps([*(f"{name}.*" for name in customer.streams), *left_out])
        return variables

    def _build_environment(self, customer: Customer, folder: Path) -> dict[str, str]:
        """Return the build's variables: it reads the customer's schema, and writes to schemas named after it."""
        if customer.build is None:
            return {}
        plugin = self._plugin(customer.build.partition(":")[0])
        ours = {"target_path": str(folder / "dbt/target"), "log_path": str(folder / "dbt/logs")}
        if (schema := customer.schema_name) is not None:
            ours |= {"source_schema": schema, "schema": f"{schema}_analytics"}
        known = {setting.name for setting in plugin.settings}
        ours = {name: value for name, value in ours.items() if name in known}
        return plugin.environment({**ours, **customer.build_settings}, secrets=False)

    def _plugin(self, name: str) -> Plugin:
        if name not in self.plugins:
            message = f"meltano.yml has no {name}"
            raise CustomersError(message)
        plugin = self.plugins[name]
        if plugin.inherit_from is None or plugin.inherit_from not in self.plugins:
            return plugin
        parent = self._plugin(plugin.inherit_from)
        return plugin.model_copy(
            update={
                "ancestors": [parent.name, *parent.ancestors],
                "settings": [*parent.settings, *plugin.settings],
                "config": parent.config | plugin.config,
                "select": plugin.select or parent.select,
            }
        )
