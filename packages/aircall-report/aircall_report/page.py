"""Renders the page: a self-contained file that loads nothing from any host.

The template engine escapes all text from the data. The page's content security policy allows only its own script and
style, by their hashes, so that even unescaped text could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aircall_report import drawing, sentences, wording
from aircall_report.figures import ALL, ROWS
from aircall_report.marts import CALLERS_LISTED, CALLERS_LISTED_PER_NUMBER, STATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aircall_report.content import Content
    from aircall_report.figures import View
    from aircall_report.marts import Caller, Shift, Tally

PACKAGE = "aircall_report"


def write(content: Content) -> str:
    """Return the page."""
    style, script = (
        (files(PACKAGE) / "templates" / name).read_text("utf-8").strip() for name in ("page.css", "page.js")
    )
    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"say": wording, "tell": sentences, "draw": drawing, "lay": Layout(content)}
    return environment.get_template("page.html").render(
        vars(content),
        states=STATES,
        policy=(
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704 - our own
    )


class Layout:
    """Helpers of the template."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def heat_map(self, view: View, *, missed: bool) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """Yield each hour, with a text and a shade for each day of the week.

        Hours without calls at both ends of the day are left out.
        """
        hours = {hour for (_, hour), (inbound, _) in view.hours.items() if inbound}
        most = max((calls[missed] for calls in view.hours.values()), default=0)
        for hour in range(min(hours, default=0), max(hours, default=-1) + 1):
            values = [view.hours.get((day, hour), (0, 0))[missed] for day in range(1, 8)]
            yield f"{hour:02d}:00", [(wording.number(value), drawing.shade(value, most)) for value in values]

    def waits(self, tally: Tally) -> Iterator[tuple[str, int, bool]]:
        """Yield the classes of time to answer: name, number of calls, and whether they meet the SLA."""
        low = None
        for high, calls in tally.waits.items():
            name = f"up to {high} s" if low is None else f"{low + 1} to {high} s"
            yield name, calls, high <= self._content.sla_seconds
            low = high
        yield f"more than {low} s", tally.answered - sum(tally.waits.values()), False

    def messages(self, view: View) -> Iterator[tuple[str, int, int, int]]:
        """Yield channels of messages: name, messages received and sent, and the maximum over all channels."""
        channels = sorted({channel for channel, _ in view.messages})
        counts = {
            channel: [view.messages.get((channel, direction), 0) for direction in ("inbound", "outbound")]
            for channel in channels
        }
        most = max(map(sum, counts.values()))
        for channel, (received, sent) in counts.items():
            yield wording.CHANNELS.get(channel, channel), received, sent, most

    def shifts(self) -> tuple[list[Shift], int, int, int]:
        """Return the shifts to list, how many others there are, and the first and the last hour to draw."""
        listed = self._content.shifts[:ROWS]
        hours = {hour for shift in listed for hour in shift.hours}
        return listed, len(self._content.shifts) - len(listed), min(hours, default=0), max(hours, default=23)

    def callers(self, line: str) -> tuple[list[Caller], int]:
        """Return the callers to list, and the number of callers waiting, for all numbers or one."""
        content = self._content
        if line == ALL:
            return content.callers[:CALLERS_LISTED], sum(content.waiting.values())
        line_of = content.figures.line_of if content.figures else {}
        listed = [caller for caller in content.callers if line_of.get(caller.number_id) == line]
        waiting = sum(count for number_id, count in content.waiting.items() if line_of.get(number_id) == line)
        return listed[:CALLERS_LISTED_PER_NUMBER], waiting

    def waiting_for(self, caller: Caller) -> str:
        """Return how long a caller has waited, as text."""
        return wording.duration((self._content.made - caller.waiting_since).total_seconds())

    def local(self, time: datetime | None) -> str:
        """Return a time in the company's time zone, as text."""
        return wording.moment(time.astimezone(self._content.zone)) if time else wording.NOTHING

    def phone(self, digits: str) -> Markup:
        """Return a phone number as a link to call it; other text stays plain."""
        if re.fullmatch(r"\+[\d ().-]{5,25}", digits, re.ASCII):
            return Markup('<a href="tel:+{}">{}</a>').format(re.sub(r"\D", "", digits), digits)
        return Markup("<bdi>{}</bdi>").format(digits or wording.NOTHING)

    def order(self, part: int, whole: int) -> str:
        """Return the sort key of a share or an average; absent ones come last."""
        return f"{part / whole:.4f}" if whole else "-1"

    def percent(self, part: float, whole: float = 100) -> str:
        """Return a length in percent."""
        return f"{100 * part / whole:.2f}".rstrip("0").rstrip(".") if whole else "0"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
