"""How the schemas are written: fields by name, each with a type and what it means.

Everything may be null but keys, since Aircall leaves out more than it documents, and a target must not refuse a call
over that.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Schema: TypeAlias = dict[str, Any]
Fields: TypeAlias = dict[str, Schema]

ADDITIONAL_FIELDS = "additional_fields"
"""Name of the field for what a schema has no place for."""
_ALL_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")


def _field(kind: str, description: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more, "description": description}


text = partial(_field, "string")
flag = partial(_field, "boolean")
number = partial(_field, "number")
integer = partial(_field, "integer", minimum=-(2**63), maximum=2**63 - 1)
"""Aircall's ids have 64 bits; a target that is told so chooses a bigint."""
time = partial(_field, "string", format="date-time")
"""Whatever Aircall sends, it leaves the tap as a text."""
day = partial(_field, "string", format="date")
open_object = partial(_field, "object", properties={}, additionalProperties=True)
"""An object whose fields are not known; it is passed on as it is. Empty `properties` are for target-snowflake."""


def object_of(fields: Fields, description: str) -> Schema:
    """Describe an object."""
    return _field("object", description, properties=fields, additionalProperties=True)


def list_of(item: Schema, description: str) -> Schema:
    """Describe a list, in which anything may be null; an item needs no description of its own."""
    return _field("array", description, items={name: each for name, each in item.items() if name != "description"})


def objects(fields: Fields, description: str) -> Schema:
    """Describe a list of objects."""
    return list_of(object_of(fields, ""), description)


def key(field: Schema) -> Schema:
    """Make a field one that each record has."""
    return field | {"type": field["type"][:1]}


def completed(fields: Fields) -> Schema:
    """Return the JSON schema of records with some fields, and one more for all that has no place in these."""
    additional = open_object(
        "Fields that Aircall sent and this version of the tap does not know, and values that could not be used, each "
        "by its path: `mood`, `number.e164`, or `tags[].x`, a list with one value for each of the tags; `tags[]` has "
        "items that could not be used. Null for most records. Where unknown fields are passed on beside the known "
        "ones, only those within others are here."
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": fields | {ADDITIONAL_FIELDS: additional},
        "required": [name for name, field in fields.items() if "null" not in field["type"]],
    }
    # The SDK takes deselected fields out of a schema, so that two places must not share a part.
    copy: Schema = json.loads(json.dumps(schema))
    return copy


def types_of(definition: Mapping[str, Any]) -> Sequence[str]:
    """Return the JSON types that a definition allows; all of them, if it names none."""
    types: str | Sequence[str] = definition.get("type", _ALL_TYPES)
    return [types] if isinstance(types, str) else types


def has(schema: Mapping[str, Any], field: str) -> bool:
    """Say whether a schema has a field, named with dots through objects and arrays (`tags.id` or `tags[].id`)."""
    for name in field.replace("[]", "").split("."):
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True
