"""Outbound Campaigns, as definitions: nobody has shown this project all answers of these lists yet.

A definition of the same name in `custom_streams` takes the place of one of these (facts: Outbound Campaigns).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.streams.custom.definitions import parse_definitions
from tap_aircall.streams.custom.stream import ChildList, stream_of, unpacked, with_definition

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tap_aircall.reading.pages import Record

DEFINITIONS = parse_definitions(
    [
        {"name": "campaigns", "path": "/v1/campaigns", "records_key": "campaigns", "primary_keys": ["id"]},
        {
            "name": "campaign_outcomes",
            "path": "/v1/campaign_outcomes",
            "records_key": "campaign_outcomes",
            "primary_keys": ["id"],
        },
        {
            "name": "campaign_contacts",
            "path": "/v1/campaigns/{id}/contacts",
            "records_key": "contacts",
            "primary_keys": ["campaign_id", "phone_number"],
            "parent": "campaigns",
            "parent_key": "campaign_id",
        },
        {
            "name": "campaign_call_outcomes",
            "path": "/v1/campaigns/{id}/call_outcomes",
            "records_key": "call_outcomes",
            "primary_keys": ["campaign_id", "attempt_id"],
            "parent": "campaigns",
            "parent_key": "campaign_id",
        },
    ],
    is_built_in=True,
)


class CallOutcomes(ChildList):
    """How the calls of campaigns went: from the list of each campaign, and from webhooks if there is an inbox."""

    state_keys = (*ChildList.state_keys, MARK)

    @property
    @override
    def replication_method(self) -> str:
        # A webhook may tell of what the list does not have yet; a new version of the table would lose it.
        return REPLICATION_INCREMENTAL if self.run.has_inbox else REPLICATION_FULL_TABLE

    @override
    def prepare(self) -> None:
        self.run.open_events()
        if self.run.events is None:
            super().prepare()
        else:
            self._begin()

    @override
    def pages(self) -> Generator[list[Record]]:
        source = self.run.events
        if source is not None:
            for events in source.events(self._begin(), ("outbound_campaign.outcome_recorded",)):
                told = [each for event in events if isinstance(each := event.body.get("data"), dict)]
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
    def _item(self, record: Record) -> Record:
        return super()._item(_with_attempt(record))

    @override
    def _problem_of(self, record: Record) -> str:
        return super()._problem_of(_with_attempt(record))

    def _begin(self) -> int:
        """Return the position in the inbox after which this run begins."""
        return self.run.require_events(self.name).resume(Mark.parse(self.stream_state), self.name)


def _with_attempt(record: Record) -> Record:
    """Let the id of an outcome stand for that of its attempt where a source has no other."""
    return record if record.get("attempt_id") is not None else {**record, "attempt_id": record.get("id")}


STREAMS = [
    with_definition(CallOutcomes, each) if each.name == "campaign_call_outcomes" else stream_of(each)
    for each in DEFINITIONS
]
"""Their classes."""
