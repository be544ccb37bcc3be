"""The SDK's own tests, and what the tap relies on within the SDK."""

from __future__ import annotations

import inspect
import logging
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream
from singer_sdk.mapper import CustomStreamMap
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_aircall.sandbox import Sandbox, generate_company
from tap_aircall.sdk import UNHANDLED
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.registry import STREAMS
from tap_aircall.tap import TapAircall
from tests.catalogs import catalog
from tests.clock import NOW
from tests.companies import add_everything

if TYPE_CHECKING:
    from tests.conftest import Aircall

_sandbox = Sandbox(generate_company(seed=5, now=time.time(), calls=60, contacts=20, users=3))
_sandbox.analytics.seconds = 0  # nobody is to wait
_sandbox.__enter__()
add_everything(_sandbox.world)
# The SDK's tests know nothing of fields that only Aircall knows.
_sandbox.world.optional.registration_statuses = {number: {} for number in _sandbox.world.kinds["numbers"]}
SETTINGS = {
    "auth_scheme": "OAUTH",  # which sees all streams
    "initiate_oauth": "OFF",
    "oauth_access_token": _sandbox.oauth.tokens()["access_token"],
    "api_url": _sandbox.url,
    "requests_per_minute": 100_000,
    "analytics_reports": ["USER_STATUS_HISTORY"],
}


# primary_keys and valid_final_state cannot fail in the SDK's version: test_calls.py and others have real ones.
# It warns of fields that no record has: those that Aircall documents and the facts have never seen.
TestTapAircall = get_tap_test_class(
    TapAircall,
    config=SETTINGS,
    parse_env_config=False,
    suite_config=SuiteConfig(max_records_limit=50),
    catalog=catalog(*STREAMS),  # the SDK's tests read deselected ones too, but without fields
)


@pytest.mark.parametrize(
    ("method", "caller"),
    [
        ("_increment_stream_state", Stream._sync_records),  # noqa: SLF001
        ("_write_starting_replication_value", Stream._sync_records),  # noqa: SLF001
        ("_process_record", Stream._sync_records),  # noqa: SLF001
        ("_write_record_message", Stream._sync_records),  # noqa: SLF001
        ("_sync_records", Stream.sync),
        ("_write_activate_version_message", Stream.sync),
        ("_generate_schema_messages", Stream._write_schema_message),  # noqa: SLF001
    ],
)
def test_the_inner_methods_that_the_tap_replaces_are_what_the_sdk_calls(method: str, caller: Any) -> None:
    assert f"self.{method}(" in inspect.getsource(caller)
    ours, theirs = getattr(AircallStream, method), getattr(Stream, method)
    if method != "_process_record":  # ours takes anything
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_a_map_evaluates_each_field_by_the_method_that_the_tap_explains() -> None:
    source = inspect.getsource(CustomStreamMap)

    assert source.count("self._eval(") == 2
    assert source.count("property_name=None") == source.count("property_name=prop_key") == 1


def test_of_the_lines_that_a_stream_logs_only_the_sdks_about_a_failure_is_hidden(
    aircall: Aircall, caplog: pytest.LogCaptureFixture
) -> None:
    assert f'"{UNHANDLED}' in inspect.getsource(Stream.sync)
    stream = aircall.tap().streams["tags"]

    stream.log("Something is wrong with %s", "it", level=logging.ERROR)
    stream.log(f"{UNHANDLED} while syncing '%s'", "tags", level=logging.ERROR)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Something is wrong with it"
    ]


def test_the_loop_over_records_that_the_tap_replaces_does_nothing_that_it_did_not() -> None:
    source = inspect.getsource(Stream._sync_records)  # noqa: SLF001

    assert set(re.findall(r"self\.([\w.]+)\(", source)) == {
        # for partitions, child streams, bookmarks out of records and dry runs, which the tap has none of
        "_check_max_record_limit",
        "_get_state_partition_context",
        "_increment_stream_state",
        "_process_record",
        "_write_starting_replication_value",
        "get_context_state",
        "state_manager.log_sort_error",
        # what the tap does as well
        "_finalize_state",
        "_write_record_message",
        "_write_state_message",
        "get_record_counter",
        "get_records",
        "get_sync_timer",
        "post_process",
    }


def test_the_sdk_emits_nothing_of_its_own_into_the_state(aircall: Aircall) -> None:
    for second in range(900):
        aircall.world.add_call(started_at=int(NOW) - 2_000 + second)

    for state in aircall.run("calls", "contacts").states:
        for mark in state["bookmarks"].values():
            assert mark.keys() <= {"replication_key", "replication_key_value", "first_run_at", "cursors", "backfill"}
