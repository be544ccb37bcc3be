"""Ask a sandbox with the right credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from tests.conftest import Aircall


def get(aircall: Aircall, path: str, **params: Any) -> requests.Response:
    auth = (aircall.sandbox.api_id, aircall.sandbox.api_token)
    return requests.get(aircall.sandbox.url + path, params=params, auth=auth, timeout=10)


def listed(aircall: Aircall, path: str, **params: Any) -> list[int]:
    payload = get(aircall, path, **params).json()
    (records,) = (value for name, value in payload.items() if name != "meta")
    return [record["id"] for record in records]
