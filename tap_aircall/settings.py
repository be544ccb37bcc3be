"""The settings: their JSON schemas, and the checked form that a run uses."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import dotenv
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_aircall.errors import InputError, hint, one_line
from tap_aircall.http.addresses import is_loopback
from tap_aircall.reading.times import HOUR_SECONDS, parse_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from jsonschema import ValidationError

LONGEST_AGE_HOURS = 100_000
"""Eleven years; Aircall serves six months of calls."""
MOST_IN_FLIGHT = 100
"""Each takes a thread and a connection, and Aircall allows only 120 requests a minute."""
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


def _setting(kind: str, title: str, description: str, *, secret: bool = False, **more: Any) -> dict[str, Any]:
    hidden = {"secret": True, "writeOnly": True} if secret else {}
    return {"type": [kind, "null"], "title": title, **more, "description": description, **hidden}


_text, _number, _list = partial(_setting, "string"), partial(_setting, "number"), partial(_setting, "array")

PROPERTIES: dict[str, dict[str, Any]] = {
    "auth_scheme": _text(
        "Authentication scheme",
        "BASIC (with an API id and token) or OAUTH (as a technology partner's app). Case-insensitive.",
        default="BASIC",
    ),
    "user": _text("API id", "API id for Basic authentication. An admin creates it under Integrations > API keys."),
    "password": _text(
        "API token", "API token for Basic authentication. Aircall shows it once, when the key is created.", secret=True
    ),
    "oauth_client_id": _text("OAuth client id", "Client id that Aircall issued for the app."),
    "oauth_client_secret": _text("OAuth client secret", "Client secret that Aircall issued for the app.", secret=True),
    "callback_url": _text(
        "OAuth callback",
        "Redirect URL registered with Aircall for the app. If it is on this machine (http://localhost:8765/callback), "
        "the tap listens on it during a login.",
    ),
    "initiate_oauth": _text(
        "OAuth initiation",
        "OFF: use oauth_access_token as is. REFRESH: use the given or saved tokens and renew them when needed. "
        "GETANDREFRESH: also start a login if there are no tokens and someone is at the terminal. Case-insensitive.",
        default="REFRESH",
    ),
    "oauth_access_token": _text("OAuth access token", "Access token, if you already have one.", secret=True),
    "oauth_refresh_token": _text("OAuth refresh token", "Refresh token, if you already have one.", secret=True),
    "oauth_settings_location": _text(
        "OAuth token file",
        "Where to keep tokens between runs: a file, readable only by its owner, or, to share them between machines, a "
        "PostgreSQL URL that ends with # and the customer's name. Default: tokens.json in the platform's state folder "
        "(on Linux ~/.local/state/tap-aircall).",
        secret=True,
    ),
    "streams": _list(
        "Streams",
        "Streams to read if no catalog is given: names, or patterns such as call_*. Default: those that are selected "
        "by default.",
        items={"type": ["string"]},
    ),
    "start_date": _text(
        "Start date",
        "Extract calls that started at or after this date or date-time (UTC unless it has an offset). Default: all "
        "that Aircall still serves, which is six months. Other streams ignore it.",
    ),
    "end_date": _text(
        "End date",
        "Extract calls that started at or before this date (its first second) or date-time. Default: now.",
    ),
    "reread_after_hours": _list(
        "Read calls again after",
        "Ages in hours at which to read each call again, to pick up late calls, recalculated fields, and later tags, "
        "comments and assignments. Empty: never.",
        items={"type": ["number"], "exclusiveMinimum": 0, "maximum": LONGEST_AGE_HOURS},
        default=[0.5, 6, 24, 72, 168, 720],
    ),
    "owned_lists_every_hours": _number(
        "Read owned lists every",
        "Hours between readings of lists that cost one request per user or number, such as user_numbers. 0: read them "
        "in every run.",
        minimum=0,
        maximum=LONGEST_AGE_HOURS,
        default=24,
    ),
    "requests_per_minute": _number(
        "Requests per minute",
        "The tap's share of the company's rate limit. Aircall allows 120 a minute for all integrations together.",
        minimum=0.001,
        maximum=1_000_000,
        default=60,
    ),
    "rate_limit_store": _text(
        "Shared rate limit",
        "File through which taps of one company that run at once on one machine share requests_per_minute; created if "
        "missing. Default: each tap counts only its own requests.",
    ),
    "inbox": _text(
        "Inbox",
        "Where aircall-inbox stores the events from Aircall's webhooks: the path of a file, or the URL of a database "
        "(postgresql://user:password@host/name). Streams such as messages are read from it; calls, contacts and the AI "
        "streams read again what its events name. Default: none.",
        secret=True,
    ),
    "inbox_company": _text(
        "Company in the inbox",
        "Company whose events to store and read, if several share an inbox: any name, the same for both. Default: the "
        "company's name at Aircall to register webhooks; to read, the only company in the inbox.",
    ),
    "max_concurrent_requests": _setting(
        "integer",
        "Requests in flight",
        f"Maximum number of requests in flight, up to {MOST_IN_FLIGHT}.",
        minimum=1,
        maximum=MOST_IN_FLIGHT,
        default=4,
    ),
    "request_timeout": _number(
        "Request timeout",
        "Seconds to wait for a connection, and for each further part of a response.",
        exclusiveMinimum=0,
        maximum=86_400,
        default=60,
    ),
    "api_url": _text(
        "API root",
        "Root URL of the API, without a version. Plain http is accepted only for this machine.",
        default="https://api.aircall.io",
    ),
    "dashboard_url": _text(
        "Dashboard root",
        "Root URL of the page on which an admin grants access over OAuth.",
        default="https://dashboard.aircall.io",
    ),
    "user_agent": _text("User agent", "Value of the User-Agent header. Default: tap-aircall/<version>."),
    "transcription_mode": _text(
        "Transcription mode",
        "Transcriptions that call_transcriptions reads: async (made after the call) or realtime (made during it; needs "
        "AI Assist Pro).",
        default="async",
    ),
    "analytics_reports": _list(
        "Reports",
        "Reports that the stream analytics_reports exports, by Aircall's names, such as CALLS_HISTORY. They need "
        "Analytics+.",
        items={"type": ["string"]},
        default=[],
    ),
    "analytics_timezone": _text(
        "Time zone of reports",
        "Time zone of the days in reports: an IANA name, such as Europe/Paris.",
        default="UTC",
    ),
    "recordings_location": _text(
        "Recordings location",
        "Where call_recordings stores the files: a folder, or the URL of an object store (s3://, gs://, abfs://), "
        "which needs the extra of that name.",
    ),
    "custom_streams": _list(
        "Custom streams",
        "Other lists or single objects of the API to read. Each has a name, a path, a records_key (where the response "
        "holds the records) and primary_keys; and, if the API can list only new or changed records, a replication "
        "(from_to or newest_first) and its replication_key.",
        items={"type": "object", "properties": {}, "additionalProperties": True},
        default=[],
    ),
}
"""JSON schemas of the settings, without those that the SDK adds to every tap."""
DEFINITION: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": PROPERTIES,
}

_TEXTS = tuple(name for name, definition in PROPERTIES.items() if "string" in definition["type"])
_IN_HEADERS = ("oauth_access_token", "user_agent")
"""Settings that are sent in a header verbatim."""
_CONSTRAINTS = {
    "type": "must be {}",
    "exclusiveMinimum": "must be greater than {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
}
_SYNONYMS = {"api_id": "user", "api_token": "password"}
"""Names of settings in other connectors."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class InitiateOAuth(StrEnum):
    """How the tap may get tokens."""

    OFF = "OFF"
    REFRESH = "REFRESH"
    GETANDREFRESH = "GETANDREFRESH"


@dataclass(frozen=True, kw_only=True)
class BasicSettings:
    """The settings of Basic authentication."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class OAuthSettings:
    """The settings of OAuth; unset texts are empty."""

    client_id: str
    client_secret: str = field(repr=False)
    callback_url: str
    """Verbatim: Aircall compares it character by character."""
    dashboard_url: str
    initiate: InitiateOAuth
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    location: str
    """File or database URL for the tokens; empty for the default file."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings of a run, in the units that the tap uses; unset texts are empty."""

    auth: BasicSettings | OAuthSettings
    start: int | None
    """UNIX seconds; calls that started earlier are not extracted."""
    end: int | None
    """UNIX seconds; calls that started later are not extracted."""
    reread_after_seconds: tuple[int, ...]
    owned_lists_every_seconds: float
    """Minimum time between readings of a list that costs one request per owner."""
    requests_per_minute: float
    rate_limit_store: str
    inbox: str = field(repr=False)
    inbox_company: str
    max_concurrent_requests: int
    request_timeout: float
    """Seconds."""
    api_url: str
    user_agent: str
    transcription_mode: str
    analytics_reports: tuple[str, ...]
    """Names of reports, each once."""
    analytics_timezone: str
    recordings_location: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, now: float, version: str) -> Settings:
        """Build the settings from a config without `problems`.

        Args:
            config: The config, with defaults filled in.
            now: UNIX seconds.
            version: Version of the tap, for the default user agent.

        Raises:
            InputError: If a setting cannot be used; names it and what it should be.
        """
        auth = _basic(config) if _choice(config, "auth_scheme", ("BASIC", "OAUTH")) == "BASIC" else _oauth(config)
        start, end = _moment(config, "start_date"), _moment(config, "end_date")
        if start is not None and start.timestamp() > now:
            raise InputError("Setting start_date: is in the future.")
        if start is not None and end is not None and start > end:
            raise InputError("Setting start_date: is after end_date.")
        return cls(
            auth=auth,
            start=None if start is None else math.ceil(start.timestamp()),
            end=None if end is None else math.floor(end.timestamp()),
            reread_after_seconds=tuple(max(1, round(hours * HOUR_SECONDS)) for hours in config["reread_after_hours"]),
            owned_lists_every_seconds=config["owned_lists_every_hours"] * HOUR_SECONDS,
            requests_per_minute=config["requests_per_minute"],
            rate_limit_store=_path(config, "rate_limit_store"),
            inbox=_path(config, "inbox"),
            inbox_company=config.get("inbox_company", ""),
            max_concurrent_requests=config["max_concurrent_requests"],
            request_timeout=config["request_timeout"],
            api_url=_url(config, "api_url"),
            user_agent=config.get("user_agent", f"tap-aircall/{version}"),
            transcription_mode=_choice(config, "transcription_mode", ("async", "realtime")),
            analytics_reports=_reports(config),
            analytics_timezone=_timezone(config),
            recordings_location=_path(config, "recordings_location"),
        )


def _basic(config: Mapping[str, Any]) -> BasicSettings:
    advice = "give the API id (user) and API token (password), or set auth_scheme to OAUTH"
    advice += " (plain Singer reads variables only with --config=ENV)"
    _require(config, "user", "password", advice=advice)
    return BasicSettings(user=config["user"], password=config["password"])


def _oauth(config: Mapping[str, Any]) -> OAuthSettings:
    initiate = InitiateOAuth(_choice(config, "initiate_oauth", list(InitiateOAuth)))
    if initiate == InitiateOAuth.OFF:
        _require(config, "oauth_access_token", advice="initiate_oauth OFF needs it")
    elif config.get("oauth_refresh_token") or not config.get("oauth_access_token"):
        _require(config, "oauth_client_id", "oauth_client_secret", advice="Aircall issues them with the app")
    if config.get("callback_url"):
        _url(config, "callback_url", query=True)
    return OAuthSettings(
        client_id=config.get("oauth_client_id", ""),
        client_secret=config.get("oauth_client_secret", ""),
        callback_url=config.get("callback_url", ""),
        dashboard_url=_url(config, "dashboard_url"),
        initiate=initiate,
        access_token=config.get("oauth_access_token", ""),
        refresh_token=config.get("oauth_refresh_token", ""),
        location=_path(config, "oauth_settings_location"),
    )


def problems(config: dict[str, Any], properties: Mapping[str, Any]) -> list[str]:
    """Normalize a config in place, fill in defaults, and return a line for each unusable setting.

    - Null and blank text count as unset.
    - Text is stripped: secrets that are mounted as files end in a line break.
    - Numbers become `int` or `float`, also those that arrive as `Decimal` (from the SDK), as text (from the
      environment or Meltano) or as a whole float. Non-finite numbers become text, which the schema refuses.
    """
    for name, value in list(config.items()):
        stripped = value.strip() if name in _TEXTS and isinstance(value, str) else value
        if stripped is None or (name in _TEXTS and stripped == ""):
            del config[name]
        else:
            config[name] = _normalized(stripped, properties.get(name, {}))
    lines = [
        f"Setting {one_line(name)}: unknown; {_suggestion(name, properties)}"
        for name in config
        if name not in properties
    ]
    lines += map(_violation, JSONSchemaValidator({"properties": properties}).iter_errors(config))
    return lines or list(_further_problems(config))


def _suggestion(name: str, known: Iterable[str]) -> str:
    if name in _SYNONYMS:
        return f"did you mean {_SYNONYMS[name]}?"
    return hint(name, known, "tap-aircall --about lists them.")


def _normalized(value: Any, definition: Mapping[str, Any]) -> Any:
    """Convert the numbers in a value, as `problems` describes, where its schema has numbers."""
    kinds = definition.get("type", ())
    if isinstance(value, list) and "array" in kinds:
        return [_normalized(item, definition["items"]) for item in value]
    if not isinstance(value, str | float | Decimal) or not {"number", "integer"}.intersection(kinds):
        return value
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return str(value)
    return int(number) if "integer" in kinds and number.is_integer() else number


def _violation(error: ValidationError) -> str:
    """Return a line about an invalid setting, without its value, which may be a secret."""
    name = ".".join(one_line(str(part)) for part in error.absolute_path)
    expected: Any = error.validator_value
    if error.validator == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        expected = " or ".join(f"{'an' if kind[0] in 'aio' else 'a'} {kind}" for kind in kinds if kind != "null")
    text = _CONSTRAINTS.get(str(error.validator), "cannot be used; see tap-aircall --about").format(expected)
    return f"Setting {name}: {text}."


def _further_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each problem that the schemas cannot express."""
    for name in _TEXTS:
        text = config.get(name) or ""
        if not text.isprintable():
            yield f"Setting {name}: contains a line break or another invisible character; remove it."
        elif name in _IN_HEADERS and max(text, default="") > "\xff":
            yield f"Setting {name}: contains characters that an HTTP header cannot carry."
    if config.get("flattening_enabled") is True and config.get("flattening_max_depth", -1) < 0:
        yield "Setting flattening_max_depth: missing; flattening_enabled needs the number of levels to flatten."


def from_environment(properties: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], list[str]]:
    """Read settings from environment variables and a file `.env`.

    Args:
        properties: JSON schemas of the settings by name.
        prefix: Prefix of the variables.

    Returns:
        The settings, and a line for each variable with the prefix that names no setting. Meltano's own variables, such
        as `TAP_AIRCALL__SELECT`, and the SDK's log level do not count.

    Raises:
        InputError: If a variable cannot be parsed; names it and the form it must have.
    """
    try:
        dotenv.load_dotenv(dotenv.find_dotenv(usecwd=True) or dotenv.find_dotenv())
    except (OSError, ValueError) as error:
        raise InputError("File .env: cannot be read; it must be UTF-8 text.") from error
    config, lines = {}, []
    for variable in sorted(os.environ):
        name = variable.removeprefix(prefix).lower()
        if not variable.startswith(prefix) or name.startswith("_") or name == "loglevel":
            continue
        if name not in properties:
            lines.append(
                f"Variable {one_line(variable)}: ignored, since there is no setting {one_line(name)}; "
                f"{_suggestion(name, properties)}"
            )
        elif variable == f"{prefix}{name.upper()}" and os.environ[variable].strip():
            config[name] = _parsed(os.environ[variable], properties[name], f"Variable {variable}")
    return config, lines


def _parsed(text: str, definition: Mapping[str, Any], what: str) -> Any:
    """Parse a variable; numbers stay text, which `problems` converts."""
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


def _require(config: Mapping[str, Any], *names: str, advice: str) -> None:
    if missing := [name for name in names if not config.get(name)]:
        raise InputError(f"Setting {' and '.join(missing)}: missing; {advice}.")


def _unknown(name: str, value: str, advice: str) -> InputError:
    return InputError(f"Setting {name}: '{one_line(value)}' is unknown; {advice}")


def _choice(config: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """Return the choice that a setting names, in any letter case."""
    for choice in choices:
        if str(config[name]).lower() == choice.lower():
            return choice
    raise _unknown(name, str(config[name]), f"it must be {', '.join(choices[:-1])} or {choices[-1]}.")


def _moment(config: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return parse_setting(config[name]) if config.get(name) else None
    except ValueError as error:
        raise InputError(
            f"Setting {name}: must be a date or date-time, such as 2026-01-31 or 2026-01-31T08:00:00Z."
        ) from error


def _reports(config: Mapping[str, Any]) -> tuple[str, ...]:
    for number, name in enumerate(config["analytics_reports"]):
        if name not in REPORTS:
            advice = hint(name.upper(), REPORTS, f"there are {', '.join(REPORTS)}.")
            raise _unknown(f"analytics_reports.{number}", name, advice)
    return tuple(dict.fromkeys(config["analytics_reports"]))


def _timezone(config: Mapping[str, Any]) -> str:
    name = str(config["analytics_timezone"])
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        advice = hint(name, available_timezones(), "it must be an IANA name, such as Europe/Paris.")
        raise _unknown("analytics_timezone", name, advice) from error
    return name


def _path(config: Mapping[str, Any], name: str) -> str:
    """Expand a leading `~`; leave anything else, such as a URL, unchanged."""
    text = str(config.get(name, ""))
    try:
        path = Path(text).expanduser()
        if text and "://" not in text:
            path.absolute()  # fails if it is relative to a folder that was removed
    except (OSError, RuntimeError) as error:
        folder = f"home folder {one_line(Path(text).parts[0])}" if text.startswith("~") else "working folder"
        raise InputError(f"Setting {name}: there is no {folder}; use an absolute path.") from error
    return str(path) if text.startswith("~") else text


def _url(config: Mapping[str, Any], name: str, *, query: bool = False) -> str:
    """Return a URL without credentials: https, or http to this machine, so that nothing secret travels unencrypted."""
    url = str(config[name])
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    is_plain = "@" not in parts.netloc and not parts.fragment and (query or not parts.query)
    if not host or parts.scheme not in {"http", "https"} or not is_plain:
        raise InputError(f"Setting {name}: must be a plain URL, such as https://api.aircall.io.")
    if parts.scheme == "http" and not is_loopback(host):
        raise InputError(f"Setting {name}: must begin with https://; plain http is accepted only for this machine.")
    return url.rstrip("/")
