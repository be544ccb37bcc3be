"""The audio of calls, stored before its links expire."""
