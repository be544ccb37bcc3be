"""Outbound Campaigns, as definitions, because their fields are not all documented (facts: Outbound Campaigns).

A definition of the same name in `custom_streams` replaces one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.streams.custom.definitions import PLACE, Definition
from tap_aircall.streams.custom.stream import ChildList, stream_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tap_aircall.reading.pages import Page, Record

DEFINITIONS = [
    Definition(
        name=name,
        path=f"/v1/{path}",
        records_key=path.rpartition("/")[2],
        primary_keys=tuple(keys),
        parent="campaigns" if PLACE in path else None,
        parent_key="campaign_id" if PLACE in path else None,
        is_built_in=True,
    )
    for name, path, *keys in (
        ("campaigns", "campaigns", "id"),
        ("campaign_outcomes", "campaign_outcomes", "id"),
        ("campaign_contacts", "campaigns/{id}/contacts", "campaign_id", "phone_number"),
        ("campaign_call_outcomes", "campaigns/{id}/call_outcomes", "campaign_id", "attempt_id"),
    )
]


class CallOutcomes(ChildList):
    """Outcomes of campaign calls, from each campaign's list, and from webhooks if there is an inbox."""

    state_keys = (*ChildList.state_keys, MARK)

    @property
    @override
    def replication_method(self) -> str:
        # A webhook may be ahead of the list; a new version of the table would lose its outcome.
        return REPLICATION_INCREMENTAL if self.run.has_inbox else REPLICATION_FULL_TABLE

    @override
    def prepare(self) -> None:
        if self.run.events is None:
            super().prepare()
        else:
            self._begin()

    @override
    def pages(self) -> Generator[list[Record]]:
        source = self.run.events
        if source is not None:
            for events in source.events(self._begin(), ("outbound_campaign.outcome_recorded",)):
                told = [_with_attempt(each) for event in events if isinstance(each := event.body.get("data"), dict)]
                self.note_odd([each for each in told if self._problem_of(each)])
                yield unpacked(self._item(each) for each in told if not self._problem_of(each))
            self.write_state(source.mark())
        if self.is_due:
            yield from super().pages()

    @override
    def complete(self) -> None:
        if self.is_due:
            super().complete()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> int | None:
        Mark.parse(state)
        return super().parse_state(state)

    @override
    def _parse(self, payload: Any) -> Page:
        page = super()._parse(payload)
        return page._replace(records=[*map(_with_attempt, page.records)])

    def _begin(self) -> int:
        """Return the inbox position after which this run begins."""
        return self.run.require_events(self.name).resume(Mark.parse(self.stream_state), self.name)


def _with_attempt(record: Record) -> Record:
    """Use the id of an outcome as its attempt id if it has none."""
    return record if record.get("attempt_id") is not None else {**record, "attempt_id": record.get("id")}


STREAMS = [stream_of(each, CallOutcomes if each.name == "campaign_call_outcomes" else None) for each in DEFINITIONS]
