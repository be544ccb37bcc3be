"""One run of one customer: claim it, run Meltano in a private working folder, and watch it to the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, NonNegativeInt, StringConstraints, ValidationError

import aircall_customers
from aircall_customers.customers import OWN, TAP, CustomersError, Project, read_customers
from aircall_customers.guard import CLAIM, DATABASE, DATABASE_HANDLE, Claim, Guard, GuardError
from tap_aircall.inbox.groups import end_group, process_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aircall_customers.customers import Customer
    from aircall_customers.guard import State

CHECK_SECONDS = 5.0
"""Interval between checks that the claim is still valid."""
STOP_POLL_SECONDS = 0.2
"""Interval between checks of Meltano, the parent process and signals."""
STOP_SECONDS = 60.0
"""Time limit for Meltano to exit after SIGTERM, and again after SIGKILL."""
LONGEST_LINE = 500
"""Maximum number of characters of an error."""
BUILDING = "InvokerCommand"
"""Meltano's type of a step that runs a command, as a build does."""
UNINSTALLED = "LoginNeeded"
REJECTED = {"Credentials", "Forbidden"}
"""Kinds of errors that mark a customer after `REJECTIONS` consecutive runs; `UNINSTALLED` marks it at once."""
REJECTIONS = 3


class Place:
    """Paths and addresses on this machine, from environment variables.

    Raises:
        CustomersError: If a required one is missing.
    """

    def __init__(self) -> None:
        if not os.environ.get(DATABASE):
            message = f"{DATABASE} is missing: the URL of a PostgreSQL database, such as postgresql://host/name."
            raise CustomersError(message)
        self.database = os.environ[DATABASE]
        """URL of the guard's database."""
        self.customers = Path(os.environ.get("AIRCALL_CUSTOMERS") or "customers.yml").absolute()
        """The list of customers."""
        self.project = Path(os.environ.get("AIRCALL_PROJECT") or ".").absolute()
        """The Meltano project, with its plugins installed."""
        work = os.environ.get("AIRCALL_WORK") or Path(tempfile.gettempdir()) / f"aircall-customers-{os.getuid()}"
        self.work = Path(work).absolute()
        """The parent of all working folders."""
        self.inbox = os.environ.get("AIRCALL_INBOX")
        """Location of the inbox; empty or None without one."""


@dataclass
class Report:
    """Outcome of a run, without secrets and personal data."""

    customer: str
    run: int
    """Number of the run; 0 if it was refused."""
    succeeded: bool = False
    error_kind: str | None = None
    error: str | None = None
    error_stream: str | None = None
    """The stream that failed, if a single one did."""
    seconds: float = 0.0
    requests: int = 0
    records: dict[str, int] = field(default_factory=dict)
    """Records read, by stream."""
    calls_until: str | None = None
    """ISO 8601 time; all calls that started until then are in the warehouse."""
    ended_at: str | None = None


def run(name: str, place: Place, *, load: bool = True, build: bool = True) -> Report:
    """Load a customer, then run its build, if the list names one.

    Returns:
        The outcome; it contains expected failures, which are not raised.
    """
    report = Report(customer=name, run=0)
    try:
        _run(name, place, report, load=load, build=build)
    except (CustomersError, GuardError) as error:
        report.error_kind, report.error = type(error).__name__.removesuffix("Error"), str(error)
    report.succeeded = report.error_kind is None
    return report


def _run(name: str, place: Place, report: Report, *, load: bool, build: bool) -> None:
    project = Project(place.project)
    customers = read_customers(place.customers, project)
    if name not in customers:
        message = f"{place.customers} has no customer {name}."
        raise CustomersError(message)
    customer = customers[name]
    blocks = [TAP, customer.target] if load else []
    blocks += [customer.build] if build and customer.build else []
    if not blocks:
        return
    with Guard(place.database) as guard:
        position = inbox_positions(place.inbox, [customer]).get(name) if place.inbox else None
        with guard.claim(
            name,
            f"{socket.gethostname()}, process {os.getpid()}",
            inbox_position=position,
        ) as claimed:
            claim = claimed
            report.run = claim.epoch
            try:
                if load:
                    claim = claimed._replace(place=project.place(customer))
                    _check_place(guard, claim, customer)
                inbox = None if position is None else place.inbox
                with working_folder(place.work / guard.id, claim) as folder:
                    private = set().union(*map(project.variables, customers.values()))
                    environment = _environment(claim, private, project.environment(customer, folder, inbox))
                    command = ["run", "--force", f"--state-id-suffix={name}", *blocks]
                    meltano = Meltano(command, customer.target, folder, project, environment)
                    meltano.run(guard, claim, report, place.database)
                if load:
                    _check_streams(customer, report)
            except CustomersError as error:
                report.error_kind, report.error = "Customers", str(error)
            except OSError as error:
                report.error_kind, report.error = "Machine", _one_line(f"{error.strerror}: {error.filename}")
            _end(guard, claim, report)


def _check_place(guard: Guard, claim: Claim, customer: Customer) -> None:
    """Refuse to continue from another place's state: the new place would never get the older rows."""
    for state_id, place in guard.elsewhere(claim, f"{TAP}-to-{customer.target}", customer.schema_name or ""):
        message = (
            f"Customer {customer.name}: the state {state_id} belongs to {place}, and {claim.place} would never get the "
            "rows that are there. Name that place again, or remove the state to load all again (docs/customers.md)."
        )
        raise CustomersError(message)


def _check_streams(customer: Customer, report: Report) -> None:
    """Reject streams in the list that select nothing; the tap's report names all streams that it selected."""
    unknown = [
        pattern
        for pattern in customer.streams or ()
        if not (pattern.startswith("!") and report.records)
        and not any(fnmatchcase(name, pattern) for name in report.records)
    ]
    if unknown and report.error_kind is None:
        message = f"Customer {customer.name}: streams: the tap reads nothing for {', '.join(unknown)}."
        raise CustomersError(message)


def _environment(claim: Claim, private: set[str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the run's environment: this process's without private variables, plus the customer's."""
    private = private | {f"TAP_AIRCALL_{name.upper()}" for name in OWN}
    common = {
        name: value
        for name, value in os.environ.items()
        if name not in private and not name.startswith(("AIRCALL_", "DAGSTER_"))
    }
    return {**common, **own, CLAIM: str(claim)}


def _end(guard: Guard, claim: Claim, report: Report) -> None:
    """Record the outcome in the guard."""
    state = guard.state_of(claim)
    until = calls_until(state) if state else None
    failures = guard.records([claim.customer])[claim.customer].failures
    is_rejected = report.error_kind in REJECTED and report.error_stream is None
    guard.end(
        claim,
        report.error_kind,
        report.error,
        is_final=report.error_kind == UNINSTALLED or (is_rejected and failures >= REJECTIONS - 1),
        calls_until=until,
    )
    report.calls_until = until.isoformat() if until else None
    report.ended_at = guard.now().isoformat()


def calls_until(state: State) -> datetime | None:
    """Return the time up to which a state covers calls; None if unknown."""
    for payload in (
        state.get("partial"),
        state.get("completed"),
    ):  # Meltano merges the partial state into the completed one
        value: Any = payload
        for key in ("singer_state", "bookmarks", "calls", "cursors", "0"):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    return None


def inbox_positions(location: str, customers: Sequence[Customer]) -> dict[str, int]:
    """Return the position of the latest event in the inbox for each customer that it knows; 0 for no event.

    Raises:
        CustomersError: If it cannot be read.
    """
    try:
        from tap_aircall.errors import TapAircallError  # noqa: PLC0415 - only where there is an inbox
        from tap_aircall.inbox.store import Inbox  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"AIRCALL_INBOX needs {error.name}: install the tap with its extra inbox in this environment."
        raise CustomersError(message) from error
    try:
        with contextlib.closing(Inbox.open(location, create=False)) as inbox:
            known = set(inbox.companies())
            return {each.name: inbox.last_position(each.company) for each in customers if each.company in known}
    except TapAircallError as error:
        message = f"AIRCALL_INBOX: {error}"
        raise CustomersError(message) from error


@contextlib.contextmanager
def working_folder(folders: Path, claim: Claim) -> Iterator[Path]:
    """Create the run's working folder and remove it afterwards; remove leftovers of killed runs first."""
    folders.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folders.glob(f"{claim.customer}.*"):  # names contain no dot
        shutil.rmtree(left, ignore_errors=True)
    folder = folders / f"{claim.customer}.{claim.epoch}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class LogLine(BaseModel):
    """The fields of a line in Meltano's log that matter here; other lines are passed through as text."""

    name: str = "meltano"
    """The plugin that wrote it."""
    event: str = ""
    level: str = ""
    error_kind: Annotated[str, StringConstraints(pattern=r"^\w{1,60}$")] | None = None
    error_stream: str | None = None
    exit_codes: dict[str, int] = {}
    """Non-zero exit codes of a failed load, by type of plugin."""
    block_type: str = ""
    """Type of the step that ended."""
    requests: NonNegativeInt | None = None
    records: dict[str, NonNegativeInt] = {}


class Meltano:
    """One run of Meltano, with its files in the working folder."""

    def __init__(
        self, command: Sequence[str], target: str, folder: Path, project: Project, environment: Mapping[str, str]
    ) -> None:
        installed = Path(environment.get("MELTANO_SYS_DIR_ROOT") or project.folder / ".meltano")
        for plugin in installed.glob("*/*/venv"):
            link = folder / plugin.relative_to(installed)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(plugin)
        self._command = [os.environ.get("AIRCALL_MELTANO") or str(Path(sys.executable).parent / "meltano"), *command]
        self._environment = {
            **environment,
            "MELTANO_PROJECT_ROOT": str(project.folder),
            "MELTANO_SYS_DIR_ROOT": str(folder),
            "MELTANO_DATABASE_URI": f"sqlite:///{folder}/meltano.db",
            "MELTANO_STATE_BACKEND_URI": "aircall://",
            "MELTANO_AUTO_INSTALL": "false",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_CLI_LOG_FORMAT": "json",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "XDG_STATE_HOME": str(folder),
            "TMPDIR": str(folder),
        }
        self._target = target
        self._errors: list[LogLine] = []

    def run(self, guard: Guard, claim: Claim, report: Report, database: str) -> None:
        """Run until Meltano exits or must be stopped, and fill in the report.

        Raises:
            SupersededError: If the claim was lost.
        """
        began = time.monotonic()
        with _interruptions() as interruption, process_group() as group, tempfile.TemporaryFile() as address:
            address.write(database.encode())
            address.flush()
            process = subprocess.Popen(  # noqa: S603 - Meltano
                self._command,
                env={**self._environment, DATABASE_HANDLE: str(address.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=group,
                pass_fds=[address.fileno()],
            )
            assert process.stdout  # noqa: S101 - a pipe
            reader = threading.Thread(target=self._read, args=(process.stdout, report), daemon=True)
            reader.start()
            reason = None
            next_check = began + CHECK_SECONDS
            try:
                while process.poll() is None and reason is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(STOP_POLL_SECONDS)
                    reason = interruption()
                    if time.monotonic() >= next_check:
                        next_check = time.monotonic() + CHECK_SECONDS
                        guard.check(claim)
            finally:
                end_group(group, process, STOP_SECONDS)
            reader.join(STOP_SECONDS)
            if not reader.is_alive():
                process.stdout.close()
        report.seconds = round(time.monotonic() - began, 1)
        if reason is not None:
            report.error_kind, report.error = "Stopped", reason
        elif process.returncode != 0:
            self._explain(process.returncode, report)

    def _read(self, output: IO[str], report: Report) -> None:
        """Pass Meltano's log through line by line, and keep the lines that the report needs."""
        for text in output:
            try:
                line = LogLine.model_validate_json(text)
            except ValidationError:
                _print(text.rstrip())
                continue
            _print(f"{line.name} | {line.event}")
            if line.requests is not None:
                report.requests, report.records = line.requests, line.records
            if line.level in {"error", "critical"}:
                self._errors.append(line)

    def _explain(self, code: int | None, report: Report) -> None:
        """Fill in the cause of a failure: the tap's error, or else the target's, or else Meltano's.

        Messages of other plugins stay in the log, since they may quote rows.
        """
        of_the_tap = [line for line in self._errors if line.error_kind]
        own = [line.event for line in self._errors if line.event and line.name in {"meltano", TAP}]
        if of_the_tap:
            line = min(of_the_tap, key=lambda line: line.error_stream is not None)
            report.error_kind, report.error, report.error_stream = line.error_kind, line.event, line.error_stream
        elif any(line.name == self._target or "loaders" in line.exit_codes for line in self._errors):
            report.error_kind, report.error = "Target", f"{self._target} failed; see the log of the run."
        elif any(line.block_type == BUILDING for line in self._errors):
            report.error_kind, report.error = "Build", "The build failed; see the log of the run."
        else:
            report.error_kind = "Meltano"
            report.error = own[0] if own else f"Meltano exited with code {code}, without a message."
        report.error = _one_line(report.error)


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # the reader may be gone, but Meltano's output must be drained
        print(line, flush=True)


def _one_line(text: str) -> str:
    """Return a text as one printable line, cut to `LONGEST_LINE`."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:LONGEST_LINE]


@contextlib.contextmanager
def _interruptions() -> Iterator[Callable[[], str | None]]:
    """Yield a function that returns why the run must end early: on a signal, or once its parent is gone; else None."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    def reason() -> str | None:
        if os.getppid() != aircall_customers.BEGUN_BY:
            return "The run worker is gone; its load was ended."
        return f"The run was stopped ({signal.Signals(received[0]).name})." if received else None

    try:
        yield reason
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
