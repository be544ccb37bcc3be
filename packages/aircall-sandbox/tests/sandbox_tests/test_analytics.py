"""Reports of the sandbox follow the facts."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import requests

from aircall_sandbox.analytics import EXPORT_PATH
from sandbox_tests.asking import ask, get
from tests.clock import NOW

if TYPE_CHECKING:
    from tests.conftest import Aircall

T0 = int(NOW)
DAY = {"absoluteRange": {"fromDate": "2026-11-22", "toDate": "2026-11-22"}}


def request(**changes: Any) -> dict[str, Any]:
    return {"reportName": "CALLS_HISTORY", "filter": {"dateFilter": DAY, "timezone": "UTC"}} | changes


def post(aircall: Aircall, body: Any) -> requests.Response:
    return ask(aircall, "POST", EXPORT_PATH, body)


def begin(aircall: Aircall, **changes: Any) -> str:
    identity: str = post(aircall, {"input": request(**changes)}).json()["exportID"]
    return identity


def look(aircall: Aircall, identity: str) -> dict[str, Any]:
    answer: dict[str, Any] = get(aircall, f"{EXPORT_PATH}/{identity}").json()
    return answer


def make(aircall: Aircall, **changes: Any) -> dict[str, Any]:
    """Begin an export, and return its status a minute later."""
    identity = begin(aircall, **changes)
    aircall.clock.now += 60
    return look(aircall, identity)


def download(export: dict[str, Any]) -> bytes:
    return requests.get(export["downloadUrl"], timeout=10).content


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_an_export_is_pending_until_it_is_made(aircall: Aircall) -> None:
    answer = post(aircall, {"input": request(exportOptions={"format": "CSV", "exportName": "mine"})})
    identity = answer.json()["exportID"]
    pending = {"exportID": identity, "createdAt": "2026-11-23T13:00:00.000Z", "status": "PENDING"}
    assert (answer.status_code, answer.json()) == (201, pending)

    aircall.clock.now += aircall.sandbox.analytics.seconds - 1
    assert look(aircall, identity) == pending

    aircall.clock.now += 1
    done = look(aircall, identity)
    assert done.pop("downloadUrl").startswith(f"{aircall.sandbox.url}/exports/{identity}")
    assert done == pending | {
        "status": "COMPLETED",
        "format": "CSV",
        "exportName": "mine",
        "isZipCompressed": False,
        "downloadUrlExpiresAt": "2026-11-23T14:00:10.000Z",
    }


def test_a_report_has_a_row_per_user_and_day(aircall: Aircall) -> None:
    user = aircall.world.add("users")

    content = download(make(aircall, reportName="USER_ACTIVITY_CALLS_HANDLED"))

    assert [(row["Date"], row["User ID"]) for row in rows(content)] == [("2026-11-22", str(user["id"]))]


def test_a_file_may_be_zipped(aircall: Aircall) -> None:
    aircall.world.add("users")
    aircall.sandbox.analytics.zipped = True
    done = make(aircall, reportName="USER_STATUS_HISTORY")

    with zipfile.ZipFile(io.BytesIO(download(done))) as archive:
        assert len(rows(archive.read(archive.namelist()[0]))) == 1
    assert done["isZipCompressed"] is True


def test_an_address_is_a_credential_for_an_hour(aircall: Aircall) -> None:
    export = make(aircall)
    url = export["downloadUrl"]

    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url, auth=("sandbox-id", "sandbox-token"), timeout=10).status_code == 400
    aircall.clock.now += 3_600
    assert requests.get(url, timeout=10).status_code == 403
    assert requests.get(look(aircall, export["exportID"])["downloadUrl"], timeout=10).status_code == 200
    assert requests.get(aircall.sandbox.url + "/exports/guess.csv", timeout=10).status_code == 403


def test_a_report_can_fail(aircall: Aircall) -> None:
    aircall.sandbox.analytics.failing = {"CALLS_HISTORY 2026-11-22": "too many rows"}
    export = make(aircall)

    assert export == {
        "exportID": export["exportID"],
        "createdAt": "2026-11-23T13:00:00.000Z",
        "status": "FAILED",
        "errorMessage": "too many rows",
    }


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        request(),
        {"input": request(reportName="CALL_HISTORY")},
        {"input": request(filter={"dateFilter": DAY})},
        {"input": request(filter={"dateFilter": DAY, "timezone": "Paris"})},
        {"input": request(filter={"dateFilter": {}, "timezone": "UTC"})},
        {"input": request(filter={"dateFilter": {"absoluteRange": {"fromDate": "today"}}, "timezone": "UTC"})},
    ],
)
def test_an_invalid_export_request_gets_400(lasting: Aircall, body: Any) -> None:
    assert post(lasting, body).status_code == 400


def test_reports_need_credentials_and_analytics_plus(aircall: Aircall) -> None:
    assert requests.post(aircall.sandbox.url + EXPORT_PATH, json={"input": request()}, timeout=10).status_code == 401
    identity = begin(aircall)
    aircall.sandbox.analytics.plan = False
    assert post(aircall, {"input": request()}).json() == {"message": "Forbidden"}
    assert get(aircall, f"{EXPORT_PATH}/{identity}").status_code == 403


def test_other_paths_get_404(lasting: Aircall) -> None:
    assert get(lasting, EXPORT_PATH).status_code == 404
    assert get(lasting, f"{EXPORT_PATH}/unknown").status_code == 404
    assert get(lasting, f"{EXPORT_PATH}/a/b").status_code == 404
    assert ask(lasting, "POST", f"{EXPORT_PATH}/unknown", {}).status_code == 404


def test_an_export_is_forgotten_after_a_day(aircall: Aircall) -> None:
    identity = begin(aircall)
    aircall.clock.now += aircall.sandbox.analytics.kept_seconds
    assert get(aircall, f"{EXPORT_PATH}/{identity}").status_code == 404
