"""AI results of calls."""
