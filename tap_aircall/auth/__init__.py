"""Authentication: API keys, and a technology partner's OAuth app with its login and tokens."""
