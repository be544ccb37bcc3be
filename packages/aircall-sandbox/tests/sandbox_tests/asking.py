"""Requests to a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from tests.conftest import Aircall


def ask(aircall: Aircall, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
    """Send a request with valid credentials."""
    auth = (aircall.sandbox.api_id, aircall.sandbox.api_token)
    return requests.request(method, aircall.sandbox.url + path, json=body, params=params, auth=auth, timeout=10)


def get(aircall: Aircall, path: str, **params: Any) -> requests.Response:
    return ask(aircall, "GET", path, **params)


def listed(aircall: Aircall, path: str, **params: Any) -> list[int]:
    """Return the ids of a page."""
    payload = get(aircall, path, **params).json()
    (records,) = (value for name, value in payload.items() if name != "meta")
    return [record["id"] for record in records]
