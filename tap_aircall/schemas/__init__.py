"""The JSON schemas of all streams."""
