"""The list of customers, `customers.yml`: who there is, and how each is loaded. Read anew whenever it is needed."""

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
"""Schedules that leave the minute to us, with their length in minutes. Customers are spread over it, by name."""
OWN = ("user", "password", "oauth_access_token", "oauth_refresh_token", "oauth_settings_location")
"""Settings of the tap that say whose data it reads. They are taken from the customer alone, never from what happens to
be in the environment: otherwise one company's calls could end in another's schema."""
SCHEMA = "default_target_schema"
"""The setting of loaders that names the schema to load into."""
SET_BY_RUN = frozenset({"source_schema", "schema", "target_path", "log_path"})
"""Settings of dbt that a run chooses: the schemas to read and to write, and the folders for its files."""
PLACES = re.compile(
    r"account|bucket|catalog|database|dataset.*|dbname|host.*|port|project.*|server|.*(dir|file|folder|location|path|prefix|uri|url)"
)
"""Names of a loader's settings that say where it loads into; the others say how."""
URL = "sqlalchemy_url"
"""The setting in place of which a loader of databases takes no other that says where."""
FILE = "filepath"
"""The setting of a loader that writes a single file, such as one of DuckDB, which lets in one process at a time."""


class CustomersError(Exception):
    """The list, or what it refers to, cannot be used; one line says where."""


class _Loader(yaml.SafeLoader):
    """YAML where no key is there twice, and dates and times of day are the text that was written."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class above
        first: [(tag, form) for tag, form in resolvers if not tag.endswith((":timestamp", ":int"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                message = f"{key.value} is there twice (line {key.start_mark.line + 1})"
                raise CustomersError(message)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))


def _read_yaml(path: Path) -> Any:
    """Return what is in a file.

    Raises:
        CustomersError: If it cannot be read, with the place.
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
        message = f"{path} is not text in UTF-8"
        raise CustomersError(message) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"{path} is not YAML{f' (line {mark.line + 1})' if mark else ''}"
        raise CustomersError(message) from error


def _schedule(text: str) -> str:
    if text not in SPREAD:
        try:
            CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 - only tries it
        except CronSimError as error:
            message = f"{text!r} is none of {', '.join(SPREAD)} and no cron expression"
            raise ValueError(message) from error
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Credentials(_Strict):
    """Where the credentials of a customer are. They are never in the list."""

    environment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*$")] | None = None
    """Beginning of the variables that hold them: `ACME` for `ACME_USER` and `ACME_PASSWORD`."""
    file: Path | None = None
    """A JSON file of settings of the tap, such as `{"user": "...", "password": "..."}`."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.environment is None) == (self.file is None):
            message = "must name either an environment or a file"
            raise ValueError(message)
        return self

    def variables(self, tap: Plugin) -> dict[str, str]:
        """Return the variables that may hold settings of the tap, and those settings; none for a file."""
        if self.environment is None:
            return {}
        return {f"{self.environment}_{setting.name.upper()}": setting.name for setting in tap.settings}

    def read(self, tap: Plugin) -> dict[str, Any]:
        """Return the settings of the tap that are there, secrets among them.

        Raises:
            CustomersError: If there are none.
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
            message = f"{place}: no credentials are there, such as user and password"
            raise CustomersError(message)
        return values


class Customer(_Strict):
    """One customer, as the list has it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
    credentials: Credentials
    target: str = "target-postgres"
    """The loader of the Meltano project."""
    target_schema: str | None = Field(default=None, alias="schema")
    """The schema in the warehouse to load into."""
    target_settings: dict[str, Any] = {}
    streams: Annotated[list[str], Field(min_length=1)] | None = None
    """Streams to read, by name or pattern; those that meltano.yml selects by default."""
    settings: dict[str, Any] = {}
    """Further settings of the tap; none that is secret."""
    schedule: Annotated[str, AfterValidator(_schedule)] = "@hourly"
    """A cron expression in UTC; or `@hourly` or `@daily`, at a minute of the customer's own."""
    build: str | None = None
    """A command of Meltano to run after each load, such as `dbt-duckdb:build`."""
    build_settings: dict[str, Any] = {}
    """Settings of the plugin that builds; none that is secret."""
    inbox_company: str | None = None
    """What the inbox calls the customer; its name by default."""

    @field_validator("build_settings")
    @classmethod
    def _leaves_out_what_the_run_sets(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if given := sorted(settings.keys() & SET_BY_RUN):
            message = f"{' and '.join(given)} must not be there: each run sets that itself"
            raise ValueError(message)
        return settings

    @property
    def schema_name(self) -> str | None:
        """The schema to load into, wherever the entry names it."""
        name = self.target_settings.get(SCHEMA, self.target_schema)
        return None if name is None else str(name)

    @property
    def company(self) -> str:
        """What the inbox calls the customer."""
        return self.inbox_company or self.name

    def next_after(self, moment: datetime) -> datetime:
        """Return when the schedule wants the next run that begins after a moment (UTC)."""
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
    customers: dict[str, dict[str, Any]] = {}


def read_customers(path: Path, project: Project) -> dict[str, Customer]:
    """Return the customers of a list, by name.

    Args:
        path: The list.
        project: The Meltano project that loads them.

    Raises:
        CustomersError: If it cannot be used, with each mistake and its place.
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
    """What meltano.yml says of a plugin, as far as it matters here."""

    class Setting(BaseModel):
        """One of its settings."""

        name: str
        sensitive: bool = False
        value: Any = None

    name: str
    inherit_from: str | None = None
    settings: list[Setting] = []
    config: dict[str, Any] = {}
    select: list[str] = []
    ancestors: list[str] = []
    """The plugins that it inherits from, the nearest first."""

    @property
    def variables(self) -> str:
        """What the variables of its settings begin with."""
        return _variables(self.name)

    @property
    def kind(self) -> str:
        """The plugin that all it inherits comes from."""
        return [self.name, *self.ancestors][-1]

    def value(self, setting: str) -> object:
        """Return what a setting is where nobody gives another value."""
        for name in (self.name, *self.ancestors):
            if given := os.environ.get(f"{_variables(name)}{setting.upper()}"):
                return given
        return self.config.get(setting, {each.name: each.value for each in self.settings}.get(setting))

    def environment(self, values: Mapping[str, Any], *, secrets: bool) -> dict[str, str]:
        """Return the variables for some settings.

        Args:
            values: The settings.
            secrets: Whether they may be secret.

        Raises:
            CustomersError: If one is not known, or must not be there.
        """
        known = {setting.name: setting.sensitive for setting in self.settings}
        if unknown := sorted(values.keys() - known.keys()):
            message = f"{self.name} has no setting {', '.join(unknown)}"
            raise CustomersError(message)
        if misplaced := [] if secrets else sorted(name for name in values if known[name]):
            message = f"{', '.join(misplaced)} of {self.name} is secret, and belongs into the environment or a file"
            raise CustomersError(message)
        return {
            f"{self.variables}{name.upper()}": value if isinstance(value, str) else json.dumps(value, default=str)
            for name, value in values.items()
        }


def _variables(plugin: str) -> str:
    return f"{re.sub(r'[^A-Z0-9]', '_', plugin.upper())}_"


class Project:
    """A Meltano project, as its files describe it.

    Args:
        folder: Where its meltano.yml is.

    Raises:
        CustomersError: If there is none that can be used.
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
            message = f"{folder} (AIRCALL_PROJECT) has no meltano.yml that can be used"
            raise CustomersError(message) from error

    def conflicts(self, customers: Iterable[Customer]) -> list[str]:
        """Return what customers would take from each other: places to load into, and variables."""
        mistakes: list[str] = []
        places: dict[tuple[object, ...], str] = {}
        taken = {"AIRCALL_INBOX": "this deployment"} | {
            f"{plugin.variables}{setting.name.upper()}": plugin.name
            for plugin in self.plugins.values()
            for setting in plugin.settings
        }
        for customer in customers:
            for place in self._places(customer) if customer.target in self.plugins else ():
                first = places.setdefault(place, customer.name)
                if first != customer.name:
                    mistakes.append(f"customer {customer.name}: loads into the {place[0]} of {first}")
            if foreign := sorted(self.variables(customer) & taken.keys()):
                owner = taken[foreign[0]]
                mistakes.append(f"customer {customer.name}: {foreign[0]} belongs to {owner}; name another environment")
        return mistakes

    def variables(self, customer: Customer) -> set[str]:
        """Return the variables that may hold a customer's credentials and settings."""
        return set(customer.credentials.variables(self.plugins[TAP])) if TAP in self.plugins else set()

    def _places(self, customer: Customer) -> Iterator[tuple[object, ...]]:
        """Yield where a customer is loaded and built, each place in one spelling."""
        target = self._plugin(customer.target)
        found = {
            name: self._resolve(name, value)
            for name in sorted({each.name for each in target.settings} | customer.target_settings.keys())
            if PLACES.fullmatch(name) and (value := customer.target_settings.get(name) or target.value(name))
        }
        if URL in found:
            found = {URL: found[URL]}
        address = (target.kind, *found.items())
        if FILE in found:
            yield ("file", *address)
            return
        schema = str(customer.schema_name or target.value(SCHEMA)).casefold()
        for ending in ("", "_analytics", "_analytics_staging") if customer.build else ("",):
            yield ("schema", *address, f"{schema}{ending}")

    def _resolve(self, name: str, value: object) -> str:
        """Return the one spelling of what names a place."""
        text = os.path.expandvars(str(value).replace("$MELTANO_PROJECT_ROOT", str(self.folder)))
        is_path = re.search("dir|file|folder|path", name) and "://" not in text
        return str((self.folder / Path(text).expanduser()).resolve() if is_path else text).casefold()

    def environment(self, customer: Customer, folder: Path, inbox: str | None = None) -> dict[str, str]:
        """Return the variables with which Meltano loads a customer, and builds on what was loaded.

        Args:
            customer: Whom.
            folder: The working folder of the run.
            inbox: Where the inbox is, if there is one; for a tap that reads it.

        Raises:
            CustomersError: If Meltano cannot do that.
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
                **tap.environment(customer.settings, secrets=False),
                **tap.environment(customer.credentials.read(tap), secrets=True),
                **target.environment({**customer.target_settings, **place}, secrets=False),
                **self._build_environment(customer, folder),
            }
        except CustomersError as error:
            message = f"Customer {customer.name}: {error}."
            raise CustomersError(message) from error
        if customer.streams is not None:
            left_out = [rule for rule in tap.select if rule.startswith("!")]
            variables[f"{tap.variables}_SELECT"] = json.dumps([*(f"{name}.*" for name in customer.streams), *left_out])
        return variables

    def _build_environment(self, customer: Customer, folder: Path) -> dict[str, str]:
        """Return the variables of the plugin that builds: it reads the customer's schema, and writes beside it."""
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
