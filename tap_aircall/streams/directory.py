"""The people, numbers and settings of a company: short lists, read whole at every run.

None of them can be asked for changes (facts: Filters and order), and all together are a few pages. Each run gives them
a new version, so that a target drops what was deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_aircall.errors import StreamUnavailableError
from tap_aircall.settings import BasicSettings
from tap_aircall.streams.kinds import OwnedStream, ReferenceStream, SharedStream, SingleObject

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_aircall.reading.pages import Record


class Users(SharedStream):
    """Users, from version 2 of the API: version 1 ended on 2026-09-30 (facts: Users and numbers)."""

    name = "users"
    cost = "one per 50"
    path = "/v2/users"
    envelope = "users"


class UserAvailabilities(ReferenceStream):
    """Whether each user is free to take a call, at the moment of the run."""

    name = "user_availabilities"
    cost = "one per 50 users"
    path = "/v1/users/availabilities"
    envelope = "users"


class UserNumbers(OwnedStream):
    """Which user may use which numbers."""

    name = "user_numbers"
    cost = "one per user, once a day"
    primary_keys = ("user_id", "id")
    path = "/v2/users/{}/numbers"
    envelope = "numbers"
    owners = Users
    owner_key = "user_id"


class Teams(ReferenceStream):
    """Teams with their members."""

    name = "teams"
    cost = "one per 50"
    path = "/v1/teams"
    envelope = "teams"


class Numbers(SharedStream):
    """The company's phone numbers."""

    name = "numbers"
    cost = "one per 50"
    path = "/v1/numbers"
    envelope = "numbers"


class Tags(ReferenceStream):
    """Tags that calls can carry."""

    name = "tags"
    cost = "one per 50"
    path = "/v1/tags"
    envelope = "tags"


class Webhooks(ReferenceStream):
    """Webhooks; under Basic those of the dashboard and of API keys (facts: OAuth)."""

    name = "webhooks"
    cost = "one per 50"
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
