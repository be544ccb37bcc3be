"""How Aircall is read: pages, walks, cursors, times and states. Nothing in here sends a request."""
