"""Calls, and when they are read again."""
