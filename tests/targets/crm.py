"""A CRM with some of a company's callers, and what its page has to find of their calls."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.targets.answers import key_of, part
from tests.targets.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.targets.answers import Answers

Record = dict[str, Any]
PAGE = (ROOT / "docs/crm.md").read_text(encoding="utf-8")
TABLES = {
    "HubSpot, loaded by Fivetran": {
        "hubspot.contact": "property_associatedcompanyid property_phone property_mobilephone",
        "hubspot.company": "id property_name property_hubspot_owner_id",
        "hubspot.owner": "owner_id email",
    },
    "HubSpot, loaded by Airbyte": {
        "hubspot.contacts": "properties_associatedcompanyid properties_phone properties_mobilephone",
        "hubspot.companies": "id properties_name properties_hubspot_owner_id",
        "hubspot.owners": "id email",
    },
    "Salesforce, loaded by Fivetran": {
        "salesforce.contact": "account_id phone mobile_phone",
        "salesforce.account": "id name owner_id",
        'salesforce."user"': "id email",
    },
    "Salesforce, loaded by Airbyte": {
        'salesforce."Contact"': '"AccountId" "Phone" "MobilePhone"',
        'salesforce."Account"': '"Id" "Name" "OwnerId"',
        'salesforce."User"': '"Id" "Email"',
    },
}
"""Tables of people, accounts and owners, by the heading of the page."""


def wrong_crms(answers: Answers, query: Callable[[str], list[Record]]) -> list[str]:
    """Make each CRM beside the marts; return those of which the page does not find the right calls."""
    blocks = dict(re.findall(r"^##+ ([^\n]+)\n\n(?:[^#`]+\n\n)?```sql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
    people, accounts, owners = crm(answers)
    expected = calls_by_account(answers, people, {each[0]: each for each in accounts}, dict(owners))
    query("DELETE FROM analytics.aircall__calls WHERE call_id < 0")  # junk
    wrong = []
    for heading, tables in TABLES.items():
        schema = heading.split(",")[0].lower()
        statements = [f"CREATE SCHEMA {schema}"]
        for (table, columns), rows in zip(tables.items(), (people, accounts, owners), strict=True):
            values = ", ".join(str(tuple(value or "" for value in row)) for row in rows).replace("''", "NULL")
            statements.append(f"CREATE TABLE {table} ({', '.join(f'{name} text' for name in columns.split())})")
            statements.append(f"INSERT INTO {table} VALUES {values}")
        query("; ".join([*statements, blocks[heading]]))
        if [tuple(row.values()) for row in query(blocks["Their calls"])] != expected:
            wrong.append(heading)
        query(f"DROP VIEW analytics.crm_people; DROP SCHEMA {schema} CASCADE")
    return wrong


def crm(answers: Answers) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return people, accounts and owners."""
    users = list(answers.world.kinds["users"].values())[:2]
    owners = [(f"o{place}", user["email"].upper()) for place, user in enumerate(users)]
    accounts = [("a1", "Acme", "o0"), ("a2", "Blue", "o1"), ("a3", "Acme", None)]
    numbers = sorted({row["raw_digits"] for row in answers.rows.values() if row["caller_e164"]})[::3]
    people: list[tuple[Any, ...]] = [
        (("a1", "a2", "a3", None)[place % 4], digits.replace(" ", "-"), numbers[place - 1] if place % 9 == 8 else None)
        for place, digits in enumerate(numbers)
    ]
    digits = numbers[-1]
    return [*people, ("a1", "+33 (0)" + digits[3:], None), ("a2", digits.removeprefix("+"), "ext. 5")], accounts, owners


def calls_by_account(
    answers: Answers, people: list[tuple[Any, ...]], accounts: dict[str, tuple[Any, ...]], owners: dict[str, str]
) -> list[tuple[Any, ...]]:
    """Count calls as the page says."""
    of_number: dict[str | None, set[str | None]] = defaultdict(set)
    for account, *phones in people:
        for phone in phones:
            if phone and phone.startswith("+") and "(0)" not in phone:
                of_number[key_of(phone)].add(account)
    counts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in answers.ended:
        contact = answers.contacts.get(row["contact_id"])
        numbers = [each["value"] for each in part(contact, "phone_numbers") or [] if each["value"].startswith("+")]
        found = set().union(*(of_number.get(key_of(phone), set()) for phone in [*numbers, row["raw_digits"]] if phone))
        key: tuple[Any, ...] = (None, "(several accounts)" if found else "(not in the CRM)", None)
        if len(found) == 1:
            (account,) = found
            identity, name, owner = accounts.get(account or "", (None, "(no account)", None))
            key = (identity, name, owners.get(owner))
        users = {identity: user["email"] for identity, user in answers.world.kinds["users"].items()}
        counts[key][0] += 1
        counts[key][1] += bool(key[2]) and users.get(row["main_user_id"], "").upper() == key[2]
        counts[key][2] += row["talk_seconds"] or 0
    return sorted(((*key, *count) for key, count in counts.items()), key=lambda row: (-row[3], row[1], row[0] or ""))
