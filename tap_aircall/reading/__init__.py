"""Reading Aircall: pages, walks, cursors, times and states. Nothing in here sends a request."""
