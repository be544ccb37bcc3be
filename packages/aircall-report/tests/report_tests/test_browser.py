"""The page in a real browser: it shows, asks nobody, obeys the keyboard, and can be heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from report_tests.company import Company, days_ago, hostile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Request

ANNE = {"main_user_id": 11, "main_user_name": "Anne Bois"}
BOB = {"main_user_id": 12, "main_user_name": "Bob Carr"}
SALES = {"number_id": 2, "number_name": "Sales"}
expect.set_options(timeout=100_000)  # on any machine, however busy
SIZES = {"desk": (1280, 900), "phone": (360, 740)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages: `usual.html`, `hostile.html` and `empty.html`."""
    folder = tmp_path_factory.mktemp("pages")
    companies = {name: Company(folder / f"{name}.duckdb") for name in ("usual", "hostile", "empty")}
    _fill(companies["usual"])
    hostile(companies["hostile"])
    for name, company in companies.items():
        (folder / f"{name}.html").write_text(company.page(company="Fleming Ltd"), encoding="utf-8")
    return folder


def _fill(company: Company) -> None:
    """Fill all that the page can show: over 28 days two calls a day, of two numbers."""
    for days in range(30):
        company.add(
            "calls",
            company.call(days_ago(days, 9 + days % 9), **(ANNE if days % 3 else BOB)),
            company.missed(days_ago(days, 15), missed_call_reason="no_available_agent", **SALES),
        )
    company.shift(11, "Anne Bois")
    today = days_ago(0)[:10]
    counts = ("inbound_calls", "answered_calls", "missed_calls", "calls_in_sla", "calls_sla_uncertain")
    team = dict.fromkeys(counts, 3) | {"time_to_answer_seconds_total": 30}
    company.add("team_days", {"team_id": 1, "team_name": "Billing", "call_date": today} | team)
    company.add("call_tags", {"number_id": 1, "call_date": today, "tag_name": "VIP", "is_missed": False})
    company.add(
        "conversations",
        {
            "number_id": 1,
            "call_date": today,
            "topics": "price",
            "topics_count": 1,
            "sentiment": "NEGATIVE",
            "csat_score": 9,
        },
    )
    company.add(
        "messages", {"number_id": 1, "message_date": today, "channel": "sms", "direction": "inbound", "kind": "single"}
    )
    company.add(
        "missed_callers",
        *(
            company.caller(
                days_ago(place), contact_name=f"Caller {chr(ord('A') + place) * 3}", contact_company="Petit SA"
            )
            for place in range(15)
        ),
    )
    company.add("freshness", {"stream": "calls", "is_loaded": True, "row_count": 60})
    lacking = {"calls_at_aircall": 3, "calls_here": 2, "calls_lacking": 1, "is_complete": False}
    company.add("completeness", {"date": today} | lacking)


@pytest.fixture
def opened(browser: Browser, folder: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in the browser, of a name, size and scheme of colours; nothing may go wrong in it, or be asked for."""
    scheme: Literal["light", "dark"]
    name, size, scheme = getattr(request, "param", ("usual", "desk", "light"))
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(100_000)
    wrong: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        wrong.append(f"console: {message.text}")

    def note_request(asked: Request) -> None:
        if asked.url != address:
            wrong.append(f"request: {asked.url}")

    def note_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    address = (folder / f"{name}.html").as_uri()
    page.on("console", note_message)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", note_request)
    page.on("dialog", note_dialog)
    page.goto(address)
    yield page
    context.close()
    assert wrong == []


def faults(page: Page) -> list[str]:
    """Return the faults of any weight that axe finds on a page."""
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html'][:300]}" for fault in violations for node in fault["nodes"]]


@pytest.mark.parametrize(
    "opened",
    [("usual", "desk", "light"), ("usual", "phone", "dark"), ("hostile", "phone", "light"), ("empty", "desk", "dark")],
    indirect=True,
    ids=" ".join,
)
def test_axe_finds_no_fault_and_nothing_is_wider_than_the_screen(opened: Page) -> None:
    if opened.locator("#filters").is_visible():
        opened.locator("summary").click()
    assert faults(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_charts_are_there(opened: Page) -> None:
    plot = opened.get_by_role("img", name="Columns of answered and missed inbound calls.")
    sizes = plot.locator("rect").evaluate_all("rects => rects.map(rect => rect.getBoundingClientRect().toJSON())")
    assert len(sizes) == 56
    assert all(size["width"] > 5 and size["height"] > 20 for size in sizes)
    assert opened.get_by_role("img", name="Line of the share of answered calls in SLA").locator("circle").count() == 28
    assert plot.locator("title").first.text_content() == "Wed 28 Oct 2026: 1 answered, 1 missed"
    cells = opened.locator(".heat td")
    colours = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).backgroundColor)")
    assert len(set(colours)) > 3


def test_period_and_number_are_chosen_by_keyboard(opened: Page) -> None:
    lead, figure = opened.locator(".lead"), opened.locator(".figures dd b").first
    expect(lead).to_have_text("Wed 28 Oct 2026 to Tue 24 Nov 2026. 56 inbound calls: 50% answered, 28 missed.")
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("link", name="Skip to the figures")).to_be_focused()
    opened.keyboard.press("Tab")
    expect(opened.get_by_label("Period")).to_be_focused()
    opened.keyboard.press("ArrowUp")
    expect(figure).to_have_text("14")
    expect(opened.get_by_label("Period")).to_be_focused()
    opened.keyboard.press("Tab")
    opened.keyboard.type("Sal")
    expect(lead).to_have_text("Sales, Wed 18 Nov 2026 to Tue 24 Nov 2026. 7 inbound calls: 0% answered, 7 missed.")
    expect(opened.get_by_role("status").first).to_have_text(lead.text_content() or "")
    expect(opened.get_by_text("Nobody is waiting")).to_be_visible()
    opened.keyboard.press("Home")
    opened.keyboard.press("Shift+Tab")
    opened.keyboard.press("ArrowDown")
    expect(lead).to_have_text("Wed 28 Oct 2026 to Tue 24 Nov 2026. 56 inbound calls: 50% answered, 28 missed.")
    expect(opened.get_by_text("15 callers were missed")).to_be_visible()


def test_callers_are_found_by_what_is_typed(opened: Page) -> None:
    rows = opened.locator("#callers tbody tr").filter(visible=True)
    expect(rows).to_have_count(10)
    more = opened.get_by_role("button", name="Show all 15")
    more.focus()
    opened.keyboard.press("Enter")
    expect(rows).to_have_count(15)
    expect(more).to_be_hidden()
    expect(opened.get_by_label("Find in this list")).to_be_focused()
    opened.keyboard.type("petit mmm")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Caller MMM")
    expect(opened.locator(".found")).to_have_text("1 of 15")


def test_tables_are_sorted_by_keyboard(opened: Page) -> None:
    table = opened.locator("#agents table")
    names, head = table.locator("tbody th"), table.get_by_role("columnheader", name="Answered")
    in_order = ["Anne Bois", "Bob Carr"]
    for order in ("descending", "ascending", "descending"):
        head.get_by_role("button").press("Enter")
        expect(head).to_have_attribute("aria-sort", order)
        assert names.all_text_contents() == (in_order if order == "descending" else in_order[::-1])
    agent = table.get_by_role("columnheader", name="Agent")
    for order in ("ascending", "descending", "ascending"):
        agent.get_by_role("button").press("Enter")
        expect(agent).to_have_attribute("aria-sort", order)
        assert names.all_text_contents() == (in_order if order == "ascending" else in_order[::-1])
    assert head.get_attribute("aria-sort") is None


@pytest.mark.parametrize("opened", [("usual", "desk", "dark")], indirect=True)
def test_print_is_dark_on_white_without_what_cannot_be_pressed(opened: Page) -> None:
    opened.emulate_media(media="print")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(28, 38, 48)"
    for hidden in ("#filters", "nav", ".search", ".more", "details"):
        expect(opened.locator(hidden).first).to_be_hidden()
    expect(opened.get_by_text("Inbound calls over time").first).to_be_visible()


def test_without_scripts_the_page_shows_its_first_view(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "usual.html").as_uri())
    expect(page.locator(".lead")).to_contain_text("56 inbound calls")
    expect(page.locator("#callers tbody tr").filter(visible=True)).to_have_count(15)
    expect(page.locator("#filters")).to_be_hidden()
    context.close()
