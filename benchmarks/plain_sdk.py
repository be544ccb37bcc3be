"""A plain SDK tap: calls as in the SDK's template, with the schema of tap-aircall.

A RESTStream with a page-number paginator and default settings. (Such a stream stops at 10,000 calls; this one continues
from the last call.) Usage: `python -m benchmarks.plain_sdk URL`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import singer_sdk.typing as th
from requests.auth import HTTPBasicAuth
from singer_sdk import RESTStream, Tap
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from benchmarks.harness import PASSWORD, USER
from tap_aircall import schemas

if TYPE_CHECKING:
    from requests import Response
    from singer_sdk.helpers.types import Context

LAST_PAGE = 200


class Paginator(BaseAPIPaginator[tuple[int, int]]):
    """Counts pages, and restarts after the last call at the cap."""

    @override
    def get_next(self, response: Response) -> tuple[int, int] | None:
        payload = response.json()
        if payload["meta"]["next_page_link"] is None:
            return None
        number, after = self.current_value
        return (1, payload["calls"][-1]["started_at"] - 1) if number == LAST_PAGE else (number + 1, after)


class Calls(RESTStream[tuple[int, int]]):
    """The stream of calls."""

    name = "calls"
    path = "/v1/calls"
    primary_keys: ClassVar = ["id"]
    replication_key = "started_at"
    records_jsonpath = "$.calls[*]"
    schema = schemas.of("calls")

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> HTTPBasicAuth:
        return HTTPBasicAuth(USER, PASSWORD)

    @override
    def get_new_paginator(self) -> Paginator:
        return Paginator((1, 0))

    @override
    def get_url_params(self, context: Context | None, next_page_token: tuple[int, int] | None) -> dict[str, Any]:
        number, after = next_page_token or (1, 0)
        return {"order": "asc", "page": number, "per_page": 50} | ({"from": after} if after else {})

    @override
    def post_process(self, row: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        for name in ("started_at", "answered_at", "ended_at"):
            if row[name] is not None:
                row[name] = datetime.fromtimestamp(row[name], UTC).isoformat()
        return row


class PlainTap(Tap):
    """A tap with one stream."""

    name = "tap-plain"
    config_jsonschema: ClassVar = th.PropertiesList(th.Property("api_url", th.StringType)).to_dict()

    @override
    def discover_streams(self) -> list[Calls]:
        return [Calls(self)]


if __name__ == "__main__":
    PlainTap(config={"api_url": sys.argv[1]}).sync_all()
