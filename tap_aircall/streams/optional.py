"""Streams of resources that not every user, number or account has.

That one is missing (404), or that the account may not see it (403), is normal here: it costs one line at most, and the
run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall import walks
from tap_aircall.errors import ForbiddenError, NotFoundError, ResponseError, StreamUnavailableError
from tap_aircall.pages import Page
from tap_aircall.records import without
from tap_aircall.streams.access import Access
from tap_aircall.streams.directory import Numbers, OwnedStream, ReferenceStream, Users

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_aircall.pages import Query, Record


class OptionalOwnedStream(OwnedStream):
    """What some users or numbers have."""

    selected_by_default = False

    @override
    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        access, refused = Access(self.client), 0
        for _, answer in access.ask(self.read_of, owners):
            if isinstance(answer, ForbiddenError):
                refused += 1
            else:
                yield answer
        if access.refusals and not access.is_granted:
            raise _left_out(self.name)
        if refused:
            count = f"{refused} of {len(owners)}"
            message = f"Stream '{self.name}': Aircall keeps {count} from this account (status 403); the rest was read."
            raise StreamUnavailableError(message)


class OwnedObject(OptionalOwnedStream):
    """One object of each, in an envelope or as it is: sources differ (facts, section 4.2)."""

    @override
    def ask(self, path: str) -> list[Record]:
        return [self.client.get(path, {}, self._parse)]

    def _parse(self, payload: Any) -> Record:
        found = _unwrapped(payload, self.envelope)
        if not isinstance(found, dict):
            message = f"Aircall answered without the object '{self.envelope}'."
            raise ResponseError(message)
        return found


class DialerCampaigns(OwnedObject):
    """The campaign that a user works through with the power dialer."""

    name = "dialer_campaigns"
    cost = "one a user"
    primary_keys = ("id",)
    path = "/v1/users/{}/dialer_campaign"
    envelope = "dialer_campaign"
    owners = Users.name
    owner_key = "user_id"


class DialerCampaignPhoneNumbers(OptionalOwnedStream):
    """The phone numbers of a user's campaign; whether the list has pages is not known, and does not matter."""

    name = "dialer_campaign_phone_numbers"
    cost = "one a user, and one more for 50 phone numbers"
    primary_keys = ("user_id", "number")
    path = "/v1/users/{}/dialer_campaign/phone_numbers"
    envelope = "numbers"
    owners = Users.name
    owner_key = "user_id"


class NumberStream(OptionalOwnedStream):
    """An object that some numbers have, of which not all fields are known."""

    primary_keys = ("number_id",)
    owners = Numbers.name
    owner_key = "number_id"
    is_open = True

    @override
    def ask(self, path: str) -> list[Record]:
        found = without(self.secret_fields, self.client.get(path, {}, lambda payload: payload))
        record = _unwrapped(found, self.envelope)
        if not isinstance(record, dict):
            record = {self.envelope: record}
        return [{**record, "record": record}]


class NumberRegistrationStatuses(NumberStream):
    """Whether a number is registered as its country demands."""

    name = "number_registration_statuses"
    cost = "one a number"
    path = "/v1/numbers/{}/registration_status"
    envelope = "registration_status"


class NumberMessageConfigurations(NumberStream):
    """Where messages to a number are sent; the token in it leaves the tap with nobody."""

    name = "number_message_configurations"
    cost = "one a number"
    path = "/v1/numbers/{}/messages/configuration"
    envelope = "configuration"
    secret_fields: ClassVar = frozenset({"token"})


class NumberWhatsappStatuses(OwnedObject):
    """What a number may do on WhatsApp."""

    name = "number_whatsapp_statuses"
    cost = "one a number"
    primary_keys = ("number_id",)
    path = "/v1/numbers/{}/whatsapp_status"
    envelope = "whatsapp_status"
    owners = Numbers.name
    owner_key = "number_id"


class WhatsappTemplates(OptionalOwnedStream):
    """Message templates for WhatsApp, behind a token rather than on numbered pages."""

    name = "whatsapp_templates"
    cost = "one a number for ten templates"
    primary_keys = ("number_id", "id")
    path = "/v1/numbers/{}/templates"
    envelope = "templates"
    owners = Numbers.name
    owner_key = "number_id"

    @override
    def ask(self, path: str) -> list[Record]:
        def ask(query: Query) -> Any:
            return self.client.get(path, query, self._checked)

        return [record for records in walks.behind_tokens(ask, self.envelope, "id", self.name) for record in records]

    def _checked(self, payload: Any) -> Any:
        Page.parse(payload, self.envelope)
        return payload


class SmsTemplates(ReferenceStream):
    """Message templates for SMS; the one list with up to a hundred records on a page."""

    name = "sms_templates"
    cost = "one for 100"
    path = "/v1/sms/templates"
    envelope = "templates"
    selected_by_default = False
    page_size = 100

    @override
    def pages(self) -> Iterator[Page]:
        try:
            yield from super().pages()
        except (ForbiddenError, NotFoundError) as error:
            raise _left_out(self.name) from error


def _left_out(name: str) -> StreamUnavailableError:
    return StreamUnavailableError(
        f"Stream '{name}' is left out: this account may not see it, or its plan lacks it (Aircall refuses it)."
    )


def _unwrapped(payload: Any, envelope: str) -> Any:
    """Take an object out of its envelope, if it is in one."""
    wrapped = payload.get(envelope) if isinstance(payload, dict) else None
    return payload if wrapped is None else wrapped
