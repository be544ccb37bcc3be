"""The audio of calls, kept before its links end."""
