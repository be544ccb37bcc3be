"""The inbox: a receiver that keeps what Aircall's webhooks tell, once, until the tap comes by to read it."""
