"""The tap's catalog: with some streams selected, and its summary in tests/snapshot.json.

`make generate` updates that file. Changes in it are changes for users.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_aircall.tap import TapAircall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SNAPSHOT = Path(__file__).with_name("snapshot.json")
NOT_LISTED = {"$schema", "description", "items", "properties", "required", "type"}
EXAMPLES = {"boolean": True, "integer": 7, "number": 0.5, "string": "text"}
FORMATS = {"date": "2026-05-20", "date-time": "2026-03-02T08:15:30Z"}


def catalog(*streams: str, **settings: Any) -> dict[str, Any]:
    """Return the catalog with only these streams, selected; without any, all streams, deselected."""
    entries = _discovered(json.dumps(settings, sort_keys=True))
    catalog: dict[str, Any] = {"streams": [json.loads(entries[name]) for name in streams or entries]}
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == []:
                item["metadata"]["selected"] = bool(streams)
    return catalog


@cache
def _discovered(settings: str) -> dict[str, str]:
    """Discover the entries of the catalog once, since that takes longer than most runs in tests."""
    entries = TapAircall(config=json.loads(settings), validate_config=False).catalog_dict["streams"]
    return {entry["tap_stream_id"]: json.dumps(entry) for entry in entries}


def summary(catalog: Mapping[str, Any]) -> dict[str, Any]:
    """Summarize a catalog: keys, replication and selection of each stream, and its fields at every depth."""
    return {
        entry["tap_stream_id"]: {
            "keys": list(entry["key_properties"]),
            "replication": " by ".join(filter(None, [entry["replication_method"], entry.get("replication_key")])),
            "selected by default": entry["metadata"][-1]["metadata"].get("selected-by-default", True),
            "fields": {path: _form(definition) for path, definition in properties(entry["schema"])},
            "fields not selected by default": [
                item["breadcrumb"][1]
                for item in entry["metadata"]
                if item["breadcrumb"] and not item["metadata"].get("selected-by-default", True)
            ],
        }
        for entry in catalog["streams"]
    }


def _form(definition: Mapping[str, Any]) -> str:
    others = (f"{name}={value}" for name, value in sorted(definition.items()) if name not in NOT_LISTED)
    items = "of " + _form(definition["items"]) if "items" in definition else ""
    return " ".join(filter(None, ["|".join(_types(definition)), *others, items]))


def _types(definition: Mapping[str, Any]) -> list[str]:
    types = definition["type"]
    return [types] if isinstance(types, str) else list(types)


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path and definition of each property, at every depth."""
    for name, definition in schema.get("properties", {}).items():
        yield path + name, definition
        yield from properties(definition, f"{path}{name}.")
        yield from properties(definition.get("items", {}), f"{path}{name}[].")


def example(definition: Mapping[str, Any]) -> Any:
    """Return a value that fits a schema, with all its fields."""
    kind = _types(definition)[0]
    if kind == "object":
        return {name: example(inner) for name, inner in definition.get("properties", {}).items()}
    if kind == "array":
        return [example(definition["items"])]
    return FORMATS[definition["format"]] if "format" in definition else EXAMPLES[kind]


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(summary(catalog()), indent=1) + "\n", encoding="utf-8")
