"""Audio of the sandbox: links expire and change at each reading; files stay the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests

from aircall_sandbox.recordings import FRAME, address_of, audio
from sandbox_tests.asking import get

if TYPE_CHECKING:
    from tests.conftest import Aircall

HOUR = 3600


def link(aircall: Aircall, call: int, kind: str = "recording") -> str:
    return str(get(aircall, f"/v1/calls/{call}").json()["call"][kind])


def fetch(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10)


@pytest.fixture
def call(aircall: Aircall) -> int:
    identity: int = aircall.world.add_call(started_at=int(aircall.clock.now) - HOUR, leaves_voicemail=True)["id"]
    return identity


def test_links_of_a_call_lead_to_the_same_audio(aircall: Aircall, call: int) -> None:
    first, second = (fetch(link(aircall, call)) for _ in range(2))

    assert first.status_code == 200
    assert first.headers["content-type"] == "audio/mpeg"
    assert first.content == second.content == audio(address_of(call, "recording"))
    assert first.content.startswith(FRAME)
    assert 10_000 < len(first.content) < 15_000
    assert fetch(link(aircall, call, "voicemail")).content not in {b"", first.content}


def test_every_reading_has_another_link(aircall: Aircall, call: int) -> None:
    assert link(aircall, call) != link(aircall, call)


def test_a_link_expires_after_an_hour(aircall: Aircall, call: int) -> None:
    url = link(aircall, call)
    aircall.clock.now += HOUR - 1
    assert fetch(url).status_code == 200
    aircall.clock.now += 1
    assert fetch(url).status_code == 403
    assert fetch(link(aircall, call)).status_code == 200


def test_a_forged_link_is_refused(aircall: Aircall, call: int) -> None:
    url = link(aircall, call)

    for other in (re.sub(r"expires=\d", "expires=9", url), url.replace("recording.mp3", "voicemail.mp3"), url[:-1]):
        assert fetch(other).status_code == 403
    assert fetch(url.partition("?")[0]).status_code == 403


def test_a_link_with_credentials_is_refused(aircall: Aircall, call: int) -> None:
    assert fetch(link(aircall, call), Authorization="Bearer x").status_code == 400


def test_a_file_can_be_deleted(aircall: Aircall, call: int) -> None:
    aircall.world.recordings.deleted.add(address_of(call, "recording"))

    assert fetch(link(aircall, call)).status_code == 404
    assert fetch(link(aircall, call, "voicemail")).status_code == 200
