"""OAuth tokens during a run: when they are renewed, and where the new ones are saved."""

from __future__ import annotations

import json
import logging
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from typing_extensions import override

from aircall_sandbox import Fault
from tap_aircall.errors import (
    AircallError,
    CredentialsError,
    InputError,
    LoginNeededError,
    RunEndedError,
    StreamError,
    TerminatedError,
    UnavailableError,
)
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aircall_sandbox import RequestLog
    from tests.conftest import Aircall, Run

TOKEN = "/v1/oauth/token"
PING = "/v1/ping"
HOUR = 3600


class App:
    """An app that a company with one tag has installed."""

    def __init__(self, aircall: Aircall, folder: Path) -> None:
        self.aircall, self.folder = aircall, folder
        self.sandbox, self.oauth, self.clock = aircall.sandbox, aircall.sandbox.oauth, aircall.clock
        aircall.world.add("tags", name="VIP")

    def granted(self, mode: str = "rotating", **told: Any) -> dict[str, Any]:
        """Make the sandbox grant tokens; return them as settings."""
        self.oauth.mode = mode  # type: ignore[assignment]
        self.oauth.overrides = told
        tokens = self.oauth.tokens()
        return {f"oauth_{name}": tokens[name] for name in ("access_token", "refresh_token") if name in tokens}

    def refresh_token(self, mode: str = "rotating", **told: Any) -> dict[str, Any]:
        """Make the sandbox grant tokens; return the refresh token alone."""
        return {"oauth_refresh_token": self.granted(mode, **told)["oauth_refresh_token"]}

    def run(self, *streams: str, **settings: Any) -> Run:
        return self.aircall.run(*(streams or ("tags",)), **self.aircall.oauth(self.folder, **settings))

    def reads(self, **settings: Any) -> bool:
        """Run the tap; return whether it read the tag."""
        return [tag["name"] for tag in self.run(**settings).records("tags")] == ["VIP"]

    @property
    def saved(self) -> dict[str, Any]:
        (entry,) = json.loads((self.folder / "tokens.json").read_text()).values()
        return dict(entry)

    @property
    def has_saved(self) -> bool:
        return (self.folder / "tokens.json").exists()

    @property
    def asked(self) -> list[str]:
        """The requested paths, each with its status if it was refused."""
        return [log.path if log.status == 200 else f"{log.path} {log.status}" for log in self.sandbox.requests]

    def at(self, path: str, happens: Callable[[], None]) -> None:
        """Call a function once, at the first request for a path."""

        def once(log: RequestLog) -> None:
            if log.path.startswith(path):
                self.sandbox.on_request = None
                happens()

        self.sandbox.on_request = once


@pytest.fixture
def app(aircall: Aircall, tmp_path: Path) -> App:
    return App(aircall, tmp_path)


def test_a_permanent_token_is_used_as_it_is_and_needs_no_app(app: App) -> None:
    tokens = app.granted("permanent")

    assert app.reads(**tokens)
    assert app.reads(**tokens, oauth_client_id=None, oauth_client_secret=None, oauth_settings_location=None)

    assert {log.headers["authorization"] for log in app.sandbox.requests} == {f"Bearer {tokens['oauth_access_token']}"}
    assert not app.has_saved


def test_a_refresh_token_alone_is_enough(app: App) -> None:
    tokens = app.granted()

    assert app.reads(oauth_refresh_token=tokens["oauth_refresh_token"])

    assert app.asked == [TOKEN, PING, "/v1/tags"]
    assert app.saved["access_token"] != tokens["oauth_access_token"]


class TestRenewal:
    @pytest.mark.parametrize(("mode", "changes"), [("expiring", False), ("rotating", True)])
    def test_happens_shortly_before_the_token_ends(self, app: App, mode: str, *, changes: bool) -> None:
        refresh = app.refresh_token(mode)
        app.run(**refresh)  # now it is known when the token expires
        first = app.saved
        app.clock.now += HOUR - 121
        app.run(**refresh)
        assert app.saved == first

        app.clock.now += 2
        app.run(**refresh)

        assert app.saved["access_token"] != first["access_token"]
        assert (app.saved["refresh_token"] != first["refresh_token"]) == changes
        assert app.oauth.grants == ["refresh_token"] * 2
        assert {log.status for log in app.sandbox.requests} == {200}

    @pytest.mark.parametrize("lifetime", [60, 125])
    def test_of_a_token_that_lives_for_minutes_happens_when_aircall_refuses_it(self, app: App, lifetime: int) -> None:
        app.oauth.lifetime = lifetime
        refresh = app.refresh_token()

        for seconds, grants in ((0, 1), (lifetime - 1, 1), (2, 2)):
            app.clock.now += seconds
            app.run(**refresh)
            assert len(app.oauth.grants) == grants

    @pytest.mark.parametrize("status", [401, 403])
    def test_happens_during_a_run_which_repeats_the_refused_request(self, app: App, status: int) -> None:
        app.oauth.dead_token_status = status
        tokens = app.granted()
        app.at("/v1/tags", app.oauth.end_access)

        assert app.reads(**tokens)

        probe = [] if status == 401 else [f"{PING} 403"]
        assert app.asked == [PING, f"/v1/tags {status}", *probe, TOKEN, "/v1/tags"]

    def test_happens_once_for_all_requests_in_flight(self, app: App) -> None:
        for _ in range(12):
            app.aircall.world.add("users")
        app.at("/v2/users/", app.oauth.end_access)

        app.run("user_numbers", max_concurrent_requests=8, **app.granted())

        assert app.oauth.grants == ["refresh_token"]
        assert len({path for path in app.asked if path.startswith("/v2/users/") and " " not in path}) == 12

    def test_is_tried_once_for_a_request(self, app: App) -> None:
        app.sandbox.faults.append(Fault(path=PING, status=401, times=9))

        with refused(CredentialsError, PING, 401, "--login"):
            app.run(**app.granted())

        assert app.asked == [f"{PING} 401", TOKEN, f"{PING} 401"]

    def test_does_not_follow_from_a_403_that_is_about_something_else(self, app: App) -> None:
        app.sandbox.faults.append(Fault(path="/v1/tags", status=403, times=9))

        with pytest.raises(StreamError):
            app.run(**app.granted())

        # The last one confirms that the other streams can be read.
        assert app.asked == [PING, "/v1/tags 403", PING, PING]

    def test_waits_until_a_failing_ping_can_tell_what_a_403_is_about(self, app: App) -> None:
        app.sandbox.faults += [Fault(path="/v1/tags", status=403), Fault(path=PING, after=1, status=503)]

        assert app.reads(**app.granted())
        assert [log.path for log in app.sandbox.requests] == [PING, "/v1/tags", PING, "/v1/tags"]
        assert app.oauth.grants == []

    @pytest.mark.parametrize(
        ("mode", "fault"),
        [
            ("rotating", {"status": 503, "times": 3}),
            *(("expiring", {"failure": failure}) for failure in ("reset", "cut", "cut_json", "html")),
        ],
    )
    def test_survives_a_failure_that_does_not_use_up_the_refresh_token(
        self, app: App, mode: str, fault: dict[str, Any]
    ) -> None:
        app.sandbox.faults.append(Fault(path=TOKEN, **fault))

        assert app.reads(**app.refresh_token(mode))

    def test_says_what_to_do_when_the_answer_with_the_only_refresh_token_is_lost(self, app: App) -> None:
        app.sandbox.faults.append(Fault(path=TOKEN, failure="reset"))

        with refused(LoginNeededError, "--login"):
            app.run(**app.refresh_token())


class TestWhatIsSaved:
    def test_is_on_disk_before_the_first_request_that_uses_it(self, app: App) -> None:
        used: list[bool] = []

        def look(log: RequestLog) -> None:
            if log.path != TOKEN:
                used.append(log.headers["authorization"] == f"Bearer {app.saved['access_token']}")

        app.sandbox.on_request = look
        app.run(**app.refresh_token())

        assert used == [True, True]

    def test_goes_on_from_run_to_run_though_the_config_stays(self, app: App) -> None:
        tokens = app.granted()

        for number in range(1, 5):
            app.clock.now += HOUR
            app.run(**tokens)
            assert app.oauth.grants == ["refresh_token"] * number

        assert app.oauth.refusals == 0
        assert app.saved["access_token"] not in tokens.values()

    def test_gives_way_to_new_tokens_in_the_config(self, app: App) -> None:
        app.run(**app.refresh_token())
        before = app.saved
        new = app.granted()

        app.run(**new)

        assert app.sandbox.requests[-1].headers["authorization"] == f"Bearer {new['oauth_access_token']}"
        assert app.saved == before  # there was nothing new to save
        app.clock.now += 2 * HOUR
        app.run(**new)
        assert app.oauth.refusals == 0
        assert app.saved["access_token"] != before["access_token"]

    def test_belongs_to_one_app(self, app: App) -> None:
        app.run(**app.refresh_token())

        with refused(LoginNeededError, "--login"):
            app.run(oauth_client_id="another")
        assert app.oauth.refusals == 0

    def test_is_found_though_the_run_that_saved_it_failed(self, app: App) -> None:
        refresh = app.refresh_token()
        app.sandbox.faults.append(Fault(path="/v1/tags", status=400))
        with pytest.raises(StreamError):
            app.run(**refresh)

        app.run(**refresh)

        assert app.oauth.grants == ["refresh_token"]

    def test_needs_a_file_to_be_kept_in(self, app: App) -> None:
        (app.folder / "file").touch()

        with refused(InputError, "oauth_settings_location"):
            app.run(**app.refresh_token(), oauth_settings_location=str(app.folder / "file" / "tokens.json"))

        assert app.oauth.grants == []  # the refresh token was not used up


class TestWhatAircallSays:
    """tests/auth/test_tokens.py tests every form."""

    def test_may_lack_the_end_of_a_token(self, app: App) -> None:
        refresh = app.refresh_token(expires_in=None)

        for _ in range(3):
            app.run(**refresh)
            app.clock.now += 5 * HOUR

        # At first, and then whenever Aircall refuses.
        assert app.oauth.grants == ["refresh_token"] * 3
        assert [path for path in app.asked if path.endswith(" 401")] == [f"{PING} 401"] * 2

    def test_may_give_the_end_of_a_token_as_text(self, app: App) -> None:
        app.run(**app.refresh_token(expires_in="1800"))

        assert app.saved["expires_at"] == "2026-11-23T13:30:00Z"

    def test_may_put_white_space_around_a_new_token(self, app: App) -> None:
        tokens = app.granted()
        app.oauth.overrides["access_token"] = f"{tokens['oauth_access_token']}\r\n"

        assert app.reads(oauth_refresh_token=tokens["oauth_refresh_token"])

        assert app.saved["access_token"] == tokens["oauth_access_token"]

    @pytest.mark.parametrize("within", ["\r\nX-Evil: ", "\u20ac"])
    def test_may_grant_a_token_that_no_request_can_carry(
        self, app: App, caplog: pytest.LogCaptureFixture, within: str
    ) -> None:
        refresh = app.refresh_token()
        app.oauth.overrides = {"access_token": f"s3cret{within}s3cret"}

        with caplog.at_level(logging.DEBUG), refused(UnavailableError, "token") as caught:
            app.run(**refresh)

        assert "\n" not in str(caught.value)
        assert "s3cret" not in caplog.text + str(caught.value)
        assert app.asked == [TOKEN]
        assert not app.has_saved

    @pytest.mark.parametrize("jump", [-50 * HOUR, 50 * HOUR])
    def test_counts_even_if_this_machines_clock_is_wrong(self, app: App, jump: int) -> None:
        refresh = app.refresh_token()
        app.run(**refresh)
        # The sandbox's own clock does not jump; after a jump back, the token expires unnoticed.
        app.clock.now += jump
        app.sandbox.clock_offset -= jump
        if jump < 0:
            app.oauth.end_access()

        assert [app.reads(**refresh) for _ in range(3)] == [True] * 3
        assert app.oauth.grants == ["refresh_token"] * 2


class TestTheEnd:
    def ends_with(self, app: App, kind: type[AircallError], *facts: object, **settings: Any) -> None:
        with refused(kind, *facts) as caught:
            app.run(**settings)
        assert "\n" not in str(caught.value)
        assert not [token for token in settings.values() if token in str(caught.value)]

    def test_a_refused_refresh_token_says_how_to_log_in_again(self, app: App) -> None:
        tokens = app.granted()
        app.oauth.uninstall()

        self.ends_with(app, LoginNeededError, "--login", **tokens)

        assert app.asked == [f"{PING} 401", f"{TOKEN} 400"]

    def test_an_app_uninstalled_during_a_run_ends_it_with_one_line(self, app: App) -> None:
        app.at("/v1/tags", app.oauth.uninstall)

        self.ends_with(app, LoginNeededError, "--login", **app.granted())

        assert not app.has_saved

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_permanent_token_that_ended_says_how_to_log_in_again(self, app: App, status: int) -> None:
        app.oauth.dead_token_status = status
        tokens = app.granted("permanent")
        app.oauth.uninstall()

        self.ends_with(app, LoginNeededError, "--login", **tokens)
        assert app.asked == [f"{PING} {status}"]

    def test_off_never_asks_for_another_token(self, app: App) -> None:
        tokens = app.granted()
        assert app.reads(initiate_oauth="off", **tokens)
        app.oauth.end_access()

        self.ends_with(app, CredentialsError, PING, 401, initiate_oauth="OFF", **tokens)

        assert TOKEN not in app.asked


class TestInterruption:
    """A signal may arrive at any point of a renewal; here, during the call that starts it."""

    def interrupted(
        self, app: App, monkeypatch: pytest.MonkeyPatch, executor: type[ThreadPoolExecutor]
    ) -> dict[str, Any]:
        """Run the tap with this executor and an expired token; return its tokens."""
        tokens = app.granted()
        app.oauth.end_access()
        with monkeypatch.context() as patch:
            patch.setattr("tap_aircall.auth.authenticators.ThreadPoolExecutor", executor)
            with pytest.raises(TerminatedError):
                app.run(**tokens)
        return tokens

    def test_a_renewal_that_has_begun_is_saved(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        app.sandbox.faults.append(Fault(path=TOKEN, delay=0.3))

        class Interrupted(ThreadPoolExecutor):
            @override
            def submit(self, *args: Any, **kwargs: Any) -> NoReturn:
                super().submit(*args, **kwargs)
                while TOKEN not in [log.path for log in app.sandbox.requests]:
                    time.sleep(0.005)
                raise TerminatedError(signal.SIGTERM)

        tokens = self.interrupted(app, monkeypatch, Interrupted)

        assert app.saved["refresh_token"] != tokens["oauth_refresh_token"]
        assert app.reads(**tokens)

    def test_a_renewal_that_has_not_begun_is_dropped(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting: list[Any] = []
        begun: list[Future[Any]] = []

        class Late(ThreadPoolExecutor):
            """Starts just after the end of the run."""

            @override
            def submit(self, *args: Any, **_: Any) -> NoReturn:
                waiting.extend(args)
                raise TerminatedError(signal.SIGTERM)

            @override
            def shutdown(self, *_: Any, **__: Any) -> None:
                begun.append(super().submit(*waiting))
                super().shutdown()

        self.interrupted(app, monkeypatch, Late)

        assert isinstance(begun[0].exception(timeout=10), RunEndedError)
        assert TOKEN not in app.asked


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"initiate_oauth": "ON"}, ["initiate_oauth", "'ON'", "OFF", "REFRESH", "GETANDREFRESH"]),
        ({"initiate_oauth": "OFF"}, ["oauth_access_token", "initiate_oauth OFF"]),
        ({"oauth_client_id": None, "oauth_client_secret": None}, ["oauth_client_id", "oauth_client_secret"]),
        (
            {"oauth_client_secret": None, "oauth_access_token": "a", "oauth_refresh_token": "b"},
            ["oauth_client_secret"],
        ),
        ({"callback_url": "http://partner.example.com/callback"}, ["callback_url", "https://"]),
        ({"dashboard_url": "dashboard"}, ["dashboard_url", "URL"]),
    ],
)
def test_unusable_settings_get_one_line(app: App, settings: dict[str, Any], named: list[str]) -> None:
    with refused(InputError, *named):
        app.run(**settings)


def test_no_text_form_of_the_settings_shows_a_secret(app: App) -> None:
    secrets = {"oauth_access_token": "s3cret-1", "oauth_refresh_token": "s3cret-2"}
    tap = app.aircall.tap(**app.aircall.oauth(app.folder, **secrets))

    assert "s3cret" not in repr(tap.this_run.settings)
    assert "sandbox-client-secret" not in repr(tap.this_run.settings)
    assert "sandbox-token" not in repr(app.aircall.tap().this_run.settings)
