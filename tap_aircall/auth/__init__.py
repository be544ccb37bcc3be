"""OAuth: a technology partner's app, its login and its tokens."""
