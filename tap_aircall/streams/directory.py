"""The people, numbers and settings of a company: short lists, read whole at every run.

None of them can be asked for changes (facts, section 4.1), and all together are a few pages. Each run gives them a new
version, so that a target drops what was deleted.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from typing_extensions import override

from tap_aircall import walks
from tap_aircall.errors import NotFoundError, ResponseError, StreamUnavailableError
from tap_aircall.settings import BasicSettings
from tap_aircall.streams.base import AircallStream
from tap_aircall.walks import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_aircall.walks import Query, Record


class ReferenceStream(AircallStream):
    """A list that is read whole."""

    primary_keys = ("id",)

    @override
    def extract(self) -> Iterable[Record]:
        for page in self.pages():
            self.progress.expect(page.total or 0)
            self.progress.add(len(page.records))
            yield from page.records

    def pages(self) -> Iterator[Page]:
        """Read the list, page by page."""
        return walks.whole_list(self.reader(), self.primary_keys[0], self.name)


class Users(ReferenceStream):
    """Users, from version 2 of the API: version 1 ended on 2026-09-30 (facts, section 4.9)."""

    name = "users"
    path = "/v2/users"
    envelope = "users"

    @cached_property
    def listed(self) -> list[Record]:
        """All users, asked for once a run however many streams need them."""
        return [user for page in super().pages() for user in page.records]

    @override
    def pages(self) -> Iterator[Page]:
        yield Page(self.listed, len(self.listed), linked=False)


class UserAvailabilities(ReferenceStream):
    """Whether each user is free to take a call, at the moment of the run."""

    name = "user_availabilities"
    path = "/v1/users/availabilities"
    envelope = "users"


class UserNumbers(AircallStream):
    """Which user may use which numbers: one request a user."""

    name = "user_numbers"
    primary_keys = ("user_id", "id")
    path = "/v2/users/{}/numbers"
    envelope = "numbers"

    @override
    def extract(self) -> Iterable[Record]:
        users = cast("Users", self._tap.streams[Users.name])
        ids = [user["id"] for user in users.listed]
        for done, numbers in enumerate(self.client.in_flight(self._numbers_of, ids), start=1):
            self.progress.add(len(numbers))
            self.progress.expect(len(ids) - done)
            yield from numbers

    def _numbers_of(self, user_id: int) -> list[Record]:
        """Read the numbers of one user, none if the user was deleted since the list was read."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            return (self.read_page(self.path.format(user_id), query) for query in queries)

        try:
            listed = list(walks.whole_list(read, "id", self.name))
        except NotFoundError:
            return []
        return [{**record, "user_id": user_id} for page in listed for record in page.records]


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
    """Webhooks; under Basic those of the dashboard and of API keys (facts, section 1)."""

    name = "webhooks"
    primary_keys = ("webhook_id",)
    path = "/v1/webhooks"
    envelope = "webhooks"
    secret_fields: ClassVar = frozenset({"token"})


class SingleObject(AircallStream):
    """A resource that is one object: one record."""

    @override
    def extract(self) -> Iterable[Record]:
        yield self.client.get(self.path, {}, self._parse)
        self.progress.add(1)

    def _parse(self, payload: Any) -> Record:
        record = payload.get(self.envelope) if isinstance(payload, dict) else None
        if not isinstance(record, dict):
            message = f"Aircall answered without the object '{self.envelope}'."
            raise ResponseError(message)
        return record


class Company(SingleObject):
    """The company itself."""

    name = "company"
    primary_keys = ("name",)
    path = "/v1/company"
    envelope = "company"


class Integrations(SingleObject):
    """The app whose tokens the tap uses, as the company installed it. Basic authentication has none."""

    name = "integrations"
    primary_keys = ("company_id", "name")
    path = "/v1/integrations/me"
    envelope = "integration"
    selected_by_default = False

    @override
    def extract(self) -> Iterable[Record]:
        if isinstance(self._tap.settings.auth, BasicSettings):
            message = "Stream 'integrations' is left out: Aircall shows it to OAuth apps only."
            raise StreamUnavailableError(message)
        yield from super().extract()
