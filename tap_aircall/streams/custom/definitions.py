"""The setting `custom_streams`: lists and objects of the API that users define."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tap_aircall.errors import InputError, hint, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

SETTING = "custom_streams"
RECORD = "record"
"""Field that holds the record as Aircall sent it."""
SECRETS = frozenset({"token", "access_token", "refresh_token", "api_token", "secret", "client_secret", "password"})
"""Fields of these names, in any letter case and at any depth, never leave the tap."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLACE = "{id}"
"""Placeholder in a path for the id of the parent's record."""
_PATH = re.compile(r"/v[12](/((?!\.{1,2}(/|$))[\w.~@:-]+|\{id\}))+", re.ASCII)
_REQUIRED = {
    "name": "the name of the stream",
    "path": "the path of the list or object, such as /v1/campaigns",
    "records_key": "the key of the list or object in Aircall's response",
    "primary_keys": 'the fields that identify a record, such as ["id"]',
}
FIELDS = (*_REQUIRED, "replication", "replication_key", "parent", "parent_key")
"""Fields of a definition."""


class Replication(StrEnum):
    """How each run reads a list."""

    FULL_TABLE = "full_table"
    """The whole list."""
    FROM_TO = "from_to"
    """New records: the list takes `from`, `to` and `order=asc` for the replication key."""
    NEWEST_FIRST = "newest_first"
    """Changed records: the list takes `order_by` and `order=desc` for the replication key."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One custom stream, validated."""

    name: str
    path: str
    """With its version."""
    records_key: str
    primary_keys: tuple[str, ...]
    replication: Replication = Replication.FULL_TABLE
    replication_key: str | None = None
    """A time; None where the list is read whole."""
    parent: str | None = None
    """Stream with a record for each list of this one; its `id` goes into the path."""
    parent_key: str | None = None
    """Field for this id, added to each record."""
    is_built_in: bool = False

    @property
    def sent_keys(self) -> list[str]:
        """Primary keys that Aircall sends."""
        return [key for key in self.primary_keys if key != self.parent_key]

    @property
    def may_be_parent(self) -> bool:
        """Whether it can be a parent of other streams."""
        return self.replication is Replication.FULL_TABLE and self.parent is None and self.primary_keys == ("id",)


def parse_definitions(
    items: Iterable[Mapping[str, Any]], taken: Collection[str] = (), parents: Collection[str] = ()
) -> list[Definition]:
    """Parse the setting.

    Args:
        items: The setting.
        taken: Names of built-in streams.
        parents: Built-in streams that may be parents.

    Raises:
        InputError: Names the definition and the field that cannot be used.
    """
    definitions: list[Definition] = []
    for number, item in enumerate(items):
        # Later checks rely on earlier ones, so only the first problem is reported.
        problems = itertools.chain(_problems_of_form(item), _problems_of_content(item))
        field, problem = next(problems, ("", ""))
        if not problem:
            definition = _definition(item)
            field, problem = "name", _problem_of_name(definition.name, taken, definitions)
        if problem:
            raise InputError(f"Setting {SETTING}.{number}.{field}: {problem}")
        definitions.append(definition)
    mine = {each.name for each in definitions}
    possible = sorted({*parents} - mine | {each.name for each in definitions if each.may_be_parent})
    for number, each in enumerate(definitions):
        if each.parent is not None and each.parent not in possible:
            advice = hint(one_line(each.parent), possible, f"there are {', '.join(possible)}.")
            raise InputError(
                f"Setting {SETTING}.{number}.parent: must be a stream that is read whole, has no parent itself, and "
                f"has the key id; {advice}"
            )
    return definitions


def _problems_of_form(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield fields that are unknown, missing or of the wrong type, each with its problem."""
    for name in (name for name in item if name not in FIELDS):
        yield one_line(name), f"unknown; {hint(name, FIELDS, 'there are ' + ', '.join(FIELDS) + '.')}"
    for name, meaning in _REQUIRED.items():
        if item.get(name) in (None, "", []):
            yield name, f"missing; give {meaning}."
    for name in FIELDS:
        kind, expected = ("an array", list) if name == "primary_keys" else ("a string", str)
        if item.get(name) is not None and not isinstance(item[name], expected):
            yield name, f"must be {kind}."


def _problems_of_content(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield fields whose values cannot be used, each with its problem; the types are right."""
    if not _NAME.fullmatch(item["name"]):
        yield "name", "must be made of letters, digits and underscores, and not begin with a digit."
    if not _PATH.fullmatch(item["path"]):
        yield "path", "must begin with /v1/ or /v2/, and have no ?, #, %, .. or spaces."
    keys, time = item["primary_keys"], item.get("replication_key")
    if not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys) or RECORD in keys:
        yield "primary_keys", f"must be distinct field names, none of them '{RECORD}'."
    if secret := next((key for key in keys if key.lower() in SECRETS), None):
        yield "primary_keys", f"'{secret}' is a secret, which never leaves the tap; choose another field."
    replication = _replication_of(item)
    if replication not in set(Replication):
        yield "replication", f"must be one of {', '.join(Replication)}."
    if replication == Replication.FULL_TABLE and time:
        yield "replication_key", f"has no effect, since replication is {replication}."
    if replication != Replication.FULL_TABLE and not time:
        yield "replication_key", f"missing; give the time that the list is ordered by, for replication {replication}."
    if time in {*keys, RECORD}:
        yield "replication_key", f"must not be one of the primary_keys or '{RECORD}'."
    yield from _problems_of_parent(item, replication)


def _problems_of_parent(item: Mapping[str, Any], replication: str) -> Iterator[tuple[str, str]]:
    if (item["path"].count(PLACE) == 1) != bool(item.get("parent")) or item["path"].count(PLACE) > 1:
        yield "path", f"must have {PLACE} once if there is a parent, and not at all otherwise."
    if item.get("parent") and replication != Replication.FULL_TABLE:
        yield "replication", f"must be {Replication.FULL_TABLE} for a stream with a parent."
    if item.get("parent_key") and (not item.get("parent") or item["parent_key"] == RECORD):
        yield "parent_key", f"must be a field name, not '{RECORD}', and needs a parent."


def _problem_of_name(name: str, taken: Collection[str], others: Iterable[Definition]) -> str:
    """Return why a stream cannot have a name; empty if it can. Case is ignored, as by some targets."""
    if name.lower() in taken:
        return f"'{name}' is a built-in stream; choose another name."
    if name.lower() in {other.name.lower() for other in others}:
        return f"'{name}' is defined twice."
    return ""


def _replication_of(item: Mapping[str, Any]) -> str:
    return str(item.get("replication") or Replication.FULL_TABLE).lower()


def _definition(item: Mapping[str, Any]) -> Definition:
    return Definition(
        name=item["name"],
        path=item["path"],
        records_key=item["records_key"],
        primary_keys=tuple(item["primary_keys"]),
        replication=Replication(_replication_of(item)),
        replication_key=item.get("replication_key") or None,
        parent=item.get("parent") or None,
        parent_key=(item.get("parent_key") or "parent_id") if item.get("parent") else None,
    )
