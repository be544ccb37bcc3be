"""The inbox: a receiver that stores events from Aircall's webhooks, each once, for the tap to read."""
