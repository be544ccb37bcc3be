"""A local Aircall with made-up data, for trying the tap, for demos and for tests.

It follows what is known of the real API, oddities included; the tap never imports it. In a process:

    with Sandbox(generate_company(seed=1, now=time.time())) as sandbox:
        requests.get(sandbox.url + "/v1/calls", auth=(sandbox.api_id, sandbox.api_token))

On a command line: `python -m aircall_sandbox --help`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aircall_sandbox.faults import Fault
    from aircall_sandbox.generate import generate_company
    from aircall_sandbox.messages import RequestLog
    from aircall_sandbox.server import Sandbox
    from aircall_sandbox.world import World

__all__ = ["Fault", "RequestLog", "Sandbox", "World", "generate_company", "missing"]

_MODULES = {
    "Fault": "faults",
    "RequestLog": "messages",
    "Sandbox": "server",
    "World": "world",
    "generate_company": "generate",
}


def missing(error: ModuleNotFoundError) -> str:
    """Say in one line what to install for the sandbox.

    Args:
        error: Names the package that is not there.
    """
    return f"The sandbox needs {error.name}: pip install ./packages/aircall-sandbox"


def __getattr__(name: str) -> Any:
    """Import only what is asked for, so that the command line can say which package is missing."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
