"""Checks on a real account that Aircall behaves as the tap expects: `tap-aircall --config ... --verify`.

This project has no Aircall account. Users can run the checks on theirs, and send us the results: a table, and a trace
of all requests and responses (`tap_aircall.http.trace`). Both contain field names, counts and clock differences, but no
data.
The checks take at most `MOST_REQUESTS` requests; those that do not fit are "not seen".

Lists are read by the same walks as in a run, with the same checks. Extra requests, such as for records just outside the
bounds of a walk, are evaluated without trusting the response.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tap_aircall.errors import (
    AircallError,
    RejectedRequestError,
    ResponseError,
    StreamUnavailableError,
    TapAircallError,
    UnavailableError,
    one_line,
)
from tap_aircall.http.trace import OTHER, Trace, shown_name, template
from tap_aircall.reading import walks
from tap_aircall.reading.conform import Misfit, conform
from tap_aircall.reading.pages import PAGE_SIZE, TOLERANCE_SECONDS, Page, stamp
from tap_aircall.reading.times import DAY_SECONDS
from tap_aircall.reading.walks import LAST_PAGE
from tap_aircall.schemas.notation import ADDITIONAL_FIELDS
from tap_aircall.streams.calls.stream import Calls
from tap_aircall.streams.contacts import Contacts
from tap_aircall.streams.directory import Company, Users
from tap_aircall.streams.inbox.streams import InboxStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_aircall.reading.pages import Query, Reader, Record
    from tap_aircall.streams.base import AircallStream
    from tap_aircall.streams.run import Run

logger = logging.getLogger("tap-aircall")

MOST_REQUESTS = 60
ATTEMPTS_PER_REQUEST = 2
"""Attempts per request; a persistent fault is a result, so the check does not wait until it is over."""
WINDOW_PAGES = 8
"""Pages of calls in the window to read: enough for a total to change during the reading."""
WALK_PAGES = 16
"""Maximum pages of a walk, to leave requests for the other checks."""
DECADE = 3_650 * DAY_SECONDS
CLOCKS_SECONDS = 60
"""Clocks further apart than this count as a difference."""
OLDEST_DAYS = 190
"""Six months, give or take (facts: Calls)."""
MOST_NAMES = 12
"""Maximum number of field names in a line."""


class Verdict(Enum):
    """The result of a check."""

    HOLDS = "holds"
    DIFFERS = "differs"
    """Aircall behaves differently, but the tap copes."""
    LOSES = "DIFFERS, COULD LOSE DATA"
    UNSEEN = "not seen"


class Finding(NamedTuple):
    """An expectation of the tap, with the result of its check."""

    what: str
    verdict: Verdict
    seen: str = ""


def verify(run: Run, streams: Sequence[AircallStream], made_by: str) -> None:
    """Run all checks, print a table of the results, and write the trace to the working directory.

    Records of the selected streams are compared with their schemas. `made_by` is the name and version of the tap.

    Raises:
        AircallError: If Aircall cannot be reached, or rejects the credentials.
        TapAircallError: If Aircall differs in a way that could lose data.
    """
    client, trace = run.client, Trace(run.clock)
    client.most_requests, client.most_attempts, client.on_response = MOST_REQUESTS, ATTEMPTS_PER_REQUEST, trace.note
    client.ping(attempts=ATTEMPTS_PER_REQUEST)
    verification = Verification(run, streams)
    findings = verification.findings()
    click.echo("\n".join([f"{made_by} sent {client.requests_sent} requests to Aircall:", "", *table(findings), ""]))
    try:
        written = f"the table and {trace.save(Path(), made_by)}"
    except OSError as error:
        written = "the table"
        click.echo(f"There is no trace, because the working directory is not writable: {error.strerror}.")
    else:
        click.echo(
            f"Please send us {written}. The trace lists all requests and responses, without ids or values of fields. "
            "It is plain text, so you can read it before you send it."
        )
    counts = Counter(finding.verdict for finding in findings)
    if loses := counts[Verdict.LOSES]:
        raise TapAircallError(
            f"The verification failed: {loses} differences could lose data. Please open an issue with {written}."
        )
    if not verification.saw_records:
        logger.info("There was nothing to check: the account shows no calls, contacts or users.")
    logger.info(
        "%d expectations hold, %d differ without losing data, %d could not be checked.",
        *(counts[each] for each in (Verdict.HOLDS, Verdict.DIFFERS, Verdict.UNSEEN)),
    )


def table(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a Markdown table."""
    rows = [(each.verdict.value, each.what, each.seen) for each in findings]
    cells = ([one_line(cell).replace("|", "\\|") for cell in row] for row in rows)
    return [
        "| | what the tap expects | what was seen |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


class Verification:
    """The checks and their results."""

    def __init__(self, run: Run, streams: Sequence[AircallStream]) -> None:
        self._run = run
        self._client = run.client
        self._streams = streams
        self._calls = streams[0].sibling(Calls)
        self._users = streams[0].sibling(Users)
        self._findings: list[Finding] = []
        self._samples: dict[str, list[Record]] = {}

    @property
    def saw_records(self) -> bool:
        """Whether the account has any calls, contacts or users."""
        return any(self._samples.get(stream.name) for stream in (Calls, Contacts, Users))

    def findings(self) -> list[Finding]:
        """Run all checks, and return their results."""
        for what, check in (
            ("the clocks", self._check_clocks),
            ("calls: order and pages", self._check_calls),
            ("calls: positions beyond 10,000", self._check_cap),
            ("calls: how far back", self._check_history),
            ("contacts: order and bounds", self._check_contacts),
            ("users: version 2 lists them all", self._check_users),
        ):
            with self._failures_are_findings(what):
                check()
        for stream in self._streams:
            if not stream.selected or isinstance(stream, InboxStream):
                continue  # these come from webhooks
            with self._failures_are_findings(f"{stream.name}: records match the schema"):
                self._check_records(stream)
        return self._findings

    # The checks

    def _check_clocks(self) -> None:
        ahead = self._run.aircall_clock.ahead()
        seen = "no `Date`; this machine's clock counts"
        if ahead is not None:
            seen = f"Aircall's clock is {ahead:+.0f} s from this machine's"
        is_near = ahead is not None and abs(ahead) <= CLOCKS_SECONDS
        self._judge("responses have the time (header `Date`)", is_near, seen)

    def _check_calls(self) -> None:
        until = self._run.aircall_clock.horizon()
        newest_first = {"order": "desc", "to": str(until)}
        page = self._ask(Calls, {**newest_first, **self._calls.get_url_params(None, None)})
        calls = page.records
        self._samples[Calls.name] = calls
        self._check_meta("calls", page)
        if not calls:
            self._judge("calls: order, bounds and pages", None, unseen="there are no calls")
            return
        starts = _times(calls, "started_at", "calls")
        self._judge("calls: `order=desc` is by `started_at`", _is_ordered(starts[::-1]), loses=True)
        second = self._ask(Calls, {**newest_first, "page": "2"}).records
        times = _times(second, "started_at", "calls")
        follows = None
        if len(calls) == PAGE_SIZE and second:
            follows = _is_ordered([times[0], min(starts)]) and not _ids(calls) & _ids(second)
        self._judge("calls: page 2 continues where page 1 ends", follows, unseen="there is one page", loses=True)
        self._check_bounds(*min(zip(starts, [call["id"] for call in calls], strict=True), key=lambda each: each[0]))
        clamped = self._ask(Calls, {**newest_first, "per_page": str(2 * PAGE_SIZE)}).records
        self._judge(
            f"a page has {PAGE_SIZE} records at most",
            len(clamped) <= PAGE_SIZE and (len(calls) == PAGE_SIZE or not second),
            f"{len(calls)} when {PAGE_SIZE} are asked for, {len(clamped)} when {2 * PAGE_SIZE} are",
        )
        deepest = min(WINDOW_PAGES, math.ceil((page.total or 0) / PAGE_SIZE))
        if second and deepest > 2:  # noqa: PLR2004 - there is a page 2 already
            deep = self._ask(Calls, {**newest_first, "page": str(deepest)}).records
            times = [*times, *_times(deep, "started_at", "calls")]
        with self._failures_are_findings("calls: a window is read to its end"):
            self._walk(min([*starts, *times]) - 1, until, _ids(calls) | _ids(second))

    def _walk(self, after: int, until: int, shown: set[Any]) -> None:
        """Read a window of calls as a run does, and check that it has all calls that the other order has shown."""
        pages: list[Page] = []
        read = self._reader(self._calls, pages)
        steps = list(walks.oldest_first(read, after, until))
        found = [call["id"] for step in steps for call in step.records]
        seen = f"{len(found):,} calls on {_number_of(pages)}"
        is_long = len(pages) > 1 or None
        self._judge("calls: a window is read to its end", is_long, seen, unseen=f"{seen} are all there are")
        for step in steps:
            self._calls.note_odd(step.odd)
        hidden = sum(step.gap.missing for step in steps if step.gap is not None)
        shows_all = "calls: all counted calls are shown"
        self._judge(shows_all, not hidden, f"hidden: {hidden:,}" if hidden else "", loses=True)
        self._judge("calls: both orders show the same calls", shown <= set(found), loses=True)

    def _check_bounds(self, second: int, call_id: Any) -> None:
        """Request the second in which a call started, once from the second before and once from that second."""
        asked = [{"order": "asc", "from": str(first), "to": str(second)} for first in (second - 1, second)]
        within, without = (_ids(self._ask(Calls, each).records) for each in asked)
        self._judge("calls: `to` is inclusive", call_id in within, loses=True)
        self._judge("calls: `from` is exclusive", call_id not in without)
        future = {"order": "asc", "from": str(second + DECADE), "to": str(second + DECADE + 1)}
        outside = self._ask(Calls, future).records
        self._judge("calls: none outside `from` and `to` are listed", not outside, loses=True)

    def _check_cap(self) -> None:
        status = self._status_of(LAST_PAGE)
        is_there = status == HTTPStatus.OK
        seen = "" if is_there else f"status {status}"
        self._judge("position 10,000 of a list can be read", is_there, seen, loses=True)
        status = self._status_of(LAST_PAGE + 1)
        is_refused = status == HTTPStatus.BAD_REQUEST
        self._judge("positions beyond it are refused with status 400", is_refused, f"status {status}")

    def _status_of(self, page: int) -> int:
        """Request a page of calls, and return the status."""
        try:
            self._ask(Calls, {"order": "asc", "page": str(page)})
        except RejectedRequestError as error:
            return error.status
        return HTTPStatus.OK

    def _check_history(self) -> None:
        oldest = self._calls.first_page  # shared with the streams of details of calls
        what = "calls of six months are served"
        if not oldest:
            self._judge(what, None, unseen="there are no calls")
            return
        days = (self._run.aircall_clock.reached() - stamp(oldest[0], "started_at", "calls")) // DAY_SECONDS
        self._judge(what, days <= OLDEST_DAYS, f"the oldest is {days} days old")

    def _check_contacts(self) -> None:
        changed = self._ask(Contacts, {"order_by": "updated_at", "order": "desc"}).records
        if not changed:
            self._judge("contacts: order and bounds", None, unseen="there are no contacts")
            return
        self._samples[Contacts.name] = changed
        times = _times(changed, "updated_at", "contacts")
        self._judge("contacts: `order_by=updated_at` works", _is_ordered(times[::-1]), loses=True)
        second = stamp(changed[0], "created_at", "contacts")
        bounds = {"order_by": "created_at", "order": "asc", "from": str(second), "to": str(second)}
        found = self._ask(Contacts, bounds).records
        is_there = changed[0]["id"] in _ids(found) or len(found) == PAGE_SIZE
        self._judge("contacts: `from` and `to` are inclusive, and filter by `created_at`", is_there, loses=True)
        self._judge(
            "contacts: none outside `from` and `to` are listed",
            all(abs(each - second) <= TOLERANCE_SECONDS for each in _times(found, "created_at", "contacts")),
            loses=True,
        )

    def _check_users(self) -> None:
        pages: list[Page] = []
        listed = self._users.read_whole(self._reader(self._users, pages))
        users = [user for step in listed for user in step.records]
        self._samples[Users.name] = self._users.first_page = users  # so that no stream requests them again
        self._check_meta("users", pages[0])
        (company,) = self._samples[Company.name] = self._calls.sibling(Company).sample()
        said = company.get("users_count")
        said = said if type(said) is int else None
        are_listed = bool(users) if users or said != 0 else None
        seen = f"{len(users):,} on {_number_of(pages)}"
        self._judge("users: version 2 lists them all", are_listed, seen, unseen="there are no users", loses=True)
        fits = len(users) >= said if said else None
        seen = f"{len(users):,} listed, {said or 0:,} expected"
        self._judge("users: as many as `users_count` of the company", fits, seen, unseen="there is no such number")

    def _check_meta(self, name: str, page: Page) -> None:
        """Check the `meta` of a first page against the list."""
        says, fits = f"{name}: `meta` is complete", f"{name}: `total` matches the list"
        if not page.records and not page.total:
            self._judge(says, None, unseen=f"there are no {name}")
            return
        said = {"total": page.total, "per_page": page.size, "current_page": page.number, "next_page_link": page.linked}
        missing = [key for key, value in said.items() if value is None]
        self._judge(says, not missing, f"missing: {', '.join(missing)}" if missing else "")
        total, count = page.total, len(page.records)
        is_all = None if total is None else total == count or (total > count and page.is_full())
        self._judge(fits, is_all, f"{total or 0:,} in all", unseen="there is no `total`", loses=True)

    def _check_records(self, stream: AircallStream) -> None:
        what = f"{stream.name}: records match the schema"
        try:
            records = self._samples[stream.name] if stream.name in self._samples else stream.sample()
        except StreamUnavailableError as reason:
            self._judge(what, None, unseen=_line(reason))
            return
        aside = {f"{count:,} {why}" for why, count in stream.set_aside.items()}
        if not records and not aside:
            self._judge(what, None, unseen="there are none")
            return
        odd, missing, unusable = compare_with_schema(stream, records)
        unusable |= aside
        seen = [f"{len(records)} records"]
        seen += [f"unknown: {_counts(odd)}"] if odd else []
        seen += [f"missing: {_counts(missing)}"] if missing else []
        self._judge(what, not odd and not unusable, "; ".join([*seen, *sorted(unusable)]), loses=bool(unusable))

    # Helpers

    def _ask(self, of: type[AircallStream], query: Query) -> Page:
        """Request a page of a list, without the checks of a walk.

        Raises:
            ResponseError: If the response has no list, or a record without an id.
        """

        def parse(payload: Any) -> Page:
            page = Page.parse(payload, of.envelope)
            if not all(isinstance(record.get("id"), int | str) for record in page.records):
                raise ResponseError(f"Aircall sent one of the {of.envelope} without a usable 'id'.")
            return page

        return self._client.get(of.path, {"page": "1", "per_page": str(PAGE_SIZE)} | query, parse)

    @staticmethod
    def _reader(stream: AircallStream, pages: list[Page]) -> Reader:
        """Return a function that reads and collects pages as a run does, but one at a time, up to `WALK_PAGES`."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            for query in queries:
                if len(pages) == WALK_PAGES:
                    raise UnavailableError(f"More than {WALK_PAGES} pages were not read.")
                pages.append(stream.read_page(stream.path, query))
                yield pages[-1]

        return read

    def _judge(self, what: str, holds: bool | None, seen: str = "", *, unseen: str = "", loses: bool = False) -> None:  # noqa: FBT001
        """Add a finding: whether it holds (None if not seen), and what was seen, or why nothing was."""
        if holds is None:
            self._findings.append(Finding(what, Verdict.UNSEEN, unseen))
        else:
            differs = Verdict.LOSES if loses else Verdict.DIFFERS
            self._findings.append(Finding(what, Verdict.HOLDS if holds else differs, seen))

    @contextmanager
    def _failures_are_findings(self, what: str) -> Iterator[None]:
        """Turn a failure into a finding: what the tap cannot read could be lost."""
        try:
            yield
        except ResponseError as error:
            self._judge(what, holds=False, seen=_line(error), loses=True)
        except AircallError as error:
            self._judge(what, None, unseen=_line(error))
        except Exception as error:  # noqa: BLE001 - it would end a run, so it must be reported
            self._judge(what, holds=False, seen=f"the tap fails with a {type(error).__name__}", loses=True)


def compare_with_schema(
    stream: AircallStream, records: Sequence[Record]
) -> tuple[Counter[str], Counter[str], set[str]]:
    """Compare records with the schema of their stream.

    Returns:
        Counts of records by unknown or converted field, and by missing field; and descriptions of unusable fields.
    """
    odd: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    unusable: set[str] = set()
    named = stream.effective_schema["properties"].keys() - {ADDITIONAL_FIELDS}
    names = [name for name in named if stream.mask["properties", name]]
    for record in records:
        reported: set[str] = set()

        def report(path: str, kind: Misfit, reported: set[str] = reported) -> None:
            is_name = all(shown_name(part) == part for part in path.replace("[]", "").split("."))
            shown = path if is_name else OTHER
            if kind is Misfit.UNUSABLE:
                unusable.add(f"unusable: {shown}")
            elif path not in stream.secret_fields:
                reported.add(shown)

        missing.update(name for name in names if name not in record)
        try:
            conform(
                record,
                stream.effective_schema,
                report,
                to_time=stream.to_time,
                is_open=stream.is_open,
                is_selected=stream.misfits.is_selected,
            )
        except ResponseError as error:
            unusable.add(_line(error))
        odd.update(reported)
    return odd, missing, unusable


def _counts(fields: Mapping[str, int]) -> str:
    """Format field names with their numbers of records."""
    names = [f"`{name}` ({count})" for name, count in sorted(fields.items())]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _line(error: AircallError) -> str:
    """Return the message of an error, without ids and without Markdown."""
    return one_line(template(str(error))).replace("`", "'")


def _ids(records: Iterable[Record]) -> set[Any]:
    return {record["id"] for record in records}


def _times(records: Iterable[Record], key: str, name: str) -> list[int]:
    return [stamp(record, key, name) for record in records]


def _number_of(pages: Sequence[Page]) -> str:
    """Return the number of pages, and how often the total changed between them."""
    changes = sum(before.total != after.total for before, after in itertools.pairwise(pages))
    count = "one page" if len(pages) == 1 else f"{len(pages)} pages"
    return f"{count}; changes of the total: {changes}" if changes else count


def _is_ordered(times: Sequence[int]) -> bool:
    """Return whether times ascend, within Aircall's tolerance."""
    return all(later >= earlier - TOLERANCE_SECONDS for earlier, later in itertools.pairwise(times))
