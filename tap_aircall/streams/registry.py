"""Every stream that the tap can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_aircall.streams import directory, optional
from tap_aircall.streams.analytics.stream import AnalyticsReports
from tap_aircall.streams.calls.stream import Calls
from tap_aircall.streams.contacts import Contacts
from tap_aircall.streams.custom.stream import CustomStream
from tap_aircall.streams.intelligence import streams as intelligence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_aircall.streams.base import AircallStream, AircallTap
    from tap_aircall.streams.custom.definitions import Definition

STREAMS: dict[str, type[AircallStream]] = {
    stream.name: stream
    for stream in (
        Calls,
        Contacts,
        directory.Users,
        directory.UserAvailabilities,
        directory.UserNumbers,
        directory.Teams,
        directory.Numbers,
        directory.Tags,
        directory.Webhooks,
        directory.Company,
        directory.Integrations,
        optional.DialerCampaigns,
        optional.DialerCampaignPhoneNumbers,
        optional.NumberRegistrationStatuses,
        optional.NumberMessageConfigurations,
        optional.NumberWhatsappStatuses,
        optional.WhatsappTemplates,
        optional.SmsTemplates,
        intelligence.CallTranscriptions,
        intelligence.CallSentiments,
        intelligence.CallTopics,
        intelligence.CallSummaries,
        intelligence.CallCustomSummaries,
        intelligence.CallActionItems,
        intelligence.CallPlaybookResults,
        intelligence.CallEvaluations,
        intelligence.CallCsatPredictions,
        AnalyticsReports,
    )
}
"""Every stream class that the tap has itself, by the name of its stream."""


def all_streams(tap: AircallTap, definitions: Iterable[Definition]) -> list[AircallStream]:
    """Return every stream of a tap, those that its settings define included."""
    custom = (CustomStream(tap, definition) for definition in definitions)
    return [*(stream(tap) for stream in STREAMS.values()), *custom]
