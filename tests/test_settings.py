"""Settings, in every form in which users, Meltano and the SDK pass them."""

from __future__ import annotations

import json
import logging
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from tap_aircall.command import read_json
from tap_aircall.errors import InputError
from tap_aircall.settings import DEFINITION, BasicSettings, OAuthSettings
from tap_aircall.settings import Settings as Made
from tap_aircall.tap import TapAircall
from tests.messages import each_names, refused, warnings
from tests.slow import few_or_many

if TYPE_CHECKING:
    from pathlib import Path

PROPERTIES: dict[str, Any] = {
    name: definition
    for name, definition in DEFINITION["properties"].items()
    if not name.startswith(("stream_map", "flattening", "faker"))  # the SDK adds these
}
SECRETS = [name for name, definition in PROPERTIES.items() if definition.get("secret")]
TEXTS = [name for name, definition in PROPERTIES.items() if "string" in definition["type"]]
GOOD = {"user": "id", "password": "token"}
INVISIBLE = st.sampled_from("\n\r\0\x7f\u2028\u200b\ud800") | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
HIDDEN = "s3cret"
"""Prefix of each secret in the property test."""


def make(config: dict[str, Any], **options: Any) -> Made:
    return TapAircall(config=config, **options).this_run.settings


@pytest.fixture(params=["config", "file", "environment"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes settings with one more, from a config, a file or the environment."""

    def given_as_config(name: str, written: str) -> Made:
        return make({**GOOD, name: json.loads(written, parse_float=Decimal)})

    def given_in_a_file(name: str, written: str) -> Made:
        path = tmp_path / "config.json"
        path.write_text(f'{{"{name}": {written}}}', encoding="utf-8")
        return make({**GOOD, **read_json(str(path), "Config")})

    def given_in_the_environment(name: str, written: str) -> Made:
        monkeypatch.setenv(f"TAP_AIRCALL_{name.upper()}", written.strip('"'))
        return make(dict(GOOD), parse_env_config=True)

    return {"config": given_as_config, "file": given_in_a_file, "environment": given_in_the_environment}[request.param]


def forms(number: Decimal) -> st.SearchStrategy[str]:
    """Draw ways to write a positive number in JSON, some of them as text."""
    plain = [f"{number:f}", f"{number:.4f}", f"{number:e}", f"{number:.6E}", f"{number.scaleb(1):f}e-1"]
    return st.sampled_from([*plain, *(f'"{form}"' for form in plain), f'" {number:f} "'])


@given(data=st.data())
@settings(max_examples=few_or_many(10, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_is_read_in_every_form(source: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["requests_per_minute", "request_timeout", "max_concurrent_requests"]))
    is_whole = name == "max_concurrent_requests"
    number = data.draw(st.integers(1, 100).map(Decimal) if is_whole else st.decimals("0.5", 600, places=2))

    value = getattr(source(name, data.draw(forms(number))), name)

    assert value == float(number)
    assert type(value) is int if is_whole else type(value) in {int, float}


@pytest.mark.parametrize("written", ["[0.5, 24]", "[5e-1, 24.0]", "[0.50, 2.4e1]"])
def test_numbers_in_a_list_are_read_in_every_form(source: Any, written: str) -> None:
    ages = source("reread_after_hours", written).reread_after_seconds

    assert ages == (1800, 86_400)
    assert {type(age) for age in ages} <= {int, float}


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ({"requests_per_minute": math.nan}, ["requests_per_minute", "number"]),
        ({"requests_per_minute": math.inf}, ["requests_per_minute", "number"]),
        ({"requests_per_minute": Decimal("sNaN")}, ["requests_per_minute", "number"]),
        ({"requests_per_minute": 10**400}, ["requests_per_minute", 10**6]),
        ({"requests_per_minute": 1e-300}, ["requests_per_minute", 0.001]),
        ({"requests_per_minute": True}, ["requests_per_minute", "number"]),
        ({"request_timeout": 1e300}, ["request_timeout", 86_400]),
        ({"request_timeout": "nan"}, ["request_timeout", "number"]),
        ({"reread_after_hours": [1, 1e300]}, ["reread_after_hours.1", 100_000]),
        ({"max_concurrent_requests": 10**9}, ["max_concurrent_requests", 100]),
        ({"max_concurrent_requests": 4.5}, ["max_concurrent_requests", "integer"]),
        ({"flattening_enabled": True}, ["flattening_max_depth", "flattening_enabled"]),
        ({"stream_maps": ["calls"]}, ["stream_maps", "object"]),
        ({"user": None}, ["Setting user", "API", "auth_scheme", "OAUTH"]),
        ({"user": "", "password": ""}, ["Setting user and password", "API", "auth_scheme", "OAUTH"]),
        ({"password": 12345}, ["password", "string"]),
        ({"start_date": "2999-01-01"}, ["start_date", "future"]),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, ["start_date", "end_date"]),
        ({"start_date": "last week"}, ["start_date", "2026-01-31", "2026-01-31T08:00:00Z"]),
        ({"end_date": "13:00"}, ["end_date", "2026-01-31", "2026-01-31T08:00:00Z"]),
        ({"requests_per_minute": -1}, ["requests_per_minute", 0.001]),
        ({"requests_per_minute": "fast"}, ["requests_per_minute", "number"]),
        ({"reread_after_hours": [1, 0]}, ["reread_after_hours.1", 0]),
        ({"max_concurrent_requests": 0}, ["max_concurrent_requests", 1]),
        ({"auth_scheme": "Digest"}, ["auth_scheme", "Digest", "BASIC", "OAUTH"]),
        ({"api_url": "http://api.aircall.io"}, ["api_url", "https://"]),
        ({"api_url": "http://127.0.0.1.example.com"}, ["api_url", "https://"]),
        ({"api_url": "aircall"}, ["api_url", "URL", "https://api.aircall.io"]),
        ({"pasword": "x"}, ["pasword", "password"]),
        ({"api_id": "x", "api_token": "y"}, ["api_id", "user", "api_token", "password"]),  # as in other connectors
    ],
)
def test_an_unusable_value_gets_one_line(config: dict[str, Any], facts: list[object]) -> None:
    with refused(InputError, "Setting", *facts):
        make({**GOOD, **config})


@pytest.mark.parametrize(("requests", "warned"), [(120, False), (121, True)])
def test_more_requests_than_aircall_allows_are_pointed_out(
    requests: float,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    TapAircall(config={**GOOD, "requests_per_minute": requests}).warn_of_mistakes()

    each_names(warnings(caplog), *[("requests_per_minute", 120)] * warned)


class TestText:
    def test_white_space_around_it_is_dropped(self) -> None:
        around = {name: f" \n{value}\r\n" for name, value in GOOD.items()}

        assert make({**around, "user_agent": "me\n", "analytics_timezone": "\tUTC"}) == make(
            {**GOOD, "user_agent": "me"}
        )

    def test_white_space_around_oauth_secrets_is_dropped(self) -> None:
        names = ("oauth_client_id", "oauth_client_secret", "oauth_access_token", "oauth_refresh_token")
        auth = make({"auth_scheme": "OAUTH", **{name: f"{name}\n" for name in names}}).auth

        assert isinstance(auth, OAuthSettings)
        assert (auth.client_id, auth.client_secret, auth.access_token, auth.refresh_token) == names

    def test_an_empty_setting_is_not_set(self) -> None:
        default = make(dict(GOOD))
        for name in TEXTS:
            if name in GOOD:
                with refused(InputError, f"Setting {name}"):
                    make({**GOOD, name: " \n"})
            else:
                assert make({**GOOD, name: " \n"}) == default, name

    @given(name=st.sampled_from(TEXTS), character=INVISIBLE)
    @settings(max_examples=few_or_many(30, 300))
    def test_invisible_characters_within_it_are_refused(self, name: str, character: str) -> None:
        with refused(InputError, f"Setting {name}") as raised:
            make({**GOOD, name: f"s3cret{character}t0ken"})
        assert not re.search("s3cret|t0ken", str(raised.value))

    @pytest.mark.parametrize("name", ["user_agent", "oauth_access_token"])
    def test_characters_that_no_header_can_carry_are_refused(self, name: str) -> None:
        with refused(InputError, f"Setting {name}", "HTTP"):
            make({**GOOD, name: "tap \N{SNOWMAN}"})

    def test_a_password_may_be_in_any_script(self) -> None:
        auth = make({**GOOD, "password": "\N{SNOWMAN} ключ"}).auth

        assert isinstance(auth, BasicSettings)
        assert auth.password == "\N{SNOWMAN} ключ"


@pytest.mark.parametrize(
    "url", ["https://:{}@host", "https://{}@host", "https://u:{}@host/x", "https://@{}", "//:{}@h"]
)
@pytest.mark.parametrize("name", ["api_url", "dashboard_url", "callback_url"])
def test_a_secret_in_a_url_is_refused_and_not_shown(name: str, url: str) -> None:
    config = {"auth_scheme": "OAUTH", "oauth_client_id": "a", "oauth_client_secret": "b", name: url.format(HIDDEN)}

    with refused(InputError, f"Setting {name}", "URL") as raised:
        make(config)
    assert HIDDEN not in str(raised.value)


@pytest.mark.parametrize("name", ["oauth_settings_location", "rate_limit_store"])
def test_a_path_may_begin_with_a_tilde(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    config = {"auth_scheme": "OAUTH", "oauth_client_id": "a", "oauth_client_secret": "b"}

    made = make({**config, name: "~/x"})
    assert isinstance(made.auth, OAuthSettings)
    assert (made.auth.location if name == "oauth_settings_location" else made.rate_limit_store) == "/home/ada/x"
    with refused(InputError, f"Setting {name}", "~nosuchuser"):
        make({**config, name: "~nosuchuser/x"})


@pytest.mark.parametrize("name", ["rate_limit_store", "inbox", "recordings_location"])
def test_a_path_relative_to_a_folder_that_was_removed_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with refused(InputError, f"Setting {name}", "folder"):
        make({**GOOD, name: "x"})
    make({**GOOD, "inbox": "postgresql://host/inbox"})


class TestVariables:
    @pytest.fixture(autouse=True)
    def credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in GOOD.items():
            monkeypatch.setenv(f"TAP_AIRCALL_{name.upper()}", value)

    @pytest.mark.parametrize(
        ("name", "text", "form"),
        [
            ("REREAD_AFTER_HOURS", "24,72", "[0.5, 6, 24, 72, 168, 720]"),
            ("REREAD_AFTER_HOURS", "[24,", "[0.5, 6, 24, 72, 168, 720]"),
            ("CUSTOM_STREAMS", "[{name: x}]", "JSON array"),
            ("ANALYTICS_REPORTS", "['CALLS_HISTORY']", "JSON array"),
            ("STREAM_MAPS", "{calls: null}", "JSON object"),
            ("FLATTENING_ENABLED", "treu", "true"),
        ],
    )
    def test_an_unreadable_variable_is_named(
        self, monkeypatch: pytest.MonkeyPatch, name: str, text: str, form: str
    ) -> None:
        monkeypatch.setenv(f"TAP_AIRCALL_{name}", text)

        with refused(InputError, f"TAP_AIRCALL_{name}", form):
            make({}, parse_env_config=True)

    def test_names_of_reports_may_be_written_with_commas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TAP_AIRCALL_ANALYTICS_REPORTS", "CALLS_HISTORY, USER_STATUS_HISTORY")

        assert make({}, parse_env_config=True).analytics_reports == ("CALLS_HISTORY", "USER_STATUS_HISTORY")

    def test_an_empty_variable_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in PROPERTIES.keys() - GOOD.keys():
            monkeypatch.setenv(f"TAP_AIRCALL_{name.upper()}", " ")

        assert make({}, parse_env_config=True) == make(dict(GOOD))

    def test_a_misspelt_variable_is_named(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("TAP_AIRCALL_API_TOKEN", "TAP_AIRCALL_STRAT_DATE", "TAP_AIRCALL_XYZ"):
            monkeypatch.setenv(name, "2026-01-01")
        for name in ("TAP_AIRCALL_LOGLEVEL", "TAP_AIRCALL__SELECT_FILTER", "_TAP_AIRCALL", "TAP_AIRCALLS"):
            monkeypatch.setenv(name, "debug")

        with caplog.at_level(logging.WARNING):
            make({}, parse_env_config=True)

        each_names(
            caplog.messages,
            ("TAP_AIRCALL_API_TOKEN", "password"),
            ("TAP_AIRCALL_STRAT_DATE", "start_date"),
            ("TAP_AIRCALL_XYZ", "--about"),
        )

    def test_an_env_file_that_is_not_text_gets_one_line(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"TAP_AIRCALL_PASSWORD=\xff")
        monkeypatch.chdir(tmp_path)

        with refused(InputError, ".env", "UTF-8"):
            make({}, parse_env_config=True)

    def test_variables_are_not_read_unless_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("TAP_AIRCALL_STRAT_DATE", "2026-01-01")
        make(dict(GOOD))
        assert "STRAT" not in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LIKELY = st.sampled_from(
    [
        *(
            "BASIC",
            "oauth",
            "off",
            "REFRESH",
            "",
            "60",
            "1e3",
            "nan",
            "~",
            "~nobody",
            "realtime",
            "Europe/Paris",
            "Europe",
        ),
        *("2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-W05", "P1D", "13:00", "../x"),
        *(
            "https://[::1",
            "https://h:99999",
            "http://localhost",
            "https://a@b",
            "https://host\\@x",
            "https://\u2100.com",
        ),
        *(0, -1, 0.5, 10**400, -(10**400), 1e308, Decimal("1e999"), [0.5], ["CALLS_HISTORY"], [{}], {}),
        *(
            {"calls": None},
            {"calls": {"id": "id", "__else__": None}},
            {"__else__": None},
            {"x": {"__source__": "calls"}},
        ),
    ]
)
SECRET_VALUES = st.text(max_size=8).map(lambda text: f"{HIDDEN}{text}") | JSON
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        name: (SECRET_VALUES if name in SECRETS else LIKELY | JSON)
        for name in (
            *PROPERTIES,
            "stream_maps",
            "flattening_enabled",
            "flattening_max_depth",
            "faker_config",
            "passwrod",
        )
    },
)


@given(config=CONFIGS, complete=st.booleans())
@example(config={"api_url": f"https://:{HIDDEN}@host"}, complete=True)
@example(config={"stream_maps": {"calls": {"user": "'"}}}, complete=True)
@settings(max_examples=few_or_many(50, 1_500), suppress_health_check=list(HealthCheck))
def test_any_config_makes_settings_or_one_line(config: dict[str, Any], complete: bool) -> None:
    config = {**GOOD, **config} if complete else dict(config)
    known = {*config, "user", "password", "oauth_client_id", "oauth_access_token", "flattening_max_depth", "start_date"}
    try:
        assert isinstance(make(config), Made)
    except InputError as error:
        line = str(error)
        assert any(name in line for name in known)
        assert HIDDEN not in line
        assert "\n" not in line
        assert "Setting" in line
