"""Streams from the inbox."""
