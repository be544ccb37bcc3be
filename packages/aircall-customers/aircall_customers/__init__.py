"""Loads the Aircall data of many customers with Dagster, Meltano and tap-aircall; see docs/customers.md."""
