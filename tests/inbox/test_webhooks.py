from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from typing_extensions import override

from aircall_sandbox import Fault
from tap_aircall.errors import (
    ForbiddenError,
    InputError,
    RejectedRequestError,
    ResponseError,
    TransientError,
    UnavailableError,
)
from tap_aircall.inbox.deliveries import MESSAGES, fingerprint
from tap_aircall.inbox.store import Inbox, Webhook
from tap_aircall.inbox.webhooks import AGAIN_SECONDS, CHECK_INTERVAL_SECONDS, KNOCKS, CompanyWebhooks
from tests.clock import FakeClock
from tests.messages import each_names, names, refused, warnings
from tests.receiving import receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.inbox.conftest import Running

URL = "https://hooks.example.net/aircall"


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with closing(Inbox.open(str(tmp_path / "inbox.db"), create=True)) as inbox:
        yield inbox


@pytest.fixture
def webhooks(aircall: Aircall, inbox: Inbox) -> Iterator[CompanyWebhooks]:
    aircall.world.company_name = "Acme"
    client = aircall.tap().this_run.client
    yield CompanyWebhooks(client, inbox, aircall.clock, "")
    client.close()


def in_sandbox(aircall: Aircall) -> list[dict[str, Any]]:
    return list(aircall.world.kinds["webhooks"].values())


def asked(aircall: Aircall) -> list[tuple[str, str]]:
    """Return the requests since this was last called."""
    requests = [(log.method, log.path) for log in aircall.sandbox.requests]
    aircall.sandbox.requests.clear()
    return requests


def test_a_registered_webhook_is_stored_by_the_fingerprint_of_its_token(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks
) -> None:
    made = webhooks.register(URL, ["call.tagged", "call.ended"])

    (there,) = in_sandbox(aircall)
    assert (there["url"], there["events"]) == (URL, ["call.tagged", "call.ended"])
    now = int(aircall.clock.now * 1000)
    expected = (
        fingerprint(there["token"]),
        "Acme",
        "webhook",
        there["webhook_id"],
        URL,
        ["call.tagged", "call.ended"],
        now,
    )
    assert made == expected
    assert inbox.webhooks() == [made]


def test_registering_again_reuses_the_webhook(aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks) -> None:
    first = webhooks.register(URL, [])
    everything = in_sandbox(aircall)[0]["events"]

    again = webhooks.register(URL, ["call.tagged"])

    assert again == first._replace(events=["call.tagged"])
    (there,) = in_sandbox(aircall)
    assert there["events"] == ["call.tagged"]
    assert inbox.webhooks() == [again]
    webhooks.register(URL, [])
    assert in_sandbox(aircall)[0]["events"] == everything
    webhooks.register(URL + "2", [])
    assert [each["url"] for each in in_sandbox(aircall)] == [URL, URL + "2"]


def test_a_lost_response_does_not_create_a_second_webhook(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks
) -> None:
    webhooks.in_aircall()
    aircall.sandbox.faults.append(Fault(path="/v1/webhooks", failure="cut", after=1))
    with pytest.raises(UnavailableError):
        webhooks.register(URL, [])
    assert len(in_sandbox(aircall)) == 1
    assert inbox.webhooks() == []

    webhooks.register(URL, [])

    assert [each.webhook_id for each in inbox.webhooks()] == [each["webhook_id"] for each in in_sandbox(aircall)]
    assert len(inbox.webhooks()) == 1


def test_processes_that_register_at_once_end_up_with_one_webhook(aircall: Aircall, inbox: Inbox) -> None:
    aircall.sandbox.faults.append(Fault(path="/v1/webhooks", delay=0.05, times=9))

    def register(location: str) -> Webhook:
        with closing(Inbox.open(location, create=True)) as mine:
            return CompanyWebhooks(aircall.tap().this_run.client, mine, aircall.clock, "Acme").register(URL, [])

    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(register, [str(inbox.engine.url.database).removeprefix("file://")] * 3))

    assert {each.webhook_id for each in made} == {each["webhook_id"] for each in in_sandbox(aircall)}
    assert len(in_sandbox(aircall)) == len(inbox.webhooks()) == 1


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Files with a certificate for this machine that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "certificate.pem")
    return {"certificate": str(tmp_path / "certificate.pem")}


def test_a_test_delivery_shows_where_a_url_leads(
    aircall: Aircall,
    inbox: Inbox,
    webhooks: CompanyWebhooks,
    make_receiver: Callable[..., Running],
    public: dict[str, str],
) -> None:
    receiver = make_receiver(inbox, **public)
    made = webhooks.register(f"{receiver.url}/hooks/", [])

    assert webhooks.problem_at(made.url) == ""
    assert names(webhooks.problem_at(made.url, "wrong"), "inbox")
    assert aircall.clock.waits == [AGAIN_SECONDS] * KNOCKS  # it might have been a new one
    inbox.remove_webhook(made.fingerprint)
    receiver.clock.now += 10
    assert names(webhooks.problem_at(made.url), "inbox")
    receiver.stop()
    with refused(TransientError, "refused"):
        webhooks.problem_at(made.url)


@pytest.mark.parametrize(("status", "facts"), [(200, ["program"]), (307, [307, "redirect"]), (404, [404])])
def test_a_url_that_leads_elsewhere_is_described(webhooks: CompanyWebhooks, status: int, facts: list[object]) -> None:
    with receiver() as server:
        server.status = status
        assert names(webhooks.problem_at(server.url, "s3cret"), *facts)


@pytest.mark.parametrize(
    ("url", "events", "named"),
    [("http://hooks.example.net", [], "https"), (URL, ["call.taged"], "call.taged")],
)
def test_the_error_for_a_refused_webhook_names_the_likely_causes(
    webhooks: CompanyWebhooks, inbox: Inbox, url: str, events: list[str], named: str
) -> None:
    with refused(RejectedRequestError, 400, named):
        webhooks.register(url, events)
    assert inbox.webhooks() == []


def test_unknown_events_are_refused_for_an_existing_webhook(webhooks: CompanyWebhooks) -> None:
    webhooks.register(URL, [])
    with refused(RejectedRequestError, 400, "call.taged"):
        webhooks.register(URL, ["call.taged"])


def test_a_disabled_webhook_is_enabled_with_its_events(
    aircall: Aircall, webhooks: CompanyWebhooks, caplog: pytest.LogCaptureFixture
) -> None:
    webhooks.register(URL, ["call.tagged"])
    webhooks.register(URL + "2", [])
    aircall.world.add("webhooks", url="https://other.example.net", active=False)
    webhooks.look_after()
    assert "PUT" not in {method for method, _ in asked(aircall)}
    for each in in_sandbox(aircall):
        each["active"] = False

    webhooks.look_after()

    mine, mine_too, others = in_sandbox(aircall)
    assert [each["active"] for each in (mine, mine_too, others)] == [True, True, False]
    assert mine["events"] == ["call.tagged"]
    assert len(mine_too["events"]) > 60
    assert asked(aircall) == [
        ("GET", "/v1/webhooks"),
        *(("PUT", f"/v1/webhooks/{each['webhook_id']}") for each in (mine, mine_too)),
    ]
    assert [record.args for record in caplog.records if record.levelname == "WARNING"] == [
        (each["webhook_id"],) for each in (mine, mine_too)
    ]


def test_a_webhook_deleted_in_aircall_is_named(
    aircall: Aircall, webhooks: CompanyWebhooks, caplog: pytest.LogCaptureFixture
) -> None:
    made = webhooks.register(URL, [])
    aircall.world.kinds["webhooks"].clear()

    webhooks.look_after()

    assert in_sandbox(aircall) == []
    assert [record.args for record in caplog.records if record.levelname == "WARNING"] == [(made.webhook_id,)]


def test_without_webhooks_there_are_no_requests(aircall: Aircall, webhooks: CompanyWebhooks) -> None:
    webhooks.register_messages("s3cret", URL)
    asked(aircall)

    webhooks.look_after()

    assert asked(aircall) == []


class Watchman(FakeClock):
    """Ends the watch after some looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @override
    def wait(self, seconds: float, interrupt: threading.Event) -> None:
        super().wait(seconds, interrupt)
        if len(self.waits) == self._looks:
            interrupt.set()


def test_checks_every_ten_minutes_survive_failures(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks, caplog: pytest.LogCaptureFixture
) -> None:
    made = webhooks.register(URL, [])
    aircall.sandbox.faults.append(Fault(path="/v1/webhooks", status=404, times=1))
    watchman = Watchman(looks=3)
    asked(aircall)

    client = aircall.tap().this_run.client
    CompanyWebhooks(client, inbox, watchman, "Acme").watch(threading.Event())
    client.close()

    assert watchman.waits == [CHECK_INTERVAL_SECONDS] * 3 == [600] * 3
    assert asked(aircall) == [("GET", "/v1/webhooks")] * 3
    each_names(warnings(caplog), ("/v1/webhooks", 404, "10 minutes"))
    assert inbox.webhooks() == [made]


def test_unregistered_webhooks_are_deleted_on_both_sides(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks
) -> None:
    made = [webhooks.register(URL + end, []) for end in ("", "2")]
    messages = webhooks.register_messages("s3cret", f"{URL}/messages")
    aircall.world.add("webhooks", url="https://other.example.net")
    others = CompanyWebhooks(aircall.tap().this_run.client, inbox, aircall.clock, "Zoo").register_messages(
        "s3cret of Zoo", URL
    )
    del aircall.world.kinds["webhooks"][made[0].webhook_id]

    assert sorted(webhooks.unregister()) == sorted([*made, messages])

    assert [each["url"] for each in in_sandbox(aircall)] == ["https://other.example.net"]
    assert inbox.webhooks() == [others]
    assert webhooks.unregister() == []


def test_a_webhook_that_cannot_be_deleted_stays_registered(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks
) -> None:
    made = webhooks.register(URL, [])
    aircall.sandbox.faults.append(Fault(path=f"/v1/webhooks/{made.webhook_id}", status=403, times=1))

    with refused(ForbiddenError):
        webhooks.unregister()

    assert inbox.webhooks() == [made]


def test_tokens_of_numbers_in_proxy_mode_are_stored(inbox: Inbox, webhooks: CompanyWebhooks) -> None:
    made = webhooks.register_messages("s3cret", f"{URL}/messages")

    assert inbox.webhooks() == [made]
    assert (made.fingerprint, made.kind, made.webhook_id) == (fingerprint("s3cret"), MESSAGES, None)


def test_the_setting_overrides_aircalls_name_of_the_company(aircall: Aircall, inbox: Inbox) -> None:
    client = aircall.tap().this_run.client
    assert CompanyWebhooks(client, inbox, aircall.clock, "Mine").register(URL, []).company == "Mine"
    assert ("GET", "/v1/company") not in asked(aircall)
    with refused(InputError, "inbox_company", 200):
        _ = CompanyWebhooks(client, inbox, aircall.clock, "x" * 201).company
    client.close()


@pytest.mark.parametrize(
    "lie",
    [
        {"webhook": None},
        {"webhook": {"webhook_id": 5, "url": URL, "token": "s3cret"}},
        {"webhook": {"webhook_id": "../users/1", "url": URL, "token": "s3cret"}},
        {"webhook": {"webhook_id": "5", "token": "s3cret"}},
        {"webhook": {"webhook_id": "5", "url": URL, "token": ""}},
        [],
    ],
)
def test_a_response_without_a_valid_webhook_is_refused(
    aircall: Aircall, inbox: Inbox, webhooks: CompanyWebhooks, lie: Any
) -> None:
    webhooks.in_aircall()
    aircall.sandbox.faults.append(Fault(path="/v1/webhooks", mutate=lambda _: lie, after=1))

    with pytest.raises(ResponseError):
        webhooks.register(URL, [])
    assert inbox.webhooks() == []
