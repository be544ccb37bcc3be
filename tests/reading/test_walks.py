"""The walks over a model of Aircall's lists, with any contents and changes on the way."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from tap_aircall.errors import MisorderedError, ResponseError, UnreadableError
from tap_aircall.reading import walks
from tap_aircall.reading.pages import Gap, Page, ShortPageError
from tests.messages import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_aircall.reading.pages import Query, Record


T = TypeVar("T")


class Model:
    """A list of Aircall's: positions, a cap, `from` exclusive or not, and changes between two requests.

    Ids in `hidden` are counted and not shown: either each leaves a hole on its page, or the list ends short of its
    total.
    """

    def __init__(
        self,
        records: Iterable[Record],
        *,
        key: str = "started_at",
        from_is_exclusive: bool = True,
        total: Callable[[int], int | None] = lambda total: total,
        linked: bool = True,
        hidden: Iterable[int] = (),
        leaves_holes: bool = True,
    ) -> None:
        self.records = list(records)
        self.key = key
        self.first = 1 if from_is_exclusive else 0
        self.total = total
        self.linked = linked
        self.hidden = set(hidden)
        self.leaves_holes = leaves_holes
        self.queries: list[Query] = []
        self.changes: dict[int, Callable[[], Any]] = {}
        self._listed = functools.cache(self._sorted)

    def read(self, queries: Iterable[Query]) -> Iterator[Page]:
        for query in queries:
            self.queries.append(query)
            if change := self.changes.pop(len(self.queries), None):
                change()
                self._listed.cache_clear()
            yield self._page(query)

    def _page(self, query: Query) -> Page:
        number, size = int(query["page"]), int(query["per_page"])
        assert number * size <= 10_000, "Aircall refuses this page with a 400"
        low = int(query.get("from", -(10**12))) + self.first
        listed = self._listed(low, int(query.get("to", 10**12)), query.get("order") == "desc")
        total, start = len(listed), (number - 1) * size
        if not self.leaves_holes:
            listed = self._shown(listed)
        more = start + size < len(listed)
        there = self._shown(listed[start : start + size])
        page = Page(there, self.total(total), more if self.linked else None, size, number)
        try:
            return page.checked(query, self.key)
        except ShortPageError as error:
            return error.page

    def _shown(self, records: list[Record]) -> list[Record]:
        return [record for record in records if record.get("id") not in self.hidden] if self.hidden else records

    def _sorted(self, low: int, high: int, descending: bool) -> list[Record]:
        return sorted(
            (record for record in self.records if low <= record[self.key] <= high),
            key=lambda record: (record[self.key], record.get("id", 0)),
            reverse=descending,
        )


def spread(*counts: tuple[int, int]) -> list[Record]:
    """Make calls: how many at each second."""
    seconds = [second for second, count in counts for _ in range(count)]
    return [{"id": id_, "started_at": second} for id_, second in enumerate(seconds, start=1)]


def walk(model: Model, after: int | None = None, until: int = 10**9) -> list[walks.Step]:
    return list(walks.oldest_first(model.read, after, until, from_is_exclusive=model.first == 1))


def ids(steps: Iterable[walks.Step]) -> list[int]:
    return [record["id"] for step in steps for record in step.records]


def missing(steps: Iterable[walks.Step]) -> int:
    return sum(step.gap.missing for step in steps if step.gap)


def whole(model: Model) -> tuple[list[int], Gap | None]:
    steps = list(walks.whole_list(model.read, "id"))
    return ids(steps), steps[-1].gap if steps else None


def is_too_much(hidden: int, counted: int) -> bool:
    return hidden > max(1, counted // 10)


@pytest.mark.parametrize(
    ("counts", "requests"),
    [
        pytest.param([], 1, id="empty"),
        pytest.param([(1, 49)], 1, id="less than a page"),
        pytest.param([(1, 50)], 1, id="exactly a page"),
        pytest.param([(s, 1) for s in range(9_999)], 200, id="below the cap"),
        pytest.param([(s, 1) for s in range(10_000)], 201, id="at the cap"),
        pytest.param([(s, 1) for s in range(10_001)], 201, id="past the cap"),
        pytest.param([(s, 7) for s in range(3_572)], 501, id="25,000 in an hour"),
        pytest.param([(s, 300) for s in range(100)], 624, id="hundreds a second"),
        pytest.param([(1, 9_999), (2, 9_999)], 600, id="9,999 a second"),
    ],
)
def test_reads_all_in_order_past_the_cap(counts: list[tuple[int, int]], requests: int) -> None:
    model = Model(spread(*counts))

    steps = walk(model)

    assert ids(steps) == [record["id"] for record in model.records]
    assert len(model.queries) == requests
    assert steps[-1] == walks.Step([], 10**9, model.records[-1]["started_at"] if counts else None)


@pytest.mark.parametrize("calls", [10_000, 12_500, 100_000])
def test_costs_at_most_one_request_more_for_a_hundred_pages(calls: int) -> None:
    model = Model(spread(*((second, 50) for second in range(calls // 50))))

    walk(model)

    assert len(model.queries) <= math.ceil(calls / 50) * 1.02 + 2


def test_ten_thousand_calls_in_one_second_are_an_error() -> None:
    with refused(UnreadableError, 10_000, "records"):
        walk(Model(spread((1, 3), (2, 10_001))))


def test_a_total_that_stays_too_high_is_a_gap_if_by_little_and_else_an_error() -> None:
    with refused(ResponseError, 134, 14):
        walk(Model(spread((1, 60), (5, 60)), total=lambda n: n + 14))
    (gap,) = [step.gap for step in walk(Model(spread((1, 60), (5, 60)), total=lambda n: n + 1)) if step.gap]
    assert gap == Gap(None, 10**9, 121, 120)


def test_bounds_that_are_a_second_off_are_put_right() -> None:
    model = Model(spread((1, 1), (2, 1), (3, 1), (4, 1)))
    model.first = -1

    assert ids(walk(model, after=2, until=3)) == [3]


def test_bounds_that_are_ignored_are_an_error() -> None:
    model = Model(spread((1, 1), (2, 1), (9, 1)))
    model.first = -100

    with refused(MisorderedError, "from", "to"):
        walk(model, after=8, until=9)


def test_through_never_covers_a_call_that_is_still_to_come() -> None:
    model = Model(spread(*((second, 3) for second in range(5_000))))
    given_out: set[int] = set()

    for step in walk(model, after=-1, until=6_000):
        given_out.update(record["id"] for record in step.records)
        if step.through is not None:
            missing = {r["id"] for r in model.records if r["started_at"] <= step.through} - given_out
            assert not missing


@pytest.mark.parametrize("linked", [True, False], ids=["with links", "without links"])
@pytest.mark.parametrize(
    "total",
    [
        pytest.param(lambda n: n, id="exact"),
        pytest.param(lambda n: min(n, 10_000), id="capped at 10,000"),
        pytest.param(lambda _: None, id="not said"),
        pytest.param(lambda n: n + 77 if n >= 10_000 else n, id="too high beyond 10,000"),
        pytest.param(lambda _: 0, id="too low"),
    ],
)
def test_a_total_that_lies_loses_nothing(total: Callable[[int], int | None], linked: bool) -> None:
    model = Model(spread(*((second, 2) for second in range(5_150))), total=total, linked=linked)

    assert ids(walk(model)) == [record["id"] for record in model.records]


@given(
    counts=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200)), max_size=20),
    changes=st.dictionaries(
        st.integers(2, 30), st.tuples(st.sampled_from(["delete", "move"]), st.integers(0, 4_000)), max_size=8
    ),
    from_is_exclusive=st.booleans(),
)
@example(counts=[(5, 120)], changes={2: ("delete", 0)}, from_is_exclusive=True)
@example(
    counts=[(0, 154)], changes={4: ("move", 0), **dict.fromkeys((6, 9, 12, 16), ("delete", 0))}, from_is_exclusive=False
)
@example(counts=[(5, 49), (6, 60)], changes={2: ("move", 48)}, from_is_exclusive=True)
def test_nothing_that_stays_is_lost_while_the_list_moves(
    counts: list[tuple[int, int]], changes: dict[int, tuple[str, int]], from_is_exclusive: bool
) -> None:
    """Calls disappear, or start a second later than Aircall first said, on pages read and unread."""
    model = Model(spread(*counts), from_is_exclusive=from_is_exclusive)
    everything = {record["id"] for record in model.records}
    deleted: set[int] = set()

    def change(kind: str, position: int) -> None:
        if not model.records:
            return
        record = model.records[position % len(model.records)]
        if kind == "delete":
            model.records.remove(record)
            deleted.add(record["id"])
        else:
            record["started_at"] += 1

    for request, (kind, position) in changes.items():
        model.changes[request] = functools.partial(change, kind, position)

    read = Counter(ids(walk(model)))

    assert everything - deleted <= read.keys() <= everything


HIDDEN = st.sets(st.integers(1, 1_500), max_size=60)
COUNTS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 10)), max_size=120)


@pytest.mark.usefixtures("low_cap")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=COUNTS, hidden=HIDDEN, from_is_exclusive=st.booleans())
@example(counts=[(n, 1) for n in range(235)], hidden={100}, from_is_exclusive=True)
@example(counts=[(n, 1) for n in range(500)], hidden={1, 60, 200, 201, 350, 500}, from_is_exclusive=True)
@example(counts=[(n, 2) for n in range(300)], hidden=set(range(101, 151)), from_is_exclusive=False)
def test_what_a_list_hides_is_reported_once_and_the_rest_is_read(
    counts: list[tuple[int, int]], hidden: set[int], from_is_exclusive: bool
) -> None:
    model = Model(spread(*counts), from_is_exclusive=from_is_exclusive, hidden=hidden)
    ordered = sorted(model.records, key=lambda record: (record["started_at"], record["id"]))
    shown = [record["id"] for record in ordered if record["id"] not in hidden]
    unseen = {record["id"]: record["started_at"] for record in model.records if record["id"] in hidden}
    found: list[int] = []
    reported: list[Gap] = []

    try:
        for step in walks.oldest_first(model.read, None, 10**9, from_is_exclusive=from_is_exclusive):
            found += ids([step])
            reported += [step.gap] if step.gap else []
            for second in unseen.values() if step.through is not None else ():
                is_known = any((gap.after or -1) < second <= (gap.until or 0) for gap in reported)
                assert second > (step.through or 0) or is_known
    except ResponseError:
        assert is_too_much(len(unseen), len(model.records))
    else:
        assert not is_too_much(len(unseen), len(model.records))
        assert found == shown
        assert sum(gap.missing for gap in reported) == len(unseen)


@pytest.mark.usefixtures("low_cap")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=COUNTS,
    hidden=HIDDEN,
    changes=st.dictionaries(
        st.integers(2, 40), st.tuples(st.sampled_from(["delete", "move"]), st.integers(0, 1_500)), max_size=8
    ),
)
def test_what_a_list_hides_is_reported_once_while_the_list_moves(
    counts: list[tuple[int, int]], hidden: set[int], changes: dict[int, tuple[str, int]]
) -> None:
    model = Model(spread(*counts), hidden=hidden)
    everything = {record["id"] for record in model.records}
    deleted: set[int] = set()

    def change(kind: str, position: int) -> None:
        record = model.records[position % len(model.records)] if model.records else {"id": 0}
        if kind == "delete" and model.records:
            model.records.remove(record)
            deleted.add(record["id"])
        elif record["id"] not in {0, *hidden}:
            record["started_at"] += 1

    for request, (kind, position) in changes.items():
        model.changes[request] = functools.partial(change, kind, position)

    try:
        steps = walk(model)
    except ResponseError:
        assert is_too_much(len(everything & hidden), len(everything - deleted))
    else:
        assert everything - hidden - deleted <= set(ids(steps)) <= everything - hidden
        assert len((everything - deleted) & hidden) <= missing(steps) <= len(everything & hidden)


@given(counts=COUNTS.filter(bool), hidden=HIDDEN)
def test_a_list_that_ends_short_of_its_total_is_read_with_a_gap(
    counts: list[tuple[int, int]], hidden: set[int]
) -> None:
    model = Model(spread(*counts), hidden=hidden, leaves_holes=False)
    unseen = {record["id"] for record in model.records} & hidden

    try:
        steps = walk(model)
    except ResponseError:
        assert is_too_much(len(unseen), len(model.records))
    else:
        assert len(ids(steps)) + len(unseen) == len(model.records)
        assert missing(steps) == len(unseen)


def test_a_gap_says_where_it_is_and_costs_a_request_more_at_most() -> None:
    model = Model(spread(*((n, 1) for n in range(1_000))), hidden={120})

    (gap,) = [step.gap for step in walk(model) if step.gap]

    assert gap == Gap(97, 152, 50, 49)
    assert len(model.queries) == 21
    assert gap.describe("calls") == (
        "Aircall counts 50 calls after 1970-01-01T00:01:37Z until 1970-01-01T00:02:32Z and shows 49: 1 cannot be read."
    )


@pytest.mark.parametrize(
    ("counted", "shown", "is_read"),
    [(235, 234, True), (12_033, 12_030, True), (2, 1, True), (30, 27, True), (30, 26, False), (5, 0, False)],
)
@pytest.mark.parametrize("leaves_holes", [True, False])
def test_only_a_list_that_hides_more_than_a_tenth_is_broken(
    counted: int, shown: int, is_read: bool, leaves_holes: bool
) -> None:
    hidden = range(counted - (counted - shown), counted)
    model = Model(spread(*((n, 1) for n in range(counted))), hidden=hidden, leaves_holes=leaves_holes)

    if is_read:
        steps = walk(model)
        assert (len(ids(steps)), missing(steps)) == (shown, counted - shown)
    else:
        with refused(ResponseError, "records"):
            walk(model)


def test_records_without_id_or_time_are_set_aside_and_hide_nothing() -> None:
    records = spread(*((n, 1) for n in range(120)))
    odd: list[Record] = [{"started_at": 60}, {"id": 500, "started_at": ""}, {"id": ["a"], "started_at": 70}]

    class Strange(Model):
        @override
        def _sorted(self, low: int, high: int, descending: bool) -> list[Record]:
            listed = super()._sorted(low, high, descending)
            return [*listed[:30], odd[0], *listed[30:90], *odd[1:], *listed[90:]]

    steps = walk(Strange(records))

    assert ids(steps) == [record["id"] for record in records]
    assert [record for step in steps for record in step.odd] == odd
    assert not missing(steps)


def test_a_page_on_which_many_records_are_odd_has_another_shape_and_is_an_error_without_a_value() -> None:
    with refused(ResponseError, "records", "id", "started_at"):
        walk(Model([{"id": None, "started_at": n} for n in range(10)]))
    with refused(ResponseError, "records", "id", "started_at"):
        walk(Model([{"id": [n] if n < 2 else n, "started_at": n} for n in range(19)]))


class TestWholeList:
    def read(self, model: Model) -> list[int]:
        found, gap = whole(model)
        assert gap is None
        return found

    @given(count=st.integers(0, 300), hidden=HIDDEN, leaves_holes=st.booleans())
    def test_names_what_is_counted_and_not_shown(self, count: int, hidden: set[int], leaves_holes: bool) -> None:
        model = Model(spread((1, count)), hidden=hidden, leaves_holes=leaves_holes)
        shown = [record["id"] for record in model.records if record["id"] not in hidden]

        try:
            found, gap = whole(model)
        except ResponseError:
            assert is_too_much(count - len(shown), count)
        else:
            assert found == shown
            assert gap == (Gap(None, None, count, len(shown)) if len(shown) < count else None)

    @pytest.mark.parametrize("linked", [True, False])
    def test_refuses_a_full_page_that_comes_back_again(self, linked: bool) -> None:
        class Stuck(Model):
            @override
            def _page(self, query: Query) -> Page:
                return super()._page({**query, "page": "1"})._replace(number=None, size=None)

        model = Stuck(spread((1, 170)), total=lambda _: None, linked=linked)

        with refused(ResponseError, "records"):
            whole(model)

    def test_believes_a_list_without_pages_that_gives_all_of_it_each_time(self) -> None:
        class Unpaged(Model):
            @override
            def _page(self, query: Query) -> Page:
                return Page(self.records, None, None)

        for count in (49, 51, 170):
            assert self.read(Unpaged(spread((1, count)))) == list(range(1, count + 1))

    @pytest.mark.parametrize(("count", "requests"), [(0, 1), (49, 1), (50, 1), (51, 2), (120, 3), (10_000, 200)])
    def test_reads_every_page_once(self, count: int, requests: int) -> None:
        model = Model(spread(*((second, 1) for second in range(count))))

        assert self.read(model) == list(range(1, count + 1))
        assert len(model.queries) == requests

    def test_asks_once_more_where_aircall_names_no_next_page(self) -> None:
        model = Model(spread(*((second, 1) for second in range(50))), linked=False)

        assert self.read(model) == list(range(1, 51))
        assert len(model.queries) == 2

    def test_reads_again_when_a_deletion_moved_what_follows(self) -> None:
        model = Model(spread(*((second, 1) for second in range(120))))
        model.changes[2] = lambda: model.records.pop(0)

        assert sorted(self.read(model)) == list(range(1, 121))

    def test_refuses_a_list_that_aircall_cuts(self) -> None:
        model = Model(spread(*((second, 1) for second in range(10_001))))

        with refused(UnreadableError, 10_000, "records"):
            self.read(model)


class TestNewestFirst:
    def read(self, model: Model, bookmark: int) -> tuple[list[int], bool]:
        steps = list(walks.newest_first(model.read, "updated_at", bookmark))
        assert steps[-1].gap is None
        return ids(steps), steps[-1].through is not None

    @given(hidden=st.sets(st.integers(0, 299), max_size=40), bookmark=st.integers(0, 299))
    def test_names_what_the_pages_lack_that_it_read(self, hidden: set[int], bookmark: int) -> None:
        model = self.contacts(300)
        model.hidden = hidden

        try:
            steps = list(walks.newest_first(model.read, "updated_at", bookmark))
        except ResponseError:
            assert is_too_much(len(hidden), 300)
        else:
            assert steps[-1].through == bookmark
            assert ids(steps) == [n for n in range(299, bookmark - 1, -1) if n not in hidden]
            assert sum(n >= bookmark for n in hidden) <= missing(steps) <= len(hidden)

    def contacts(self, count: int) -> Model:
        records = [{"id": n, "updated_at": n} for n in range(count)]
        return Model(records, key="updated_at")

    @pytest.mark.parametrize(("changed", "requests"), [(0, 1), (1, 1), (49, 1), (50, 2), (120, 3)])
    def test_costs_what_changed(self, changed: int, requests: int) -> None:
        model = self.contacts(5_000)

        found, reached = self.read(model, 5_000 - changed)

        assert found == list(range(4_999, 4_999 - changed, -1))
        assert reached
        assert len(model.queries) == requests

    def test_says_when_the_bookmark_is_beyond_the_cap(self) -> None:
        found, reached = self.read(self.contacts(10_100), 0)

        assert found == list(range(10_099, 99, -1))
        assert not reached

    @given(deletions=st.lists(st.tuples(st.integers(2, 8), st.integers(0, 299)), max_size=6, unique_by=lambda d: d[0]))
    def test_deletions_on_the_way_lose_nothing(self, deletions: list[tuple[int, int]]) -> None:
        model = self.contacts(300)
        deleted: set[int] = set()

        def delete(position: int) -> None:
            deleted.add(model.records.pop(position % len(model.records))["id"])

        for request, position in deletions:
            model.changes[request] = functools.partial(delete, position)

        found, reached = self.read(model, 100)

        assert reached
        assert set(range(100, 300)) - deleted <= set(found) <= set(range(100, 300))
        assert len(found) == len(set(found))
