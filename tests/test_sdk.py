"""The SDK's own tests, and the parts of the SDK that the tap relies on."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import logging
import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream, Tap, plugin_base, tap_base
from singer_sdk.exceptions import AbortedSyncFailedException
from singer_sdk.mapper import CustomStreamMap
from singer_sdk.plugin_base import PluginBase
from singer_sdk.streams import core
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from typing_extensions import override

from aircall_sandbox import Fault, Sandbox, generate_company
from tap_aircall.errors import UnavailableError
from tap_aircall.streams.base import UNHANDLED, AircallStream
from tap_aircall.tap import TapAircall
from tests.catalogs import catalog
from tests.clock import NOW
from tests.companies import add_everything
from tests.conftest import Run
from tests.inboxes import fill, one_of_each
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from singer_sdk.helpers.types import Context

    from tests.conftest import Aircall

ROOT = Path(__file__).parent.parent

SETTINGS: dict[str, Any] = {}
"""Filled when the sandbox runs."""


@pytest.fixture(scope="module", autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Aircall, and an inbox, with something in every stream."""
    folder, now = tmp_path_factory.mktemp("sdk"), int(time.time())
    bodies = one_of_each(now, archived=False)
    for body in bodies:  # the SDK's tests want a value in every field that has a time
        if body["event"] == "message.received":
            body["data"] |= {"created_at": now, "updated_at": now, "sent_at": now}
    fill(str(folder / "inbox.db"), bodies)
    world = generate_company(seed=5, now=time.time(), calls=60, contacts=20, users=3)
    with Sandbox(world) as sandbox:
        sandbox.analytics.seconds = 0  # nobody is to wait
        add_everything(world)
        # The SDK's tests reject fields that no schema names, so these objects have none.
        world.optional.registration_statuses = {number: {} for number in world.kinds["numbers"]}
        SETTINGS.update(
            auth_scheme="OAUTH",  # which sees all streams
            initiate_oauth="OFF",
            oauth_access_token=sandbox.oauth.tokens()["access_token"],
            api_url=sandbox.url,
            requests_per_minute=100_000,
            analytics_reports=["USER_STATUS_HISTORY"],
            inbox=str(folder / "inbox.db"),
            recordings_location=str(folder / "recordings"),
        )
        yield


ONE_OF_EACH_KIND = ("calls", "users", "call_transcriptions", "messages")
"""A list with cursors, one that is read whole, results of calls, and what only webhooks tell."""


class SandboxTap(TapAircall):
    """A tap of a few streams, for the SDK's tests.

    It takes its settings when it is made: the SDK's test class is made before the sandbox runs.
    """

    def __init__(self, *, config: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config={**config, **SETTINGS}, validate_config=bool(SETTINGS), **kwargs)

    @override
    def discover_streams(self) -> list[AircallStream]:
        return [stream for stream in super().discover_streams() if stream.name in ONE_OF_EACH_KIND]


# primary_keys and valid_final_state cannot fail in the SDK's version; tests/streams has real ones.
# It warns of fields that no record has: Aircall documents some that nobody has ever seen.
TestTapAircall = get_tap_test_class(
    SandboxTap,
    config={},
    parse_env_config=False,
    suite_config=SuiteConfig(max_records_limit=50),
    catalog=catalog(*ONE_OF_EACH_KIND),  # the SDK's tests read deselected ones too, but without fields
)


KNOWN: dict[Callable[..., Any], set[str]] = {
    Stream._sync_records: {"8928dc7f50e9", "cb3de30fd4d7"},  # noqa: SLF001
    Stream.sync: {"6b4262dcdddf"},
    Stream._increment_stream_state: {"cabc0edb2fd4"},  # noqa: SLF001
    Stream._write_activate_version_message: {"b5295d35a81b"},  # noqa: SLF001
    Tap.sync_all: {"e4412393757b"},
    Tap._handle_termination: {"2bb79ae47769", "6e03b78b7aac"},  # noqa: SLF001
    PluginBase.__init__: {"e4d42262fbeb", "d2a4da33f8c2"},
    PluginBase._setup_signal_handlers: {"eb4287001bdd"},  # noqa: SLF001
    CustomStreamMap._eval: {"389317fd6fbb", "4ce1d4821cdb"},  # noqa: SLF001
}
"""What the tap replaces or relies on, with fingerprints of the versions that somebody has read."""


@pytest.mark.parametrize("function", KNOWN, ids=lambda function: function.__qualname__)
def test_the_sdk_has_not_changed_what_the_tap_replaces_or_relies_on(function: Callable[..., Any]) -> None:
    fingerprint = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12]

    assert fingerprint in KNOWN[function], "read what changed; see docs/architecture.md"


def private_names(tree: ast.AST) -> set[str]:
    """Find the names with an underscore that code uses from elsewhere, or defines."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("singer_sdk"):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_the_page_about_the_sdk_names_the_private_parts_that_are_used() -> None:
    def private(*parts: Any) -> set[str]:
        return {
            name for part in parts for name in re.findall(r"(?:self\.|cls\.|def )(_[a-z]\w*)", inspect.getsource(part))
        }

    streams, others = private(core, CustomStreamMap), private(core, tap_base, plugin_base, CustomStreamMap)
    package, used = ROOT / "tap_aircall", set()
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.is_relative_to(package / "streams") and path.name != "progress.py":  # which has no class of the SDK's
            used |= private_names(tree) & streams
        elif path.name in {"tap.py", "command.py", "settings.py"}:
            used |= private_names(tree) & others
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == used


class Plain(Stream):
    """Writes three records with the SDK's own loop."""

    name = "tags"
    primary_keys = ("id",)

    @override
    def get_records(self, context: Context | None) -> list[dict[str, Any]]:
        return [{"id": number} for number in range(3)]


class Paged(AircallStream):
    """Writes the same records with the tap's."""

    name = "tags"
    primary_keys = ("id",)

    @override
    def pages(self) -> Generator[list[dict[str, Any]]]:
        yield [{"id": 0}, {"id": 1}]
        yield [{"id": 2}]


@pytest.mark.parametrize("limit", [None, 1, 2, 3])
def test_a_stream_emits_what_the_sdks_own_loop_emits(aircall: Aircall, limit: int | None) -> None:
    emitted = []
    for kind in (Plain, Paged):
        run = Run()
        tap = aircall.tap(run)
        schema = {"properties": {"id": {"type": "integer"}}}
        stream = Paged(tap, tap.this_run, schema) if kind is Paged else Plain(tap, schema)
        stream.ABORT_AT_RECORD_COUNT = limit
        with contextlib.suppress(AbortedSyncFailedException):
            stream.sync()
        emitted.append([message["record"] for message in run.messages if message["type"] == "RECORD"])

    assert emitted[0] == emitted[1] == [{"id": number} for number in range(3)][:limit]


def test_a_connection_test_reads_deselected_streams_too_and_fails_with_any(aircall: Aircall, tmp_path: Path) -> None:
    options: dict[str, Any] = {"inbox": str(tmp_path / "inbox.db"), "recordings_location": str(tmp_path)}
    fill(options["inbox"], one_of_each(int(NOW), archived=False))

    assert aircall.tap(streams=["users"], **options).run_connection_test()

    aircall.sandbox.faults.append(Fault(path="/v1/tags", status=500, times=math.inf))
    with refused(UnavailableError, "/v1/tags", 500):
        aircall.tap(streams=["users"], **options).run_connection_test()


def test_only_the_sdks_line_about_a_failed_stream_is_hidden(aircall: Aircall, caplog: pytest.LogCaptureFixture) -> None:
    assert f'"{UNHANDLED}' in inspect.getsource(Stream.sync)
    stream = aircall.tap().streams["tags"]

    stream.log("Something is wrong with %s", "it", level=logging.ERROR)
    stream.log(f"{UNHANDLED} while syncing '%s'", "tags", level=logging.ERROR)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Something is wrong with it"
    ]


def test_the_sdk_adds_nothing_to_the_state(aircall: Aircall) -> None:
    for second in range(900):
        aircall.world.add_call(started_at=int(NOW) - 2_000 + second)

    for state in aircall.run("calls", "contacts").states:
        for mark in state["bookmarks"].values():
            assert mark.keys() <= {
                "replication_key",
                "replication_key_value",
                "starting_replication_value",
                "first_run_at",
                "cursors",
                "backfill",
            }
