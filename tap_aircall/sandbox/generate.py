"""Makes up a company: the same seed and the same time give the same data, to the byte."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from faker import Faker

from tap_aircall.sandbox.templates import iso

if TYPE_CHECKING:
    from tap_aircall.sandbox.templates import Record
    from tap_aircall.sandbox.world import World

DAY = 86_400
HOUR = 3_600
NAMES = 400
"""So many first and last names are drawn from Faker, and then combined: it is too slow for a name a contact."""
MISSED_REASONS = (
    "out_of_opening_hours",
    "short_abandoned",
    "abandoned_in_ivr",
    "abandoned_in_classic",
    "no_available_agent",
    "agents_did_not_answer",
)
TAGS = (
    ("Callback Request", "queue_callback"),
    ("Voicemail drop", "voicemail_drop"),
    *(
        (name, None)
        for name in ("Interested", "Not interested", "VIP", "Complaint", "Billing", "Refund", "Wrong number")
    ),
)
TEAMS = ("Sales", "Support", "Customer Success", "Billing", "Partners", "Logistics")
NUMBERS = (
    ("FR", "Europe/Paris", "+33 1 99 00 {} {}"),
    ("US", "America/New_York", "+1 202-555-{}{}"),
    ("GB", "Europe/London", "+44 20 7946 0{}{}"),
    ("DE", "Europe/Berlin", "+49 30 23125 {}{}"),
)
HOURS = (0, 0, 0, 0, 0, 0, 1, 4, 18, 30, 34, 28, 16, 22, 32, 30, 26, 16, 6, 3, 1, 1, 0, 0)
"""How many calls begin in each hour of a working day (UTC), in proportion."""
WEEKEND = 0.08
"""Calls of a day at the weekend, as a share of those of a working day."""


def generate_company(
    world: World,
    *,
    seed: int,
    calls: int = 12_500,
    contacts: int = 11_000,
    users: int = 45,
    days: int = 90,
) -> None:
    """Fill an empty world.

    Args:
        world: Its `now` is the time at which the last calls are going on.
        seed: Same seed, same data.
        calls: How many calls.
        contacts: How many contacts.
        users: How many users.
        days: Over how many days the calls are spread.
    """
    maker = _Maker(world, seed, days)
    maker.make_directory(users)
    maker.make_contacts(contacts)
    maker.make_calls(calls)


class _Maker:
    def __init__(self, world: World, seed: int, days: int) -> None:
        self.world = world
        self.dice = random.Random(seed)  # noqa: S311 - not for secrets
        self.days = days
        self.now = int(world.now)
        faker = Faker(["en_US", "en_GB", "fr_FR", "de_DE"])
        faker.seed_instance(seed)
        self.first_names = [faker.first_name() for _ in range(NAMES)]
        self.last_names = [faker.last_name() for _ in range(NAMES)]
        self.companies = [faker.company() for _ in range(NAMES)]
        self.sentences = [faker.sentence() for _ in range(NAMES)]
        world.company_name = faker.company()

    def chance(self, share: float) -> bool:
        """Say yes in so many of all cases."""
        return self.dice.random() < share

    def make_directory(self, users: int) -> None:
        world, dice = self.world, self.dice
        opened = self.now - 900 * DAY
        for name, description in TAGS:
            color = f"#{dice.randrange(16**6):06X}"
            world.add("tags", name=name, description=description, color=color)
        for position, (country, zone, pattern) in enumerate(NUMBERS * 3):
            digits = pattern.format(f"{position:02d}", f"{dice.randrange(100):02d}")
            created_at = iso(opened + position * DAY)
            name = f"{country} line {position // len(NUMBERS) + 1}"
            world.add("numbers", name=name, digits=digits, country=country, time_zone=zone, created_at=created_at)
        numbers = list(world.kinds["numbers"])
        for position in range(users):
            first, last = dice.choice(self.first_names), dice.choice(self.last_names)
            user = world.add(
                "users",
                name=f"{first} {last}",
                email=f"{first}.{last}.{position}@example.com".lower().replace(" ", "-").replace("'", ""),
                created_at=iso(opened + dice.randrange(800 * DAY)),
                time_zone=dice.choice(NUMBERS)[1],
                extension=f"{position + 1:03d}",
                wrap_up_time=dice.choice([0, 0, 30, 60]),
                default_number_id=dice.choice([None, dice.choice(numbers)]),
                availability=dice.choice(["available", "offline", "do_not_disturb", "in_call", "after_call_work"]),
            )
            world.user_numbers[user["id"]] = sorted(dice.sample(numbers, dice.randint(1, 3)))
        ids = list(world.kinds["users"])
        for name in TEAMS:
            members = [world.member(user) for user in sorted(dice.sample(ids, min(len(ids), dice.randint(3, 12))))]
            world.add("teams", name=name, users=members, created_at=iso(opened + dice.randrange(800 * DAY)))
        for position in range(3):
            world.add(
                "webhooks", url=f"https://hooks.example.com/aircall/{position}", created_at=iso(opened + position * DAY)
            )

    def make_contacts(self, contacts: int) -> None:
        dice = self.dice
        for created_at in sorted(self.now - dice.randrange(HOUR, 1_400 * DAY) for _ in range(contacts)):
            first, last = dice.choice(self.first_names), dice.choice(self.last_names)
            edited = created_at + dice.randrange(self.now - created_at) if self.chance(0.4) else created_at
            with_email = self.chance(0.7)
            mail = f"{first}.{last}@example.org".lower().replace(" ", "-").replace("'", "")
            number = f"+1202555{dice.randrange(10_000):04d}"
            phone_id, email_id = 2**31 + dice.randrange(2**30), 2**31 + dice.randrange(2**30)
            self.world.add_contact(
                created_at=created_at,
                updated_at=edited,
                first_name=first,
                last_name=last if self.chance(0.95) else None,
                company_name=dice.choice(self.companies) if self.chance(0.6) else None,
                information=dice.choice(self.sentences) if self.chance(0.2) else None,
                phone_numbers=[{"id": phone_id, "label": "Work", "value": number}],
                emails=[{"id": email_id, "label": "Work", "value": mail}] if with_email else [],
            )

    def make_calls(self, calls: int) -> None:
        world = self.world
        users = {identity: world.call_user(identity) for identity in world.kinds["users"]}
        authors = {identity: world.author(identity) for identity in users}
        numbers = [world.call_number(identity) for identity in world.kinds["numbers"]]
        contacts = list(world.contacts.values())
        teams = [
            {name: team[name] for name in ("id", "name", "direct_link", "created_at")}
            for team in world.kinds["teams"].values()
        ]
        tags = list(world.kinds["tags"].values())
        for started_at in self._starts(calls):
            world.add_call(
                started_at=started_at,
                **self._call(
                    started_at, users=users, authors=authors, numbers=numbers, contacts=contacts, teams=teams, tags=tags
                ),
            )

    def _starts(self, calls: int) -> list[int]:
        """Draw when calls begin: office hours, and few at weekends."""
        midnight = self.now - self.now % DAY
        slots, weights = [], []
        for day in range(self.days + 1):
            begin = midnight - day * DAY
            busy = WEEKEND if datetime.fromtimestamp(begin, UTC).weekday() > 4 else 1.0  # noqa: PLR2004 - Saturday on
            for hour, weight in enumerate(HOURS):
                if weight and self.now - self.days * DAY <= begin + hour * HOUR <= self.now - HOUR:
                    slots.append(begin + hour * HOUR)
                    weights.append(weight * busy)
        return sorted(slot + self.dice.randrange(HOUR) for slot in self.dice.choices(slots, weights, k=calls))

    def _call(
        self,
        started_at: int,
        *,
        users: dict[int, Record],
        authors: dict[int, Record],
        numbers: list[Record],
        contacts: list[Record],
        teams: list[Record],
        tags: list[Record],
    ) -> dict[str, Any]:
        """Draw the rest of a call."""
        dice = self.dice
        inbound = self.chance(0.6)
        missed = self.chance(0.22 if inbound else 0.3)
        user_id = dice.choice(list(users))
        contact = dice.choice(contacts) if contacts and self.chance(0.5) else None
        raw_digits = f"+1 202-555-{dice.randrange(10_000):04d}"
        call: dict[str, Any] = {
            "direction": "inbound" if inbound else "outbound",
            "ring_seconds": dice.randint(2, 40),
            "talk_seconds": None if missed else int(dice.expovariate(1 / 240)) + 5,
            "recalculated_after": dice.randint(90, 1_200),
            "duration_excess": int(not missed and self.chance(0.3)),
            "moves_start": self.chance(0.01),
            "number": dice.choice(numbers),
            "user": None if missed and inbound else users[user_id],
            "raw_digits": "anonymous" if self.chance(0.02) else raw_digits,
            "country_code_a2": dice.choice(["US", "FR", "GB", "DE", None]),
            "contact": contact,
        }
        if inbound:
            call["teams"] = dice.sample(teams, dice.randint(0, min(2, len(teams))))
        if missed and inbound:
            call["missed_call_reason"] = dice.choice(MISSED_REASONS)
            call["leaves_voicemail"] = self.chance(0.4)
        if not missed and self.chance(0.08):
            call["transferred_by"] = users[user_id]
            call["transferred_to"] = users[dice.choice(list(users))]
        if self.chance(0.05):
            call["assigned_to"] = users[dice.choice(list(users))]
        call["archived"] = self.chance(0.1)
        edited_at = started_at + dice.randint(60, DAY)
        edited = edited_at <= self.now
        if self.chance(0.25) and edited:
            call["tags"] = [
                {
                    "id": tag["id"],
                    "name": tag["name"],
                    "created_at": edited_at,
                    "tagged_by": authors[user_id],
                }
                for tag in dice.sample(tags, dice.randint(1, 2))
            ]
        if self.chance(0.15) and edited:
            call["comments"] = [
                {
                    "id": 150_000_000 + dice.randrange(10_000_000),
                    "content": dice.choice(self.sentences),
                    "posted_at": edited_at,
                    "posted_by": authors[user_id] if self.chance(0.8) else None,
                }
            ]
        if inbound and self.chance(0.3):
            call["ivr_options_selected"] = [
                {
                    "id": f"ivr-{started_at}",
                    "title": dice.choice(TEAMS),
                    "key": str(dice.randint(1, 9)),
                    "branch": None,
                    "created_at": iso(started_at + 2),
                    "transition_started_at": iso(started_at + 3),
                    "transition_ended_at": iso(started_at + 4),
                }
            ]
        return call
