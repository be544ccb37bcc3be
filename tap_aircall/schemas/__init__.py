"""JSON schemas of the built-in streams."""

from functools import cache

from tap_aircall.schemas import inbox, intelligence, resources
from tap_aircall.schemas.notation import Schema, completed


@cache
def of(stream: str) -> Schema:
    """Return the JSON schema of a stream's records."""
    return completed((resources.FIELDS | intelligence.FIELDS | inbox.FIELDS)[stream])
