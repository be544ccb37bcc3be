"""People, numbers and settings of a company: short lists, read whole at every run.

They offer no filter for changes (facts: Filters and order), and fit on a few pages. Each run is a new version of the
table, so the target drops deleted rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import ForbiddenError, NotFoundError, StreamUnavailableError
from tap_aircall.reading import walks
from tap_aircall.reading.pages import Page
from tap_aircall.settings import BasicSettings
from tap_aircall.streams.kinds import (
    OptionalOwnedStream,
    OwnedObject,
    OwnedOpenObject,
    OwnedStream,
    ReferenceStream,
    SingleObject,
    not_granted,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.reading.walks import Step


class Users(ReferenceStream):
    """Users, from version 2 of the API: version 1 ended on 2026-09-30 (facts: Users and numbers)."""

    name = "users"
    path = "/v2/users"
    envelope = "users"


class UserAvailabilities(ReferenceStream):
    """Availability of each user at the time of the run."""

    name = "user_availabilities"
    cost = "one per 50 users"
    path = "/v1/users/availabilities"
    envelope = "users"


class UserResource(OwnedStream):
    """A resource of each user."""

    owner = "users"
    owner_key = "user_id"


class UserNumbers(UserResource):
    """Numbers that each user may use."""

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
    """Webhooks; with Basic authentication, those of the dashboard and of API keys (facts: OAuth)."""

    name = "webhooks"
    primary_keys = ("webhook_id",)
    path = "/v1/webhooks"
    envelope = "webhooks"
    secret_fields: ClassVar = frozenset({"token"})


class Company(SingleObject):
    """The company."""

    name = "company"
    cost = "one"
    primary_keys = ("name",)
    path = "/v1/company"
    envelope = "company"


class Integrations(SingleObject):
    """The company's installation of the OAuth app; none with Basic authentication."""

    name = "integrations"
    cost = "one; with OAuth only"
    primary_keys = ("company_id", "name")
    path = "/v1/integrations/me"
    envelope = "integration"
    selected_by_default = False

    @override
    def pages(self) -> Generator[list[Record]]:
        if isinstance(self.settings.auth, BasicSettings):
            raise StreamUnavailableError("is left out: Aircall shows it only to OAuth apps.", is_expected=True)
        yield from super().pages()


class NumberResource(OwnedStream):
    """A resource of each number."""

    cost = "one per number, once a day"
    primary_keys: tuple[str, ...] = ("number_id",)
    owner = "numbers"
    owner_key = "number_id"


class DialerCampaigns(UserResource, OwnedObject):
    """Each user's campaign in the power dialer."""

    name = "dialer_campaigns"
    cost = "one per user, once a day"
    primary_keys = ("id",)
    path = "/v1/users/{}/dialer_campaign"
    envelope = "dialer_campaign"


class DialerCampaignPhoneNumbers(UserResource, OptionalOwnedStream):
    """Phone numbers of a user's campaign; it is unknown whether the list has pages."""

    name = "dialer_campaign_phone_numbers"
    cost = "one per user, and one more per 50 phone numbers, once a day"
    primary_keys = ("user_id", "number")
    path = "/v1/users/{}/dialer_campaign/phone_numbers"
    envelope = "numbers"


class NumberRegistrationStatuses(NumberResource, OwnedOpenObject):
    """Registration of each number as its country requires."""

    name = "number_registration_statuses"
    path = "/v1/numbers/{}/registration_status"
    envelope = "registration_status"


class NumberMessageConfigurations(NumberResource, OwnedOpenObject):
    """Where messages to a number are sent; their token never leaves the tap."""

    name = "number_message_configurations"
    path = "/v1/numbers/{}/messages/configuration"
    envelope = "configuration"
    secret_fields: ClassVar = frozenset({"token"})


class NumberWhatsappStatuses(NumberResource, OwnedObject):
    """WhatsApp status of each number."""

    name = "number_whatsapp_statuses"
    path = "/v1/numbers/{}/whatsapp_status"
    envelope = "whatsapp_status"


class WhatsappTemplates(NumberResource, OptionalOwnedStream):
    """Message templates for WhatsApp, paginated by a token."""

    name = "whatsapp_templates"
    cost = "one per number and ten templates, once a day"
    primary_keys = ("number_id", "id")
    path = "/v1/numbers/{}/templates"
    envelope = "templates"

    @override
    def ask(self, path: str) -> list[Record]:
        def parse(payload: Any) -> tuple[Page, Any]:
            return Page.parse(payload, self.envelope).placed(self.item_key), payload.get("pageInfo")

        def read(query: Query) -> tuple[Page, Any]:
            return self.client.get(path, query, parse)

        steps = walks.behind_tokens(read, self.item_key)
        return [record for step in self.with_notes(steps) for record in step.records]


class SmsTemplates(ReferenceStream):
    """Message templates for SMS."""

    name = "sms_templates"
    path = "/v1/sms/templates"
    envelope = "templates"
    selected_by_default = False

    @override
    def steps(self) -> Iterator[Step]:
        try:
            yield from super().steps()
        except (ForbiddenError, NotFoundError) as error:
            raise not_granted() from error
