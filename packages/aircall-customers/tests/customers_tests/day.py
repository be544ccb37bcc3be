"""The Dagster project of the simulated day: as it is, but quick to look and to start."""

from __future__ import annotations

from datetime import timedelta

from aircall_customers.definitions import build_definitions
from customers_tests.zygote import command

defs = build_definitions([*command(), "customers"], interval=1, silence=timedelta(seconds=20))
