"""A local Aircall with made-up data, for trying the tap, demos and tests.

It follows the known facts about the real API, oddities included. The tap never imports it. In Python:

    with Sandbox(generate_company(seed=1, now=time.time())) as sandbox:
        requests.get(sandbox.url + "/v1/calls", auth=(sandbox.api_id, sandbox.api_token))

On a command line: `python -m aircall_sandbox --help`.
"""

from aircall_sandbox.faults import Fault
from aircall_sandbox.generate import generate_company
from aircall_sandbox.messages import RequestLog
from aircall_sandbox.server import Sandbox
from aircall_sandbox.world import World

__all__ = ["Fault", "RequestLog", "Sandbox", "World", "generate_company"]
