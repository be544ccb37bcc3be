"""The people, numbers and settings of a company: short lists, read whole at every run.

None of them can be asked for changes (facts: Filters and order), and all together are a few pages. Each run gives them
a new version, so that a target drops what was deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_aircall.errors import StreamUnavailableError
from tap_aircall.settings import BasicSettings
from tap_aircall.streams.kinds import (
    OptionalList,
    OptionalOwnedStream,
    OwnedObject,
    OwnedOpenObject,
    OwnedStream,
    OwnedTokenList,
    ReferenceStream,
    SingleObject,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_aircall.reading.pages import Record


class Users(ReferenceStream):
    """Users, from version 2 of the API: version 1 ended on 2026-09-30 (facts: Users and numbers)."""

    name = "users"
    path = "/v2/users"
    envelope = "users"


class UserAvailabilities(ReferenceStream):
    """Whether each user is free to take a call, at the moment of the run."""

    name = "user_availabilities"
    cost = "one per 50 users"
    path = "/v1/users/availabilities"
    envelope = "users"


class OfAUser(OwnedStream):
    """What is asked for by user."""

    owners = Users
    owner_key = "user_id"


class UserNumbers(OfAUser):
    """Which user may use which numbers."""

    name = "user_numbers"
    cost = "one per user, once a day"
    primary_keys = ("user_id", "id")
    path = "/v2/users/{}/numbers"
    envelope = "numbers"


class Teams(ReferenceStream):
    """Teams with their members."""

    name = "teams"
    path = "/v1/teams"
    envelope = "teams"


class Numbers(ReferenceStream):
    """The company's phone numbers."""

    name = "numbers"
    path = "/v1/numbers"
    envelope = "numbers"


class Tags(ReferenceStream):
    """Tags that calls can carry."""

    name = "tags"
    path = "/v1/tags"
    envelope = "tags"


class Webhooks(ReferenceStream):
    """Webhooks; under Basic those of the dashboard and of API keys (facts: OAuth)."""

    name = "webhooks"
    primary_keys = ("webhook_id",)
    path = "/v1/webhooks"
    envelope = "webhooks"
    secret_fields: ClassVar = frozenset({"token"})


class Company(SingleObject):
    """The company itself."""

    name = "company"
    cost = "one"
    primary_keys = ("name",)
    path = "/v1/company"
    envelope = "company"


class Integrations(SingleObject):
    """The app whose tokens the tap uses, as the company installed it. Basic authentication has none."""

    name = "integrations"
    cost = "one; with OAuth only"
    primary_keys = ("company_id", "name")
    path = "/v1/integrations/me"
    envelope = "integration"
    selected_by_default = False

    @override
    def pages(self) -> Generator[list[Record]]:
        if isinstance(self.settings.auth, BasicSettings):
            raise StreamUnavailableError("is left out: Aircall shows it to OAuth apps only.", is_expected=True)
        yield from super().pages()


# What not every user, number or account has: if it is missing, that is normal (see `tap_aircall.streams.kinds`).


class OfANumber(OwnedStream):
    """What is asked for by number."""

    cost = "one per number, once a day"
    primary_keys: tuple[str, ...] = ("number_id",)
    owners = Numbers
    owner_key = "number_id"


class DialerCampaigns(OfAUser, OwnedObject):
    """The campaign that a user works through with the power dialer."""

    name = "dialer_campaigns"
    cost = "one per user, once a day"
    primary_keys = ("id",)
    path = "/v1/users/{}/dialer_campaign"
    envelope = "dialer_campaign"


class DialerCampaignPhoneNumbers(OfAUser, OptionalOwnedStream):
    """The phone numbers of a user's campaign. It works whether the list has pages or not, which is not known."""

    name = "dialer_campaign_phone_numbers"
    cost = "one per user, and one more per 50 phone numbers, once a day"
    primary_keys = ("user_id", "number")
    path = "/v1/users/{}/dialer_campaign/phone_numbers"
    envelope = "numbers"


class NumberRegistrationStatuses(OfANumber, OwnedOpenObject):
    """Whether a number is registered as its country requires."""

    name = "number_registration_statuses"
    path = "/v1/numbers/{}/registration_status"
    envelope = "registration_status"


class NumberMessageConfigurations(OfANumber, OwnedOpenObject):
    """Where messages to a number are sent; the token in them never leaves the tap."""

    name = "number_message_configurations"
    path = "/v1/numbers/{}/messages/configuration"
    envelope = "configuration"
    secret_fields: ClassVar = frozenset({"token"})


class NumberWhatsappStatuses(OfANumber, OwnedObject):
    """What a number may do on WhatsApp."""

    name = "number_whatsapp_statuses"
    path = "/v1/numbers/{}/whatsapp_status"
    envelope = "whatsapp_status"


class WhatsappTemplates(OfANumber, OwnedTokenList):
    """Message templates for WhatsApp, behind a token rather than on numbered pages."""

    name = "whatsapp_templates"
    cost = "one per number and ten templates, once a day"
    primary_keys = ("number_id", "id")
    path = "/v1/numbers/{}/templates"
    envelope = "templates"


class SmsTemplates(OptionalList):
    """Message templates for SMS."""

    name = "sms_templates"
    path = "/v1/sms/templates"
    envelope = "templates"
