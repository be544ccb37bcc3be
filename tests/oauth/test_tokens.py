"""Saved tokens: what the file holds, who can read it, and which tokens win."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.errors import InputError
from tap_aircall.oauth.tokens import ANCESTORS, NO_TOKENS, SavedTokens, Tokens, TokenStore, default_location

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "https://api.aircall.io"
NOW = 1_795_438_800.0


def tokens(number: int) -> Tokens:
    return Tokens(access_token=f"access-{number}", refresh_token=f"refresh-{number}", expires_at=NOW, lifetime=60.0)


def saved(number: int, *ancestors: str) -> SavedTokens:
    return SavedTokens(tokens=tokens(number), ancestors=ancestors, company="Acme")


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state" / "tokens.json", API, "app")


def keep(store: TokenStore, entry: SavedTokens) -> None:
    with store.locked():
        store.save(entry)


class TestStore:
    def test_gives_back_what_was_kept(self, store: TokenStore) -> None:
        assert store.load() is None
        keep(store, saved(1, "one", "two"))
        assert store.load() == saved(1, "one", "two")

    def test_only_the_owner_can_read_it(self, store: TokenStore) -> None:
        previous = os.umask(0)
        try:
            keep(store, saved(1))
        finally:
            os.umask(previous)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
        assert modes == {"tokens.json": 0o600, "tokens.json.lock": 0o600}
        assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700

    def test_a_file_that_others_can_read_is_closed_to_them(self, store: TokenStore) -> None:
        keep(store, saved(1))
        store.path.chmod(0o644)

        store.load()

        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600

    def test_has_an_entry_for_each_app_and_api_root(self, store: TokenStore) -> None:
        others = [TokenStore(store.path, API, "other"), TokenStore(store.path, "https://elsewhere.example.com", "app")]
        for number, each in enumerate([store, *others]):
            keep(each, saved(number))

        assert [each.load() for each in (store, *others)] == [saved(0), saved(1), saved(2)]

    def test_a_link_stays_a_link(self, store: TokenStore, tmp_path: Path) -> None:
        keep(store, saved(1))
        link = tmp_path / "link.json"
        link.symlink_to(store.path)

        keep(TokenStore(link, API, "app"), saved(2))

        assert link.is_symlink()
        assert store.load() == saved(2)

    def test_the_home_folder_has_a_short_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert TokenStore(Path("~/tokens.json"), API, "app").path == tmp_path.resolve() / "tokens.json"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("{", "it is not JSON"),
            ("[]", "it holds no tokens of tap-aircall"),
            ('{"https://api.aircall.io app": {"access_token": "a"}}', "it holds no tokens of tap-aircall"),
            ('{"https://api.aircall.io app": 7}', "it holds no tokens of tap-aircall"),
        ],
    )
    def test_another_file_is_refused(self, store: TokenStore, content: str, reason: str) -> None:
        store.path.parent.mkdir()
        store.path.write_text(content)

        with pytest.raises(InputError, match=rf"tokens\.json \(setting oauth_settings_location\): {reason}\.$"):
            store.load()

    def test_a_folder_that_cannot_be_written_to_is_noticed_before_tokens_are_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = TokenStore(tmp_path / "file" / "tokens.json", API, "app")

        with pytest.raises(InputError, match="oauth_settings_location"), store.locked():
            pytest.fail("the lock was given")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
    def test_a_full_disk_is_noticed_before_tokens_are_asked_for(
        self, store: TokenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(store, saved(1))
        full = os.open
        monkeypatch.setattr(
            os,
            "open",
            lambda path, flags, mode=0o777: full(
                "/dev/full" if ".new" in str(path) else path, flags & ~os.O_EXCL, mode
            ),
        )

        with pytest.raises(InputError, match="No space left on device"), store.locked():
            pytest.fail("the lock was given")

        monkeypatch.undo()
        assert store.load() == saved(1)

    def test_the_default_is_the_platforms_folder_for_state(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert tmp_path in default_location().parents or sys.platform != "linux"
        assert default_location().parts[-2:] == ("tap-aircall", "tokens.json")


class TestWhichTokensWin:
    def test_saved_ones_without_any_in_the_config(self) -> None:
        assert saved(1).descends_from(NO_TOKENS)

    def test_saved_ones_that_descend_from_those_in_the_config(self) -> None:
        chain = SavedTokens(tokens=tokens(0), ancestors=())
        for number in range(1, 200):
            chain = chain.succeeded_by(tokens(number), tokens(0))

        assert chain.tokens == tokens(199)
        assert chain.descends_from(tokens(0))
        assert len(chain.ancestors) <= ANCESTORS

    def test_saved_ones_that_the_config_has_a_copy_of(self) -> None:
        assert saved(1).descends_from(tokens(1))
        assert saved(1).descends_from(Tokens(access_token="access-1"))
        assert saved(1).succeeded_by(tokens(2), NO_TOKENS).descends_from(tokens(1))

    def test_new_ones_in_the_config(self) -> None:
        assert not saved(1).descends_from(tokens(2))
        assert not saved(1).descends_from(Tokens(access_token="access-1", refresh_token="new"))

    def test_fingerprints_tell_no_token(self) -> None:
        (one, other) = tokens(1).fingerprints
        assert len({one, other}) == 2
        assert "access" not in one

    def test_nothing_shows_a_token(self) -> None:
        assert "access-1" not in repr(saved(1)) + str(tokens(1))


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0.5, 0.5),
        (0, None),
        (-1, None),
        ("soon", None),
        (None, None),
        (True, None),
        (10**12, None),
        ([], None),
        ("nan", None),
    ],
)
def test_expires_in(expires_in: Any, lifetime: float | None) -> None:
    granted = NO_TOKENS.granted({"access_token": "a", "expires_in": expires_in}, NOW)

    assert (granted.lifetime, granted.expires_at) == (lifetime, lifetime and NOW + lifetime)


@pytest.mark.parametrize("refresh", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 7}])
def test_a_refresh_token_that_is_not_replaced_stays(refresh: dict[str, Any]) -> None:
    assert tokens(1).granted({"access_token": "a"} | refresh, NOW).refresh_token == "refresh-1"


SAVER = """
import sys
from pathlib import Path
from tap_aircall.oauth.tokens import SavedTokens, Tokens, TokenStore
store = TokenStore(Path(sys.argv[1]), "https://api.aircall.io", sys.argv[2])
for number in range(1, 1_000_000):
    tokens = Tokens(access_token=f"access-{number}", refresh_token=f"refresh-{number}" * 200)
    with store.locked():
        store.save(SavedTokens(tokens=tokens, ancestors=()))
"""


@pytest.fixture
def savers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that do nothing but save, each its own entry of one file."""
    command = [sys.executable, "-c", SAVER, str(tmp_path / "tokens.json")]
    processes = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def next_entry(store: TokenStore, before: SavedTokens | None) -> SavedTokens:
    """Wait until an entry is another."""
    until = time.monotonic() + 30
    while (entry := store.load()) is None or entry == before:
        assert time.monotonic() < until
        time.sleep(0.001)
    return entry


def test_a_kill_at_any_moment_leaves_a_valid_file(savers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    one, two = (TokenStore(tmp_path / "tokens.json", API, name) for name in ("one", "two"))
    next_entry(one, next_entry(one, None))
    second = next_entry(two, None)

    savers[0].kill()
    savers[0].wait()

    # The one that was killed left an entry of its own and no lock; the other goes on.
    first = one.load()
    next_entry(two, next_entry(two, second))
    savers[1].kill()
    savers[1].wait()
    assert first is not None
    assert one.load() == first
    keep(one, saved(1))
    assert json.loads((tmp_path / "tokens.json").read_text()).keys() == {f"{API} one", f"{API} two"}
