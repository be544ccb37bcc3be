"""The Dagster project: a partition for each customer, with a load and what is built after it."""

# No `from __future__ import annotations`: Dagster looks at the types of the arguments.

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
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
"""Dagster's own tag of runs of a partition. dagster.yaml allows one run for each of its values."""
REASON_TAG = "aircall/reason"
"""Why the run was asked for, for people."""
LONG_TAG = "aircall/long"
"""A tag of runs that may take hours."""
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
"""How often to look for customers that are due."""
SILENCE = timedelta(minutes=2)
"""A run that has been without a load for longer than this has lost its worker."""
KEEP = timedelta(days=14)
"""How long to keep what Dagster knows of a run."""
RUNS_AT_ONCE = 200
"""How many runs to delete between two looks for more."""


@op(description=f"Deletes the runs of more than {KEEP.days} days ago, with their events and logs.")
def forget(context: OpExecutionContext) -> None:
    """Keep Dagster's database and its logs from growing for ever."""
    instance, before = context.instance, datetime.now(UTC) - KEEP
    filters = RunsFilter(statuses=FINISHED, created_before=before)
    while records := instance.get_run_records(filters, limit=RUNS_AT_ONCE):
        for each in records:
            instance.compute_log_manager.delete_logs(prefix=[each.dagster_run.run_id])
            instance.delete_run(each.dagster_run.run_id)


@job(executor_def=in_process_executor)
def forget_old_runs() -> None:
    """Delete what Dagster knows of old runs. What is known of customers, and their states, is elsewhere."""
    forget()


def build_definitions(
    command: Sequence[str] = COMMAND, *, interval: int = INTERVAL_SECONDS, silence: timedelta = SILENCE
) -> Definitions:
    """Put the project together.

    Args:
        command: What loads a customer, before `load` or `build` and the name. It is started as it is, by no shell.
        interval: How often to look for customers that are due, in seconds.
        silence: How long a run may be without a load.
    """

    def execute(context: AssetExecutionContext, pipes: PipesSubprocessClient, *task: str) -> Report:
        """Do a task in a process of its own, and return how it ended."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Dagster warns of what it uses itself
            done = pipes.run(
                context=context, command=[*command, *task, context.partition_key], env={PARENT: str(os.getpid())}
            )
        (message,) = done.get_custom_messages()
        report = Report(**message)
        if not report.succeeded:
            _observe(context, report)
            raise Failure(report.error, metadata={"error kind": report.error_kind or ""}, allow_retries=False)
        return report

    @asset(
        name=LOAD,
        partitions_def=CUSTOMERS,
        group_name="aircall",
        kinds={"meltano"},
        description="What Aircall has of a customer, loaded into the customer's schema.",
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
        description="What is built on a customer's data, for customers whose entry in the list has `build`.",
    )
    def build(context: AssetExecutionContext, pipes: PipesSubprocessClient) -> Iterator[MaterializeResult[None]]:
        customer = _listed(Place.from_environment())[context.partition_key]
        if customer.build is None:
            context.log.info("Nothing is to be built for this customer.")
        else:
            yield MaterializeResult(metadata={"seconds": execute(context, pipes, "build").seconds})

    customer_job = define_asset_job(JOB, AssetSelection.assets(load, build), executor_def=in_process_executor)

    @sensor(
        name="due_customers",
        job=customer_job,
        minimum_interval_seconds=interval,
        default_status=DefaultSensorStatus.RUNNING,
        description="Keeps the partitions like the list of customers, and asks for the runs that are due.",
    )
    def due_customers(context: SensorEvaluationContext) -> SensorResult:
        place = Place.from_environment()
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
            skip_reason=None if wanted else "Nobody is due.",
        )

    @sensor(
        name="alerts",
        job=customer_job,
        minimum_interval_seconds=max(interval, 1) * 2,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells AIRCALL_ALERT_URL of customers that are marked, failing or behind, and when they are well.",
    )
    def alerts(_context: SensorEvaluationContext) -> SkipReason:
        place = Place.from_environment()
        with Guard(place.database) as guard:
            told = announce(_listed(place), guard)
        return SkipReason(f"Told of {', '.join(told)}." if told else "Nothing to tell.")

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
    """Return what Dagster's page shows of a load. What is a number gets a chart."""
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


def _observe(context: AssetExecutionContext, report: Report) -> None:
    """Put an error where charts count it by kind."""
    metadata: dict[str, Any] = {f"error: {report.error_kind}": 1, "error": report.error or ""}
    context.log_event(AssetObservation(context.asset_key, partition=context.partition_key, metadata=metadata))


def _partitions(instance: DagsterInstance, customers: Mapping[str, Customer]) -> list[Any]:
    """Return what makes the partitions those of the list."""
    there = set(instance.get_dynamic_partitions(str(CUSTOMERS.name)))
    added, removed = sorted(customers.keys() - there), sorted(there - customers.keys())
    return [
        *([CUSTOMERS.build_add_request(added)] if added else []),
        *([CUSTOMERS.build_delete_request(removed)] if removed else []),
    ]


def _at_once(instance: DagsterInstance) -> int:
    """Return how many runs may be under way at once, from dagster.yaml."""
    queue = instance.get_concurrency_config().run_queue_config
    return queue.max_concurrent_runs if queue and queue.max_concurrent_runs > 0 else 10


def _without_dead(
    instance: DagsterInstance, records: Mapping[str, Record], now: datetime, silence: timedelta
) -> list[RunRecord]:
    """Return the runs that wait or are under way, and end those that have lost their worker.

    Dagster itself notices a dead worker only where the code server or the cluster watches it. The guard knows.
    """
    alive = []
    for each in instance.get_run_records(RunsFilter(job_name=JOB, statuses=UNFINISHED)):
        record = records.get(each.dagster_run.tags.get(CUSTOMER_TAG, ""))
        has_begun = each.dagster_run.status is DagsterRunStatus.STARTED
        is_idle = record is None or not (record.is_held or (record.ended_at and now - record.ended_at < silence))
        if has_begun and is_idle and datetime.now(UTC) - each.update_timestamp.replace(tzinfo=UTC) > silence:
            instance.report_run_failed(each.dagster_run, "The worker of this run is gone; another run follows.")
        else:
            alive.append(each)
    return alive


defs = build_definitions()
