"""Demo of many customers: three made-up ones in Dagster's page, one of which has revoked credentials.

`make demo-customers` runs it until Ctrl-C.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from contextlib import ExitStack

from aircall_customers.alerts import trouble
from aircall_customers.customers import Project, read_customers
from aircall_customers.guard import Guard
from aircall_customers.local import ROOT, Deployment, free_port, postgres_server, wait_for_page
from aircall_sandbox import Sandbox, generate_company

FOLDER = ROOT / "demo-data" / "customers"
COMPANIES = {"acme": 800, "globex": 300, "initech": 100}
"""Customers, with their number of calls."""
FAILING = "initech"
START_SECONDS = 180


def main() -> int:
    """Run the demo; return the exit code."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            _run(stack)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0
    print(f"Dagster stopped unexpectedly; its logs are in {FOLDER}.", file=sys.stderr)
    return 1


def _run(stack: ExitStack) -> None:
    print("Starting three made-up companies, PostgreSQL and Dagster ...", flush=True)
    deployment = Deployment(FOLDER, stack.enter_context(postgres_server()))
    for seed, (name, calls) in enumerate(COMPANIES.items()):
        company = generate_company(seed=seed, now=time.time(), calls=calls, contacts=calls // 4, users=5)
        sandbox = stack.enter_context(Sandbox(company))
        deployment.environment |= {
            f"{name.upper()}_API_URL": sandbox.url,
            f"{name.upper()}_USER": sandbox.api_id,
            f"{name.upper()}_PASSWORD": "revoked" if name == FAILING else sandbox.api_token,
        }
    deployment.write_customers(
        {
            name: {
                "credentials": {"environment": name.upper()},
                "schema": name,
                "target_settings": {"filepath": str(FOLDER / f"{name}.duckdb")},
            }
            for name in COMPANIES
        },
        defaults={"target": "target-duckdb", "schedule": "*/2 * * * *"},
    )
    stack.callback(deployment.stop)
    port = free_port()
    page = deployment.start("dagster-webserver", "--host", "127.0.0.1", "--port", str(port))
    daemon = deployment.start("dagster-daemon", "run")
    url = f"http://127.0.0.1:{port}"
    if not wait_for_page(url, page, START_SECONDS):
        return
    print(f"Dagster's page: {url}/assets/aircall_load?view=overview (stop with Ctrl-C)", flush=True)
    shown: dict[str, str] = {}
    with Guard(deployment.environment["AIRCALL_DATABASE"]) as guard:
        while page.poll() is None and daemon.poll() is None:
            for name, line in _statuses(deployment, guard).items():
                if shown.get(name) != line:
                    shown[name] = line
                    print(f"  {name}: {line}", flush=True)
            time.sleep(1)


def _statuses(deployment: Deployment, guard: Guard) -> dict[str, str]:
    """Return a line about each customer that was loaded or has failed."""
    customers, now = read_customers(deployment.customers, Project(ROOT)), guard.now()
    lines = {}
    for name, record in guard.records(customers).items():
        wrong = trouble(customers[name], record, now)
        if wrong:
            lines[name] = wrong[1]
        elif record.error:
            lines[name] = f"failed, and will be retried: {record.error}"
        elif record.succeeded_at:
            lines[name] = f"loaded at {record.succeeded_at:%H:%M:%S} UTC"
    return lines


if __name__ == "__main__":
    sys.exit(main())
