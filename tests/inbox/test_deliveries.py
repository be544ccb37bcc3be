from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tap_aircall.inbox.deliveries import MESSAGES, WEBHOOK, Delivery, EventRow, NoEventError, fingerprint
from tap_aircall.reading.times import LAST_MILLISECONDS
from tests.inbox.conftest import event
from tests.messages import refused

NOW = 1_700_000_123_456

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.text(max_size=6).filter(lambda name: name not in {"token", "event"})
bodies = st.dictionaries(names, values, max_size=5).map(lambda fields: event() | fields)


def row(body: dict[str, Any], *, company: str = "Acme", kind: str = WEBHOOK) -> EventRow:
    return Delivery(json.dumps(body).encode()).row(company, kind, NOW)


def typed(value: Any) -> Any:
    """Tell apart what Python takes for equal: 1, 1.0 and true."""
    if isinstance(value, dict):
        return {name: typed(inner) for name, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else repr(value)


@given(bodies, st.text(), st.randoms(use_true_random=False))
def test_the_same_event_has_the_same_id_whatever_the_token_and_the_order_of_fields(
    body: dict[str, Any], token: str, random: Any
) -> None:
    names = list(body)
    random.shuffle(names)
    again = {name: body[name] for name in names} | {"token": token}

    assert row(again) == row(body)


@settings(max_examples=50)
@given(bodies, bodies)
def test_events_that_differ_have_different_ids(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(typed(one) != typed(other))

    assert row(one).event_id != row(other).event_id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "true"),
        ("1", '"1"'),
        ("9007199254740992", "9007199254740993"),
        ("null", "{}"),
        ('"\\ud83d"', '"\\ud83e"'),
        ('"a"', '"a\\u0000"'),
        ('"\\u00e9"', '"e\\u0301"'),
    ],
)
def test_values_that_only_look_alike_have_different_ids(one: str, other: str) -> None:
    ids = {
        Delivery(b'{"event": "call.created", "data": %s}' % value.encode()).row("Acme", WEBHOOK, NOW).event_id
        for value in (one, other)
    }

    assert len(ids) == 2


LINK = "https://files.example.com/a%20b.wav"


def test_an_upgrade_does_not_change_the_id() -> None:
    body = b'{"event": "call.tagged", "token": "x", "timestamp": 1795442400, "data": {"id": 1}}'

    assert Delivery(body).row("Acme", WEBHOOK, 0).event_id == "ba901c46f928efd4f20feff91d728a50"


def test_new_signatures_in_links_do_not_change_the_id() -> None:
    def links(end: str) -> dict[str, Any]:
        return event(data={"recording": f"{LINK}{end}", "media": [{"presigned_url": f"{LINK}{end}"}], "x": "planted"})

    assert row(links("?X-Amz-Signature=a&expires=1")).event_id == row(links('?s="b"\\')).event_id
    assert row(links("?a")).event_id == row(links("#b")).event_id == row(links("")).event_id
    assert row(links("?a")).event_id != row(links("/c?a")).event_id
    assert row(links("/é\\?a")).event_id == row(links("/é\\?b")).event_id != row(links("/è\\?b")).event_id
    assert json.loads(row(links("?a")).body)["data"]["recording"] == f"{LINK}?a"


def test_links_that_a_text_quotes_are_part_of_it() -> None:
    assert len({row(event(data=f'"{LINK}?{n}" is {text}')).event_id for n in "ab" for text in ("up", "down")}) == 4


def test_the_same_event_of_two_companies_has_two_ids() -> None:
    assert row(event()).event_id != row(event(), company="Other").event_id


@given(bodies)
def test_everything_but_the_token_is_kept(body: dict[str, Any]) -> None:
    kept = row(body).body

    assert typed(json.loads(kept)) == typed({name: value for name, value in body.items() if name != "token"})
    assert kept.isascii()
    assert "\0" not in kept


def test_a_nested_token_is_data() -> None:
    assert json.loads(row(event(data={"token": "kept"})).body)["data"] == {"token": "kept"}


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_parse_or_raise_the_one_error(body: bytes) -> None:
    with suppress(NoEventError):
        Delivery(body)


NO_EVENTS = {
    "not JSON": [
        *(b"", b'{"event": "call.created"', b'{"event": "call.created"} {}', b'{"event": "call\0created"}'),
        *(b'{"event": "\xff"}', b'{"data": NaN}', b'{"data": -Infinity}', b'{"data": 1e999}'),
        b'{"data": %s}' % (b"1" * 5000),
    ],
    "not an object": [b"[]", b'"call.created"', b"null"],
    "too deep": [
        b'{"data": %s%s}' % (b"[" * 101, b"]" * 101),
        b'{"data": %s' % (b"[" * 90_000),
        b'{"data": %s' % (b'{"a":' * 90_000),
    ],
    "too many values": [b'{"data": [%s{}]}' % (b"{}," * 50_000), b'{"data": [%s0]}' % (b"0," * 100_000)],
}


def test_each_fault_of_a_body_has_its_reason() -> None:
    reasons: dict[str, set[str]] = {fault: set() for fault in NO_EVENTS}
    for fault, bodies in NO_EVENTS.items():
        for body in bodies:
            with refused(NoEventError) as raised:
                Delivery(body)
            reasons[fault].add(str(raised.value))

    assert {fault: len(each) for fault, each in reasons.items()} == dict.fromkeys(NO_EVENTS, 1)
    assert len(set.union(*reasons.values())) == len(NO_EVENTS)


@pytest.mark.parametrize("name", [None, 1, "", "call\0created", "call\ncreated", "x" * 201, ["call.created"]])
def test_an_event_has_a_name(name: Any) -> None:
    with refused(NoEventError, "event"):
        row(event(event=name))


def test_numbers_in_proxy_mode_name_the_event_in_another_field() -> None:
    body = {"event_name": "message.updated", "timestamp": NOW, "token": "secret", "data": {"id": "1779"}}

    assert row(body, kind=MESSAGES)[2:7] == ("message.updated", None, "message", "1779", NOW)
    with refused(NoEventError, "event_name"):
        row(event(), kind=MESSAGES)


@pytest.mark.parametrize("token", [None, 1, ["secret"], {"secret": 1}, True])
def test_a_token_must_be_text(token: Any) -> None:
    assert Delivery(json.dumps(event(token=token)).encode()).fingerprint is None


def test_only_the_fingerprint_of_a_token_is_kept() -> None:
    delivery = Delivery(json.dumps(event(token="hush \ud800")).encode())

    assert delivery.fingerprint == fingerprint("hush \ud800")
    assert "hush" not in repr(vars(delivery))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("call.tagged", {"id": 3_000_000_000}, ("call", "3000000000")),
        ("call.tagged", {"id": "3"}, ("call", "3")),
        ("user.opened.v2", {"id": 4}, ("user", "4")),
        ("number.deleted", {"id": 5}, ("number", "5")),
        ("contact.deleted", {"id": 6}, ("contact", "6")),
        (
            "message.status_updated",
            {"id": "1779973182949pqnihpvazdyw6336"},
            ("message", "1779973182949pqnihpvazdyw6336"),
        ),
        ("group_message.sent", {"group_message_id": "b1"}, ("group_message", "b1")),
        ("group_message.sent", {"id": "a1", "group_message_id": "b1"}, ("group_message", "a1")),
        ("transcription.created", {"id": 1, "call_id": 7}, ("call", "7")),
        ("custom_summary.result_created", {"call_id": 7}, ("call", "7")),
        ("realtime_transcription.utterances_received", {"id": "x", "call": {"id": 8}}, ("call", "8")),
        ("ai_voice_agent.summary", {"id": 9, "ai_voice_agent_session_id": "s"}, ("ai_voice_agent_session", "s")),
        ("integration.deleted", {"integration_id": 10, "company_id": 1}, ("integration", "10")),
        ("analytics.report_created", {"id": 11}, (None, None)),
        ("fax.sent", {"id": 12}, (None, None)),
        ("call.tagged", {}, (None, None)),
        ("call.tagged", None, (None, None)),
        ("call.tagged", [{"id": 1}], (None, None)),
        ("call.tagged", {"id": True}, (None, None)),
        ("call.tagged", {"id": 1.5}, (None, None)),
        ("call.tagged", {"id": "a\0b"}, (None, None)),
        ("realtime_transcription.utterances_received", {"call": 8}, (None, None)),
    ],
)
def test_the_object_of_an_event_is_identified(name: str, data: Any, expected: tuple[str | None, str | None]) -> None:
    assert row(event(name, data=data))[4:6] == expected


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000.5, 1_700_000_000_500),
        ("1700000000123", 1_700_000_000_123),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        (0, 0),
        (None, NOW),
        (-1, NOW),
        (10**30, NOW),
        ("0001-01-01T00:00:00Z", NOW),
        ("9999-12-31T23:59:59.999999Z", NOW),
        (LAST_MILLISECONDS, NOW),
        (True, NOW),
        ("soon", NOW),
        ({}, NOW),
        ([], NOW),
    ],
)
def test_a_time_is_parsed_in_every_format(timestamp: Any, expected: int) -> None:
    assert row(event(timestamp=timestamp)).happened_at == expected


def test_an_invalid_resource_is_ignored() -> None:
    assert [row(event(resource=value)).resource for value in ("call", 5, "a\0b", None)] == ["call", None, None, None]
