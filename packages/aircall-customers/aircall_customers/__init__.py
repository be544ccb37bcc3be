"""Loads the Aircall data of many customers with Dagster, Meltano and tap-aircall; see docs/customers.md."""

import os

PARENT = "AIRCALL_PARENT"
"""The variable with the number of the process that begins a load."""
BEGUN_BY = int(os.environ.get(PARENT) or os.getppid())
"""The process that began this one: who asks later is told of another if it is gone by then."""
