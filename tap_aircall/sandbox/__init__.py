"""A local Aircall with made-up data, for trying the tap, for demos and for tests.

It follows what is known of the real API, oddities included; the tap never imports it. In a process:

    with Sandbox(World.generate(seed=1, now=time.time())) as sandbox:
        requests.get(sandbox.url + "/v1/calls", auth=(sandbox.api_id, sandbox.api_token))

On a command line: `python -m tap_aircall.sandbox --help`.
"""

from __future__ import annotations

from tap_aircall.sandbox.faults import Fault
from tap_aircall.sandbox.server import RequestLog, Sandbox
from tap_aircall.sandbox.world import World

__all__ = ["Fault", "RequestLog", "Sandbox", "World"]
