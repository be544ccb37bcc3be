"""The command line: `python -m aircall_customers load acme`. Dagster uses it; cron can as well."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes

from aircall_customers.customers import CustomersError, Project, read_customers
from aircall_customers.guard import Guard, GuardError
from aircall_customers.run import Place, Report, run
from aircall_customers.views import make_views


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aircall_customers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    load = commands.add_parser("load", help="load new data of one customer, then run the build that the list names")
    load.add_argument("--without-build", action="store_true", help="skip the build")
    build = commands.add_parser("build", help="run the build that the list names for one customer")
    for command in (load, build):
        command.add_argument("customer")
    commands.add_parser("status", help="show the state of each customer")
    commands.add_parser("views", help="create views over the tables of all customers, in DuckDB and PostgreSQL")
    options = parser.parse_args()
    try:
        place = Place()
        if options.command == "status":
            _show_status(place)
            return 0
        if options.command == "views":
            project = Project(place.project)
            for line in make_views(read_customers(place.customers, project).values(), project):
                print(line)
            return 0
    except (CustomersError, GuardError) as error:
        print(error, file=sys.stderr)
        return 1
    with_build = options.command == "build" or not options.without_build
    report = run(options.customer, place, load=options.command == "load", build=with_build)
    if report.error:
        print(report.error, file=sys.stderr)
    if DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ:
        _tell_dagster(report)
        return 0  # Dagster reads the outcome from the message
    return 0 if report.succeeded else 1


def _tell_dagster(report: Report) -> None:
    with open_dagster_pipes() as pipes:
        pipes.report_custom_message(asdict(report))


def _show_status(place: Place) -> None:
    customers = read_customers(place.customers, Project(place.project))
    with Guard(place.database) as guard:
        records, now = guard.records(), guard.now()
    for name in sorted(customers):
        record = records.get(name)
        if record is None or record.began_at is None:
            print(f"{name}: never loaded")
            continue
        behind = (
            f"{(now - record.calls_until).total_seconds() / 60:.0f} min behind" if record.calls_until else "no calls"
        )
        if record.is_held:
            state = f"being loaded by {record.run}"
        elif record.was_killed:
            state = "was killed"
        elif record.marked_at:
            state = f"marked: {record.error}"
        elif record.failures:
            state = f"failed {record.failures} times: {record.error}"
        else:
            state = "well"
        success = f"{record.succeeded_at:%Y-%m-%d %H:%M} UTC" if record.succeeded_at else "never"
        print(f"{name}: {state}; last success {success}; {behind}")


if __name__ == "__main__":
    sys.exit(main())
