"""The Dagster project, without a daemon: its sensor is asked, and what it wants is done."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aircall_customers.local import HERE
from customers_tests.test_alerts import fail, got, hook
from customers_tests.test_run import Site, site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult, RunRequest
    from requests_mock import Mocker

    from aircall_customers.guard import Guard
    from tap_aircall.inbox.store import Inbox

__all__ = ["hook", "site"]


class Orchestra:
    """The project on an instance in memory."""

    def __init__(self, definitions: Definitions, instance: DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance

    def due(self) -> Sequence[RunRequest]:
        """Ask the sensor, and make the partitions as it says."""
        from dagster import SensorResult, build_sensor_context

        sensor = self.definitions.resolve_sensor_def("due_customers")
        with build_sensor_context(instance=self.instance, definitions=self.definitions) as context:
            result = sensor(context)
        assert isinstance(result, SensorResult)
        for request in result.dynamic_partitions_requests or []:
            if type(request).__name__.startswith("Add"):
                self.instance.add_dynamic_partitions("customers", request.partition_keys)
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition("customers", key)
        return result.run_requests or []

    def do(self, request: RunRequest) -> ExecuteInProcessResult:
        """Do what the sensor asked for."""
        return self.definitions.resolve_job_def("customer").execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def metadata(self, result: ExecuteInProcessResult) -> dict[str, Any]:
        """Return what Dagster's page shows of a load."""
        (event,) = result.asset_materializations_for_node("aircall_load")
        return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture
def orchestra(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orchestra]:
    """The project, with the machine's variables."""
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    from dagster import DagsterInstance

    from aircall_customers.definitions import defs

    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.ephemeral() as instance:
        yield Orchestra(defs, instance)


def asked(requests: Sequence[RunRequest]) -> list[tuple[str | None, str]]:
    return [(each.partition_key, each.tags["aircall/reason"]) for each in requests]


def test_customers_come_are_loaded_fail_and_go_without_a_deployment(
    orchestra: Orchestra, site: Site, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(acme={"build": "target-jsonl:build"}, globex={})
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    wanted = orchestra.due()
    assert sorted(asked(wanted)) == [("acme", "never loaded"), ("globex", "never loaded")]
    assert sorted(orchestra.instance.get_dynamic_partitions("customers")) == ["acme", "globex"]

    sent = len(site.sandbox.requests)
    well = orchestra.do(next(each for each in wanted if each.partition_key == "acme"))
    sent = len(site.sandbox.requests) - sent
    monkeypatch.setenv("PIPELINE", "LoginNeeded Please log in again.")
    failed = orchestra.do(next(each for each in wanted if each.partition_key == "globex"))

    assert well.success
    shown = orchestra.metadata(well)
    assert (shown["calls"], shown["run"]) == (len(site.sandbox.world.calls), 1)
    assert shown["records by stream"] == {"calls": shown["calls"], "tags": shown["records"] - shown["calls"]}
    assert shown["requests"] == sent
    assert 0 < shown["minutes behind"] < 10
    assert {"seconds", "last success", "calls until"} <= shown.keys()
    assert [
        event.asset_key.to_user_string() for event in well.get_asset_materialization_events() if event.asset_key
    ] == [
        "aircall_load",
        "aircall_build",
    ]
    assert not failed.success
    (failure,) = failed.get_step_failure_events()
    error = failure.step_failure_data.user_failure_data
    assert error
    assert (error.description, error.metadata["error kind"].value) == ("Please log in again.", "LoginNeeded")
    assert guard.records()["globex"].marked_at is not None

    site.write(acme={})
    assert orchestra.due() == []
    assert orchestra.instance.get_dynamic_partitions("customers") == ["acme"]


def test_nothing_is_built_for_a_customer_without_a_build(orchestra: Orchestra, site: Site, guard: Guard) -> None:
    site.write(acme={})
    (wanted,) = orchestra.due()

    result = orchestra.do(wanted)

    assert result.success
    assert len(result.asset_materializations_for_node("aircall_build")) == 0
    assert guard.records()["acme"].epoch == 1


def test_a_customer_with_a_run_that_waits_is_not_asked_for_again(orchestra: Orchestra) -> None:
    from dagster import DagsterRunStatus

    orchestra.due()
    orchestra.instance.create_run_for_job(
        orchestra.definitions.resolve_job_def("customer"),
        status=DagsterRunStatus.NOT_STARTED,
        tags={"dagster/partition": "acme"},
    )

    assert orchestra.due() == []


def test_a_run_without_its_worker_is_ended_and_another_follows(orchestra: Orchestra, guard: Guard) -> None:
    from dagster import DagsterRunStatus

    from aircall_customers import definitions

    orchestra.due()
    job = orchestra.definitions.resolve_job_def("customer")
    lost, alive = (
        orchestra.instance.create_run_for_job(
            job, status=DagsterRunStatus.STARTED, tags={"dagster/partition": customer}
        )
        for customer in ("acme", "globex")
    )
    assert orchestra.due() == []

    orchestra.definitions = definitions.build_definitions(silence=timedelta(0))
    with guard.claim("globex", "machine 1"):
        wanted = orchestra.due()

    assert asked(wanted) == [("acme", "never loaded")]
    statuses = [orchestra.instance.get_run_by_id(run.run_id) for run in (lost, alive)]
    assert [run and run.status for run in statuses] == [DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED]


def test_an_event_in_the_inbox_starts_a_run_soon(
    orchestra: Orchestra, site: Site, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tap_aircall.inbox.store import Inbox

    location = str(site.folder / "inbox.sqlite")
    monkeypatch.setenv("AIRCALL_INBOX", location)
    site.write(acme={"inbox_company": "Acme Ltd", "schedule": "0 0 1 1 *"})
    inbox = Inbox.open(location, create=True)
    try:
        (first,) = orchestra.due()
        assert orchestra.do(first).success
        assert orchestra.due() == []
        deliver(inbox, "Acme Ltd")
        guard_now(guard, timedelta(minutes=2))
        wanted = orchestra.due()
        assert asked(wanted) == [("acme", "new events in the inbox")]
        assert orchestra.do(wanted[0]).success
        guard_now(guard, timedelta(minutes=4))
        assert orchestra.due() == []
    finally:
        inbox.close()


def test_the_sensor_of_alerts_tells_of_a_customer_that_is_marked_once(
    orchestra: Orchestra, site: Site, guard: Guard, hook: Mocker
) -> None:
    from dagster import build_sensor_context

    site.write(acme={})
    fail(guard, is_final=True)
    sensor = orchestra.definitions.resolve_sensor_def("alerts")
    with build_sensor_context(instance=orchestra.instance) as context:
        said = [str(sensor(context)) for _ in range(2)]

    assert [each["trouble"] for each in got(hook)] == ["marked"]
    assert "acme" in said[0]
    assert "acme" not in said[1]


def deliver(inbox: Inbox, company: str) -> None:
    """Put an event into the inbox."""
    from tap_aircall.inbox.deliveries import EventRow

    inbox.append([EventRow("e1", company, "call.tagged", "call", "call", "1", 1, 1, "{}")])


def guard_now(guard: Guard, later: timedelta) -> None:
    """Put the clock of all machines forward."""
    with guard._connection.transaction():  # noqa: SLF001
        guard._connection.execute(  # noqa: SLF001
            "CREATE OR REPLACE FUNCTION aircall_now() RETURNS timestamptz LANGUAGE sql AS "
            f"'SELECT clock_timestamp() + interval ''{later.total_seconds()} seconds'''"
        )


def test_old_runs_are_forgotten(orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster import DagsterRunStatus

    from aircall_customers import definitions

    job = orchestra.definitions.resolve_job_def("customer")
    old, going = (
        orchestra.instance.create_run_for_job(job, status=status)
        for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.STARTED)
    )
    forget = orchestra.definitions.resolve_job_def("forget_old_runs")
    assert forget.execute_in_process(instance=orchestra.instance).success
    assert orchestra.instance.get_run_by_id(old.run_id)

    monkeypatch.setattr(definitions, "KEEP", timedelta(days=-1))
    assert forget.execute_in_process(instance=orchestra.instance).success

    assert orchestra.instance.get_run_by_id(old.run_id) is None
    assert orchestra.instance.get_run_by_id(going.run_id)


def test_pods_have_an_init_process_and_only_the_rights_that_they_need() -> None:
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
    from kubernetes.client import ApiClient, V1PodSpec  # type: ignore[import-untyped]

    folder = HERE.parent / "kubernetes"
    launcher = yaml.safe_load((folder / "dagster.yaml").read_text(encoding="utf-8"))["run_launcher"]["config"]
    config = launcher["run_k8s_config"]
    load = {**config["pod_spec_config"], "containers": [config["container_config"] | {"name": "load"}]}
    model = k8s_model_from_dict(V1PodSpec, k8s_snake_case_dict(V1PodSpec, load))
    pods = [ApiClient().sanitize_for_serialization(model)]
    manifests = yaml.safe_load_all((folder / "manifests.yaml").read_text(encoding="utf-8"))
    pods += [each["spec"]["template"]["spec"] for each in manifests if each["kind"] == "Deployment"]

    for pod in pods:
        assert pod["shareProcessNamespace"] is True
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})


@pytest.mark.parametrize("path", ["dagster.yaml", "kubernetes/dagster.yaml"])
def test_dagster_accepts_its_configuration(path: str, tmp_path: Path) -> None:
    from dagster._core.instance.config import dagster_instance_config

    (tmp_path / "dagster.yaml").write_text((HERE.parent / path).read_text(encoding="utf-8"), encoding="utf-8")

    config, _ = dagster_instance_config(str(tmp_path))

    assert config["telemetry"] == {"enabled": False}
    assert config["concurrency"]["runs"]["tag_concurrency_limits"] == [
        {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
