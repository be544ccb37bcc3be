"""Lists of a server that contradicts itself: a walk ends with everything or with an error, never with less."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Fault
from aircall_sandbox.templates import KINDS
from tap_aircall.errors import AircallError, GapError, MisorderedError, ResponseError
from tap_aircall.reading import walks
from tap_aircall.reading.pages import Page, ShortPageError
from tap_aircall.reading.times import to_seconds
from tap_aircall.streams.registry import STREAMS
from tests.conftest import Run
from tests.messages import each_names, names, refused, warnings
from tests.reading.test_walks import Model, ids, missing, spread, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tap_aircall.reading.pages import Query
    from tests.conftest import Aircall

ATTEMPTS = 3
"""How often the reader asks for a page that contradicts itself; the client asks more often, and waits in between."""
EVER = 10**6


def short(page: Page, which: int) -> Page:
    return page._replace(records=page.records[: which % 50])


def shorter_at_its_start(page: Page, which: int) -> Page:
    return page._replace(records=page.records[which % 50 :])


def with_a_larger_total(page: Page, which: int) -> Page:
    return page if page.total is None else page._replace(total=page.total + 1 + which % 60)


def with_a_smaller_total(page: Page, which: int) -> Page:
    return page if page.total is None else page._replace(total=max(0, page.total - 1 - which % 60))


def without_a_total(page: Page, _: int) -> Page:
    return page._replace(total=None)


def backwards(page: Page, _: int) -> Page:
    return page._replace(records=page.records[::-1])


def of_another_page(page: Page, which: int) -> Page:
    return page._replace(number=(page.number or 0) + 1 + which % 3)


LIES: list[Callable[[Page, int], Page]] = [
    short,
    shorter_at_its_start,
    with_a_larger_total,
    with_a_smaller_total,
    without_a_total,
    backwards,
    of_another_page,
]


COUNTED = {short, shorter_at_its_start}
"""What leaves out records that the total counts; nothing else can be a gap."""


class Liar(Model):
    """A list that some requests see wrongly.

    Args:
        lie: What is done to a page.
        which: Which records or numbers the lie is about.
        first: The first request that gets it.
        times: How many requests get it.
        clamp: The most records on a page, which the list does not admit; None for as many as asked.
        ignored: Parameters that have no effect.
    """

    def __init__(
        self,
        *args: Any,
        lie: Callable[[Page, int], Page] | None = None,
        which: int = 0,
        first: int = 1,
        times: int = 0,
        clamp: int | None = None,
        ignored: Iterable[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.lie = lie
        self.which = which
        self.lied = range(first, first + times)
        self.clamp = clamp
        self.ignored = set(ignored)

    @override
    def read(self, queries: Iterable[Query]) -> Iterator[Page]:
        for query in queries:
            for attempt in range(1, ATTEMPTS + 1):
                self.queries.append(query)
                assert len(self.queries) < 4_000, "does not end"
                try:
                    page = self._answer(query).checked(query, self.key)
                except ResponseError as error:
                    if attempt == ATTEMPTS:
                        if isinstance(error, ShortPageError):
                            yield error.page
                            break
                        raise
                else:
                    yield page
                    break

    def _answer(self, query: Query) -> Page:
        heard = {"page": "1", **{name: value for name, value in query.items() if name not in self.ignored}}
        if self.clamp:
            heard["per_page"] = str(self.clamp)
        page = self._page(heard)
        if self.clamp:
            page = page._replace(size=None)
        if self.ignored:
            page = page._replace(number=None)
        if self.lie and len(self.queries) in self.lied:
            page = self.lie(page, self.which)
        return page


def whole(model: Model) -> tuple[list[int], int]:
    steps = list(walks.whole_list(model.read, "id"))
    return ids(steps), missing(steps)


def ascending(model: Model) -> tuple[list[int], int]:
    steps = walk(model)
    return ids(steps), missing(steps)


def newest_first(model: Model) -> tuple[list[int], int]:
    steps = list(walks.newest_first(model.read, model.key, 0))
    if steps[-1].through is None:  # the caller then reads the list in another way
        message = "records"
        raise AircallError(message)
    return ids(steps), missing(steps)


def truth_or_error(read: Callable[[Model], tuple[list[int], int]], model: Liar) -> None:
    """See that everything is read, or that just so many records are said to be missing as are, or at least an error."""
    truth = {record["id"] for record in model.records}
    try:
        found, said = read(model)
    except AircallError as error:
        assert re.search("records|calls", str(error))  # noqa: PT017 - either is right
    else:
        assert truth >= set(found)
        assert len(found) == len(set(found))
        lacking = len(truth) - len(found)
        assert lacking <= said
        assert not lacking or model.lie in COUNTED


LISTS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 90)), max_size=8).map(lambda counts: spread(*counts))


@pytest.mark.parametrize("read", [whole, ascending, newest_first])
@given(
    records=LISTS,
    lie=st.sampled_from(LIES),
    which=st.integers(0, 99),
    first=st.integers(1, 8),
    times=st.sampled_from([1, 2, 5, EVER]),
    linked=st.booleans(),
)
def test_a_page_that_is_wrong_once_or_always_loses_nothing_in_silence(  # noqa: PLR0917 - Hypothesis gives them by name
    read: Callable[[Model], tuple[list[int], int]],
    records: list[dict[str, Any]],
    lie: Callable[[Page, int], Page],
    which: int,
    first: int,
    times: int,
    linked: bool,
) -> None:
    truth_or_error(read, Liar(records, lie=lie, which=which, first=first, times=times, linked=linked))


@pytest.mark.parametrize("read", [whole, ascending, newest_first])
@given(records=LISTS, clamp=st.integers(1, 49), linked=st.booleans(), said=st.booleans())
def test_pages_that_are_shorter_than_anyone_says_are_all_read(
    read: Callable[[Model], tuple[list[int], int]], records: list[dict[str, Any]], clamp: int, linked: bool, said: bool
) -> None:
    model = Liar(records, clamp=clamp, linked=linked, total=lambda n: n if said else None)

    if len(records) > clamp * 150:
        truth_or_error(read, model)
    else:
        found, hidden = read(model)
        assert sorted(found) == sorted(record["id"] for record in records)
        assert not hidden


@pytest.mark.parametrize("read", [whole, ascending, newest_first])
@given(records=LISTS, ignored=st.sets(st.sampled_from(["page", "order", "from", "to"]), min_size=1))
def test_ignored_parameters_lose_nothing_in_silence(
    read: Callable[[Model], tuple[list[int], int]], records: list[dict[str, Any]], ignored: set[str]
) -> None:
    truth_or_error(read, Liar(records, ignored=ignored))


@given(
    records=LISTS,
    lie=st.sampled_from(LIES),
    which=st.integers(0, 99),
    first=st.integers(1, 8),
    ignored=st.sets(st.sampled_from(["order", "from", "to"])),
)
def test_what_is_said_to_be_read_was_read(
    records: list[dict[str, Any]], lie: Callable[[Page, int], Page], which: int, first: int, ignored: set[str]
) -> None:
    model = Liar(records, lie=lie, which=which, first=first, times=EVER, ignored=ignored)
    given_out: set[int] = set()
    said = 0

    try:
        for step in walks.oldest_first(model.read, 0, 10**9):
            given_out.update(record["id"] for record in step.records)
            said += step.gap.missing if step.gap else 0
            if step.through is not None:
                lacking = {r["id"] for r in records if r["started_at"] <= step.through} - given_out
                assert len(lacking) <= said
                assert not lacking or lie in COUNTED
    except AircallError:
        pass


@pytest.mark.parametrize("calls", [10_500, 12_000])
@pytest.mark.parametrize("ignored", [{"order"}, {"from"}, {"from", "page"}])
def test_ignored_bounds_past_the_cap_lose_nothing_in_silence(calls: int, ignored: set[str]) -> None:
    truth_or_error(ascending, Liar(spread(*((n, 1) for n in range(calls))), ignored=ignored))


def test_an_order_exact_only_to_ten_minutes_is_refused() -> None:
    class Rough(Model):
        @override
        def _sorted(self, low: int, high: int, descending: bool) -> list[dict[str, Any]]:
            listed = super()._sorted(low, high, descending)
            return sorted(listed, key=lambda record: (record["started_at"] // 600, record["id"] * 7919 % 600))

    with refused(MisorderedError, "started_at"):
        walk(Rough(spread(*((n, 1) for n in range(11_500)))))


def emptied(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: [] if isinstance(value, list) else value for name, value in payload.items()}


def as_page_three(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"meta": payload["meta"] | {"current_page": 3}}


def cut(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:-1] if isinstance(value, list) else value for name, value in payload.items()}


def reversed_(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value[::-1] if isinstance(value, list) else value for name, value in payload.items()}


def hiding(key: str, keys: Iterable[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make an answer that counts some records which it does not show."""
    hidden = set(keys)

    def hide(payload: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [record for record in value if record[key] not in hidden] if isinstance(value, list) else value
            for name, value in payload.items()
        }

    return hide


PATHS = {name: STREAMS[name].path for name in (*KINDS, "contacts", "calls")}
ONE_OF_EACH_WALK = ("users", "contacts", "calls")
EACH_LIST = [name if name in ONE_OF_EACH_WALK else pytest.param(name, marks=pytest.mark.slow) for name in PATHS]


def first_sight(aircall: Aircall, stream: str, missing: int, **options: Any) -> Run:
    """Run the tap, which sees a gap for the first time and so fails in the end; return what it wrote."""
    run = Run()
    with refused(GapError, missing, stream=stream):
        aircall.tap(run, streams=(stream,), **options).run()
    return run


class TestOverHttp:
    """The same over HTTP, with the patience of the client."""

    @pytest.mark.parametrize("stream", EACH_LIST)
    @pytest.mark.parametrize("lie", [emptied, cut, as_page_three])
    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_a_passing_lie_costs_a_request_and_nothing_else(
        self, aircall: Aircall, stream: Any, lie: Any, after: int
    ) -> None:
        expected = self.furnish(aircall, stream)
        if lie is as_page_three and after == 2 and stream != "contacts":
            after = 3  # which the third page may rightly say
        aircall.sandbox.faults.append(Fault(path=PATHS[stream], after=after, mutate=lie))

        run = aircall.run(stream)

        (key,) = STREAMS[stream].primary_keys
        assert sorted(record[key] for record in run.records(stream)) == sorted(expected)

    @pytest.mark.parametrize("stream", EACH_LIST)
    def test_a_lasting_lie_ends_the_run_with_the_name_of_the_list(self, aircall: Aircall, stream: Any) -> None:
        self.furnish(aircall, stream)
        aircall.sandbox.faults.append(Fault(path=PATHS[stream], times=EVER, after=1, mutate=emptied))
        tap = aircall.tap(streams=(stream,))

        with refused(ResponseError, stream=stream):
            tap.run()

        written = tap.message_writer._run.messages  # type: ignore[attr-defined]  # noqa: SLF001
        assert "ACTIVATE_VERSION" not in {message["type"] for message in written}
        for message in written:
            if message["type"] == "STATE":
                assert "replication_key_value" not in message["value"]["bookmarks"].get("contacts", {})

    def test_contacts_that_change_are_not_lost_to_an_empty_page(self, aircall: Aircall) -> None:
        expected = self.furnish(aircall, "contacts")
        first = aircall.run("contacts")
        for contact in expected:
            aircall.world.edit_contact(contact, at=aircall.clock.now + 10, first_name="Edited")
        aircall.sandbox.faults.append(Fault(path="/v1/contacts", mutate=emptied))

        second = aircall.run("contacts", state=first.state)

        assert sorted(second.ids("contacts")) == sorted(expected)

    def test_contacts_that_all_vanish_at_once_are_not_believed(self, aircall: Aircall) -> None:
        self.furnish(aircall, "contacts")

        def vanish(payload: dict[str, Any]) -> dict[str, Any]:
            meta = payload["meta"] | {"count": 0, "total": 0, "next_page_link": None}
            return payload | {"contacts": [], "meta": meta}

        aircall.sandbox.faults.append(Fault(path="/v1/contacts", after=1, times=EVER, mutate=vanish))

        with refused(ResponseError, stream="contacts"):
            aircall.run("contacts")

    def test_calls_that_come_newest_first_never_put_unread_calls_into_the_state(self, aircall: Aircall) -> None:
        expected = self.furnish(aircall, "calls")
        aircall.sandbox.faults.append(Fault(path="/v1/calls", times=EVER, mutate=reversed_))
        tap = aircall.tap(streams=("calls",))

        with refused(MisorderedError, "started_at", stream="calls"):
            tap.run()

        states = [m["value"] for m in tap.message_writer._run.messages if m["type"] == "STATE"]  # type: ignore[attr-defined]  # noqa: SLF001
        aircall.sandbox.faults.clear()
        assert sorted(aircall.run("calls", state=states[-1]).ids("calls")) == expected

    @pytest.mark.parametrize(
        ("counted", "hidden", "further_requests"),
        [(235, (100,), 8), pytest.param(12_033, (2_000, 2_001, 11_999), 16, marks=pytest.mark.slow)],
    )
    def test_calls_that_are_counted_and_not_shown_are_named_and_stop_no_other(
        self,
        aircall: Aircall,
        caplog: pytest.LogCaptureFixture,
        counted: int,
        hidden: Sequence[int],
        further_requests: int,
    ) -> None:
        begin = int(aircall.clock.now) - 100_000
        calls = [aircall.world.add_call(started_at=begin + 5 * n)["id"] for n in range(counted)]
        unseen = {calls[n] for n in hidden}
        aircall.sandbox.faults.append(Fault(path="/v1/calls", times=EVER, mutate=hiding("id", unseen)))

        run = first_sight(aircall, "calls", len(unseen), reread_after_hours=[])

        assert run.ids("calls") == [call for call in calls if call not in unseen]
        assert run.requests <= counted // 50 + 2 + further_requests
        gaps = run.state["bookmarks"]["calls"]["gaps"]
        each_names(warnings(caplog), *(("calls", gap["counted"], gap["counted"] - gap["shown"]) for gap in gaps))
        assert to_seconds(run.state["bookmarks"]["calls"]["cursors"]["0"]) > begin + 5 * counted
        assert sum(gap["counted"] - gap["shown"] for gap in run.state["bookmarks"]["calls"]["gaps"]) == len(unseen)
        again = aircall.run("calls", reread_after_hours=[], state=run.state)
        assert not again.ids("calls")

    @pytest.mark.parametrize("stream", [each for each in EACH_LIST if each != "calls"])
    def test_a_list_that_hides_a_record_is_read_and_no_row_of_it_is_dropped(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture, stream: Any
    ) -> None:
        expected = self.furnish(aircall, stream)
        (key,) = STREAMS[stream].primary_keys
        aircall.sandbox.faults.append(Fault(path=PATHS[stream], times=EVER, mutate=hiding(key, expected[60:61])))

        run = first_sight(aircall, stream, 1)

        assert sorted(record[key] for record in run.records(stream)) == sorted(expected[:60] + expected[61:])
        assert "ACTIVATE_VERSION" not in {message["type"] for message in run.messages}
        each_names(warnings(caplog), (stream, 1))
        again = aircall.run(stream, state=run.state)  # which sees nothing new
        assert "ACTIVATE_VERSION" not in {message["type"] for message in again.messages}
        aircall.sandbox.faults.clear()
        shown = aircall.run(stream, state=again.state)
        if stream not in {"calls", "contacts"}:
            assert "gaps" not in shown.state["bookmarks"].get(stream, {})
            assert shown.types(stream)[-1] == "ACTIVATE_VERSION"

    def test_a_gap_that_grows_fails_the_run_again(self, aircall: Aircall) -> None:
        expected = self.furnish(aircall, "users")
        aircall.sandbox.faults.append(Fault(path=PATHS["users"], times=EVER, mutate=hiding("id", expected[60:61])))
        run = first_sight(aircall, "users", 1)
        aircall.sandbox.faults[:] = [Fault(path=PATHS["users"], times=EVER, mutate=hiding("id", expected[60:63]))]

        first_sight(aircall, "users", 3, state=run.state)

    @pytest.mark.parametrize("stream", ["calls", "contacts", "users"])
    def test_a_record_without_an_id_is_set_aside(
        self, aircall: Aircall, caplog: pytest.LogCaptureFixture, stream: Any
    ) -> None:
        expected = self.furnish(aircall, stream)

        def spoil(payload: dict[str, Any]) -> dict[str, Any]:
            records = [{**record, "id": None} if record["id"] == expected[70] else record for record in payload[stream]]
            return payload | {stream: records}

        aircall.sandbox.faults.append(Fault(path=PATHS[stream], times=EVER, mutate=spoil))

        run = aircall.run(stream)

        assert sorted(run.ids(stream)) == sorted(expected[:70] + expected[71:])
        assert "ACTIVATE_VERSION" not in {message["type"] for message in run.messages}
        assert any(names(line, stream, "id") for line in warnings(caplog))

    @staticmethod
    def furnish(aircall: Aircall, stream: Any) -> list[Any]:
        """Add 170 records of a kind; return their keys."""
        world, now = aircall.world, int(aircall.clock.now)
        if stream == "calls":
            return [world.add_call(started_at=now - 100_000 + 60 * n)["id"] for n in range(170)]
        if stream == "contacts":
            return [world.add_contact(created_at=now - 100_000 + 60 * n)["id"] for n in range(170)]
        (key,) = STREAMS[stream].primary_keys
        return [world.add(stream)[key] for _ in range(170)]
