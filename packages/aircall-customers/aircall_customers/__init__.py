"""Loads the Aircall data of many customers with Dagster, Meltano and tap-aircall; see docs/customers.md."""

import os

PARENT = "AIRCALL_PARENT"
"""Environment variable: pid of the process that starts a load."""
BEGUN_BY = int(os.environ.get(PARENT) or os.getppid())
"""Pid of this process's parent, read at start: once the parent is gone, `os.getppid` names another process."""
