"""The people, numbers and settings of a company: short lists, read whole at every run.

None of them can be asked for changes (facts, section 4.1), and all together are a few pages. Each run gives them a new
version, so that a target drops what was deleted.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from typing_extensions import override

from tap_aircall import walks
from tap_aircall.api.addresses import path_of
from tap_aircall.errors import AircallError, NotFoundError, ResponseError, StreamUnavailableError
from tap_aircall.pages import PAGE_SIZE, Page
from tap_aircall.settings import BasicSettings
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_aircall.pages import Query, Record


class ReferenceStream(AircallStream):
    """A list that is read whole."""

    primary_keys = ("id",)
    page_size: ClassVar[int] = PAGE_SIZE

    @override
    def extract(self) -> Iterable[list[Record]]:
        for page in self.pages():
            self.progress.expect(page.total or 0)
            self.progress.add(len(page.records))
            yield page.records

    def pages(self) -> Iterator[Page]:
        """Read the list, page by page."""
        return walks.whole_list(self.reader(), self.primary_keys[0], self.name, self.page_size)


class SharedStream(ReferenceStream):
    """A list that other streams need as well."""

    _is_announced = False

    @property
    def listed(self) -> list[Record]:
        """All records, asked for once a run however many streams need them, also when that fails.

        Raises:
            AircallError: The same for each of them.
        """
        if isinstance(self._listed, AircallError):
            raise self._listed
        return self._listed

    def announce(self) -> None:
        """Say once what those streams cost that take a request for each of these records."""
        if not self._is_announced:
            self._is_announced = True
            streams = self._tap.streams.values()
            owned = [each for each in streams if isinstance(each, OwnedStream) and each.owners == self.name]
            self.warn_of_cost(len(self.listed), sum(each.selected for each in owned))

    @cached_property
    def _listed(self) -> list[Record] | AircallError:
        try:
            return [record for page in super().pages() for record in page.records]
        except AircallError as error:
            return error

    @override
    def sample(self) -> list[Record]:
        return self._sampled

    @cached_property
    def _sampled(self) -> list[Record]:
        return self.first_page()

    @override
    def pages(self) -> Iterator[Page]:
        # Copies, since records are brought into their shape in place.
        yield Page([dict(record) for record in self.listed], len(self.listed), linked=False)


class Users(SharedStream):
    """Users, from version 2 of the API: version 1 ended on 2026-09-30 (facts, section 4.9)."""

    name = "users"
    cost = "one for 50"
    path = "/v2/users"
    envelope = "users"


class UserAvailabilities(ReferenceStream):
    """Whether each user is free to take a call, at the moment of the run."""

    name = "user_availabilities"
    cost = "one for 50 users"
    path = "/v1/users/availabilities"
    envelope = "users"


class OwnedStream(AircallStream):
    """What each user or number has: one request for each of them, or more where that is a long list."""

    owners: ClassVar[str]
    """Name of the stream of those who have it, a `SharedStream`. `path` has a place for their id."""
    owner_key: ClassVar[str]
    """The field that holds the owner's id, added to each record."""

    @override
    def extract(self) -> Iterable[list[Record]]:
        owners = cast("SharedStream", self._tap.streams[self.owners])
        ids = [owner["id"] for owner in owners.listed]
        owners.announce()
        for done, records in enumerate(self.read_each(ids), start=1):
            self.progress.add(len(records))
            self.progress.expect(len(ids) - done)
            yield records

    @override
    def sample(self) -> list[Record]:
        owners = cast("SharedStream", self._tap.streams[self.owners])
        return next(iter(self.read_each([owner["id"] for owner in owners.sample()[:1]])), [])

    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        """Read what each has, in their order, several at once."""
        return self.client.in_flight(self.read_of, owners)

    def read_of(self, owner: int) -> list[Record]:
        """Read what one has: nothing, if Aircall knows nothing of it (404)."""
        try:
            return [{**record, self.owner_key: owner} for record in self.ask(path_of(self.path, owner))]
        except NotFoundError:
            return []

    def ask(self, path: str) -> list[Record]:
        """Read a list with pages; a subclass whose resource is something else has its own way."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            return (self.read_page(path, query) for query in queries)

        key = next(key for key in self.primary_keys if key != self.owner_key)
        return [record for page in walks.whole_list(read, key, self.name) for record in page.records]


class UserNumbers(OwnedStream):
    """Which user may use which numbers."""

    name = "user_numbers"
    cost = "one a user"
    primary_keys = ("user_id", "id")
    path = "/v2/users/{}/numbers"
    envelope = "numbers"
    owners = Users.name
    owner_key = "user_id"


class Teams(ReferenceStream):
    """Teams with their members."""

    name = "teams"
    cost = "one for 50"
    path = "/v1/teams"
    envelope = "teams"


class Numbers(SharedStream):
    """The company's phone numbers."""

    name = "numbers"
    cost = "one for 50"
    path = "/v1/numbers"
    envelope = "numbers"


class Tags(ReferenceStream):
    """Tags that calls can carry."""

    name = "tags"
    cost = "one for 50"
    path = "/v1/tags"
    envelope = "tags"


class Webhooks(ReferenceStream):
    """Webhooks; under Basic those of the dashboard and of API keys (facts, section 1)."""

    name = "webhooks"
    cost = "one for 50"
    primary_keys = ("webhook_id",)
    path = "/v1/webhooks"
    envelope = "webhooks"
    secret_fields: ClassVar = frozenset({"token"})


class SingleObject(AircallStream):
    """A resource that is one object: one record."""

    @override
    def extract(self) -> Iterable[list[Record]]:
        yield [self.client.get(self.path, {}, self._parse)]
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
    def extract(self) -> Iterable[list[Record]]:
        if isinstance(self._tap.settings.auth, BasicSettings):
            message = "Stream 'integrations' is left out: Aircall shows it to OAuth apps only."
            raise StreamUnavailableError(message, is_expected=True)
        yield from super().extract()
