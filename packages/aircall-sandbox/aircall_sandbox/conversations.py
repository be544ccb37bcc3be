"""Conversations on the phone, and notes about them.

In the texts, `{agent}`, `{caller}` and `{company}` are names, and `{ref}` is a five-digit number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from aircall_sandbox.templates import Record

Mood = Literal["POSITIVE", "NEUTRAL", "NEGATIVE"]
SECONDS_A_WORD = 0.4
SHORT_CALL = 25
"""Seconds; shorter calls consist of a greeting, a reason and a goodbye."""
PLACES = 2


@dataclass(frozen=True)
class Subject:
    """Subject of a call.

    Attributes:
        name: A short name.
        line: The line to call about it; None for any.
        about: What callers name it.
        minutes: Average length of a call.
        mood: The customer's mood at the end.
        topics: Keywords.
        turns: The dialogue after the agent's greeting, in turn, starting with the customer.
        reason: The customer's wish; follows their name in a sentence.
        outcome: The result, as a sentence.
        actions: Next steps.
        comment: The agent's comment.
        tag: The agent's tag.
    """

    name: str
    line: str | None
    about: str
    minutes: float
    mood: Mood
    topics: tuple[str, ...]
    turns: tuple[str, ...]
    reason: str
    outcome: str
    actions: tuple[str, ...] = ()
    comment: str = ""
    tag: str | None = None


SUBJECTS = (
    Subject(
        "quote", "Sales", "quote {ref}", 5, "POSITIVE", ("quote", "price", "discount"),
        (
            "I would like a quote for twelve desk phones, please.",
            "With pleasure. From ten phones on there is a discount of eight percent.",
            "That sounds good. Can you send it today? We decide on Friday.",
            "You will have it by email this afternoon, as quote {ref}.",
            "Perfect, thank you {agent}.",
        ),
        "wants a quote for twelve desk phones and decides on Friday",
        "{agent} offered a discount of eight percent and will send quote {ref} today",
        ("Send quote {ref} for twelve desk phones",),
        "Quote {ref} for twelve phones, 8 % off. They decide on Friday.", "Interested",
    ),
    Subject(
        "demo", "Sales", "a demo of the platform", 6, "POSITIVE", ("demo", "onboarding", "trial"),
        (
            "We are eight people and would like to see how it works.",
            "I can show it to you in half an hour. Would Tuesday at ten suit you?",
            "Tuesday is fine. Can two colleagues join us?",
            "Of course. I will send an invitation that you can forward.",
            "Great, see you on Tuesday.",
        ),
        "would like to see a demo for a team of eight",
        "They agreed on Tuesday at ten, with two colleagues",
        ("Send the invitation for Tuesday at ten", "Prepare a demo for a team of eight"),
        "Demo on Tuesday at ten, team of eight.", "Interested",
    ),
    Subject(
        "renewal", "Sales", "the contract that ends next month", 4, "NEUTRAL", ("contract", "renewal", "competitor"),
        (
            "We have a cheaper offer from somebody else, to be honest.",
            "I understand. May I ask what they offer that we do not?",
            "It is only the price. And we do not need the second line any more.",
            "Without the second line we come close to that price. I can put it in writing.",
            "Please do, but I think we are going to leave.",
        ),
        "has a cheaper offer and may not renew the contract",
        "{agent} will offer the contract again without the second line",
        ("Send an offer without the second line",),
        "Has a cheaper offer. Does not need the second line.", "Not interested",
    ),
    Subject(
        "login", "Support", "a problem with the login", 7, "POSITIVE", ("login", "password", "browser"),
        (
            "I have not been able to log in since this morning. It says my session is not valid.",
            "Let me have a look. Which browser do you use?",
            "Firefox. I have restarted it already.",
            "Please delete the cookies of our site, and then log in again.",
            "One moment. Yes, now it works! That was quick.",
        ),
        "has not been able to log in since this morning",
        "Deleting the cookies of the site solved it",
        ("Add the cookies to the help page about logins",),
        "Login failed, solved by deleting cookies.", None,
    ),
    Subject(
        "outage", "Support", "dropped calls", 9, "NEGATIVE", ("audio quality", "outage", "escalation"),
        (
            "Our calls drop after a minute. This is the third time this month.",
            "I am sorry about that. Does it happen on all phones?",
            "On all of them, and we have customers waiting. This really is not good enough.",
            "I am passing this on to our engineers at once, as ticket {ref}, and will call you within the hour.",
            "I hope so. Otherwise I want to speak to your manager.",
        ),
        "complains that calls drop after a minute, for the third time this month",
        "{agent} opened ticket {ref} with the engineers and promised a call within the hour",
        ("Escalate ticket {ref} to engineering", "Call back within the hour"),
        "Calls drop on all phones. Ticket {ref}, very annoyed.", "Complaint",
    ),
    Subject(
        "set-up", "Support", "setting up a new headset", 8, "NEUTRAL", ("set-up", "headset", "training"),
        (
            "I have a new headset, and nobody can hear me.",
            "Which microphone is selected in the audio settings?",
            "The laptop's. Ah. Should I choose the headset there?",
            "Yes, please. And tick the box to remember it. I can hear you much better now.",
            "Me too. Is there a page that explains this to the others?",
            "There is. I will send you the link.",
            "Thank you, that helps.",
        ),
        "needed help with a new headset",
        "The wrong microphone was selected in the settings",
        ("Send the link to the page about headsets",),
        "New headset, wrong microphone selected. Wants the page about it.", None,
    ),
    Subject(
        "charged twice", "Orders", "invoice {ref}", 5, "NEGATIVE", ("billing", "refund", "payment"),
        (
            "I was charged twice for invoice {ref}. I want that money back.",
            "Let me check. You are right, there are two payments on the same day.",
            "And how long will that take? It was 240 euros.",
            "The refund goes out today, and will reach your account in three to five days.",
            "That is a long time. Please send me a confirmation.",
        ),
        "was charged twice for invoice {ref}",
        "{agent} found the second payment and will refund it, which takes three to five days",
        ("Refund the second payment of invoice {ref}", "Confirm the refund by email"),
        "Invoice {ref} was paid twice. The refund is on its way.", "Refund",
    ),
    Subject(
        "invoice", "Orders", "invoice {ref}", 3, "POSITIVE", ("billing", "invoice", "VAT"),
        (
            "I need invoice {ref} once more, with our VAT number on it.",
            "Gladly. Can you tell me the number?",
            "I have sent it by email, from the address you have on file.",
            "I see it. You will have the new invoice in ten minutes.",
            "Wonderful, thanks a lot.",
        ),
        "asks for invoice {ref} with the VAT number on it",
        "{agent} found the number and will send the invoice again",
        ("Send invoice {ref} with the VAT number",),
        "Invoice {ref} again, with VAT number.", "Billing",
    ),
    Subject(
        "delivery", "Orders", "order {ref}", 4, "NEUTRAL", ("delivery", "tracking", "delay"),
        (
            "Where is order {ref}? It was supposed to arrive on Monday.",
            "It is with the carrier, who tried to deliver it yesterday.",
            "Nobody rang the bell. Can it come in the morning?",
            "I have asked for tomorrow before noon, and put your name on it.",
            "All right, let us see.",
        ),
        "asks where order {ref} is, which was due on Monday",
        "The carrier will try again tomorrow before noon",
        ("Check that order {ref} was delivered tomorrow",),
        "Order {ref} comes tomorrow before noon.", None,
    ),
)  # fmt: skip
WRONG_NUMBER = Subject(
    "wrong number", None, "an appointment", 0.3, "NEUTRAL", ("wrong number",),
    ("Isn't this the dentist?", "No, this is {company}.", "Oh, I am sorry. Goodbye."),
    "had the wrong number",
    "Nothing needs to be done",
    comment="Wrong number.", tag="Wrong number",
)  # fmt: skip


class Utterance(NamedTuple):
    """A sentence and its speaker; times are seconds after the call was answered."""

    is_agent: bool
    text: str
    start: float
    end: float


class Conversation:
    """The conversation of an answered call, or a voicemail."""

    def __init__(self, call: Record, subject: Subject, company: str) -> None:
        self.call = call
        self.subject = subject
        contact, user = call["contact"], call["user"]
        self._caller = (contact["first_name"] or "") if contact else ""
        self._words = {
            "agent": user["name"].split()[0] if user else "the agent",
            "caller": self._caller or "a caller",
            "company": company,
            "ref": f"{call['id'] * 37 % 90_000 + 10_000}",
        }
        self.reason = self.fill(f"{self._caller or 'A caller'} {subject.reason}")
        """The customer and their wish."""
        self.outcome = self.fill(subject.outcome)
        self.actions = [self.fill(action) for action in subject.actions]
        self.comment = self.fill(subject.comment)
        self.summary = f"{self.reason}. {self.outcome}."

    def fill(self, text: str) -> str:
        """Fill names and numbers into a text."""
        return text.format_map(self._words)

    def utterances(self) -> list[Utterance]:
        """Return the utterances, spread over the length of the call."""
        lines = self._lines()
        talked = (self.call["ended_at"] or 0) - (self.call["answered_at"] or self.call["started_at"])
        words = sum(len(text.split()) for _, text in lines)
        spoken, before = [], 0
        for is_agent, text in lines:
            count = len(text.split())
            begin, slot = talked * before / words, talked * count / words
            end = begin + min(slot, count * SECONDS_A_WORD)
            spoken.append(Utterance(is_agent, text, round(begin, PLACES), round(end, PLACES)))
            before += count
        return spoken

    def _lines(self) -> list[tuple[bool, str]]:
        """Return the sentences, each with whether the agent says it."""
        about = self.fill(self.subject.about)
        if self.call["answered_at"] is None:
            myself = f"this is {self._caller}, " if self._caller else ""
            return [(False, f"Hello, {myself}I am calling about {about}. Please call me back. Thank you.")]
        is_inbound = self.call["direction"] == "inbound"
        greeting = (
            "{company}, this is {agent}. How can I help you?"
            if is_inbound
            else f"Hello{' ' + self._caller if self._caller else ''}, "
            f"this is {{agent}} of {{company}}. I am calling about {about}."
        )
        farewell = "Thank you for your call. Goodbye." if is_inbound else "Thank you for your time. Goodbye."
        talked = (self.call["ended_at"] or 0) - self.call["answered_at"]
        turns = self.subject.turns[: 1 if talked < SHORT_CALL and self.subject is not WRONG_NUMBER else None]
        lines = [(True, self.fill(greeting))]
        lines += [(position % 2 == 1, self.fill(turn)) for position, turn in enumerate(turns)]
        return [*lines, (True, farewell)]
