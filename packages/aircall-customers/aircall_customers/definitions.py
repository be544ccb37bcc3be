"""The Dagster project: one partition per customer, with a load and the build that follows it."""

# No `from __future__ import annotations`: Dagster inspects the types of arguments.

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    Definitions,
    DynamicPartitionsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    OpExecutionContext,
    PipesSubprocessClient,
    RunRecord,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    asset,
    define_asset_job,
    in_process_executor,
    job,
    op,
    sensor,
)

from aircall_customers import PARENT
from aircall_customers.alerts import announce
from aircall_customers.customers import Customer, Project, read_customers
from aircall_customers.due import choose
from aircall_customers.guard import Guard, Record
from aircall_customers.run import Place, Report, inbox_positions

CUSTOMERS = DynamicPartitionsDefinition(name="customers")
LOAD, BUILD = "aircall_load", "aircall_build"
JOB = "customer"
CUSTOMER_TAG = "dagster/partition"
"""Dagster's own tag for the partition of a run. dagster.yaml allows one run per value."""
REASON_TAG = "aircall/reason"
"""Tag with the reason for a run, for people to read."""
LONG_TAG = "aircall/long"
"""Tag of runs that may take hours."""
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
COMMAND = (sys.executable, "-m", "aircall_customers")
INTERVAL_SECONDS = 30
"""Interval of the search for customers that are due."""
SILENCE = timedelta(minutes=2)
"""A run without a load for longer than this has lost its worker."""
KEEP = timedelta(days=14)
"""How long Dagster keeps its records of a run."""
RUNS_AT_ONCE = 200
"""Number of runs to delete per query."""


@op(description=f"Deletes runs older than {KEEP.days} days, with their events and logs.")
def forget(context: OpExecutionContext) -> None:
    """Keep Dagster's database and logs from growing without bound."""
    instance, before = context.instance, datetime.now(UTC) - KEEP
    filters = RunsFilter(statuses=FINISHED, created_before=before)
    while records := instance.get_run_records(filters, limit=RUNS_AT_ONCE):
        for each in records:
            instance.compute_log_manager.delete_logs(prefix=[each.dagster_run.run_id])
            instance.delete_run(each.dagster_run.run_id)


@job(executor_def=in_process_executor)
def forget_old_runs() -> None:
    """Delete Dagster's records of old runs. Customers' records and states are not Dagster's: they stay."""
    forget()


def build_definitions(
    command: Sequence[str] = COMMAND, *, interval: int = INTERVAL_SECONDS, silence: timedelta = SILENCE
) -> Definitions:
    """Build the project.

    Args:
        command: The command that loads a customer; `load` or `build` and the name are appended. No shell is involved.
        interval: Seconds between two searches for customers that are due.
        silence: How long a run may be without a load before it counts as dead.
    """

    def execute(context: AssetExecutionContext, pipes: PipesSubprocessClient, *task: str) -> Report:
        """Run a task in its own process; return the outcome."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Dagster warns about its own internals
            done = pipes.run(
                context=context, command=[*command, *task, context.partition_key], env={PARENT: str(os.getpid())}
            )
        (message,) = done.get_custom_messages()
        report = Report(**message)
        if not report.succeeded:
            raise Failure(report.error, metadata={"error kind": report.error_kind or ""}, allow_retries=False)
        return report

    @asset(
        name=LOAD,
        partitions_def=CUSTOMERS,
        group_name="aircall",
        kinds={"meltano"},
        description="The customer's Aircall data, loaded into the customer's schema.",
    )
    def load(context: AssetExecutionContext, pipes: PipesSubprocessClient) -> MaterializeResult[None]:
        return MaterializeResult(metadata=_metadata(execute(context, pipes, "load", "--without-build")))

    @asset(
        name=BUILD,
        partitions_def=CUSTOMERS,
        group_name="aircall",
        kinds={"dbt"},
        deps=[load],
        output_required=False,
        description="Models built on a customer's data, for customers whose entry in the list has `build`.",
    )
    def build(context: AssetExecutionContext, pipes: PipesSubprocessClient) -> Iterator[MaterializeResult[None]]:
        customer = _listed(Place())[context.partition_key]
        if customer.build is None:
            context.log.info("This customer has no build.")
        else:
            yield MaterializeResult(metadata={"seconds": execute(context, pipes, "build").seconds})

    customer_job = define_asset_job(JOB, AssetSelection.assets(load, build), executor_def=in_process_executor)

    @sensor(
        name="due_customers",
        job=customer_job,
        minimum_interval_seconds=interval,
        default_status=DefaultSensorStatus.RUNNING,
        description="Syncs the partitions with the list of customers, and requests the runs that are due.",
    )
    def due_customers(context: SensorEvaluationContext) -> SensorResult:
        place = Place()
        customers = _listed(place)
        news = inbox_positions(place.inbox, list(customers.values())) if place.inbox else {}
        with Guard(place.database) as guard:
            records, now = guard.records(), guard.now()
        unfinished = _without_dead(context.instance, records, now, silence)
        wanted = choose(
            customers.values(),
            records,
            now,
            news=news,
            busy={each.dagster_run.tags.get(CUSTOMER_TAG, "") for each in unfinished},
            long_loads=sum(LONG_TAG in each.dagster_run.tags for each in unfinished),
            at_once=_at_once(context.instance),
        )
        return SensorResult(
            run_requests=[
                RunRequest(
                    partition_key=each.name,
                    asset_selection=[AssetKey(LOAD), *([AssetKey(BUILD)] if customers[each.name].build else [])],
                    tags={REASON_TAG: each.reason} | ({LONG_TAG: "true"} if each.is_long else {}),
                )
                for each in wanted
            ],
            dynamic_partitions_requests=_partitions(context.instance, customers),
            skip_reason=None if wanted else "No customer is due.",
        )

    @sensor(
        name="alerts",
        job=customer_job,
        minimum_interval_seconds=max(interval, 1) * 2,
        default_status=DefaultSensorStatus.RUNNING,
        description="Sends an alert to AIRCALL_ALERT_URL if a customer is marked, failing or behind, or recovers.",
    )
    def alerts(_context: SensorEvaluationContext) -> SkipReason:
        place = Place()
        with Guard(place.database) as guard:
            told = announce(_listed(place), guard)
        return SkipReason(f"Alerts sent for: {', '.join(told)}." if told else "No alerts.")

    return Definitions(
        assets=[load, build],
        jobs=[customer_job, forget_old_runs],
        sensors=[due_customers, alerts],
        schedules=[
            ScheduleDefinition(
                name="forget_old_runs_daily", job=forget_old_runs, cron_schedule="17 3 * * *", execution_timezone="UTC"
            )
        ],
        resources={"pipes": PipesSubprocessClient(termination_timeout_seconds=120)},
    )


def _listed(place: Place) -> dict[str, Customer]:
    return read_customers(place.customers, Project(place.project))


def _metadata(report: Report) -> dict[str, Any]:
    """Return the metadata of a load for Dagster's page, which plots the numbers."""
    until = datetime.fromisoformat(report.calls_until) if report.calls_until else None
    ended = datetime.fromisoformat(report.ended_at) if report.ended_at else None
    values: dict[str, Any] = {
        "run": report.run,
        "calls": report.records.get("calls", 0),
        "records": sum(report.records.values()),
        "requests": report.requests,
        "seconds": report.seconds,
        "records by stream": MetadataValue.json(report.records),
    }
    if ended is not None:
        values["last success"] = MetadataValue.timestamp(ended)
    if until is not None and ended is not None:
        values["calls until"] = MetadataValue.timestamp(until)
        values["minutes behind"] = round((ended - until).total_seconds() / 60, 1)
    return values


def _partitions(instance: DagsterInstance, customers: Mapping[str, Customer]) -> list[Any]:
    """Return the requests that sync the partitions with the list."""
    there = set(instance.get_dynamic_partitions(str(CUSTOMERS.name)))
    added, removed = sorted(customers.keys() - there), sorted(there - customers.keys())
    return [
        *([CUSTOMERS.build_add_request(added)] if added else []),
        *([CUSTOMERS.build_delete_request(removed)] if removed else []),
    ]


def _at_once(instance: DagsterInstance) -> int:
    """Return the limit of concurrent runs in dagster.yaml."""
    queue = instance.get_concurrency_config().run_queue_config
    return queue.max_concurrent_runs if queue and queue.max_concurrent_runs > 0 else 10


def _without_dead(
    instance: DagsterInstance, records: Mapping[str, Record], now: datetime, silence: timedelta
) -> list[RunRecord]:
    """Return the queued and started runs; fail those whose worker is dead.

    Dagster itself notices a dead worker only if the code server or the cluster watches it.
    """
    alive = []
    for each in instance.get_run_records(RunsFilter(job_name=JOB, statuses=UNFINISHED)):
        record = records.get(each.dagster_run.tags.get(CUSTOMER_TAG, ""))
        has_begun = each.dagster_run.status is DagsterRunStatus.STARTED
        is_idle = record is None or not (record.is_held or (record.ended_at and now - record.ended_at < silence))
        if has_begun and is_idle and datetime.now(UTC) - each.update_timestamp.replace(tzinfo=UTC) > silence:
            instance.report_run_failed(each.dagster_run, "The worker of this run is gone; another run will follow.")
        else:
            alive.append(each)
    return alive


defs = build_definitions()
