"""The page is one file that asks no host for anything, and believes no text of the data."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from report_tests.company import NAMES, PageReader, days_ago, hostile, large
from tap_aircall.errors import one_line

if TYPE_CHECKING:
    from report_tests.company import Company

PEOPLE = ("Anne Bois", "Zoé Petit", "Petit SA", "+33 1 99 00 12 34", "33199001234", "Karl Hof")


def test_the_page_holds_all_that_it_needs_and_names_no_other_host(company: Company) -> None:
    company.add("calls", company.call(days_ago(0)))
    page = company.page()
    assert re.findall(r"(?i)\b(?:https?:|//|src=|srcset=|url\(|@import|<link|<iframe|<img|<object|<base)", page) == []
    assert set(re.findall(r'href="([^"]*)"', page)) <= {f"#{name}" for name in re.findall(r'id="([\w-]+)"', page)}


def test_the_policy_allows_the_scripts_and_styles_of_the_page_alone(company: Company) -> None:
    company.add("calls", company.call(days_ago(0)))
    page = company.page()
    ((policy,), (script,), (style,)) = (
        re.findall(pattern, page, re.DOTALL)
        for pattern in ('Content-Security-Policy" content="(.*?)"', "<script>(.*?)</script>", "<style>(.*?)</style>")
    )
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    assert policy.replace("&#39;", "'") == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert re.findall(r"(?i)<[^>]* (?:style|on\w+)=", page) == []


def test_a_hostile_name_is_text_like_any_other(company: Company) -> None:
    hostile(company)

    page = company.page(company="<b>Evil & Sons</b>")

    reader = PageReader(page)
    shown = {one_line(name) for name in NAMES}
    for caption, column in (
        ("Calls of each agent", 0),
        ("Time of each agent by state", 0),
        ("Calls of each of the numbers", 0),
        ("Calls of each of the teams", 0),
        ("Calls by tag", 0),
        ("Calls by topic", 0),
    ):
        rows = reader.opened.tables[caption][1:]
        missing = shown - {row[column] for row in rows}
        assert missing == {""}, caption
    ((_, *callers),) = [rows for caption, rows in reader.opened.tables.items() if caption.startswith("Callers who")]
    assert {one_line(f"{name} {name}") for name in NAMES[1:4]} <= {one_line(row[0]) for row in callers}
    assert "<b>Evil" not in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", page)
    assert len(re.findall("<script", page)) == 1


def test_without_names_no_person_is_in_the_page(company: Company) -> None:
    agent = {"main_user_id": 77, "main_user_name": "Anne Bois"}
    company.add(
        "calls",
        company.call(days_ago(0), **agent),
        company.call(days_ago(1), main_user_id=5, main_user_name="Karl Hof"),
    )
    company.add(
        "missed_callers",
        company.caller(
            days_ago(0),
            caller_key="33199001234",
            contact_name="Zoé Petit",
            contact_company="Petit SA",
            assigned_to_name="Anne Bois",
        ),
    )
    company.shift(77, "Anne Bois")
    named, anonymous = company.page(), company.page(anonymous=True)
    assert [person for person in PEOPLE if person not in named] == []
    assert [person for person in PEOPLE if person in anonymous] == []
    reader = PageReader(anonymous)
    assert [row[0] for row in reader.opened.tables["Calls of each agent"][1:]] == ["Agent 1", "Agent 2"]
    ((_, caller),) = [rows for caption, rows in reader.opened.tables.items() if caption.startswith("Callers who")]
    assert caller[:2] == ["Caller 1", "900"]
    assert "Names and phone numbers of people are left out." in reader.opened.text


@pytest.mark.parametrize("digits", ["+33 1 99 00 12 34", "+44 (0)20-7946.0018"])
def test_a_phone_number_can_be_called(company: Company, digits: str) -> None:
    company.add("calls", company.missed(days_ago(0)))
    company.add("missed_callers", company.caller(days_ago(0), raw_digits=digits))
    assert f'<a href="tel:+{re.sub("[^0-9]", "", digits)}">{digits}</a>' in company.page()


@pytest.mark.parametrize("digits", ["javascript:alert(1)", '+33" onclick="alert(1)', "+٣٣١٩٩٠٠١٢٣٤", "+1"])
def test_what_is_no_phone_number_is_no_link(company: Company, digits: str) -> None:
    company.add("calls", company.missed(days_ago(0)))
    company.add("missed_callers", company.caller(days_ago(0), raw_digits=digits))
    assert '<a href="tel' not in company.page()


@pytest.mark.parametrize("thousands", [30, pytest.param(201, marks=pytest.mark.slow)])
def test_any_number_of_calls_of_many_people_makes_a_page_of_bounded_size(company: Company, thousands: int) -> None:
    large(company, calls=thousands * 1_000)

    page = company.page()

    assert len(page.encode()) < 8_000_000
    reader = PageReader(page)
    everything = reader.views["all all"]
    assert everything.figures["Inbound calls"] == [f"{thousands * 2 // 3},000", f"{thousands // 3},000 outbound"]
    assert len(everything.tables["Calls of each agent"]) == 41
    assert "1,960 more agents had fewer calls." in everything.text
    assert len(everything.tables["Calls of each of the numbers"]) == 41
    assert len(reader.views) == 4 * 13 - 1
