"""Helpers to write schemas: fields by name, each with a type and a description.

All fields but keys are nullable, since Aircall omits more than it documents, and a target must not refuse a call for
it.
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
"""Field for values that a schema has no place for."""
_ALL_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")


def _field(kind: str, description: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more, "description": description}


text = partial(_field, "string")
flag = partial(_field, "boolean")
number = partial(_field, "number")
integer = partial(_field, "integer", minimum=-(2**63), maximum=2**63 - 1)
"""With the bounds of Aircall's 64-bit ids, from which a target chooses bigint."""
time = partial(_field, "string", format="date-time")
"""RFC 3339, whatever format Aircall uses."""
day = partial(_field, "string", format="date")
open_object = partial(_field, "object", properties={}, additionalProperties=True)
"""An object with unknown fields, passed on as it is; target-snowflake needs the empty `properties`."""


def object_of(fields: Fields, description: str) -> Schema:
    """Return the schema of an object."""
    return _field("object", description, properties=fields, additionalProperties=True)


def list_of(item: Schema, description: str) -> Schema:
    """Return the schema of a list, without the description of its items."""
    return _field("array", description, items={name: each for name, each in item.items() if name != "description"})


def objects(fields: Fields, description: str) -> Schema:
    """Return the schema of a list of objects."""
    return list_of(object_of(fields, ""), description)


def key(field: Schema) -> Schema:
    """Make a field required and not nullable."""
    return field | {"type": field["type"][:1]}


def completed(fields: Fields) -> Schema:
    """Return the JSON schema of records with these fields and `additional_fields`."""
    additional = open_object(
        "Fields that this version of the tap does not know, and unusable values, by path: `mood`, `number.e164`, or "
        "`tags[].x`, a list with one value for each of the tags; `tags[]` has unusable items. Null for most records. "
        "In streams that pass on unknown fields, only nested ones are here."
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": fields | {ADDITIONAL_FIELDS: additional},
        "required": [name for name, field in fields.items() if "null" not in field["type"]],
    }
    # The SDK removes deselected fields from a schema in place, so its parts must not be shared.
    copy: Schema = json.loads(json.dumps(schema))
    return copy


def types_of(definition: Mapping[str, Any]) -> Sequence[str]:
    """Return the JSON types that a definition allows; all of them if it has no `type`."""
    types: str | Sequence[str] = definition.get("type", _ALL_TYPES)
    return [types] if isinstance(types, str) else types


def has(schema: Mapping[str, Any], field: str) -> bool:
    """Return whether a schema has a field, by path through objects and arrays (`tags.id` or `tags[].id`)."""
    for name in field.replace("[]", "").split("."):
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True
