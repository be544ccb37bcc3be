"""Report exports over real HTTP: requested ahead, polled, downloaded, and read day by day."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from aircall_sandbox.analytics import EXPORT_PATH, FILE_PATH
from tap_aircall.errors import InputError, StreamError
from tap_aircall.settings import REPORTS
from tap_aircall.streams.analytics.stream import AHEAD, EXPORT_SECONDS, POLL_SECONDS
from tests.clock import NOW
from tests.conftest import Run
from tests.messages import each_names, names, refused, warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Aircall, Record

STREAM = "analytics_reports"
MISPLACED = b"PK\x03\x04PK\x05\x06" + bytes(8) + bytes([100, 0, 0, 0]) + bytes(6)
"""A zip file whose directory begins before the file."""
CALLS, STATUS, HANDLED = "CALLS_HISTORY", "USER_STATUS_HISTORY", "USER_ACTIVITY_CALLS_HANDLED"


def report(aircall: Aircall, name: str, day: str, *cells: str) -> None:
    """Set the rows of a report, each of one cell."""
    aircall.sandbox.analytics.rows[f"{name} {day}"] = [{"Cell": cell} for cell in cells]


def records(run: Run) -> list[tuple[str, str, int, Any]]:
    return [(r["report_name"], r["report_date"], r["row_number"], r["row"]) for r in run.records(STREAM)]


def positions(run: Run) -> Record:
    return {name: state["through"] for name, state in run.state["bookmarks"][STREAM]["reports"].items()}


def read(aircall: Aircall, *names: str, start_date: str = "2026-11-20", **options: Any) -> Run:
    return aircall.run(STREAM, analytics_reports=list(names), start_date=start_date, **options)


def fail(aircall: Aircall, *names: str, start_date: str = "2026-11-20", **options: Any) -> tuple[Run, str]:
    """Run and expect a failure; return the run and the error line."""
    run = Run()
    tap = aircall.tap(run, streams=[STREAM], analytics_reports=list(names), start_date=start_date, **options)
    with pytest.raises(StreamError) as caught:
        tap.run()
    return run, caught.value.line


def asked(aircall: Aircall) -> list[tuple[str, str]]:
    return [(export.report, str(export.first)) for export in aircall.sandbox.analytics.exports.values()]


def days(first: str, last: str) -> Sequence[str]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [str(begin + timedelta(days=number)) for number in range((end - begin).days + 1)]


class TestDays:
    def test_rows_become_records_in_order(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-20", "a", "b")
        report(aircall, CALLS, "2026-11-21")
        report(aircall, CALLS, "2026-11-22", "c")

        run = read(aircall, CALLS)

        assert records(run) == [
            (CALLS, "2026-11-20", 1, {"Cell": "a"}),
            (CALLS, "2026-11-20", 2, {"Cell": "b"}),
            (CALLS, "2026-11-22", 1, {"Cell": "c"}),
        ]
        assert run.state["bookmarks"][STREAM] == {
            "reports": {CALLS: {"through": "2026-11-22", "rows": {"2026-11-20": 2, "2026-11-21": 0, "2026-11-22": 1}}}
        }
        assert run.types(STREAM) == ["SCHEMA", "RECORD"]
        assert run.messages[0]["type"] == "SCHEMA"

    def test_each_export_is_of_one_whole_day_in_the_time_zone(self, aircall: Aircall) -> None:
        aircall.clock.now = NOW - 13.5 * 3600  # 2026-11-22T23:30:00Z: in Paris, it is the 23rd
        read(aircall, CALLS, start_date="2026-11-20T22:59:59Z", analytics_timezone="Europe/Paris")

        exports = aircall.sandbox.analytics.exports.values()
        assert [(str(export.first), str(export.last), export.timezone) for export in exports] == [
            (day, day, "Europe/Paris") for day in days("2026-11-20", "2026-11-22")
        ]

    def test_without_a_start_date_six_months_are_read(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.rows = {CALLS: [{"Cell": "a"}]}

        aircall.run(STREAM, analytics_reports=[CALLS])

        assert asked(aircall) == [(CALLS, day) for day in days("2026-05-24", "2026-11-22")]

    def test_end_date_ends_with_the_last_whole_day(self, aircall: Aircall) -> None:
        assert positions(read(aircall, CALLS, end_date="2026-11-22")) == {CALLS: "2026-11-21"}
        assert positions(read(aircall, CALLS, end_date="2026-11-22T23:59:59Z")) == {CALLS: "2026-11-22"}

    def test_the_next_run_reads_new_days_and_the_last_three_again(self, aircall: Aircall) -> None:
        first = read(aircall, CALLS, start_date="2026-11-10")
        aircall.clock.now += 2 * 86_400
        before = len(asked(aircall))

        second = read(aircall, CALLS, start_date="2026-11-10", state=first.state)

        assert asked(aircall)[before:] == [(CALLS, day) for day in days("2026-11-20", "2026-11-24")]
        assert positions(second) == {CALLS: "2026-11-24"}
        assert len(str(second.state)) == len(str(first.state))

    def test_each_report_goes_on_from_its_own_bookmark(self, aircall: Aircall) -> None:
        first = read(aircall, CALLS, start_date="2026-11-10")
        aircall.clock.now += 86_400
        before = len(asked(aircall))

        second = read(aircall, CALLS, STATUS, start_date="2026-11-19", state=first.state)

        new = asked(aircall)[before:]
        assert [day for name, day in new if name == CALLS] == days("2026-11-20", "2026-11-23")
        assert [day for name, day in new if name == STATUS] == days("2026-11-19", "2026-11-23")
        assert positions(second) == {CALLS: "2026-11-23", STATUS: "2026-11-23"}

    def test_surplus_rows_of_an_earlier_reading_become_null(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-22", "a", "b", "c")
        first = read(aircall, CALLS, start_date="2026-11-22")
        report(aircall, CALLS, "2026-11-22", "A")

        second = read(aircall, CALLS, start_date="2026-11-22", state=first.state)
        third = read(aircall, CALLS, start_date="2026-11-22", state=second.state)

        assert records(second) == [
            (CALLS, "2026-11-22", 1, {"Cell": "A"}),
            (CALLS, "2026-11-22", 2, None),
            (CALLS, "2026-11-22", 3, None),
        ]
        assert records(third) == [(CALLS, "2026-11-22", 1, {"Cell": "A"})]

    def test_a_killed_run_goes_on_from_its_last_whole_day(self, aircall: Aircall) -> None:
        for day in days("2026-11-10", "2026-11-22"):
            report(aircall, CALLS, day, *map(str, range(150)))
        killed = read(aircall, CALLS, start_date="2026-11-10", die_after=700)
        assert positions(killed) == {CALLS: "2026-11-13"}

        second = read(aircall, CALLS, start_date="2026-11-10", state=killed.state)

        keys = {row[:3] for run in (killed, second) for row in records(run)}
        assert len(keys) == 13 * 150
        assert records(second)[0][1] == "2026-11-11"

    def test_a_full_table_run_starts_over_and_activates_its_version(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-21", "a")
        first = read(aircall, CALLS, start_date="2026-11-10")
        catalog = aircall.catalog(STREAM)
        next(e for e in catalog["streams"] if e["stream"] == STREAM)["replication_method"] = "FULL_TABLE"
        settings: dict[str, Any] = {"analytics_reports": [CALLS], "start_date": "2026-11-18"}

        second = aircall.run(catalog=catalog, state=first.state, **settings)

        assert asked(aircall)[-5:] == [(CALLS, day) for day in days("2026-11-18", "2026-11-22")]
        assert second.types(STREAM) == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]


class TestAskingAhead:
    def test_without_a_report_nothing_is_requested(self, aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
        assert aircall.run(STREAM).requests == 0
        each_names(warnings(caplog), ("'analytics_reports'", "setting analytics_reports"))

    def test_it_is_not_selected_by_default(self, aircall: Aircall) -> None:
        aircall.run(analytics_reports=[CALLS])
        assert asked(aircall) == []

    def test_a_limited_number_of_exports_is_in_preparation_at_once(self, aircall: Aircall) -> None:
        open_now = most = 0
        first, last = "2026-11-08", "2026-11-22"

        def count(log: Any) -> None:
            nonlocal open_now, most
            open_now += log.method == "POST"
            open_now -= log.path.startswith(FILE_PATH)
            most = max(most, open_now)

        aircall.sandbox.on_request = count
        run = read(aircall, CALLS, start_date=first)

        assert positions(run) == {CALLS: last}
        assert most == AHEAD

    @pytest.mark.parametrize("requests_per_minute", [60, 4, 1])
    def test_any_number_of_reports_is_read(self, aircall: Aircall, requests_per_minute: float) -> None:
        for name in REPORTS:
            for day in days("2026-11-21", "2026-11-22"):
                report(aircall, name, day, "x")

        run = read(aircall, *REPORTS, start_date="2026-11-21", requests_per_minute=requests_per_minute)

        assert sorted(records(run)) == sorted(
            (name, day, 1, {"Cell": "x"}) for name in REPORTS for day in days("2026-11-21", "2026-11-22")
        )
        assert positions(run) == dict.fromkeys(REPORTS, "2026-11-22")

    def test_a_day_costs_two_requests_when_aircall_is_quick(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.rows = {name: [{"Cell": "a"}] for name in (CALLS, STATUS)}

        run = read(aircall, CALLS, STATUS, start_date="2026-11-03", requests_per_minute=60)

        files = [log for log in aircall.sandbox.requests if log.path.startswith(FILE_PATH)]
        assert len(files) == 40
        assert run.requests - len(files) == 2 * 40
        assert aircall.clock.now - NOW < 120

    def test_each_export_is_polled_once_a_minute(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.seconds = 290

        read(aircall, CALLS, start_date="2026-11-22")

        polls = [log.at - NOW for log in aircall.sandbox.requests if log.path.startswith(f"{EXPORT_PATH}/")]
        assert polls == [15.0 + POLL_SECONDS * number for number in range(6)]

    def test_an_export_that_is_ready_is_not_waited_for(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.seconds = 0

        read(aircall, CALLS, start_date="2026-11-22")

        assert aircall.clock.now - NOW < 15

    def test_an_unknown_status_is_waited_for(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-22", "a")
        queued = Fault(path=f"{EXPORT_PATH}/", mutate=lambda payload: payload | {"status": "QUEUED"})
        aircall.sandbox.faults.append(queued)

        assert len(records(read(aircall, CALLS, start_date="2026-11-22"))) == 1

    def test_the_next_run_asks_again_for_an_export_that_aircall_forgot(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.kept_seconds = 10
        report(aircall, CALLS, "2026-11-22", "a")

        run, line = fail(aircall, CALLS, start_date="2026-11-22")
        assert names(line, CALLS, "2026-11-22")

        aircall.sandbox.analytics.kept_seconds = 1_000
        assert len(records(read(aircall, CALLS, start_date="2026-11-22", state=run.state))) == 1


class TestFiles:
    def test_zipped_files_are_unpacked(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.zipped = True
        report(aircall, CALLS, "2026-11-22", "Zoë, 😀\n")

        assert records(read(aircall, CALLS, start_date="2026-11-22")) == [
            (CALLS, "2026-11-22", 1, {"Cell": "Zoë, 😀\n"})
        ]

    def test_downloads_carry_no_credentials(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-22", "a")
        read(aircall, CALLS, start_date="2026-11-22")

        (file,) = [log for log in aircall.sandbox.requests if log.path.startswith(FILE_PATH)]
        assert file.status == 200
        assert not file.headers.keys() & {"authorization", "cookie"}
        assert file.query == {}

    def test_a_broken_download_starts_over(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-22", *map(str, range(1000)))
        aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=3, failure="cut"))

        rows = [row["Cell"] for *_, row in records(read(aircall, CALLS, start_date="2026-11-22"))]

        assert rows == [str(number) for number in range(1000)]

    def test_only_a_file_that_is_empty_twice_is_taken_for_empty(self, aircall: Aircall) -> None:
        report(aircall, CALLS, "2026-11-21", "a")
        report(aircall, CALLS, "2026-11-22")
        aircall.sandbox.faults.append(Fault(path=FILE_PATH, failure="empty"))

        run = read(aircall, CALLS, start_date="2026-11-21")

        assert records(run) == [(CALLS, "2026-11-21", 1, {"Cell": "a"})]
        files = [log.path for log in aircall.sandbox.requests if log.path.startswith(FILE_PATH)]
        assert [files.count(path) for path in dict.fromkeys(files)] == [2, 2]
        assert positions(run) == {CALLS: "2026-11-22"}


class TestFailures:
    def test_other_reports_are_still_read(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.failing = {f"{CALLS} 2026-11-21": "Too many rows:\n  try\x1b[31m fewer " + "!" * 500}
        report(aircall, CALLS, "2026-11-20", "a")
        report(aircall, CALLS, "2026-11-22", "b")
        report(aircall, STATUS, "2026-11-22", "c")

        run, line = fail(aircall, CALLS, STATUS)

        assert line.startswith(
            "Stream 'analytics_reports': some days were not read; the next run starts with them. "
            "CALLS_HISTORY of 2026-11-21: Aircall says: Too many rows: try [31m fewer !!!"
        )
        assert "\n" not in line
        assert len(line) < 400
        assert records(run)[0] == (CALLS, "2026-11-20", 1, {"Cell": "a"})
        assert records(run)[-1] == (STATUS, "2026-11-22", 1, {"Cell": "c"})
        assert (CALLS, "2026-11-22", 1, {"Cell": "b"}) not in records(run)
        assert positions(run) == {CALLS: "2026-11-20", STATUS: "2026-11-22"}

        aircall.sandbox.analytics.failing = {}
        assert (CALLS, "2026-11-22", 1, {"Cell": "b"}) in records(read(aircall, CALLS, STATUS, state=run.state))

    def test_every_failed_report_is_named(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.failing = {CALLS: "no", f"{STATUS} 2026-11-22": "never"}

        run, line = fail(aircall, CALLS, STATUS, HANDLED)

        assert names(line, CALLS, "2026-11-20", "no", STATUS, "2026-11-22", "never")
        assert positions(run) == {STATUS: "2026-11-21", HANDLED: "2026-11-22"}

    def test_an_export_that_takes_too_long_is_given_up(self, aircall: Aircall) -> None:
        aircall.sandbox.analytics.slow = {CALLS: 1e9}

        run, line = fail(aircall, CALLS, STATUS)

        assert names(line, CALLS, "2026-11-20", 30)
        assert positions(run) == {STATUS: "2026-11-22"}
        assert EXPORT_SECONDS <= aircall.clock.now - NOW < EXPORT_SECONDS + POLL_SECONDS

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"Cell\n\xff\xfe", "UTF-8"),
            (b'Cell\n"a', "unexpected end of data"),
            (b"PK\x03\x04 and nothing more", "zip"),
            (MISPLACED, "zip"),
            (b"<Error><Code>SlowDown</Code></Error>", "XML"),
            (b"Cell\na\n\0\n", "NUL"),
        ],
    )
    def test_a_file_that_cannot_be_read_fails_its_report(self, aircall: Aircall, content: bytes, reason: str) -> None:
        aircall.sandbox.analytics.files = {f"{CALLS} 2026-11-21": content}
        report(aircall, STATUS, "2026-11-22", "a")

        run, line = fail(aircall, CALLS, STATUS)

        assert names(line, CALLS, "2026-11-21", reason)
        assert positions(run) == {CALLS: "2026-11-20", STATUS: "2026-11-22"}
        assert records(run) == [(STATUS, "2026-11-22", 1, {"Cell": "a"})]

        del aircall.sandbox.analytics.files[f"{CALLS} 2026-11-21"]
        report(aircall, CALLS, "2026-11-21", "b")
        again = read(aircall, CALLS, STATUS, state=run.state)
        assert (CALLS, "2026-11-21", 1, {"Cell": "b"}) in records(again)
        assert positions(again) == {CALLS: "2026-11-22", STATUS: "2026-11-22"}

    def test_aircalls_messages_forge_no_line_and_show_no_address(self, aircall: Aircall) -> None:
        address = "https://bucket.example.net/x.csv?X-Amz-Signature=abc"
        words = f"No upload to '{address}'\r\n2026-11-23 | ERROR | tap-aircall | \x1b[2JAll is lost\u2028"
        aircall.sandbox.analytics.failing = {CALLS: words + "!" * 10**6}

        _, line = fail(aircall, CALLS)

        assert "No upload to '(an address)' 2026-11-23 | ERROR | tap-aircall | [2JAll is lost !!!" in line
        assert line.isprintable()
        assert len(line) < 400

    @pytest.mark.parametrize(
        ("fault", "facts"),
        [
            ({"path": EXPORT_PATH, "status": 400}, ["start_date"]),
            ({"path": FILE_PATH, "status": 503}, ["127.0.0.1", 503]),
            ({"path": FILE_PATH, "status": 307}, ["127.0.0.1", 307]),
            ({"path": FILE_PATH, "status": 403}, ["127.0.0.1", 403]),
        ],
    )
    def test_any_other_failure_has_its_reason(self, aircall: Aircall, fault: dict[str, Any], facts: list[Any]) -> None:
        aircall.sandbox.faults.append(Fault(times=100, **fault))

        _, line = fail(aircall, CALLS, start_date="2026-11-22")

        assert names(line, CALLS, "2026-11-22", *facts)

    def test_logs_and_errors_show_no_address(self, aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        aircall.sandbox.faults.append(Fault(path=FILE_PATH, times=100, status=503))

        _, line = fail(aircall, CALLS, start_date="2026-11-22")

        (address,) = {log.path for log in aircall.sandbox.requests if log.path.startswith(FILE_PATH)}
        assert address.removeprefix(FILE_PATH) not in caplog.text + line

    @pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
    def test_without_analytics_plus_the_stream_is_left_out(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture, method: str
    ) -> None:
        aircall.sandbox.analytics.plan = False
        aircall.world.add("tags")
        catalog = aircall.catalog("tags", STREAM)
        next(e for e in catalog["streams"] if e["stream"] == STREAM)["replication_method"] = method

        run = aircall.run(catalog=catalog, analytics_reports=[CALLS, STATUS])

        each_names(warnings(caplog), (STREAM, 403, "Analytics+"))
        assert len(run.records("tags")) == 1
        assert run.requests == 2
        assert run.types(STREAM) == ["SCHEMA"]  # no ACTIVATE_VERSION, which would empty the table

    def test_a_report_that_the_plan_lacks_is_named(self, aircall: Aircall) -> None:
        aircall.sandbox.faults.append(Fault(path=EXPORT_PATH, after=2, status=403))

        run, line = fail(aircall, CALLS, STATUS, start_date="2026-11-22")

        assert names(line, STATUS, "2026-11-22", 403)
        assert positions(run) == {CALLS: "2026-11-22"}


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "facts"),
        [
            ({"analytics_reports": [CALLS, "CALL_HISTORY"]}, ["analytics_reports.1", "CALL_HISTORY", CALLS]),
            ({"analytics_reports": ["user_status_history"]}, ["analytics_reports.0", "user_status_history", STATUS]),
            ({"analytics_reports": ["x"]}, ["analytics_reports.0", "'x'", CALLS, STATUS, HANDLED]),
            ({"analytics_reports": CALLS}, ["analytics_reports", "array"]),
            ({"analytics_reports": [7]}, ["analytics_reports.0", "string"]),
            ({"analytics_timezone": "Europe/Pariss"}, ["analytics_timezone", "Europe/Pariss", "Europe/Paris"]),
            ({"analytics_timezone": "../etc"}, ["analytics_timezone", "../etc", "IANA", "Europe/Paris"]),
        ],
    )
    def test_bad_settings_get_one_line(self, aircall: Aircall, settings: dict[str, Any], facts: list[str]) -> None:
        with refused(InputError, *facts):
            aircall.tap(**settings)

    def test_a_report_named_twice_is_read_once(self, aircall: Aircall) -> None:
        read(aircall, CALLS, CALLS, start_date="2026-11-22")
        assert asked(aircall) == [(CALLS, "2026-11-22")]

    @pytest.mark.parametrize(
        "state",
        [
            {"reports": {CALLS: "2026-11-22"}},
            {"reports": {CALLS: {"through": "yesterday", "rows": {}}}},
            {"reports": {CALLS: {"through": "2026-11-22", "rows": {"2026-11-22": "many"}}}},
            {"reports": {CALLS: {"through": "2026-11-22", "rows": {"2026-11-22": -1}}}},
            {"reports": {CALLS: {"through": "2026-11-22", "rows": {"2026-11-22": True}}}},
            {"reports": []},
        ],
    )
    def test_an_invalid_state_gets_one_line(self, aircall: Aircall, state: Any) -> None:
        with refused(InputError, "State", STREAM):
            aircall.tap(streams=[STREAM], state={"bookmarks": {STREAM: state}})
