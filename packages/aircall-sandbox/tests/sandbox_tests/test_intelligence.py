"""AI results of the sandbox follow the facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox.intelligence import ENVELOPES, RESULT_KINDS, ResultKind
from sandbox_tests.asking import get

if TYPE_CHECKING:
    from tests.conftest import Aircall

PATHS = [kind for kind in RESULT_KINDS if kind != "realtime_transcription"]


def call(aircall: Aircall) -> int:
    identity: int = aircall.world.add_call(started_at=int(aircall.clock.now) - 3600)["id"]
    return identity


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_an_ai_result_comes_in_the_envelope_of_its_kind(aircall: Aircall, kind: ResultKind, is_wrapped: bool) -> None:
    identity = call(aircall)
    aircall.world.intelligence.is_wrapped = is_wrapped
    payload = aircall.world.intelligence.add(identity, kind)

    answer = get(aircall, f"/v1/calls/{identity}/{kind}", fetch_playbook="true")

    assert answer.status_code == 200
    envelope = ENVELOPES.get(kind)
    assert answer.json() == ({envelope: payload} if envelope and is_wrapped else payload)


def test_results_appear_some_time_after_the_call(aircall: Aircall) -> None:
    identity = call(aircall)
    aircall.world.intelligence.add(identity, "topics", visible_at=aircall.clock.now + 60)
    assert get(aircall, f"/v1/calls/{identity}/topics").status_code == 404

    aircall.clock.now += 60

    assert get(aircall, f"/v1/calls/{identity}/topics").status_code == 200
    assert get(aircall, f"/v1/calls/{identity}/summary").status_code == 404
    assert get(aircall, "/v1/calls/1/topics").status_code == 404
    assert get(aircall, "/v1/calls/one/topics").status_code == 400


def test_results_are_refused_without_the_plan(aircall: Aircall) -> None:
    identity, other = call(aircall), call(aircall)
    aircall.world.intelligence.add(identity, "topics")
    aircall.world.intelligence.add(other, "topics")

    aircall.world.intelligence.denied_calls = {other}
    assert [get(aircall, f"/v1/calls/{each}/topics").status_code for each in (identity, other)] == [200, 403]
    aircall.world.intelligence.plan = False
    assert [get(aircall, f"/v1/calls/{each}/topics").status_code for each in (identity, other)] == [403, 403]


def test_transcriptions_have_two_modes_and_one_path(aircall: Aircall) -> None:
    identity = call(aircall)
    made_after = aircall.world.intelligence.add(identity, "transcription")
    made_during = aircall.world.intelligence.add(identity, "realtime_transcription")

    def transcription(**query: str) -> Any:
        return get(aircall, f"/v1/calls/{identity}/transcription", **query).json()["transcription"]

    assert transcription() == transcription(mode="async") == made_after
    assert transcription(mode="realtime") == made_during
    assert get(aircall, f"/v1/calls/{identity}/realtime_transcription").json() == {"message": "Not Found"}


def test_a_playbook_needs_its_flag(aircall: Aircall) -> None:
    identity = call(aircall)
    aircall.world.intelligence.add(identity, "playbook_result")

    assert "playbook" not in get(aircall, f"/v1/calls/{identity}/playbook_result").json()
    assert "playbook" in get(aircall, f"/v1/calls/{identity}/playbook_result", fetch_playbook="true").json()


def test_an_edited_result_is_shown(aircall: Aircall) -> None:
    identity = call(aircall)
    aircall.world.intelligence.add(identity, "evaluations")

    aircall.world.intelligence.edit(identity, "evaluations", ai_generated=False)

    assert get(aircall, f"/v1/calls/{identity}/evaluations").json()["ai_generated"] is False


def test_a_share_of_calls_has_all_results_some_time_after_their_end(aircall: Aircall) -> None:
    ids = [call(aircall) for _ in range(60)]
    later = aircall.world.add_call(started_at=int(aircall.clock.now), talk_seconds=100)["id"]

    def served() -> list[int]:
        return [each for each in [*ids, later] if get(aircall, f"/v1/calls/{each}/summary").status_code == 200]

    assert served() == []
    aircall.world.intelligence.share = 0.5
    assert 15 < len(served()) < 45
    aircall.world.intelligence.share = 1
    assert served() == ids
    aircall.clock.now += 105 + 60 + 10
    assert served() == [*ids, later]
    assert get(aircall, f"/v1/calls/{later}/summary").json() == get(aircall, f"/v1/calls/{later}/summary").json()
    aircall.world.intelligence.edit(later, "summary", content="Edited")
    assert get(aircall, f"/v1/calls/{later}/summary").json()["summary"]["content"] == "Edited"


def test_a_voicemail_has_only_a_transcription(aircall: Aircall) -> None:
    aircall.world.intelligence.share = 1
    start = int(aircall.clock.now) - 3600
    missed = aircall.world.add_call(started_at=start, talk_seconds=None)["id"]
    voicemail = aircall.world.add_call(started_at=start, talk_seconds=None, ring_seconds=40, leaves_voicemail=True)[
        "id"
    ]

    transcription = get(aircall, f"/v1/calls/{voicemail}/transcription").json()["transcription"]

    assert transcription["type"] == "voicemail"
    assert [said["participant_type"] for said in transcription["content"]["utterances"]] == ["external"]
    assert get(aircall, f"/v1/calls/{voicemail}/summary").status_code == 404
    assert get(aircall, f"/v1/calls/{missed}/transcription").status_code == 404
