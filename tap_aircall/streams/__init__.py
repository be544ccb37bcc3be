"""The streams, grouped by what they are about."""
