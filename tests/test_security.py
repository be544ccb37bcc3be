"""No secret anywhere and no personal data outside of records, whatever happens and however much is logged."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault
from aircall_sandbox.intelligence import RESULT_KINDS
from tap_aircall.errors import StreamError
from tap_aircall.streams.registry import STREAMS
from tests.clock import NOW
from tests.conftest import Run
from tests.inboxes import fill, one_of_each
from tests.messages import each_names, warnings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall

T0 = int(NOW)
PLANTED = ("Planted Person", "planted@example.com", "+33 6 12 34 56 78", "planted words", "planted-token")


@pytest.fixture
def company(aircall: Aircall) -> Aircall:
    """A company with a person who must not appear in any log."""
    world = aircall.world
    name, email, phone, words, token = PLANTED
    user = world.add("users", name=name, email=email)
    number = world.add("numbers", name=words, digits=phone)
    world.user_numbers[user["id"]].append(number["id"])
    world.add("teams", name=words, users=[world.member(user["id"])])
    world.add("tags", name=words)
    world.add("webhooks", token=token)
    comment = {"id": 1, "content": words, "posted_at": T0 - 60, "posted_by": world.author(user["id"])}
    for n in range(60):
        call = world.add_call(
            started_at=T0 - 90_000 - n, raw_digits=phone, user=world.call_user(user["id"]), comments=[comment]
        )
        for kind in RESULT_KINDS:
            world.intelligence.add(call["id"], kind)
            if kind == "summary":
                world.intelligence.edit(call["id"], kind, content=words)
        world.add_contact(created_at=T0 - 90_000 - n, first_name=name, information=words, emails=[{"value": email}])
    world.optional.message_configurations[number["id"]] = {"type": words, "token": token}
    return aircall


def assert_nothing_planted(*texts: str) -> None:
    for text in texts:
        assert not [each for each in PLANTED if each in text]


def test_a_run_of_all_streams_logs_no_planted_data(
    company: Aircall, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    location = str(tmp_path / "inbox.db")
    fill(location, [event for words in PLANTED[:2] for event in one_of_each(T0, words, duration={"x": words})])
    for failure in ("cut", "cut_json", "html", "reset"):
        company.sandbox.faults.append(Fault(after=3, times=2, failure=failure))

    with caplog.at_level(logging.DEBUG):
        run = company.run(*STREAMS, inbox=location)

    assert len(run.records("calls")) == 60
    assert "GET /v1/calls" in caplog.text  # debugging does show requests
    assert "sandbox-token" not in caplog.text
    assert_nothing_planted(caplog.text, json.dumps(run.states))
    assert "planted-token" not in json.dumps(run.messages)
    assert len(run.records("webhook_events")) > len(run.records("messages")) == 1


@pytest.mark.parametrize(
    ("stream", "path", "change"),
    [
        ("calls", "calls", {"started_at": PLANTED[0]}),
        ("contacts", "contacts", {"updated_at": PLANTED[2]}),
        *(
            (stream, stream, {"id": identity})
            for stream in ("calls", "contacts", "users", "teams", "tags")
            for identity in ([PLANTED[0]], {"x": PLANTED[1]}, None)
        ),
        ("user_numbers", "users", {"id": [PLANTED[0]]}),
        ("user_numbers", "users", {"id": None}),
    ],
)
def test_what_has_no_usable_id_or_time_is_named_by_its_stream_and_never_shown(
    company: Aircall, caplog: pytest.LogCaptureFixture, stream: str, path: str, change: dict[str, Any]
) -> None:
    def spoil(payload: Any) -> Any:
        for record in payload[path][:1]:
            record.update(change)
        return payload

    version = "v2" if path == "users" else "v1"
    company.sandbox.faults.append(Fault(path=f"/{version}/{path}", times=99, mutate=spoil))

    run = Run()
    with caplog.at_level(logging.DEBUG), contextlib.suppress(StreamError):
        company.tap(run, streams=(stream,)).run()

    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert told
    assert any(f"'{named}'" in line for line in told for named in (stream, path))
    assert_nothing_planted(caplog.text, json.dumps(run.states))


@pytest.mark.parametrize(
    ("stream", "change"),
    [
        ("calls", {"duration": {"x": PLANTED[0]}}),
        ("calls", {"ended_at": PLANTED[0]}),
        ("calls", {"ended_at": ""}),
        ("calls", {"user": PLANTED[1]}),
        ("contacts", {"emails": PLANTED[1]}),
        ("users", {"wrap_up_time": PLANTED[3]}),
        ("users", {"wrap_up_time": 2**63}),
    ],
)
def test_a_value_that_cannot_be_used_ends_nothing_and_is_kept_and_never_logged(
    company: Aircall, caplog: pytest.LogCaptureFixture, stream: str, change: dict[str, Any]
) -> None:
    def spoil(payload: Any) -> Any:
        for record in payload[stream][:1]:
            record.update(change)
        return payload

    path = "/v2/users" if stream == "users" else f"/v1/{stream}"
    company.sandbox.faults.append(Fault(path=path, times=99, mutate=spoil))

    with caplog.at_level(logging.DEBUG):
        run = company.run(stream)

    (field,) = change
    spoilt = [each for each in run.records(stream) if each.get("additional_fields")]
    assert spoilt
    assert all(each[field] is None and each["additional_fields"] == change for each in spoilt)
    each_names(warnings(caplog), (field, stream, "additional_fields"))
    assert_nothing_planted(caplog.text)


def test_data_cannot_forge_a_line_of_the_log(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    aircall.world.add("tags", **{"x\nERROR | tap-aircall | all is lost": 1, "y" * 10_000: 1})

    with caplog.at_level(logging.DEBUG):
        aircall.run("tags")

    lines = warnings(caplog)
    assert len(lines) == 2
    assert not [line for line in lines if "\n" in line or len(line) > 320]
