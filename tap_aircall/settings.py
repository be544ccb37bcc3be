"""The settings: what users can write, and what the tap makes of it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import dotenv
import singer_sdk.typing as th

from tap_aircall.errors import InputError, hint, one_line
from tap_aircall.http.addresses import is_loopback
from tap_aircall.reading.times import parse_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jsonschema import ValidationError

SECONDS_PER_HOUR = 3600
LONGEST_AGE_HOURS = 100_000
"""Eleven years; Aircall serves calls of six months."""
MOST_IN_FLIGHT = 100
"""Each request in flight takes a thread and a connection, and Aircall allows 120 requests a minute."""
TRANSCRIPTION_MODES = ("async", "realtime")

REPORTS = (
    "CALLS_HISTORY",
    "USER_STATUS_HISTORY",
    "USER_ACTIVITY_AVAILABILITY_BREAKDOWN",
    "USER_ACTIVITY_AVERAGE_AFTER_CALL_WORK_TIME_PER_USER",
    "USER_ACTIVITY_AVERAGE_INBOUND_IN_CALL_TIME_PER_USER",
    "USER_ACTIVITY_AVERAGE_OUTBOUND_IN_CALL_TIME_PER_USER",
    "USER_ACTIVITY_CALL_VOLUME_AND_TIME",
    "USER_ACTIVITY_CALLS_HANDLED",
    "USER_ACTIVITY_PERCENTAGE_OF_TIME_IN_EACH_STATUS",
    "USER_ACTIVITY_RINGING_ATTEMPTS_PER_USER",
    "USER_ACTIVITY_WORK_TIME_AND_AVAILABILITY",
    "USER_ACTIVITY_RINGING_ATTEMPTS",
)
"""The reports that Aircall exports (facts: Reports)."""

DEFINITION = th.PropertiesList(
    th.Property(
        "auth_scheme",
        th.StringType,
        default="BASIC",
        title="Authentication scheme",
        description=(
            "How to authenticate: BASIC, with an API id and token; or OAUTH, as a technology partner's app. Any letter "
            "case."
        ),
    ),
    th.Property(
        "user",
        th.StringType,
        title="API id",
        description="API id for Basic authentication. An admin makes one under Integrations > API keys.",
    ),
    th.Property(
        "password",
        th.StringType,
        secret=True,
        title="API token",
        description="API token for Basic authentication; Aircall shows it once, when the key is made.",
    ),
    th.Property(
        "oauth_client_id",
        th.StringType,
        title="OAuth client id",
        description="Client id that Aircall issued to the app.",
    ),
    th.Property(
        "oauth_client_secret",
        th.StringType,
        secret=True,
        title="OAuth client secret",
        description="Client secret that Aircall issued to the app.",
    ),
    th.Property(
        "callback_url",
        th.StringType,
        title="OAuth callback",
        description=(
            "Redirect URL that is registered with Aircall for the app: where the browser ends after a login. When it "
            "is on this machine (http://localhost:8765/callback), the tap listens there."
        ),
    ),
    th.Property(
        "initiate_oauth",
        th.StringType,
        default="REFRESH",
        title="OAuth initiation",
        description=(
            "OFF: use oauth_access_token as it is. REFRESH: use the tokens given or saved, and renew them when "
            "needed. GETANDREFRESH: also run the login when there is no token yet and a person at the terminal. Any "
            "letter case."
        ),
    ),
    th.Property(
        "oauth_access_token",
        th.StringType,
        secret=True,
        title="OAuth access token",
        description="Access token, where there is one already.",
    ),
    th.Property(
        "oauth_refresh_token",
        th.StringType,
        secret=True,
        title="OAuth refresh token",
        description="Refresh token, where there is one already.",
    ),
    th.Property(
        "oauth_settings_location",
        th.StringType,
        secret=True,
        title="OAuth token file",
        description=(
            "Where tokens are kept between runs: a file, readable by its owner alone; or, for several machines, a "
            "PostgreSQL address with a # and the customer's name at its end. Default: tokens.json in the folder that "
            "the platform has for the state of applications (on Linux ~/.local/state/tap-aircall)."
        ),
    ),
    th.Property(
        "streams",
        th.ArrayType(th.StringType),
        title="Streams",
        description=(
            "What to read when there is no catalog, which wins over it: names of streams, and patterns such as call_*. "
            "Default: those that are selected by default."
        ),
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Start date",
        description=(
            "Start of the earliest call to extract, inclusive: a date or date-time with any offset, UTC without one. "
            "Default: all that Aircall still serves, six months. Other streams are not limited by it."
        ),
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="End date",
        description=(
            "Start of the latest call to extract, inclusive: a date (its first second) or date-time. Default: now."
        ),
    ),
    th.Property(
        "reread_after_hours",
        th.ArrayType(th.NumberType(exclusive_minimum=0, maximum=LONGEST_AGE_HOURS)),
        default=[0.5, 6, 24, 72, 168, 720],
        title="Read calls again after",
        description=(
            "Ages in hours at which each call is read once more, so that late calls, recalculated fields and later "
            "tags, comments and assignments arrive. Empty: never."
        ),
    ),
    th.Property(
        "owned_lists_every_hours",
        th.NumberType(minimum=0, maximum=LONGEST_AGE_HOURS),
        default=24,
        title="Read owned lists every",
        description=(
            "Hours between two readings of the lists that cost a request per user or number, such as user_numbers; the "
            "state says when the last one was. 0: at every run."
        ),
    ),
    th.Property(
        "requests_per_minute",
        th.NumberType(minimum=0.001, maximum=1_000_000),  # type: ignore[arg-type]
        default=60,
        title="Requests per minute",
        description=(
            "The tap's share of the company's rate limit. Aircall allows 120 a minute to all integrations together."
        ),
    ),
    th.Property(
        "rate_limit_store",
        th.StringType,
        title="Shared rate limit",
        description=(
            "The file by which taps of one company that run on one machine at the same time share "
            "requests_per_minute; made when it is missing. Default: each tap counts for itself."
        ),
    ),
    th.Property(
        "inbox",
        th.StringType,
        secret=True,
        title="Inbox",
        description=(
            "Where aircall-inbox keeps what Aircall's webhooks tell: the path of a file, or the address of a database "
            "(postgresql://user:password@host/name). Streams such as messages come from it; calls, contacts and the AI "
            "streams read again at once what it names. Default: none."
        ),
    ),
    th.Property(
        "inbox_company",
        th.StringType,
        title="Company in the inbox",
        description=(
            "Whose events to keep and read, where one inbox serves several companies: any name, the same for both. "
            "Default: the company's name at Aircall to register webhooks, and the only company there is to read."
        ),
    ),
    th.Property(
        "max_concurrent_requests",
        th.IntegerType(minimum=1, maximum=MOST_IN_FLIGHT),
        default=4,
        title="Requests in flight",
        description=f"How many requests may be under way at once, {MOST_IN_FLIGHT} at most.",
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0, maximum=86_400),
        default=60,
        title="Request timeout",
        description="Seconds to wait for a connection, and for each next part of an answer.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://api.aircall.io",
        title="API root",
        description="Root of the API, without a version. Plain http is accepted for this machine only.",
    ),
    th.Property(
        "dashboard_url",
        th.StringType,
        default="https://dashboard.aircall.io",
        title="Dashboard root",
        description="Root of the page on which an admin allows the access over OAuth.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        title="User agent",
        description="Value of the User-Agent header. Default: tap-aircall/<version>.",
    ),
    th.Property(
        "transcription_mode",
        th.StringType,
        default="async",
        title="Transcription mode",
        description=(
            "Which transcription call_transcriptions reads: async, made after the call, or realtime, made during it, "
            "which needs AI Assist Pro."
        ),
    ),
    th.Property(
        "analytics_reports",
        th.ArrayType(th.StringType),
        default=[],
        title="Reports",
        description=(
            "Reports that the stream analytics_reports exports, by Aircall's names, such as CALLS_HISTORY. They need "
            "Analytics+."
        ),
    ),
    th.Property(
        "analytics_timezone",
        th.StringType,
        default="UTC",
        title="Time zone of reports",
        description="Time zone in which the days of reports begin: an IANA name, such as Europe/Paris.",
    ),
    th.Property(
        "recordings_location",
        th.StringType,
        title="Place of recordings",
        description=(
            "Where call_recordings keeps the files: a folder, or a URL of an object store (s3://, gs://, abfs://), "
            "which needs the extra of that name."
        ),
    ),
    th.Property(
        "custom_streams",
        th.ArrayType(th.ObjectType()),
        default=[],
        title="Further streams",
        description=(
            "Further lists or single objects of the API to read. Each has a name, a path, a records_key (where the "
            "records are in the answer) and primary_keys; and, where the list can be asked for new or changed records, "
            "a replication (from_to or newest_first) and its replication_key."
        ),
    ),
).to_dict()
"""JSON schema of the settings, without those that the SDK adds for every tap."""

_TEXTS = tuple(name for name, definition in DEFINITION["properties"].items() if "string" in definition["type"])
"""The settings that are text."""
_IN_HEADERS = ("oauth_access_token", "user_agent")
"""Those that are sent in a header as they are."""
_CONSTRAINTS = {
    "type": "must be {}",
    "exclusiveMinimum": "must be greater than {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
}
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class InitiateOAuth(StrEnum):
    """What the tap may do to get tokens."""

    OFF = "OFF"
    REFRESH = "REFRESH"
    GETANDREFRESH = "GETANDREFRESH"


@dataclass(frozen=True, kw_only=True)
class BasicSettings:
    """The settings of Basic authentication."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BasicSettings:
        """Make sense of a config; see `Settings.from_config`."""
        hint = "give the API id (user) and API token (password), or set auth_scheme to OAUTH"
        _require(config, "user", "password", hint=hint)
        return cls(user=config["user"], password=config["password"])


@dataclass(frozen=True, kw_only=True)
class OAuthSettings:
    """The settings of OAuth; texts that are not set are empty."""

    client_id: str
    client_secret: str = field(repr=False)
    callback_url: str
    """As it was written: Aircall compares it letter for letter."""
    dashboard_url: str
    initiate: InitiateOAuth
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    location: str
    """File for the tokens; empty for the default."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> OAuthSettings:
        """Make sense of a config; see `Settings.from_config`."""
        initiate = str(config["initiate_oauth"]).upper()
        if initiate not in InitiateOAuth.__members__:
            raise _unknown(config, "initiate_oauth", "it must be OFF, REFRESH or GETANDREFRESH.")
        if initiate == InitiateOAuth.OFF:
            _require(config, "oauth_access_token", hint="with initiate_oauth OFF it is the only way in")
        elif config.get("oauth_refresh_token") or not config.get("oauth_access_token"):
            _require(config, "oauth_client_id", "oauth_client_secret", hint="Aircall issues them with the app")
        if config.get("callback_url"):
            _checked_url(config, "callback_url", query=True)
        return cls(
            client_id=config.get("oauth_client_id", ""),
            client_secret=config.get("oauth_client_secret", ""),
            callback_url=config.get("callback_url", ""),
            dashboard_url=_checked_url(config, "dashboard_url"),
            initiate=InitiateOAuth(initiate),
            access_token=config.get("oauth_access_token", ""),
            refresh_token=config.get("oauth_refresh_token", ""),
            location=_checked_path(config, "oauth_settings_location"),
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run, checked and in the units that the tap works with."""

    auth: BasicSettings | OAuthSettings
    start: int | None
    """First second of calls to extract (UNIX)."""
    end: int | None
    """Last second of calls to extract (UNIX)."""
    reread_after_seconds: tuple[int, ...]
    owned_lists_every_seconds: float
    """How old the last reading of a list that costs a request an owner must be before the next."""
    requests_per_minute: float
    rate_limit_store: str
    """File path or Redis URL; empty for none."""
    inbox: str = field(repr=False)
    """File path, or address of a database; empty for none."""
    inbox_company: str
    """Empty for the default."""
    max_concurrent_requests: int
    request_timeout: float
    """Seconds."""
    api_url: str
    user_agent: str
    transcription_mode: str
    analytics_reports: tuple[str, ...]
    """Names of reports, each once."""
    analytics_timezone: str
    """IANA name."""
    recordings_location: str
    """Folder or URL; empty for none."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, now: float, version: str) -> Settings:
        """Make sense of a config that satisfies the JSON schema.

        Args:
            config: The config, defaults filled in.
            now: UNIX time in seconds.
            version: Version of the tap, for the default user agent.

        Raises:
            InputError: Naming the setting that cannot be used and what it should be.
        """
        scheme = str(config["auth_scheme"]).upper()
        if scheme not in AUTH_SCHEMES:
            raise _unknown(config, "auth_scheme", "it must be BASIC or OAUTH.")
        auth = AUTH_SCHEMES[scheme].from_config(config)
        start, end = _moment(config, "start_date"), _moment(config, "end_date")
        if start is not None and start.timestamp() > now:
            raise InputError("Setting start_date: lies in the future.")
        if start is not None and end is not None and start > end:
            raise InputError("Setting start_date: lies after end_date.")
        return cls(
            auth=auth,
            start=None if start is None else math.ceil(start.timestamp()),
            end=None if end is None else math.floor(end.timestamp()),
            reread_after_seconds=tuple(
                max(1, round(hours * SECONDS_PER_HOUR)) for hours in config["reread_after_hours"]
            ),
            owned_lists_every_seconds=config["owned_lists_every_hours"] * SECONDS_PER_HOUR,
            requests_per_minute=config["requests_per_minute"],
            rate_limit_store=_checked_path(config, "rate_limit_store"),
            inbox=_checked_path(config, "inbox"),
            inbox_company=config.get("inbox_company", ""),
            max_concurrent_requests=config["max_concurrent_requests"],
            request_timeout=config["request_timeout"],
            api_url=_checked_url(config, "api_url"),
            user_agent=config.get("user_agent", f"tap-aircall/{version}"),
            transcription_mode=_checked_mode(config),
            analytics_reports=_checked_reports(config),
            analytics_timezone=_checked_timezone(config),
            recordings_location=_checked_path(config, "recordings_location"),
        )


AUTH_SCHEMES: dict[str, type[BasicSettings | OAuthSettings]] = {"BASIC": BasicSettings, "OAUTH": OAuthSettings}


def normalize(config: dict[str, Any], properties: Mapping[str, Any]) -> None:
    """Bring a config into one form, in place, however it was written and wherever it came from.

    - What is null, or text without a character, is not set.
    - White space around text goes: secrets that are mounted as files end in a line break.
    - Numbers are ints and floats, also where they came as `Decimal` (the SDK's), as text (environment, Meltano), or as
      a float that is whole. What is no finite number is made text, which the schema refuses.

    Args:
        config: The config.
        properties: JSON schemas of the settings by name.
    """
    for name, value in list(config.items()):
        stripped = value.strip() if name in _TEXTS and isinstance(value, str) else value
        if stripped is None or (name in _TEXTS and stripped == ""):
            del config[name]
        else:
            config[name] = _plain(stripped, properties.get(name, {}))


def _plain(value: Any, definition: Mapping[str, Any]) -> Any:
    """Return a value with its numbers as `normalize` says, where a schema has numbers."""
    kinds = definition.get("type", ())
    if isinstance(value, list) and "array" in kinds:
        return [_plain(item, definition["items"]) for item in value]
    if not isinstance(value, str | float | Decimal) or not {"number", "integer"}.intersection(kinds):
        return value
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return str(value)
    return int(number) if "integer" in kinds and number.is_integer() else number


def from_environment(properties: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Read the settings that variables of the environment, or a file `.env`, give.

    Args:
        properties: JSON schemas of the settings by name.
        prefix: What the names of the variables begin with.

    Raises:
        InputError: Naming the variable that cannot be read, and the form it must have.
    """
    try:
        dotenv.load_dotenv(dotenv.find_dotenv(usecwd=True) or dotenv.find_dotenv())
    except (OSError, ValueError) as error:
        raise InputError("File .env: cannot be read; it must be text in UTF-8.") from error
    variables = {name: f"{prefix}{name.upper()}" for name in properties}
    return {
        name: _parsed(os.environ[variable], properties[name], f"Variable {variable}")
        for name, variable in variables.items()
        if os.environ.get(variable, "").strip()
    }


def unknown_variables(properties: Iterable[str], prefix: str) -> list[str]:
    """Suggest what may have been meant by each variable that looks like a setting but is none.

    Meltano has variables of its own for each plugin, such as `TAP_AIRCALL__SELECT`, and the SDK one for the log.
    """
    known = list(properties)
    others = {name: name.removeprefix(prefix).lower() for name in sorted(os.environ) if name.startswith(prefix)}
    return [
        f"Variable {one_line(name)}: ignored, since there is no setting {one_line(setting)}; "
        f"{hint(setting, known, 'see tap-aircall --about for those there are.')}"
        for name, setting in others.items()
        if setting not in {*known, "loglevel"} and not setting.startswith("_")
    ]


def _parsed(text: str, definition: Mapping[str, Any], what: str) -> Any:
    """Read a variable; numbers stay text, as `normalize` takes them."""
    kinds = definition["type"]
    if "boolean" in kinds:
        if text.lower() not in _BOOLEANS:
            raise InputError(f"{what}: must be true or false.")
        return _BOOLEANS[text.lower()]
    kind = next((kind for kind in ("array", "object") if kind in kinds), None)
    if kind is None:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if "string" in definition.get("items", {}).get("type", ()) and "[" not in text:
            return [item.strip() for item in text.split(",")]
        example = f", such as {json.dumps(definition['default'])}" if definition.get("default") else ""
        raise InputError(f"{what}: must be a JSON {kind}{example}.") from error


def explain(error: ValidationError) -> str:
    """Say in one line which setting is wrong and what it must be, without its value, which may be a secret."""
    name = ".".join(one_line(str(part)) for part in error.absolute_path)
    expected: Any = error.validator_value
    if error.validator == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        expected = " or ".join(kind for kind in kinds if kind != "null")
    text = _CONSTRAINTS.get(str(error.validator), "cannot be used; see tap-aircall --about").format(expected)
    return f"Setting {name}: {text}."


def unknown_settings(config: Iterable[str], known: Iterable[str]) -> list[str]:
    """Suggest what may have been meant by each key of a config that is no setting."""
    known = list(known)
    return [
        f"Setting {one_line(name)}: unknown; {hint(name, known, 'see tap-aircall --about for those there are.')}"
        for name in config
        if name not in known
    ]


def unusable_texts(config: Mapping[str, Any]) -> list[str]:
    """Explain what is wrong with texts that have invisible characters, or that no header can carry."""
    lines = []
    for name in _TEXTS:
        text = config.get(name)
        if not isinstance(text, str):
            continue
        if not text.isprintable():
            lines.append(f"Setting {name}: has a line break or another invisible character in it; remove it.")
        elif name in _IN_HEADERS and not _is_latin_1(text):
            lines.append(f"Setting {name}: has characters that an HTTP header cannot carry.")
    return lines


def unusable_flattening(config: Mapping[str, Any]) -> list[str]:
    """Say what is missing for the SDK's flattening."""
    if config.get("flattening_enabled") is True and config.get("flattening_max_depth", -1) < 0:
        return ["Setting flattening_max_depth: give the number of levels to flatten, since flattening_enabled is true."]
    return []


def _is_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)  # noqa: PLR2004 - what Latin-1 has


def _require(config: Mapping[str, Any], *names: str, hint: str) -> None:
    if missing := [name for name in names if not config.get(name)]:
        raise InputError(f"Setting {' and '.join(missing)}: missing; {hint}.")


def _unknown(config: Mapping[str, Any], name: str, advice: str) -> InputError:
    return InputError(f"Setting {name}: '{one_line(str(config[name]))}' is unknown; {advice}")


def _moment(config: Mapping[str, Any], name: str) -> datetime | None:
    text = config.get(name)
    if not text:
        return None
    try:
        return parse_setting(text)
    except ValueError as error:
        raise InputError(
            f"Setting {name}: must be a date or date-time, such as 2026-01-31 or 2026-01-31T08:00:00Z."
        ) from error


def _checked_mode(config: Mapping[str, Any]) -> str:
    mode = str(config["transcription_mode"]).lower()
    if mode not in TRANSCRIPTION_MODES:
        raise _unknown(config, "transcription_mode", "it must be async or realtime.")
    return mode


def _checked_reports(config: Mapping[str, Any]) -> tuple[str, ...]:
    for number, name in enumerate(config["analytics_reports"]):
        if name not in REPORTS:
            advice = hint(name.upper(), REPORTS, f"there are {', '.join(REPORTS)}.")
            raise InputError(f"Setting analytics_reports.{number}: '{one_line(name)}' is unknown; {advice}")
    return tuple(dict.fromkeys(config["analytics_reports"]))


def _checked_timezone(config: Mapping[str, Any]) -> str:
    name = str(config["analytics_timezone"])
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        advice = hint(name, available_timezones(), "it must be an IANA name, such as Europe/Paris.")
        raise _unknown(config, "analytics_timezone", advice) from error
    return name


def _checked_path(config: Mapping[str, Any], name: str) -> str:
    """Return a path with the home folder in place of a `~`; anything else, such as a URL, as it is."""
    text = str(config.get(name, ""))
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise InputError(
            f"Setting {name}: there is no home folder {one_line(Path(text).parts[0])}; write the whole path."
        ) from error


def _checked_url(config: Mapping[str, Any], name: str, *, query: bool = False) -> str:
    """Accept https, and http to this machine, so that credentials never travel in the open; none within the URL."""
    url = str(config[name])
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if (
        not host
        or parts.scheme not in {"http", "https"}
        or "@" in parts.netloc
        or parts.fragment
        or (parts.query and not query)
    ):
        raise InputError(f"Setting {name}: must be a plain URL, such as https://api.aircall.io.")
    if parts.scheme == "http" and not is_loopback(host):
        raise InputError(f"Setting {name}: must begin with https://; plain http is accepted for this machine only.")
    return url.rstrip("/")
