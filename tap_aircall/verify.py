"""Asks a real account whether Aircall still behaves as this tap relies on: `tap-aircall --config ... --verify`.

Nobody in this project has an account. So whoever has one can find out what holds there, and paste the table into an
issue: it has names of fields, counts and differences of clocks in it, and nobody's data. It takes at most
`MOST_REQUESTS` requests; what they do not suffice for is "not seen".
"""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tap_aircall.errors import AircallError, RejectedRequestError, ResponseError, StreamUnavailableError, one_line
from tap_aircall.reading.conform import Misfit, conform
from tap_aircall.reading.pages import PAGE_SIZE, TOLERANCE_SECONDS, stamp
from tap_aircall.reading.walks import LAST_PAGE
from tap_aircall.schemas.resources import ADDITIONAL_FIELDS
from tap_aircall.streams.calls.stream import Calls
from tap_aircall.streams.contacts import Contacts
from tap_aircall.streams.directory import Company, Users
from tap_aircall.streams.inbox.streams import InboxStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.streams.base import AircallStream
    from tap_aircall.streams.run import Run

S = TypeVar("S", bound="AircallStream")

MOST_REQUESTS = 40
ATTEMPTS = 2
"""How often to ask for one thing: a fault that stays is worth telling, rather than waiting for."""
DECADE = 3_650 * 86_400
CLOCKS_SECONDS = 60
"""Clocks that are further apart than this are worth a word."""
OLDEST_DAYS = 190
"""No call is older than six months, give or take (facts: Calls)."""
MOST_NAMES = 12
"""How many names of fields a line has."""
META = {"count", "total", "current_page", "per_page"}
"""What every list says of itself (facts: Lists and pages)."""


class Verdict(Enum):
    """What came of one thing."""

    HOLDS = "holds"
    DIFFERS = "differs"
    """It is otherwise, and the tap copes."""
    LOSES = "DIFFERS, COULD LOSE DATA"
    UNSEEN = "not seen"


class Finding(NamedTuple):
    """One thing that the tap relies on, and what came of it."""

    what: str
    verdict: Verdict
    seen: str = ""


def table(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a table in Markdown."""
    rows = [(each.verdict.value, each.what, each.seen) for each in findings]
    return [
        "| | what the tap relies on | what was seen |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


class Verification:
    """What is asked, and what comes of it.

    Args:
        run: What the streams share; its client was told to be brief.
        streams: All streams; the records of those that are selected are held against their schemas.
    """

    def __init__(self, run: Run, streams: Sequence[AircallStream]) -> None:
        self._run = run
        self._client = run.client
        self._streams = streams
        self._findings: list[Finding] = []
        self._samples: dict[str, list[Record]] = {}

    def findings(self) -> list[Finding]:
        """Ask for everything.

        Raises:
            CredentialsError: If Aircall rejects the credentials.
            UnavailableError: If it is not there.
        """
        self._client.ping(attempts=ATTEMPTS)
        for what, look in (
            ("the clocks", self._look_at_clocks),
            ("calls: order and pages", self._look_at_calls),
            ("calls: what is beyond 10,000", self._look_beyond_the_cap),
            ("calls: how far back", self._look_back),
            ("contacts: order and bounds", self._look_at_contacts),
            ("users: version 2", self._look_at_users),
        ):
            with self._explained(what):
                look()
        for stream in self._streams:
            if not stream.selected or isinstance(stream, InboxStream):
                continue  # of webhooks, which are not asked
            with self._explained(f"{stream.name}: records are as the schema says"):
                self._look_at_records(stream)
        return self._findings

    # What is looked at

    def _look_at_clocks(self) -> None:
        ahead = self._run.aircall_clock.ahead()
        what = "answers say what time it is (header `Date`)"
        if ahead is None:
            self._add(what, Verdict.DIFFERS, "they do not; this machine's clock counts")
        else:
            verdict = Verdict.HOLDS if abs(ahead) <= CLOCKS_SECONDS else Verdict.DIFFERS
            self._add(what, verdict, f"Aircall's clock is {ahead:+.0f} s from this machine's")

    def _look_at_calls(self) -> None:
        until = self._run.aircall_clock.horizon()
        newest = self._ask(Calls, {"order": "desc", "to": str(until), **self._stream(Calls).get_url_params(None, None)})
        calls = self._records(newest, Calls)
        self._samples[Calls.name] = calls
        self._look_at_meta("calls", newest, calls)
        if not calls:
            self._add("calls: order, bounds and pages", Verdict.UNSEEN, "there are no calls")
            return
        starts = [stamp(call, "started_at", "calls") for call in calls]
        self._judge("calls: `order=desc` is by `started_at`", _is_ordered(starts[::-1]), loses=True)
        second = self._records(self._ask(Calls, {"order": "desc", "to": str(until), "page": "2"}), Calls)
        if len(calls) == PAGE_SIZE and second:
            ids, others = ({call["id"] for call in page} for page in (calls, second))
            follows = _is_ordered([stamp(second[0], "started_at", "calls"), min(starts)])
            self._judge("calls: page 2 goes on where page 1 ends", follows and not ids & others, loses=True)
        else:
            self._add("calls: page 2 goes on where page 1 ends", Verdict.UNSEEN, "there is one page")
        asked = {"order": "asc", "from": str(min(starts) - 1), "to": str(until)}
        rising = self._records(self._ask(Calls, asked), Calls)
        times = [stamp(call, "started_at", "calls") for call in rising]
        has_all = {call["id"] for call in calls} <= {call["id"] for call in rising} or len(rising) == PAGE_SIZE
        self._judge("calls: `order=asc` is by `started_at`", _is_ordered(times), loses=True)
        self._judge("calls: both orders show the same calls", has_all, loses=True)
        first = min(calls, key=lambda call: stamp(call, "started_at", "calls"))
        self._look_at_bounds(min(starts), first["id"])
        clamped = self._ask(Calls, {"order": "desc", "to": str(until), "per_page": str(2 * PAGE_SIZE)})
        shown = len(self._records(clamped, Calls))
        self._judge(
            f"a page has {PAGE_SIZE} records at most",
            shown <= PAGE_SIZE and (len(calls) == PAGE_SIZE or not second),
            f"{len(calls)} when {PAGE_SIZE} are asked for, {shown} when {2 * PAGE_SIZE} are",
        )

    def _look_at_bounds(self, second: int, call_id: Any) -> None:
        """Ask for the second of one call, once from the second before and once from the second itself."""
        asked = [{"order": "asc", "from": str(first), "to": str(second)} for first in (second - 1, second)]
        within, without = ([call["id"] for call in self._records(self._ask(Calls, each), Calls)] for each in asked)
        self._judge("calls: `to` is inclusive", call_id in within, loses=True)
        self._judge("calls: `from` is exclusive", call_id not in without)
        future = {"order": "asc", "from": str(second + DECADE), "to": str(second + DECADE + 1)}
        outside = self._records(self._ask(Calls, future), Calls)
        self._judge("calls: what is outside of `from` and `to` is not listed", not outside, loses=True)

    def _look_beyond_the_cap(self) -> None:
        what = "position 10,000 of a list can be asked for"
        try:
            self._ask(Calls, {"order": "asc", "page": str(LAST_PAGE)})
        except RejectedRequestError as error:
            self._add(what, Verdict.LOSES, f"status {error.status}")
        else:
            self._add(what, Verdict.HOLDS)
        what = "what is beyond it is refused with status 400"
        try:
            self._ask(Calls, {"order": "asc", "page": str(LAST_PAGE + 1)})
        except RejectedRequestError as error:
            verdict = Verdict.HOLDS if error.status == HTTPStatus.BAD_REQUEST else Verdict.DIFFERS
            self._add(what, verdict, f"status {error.status}")
        else:
            self._add(what, Verdict.DIFFERS, "status 200")

    def _look_back(self) -> None:
        oldest = self._stream(Calls).first_page  # which streams of calls' details need, too
        what = "calls of six months are served"
        if not oldest:
            self._add(what, Verdict.UNSEEN, "there are no calls")
            return
        days = (self._run.aircall_clock.reached() - stamp(oldest[0], "started_at", "calls")) // 86_400
        self._add(what, Verdict.HOLDS if days <= OLDEST_DAYS else Verdict.DIFFERS, f"the oldest is {days} days old")

    def _look_at_contacts(self) -> None:
        changed = self._records(self._ask(Contacts, {"order_by": "updated_at", "order": "desc"}), Contacts)
        if not changed:
            self._add("contacts: order and bounds", Verdict.UNSEEN, "there are no contacts")
            return
        self._samples[Contacts.name] = changed
        times = [stamp(contact, "updated_at", "contacts") for contact in changed]
        self._judge("contacts: `order_by=updated_at` is obeyed", _is_ordered(times[::-1]), loses=True)
        second = stamp(changed[0], "created_at", "contacts")
        bounds = {"order_by": "created_at", "order": "asc", "from": str(second), "to": str(second)}
        found = self._records(self._ask(Contacts, bounds), Contacts)
        created = [stamp(contact, "created_at", "contacts") for contact in found]
        is_there = changed[0]["id"] in {contact["id"] for contact in found} or len(found) == PAGE_SIZE
        self._judge("contacts: `from` and `to` are inclusive, and on `created_at`", is_there, loses=True)
        self._judge(
            "contacts: what is outside of `from` and `to` is not listed",
            all(abs(each - second) <= TOLERANCE_SECONDS for each in created),
            loses=True,
        )

    def _look_at_users(self) -> None:
        payload = self._ask(Users, {})
        users = self._records(payload, Users)
        self._samples[Users.name] = users
        self._stream(Users).first_page = users  # so that it is not asked for again
        self._look_at_meta("users", payload, users)
        self._judge("users: version 2 has them", bool(users), f"{len(users)} on the first page", loses=True)
        (company,) = self._samples[Company.name] = self._stream(Company).sample()
        said = company.get("users_count")
        total = _meta(payload).get("total")
        what = "users: as many as the company says"
        if type(said) is int and type(total) is int:
            self._judge(what, total >= said, f"{total:,} listed, {said:,} said")
        else:
            self._add(what, Verdict.UNSEEN, "no such number")

    def _look_at_meta(self, name: str, payload: Any, records: Sequence[Record]) -> None:
        meta = _meta(payload)
        missing = sorted(META - meta.keys())
        self._judge(
            f"{name}: `meta` says what the list has", not missing, f"missing: {', '.join(missing)}" if missing else ""
        )
        total, size = meta.get("total"), meta.get("per_page")
        if type(total) is int:
            fits = total >= len(records) and (
                total <= len(records) or len(records) >= min(PAGE_SIZE, size or PAGE_SIZE)
            )
            self._judge(f"{name}: `total` fits what is listed", fits, f"{total:,} in all", loses=True)
        else:
            self._add(f"{name}: `total` fits what is listed", Verdict.UNSEEN, "there is no `total`")

    def _look_at_records(self, stream: AircallStream) -> None:
        what = f"{stream.name}: records are as the schema says"
        try:
            records = self._samples[stream.name] if stream.name in self._samples else stream.sample()
        except StreamUnavailableError as reason:
            self._add(what, Verdict.UNSEEN, one_line(str(reason)))
            return
        if not records:
            self._add(what, Verdict.UNSEEN, "there are none")
            return
        odd, missing, unusable = held_against_schema(stream, records)
        seen = [f"{len(records)} records"]
        seen += [f"unknown: {_counts(odd)}"] if odd else []
        seen += [f"missing: {_counts(missing)}"] if missing else []
        seen += sorted(unusable)
        verdict = Verdict.LOSES if unusable else Verdict.DIFFERS if odd else Verdict.HOLDS
        self._add(what, verdict, "; ".join(seen))

    # How

    def _stream(self, kind: type[S]) -> S:
        return self._streams[0].sibling(kind)

    def _ask(self, of: type[AircallStream], query: Query) -> Any:
        """Ask for a page of a list, without believing anything."""
        return self._client.get(of.path, {"page": "1", "per_page": str(PAGE_SIZE)} | query, lambda payload: payload)

    @staticmethod
    def _records(payload: Any, of: type[AircallStream]) -> list[Record]:
        """Take the list out of an answer.

        Raises:
            ResponseError: If it is not there.
        """
        records = payload.get(of.envelope) if isinstance(payload, dict) else None
        if not isinstance(records, list) or not all(isinstance(each, dict) and "id" in each for each in records):
            message = f"Aircall answered without the list '{of.envelope}', or with records that have no id."
            raise ResponseError(message)
        return records

    def _judge(self, what: str, holds: bool, seen: str = "", *, loses: bool = False) -> None:  # noqa: FBT001
        differs = Verdict.LOSES if loses else Verdict.DIFFERS
        self._add(what, Verdict.HOLDS if holds else differs, seen)

    def _add(self, what: str, verdict: Verdict, seen: str = "") -> None:
        self._findings.append(Finding(what, verdict, seen))

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Take a failure for a finding: of what cannot be read by the tap, data could be lost."""
        try:
            yield
        except ResponseError as error:
            self._add(what, Verdict.LOSES, one_line(str(error)))
        except AircallError as error:
            self._add(what, Verdict.UNSEEN, one_line(str(error)))


def held_against_schema(
    stream: AircallStream, records: Sequence[Record]
) -> tuple[Counter[str], Counter[str], set[str]]:
    """Hold records against the schema of their stream.

    Returns:
        Unknown or converted fields, and those that are missing, each with the number of records; and what of them
        cannot be used at all.
    """
    odd: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    unusable: set[str] = set()
    named = stream.effective_schema["properties"].keys() - {ADDITIONAL_FIELDS}
    names = [name for name in named if stream.mask["properties", name]]
    for record in records:
        reported: set[str] = set()

        def report(path: str, kind: Misfit, reported: set[str] = reported) -> None:
            if kind is Misfit.UNUSABLE:
                unusable.add(f"unusable: `{one_line(path)}`")
            elif path not in stream.secret_fields:
                reported.add(path)

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
            unusable.add(one_line(str(error)))
        odd.update(reported)
    return odd, missing, unusable


def _counts(fields: Mapping[str, int]) -> str:
    """Name fields with the number of records."""
    names = sorted(fields.items())
    shown = ", ".join(f"`{one_line(name)}` ({count})" for name, count in names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def _is_ordered(times: Sequence[int]) -> bool:
    """Say whether times rise, as far as Aircall is exact."""
    return all(later >= earlier - TOLERANCE_SECONDS for earlier, later in itertools.pairwise(times))


def _meta(payload: Any) -> dict[str, Any]:
    meta = payload.get("meta") if isinstance(payload, dict) else None
    return meta if isinstance(meta, dict) else {}
