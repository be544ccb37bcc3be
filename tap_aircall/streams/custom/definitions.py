"""The setting `custom_streams`: lists and objects of the API that users name themselves."""

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
"""Field of a record that holds what Aircall sent."""
SECRETS = frozenset({"token", "access_token", "refresh_token", "api_token", "secret", "client_secret", "password"})
"""Fields of these names, in any letter case and at any depth, never leave the tap."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLACE = "{id}"
"""Where the id of a parent's record goes in a path."""
_PATH = re.compile(r"/v[12](/((?!\.{1,2}(/|$))[\w.~@:-]+|\{id\}))+", re.ASCII)
_REQUIRED = {
    "name": "what to call the stream",
    "path": "where the list or object is, such as /v1/campaigns",
    "records_key": "the key of the list or object in Aircall's answer",
    "primary_keys": 'the fields that identify a record, such as ["id"]',
}
FIELDS = (*_REQUIRED, "replication", "replication_key", "parent", "parent_key")
"""The fields of a definition."""


class Replication(StrEnum):
    """How a list is read at each run."""

    FULL_TABLE = "full_table"
    """Whole."""
    FROM_TO = "from_to"
    """What is new: the list takes `from`, `to` and `order=asc` for the replication key."""
    NEWEST_FIRST = "newest_first"
    """What changed: the list takes `order_by` and `order=desc` for the replication key."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One stream of a user, checked."""

    name: str
    path: str
    """With its version."""
    records_key: str
    primary_keys: tuple[str, ...]
    replication: Replication
    replication_key: str | None
    """A time; None where the list is read whole."""
    parent: str | None = None
    """The stream that has a record for each list of this one, the record's `id` being in the path."""
    parent_key: str | None = None
    """The field that holds this id, added to each record."""
    is_built_in: bool = False
    """Whether the tap has it itself."""

    @property
    def sent_keys(self) -> list[str]:
        """Those primary keys that Aircall sends."""
        return [key for key in self.primary_keys if key != self.parent_key]

    @property
    def may_be_parent(self) -> bool:
        """Whether other streams can have it as their parent."""
        return self.replication is Replication.FULL_TABLE and self.parent is None and self.primary_keys == ("id",)


def parse_definitions(
    value: Any, taken: Collection[str] = (), parents: Collection[str] = (), *, is_built_in: bool = False
) -> list[Definition]:
    """Read the setting.

    Args:
        value: What the config says; None where it says nothing.
        taken: Names of streams that the tap has itself.
        parents: Those of them that may be parents.
        is_built_in: Whether these are the tap's own definitions.

    Raises:
        InputError: With one line that names the definition and the field that cannot be used.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"Setting {SETTING}: must be an array.")
    definitions: list[Definition] = []
    for number, item in enumerate(value):
        # Later checks rely on earlier ones, so that one problem is looked for at a time.
        problems = itertools.chain(_problems_of_form(item), _problems_of_content(item))
        field, problem = next(problems, ("", ""))
        if not problem:
            definition = _definition(item, is_built_in=is_built_in)
            field, problem = "name", _problem_of_name(definition.name, taken, definitions)
        if problem:
            raise InputError(f"Setting {'.'.join(filter(None, (SETTING, str(number), field)))}: {problem}")
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


def _problems_of_form(item: Any) -> Iterator[tuple[str, str]]:
    """Find fields that are unknown, missing or of another type; yield their name and what is wrong with them."""
    if not isinstance(item, dict):
        yield "", "must be an object."
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
    """Find values that cannot be used, where the form is right."""
    if not _NAME.fullmatch(item["name"]):
        yield "name", "must be made of letters, digits and underscores, and not begin with a digit."
    if not _PATH.fullmatch(item["path"]):
        yield "path", "must begin with /v1/ or /v2/, and have no ?, #, %, .. or spaces."
    keys, time = item["primary_keys"], item.get("replication_key")
    if not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys) or RECORD in keys:
        yield "primary_keys", f"must be different names of fields, none of them '{RECORD}'."
    if secret := next((key for key in keys if key.lower() in SECRETS), None):
        yield "primary_keys", f"'{secret}' is a secret, which never leaves the tap; choose another field."
    replication = _replication_of(item)
    if replication not in set(Replication):
        yield "replication", f"must be one of {', '.join(Replication)}."
    if replication == Replication.FULL_TABLE and time:
        yield "replication_key", f"is of no use, since replication is {replication}."
    if replication != Replication.FULL_TABLE and not time:
        yield "replication_key", f"missing; give the time that the list is ordered by, for replication {replication}."
    if time in {*keys, RECORD}:
        yield "replication_key", f"must be neither one of the primary_keys nor '{RECORD}'."
    yield from _problems_of_parent(item, replication)


def _problems_of_parent(item: Mapping[str, Any], replication: str) -> Iterator[tuple[str, str]]:
    if (item["path"].count(PLACE) == 1) != bool(item.get("parent")) or item["path"].count(PLACE) > 1:
        yield "path", f"must have {PLACE} once if there is a parent, and not at all if there is none."
    if item.get("parent") and replication != Replication.FULL_TABLE:
        yield "replication", f"must be {Replication.FULL_TABLE} for a stream with a parent."
    if item.get("parent_key") and (not item.get("parent") or item["parent_key"] == RECORD):
        yield "parent_key", f"must be the name of a field, not '{RECORD}', and needs a parent."


def _problem_of_name(name: str, taken: Collection[str], others: Iterable[Definition]) -> str:
    """Say why a stream cannot have a name; empty if it can. Some targets ignore the letter case."""
    if name.lower() in taken:
        return f"'{name}' is a stream of the tap's own; choose another name."
    if name.lower() in {other.name.lower() for other in others}:
        return f"'{name}' is there twice."
    return ""


def _replication_of(item: Mapping[str, Any]) -> str:
    return str(item.get("replication") or Replication.FULL_TABLE).lower()


def _definition(item: Mapping[str, Any], *, is_built_in: bool) -> Definition:
    return Definition(
        name=item["name"],
        path=item["path"],
        records_key=item["records_key"],
        primary_keys=tuple(item["primary_keys"]),
        replication=Replication(_replication_of(item)),
        replication_key=item.get("replication_key") or None,
        parent=item.get("parent") or None,
        parent_key=(item.get("parent_key") or "parent_id") if item.get("parent") else None,
        is_built_in=is_built_in,
    )
