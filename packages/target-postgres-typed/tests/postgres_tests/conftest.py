"""Fixtures: a run of the target, and a Meltano project with it."""

from tests.targets.conftest import live_sandbox as live_sandbox  # noqa: PLC0414
from tests.targets.conftest import load as load  # noqa: PLC0414
from tests.targets.conftest import project as project  # noqa: PLC0414
