"""OAuth tokens in the course of a run: when they are renewed, and where the new ones go."""

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
    RejectedRequestError,
    RunEndedError,
    UnavailableError,
)
from tap_aircall.writer import TerminatedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aircall_sandbox import RequestLog
    from tests.conftest import Aircall, Run

TOKEN = "/v1/oauth/token"
HOUR = 3600


@pytest.fixture
def granted(aircall: Aircall) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the sandbox grant tokens, as settings."""

    def grant(mode: str = "rotating", **told: Any) -> dict[str, Any]:
        aircall.sandbox.oauth.mode = mode  # type: ignore[assignment]
        aircall.sandbox.oauth.told = told
        tokens = aircall.sandbox.oauth.tokens()
        aircall.world.add("tags", name="VIP")
        return {f"oauth_{name}": tokens[name] for name in ("access_token", "refresh_token") if name in tokens}

    return grant


@pytest.fixture
def run(aircall: Aircall, tmp_path: Path) -> Callable[..., Run]:
    """Return a function that runs the tap over OAuth."""

    def run(*streams: str, **settings: Any) -> Run:
        return aircall.run(*(streams or ("tags",)), **aircall.oauth(tmp_path, **settings))

    return run


def saved(folder: Path) -> dict[str, Any]:
    (entry,) = json.loads((folder / "tokens.json").read_text()).values()
    found: dict[str, Any] = entry
    return found


def asked(aircall: Aircall) -> list[str]:
    """Return the paths that were asked for, with what was refused marked."""
    return [log.path if log.status == 200 else f"{log.path} {log.status}" for log in aircall.sandbox.requests]


def test_a_permanent_token_is_used_as_it_is(
    aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
) -> None:
    tokens = granted("permanent")

    assert len(run(**tokens).records("tags")) == 1

    assert {log.headers["authorization"] for log in aircall.sandbox.requests} == {
        f"Bearer {tokens['oauth_access_token']}"
    }
    assert list(tmp_path.iterdir()) == []


def test_a_permanent_token_alone_needs_no_app(granted: Callable[..., dict[str, Any]], run: Callable[..., Run]) -> None:
    settings = {"oauth_client_id": None, "oauth_client_secret": None, "oauth_settings_location": None}

    assert len(run(**granted("permanent"), **settings).records("tags")) == 1


def test_a_refresh_token_alone_is_enough(
    aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
) -> None:
    tokens = granted()

    run(oauth_refresh_token=tokens["oauth_refresh_token"])

    assert asked(aircall) == [TOKEN, "/v1/ping", "/v1/tags"]
    assert saved(tmp_path)["access_token"] != tokens["oauth_access_token"]


class TestRenewal:
    @pytest.mark.parametrize(("mode", "changes"), [("expiring", False), ("rotating", True)])
    def test_happens_shortly_before_the_token_ends(
        self,
        aircall: Aircall,
        tmp_path: Path,
        granted: Callable[..., dict[str, Any]],
        run: Callable[..., Run],
        mode: str,
        *,
        changes: bool,
    ) -> None:
        tokens = granted(mode)
        run(oauth_refresh_token=tokens["oauth_refresh_token"])  # now the end is known
        first = saved(tmp_path)
        aircall.clock.now += HOUR - 121
        run(oauth_refresh_token=tokens["oauth_refresh_token"])
        assert saved(tmp_path) == first

        aircall.clock.now += 2
        run(oauth_refresh_token=tokens["oauth_refresh_token"])

        second = saved(tmp_path)
        assert second["access_token"] != first["access_token"]
        assert (second["refresh_token"] != first["refresh_token"]) == changes
        assert aircall.sandbox.oauth.grants == ["refresh_token"] * 2
        assert {log.status for log in aircall.sandbox.requests} == {200}

    def test_happens_later_for_a_token_with_a_short_life(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.oauth.lifetime = 40

        run("tags", "teams", "numbers", **granted())
        aircall.clock.now += 29
        run("tags", "teams", "numbers", **granted())

        assert aircall.sandbox.oauth.grants == []

    @pytest.mark.parametrize("status", [401, 403])
    def test_happens_during_a_run_which_repeats_the_refused_request(
        self,
        aircall: Aircall,
        granted: Callable[..., dict[str, Any]],
        run: Callable[..., Run],
        status: int,
    ) -> None:
        aircall.sandbox.oauth.dead_token_status = status
        tokens = granted()
        aircall.sandbox.on_request = lambda log: end_at(aircall, log, "/v1/tags")

        assert [tag["name"] for tag in run(**tokens).records("tags")] == ["VIP"]

        probe = [] if status == 401 else ["/v1/ping 403"]
        assert asked(aircall) == ["/v1/ping", f"/v1/tags {status}", *probe, TOKEN, "/v1/tags"]

    def test_happens_once_for_all_requests_in_flight(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        for _ in range(12):
            aircall.world.add("users")
        aircall.sandbox.on_request = lambda log: end_at(aircall, log, "/v2/users/")

        run("user_numbers", max_concurrent_requests=8, **granted())

        assert aircall.sandbox.oauth.grants == ["refresh_token"]
        answered = [log.path for log in aircall.sandbox.requests if log.status == 200]
        assert len({path for path in answered if path.startswith("/v2/users/")}) == 12

    def test_is_tried_once_for_a_request(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/ping", status=401, times=9))

        with pytest.raises(CredentialsError, match=r"log in again: tap-aircall --config <your config> --login$"):
            run(**granted())

        assert asked(aircall) == ["/v1/ping 401", TOKEN, "/v1/ping 401"]

    def test_does_not_follow_from_a_403_that_is_about_something_else(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path="/v1/tags", status=403, times=9))

        with pytest.raises(CredentialsError):
            run(**granted())

        # The last one says that the other streams can be read.
        assert asked(aircall) == ["/v1/ping", "/v1/tags 403", "/v1/ping", "/v1/ping"]

    def test_waits_until_a_failing_ping_can_tell_what_a_403_is_about(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.faults += [
            Fault(path="/v1/tags", status=403),
            Fault(path="/v1/ping", after=1, status=503),
        ]

        assert len(run(**granted()).records("tags")) == 1
        assert [log.path for log in aircall.sandbox.requests] == ["/v1/ping", "/v1/tags", "/v1/ping", "/v1/tags"]
        assert aircall.sandbox.oauth.grants == []

    def test_survives_a_failing_token_endpoint(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=TOKEN, status=503, times=3))

        assert len(run(oauth_refresh_token=granted()["oauth_refresh_token"]).records("tags")) == 1

    @pytest.mark.parametrize("failure", ["reset", "cut", "cut_json", "html"])
    def test_survives_a_lost_answer_if_the_refresh_token_stays(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run], failure: Any
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=TOKEN, failure=failure))

        assert len(run(oauth_refresh_token=granted("expiring")["oauth_refresh_token"]).records("tags")) == 1

    def test_says_what_to_do_when_the_answer_with_the_only_refresh_token_is_lost(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=TOKEN, failure="reset"))

        with pytest.raises(LoginNeededError, match="log in again with --login"):
            run(oauth_refresh_token=granted()["oauth_refresh_token"])


def end_at(aircall: Aircall, log: RequestLog, path: str) -> None:
    """End all access tokens when a path is asked for, once."""
    if log.path.startswith(path):
        aircall.sandbox.oauth.end_access()
        aircall.sandbox.on_request = None


class TestWhatIsSaved:
    def test_is_on_disk_before_the_first_request_that_uses_it(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        on_disk: list[tuple[str, str]] = []

        def look(log: RequestLog) -> None:
            if log.path != TOKEN:
                on_disk.append((log.headers["authorization"], f"Bearer {saved(tmp_path)['access_token']}"))

        aircall.sandbox.on_request = look
        run(oauth_refresh_token=granted()["oauth_refresh_token"])

        assert len(on_disk) == 2
        assert {used == kept for used, kept in on_disk} == {True}

    def test_goes_on_from_run_to_run_though_the_config_stays(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        tokens = granted()

        for number in range(1, 5):
            aircall.clock.now += HOUR
            run(**tokens)
            assert aircall.sandbox.oauth.grants == ["refresh_token"] * number

        assert aircall.sandbox.oauth.refusals == 0
        assert saved(tmp_path)["access_token"] not in tokens.values()

    def test_gives_way_to_new_tokens_in_the_config(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        run(oauth_refresh_token=granted()["oauth_refresh_token"])
        before = saved(tmp_path)
        new = granted()

        run(**new)

        assert aircall.sandbox.requests[-1].headers["authorization"] == f"Bearer {new['oauth_access_token']}"
        assert saved(tmp_path) == before  # there was nothing new to keep
        aircall.clock.now += 2 * HOUR
        run(**new)
        assert aircall.sandbox.oauth.refusals == 0
        assert saved(tmp_path)["access_token"] != before["access_token"]

    def test_belongs_to_one_app(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        run(oauth_refresh_token=granted()["oauth_refresh_token"])

        with pytest.raises(LoginNeededError, match="There are no OAuth tokens for this app yet"):
            run(oauth_client_id="another")
        assert aircall.sandbox.oauth.refusals == 0

    def test_is_found_though_the_run_that_saved_it_failed(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        tokens = granted()
        aircall.sandbox.faults.append(Fault(path="/v1/tags", status=400))
        with pytest.raises(RejectedRequestError):
            run(oauth_refresh_token=tokens["oauth_refresh_token"])

        run(oauth_refresh_token=tokens["oauth_refresh_token"])

        assert aircall.sandbox.oauth.grants == ["refresh_token"]

    def test_needs_a_file_to_be_kept_in(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        (tmp_path / "file").touch()
        location = str(tmp_path / "file" / "tokens.json")

        with pytest.raises(InputError, match="oauth_settings_location"):
            run(oauth_refresh_token=granted()["oauth_refresh_token"], oauth_settings_location=location)

        assert aircall.sandbox.oauth.grants == []  # the refresh token was not used up


class TestWhatAircallSays:
    @pytest.mark.parametrize("expires_in", [None, 0, "0", "soon", -1])
    def test_may_lack_the_end_of_a_token(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run], expires_in: Any
    ) -> None:
        refresh = granted(expires_in=expires_in)["oauth_refresh_token"]

        for _ in range(3):
            run(oauth_refresh_token=refresh)
            aircall.clock.now += 5 * HOUR

        # At first, and then when Aircall refuses.
        assert aircall.sandbox.oauth.grants == ["refresh_token"] * 3
        assert [path for path in asked(aircall) if path.endswith(" 401")] == ["/v1/ping 401"] * 2

    def test_may_give_the_end_of_a_token_as_text(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        run(oauth_refresh_token=granted(expires_in="1800")["oauth_refresh_token"])

        assert saved(tmp_path)["expires_at"] == "2026-11-23T13:30:00Z"
        assert aircall.sandbox.oauth.grants == ["refresh_token"]

    def test_may_give_an_end_too_far_to_count(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        run(oauth_refresh_token=granted(expires_in=10**400)["oauth_refresh_token"])

        assert saved(tmp_path)["expires_at"] is None
        assert aircall.sandbox.oauth.accepts(saved(tmp_path)["access_token"])

    @pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t"])
    def test_may_put_white_space_around_a_new_token(
        self,
        aircall: Aircall,
        tmp_path: Path,
        granted: Callable[..., dict[str, Any]],
        run: Callable[..., Run],
        around: str,
    ) -> None:
        tokens = granted()
        aircall.sandbox.oauth.told["access_token"] = f"{tokens['oauth_access_token']}{around}"

        assert len(run(oauth_refresh_token=tokens["oauth_refresh_token"]).records("tags")) == 1

        assert saved(tmp_path)["access_token"] == tokens["oauth_access_token"]

    @pytest.mark.parametrize("name", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("within", ["\n", "\r\nX-Evil: ", "\0", "\x7f", "\u20ac", "\u00e9", "x" * 5000])
    def test_may_grant_a_token_that_no_request_can_carry(
        self,
        aircall: Aircall,
        tmp_path: Path,
        granted: Callable[..., dict[str, Any]],
        run: Callable[..., Run],
        *,
        name: str,
        within: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        refresh = granted(**{name: f"s3cret{within}s3cret"})["oauth_refresh_token"]
        aircall.sandbox.oauth.told[name] = f"s3cret{within}s3cret"
        refresh = refresh if name == "access_token" else "refresh"
        aircall.sandbox.oauth._refresh.add(refresh)  # noqa: SLF001 - what it said is not what it does

        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises(UnavailableError, match=r"^Aircall granted a token") as caught,
        ):
            run(oauth_refresh_token=refresh)

        assert "\n" not in str(caught.value)
        assert "s3cret" not in caplog.text + str(caught.value)
        assert asked(aircall) == [TOKEN]
        assert not (tmp_path / "tokens.json").exists()

    @pytest.mark.parametrize("jump", [-50 * HOUR, 50 * HOUR])
    def test_counts_even_if_this_machines_clock_is_wrong(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run], jump: int
    ) -> None:
        refresh = granted()["oauth_refresh_token"]
        run(oauth_refresh_token=refresh)
        # The sandbox's own clock does not jump; after a jump back the token ends unnoticed.
        aircall.clock.now += jump
        aircall.sandbox.clock_offset -= jump
        if jump < 0:
            aircall.sandbox.oauth.end_access()

        for _ in range(3):
            assert len(run(oauth_refresh_token=refresh).records("tags")) == 1

        assert aircall.sandbox.oauth.grants == ["refresh_token"] * 2


class TestTheEnd:
    def ends_with(self, run: Callable[..., Run], text: str, **settings: Any) -> None:
        with pytest.raises(AircallError, match=text) as caught:
            run(**settings)
        assert "\n" not in str(caught.value)
        assert not [token for token in settings.values() if token in str(caught.value)]

    def test_a_refused_refresh_token_says_how_to_log_in_again(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        tokens = granted()
        aircall.sandbox.oauth.uninstall()

        self.ends_with(run, "^Aircall does not accept the refresh token: log in again with --login", **tokens)

        assert asked(aircall) == ["/v1/ping 401", f"{TOKEN} 400"]

    def test_an_app_uninstalled_during_a_run_ends_it_with_one_line(
        self, aircall: Aircall, tmp_path: Path, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        tokens = granted()

        def uninstall(log: RequestLog) -> None:
            if log.path == "/v1/tags":
                aircall.sandbox.oauth.uninstall()

        aircall.sandbox.on_request = uninstall
        self.ends_with(run, "^Aircall does not accept the refresh token", **tokens)
        assert not (tmp_path / "tokens.json").exists()

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_permanent_token_that_ended_says_how_to_log_in_again(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run], status: int
    ) -> None:
        aircall.sandbox.oauth.dead_token_status = status
        tokens = granted("permanent")
        aircall.sandbox.oauth.uninstall()

        text = r"^Aircall no longer accepts the access token, and there is no refresh token: log in again: tap-aircall"
        self.ends_with(run, text, **tokens)
        assert asked(aircall) == [f"/v1/ping {status}"]

    def test_off_never_asks_for_another_token(
        self, aircall: Aircall, granted: Callable[..., dict[str, Any]], run: Callable[..., Run]
    ) -> None:
        tokens = granted()
        assert len(run(initiate_oauth="off", **tokens).records("tags")) == 1
        aircall.sandbox.oauth.end_access()

        self.ends_with(
            run, r"^Aircall rejects the credentials for /v1/ping \(status 401\)", initiate_oauth="OFF", **tokens
        )

        assert TOKEN not in asked(aircall)


class TestInterruption:
    """A signal may come at any point of a renewal; here, in the middle of the call that begins it."""

    @pytest.fixture
    def interrupt(
        self,
        aircall: Aircall,
        granted: Callable[..., dict[str, Any]],
        run: Callable[..., Run],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[[type[ThreadPoolExecutor]], dict[str, Any]]:
        """Return a function that runs the tap with such an executor and returns its tokens."""

        def interrupt(executor: type[ThreadPoolExecutor]) -> dict[str, Any]:
            tokens = granted()
            aircall.sandbox.oauth.end_access()
            with monkeypatch.context() as patch:
                patch.setattr("tap_aircall.auth.authenticators.ThreadPoolExecutor", executor)
                with pytest.raises(TerminatedError):
                    run(**tokens)
            return tokens

        return interrupt

    def test_a_renewal_that_has_begun_is_saved(
        self,
        aircall: Aircall,
        tmp_path: Path,
        run: Callable[..., Run],
        interrupt: Callable[[type[ThreadPoolExecutor]], dict[str, Any]],
    ) -> None:
        aircall.sandbox.faults.append(Fault(path=TOKEN, delay=0.3))

        class Interrupted(ThreadPoolExecutor):
            @override
            def submit(self, *args: Any, **kwargs: Any) -> NoReturn:
                super().submit(*args, **kwargs)
                while TOKEN not in [log.path for log in aircall.sandbox.requests]:
                    time.sleep(0.005)
                raise TerminatedError(signal.SIGTERM)

        tokens = interrupt(Interrupted)

        assert saved(tmp_path)["refresh_token"] != tokens["oauth_refresh_token"]
        assert len(run(**tokens).records("tags")) == 1

    def test_a_renewal_that_has_not_begun_is_dropped(
        self, aircall: Aircall, interrupt: Callable[[type[ThreadPoolExecutor]], dict[str, Any]]
    ) -> None:
        waiting: list[Any] = []
        begun: list[Future[Any]] = []

        class Late(ThreadPoolExecutor):
            """Begins just after the end."""

            @override
            def submit(self, *args: Any, **_: Any) -> NoReturn:
                waiting.extend(args)
                raise TerminatedError(signal.SIGTERM)

            @override
            def shutdown(self, *_: Any, **__: Any) -> None:
                begun.append(super().submit(*waiting))
                super().shutdown()

        interrupt(Late)

        assert isinstance(begun[0].exception(timeout=10), RunEndedError)
        assert TOKEN not in [log.path for log in aircall.sandbox.requests]


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            (
                {"initiate_oauth": "ON"},
                "Setting initiate_oauth: 'ON' is unknown; it must be OFF, REFRESH or GETANDREFRESH.",
            ),
            (
                {"initiate_oauth": "OFF"},
                "Setting oauth_access_token: missing; with initiate_oauth OFF it is the only way in.",
            ),
            (
                {"oauth_client_id": None, "oauth_client_secret": None},
                "Setting oauth_client_id and oauth_client_secret: missing; Aircall issues them with the app.",
            ),
            (
                {"oauth_client_secret": None, "oauth_access_token": "a", "oauth_refresh_token": "b"},
                "Setting oauth_client_secret: missing; Aircall issues them with the app.",
            ),
            (
                {"callback_url": "http://partner.example.com/callback"},
                "Setting callback_url: must begin with https://; plain http is accepted for this machine only.",
            ),
            (
                {"dashboard_url": "dashboard"},
                "Setting dashboard_url: must be a plain URL, such as https://api.aircall.io.",
            ),
        ],
    )
    def test_unusable_settings_get_one_line(self, run: Callable[..., Run], settings: dict[str, Any], line: str) -> None:
        with pytest.raises(InputError) as caught:
            run(**settings)
        assert str(caught.value) == line

    def test_errors_about_settings_show_no_secret(self, aircall: Aircall, tmp_path: Path) -> None:
        tap = aircall.tap(**aircall.oauth(tmp_path, oauth_access_token="s3cret-1", oauth_refresh_token="s3cret-2"))

        assert "s3cret" not in repr(tap.this_run.settings)
        assert "sandbox-client-secret" not in repr(tap.this_run.settings)
        assert "sandbox-token" not in repr(aircall.tap().this_run.settings)
