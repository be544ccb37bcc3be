"""Singer tap for Aircall."""
