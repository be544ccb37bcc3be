"""Saved tokens: content and permissions of the file, and which tokens win."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.auth.tokens import ANCESTORS, NO_TOKENS, TokenFile, Tokens, default_location
from tap_aircall.errors import AircallError, InputError
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API = "https://api.aircall.io"
NOW = 1_795_438_800.0


def tokens(number: int, *ancestors: str) -> Tokens:
    return Tokens(
        access_token=f"access-{number}",
        refresh_token=f"refresh-{number}",
        expires_at=datetime.fromtimestamp(NOW, UTC),
        company="Acme",
        ancestors=ancestors,
    )


@pytest.fixture
def store(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "state" / "tokens.json", API, "app")


def bind_socket(path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as unused:
        unused.bind(str(path))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def keep(store: TokenFile, entry: Tokens) -> None:
    with store.locked():
        store.save(entry)


def holds(store: TokenFile, content: str | bytes) -> None:
    """Write foreign content to the file."""
    store.path.parent.mkdir(exist_ok=True)
    store.path.write_bytes(content.encode() if isinstance(content, str) else content)


class TestStore:
    def test_gives_back_what_was_kept(self, store: TokenFile) -> None:
        assert store.load() is None
        keep(store, tokens(1, "one", "two"))
        assert store.load() == tokens(1, "one", "two")

    def test_only_the_owner_can_read_it(self, store: TokenFile) -> None:
        previous = os.umask(0)
        try:
            keep(store, tokens(1))
        finally:
            os.umask(previous)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
        assert modes == {"tokens.json": 0o600, "tokens.json.lock": 0o600}
        assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700

    def test_a_file_that_others_can_read_is_made_private_if_that_can_be_done(
        self, store: TokenFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(store, tokens(1))
        store.path.chmod(0o644)
        assert store.load() == tokens(1)
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600

        def read_only(*_: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        store.path.chmod(0o444)
        monkeypatch.setattr(Path, "chmod", read_only)
        assert store.load() == tokens(1)

    @pytest.mark.parametrize(
        "content", ["root:x:0:0:root:/root:/bin/sh\n", "[]", '{"https://api.aircall.io app": {"token": "a"}}']
    )
    def test_another_file_is_refused_and_left_as_it_is(self, store: TokenFile, content: str) -> None:
        holds(store, content)
        store.path.chmod(0o644)

        with refused(InputError, store.path, "oauth_settings_location", "tap-aircall"):
            store.load()

        is_made_private = content.startswith("{")
        assert stat.S_IMODE(store.path.stat().st_mode) == (0o600 if is_made_private else 0o644)
        assert store.path.read_text() == content

    @pytest.mark.parametrize("around", [" ", "\n", "\r\n", "\t"])
    def test_white_space_around_saved_tokens_is_dropped(self, store: TokenFile, around: str) -> None:
        entry = {"access_token": f"access-1{around}", "refresh_token": f"{around}refresh-1"}
        holds(store, json.dumps({f"{API} app": entry}))

        assert store.load() == Tokens(access_token="access-1", refresh_token="refresh-1")

    def test_entries_of_others_stay_as_they_are(self, store: TokenFile) -> None:
        others = {"another app": {"nested": [[[{"a": 1.50}]]], "new": True}, "null": None, "deep": nested(900)}
        holds(store, json.dumps(others))

        keep(store, tokens(1))

        entries = json.loads(store.path.read_text())
        assert entries.pop(f"{API} app") == {
            "access_token": "access-1",
            "refresh_token": "refresh-1",
            "expires_at": "2026-11-23T13:00:00Z",
            "company": "Acme",
            "ancestors": [],
        }
        assert entries == others

    def test_has_an_entry_for_each_app_and_api_root(self, store: TokenFile) -> None:
        others = [TokenFile(store.path, API, "other"), TokenFile(store.path, "https://elsewhere.example.com", "app")]
        for number, each in enumerate([store, *others]):
            keep(each, tokens(number))

        assert [each.load() for each in (store, *others)] == [tokens(0), tokens(1), tokens(2)]

    def test_a_symbolic_link_stays_one(self, store: TokenFile, tmp_path: Path) -> None:
        keep(store, tokens(1))
        link = tmp_path / "link.json"
        link.symlink_to(store.path)

        keep(TokenFile(link, API, "app"), tokens(2))

        assert link.is_symlink()
        assert store.load() == tokens(2)

    def test_a_tilde_stands_for_the_home_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert TokenFile(Path("~/tokens.json"), API, "app").path == tmp_path.resolve() / "tokens.json"

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, bind_socket, lambda path: path.symlink_to("/dev/zero")])
    @pytest.mark.parametrize("use", [TokenFile.load, lambda store: keep(store, tokens(1))], ids=["load", "keep"])
    def test_anything_but_a_plain_file_is_refused_at_once(
        self, tmp_path: Path, make: Callable[[Path], None], use: Callable[[TokenFile], None]
    ) -> None:
        path = tmp_path / "tokens.json"
        make(path)
        before = path.stat()

        with refused(InputError, path.resolve(), "oauth_settings_location"):
            use(TokenFile(path, API, "app"))

        assert (path.stat().st_mode, path.stat().st_ino) == (before.st_mode, before.st_ino)
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
    def test_a_place_where_no_file_can_be_created_is_not_taken_for_a_lock(self) -> None:
        with refused(InputError, "/proc/tokens.json", os.strerror(errno.ENOENT)):
            keep(TokenFile(Path("/proc/tokens.json"), API, "app"), tokens(1))

    @pytest.mark.parametrize("location", ["/", "~nosuchuser/tokens.json", "a\0b", "loop/tokens.json"])
    def test_a_path_that_names_no_file_is_refused(self, tmp_path: Path, location: str) -> None:
        (tmp_path / "loop").symlink_to("loop")

        with refused(InputError, "oauth_settings_location") as caught:
            TokenFile(Path(location if location[0] in "/~" else tmp_path / location), API, "app").load()

        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_a_file_that_was_copied_in_another_encoding_is_read(self, store: TokenFile, encoding: str) -> None:
        keep(store, tokens(1))
        store.path.write_text(store.path.read_text(), encoding=encoding)

        assert store.load() == tokens(1)

    def test_the_new_name_is_flushed_after_the_content(self, store: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
        keep(store, tokens(1))
        flushed: list[tuple[str, str]] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
            entry = store.load()
            flushed.append((kind, str(entry and entry.access_token)))
            fsync(descriptor)

        with store.locked():
            monkeypatch.setattr(os, "fsync", watched)
            store.save(tokens(2))

        assert flushed == [("file", "access-1"), ("folder", "access-2")]

    def test_a_platform_that_cannot_flush_folders_still_saves(
        self, store: TokenFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.open

        def without_folders(path: Any, flags: int, *mode: int) -> int:
            if Path(path).is_dir():
                raise PermissionError(errno.EACCES, "Permission denied")
            return real(path, flags, *mode)

        monkeypatch.setattr(os, "open", without_folders)
        keep(store, tokens(1))

        assert store.load() == tokens(1)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
    def test_a_full_disk_is_noticed_before_tokens_are_asked_for(
        self, store: TokenFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(store, tokens(1))
        full = os.open
        monkeypatch.setattr(
            os,
            "open",
            lambda path, flags, mode=0o777: full(
                "/dev/full" if ".new" in str(path) else path, flags & ~os.O_EXCL, mode
            ),
        )

        with refused(InputError, store.path, os.strerror(errno.ENOSPC)):
            store.locked().__enter__()

        monkeypatch.undo()
        assert store.load() == tokens(1)

    def test_a_disk_that_is_full_when_new_tokens_come_leaves_the_old_ones_and_says_so(
        self, store: TokenFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(store, tokens(1))

        def full(*_: Any) -> Path:
            raise OSError(errno.ENOSPC, "No space left on device")

        with store.locked():
            monkeypatch.setattr(Path, "replace", full)
            with refused(InputError, store.path, os.strerror(errno.ENOSPC)):
                store.save(tokens(2))

        assert store.load() == tokens(1)

    def test_the_default_is_the_platforms_folder_for_state(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert tmp_path in default_location().parents or sys.platform != "linux"
        assert default_location().parts[-2:] == ("tap-aircall", "tokens.json")


class TestWhichTokensWin:
    def test_saved_tokens_win_if_the_config_has_none(self) -> None:
        assert tokens(1).descends_from(NO_TOKENS)

    def test_saved_tokens_win_if_they_descend_from_those_in_the_config(self) -> None:
        chain = tokens(0)
        for number in range(1, 200):
            chain = chain.succeeded_by(tokens(number), tokens(0))

        assert (chain.access_token, chain.company) == ("access-199", "Acme")
        assert chain.descends_from(tokens(0))
        assert len(chain.ancestors) <= ANCESTORS + 2

    def test_saved_tokens_win_if_the_config_has_a_copy_of_them(self) -> None:
        assert tokens(1).descends_from(tokens(1))
        assert tokens(1).descends_from(Tokens(access_token="access-1"))
        assert tokens(1).succeeded_by(tokens(2), NO_TOKENS).descends_from(tokens(1))

    def test_new_tokens_in_the_config_win(self) -> None:
        assert not tokens(1).descends_from(tokens(2))
        assert not tokens(1).descends_from(Tokens(access_token="access-1", refresh_token="new"))

    def test_fingerprints_do_not_reveal_a_token(self) -> None:
        (one, other) = tokens(1).fingerprints
        assert len({one, other}) == 2
        assert "access" not in one

    def test_no_text_form_shows_a_token(self) -> None:
        assert (repr(tokens(1)), str(tokens(1))) == ("Tokens()", "Tokens()")


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (600.5, 600.5),
        (599.5, None),
        (0, None),
        (-1, None),
        ("soon", None),
        (None, None),
        (True, None),
        (10**12, None),
        (10**400, None),
        (float("inf"), None),
        ("9" * 5000, None),
        ({"x": 1}, None),
        ([], None),
        ("nan", None),
    ],
)
def test_the_lifetime_of_a_token_is_read_or_taken_as_unknown(expires_in: Any, lifetime: float | None) -> None:
    granted = NO_TOKENS.granted({"access_token": "a", "expires_in": expires_in}, NOW)

    assert granted.expires_at == (lifetime and datetime.fromtimestamp(int(NOW + lifetime), UTC))


@pytest.mark.parametrize("refresh", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 7}])
def test_a_refresh_token_that_is_not_replaced_stays(refresh: dict[str, Any]) -> None:
    assert tokens(1).granted({"access_token": "a"} | refresh, NOW).refresh_token == "refresh-1"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TOKENS = st.sampled_from(
    ["s3cret", "s3cret\n", " s3cret", "s3c\nret", "s3c\0ret", "s3cr\u00e9t", "s3c\u20acret", "s3cret" * 999]
)


@given(
    st.dictionaries(
        st.sampled_from(["access_token", "refresh_token", "expires_in", "token_type"]), TOKENS | JSON, max_size=4
    )
    | JSON
)
def test_any_grant_can_be_used_and_saved_or_gets_one_line(answer: Any) -> None:
    line = ""
    try:
        granted = tokens(1).granted(answer, NOW)
    except AircallError as error:
        line = str(error)
    if line:
        assert "\n" not in line
        assert "s3c" not in line
        return

    for token in (granted.access_token, granted.refresh_token):
        assert token
        assert token == token.strip()
        assert len(requests.Request("GET", API, {"Authorization": f"Bearer {token}"}).prepare().headers) == 1
        assert token.isascii()
    assert len(granted.fingerprints) == 2
    assert granted.expires_at is None or NOW <= granted.expires_at.timestamp() < NOW + 1e9


ENTRY: dict[str, Any] = {
    "access_token": "s3cret-1",
    "refresh_token": "s3cret-2",
    "expires_at": "2026-11-23T13:00:00Z",
    "company": "Acme",
    "ancestors": ["one"],
}


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Draw a token file with some damage."""
    entry = ENTRY | draw(st.dictionaries(st.sampled_from([*ENTRY, "new"]), TOKENS | JSON, max_size=2))
    for missing in draw(st.sets(st.sampled_from([*ENTRY]), max_size=1)):
        del entry[missing]
    file = draw(
        st.sampled_from([{f"{API} app": entry}, {f"{API} app": [entry]}, [entry], {f"{API} app": nested(5000)}])
    )
    try:
        text = json.dumps(file)
    except RecursionError:
        text = json.dumps({f"{API} app": 0}).replace("0", "[" * 5000 + "]" * 5000)
    content = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    return draw(st.one_of(st.just(content), st.just(content[: draw(st.integers(0, len(content)))]), st.binary()))


@given(contents())
def test_any_file_holds_tokens_or_gets_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn-tokens.json"
    path.write_bytes(content)
    line = ""
    try:
        entry = TokenFile(path, API, "app").load()
    except InputError as error:
        line = str(error)
    if line:
        assert line.startswith(f"Tokens cannot be stored in {path} (setting oauth_settings_location): it ")
        assert line.endswith("; name another file, or remove this one and log in again.")
        assert "s3c" not in line
        assert "\n" not in line
    else:
        assert entry is None or (entry.descends_from(entry) and entry.is_due(NOW) in {False, True})
    assert path.read_bytes() == content


SAVER = """
import sys
from pathlib import Path
from tap_aircall.auth.tokens import Tokens, TokenFile
store = TokenFile(Path(sys.argv[1]), "https://api.aircall.io", sys.argv[2])
for number in range(1, 1_000_000):
    tokens = Tokens(access_token=f"access-{number}", refresh_token=f"refresh-{number}" * 200)
    with store.locked():
        store.save(tokens)
"""


@pytest.fixture
def savers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that keep saving to one file, each its own entry."""
    command = [sys.executable, "-c", SAVER, str(tmp_path / "tokens.json")]
    processes = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def next_entry(store: TokenFile, before: Tokens | None) -> Tokens:
    """Wait until an entry changes."""
    until = time.monotonic() + 30
    while (entry := store.load()) is None or entry == before:
        assert time.monotonic() < until
        time.sleep(0.001)
    return entry


def test_a_kill_at_any_moment_leaves_a_valid_token_file(savers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    one, two = (TokenFile(tmp_path / "tokens.json", API, name) for name in ("one", "two"))
    next_entry(one, next_entry(one, None))
    second = next_entry(two, None)

    savers[0].kill()
    savers[0].wait()

    # The killed process left a valid entry and no lock; the other continues.
    first = one.load()
    next_entry(two, next_entry(two, second))
    savers[1].kill()
    savers[1].wait()
    assert first is not None
    assert one.load() == first
    keep(one, tokens(1))
    assert json.loads((tmp_path / "tokens.json").read_text()).keys() == {f"{API} one", f"{API} two"}
