"""HTTP: rate limit, retries, authentication, limits on responses, decoding and downloads."""
