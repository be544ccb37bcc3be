"""Descriptions of the charts, for skimming and for screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aircall_report import wording as say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aircall_report.figures import Bucket, Period, View
    from aircall_report.marts import Caller, Tally


def period_name(period: Period) -> str:
    """Return the label of a period."""
    if period.days == 1:
        return "One day"
    return f"{'All' if period.key == 'all' else 'Last'} {say.number(period.days)} days"


def dates(period: Period) -> str:
    """Return the first and last day of a period, as text."""
    if period.days == 1:
        return say.weekday(period.last)
    return f"{say.weekday(period.first)} to {say.weekday(period.last)}"


def headline(view: View) -> str:
    """Sum up a view."""
    tally = view.tally
    if not tally.inbound:
        return "There were no calls."
    return (
        f"{say.plural(tally.inbound, 'inbound call')}: {say.share(tally.answered, tally.inbound)} answered, "
        f"{say.number(tally.missed)} missed."
    )


def in_sla(tally: Tally) -> str:
    """Return the share of answered calls within the SLA, as a lower bound."""
    share = say.share(tally.in_sla, tally.answered)
    return f"≥ {share}" if tally.sla_uncertain and not share.startswith((">", "<")) else share


def busiest(view: View) -> str:
    """Name the hours with the most calls, and with the most missed calls."""
    if not view.tally.inbound:
        return "There were no calls."
    said = []
    for verb, which in (("come", 0), ("are missed", 1)):
        (day, hour), calls = max(view.hours.items(), key=lambda item: (item[1][which], -item[0][0], -item[0][1]))
        if calls[which]:
            said.append(
                f"Most calls {verb} on {say.DAYS[day - 1]}s from {hour:02d}:00 to {(hour + 1) % 24:02d}:00 "
                f"({say.number(calls[which])})."
            )
    return " ".join(said)


def bucket_name(bucket: Bucket) -> str:
    """Name the days of a column."""
    return f"{bucket.first.day} {say.MONTHS[bucket.first.month - 1]}"


def bucket_said(bucket: Bucket) -> str:
    """Describe a column."""
    when = say.weekday(bucket.first)
    if bucket.last != bucket.first:
        when += f" to {say.weekday(bucket.last)}"
    return f"{when}: {say.number(bucket.tally.answered)} answered, {say.number(bucket.tally.missed)} missed"


def over_time(buckets: Sequence[Bucket]) -> str:
    """Sum up the chart of inbound calls over time."""
    most = max(buckets, key=lambda bucket: bucket.tally.inbound)
    step = "day" if most.first == most.last else "period"
    return (
        f"Columns of answered and missed inbound calls. The busiest {step} is {bucket_said(most)}. The table "
        "below has the figures."
    )


def in_sla_over_time(buckets: Sequence[Bucket]) -> str:
    """Sum up the chart of calls within the SLA over time."""
    answered = [bucket.tally for bucket in buckets if bucket.tally.answered]
    worst, best = (choose(answered, key=lambda tally: tally.in_sla / tally.answered) for choose in (min, max))
    return (
        f"Line of the share of answered calls in SLA, between {say.share(worst.in_sla, worst.answered)} and "
        f"{say.share(best.in_sla, best.answered)}. The table below has the figures."
    )


def waiting(listed: Sequence[Caller], callers: int) -> str:
    """Return how many callers are waiting, and how many of them are listed, as text."""
    verb = "was missed, and has been" if callers == 1 else "were missed, and have been"
    said = f"{say.plural(callers, 'caller')} {verb} neither called back nor answered since, in any period."
    return said if len(listed) == callers else f"{said} These are the latest {len(listed)}."
