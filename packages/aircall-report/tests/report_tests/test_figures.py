"""The page shows what the marts have: each table, number by number."""

from __future__ import annotations

import pytest

from aircall_report.wording import NOTHING
from report_tests.company import Company, PageReader, View, days_ago, page_of

OTHER = {"number_id": 2, "number_name": "Sales"}
ANNE = {"main_user_id": 11, "main_user_name": "Anne Bois"}
BOB = {"main_user_id": 12, "main_user_name": "Bob Carr"}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    """What the page opens with: the calls of two numbers today, some yesterday, and one two months ago."""
    company = Company(tmp_path_factory.mktemp("figures") / "warehouse.duckdb")
    company.add(
        "calls",
        company.call("2026-11-24T09:59:59", **ANNE),
        company.call("2026-11-24T10:00:00", time_to_answer_seconds=20, talk_seconds=3600, **ANNE),
        company.call("2026-11-24T10:00:00", time_to_answer_seconds=21, is_sla_uncertain=True, **BOB),
        company.call("2026-11-23T10:59:59", time_to_answer_seconds=200, **BOB, **OTHER),
        company.call("2026-11-23T10:00:00", is_ended=False, **ANNE),
        company.call("2026-11-23T11:00:00", direction="outbound", talk_seconds=1800, is_callback=True, **ANNE),
        company.call("2026-11-23T11:00:00", direction="outbound", is_answered=False, **ANNE, **OTHER),
        company.missed("2026-11-24T10:30:00", missed_call_reason="agents_did_not_answer", callback_status="waiting"),
        company.missed("2026-11-24T22:30:00", missed_call_reason="out_of_opening_hours", has_voicemail=True),
        company.missed(
            "2026-11-22T22:30:00", missed_call_reason="out_of_opening_hours", callback_status="called_again"
        ),
        company.missed("2026-11-24T10:45:00", callback_status="called_back", **OTHER),
        company.call("2026-09-24T10:45:00", **OTHER),
    )
    return PageReader(company.page()).opened


def test_the_key_figures(view: View) -> None:
    assert view.figures == {
        "Inbound calls": ["8", "2 outbound"],
        "Answered": ["50%", f"before: {NOTHING}"],
        "Missed": ["4", "2 while open"],
        "In SLA (20 s)": ["≥ 50%", f"before: {NOTHING}"],
        "Time to answer": ["1 min 3 s", f"before: {NOTHING}"],
        "Missed, still waiting": ["1", "2 reached later"],
    }


def test_calls_over_time(view: View) -> None:
    head, *days = view.tables["Inbound calls over time"]
    assert head == ["Day", "Inbound", "Answered", "Missed", "In SLA"]
    assert len(days) == 28
    assert days[0] == ["Wed 28 Oct 2026", "0", "0", "0", NOTHING]
    assert days[-3:] == [
        ["Sun 22 Nov 2026", "1", "0", "1", NOTHING],
        ["Mon 23 Nov 2026", "1", "1", "0", "0%"],
        ["Tue 24 Nov 2026", "6", "3", "3", "≥ 67%"],
    ]


def test_calls_by_hour_and_day_of_the_week(view: View) -> None:
    hours = {row[0]: row[1:] for row in view.tables["Inbound calls"][1:]}
    assert list(hours) == [f"{hour:02d}:00" for hour in range(9, 23)]
    assert hours["09:00"] == ["0", "1", "0", "0", "0", "0", "0"]
    assert hours["10:00"] == ["1", "4", "0", "0", "0", "0", "0"]
    assert hours["22:00"] == ["0", "1", "0", "0", "0", "0", "1"]
    missed = {row[0]: row[1:] for row in view.tables["Of these, missed"][1:]}
    assert list(missed) == list(hours)
    assert missed["10:00"] == ["0", "2", "0", "0", "0", "0", "0"]
    assert "Most calls come on Tuesdays from 10:00 to 11:00 (4)." in view.text
    assert "Most calls are missed on Tuesdays from 10:00 to 11:00 (2)." in view.text


def test_why_calls_are_missed(view: View) -> None:
    assert view.tables["Missed calls by reason"][1:] == [
        ["Outside opening hours", "2", "50%", ""],
        ["Agents did not pick up", "1", "25%", ""],
        ["Not said", "1", "25%", ""],
    ]
    assert "In 1 of them, the caller left a voicemail." in view.text


def test_how_long_callers_wait(view: View) -> None:
    assert view.tables["Answered calls by time to answer"][1:] == [
        ["up to 10 s", "0", "0%", ""],
        ["11 to 20 s", "2", "50%", ""],
        ["21 to 30 s", "1", "25%", ""],
        ["31 to 60 s", "0", "0%", ""],
        ["61 to 120 s", "0", "0%", ""],
        ["more than 120 s", "1", "25%", ""],
    ]
    assert "1 call may have been in SLA as well" in view.text


def test_agents_and_numbers(view: View) -> None:
    assert view.tables["Calls of each agent"][1:] == [
        ["Anne Bois", "2", "100%", "16 s", "2", "50%", "1", "1.5 h"],
        ["Bob Carr", "2", "≥ 0%", "1 min 50 s", "0", NOTHING, "0", "0.0 h"],
    ]
    assert view.tables["Calls of each of the numbers"][1:] == [
        ["Support", "6", "3", "3", "50%", "≥ 67%", "18 s", "1"],
        ["Sales", "2", "1", "1", "50%", "0%", "3 min 20 s", "1"],
    ]


def test_teams_tags_topics_sentiments_and_messages(company: Company) -> None:
    company.add("calls", company.call(days_ago(0)), company.call(days_ago(40), **OTHER))
    today, before = days_ago(0)[:10], days_ago(40)[:10]
    columns = ("inbound_calls", "answered_calls", "missed_calls", "calls_in_sla", "calls_sla_uncertain")
    for team, name, day, counts in (
        (1, "Billing", today, (10, 8, 2, 6, 1)),
        (1, "Billing", before, (7, 7, 0, 7, 0)),
        (2, "Éclair", today, (20, 20, 0, 20, 0)),
    ):
        row = dict(zip(columns, counts, strict=True)) | {"time_to_answer_seconds_total": counts[1] * 9}
        company.add("team_days", {"team_id": team, "team_name": name, "call_date": day} | row)
    company.add(
        "call_tags",
        *[{"number_id": 1, "call_date": today, "tag_name": "VIP", "is_missed": missed} for missed in (True, False)],
        {"number_id": 2, "call_date": today, "tag_name": "Refund", "is_missed": False},
        {"number_id": 2, "call_date": before, "tag_name": "VIP", "is_missed": False},
    )
    company.add(
        "conversations",
        {"number_id": 1, "call_date": today, "topics": "price, VAT", "topics_count": 2, "sentiment": "POSITIVE"},
        {"number_id": 1, "call_date": today, "topics": "price, VAT", "topics_count": 1, "csat_score": 81},
        {"number_id": 2, "call_date": today, "topics": "price", "topics_count": 1, "sentiment": "NEGATIVE"},
        {"number_id": 2, "call_date": before, "topics": "price", "topics_count": 1, "csat_score": 40},
    )
    company.add(
        "messages",
        *[{"number_id": 1, "message_date": today, "channel": "sms", "direction": "inbound", "kind": "single"}] * 3,
        {"number_id": 1, "message_date": today, "channel": "sms", "direction": "outbound", "kind": "single"},
        {"number_id": 1, "message_date": today, "channel": "sms", "direction": "inbound", "kind": "group"},
        {"number_id": 2, "message_date": before, "channel": "whatsapp", "direction": "inbound", "kind": "single"},
    )

    page = PageReader(company.page())

    assert page.opened.tables["Calls of each of the teams"][1:] == [
        ["Éclair", "20", "20", "0", "100%", "100%", "9 s"],
        ["Billing", "10", "8", "2", "80%", "≥ 75%", "9 s"],
    ]
    assert page.opened.tables["Calls by tag"][1:] == [["VIP", "2", "1", ""], ["Refund", "1", "0", ""]]
    assert page.opened.tables["Calls by topic"][1:] == [["price", "2", ""], ["VAT", "1", ""], ["price, VAT", "1", ""]]
    assert page.opened.tables["Conversations by sentiment of the other party"][1:] == [
        ["Positive", "1", "50%", ""],
        ["Neutral", "0", "0%", ""],
        ["Negative", "1", "50%", ""],
    ]
    assert "Predicted satisfaction: 81 of 100 on average, in 1 call." in page.opened.text
    assert page.opened.tables["Messages by channel"][1:] == [
        ["Group text", "1", "0", ""],
        ["Text message", "3", "1", ""],
    ]
    everything, sales = page.views["all all"], page.views["all number1"]
    assert everything.tables["Calls of each of the teams"][2] == ["Billing", "17", "15", "2", "88%", "≥ 87%", "9 s"]
    assert everything.tables["Messages by channel"][3] == ["WhatsApp", "1", "0", ""]
    assert sales.tables["Calls by tag"][1:] == [["Refund", "1", "0", ""], ["VIP", "1", "0", ""]]
    assert sales.tables["Calls by topic"][1:] == [["price", "2", ""]]
    assert "Calls of each of the teams" not in sales.tables


def test_what_agents_did_on_the_last_day_on_which_any_worked(company: Company) -> None:
    company.add("calls", company.call(days_ago(0), **ANNE), company.missed(days_ago(-1)))
    company.shift(11, "Anne Bois")
    unknown = dict.fromkeys(("after_call_work_seconds", "available_seconds", "away_seconds", "occupancy", "breaks"))
    company.shift(40, "", **unknown, began_at_local=days_ago(0, 10))

    view = PageReader(company.page()).opened

    _, anne, nameless = view.tables["Time of each agent by state"]
    assert anne == ["Anne Bois", "Out for lunch: 1 h", "09:00", "12:00", "1 h", "1 min", "59 min", "1 h", "51%"]
    assert nameless == ["User 40", "", "10:00", "12:00", "1 h", *[NOTHING] * 4]
    assert "Agents on Tue 24 Nov 2026" in view.text
    assert "(each hour from 09:00 to 12:00)" in view.text
    assert "Of 1 agent only calls are known" in view.text


def test_who_is_to_be_called_back(company: Company) -> None:
    company.add("calls", company.missed(days_ago(0)), company.missed(days_ago(0), **OTHER))
    sales = {"last_number_id": 2, "last_number_name": "Sales"}
    company.add(
        "missed_callers",
        company.caller("2026-11-24T20:30:00", contact_name="Zoé Petit", contact_company="Petit SA"),
        company.caller(
            "2026-11-20T21:30:00",
            raw_digits="sip:someone@host",
            missed_calls_waiting=3,
            voicemails_waiting=1,
            last_missed_call_reason="no_available_agent",
            last_team_names="Billing, Éclair",
            assigned_to_name="Anne Bois",
            **sales,
        ),
        company.caller("2025-12-31T23:00:00", raw_digits="", **sales),
        company.caller("2026-11-24T20:31:00", is_waiting=False),
    )

    page = PageReader(company.page())

    caption = "Callers who were missed, and neither called back nor answered since; the latest first"
    zoe = ["Zoé Petit Petit SA", "+33 1 99 00 12 34", "24 Nov, 20:30", "1", "1 h", "Support", "Not said"]
    others = [
        [
            "Unknown",
            "sip:someone@host",
            "20 Nov, 21:30",
            "3 with voicemail",
            "4 days",
            "Sales Billing, Éclair assigned to Anne Bois",
            "No agent was available",
        ],
        ["Unknown", NOTHING, "31 Dec 2025, 23:00", "1", "327 days", "Sales", "Not said"],
    ]
    assert page.opened.tables[caption][1:] == [zoe, *others]
    assert "3 callers were missed, and have been neither called back nor answered since" in page.opened.text
    assert [page.callers[line].tables[caption][1:] for line in ("number1", "number2")] == [others, [zoe]]


def test_many_callers_are_cut_off_and_counted(company: Company) -> None:
    company.add("calls", company.missed(days_ago(0)), company.missed(days_ago(0), **OTHER))
    company.execute(
        """
        insert into analytics.aircall__missed_callers
          (caller_key, raw_digits, is_waiting, waiting_since, missed_calls_waiting, voicemails_waiting, last_missed_at,
           last_missed_at_local, last_number_id, last_number_name)
        select 'k' || i, '+33 1 99 00 ' || i, true, time, 1, 0, time, time, n, 'Number'
        from (select i, case when i < 1000 then 1 else 2 end as n, timestamp '2026-11-24 12:00' - to_minutes(i) as time
          from range(1030) as t(i))
        """
    )

    page = PageReader(company.page())

    ((_, *listed),) = [table for name, table in page.opened.tables.items() if name.startswith("Callers who")]
    assert [row[1] for row in listed] == [f"+33 1 99 00 {place}" for place in range(100)]
    assert "1,030 callers were missed" in page.opened.text
    assert "These are the latest 100." in page.opened.text
    for line, first, count in (("number2", 0, "1,000"), ("number1", 1000, "30")):
        ((_, *listed),) = page.callers[line].tables.values()
        assert [row[1] for row in listed] == [f"+33 1 99 00 {place}" for place in range(first, first + 25)]
        assert f"{count} callers were missed" in page.callers[line].text


def test_how_complete_and_fresh_the_data_is(company: Company) -> None:
    company.add(
        "freshness",
        {"stream": "calls", "is_loaded": True, "row_count": 1234, "latest_record_at": "2026-11-24 20:00:00"},
        {"stream": "call_counts", "is_loaded": True, "row_count": 3, "extracted_at": "2026-07-24 20:00:00"},
        {"stream": "messages", "is_loaded": False, "row_count": 0},
    )
    for day, theirs, ours in (("2026-11-22", 10, 10), ("2026-11-23", 10, 7), ("2026-11-24", 5, 6)):
        lacking = max(theirs - ours, 0)
        company.add(
            "completeness",
            {
                "date": day,
                "calls_at_aircall": theirs,
                "calls_here": ours,
                "calls_lacking": lacking,
                "is_complete": not lacking,
            },
        )

    view = PageReader(company.page()).opened

    assert view.tables["Loaded data by stream"][1:] == [
        ["call_counts", "3", NOTHING, "24 Jul 2026, 22:00"],
        ["calls", "1,234", "24 Nov 2026, 21:00", NOTHING],
    ]
    assert "Not loaded: messages." in view.text
    assert "3 calls on 1 day are missing." in view.text
    assert view.tables["The latest days with missing calls"][1:] == [["23 Nov 2026", "10", "7"]]
    assert "Made on 24 Nov 2026, 21:30 (Europe/Paris)" in view.text


def test_a_period_can_be_chosen_only_if_the_data_is_longer(company: Company) -> None:
    company.add("calls", *(company.call(days_ago(days)) for days in (0, 6, 27, 28, 89)))
    page = PageReader(company.page())
    assert page.opened.figures["Inbound calls"] == ["3", "0 outbound"]
    counts = {key: view.figures["Inbound calls"][0] for key, view in page.views.items()}
    assert counts == {"7 all": "2", "all all": "5"}
    company.add("calls", company.call(days_ago(90), **OTHER))
    page = PageReader(company.page())
    counts = {key: view.figures["Inbound calls"][0] for key, view in page.views.items()}
    lines = {
        "number1": {"7": "2", "28": "3", "90": "5", "all": "5"},
        "number2": {"7": "0", "28": "0", "90": "0", "all": "1"},
    }
    assert counts == {"7 all": "2", "90 all": "5", "all all": "6"} | {
        f"{period} {line}": count for line, periods in lines.items() for period, count in periods.items()
    }


def test_a_period_is_compared_with_the_one_before_if_all_of_it_is_there(company: Company) -> None:
    company.add("calls", *(company.call(days_ago(days)) for days in range(8)), company.missed(days_ago(7)))
    assert "before" not in PageReader(company.page()).views["7 all"].text
    company.add("calls", company.call(days_ago(13)))
    view = PageReader(company.page()).views["7 all"]
    assert view.figures["Answered"] == ["100%", "before: 67%"]


def test_calls_of_the_far_past_and_of_the_future_are_left_out_and_counted(company: Company) -> None:
    company.add("calls", company.call(days_ago(0)), company.call(days_ago(5 * 366)), company.call(days_ago(-2)))
    company.add("calls", company.call("1970-01-01T00:00:00"), company.call("9000-01-01T00:00:00"))
    view = PageReader(company.page()).opened
    assert view.figures["Inbound calls"] == ["1", "0 outbound"]
    assert "4 calls from more than five years ago or from the future are left out." in view.text


@pytest.mark.parametrize("days", [92, 93, 732, 733, 1830])
def test_a_longer_time_is_shown_in_weeks_and_months(company: Company, days: int) -> None:
    company.add("calls", company.call(days_ago(0)), company.call(days_ago(days - 1)))
    _, *rows = PageReader(company.page()).views["all all"].tables["Inbound calls over time"]
    assert len(rows) == {92: 92, 93: 14, 732: 106, 733: 25, 1830: 61}[days]
    assert sum(int(row[1]) for row in rows) == 2


def test_without_calls_the_page_says_so(company: Company) -> None:
    page = PageReader(company.page())
    assert "There are no calls yet." in page.opened.text
    assert page.views == {}


def test_one_call_makes_a_page(company: Company) -> None:
    company.add("calls", company.call("2026-11-24T10:00:00"))
    page = PageReader(company.page())
    assert page.views == {}
    assert "Tue 24 Nov 2026. 1 inbound call: 100% answered, 0 missed." in page.opened.text
    assert [row[0] for row in page.opened.tables["Inbound calls"][1:]] == ["10:00"]
    assert "No call was missed." in page.opened.text
    assert "Nobody is waiting" in page.opened.text
    assert "It is unknown whether calls are missing" in page.opened.text


def test_outbound_calls_alone_make_a_page(company: Company) -> None:
    company.add("calls", company.call("2026-11-24T10:00:00", direction="outbound", **ANNE))
    view = PageReader(company.page()).opened
    assert view.figures["Inbound calls"] == ["0", "1 outbound"]
    assert "There were no calls." in view.text
    assert "No call was answered." in view.text


def test_the_clock_of_the_models_is_named_where_nobody_says_its_zone(company: Company) -> None:
    company.add("calls", company.call("2026-07-24T10:00:00"))
    assert "(UTC+02:00)" in PageReader(page_of(company.path, time_zone=None)).opened.text


def test_the_hour_that_the_clock_shows_twice_is_of_the_right_time_zone(company: Company) -> None:
    for utc in ("2026-10-25T00:30:00", "2026-10-25T01:30:00"):
        company.add("calls", company.call("2026-10-25T02:30:00", started_at=utc))
        view = PageReader(company.page()).opened
    assert [row for row in view.tables["Inbound calls"] if row[0] == "02:00"] == [["02:00", *"000000", "2"]]
