"""Streams that users define."""
