"""Makes up a company: the same seed and time give the same data, byte for byte.

The calls are consistent. Each number is a line of a country, with opening hours in its time zone, and users who answer
one call at a time. Callers are contacts or strangers, some of whom call often. Missed callers may try again, or be
called back. The subject of a call determines its length, tags, comments and AI results.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from faker import Faker

from aircall_sandbox.conversations import SUBJECTS, WRONG_NUMBER
from aircall_sandbox.phones import e164, phone
from aircall_sandbox.presence import live, talks_of
from aircall_sandbox.templates import iso
from aircall_sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aircall_sandbox.conversations import Subject
    from aircall_sandbox.templates import Record

Thing = TypeVar("Thing")

DAY = 86_400
HOUR = 3_600
NAMES = 100
"""First and last names per country, to be combined; Faker is too slow for more."""
TAGS = (
    ("Callback Request", "queue_callback"),
    ("Voicemail drop", "voicemail_drop"),
    *(
        (name, None)
        for name in ("Interested", "Not interested", "VIP", "Complaint", "Billing", "Refund", "Wrong number")
    ),
)
LINES = {
    "Sales": ("Sales", "Partners"),
    "Support": ("Support", "Customer Success"),
    "Orders": ("Billing", "Logistics"),
}
"""Purpose of the numbers of a country, with the teams that answer: first the main team, then its backup."""
TEAMS = tuple(team for teams in LINES.values() for team in teams)
IVR_LINES = {"Support"}
"""Lines that begin with a menu."""


class Country(NamedTuple):
    """A country with numbers, users and customers."""

    code: str
    name: str
    zone: str
    locale: str
    share: float
    """Share of all calls, contacts and users."""


COUNTRIES = (
    Country("FR", "France", "Europe/Paris", "fr_FR", 0.3),
    Country("US", "USA", "America/New_York", "en_US", 0.35),
    Country("GB", "UK", "Europe/London", "en_GB", 0.2),
    Country("DE", "Germany", "Europe/Berlin", "de_DE", 0.15),
)
OFFICES = ["FR", "US", "GB", "DE", "US", "FR", "GB", "US"]
"""Countries of the users, in turn for each team."""
OPENING, CLOSING = 9, 18
"""Local hours, from Monday to Friday."""
LUNCH = (12, 13)
HOURS = (1, 1, 1, 1, 1, 1, 2, 4, 10, 56, 70, 60, 32, 38, 58, 64, 54, 38, 8, 5, 4, 3, 2, 1)
"""Weights of the local hours of a working day."""
WEEKDAYS = (1.25, 1.1, 1.0, 1.0, 0.85, 0.07, 0.03)
"""Weights of the days, from Monday."""
MISSED = {"abandoned_in_classic": 5, "short_abandoned": 4, "no_available_agent": 4, "agents_did_not_answer": 7}
"""Weights of the reasons for missed calls in opening hours; on lines with a menu, callers give up there."""
RINGING = {
    "out_of_opening_hours": (5, 40),
    "abandoned_in_ivr": (8, 45),
    "abandoned_in_classic": (15, 90),
    "short_abandoned": (2, 9),
    "no_available_agent": (2, 30),
    "agents_did_not_answer": (25, 60),
}
"""Shortest and longest wait in seconds, by reason."""
BEFORE_TEAMS = {"out_of_opening_hours", "abandoned_in_ivr"}
"""Reasons of calls that reach no team."""
WITH_VOICEMAIL = {"out_of_opening_hours", "no_available_agent", "agents_did_not_answer"}
ANONYMOUS = "anonymous"
LIVED_DAYS = 3
"""Days before today in `World.presence`; after a weekend, one of them is a working day."""
CALLBACK_SECONDS = 4 * DAY
"""Seconds after which missed calls are no longer returned."""
INFORMATION = (
    "Prefers to be called in the morning.",
    "Asks for the same person each time.",
    "Pays by bank transfer.",
    "Met at the fair in spring.",
    "Has a second office.",
)


def generate_company(
    *,
    now: float,
    seed: int = 1,
    calls: int = 12_500,
    contacts: int = 11_000,
    users: int = 45,
    days: int = 90,
) -> World:
    """Make up a company, of which the last calls are still going on: the same seed and time give the same data."""
    world = World(now)
    maker = _Maker(world, seed, days)
    maker.make_directory(users)
    maker.make_contacts(contacts)
    maker.make_calls(calls)
    live(world, talks_of(world), int(now) // DAY * DAY - LIVED_DAYS * DAY, maker.random)
    return world


@dataclass(eq=False, slots=True)
class _Caller:
    """A person who calls or is called by the company."""

    country: str
    digits: list[str]
    """Their numbers, as calls show them."""
    contact: Record | None
    is_vip: bool = False
    busy_until: int = 0


class _Party(NamedTuple):
    """The other side of a call."""

    caller: _Caller
    digits: str
    """The number they use, or `anonymous`."""
    subject: Subject


class _Missed(NamedTuple):
    """A missed call that has not been returned."""

    at: int
    party: _Party


@dataclass(eq=False, slots=True)
class _Line:
    """A number, and the users who answer it."""

    name: str
    number: Record
    """As calls show it."""
    first_team: set[int]
    """Ids of the users in the main team."""
    users: list[int]
    teams: list[Record]
    """The main team and its backup, as calls show them."""
    subjects: list[Subject]
    missed: deque[_Missed] = field(default_factory=deque)

    @property
    def has_menu(self) -> bool:
        return self.name in IVR_LINES

    @property
    def menu_seconds(self) -> int:
        """Time to choose in the menu."""
        return 5 if self.has_menu else 0


class _Slot(NamedTuple):
    """An hour of a country."""

    begin: int
    country: str
    is_open: bool
    is_lunch: bool


class _Maker:
    def __init__(self, world: World, seed: int, days: int) -> None:
        self.world = world
        self.random = random.Random(seed)  # noqa: S311 - not for secrets
        self.days = days
        self.now = int(world.now)
        faker = Faker([country.locale for country in COUNTRIES])
        faker.seed_instance(seed)
        self.names = {
            country.code: [
                (faker[country.locale].first_name(), faker[country.locale].last_name()) for _ in range(NAMES)
            ]
            for country in COUNTRIES
        }
        self.companies = [faker.company() for _ in range(4 * NAMES)]
        self.phones = {country.code: 0 for country in COUNTRIES}
        self.lines: dict[str, list[_Line]] = {country.code: [] for country in COUNTRIES}
        self.callers: dict[str, list[_Caller]] = {country.code: [] for country in COUNTRIES}
        self.strangers: dict[str, list[_Caller]] = {country.code: [] for country in COUNTRIES}
        self.busy_until: dict[int, int] = {}
        self.users: dict[int, Record] = {}
        self.authors: dict[int, Record] = {}
        self.tags: dict[str, Record] = {}
        world.company_name = faker.company()

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < share

    def pick(self, things: Sequence[Thing]) -> Thing:
        """Draw an item, five times as fast as `random.choice`."""
        return things[int(len(things) * self.random.random())]

    def between(self, least: int, most: int) -> int:
        """Draw a whole number, both ends included."""
        return least + int((most - least + 1) * self.random.random())

    def name(self, country: str) -> tuple[str, str]:
        """Draw a first and a last name."""
        names = self.names[country]
        return self.pick(names)[0], self.pick(names)[1]

    def phone(self, country: str) -> str:
        """Take the next number of a country."""
        self.phones[country] += 1
        return phone(country, self.phones[country] - 1)

    def make_directory(self, users: int) -> None:
        world = self.world
        opened = self.now - 900 * DAY
        for name, description in TAGS:
            color = f"#{self.between(0, 16**6 - 1):06X}"
            self.tags[name] = world.add("tags", name=name, description=description, color=color)
        for position in range(users):
            office = OFFICES[position // len(TEAMS) % len(OFFICES)]
            (country,) = [country for country in COUNTRIES if country.code == office]
            first, last = self.name(country.code)
            world.add(
                "users",
                name=f"{first} {last}",
                email=f"{_mail_name(first, last)}.{position}@example.com",
                created_at=iso(opened + self.between(0, 800 * DAY - 1)),
                time_zone=country.zone,
                language=country.locale.replace("_", "-"),
                extension=f"{position + 1:03d}",
                wrap_up_time=self.pick([0, 0, 30, 60]),
            )
        ids = list(world.kinds["users"])
        members = {
            name: {user for turn, user in enumerate(ids) if turn % len(TEAMS) == position or self.chance(0.08)}
            or {ids[position % users]}
            for position, name in enumerate(TEAMS)
        }
        teams = {
            name: world.add(
                "teams",
                name=name,
                users=[world.member(user) for user in sorted(members[name])],
                created_at=iso(opened + self.between(0, 800 * DAY - 1)),
            )
            for name in TEAMS
        }
        for country in COUNTRIES:
            for line in LINES:
                self._add_line(line, country, members, teams, iso(opened + self.between(0, 30 * DAY - 1)))
        for user in world.kinds["users"].values():
            user["default_number_id"] = self.pick([None, *world.user_numbers[user["id"]]])
        for position in range(3):
            world.add(
                "webhooks", url=f"https://hooks.example.com/aircall/{position}", created_at=iso(opened + position * DAY)
            )

    def _add_line(
        self, name: str, country: Country, members: dict[str, set[int]], teams: dict[str, Record], created_at: str
    ) -> None:
        """Add a number, answered by its teams' users in its time zone, or by all of them if there are none."""
        world = self.world
        number = world.add(
            "numbers",
            name=f"{country.name} {name}",
            digits=self.phone(country.code),
            country=country.code,
            time_zone=country.zone,
            is_ivr=name in IVR_LINES,
            availability_status="custom",
            created_at=created_at,
        )
        first, second = LINES[name]
        everybody = sorted(members[first] | members[second])
        users = [user for user in everybody if world.kinds["users"][user]["time_zone"] == country.zone] or everybody
        for user in users:
            world.user_numbers[user].append(number["id"])
        line = _Line(
            name=name,
            number=world.call_number(number["id"]),
            first_team=members[first],
            users=users,
            teams=[
                {part: teams[team][part] for part in ("id", "name", "direct_link", "created_at")}
                for team in (first, second)
            ],
            subjects=[subject for subject in SUBJECTS if subject.line == name],
        )
        self.lines[country.code].append(line)

    def make_contacts(self, contacts: int) -> None:
        times = sorted(self.now - self.between(HOUR, 1_400 * DAY) for _ in range(contacts))
        shares = [country.share for country in COUNTRIES]
        countries = self.random.choices([country.code for country in COUNTRIES], shares, k=contacts)
        for created_at, country in zip(times, countries, strict=True):
            first, last = self.name(country)
            edited = self.between(created_at, self.now - 1) if self.chance(0.4) else created_at
            digits = [self.phone(country) for _ in range(self.pick((1, 1, 1, 1, 1, 1, 2, 2, 3)))]
            contact = self.world.add_contact(
                created_at=created_at,
                updated_at=edited,
                first_name=first,
                last_name=last if self.chance(0.95) else None,
                company_name=self.pick(self.companies) if self.chance(0.6) else None,
                information=self.pick(INFORMATION) if self.chance(0.2) else None,
                phone_numbers=[
                    {"id": 2**31 + self.between(0, 2**30 - 1), "label": label, "value": e164(number)}
                    for label, number in zip(("Work", "Mobile", "Home"), digits, strict=False)
                ],
                emails=[
                    {
                        "id": 2**31 + self.between(0, 2**30 - 1),
                        "label": "Work",
                        "value": f"{_mail_name(first, last)}@example.org",
                    }
                ]
                if self.chance(0.7)
                else [],
            )
            self.callers[country].append(_Caller(country, digits, contact, is_vip=self.chance(0.03)))

    def make_calls(self, calls: int) -> None:
        world = self.world
        self.users = {identity: world.call_user(identity) for identity in world.kinds["users"]}
        self.authors = {identity: world.author(identity) for identity in self.users}
        self.busy_until = dict.fromkeys(self.users, 0)
        for country in COUNTRIES:
            self.random.shuffle(self.callers[country.code])
            count = 20 + int(calls * country.share / 6)
            self.strangers[country.code] = [
                _Caller(country.code, [self.phone(country.code)], None) for _ in range(count)
            ]
        for started_at, slot in self._starts(calls):
            line = self.pick(self.lines[slot.country])
            if slot.is_open and self.chance(0.42):
                self._add_outbound(line, started_at, slot)
            else:
                self._add_inbound(line, started_at, slot)

    def _starts(self, calls: int) -> list[tuple[int, _Slot]]:
        """Draw start times and countries of calls, by local hour and day of the week."""
        slots, weights = [], []
        first, last = self.now - self.days * DAY, self.now - HOUR
        days = [datetime.fromtimestamp(first, UTC).date() + timedelta(days=n - 1) for n in range(self.days + 3)]
        for country in COUNTRIES:
            zone = ZoneInfo(country.zone)
            for day in days:
                weekday = day.weekday()
                for hour, weight in enumerate(HOURS):
                    begin = int(datetime(day.year, day.month, day.day, hour, tzinfo=zone).timestamp())
                    if first <= begin <= last:
                        is_open = weekday < 5 and OPENING <= hour < CLOSING  # noqa: PLR2004 - Saturday
                        slots.append(_Slot(begin, country.code, is_open, is_open and hour in LUNCH))
                        weights.append(weight * WEEKDAYS[weekday] * country.share)
        drawn = self.random.choices(slots, weights, k=calls) if calls else []
        return sorted((slot.begin + self.between(0, HOUR - 1), slot) for slot in drawn)

    def _add_inbound(self, line: _Line, started_at: int, slot: _Slot) -> None:
        party = self._who_calls(line, started_at)
        user = self._free_user(line.users, started_at) if slot.is_open else None
        reason = self._missed_reason(line, slot, user)
        if user is None or reason:
            self._add_missed(line, started_at, party, reason)
            return
        call = self._answered(user, party.subject)
        call["ring_seconds"] = line.menu_seconds + self.between(2, 35)
        call["teams"] = line.teams[: 1 if user in line.first_team and self.chance(0.85) else 2]
        if self.chance(0.08):
            other = self._free_user([other for other in self.users if other != user], started_at)
            if other is not None:
                call["transferred_by"], call["transferred_to"] = self.users[user], self.users[other]
        if line.has_menu:
            call["ivr_options_selected"] = self._menu_option(line, started_at)
        self._write_up(self._add(line, started_at, party, call), party, user)

    def _missed_reason(self, line: _Line, slot: _Slot, user: int | None) -> str | None:
        """Draw the reason for a missed call; None for an answered one."""
        if not slot.is_open:
            return "out_of_opening_hours"
        if user is None:
            return "no_available_agent"
        if not self.chance(0.34 if slot.is_lunch else 0.13):
            return None
        (reason,) = self.random.choices(list(MISSED), list(MISSED.values()))
        return "abandoned_in_ivr" if reason == "abandoned_in_classic" and line.has_menu else reason

    def _add_missed(self, line: _Line, started_at: int, party: _Party, reason: str | None) -> None:
        """Add a missed call, and remember it for a call back."""
        reason = reason or "no_available_agent"
        call: dict[str, Any] = {"missed_call_reason": reason, "talk_seconds": None}
        call["ring_seconds"] = line.menu_seconds + self.between(*RINGING[reason])
        if reason in WITH_VOICEMAIL and self.chance(0.45):
            call["leaves_voicemail"] = True
            call["ring_seconds"] += self.between(10, 40)
        if reason not in BEFORE_TEAMS:
            call["teams"] = line.teams[: 1 if self.chance(0.7) else 2]
            if line.has_menu:
                call["ivr_options_selected"] = self._menu_option(line, started_at)
        if self.chance(0.2):
            call["assigned_to"] = self.users[self.pick(line.users)]
        added = self._add(line, started_at, party, call)
        if party.digits != ANONYMOUS and self.chance(0.75):
            line.missed.append(_Missed(started_at, party))
            if reason == "no_available_agent" and self.chance(0.5):
                self._tag(added, ["Callback Request"], None)

    def _add_outbound(self, line: _Line, started_at: int, slot: _Slot) -> None:
        user = self._free_user(line.users, started_at)
        if user is None:  # all users are busy: it is an inbound call
            self._add_inbound(line, started_at, slot)
            return
        party = self._whom_to_call(line, started_at)
        if self.chance(0.7):
            call = self._answered(user, party.subject) | {"ring_seconds": self.between(3, 30)}
            self._write_up(self._add(line, started_at, party, call | {"direction": "outbound"}), party, user)
            return
        call = {"user": self.users[user], "talk_seconds": None, "ring_seconds": self.between(12, 45)}
        added = self._add(line, started_at, party, call | {"direction": "outbound"})
        if self.chance(0.15):
            self._tag(added, ["Voicemail drop"], None)

    def _who_calls(self, line: _Line, started_at: int) -> _Party:
        """Draw a caller, number and subject; perhaps those of a missed call."""
        if line.missed and self.chance(0.2):
            at, party = line.missed[-1]
            if at > started_at - DAY and party.caller.busy_until < started_at:
                line.missed.pop()
                return party
        caller = self._caller(line.number["country"], started_at, 0.7)
        is_known = caller.contact is not None
        subject = WRONG_NUMBER if not is_known and self.chance(0.15) else self.pick(line.subjects)
        digits = ANONYMOUS if not is_known and self.chance(0.06) else self.pick(caller.digits)
        return _Party(caller, digits, subject)

    def _whom_to_call(self, line: _Line, started_at: int) -> _Party:
        """Draw whom to call, and the subject; perhaps those of the first missed call."""
        while line.missed and line.missed[0].at < started_at - CALLBACK_SECONDS:
            line.missed.popleft()
        if line.missed and self.chance(0.6):
            _, party = line.missed.popleft()
            if party.caller.busy_until < started_at and party.subject is not WRONG_NUMBER:
                return party
        caller = self._caller(line.number["country"], started_at, 0.85)
        return _Party(caller, self.pick(caller.digits), self.pick(line.subjects))

    def _caller(self, country: str, started_at: int, known: float) -> _Caller:
        """Draw a caller who is not on the phone, a contact with probability `known`; a few call often."""
        while True:
            contacts = self.callers[country]
            pool = contacts if contacts and self.chance(known) else self.strangers[country]
            caller = pool[int(len(pool) * self.random.random() ** 2.5)]
            if caller.busy_until < started_at:
                return caller

    def _free_user(self, users: list[int], started_at: int) -> int | None:
        """Draw a user who is not on the phone; None if all are."""
        free = [user for user in users if self.busy_until[user] < started_at]
        return self.pick(free) if free else None

    def _answered(self, user: int, subject: Subject) -> dict[str, Any]:
        """Draw the length of a conversation."""
        talk = self.between(6, 19)
        if subject is not WRONG_NUMBER:
            talk = 18 + int(self.random.expovariate(1 / (60 * subject.minutes)))
        return {"user": self.users[user], "talk_seconds": talk, "duration_excess": int(self.chance(0.3))}

    def _add(self, line: _Line, started_at: int, party: _Party, call: dict[str, Any]) -> Record:
        """Add a call, and mark its parties as busy until its end."""
        caller = party.caller
        known = {"contact": caller.contact, "country_code_a2": caller.country}
        added = self.world.add_call(
            started_at=started_at,
            number=line.number,
            raw_digits=party.digits,
            recalculated_after=self.between(90, 1_200),
            moves_start=self.chance(0.01),
            archived=self.chance(0.1),
            **(known if party.digits != ANONYMOUS else dict.fromkeys(known)),
            **call,
        )
        caller.busy_until = started_at + call["ring_seconds"] + (call["talk_seconds"] or 0)
        for role in ("user", "transferred_to"):
            if role in call:
                self.busy_until[call[role]["id"]] = caller.busy_until
        self.world.subjects[added["id"]] = party.subject
        return added

    def _write_up(self, call: Record, party: _Party, user: int) -> None:
        """Draw tags and a comment that a user adds after a call."""
        subject = party.subject
        names = [subject.tag] if subject.tag and self.chance(0.5) else []
        if party.caller.is_vip and self.chance(0.8):
            names.append("VIP")
        if names:
            self._tag(call, names, user)
        at = self._later(call)
        if at is not None and subject.comment and self.chance(0.2):
            comment = {
                "id": 150_000_000 + self.between(0, 10_000_000 - 1),
                "content": self.world.intelligence.conversation(call["id"]).comment,
                "posted_at": at,
                "posted_by": self.authors[user] if self.chance(0.85) else None,
            }
            self.world.edit_call(call["id"], comments=[comment])

    def _tag(self, call: Record, names: list[str], user: int | None) -> None:
        """Tag a call as a user, or as Aircall itself (None)."""
        at = self._later(call)
        if at is not None:
            author = None if user is None else self.authors[user]
            tags = [self.tags[name] for name in names]
            tagged = [{"id": tag["id"], "name": tag["name"], "created_at": at, "tagged_by": author} for tag in tags]
            self.world.edit_call(call["id"], tags=tagged)

    def _later(self, call: Record) -> int | None:
        """Draw a time within hours of a call's end; None if it is in the future."""
        if call["ended_at"] is None:
            return None
        at: int = call["ended_at"] + int(self.random.expovariate(1 / HOUR)) + 5
        return at if at <= self.now else None

    def _menu_option(self, line: _Line, started_at: int) -> list[Record]:
        """Draw a choice in the menu."""
        title = self.pick(LINES[line.name])
        return [
            {
                "id": f"ivr-{started_at}-{line.number['id']}",
                "title": title,
                "key": str(LINES[line.name].index(title) + 1),
                "branch": None,
                "created_at": iso(started_at + 2),
                "transition_started_at": iso(started_at + 3),
                "transition_ended_at": iso(started_at + 4),
            }
        ]


def _mail_name(first: str, last: str) -> str:
    return f"{first}.{last}".lower().replace(" ", "-").replace("'", "")
