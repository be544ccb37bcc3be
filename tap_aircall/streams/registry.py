"""Every stream that the tap can read."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tap_aircall.errors import InputError, one_line
from tap_aircall.hints import hint
from tap_aircall.streams import directory, optional
from tap_aircall.streams.analytics.stream import AnalyticsReports
from tap_aircall.streams.calls.counts import CallCounts
from tap_aircall.streams.calls.stream import Calls
from tap_aircall.streams.contacts import Contacts
from tap_aircall.streams.custom.stream import CustomStream
from tap_aircall.streams.inbox import streams as inbox
from tap_aircall.streams.intelligence import streams as intelligence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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
        CallCounts,
        inbox.Messages,
        inbox.GroupMessages,
        inbox.AiVoiceAgentSessions,
        inbox.CallEvents,
        inbox.UserEvents,
        inbox.DeletedObjects,
        inbox.WebhookEvents,
    )
}
"""Every stream class that the tap has itself, by the name of its stream."""


SETTING = "streams"
"""The setting that says which of them to read."""


def choose(value: Any, names: Collection[str]) -> set[str]:
    """Return the streams that the setting `streams` names.

    Args:
        value: What the config says: names of streams, and patterns such as `call_*`. Discovery has not checked it.
        names: The streams there are.

    Raises:
        InputError: If it is something else, or one of the patterns matches no stream.
    """
    if not isinstance(value, list):
        message = f"Setting {SETTING}: must be array."
        raise InputError(message)
    chosen: set[str] = set()
    for number, pattern in enumerate(value):
        if not isinstance(pattern, str):
            message = f"Setting {SETTING}.{number}: must be string."
            raise InputError(message)
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            advice = hint(pattern.lower(), names, f"there are {', '.join(names)}.")
            message = f"Setting {SETTING}.{number}: '{one_line(pattern)}' is unknown; {advice}"
            raise InputError(message)
        chosen |= found
    return chosen


def all_streams(tap: AircallTap, definitions: Iterable[Definition]) -> list[AircallStream]:
    """Return every stream of a tap, those that its settings define included."""
    custom = (CustomStream(tap, definition) for definition in definitions)
    return [*(stream(tap) for stream in STREAMS.values()), *custom]
