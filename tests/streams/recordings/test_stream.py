"""Recordings and voicemails over real HTTP: each is downloaded once, and has a record only when it is stored."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aircall_sandbox import Fault
from aircall_sandbox.recordings import MARK, RECORDING_PATH, address_of, audio
from tap_aircall.errors import AircallError, InputError, StorageError, StreamError, StreamsFailedError
from tests.clock import NOW
from tests.conftest import Run
from tests.messages import check, each_names, names, refused, warnings
from tests.slow import few_or_many

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)
MINUTE, HOUR, DAY = 60, 3600, 86_400
STREAMS = ("calls", "call_recordings")


def add_call(aircall: Aircall, ago: int = 2 * HOUR, **options: Any) -> int:
    """Add a call that began so many seconds ago."""
    identity: int = aircall.world.add_call(started_at=int(aircall.clock.now) - ago, **options)["id"]
    return identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "recordings"


def run(aircall: Aircall, folder: Path, state: Any = None, **settings: Any) -> Run:
    return aircall.run(*STREAMS, state=state, recordings_location=str(folder), **settings)


def failing(aircall: Aircall, folder: Path, state: Any = None) -> tuple[Run, Exception]:
    """Run and expect a failure."""
    done = Run()
    with pytest.raises((AircallError, StreamsFailedError)) as caught:
        aircall.tap(done, streams=STREAMS, recordings_location=str(folder), state=state).run()
    return done, caught.value


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def asked(aircall: Aircall) -> list[str]:
    """Return the requests except for lists of calls."""
    return [log.path for log in aircall.sandbox.requests if log.path not in {"/v1/ping", "/v1/calls"}]


class TestRecords:
    def test_a_record_has_the_path_and_hash_of_its_file(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall, 2 * DAY, talk_seconds=100)
        content = audio(address_of(call, "recording"))

        (record,) = run(aircall, folder).records("call_recordings")

        path = folder / "2026" / "11" / "21" / f"{call}-recording.mp3"
        assert record == {
            "call_id": call,
            "kind": "recording",
            "status": "kept",
            "path": str(path),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "content_type": "audio/mpeg",
            "duration": 105,
            "archived_at": "2026-11-23T13:00:00Z",
        }
        assert path.read_bytes() == content

    def test_voicemails_are_stored_too(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall, talk_seconds=None, leaves_voicemail=True)
        add_call(aircall, talk_seconds=None)

        (record,) = run(aircall, folder).records("call_recordings")

        assert (record["call_id"], record["kind"], record["duration"]) == (call, "voicemail", 5)
        assert list(files(folder)) == [f"2026/11/23/{call}-voicemail.mp3"]

    def test_a_call_may_have_both(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall, leaves_voicemail=True)

        kinds = [record["kind"] for record in run(aircall, folder).records("call_recordings")]

        assert kinds == ["recording", "voicemail"]
        assert len(files(folder)) == 2

    @pytest.mark.parametrize(
        ("content_type", "extension"),
        [("audio/x-wav", "wav"), ("Audio/OGG; codecs=opus", "ogg"), ("binary/octet-stream", "mp3"), ("", "mp3")],
    )
    def test_the_extension_follows_the_kind_of_audio(
        self, aircall: Aircall, folder: Path, content_type: str, extension: str
    ) -> None:
        add_call(aircall)
        aircall.world.recordings.content_type = content_type

        (record,) = run(aircall, folder).records("call_recordings")

        assert record["path"].endswith(f".{extension}")

    def test_files_are_readable_by_their_owner_alone(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall)
        run(aircall, folder)

        made = [folder, *folder.rglob("*")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}

    def test_they_follow_calls_whether_or_not_those_are_selected(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall)

        alone = aircall.run("call_recordings", recordings_location=str(folder))

        assert alone.types("call_recordings") == ["SCHEMA", "RECORD"]
        assert alone.types("calls") == []


class TestHowOften:
    def test_each_file_is_fetched_once_however_often_its_call_is_read(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        done = run(aircall, folder)
        for seconds in (HOUR, 5 * HOUR, DAY, 2 * DAY, 4 * DAY, 24 * DAY):
            aircall.clock.now += seconds
            done = run(aircall, folder, done.state)
            assert done.records("call_recordings") == []

        assert asked(aircall) == [address_of(call, "recording")]

    def test_a_recording_that_appears_late_is_kept(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall, recording=None)
        done = run(aircall, folder)
        assert done.records("call_recordings") == []
        aircall.world.edit_call(call, recording=address_of(call, "recording"))
        aircall.clock.now += DAY

        assert len(run(aircall, folder, done.state).records("call_recordings")) == 1

    @settings(max_examples=few_or_many(4, 300), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_no_record_is_lost_when_the_target_loses_a_run(
        self, aircall: Aircall, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("kept")
        ago = data.draw(st.lists(st.integers(HOUR, 10 * DAY), min_size=1, max_size=3))
        calls = [add_call(aircall, each, recording=None) for each in ago]
        voicemails = [add_call(aircall, each, talk_seconds=None, leaves_voicemail=True) for each in ago]
        state, kept = None, set()
        steps = data.draw(
            st.lists(st.tuples(st.sampled_from((HOUR, DAY, 4 * DAY)), st.booleans(), st.booleans()), max_size=6)
        )
        for step, appears, arrives in [*steps, (30 * DAY, False, True), (HOUR, False, True)]:
            aircall.clock.now += step
            if appears:
                call = data.draw(st.sampled_from(calls))
                aircall.world.edit_call(call, recording=address_of(call, "recording"))
            done = run(aircall, folder, state)
            if arrives:
                state = done.state
                kept |= {(record["call_id"], record["kind"]) for record in done.records("call_recordings")}
        recorded = {call for call in calls if aircall.world.calls[call]["recording"]}
        mine = {*calls, *voicemails}
        assert {each for each in kept if each[0] in mine} == (
            {(call, "recording") for call in recorded} | {(call, "voicemail") for call in voicemails}
        )

    def test_a_call_that_has_not_settled_waits(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall, 5 * MINUTE)
        done = run(aircall, folder)
        assert (done.records("call_recordings"), asked(aircall)) == ([], [])
        aircall.clock.now += 30 * MINUTE

        assert len(run(aircall, folder, done.state).records("call_recordings")) == 1

    def test_a_stored_file_is_reused(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        (first,) = run(aircall, folder).records("call_recordings")
        path = Path(first["path"])
        written = path.stat().st_mtime_ns

        (again,) = run(aircall, folder).records("call_recordings")

        assert again == first
        assert path.stat().st_mtime_ns == written
        assert asked(aircall) == 2 * [address_of(call, "recording")]

    def test_a_file_of_another_size_is_fetched_again(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall)
        (first,) = run(aircall, folder).records("call_recordings")
        Path(first["path"]).write_bytes(b"half")

        (again,) = run(aircall, folder).records("call_recordings")

        assert again == first
        assert hashlib.sha256(Path(first["path"]).read_bytes()).hexdigest() == first["sha256"]

    def test_the_state_stays_short(self, aircall: Aircall, folder: Path) -> None:
        for n in range(3):
            add_call(aircall, 2 * HOUR - n)
        add_call(aircall, 100 * DAY)

        state = run(aircall, folder).state

        mark = state["bookmarks"]["call_recordings"]
        assert mark.keys() == {"kept", "cursors", "first_run_at"}
        assert mark["kept"] == {"recording": {"2026-11-23T11:00:00Z": [4200000001, 1, 1]}}

    def test_downloads_do_not_count_against_the_rate_limit(self, aircall: Aircall, folder: Path) -> None:
        for n in range(8):
            add_call(aircall, 2 * HOUR + n)

        run(aircall, folder, requests_per_minute=5)  # those for calls

        assert aircall.clock.waits == []


class TestLinks:
    def test_an_expired_link_is_requested_again_through_its_call(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, status=403))

        (record,) = run(aircall, folder).records("call_recordings")

        assert record["status"] == "kept"
        assert asked(aircall) == [address_of(call, "recording"), f"/v1/calls/{call}", address_of(call, "recording")]

    def test_the_sandboxs_own_end_after_an_hour(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall)
        aircall.world.recordings.link_seconds = 0
        aircall.sandbox.on_request = lambda log: (
            setattr(aircall.world.recordings, "link_seconds", 3600) if log.path.count("/") > 2 else None
        )

        (record,) = run(aircall, folder).records("call_recordings")

        assert record["status"] == "kept"

    def test_one_that_is_refused_twice_is_set_aside_and_kept_later(
        self, aircall: Aircall, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = [add_call(aircall, 2 * HOUR - n) for n in range(60)]
        path = address_of(calls[55], "recording")
        aircall.sandbox.faults.append(Fault(path=path, times=2, status=403))
        done = run(aircall, folder)

        each_names(warnings(caplog), ("call_recordings", calls[55], "127.0.0.1", 403))
        assert done.ids("calls") == calls
        assert {record["call_id"] for record in done.records("call_recordings")} == {*calls} - {calls[55]}
        aircall.clock.now += HOUR
        (record,) = run(aircall, folder, done.state).records("call_recordings")
        assert (record["call_id"], record["status"]) == (calls[55], "kept")

    def test_a_file_unusable_for_a_week_gets_a_record(self, aircall: Aircall, folder: Path) -> None:
        calls = [add_call(aircall, 2 * HOUR - n) for n in range(5)]
        faults: list[dict[str, Any]] = [{"status": 403}, {"status": 200, "body": b""}, {"failure": "html"}]
        for call, fault in zip(calls[1:4], faults, strict=True):
            aircall.sandbox.faults.append(Fault(path=address_of(call, "recording"), times=float("inf"), **fault))
        done = run(aircall, folder)
        assert [record["call_id"] for record in done.records("call_recordings")] == [calls[0], calls[4]]
        records = []
        for _ in range(8):
            aircall.clock.now += DAY
            done = run(aircall, folder, done.state)
            records += done.records("call_recordings")

        statuses = zip(calls[1:4], ["refused", "unusable", "unusable"], strict=True)
        assert sorted((record["call_id"], record["status"]) for record in records) == [*statuses]
        assert {record["path"] for record in records} == {None}
        assert "later" not in done.state["bookmarks"]["call_recordings"]

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_file_that_aircall_no_longer_has_gets_a_record(self, aircall: Aircall, folder: Path, status: int) -> None:
        call = add_call(aircall)
        aircall.world.recordings.deleted.add(address_of(call, "recording"))
        aircall.world.recordings.deleted_status = status

        done = run(aircall, folder)

        (record,) = done.records("call_recordings")
        assert record == {
            "call_id": call,
            "kind": "recording",
            "status": "gone",
            "path": None,
            "bytes": None,
            "sha256": None,
            "content_type": None,
            "duration": 60,
            "archived_at": "2026-11-23T13:00:00Z",
        }
        assert asked(aircall).count(f"/v1/calls/{call}") == 1
        assert run(aircall, folder, done.state).records("call_recordings") == []

    def test_a_call_that_may_not_be_read_again_has_no_new_link(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        aircall.sandbox.faults += [Fault(path=path, status=403) for path in (RECORDING_PATH, f"/v1/calls/{call}")]

        (record,) = run(aircall, folder).records("call_recordings")

        assert record["status"] == "gone"

    @pytest.mark.parametrize("is_deleted", [True, False])
    def test_a_call_that_lost_its_link_gets_a_record(self, aircall: Aircall, folder: Path, is_deleted: bool) -> None:
        call = add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, status=403))

        def lose(log: Any) -> None:
            if log.path.startswith(RECORDING_PATH):
                if is_deleted:
                    aircall.world.delete_call(call)
                else:
                    aircall.world.edit_call(call, recording=None)

        aircall.sandbox.on_request = lose
        (record,) = run(aircall, folder).records("call_recordings")

        assert record["status"] == "gone"

    def test_a_file_that_was_kept_stays_kept_when_its_link_is_dead(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        (first,) = run(aircall, folder).records("call_recordings")
        aircall.world.recordings.deleted.add(address_of(call, "recording"))

        (again,) = run(aircall, folder).records("call_recordings")

        assert again == first | {"content_type": None}

    def test_no_link_is_in_a_log_and_no_credentials_go_along(
        self, aircall: Aircall, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, status=500))
        with caplog.at_level("DEBUG"):
            done = run(aircall, folder)

        assert MARK not in caplog.text
        assert MARK not in str(done.records("call_recordings"))
        sent = [log.headers for log in aircall.sandbox.requests if log.path.startswith(RECORDING_PATH)]
        assert len(sent) == 2
        assert not [headers for headers in sent if "authorization" in headers]

    @pytest.mark.parametrize("link", ["http://example.com/a.mp3", "https://169.254.169.254/a.mp3", "ftp://a/b", "//"])
    def test_one_that_leads_elsewhere_is_not_followed(
        self, aircall: Aircall, folder: Path, link: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        call = add_call(aircall, recording=link)

        run(aircall, folder)

        each_names(warnings(caplog), ("call_recordings", call, "URL"))

    def test_an_answer_about_another_call_is_not_believed(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, status=403))
        aircall.sandbox.faults.append(
            Fault(path=f"/v1/calls/{call}", mutate=lambda payload: {"call": payload["call"] | {"id": 7}})
        )

        (record,) = run(aircall, folder).records("call_recordings")

        assert record["status"] == "kept"  # it was asked for again


class TestFaults:
    def test_a_temporary_fault_is_retried(self, aircall: Aircall, folder: Path) -> None:
        call = add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, times=3, failure="cut"))

        run(aircall, folder)

        assert files(folder) == {f"2026/11/23/{call}-recording.mp3": audio(address_of(call, "recording"))}

    @pytest.mark.parametrize(
        "failure", [{"failure": "cut"}, {"failure": "html"}, {"failure": "empty"}, {"status": 500}]
    )
    def test_one_that_stays_leaves_nothing_behind(
        self, aircall: Aircall, folder: Path, failure: dict[str, Any]
    ) -> None:
        add_call(aircall)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, times=float("inf"), **failure))

        done = run(aircall, folder)

        assert (files(folder), done.records("call_recordings")) == ({}, [])
        aircall.sandbox.faults.clear()
        aircall.clock.now += HOUR
        assert len(run(aircall, folder, done.state).records("call_recordings")) == 1

    def test_when_no_file_can_be_fetched_the_stream_fails_and_its_state_stays(
        self, aircall: Aircall, folder: Path
    ) -> None:
        for n in range(12):
            add_call(aircall, 2 * HOUR - n)
        aircall.sandbox.faults.append(Fault(path=RECORDING_PATH, times=float("inf"), status=503))

        done, error = failing(aircall, folder)

        assert isinstance(error, StreamError)
        assert done.records("call_recordings") == []
        aircall.sandbox.faults.clear()
        assert len(run(aircall, folder, done.state).records("call_recordings")) == 12

    def test_a_place_that_refuses_is_one_line_and_other_streams_are_read(self, aircall: Aircall, folder: Path) -> None:
        add_call(aircall)
        folder.mkdir(parents=True)
        (folder / "2026").write_text("in the way", encoding="utf-8")

        done, error = failing(aircall, folder)

        reason = os.strerror(errno.ENOTDIR)
        check(error, StorageError, "recordings_location", folder, reason, stream="call_recordings")
        assert len(done.records("calls")) == 1

    def test_a_full_disk_is_one_line_and_leaves_nothing(
        self, aircall: Aircall, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_call(aircall)

        def full(_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        done, error = failing(aircall, folder)

        check(error, StorageError, folder, "No space left on device", stream="call_recordings")
        assert (files(folder), done.records("call_recordings")) == ({}, [])


class TestSettings:
    def test_without_a_place_it_is_left_out_with_one_line(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture
    ) -> None:
        add_call(aircall)

        done = aircall.run(*STREAMS)

        each_names(warnings(caplog), ("call_recordings", "recordings_location"))
        assert done.records("call_recordings") == []
        assert len(done.records("calls")) == 1

    @pytest.mark.parametrize("place", ["ftp://example.com/recordings", "s3://", "gs:///"])
    def test_a_place_of_another_kind_is_refused(self, aircall: Aircall, place: str) -> None:
        with refused(InputError, "recordings_location", "s3", "gs", "abfs"):
            aircall.run(*STREAMS, recordings_location=place)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
    def test_a_test_of_the_connection_fails_where_no_file_can_be_created(self, aircall: Aircall) -> None:
        with refused(StreamsFailedError, "/proc/kept", os.strerror(errno.ENOENT)):
            aircall.tap(streams=STREAMS, recordings_location="/proc/kept").try_streams()

    def test_a_test_of_the_connection_looks_at_the_place_and_fetches_nothing(
        self, aircall: Aircall, folder: Path
    ) -> None:
        add_call(aircall)
        aircall.tap(streams=STREAMS, recordings_location=str(folder)).try_streams()
        assert asked(aircall) == []

        folder.parent.mkdir()
        folder.write_text("in the way", encoding="utf-8")
        with refused(StreamsFailedError, "call_recordings", folder):
            aircall.tap(streams=STREAMS, recordings_location=str(folder)).try_streams()


def test_progress_is_in_files_and_bytes(aircall: Aircall, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        add_call(aircall, 2 * HOUR + n)

    def take_a_minute(log: Any) -> None:
        if log.path.startswith(RECORDING_PATH):
            aircall.clock.now += MINUTE

    aircall.sandbox.on_request = take_a_minute
    with caplog.at_level("INFO"):
        run(aircall, folder, max_concurrent_requests=1)

    size = 3 * len(audio("x")) / 1e6
    assert any(names(line, "call_recordings", 3, f"{size:.1f} MB", 2) for line in caplog.messages)
