"""One run of one customer: claimed, in a working folder of its own, by Meltano, and watched to its end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from aircall_customers.customers import OWN, TAP, CustomersError, Project, read_customers
from aircall_customers.guard import CLAIM, DATABASE, Claim, Guard, GuardError, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from aircall_customers.customers import Customer
    from aircall_customers.guard import State

CHECK_SECONDS = 5.0
"""How often to make sure that the claim holds."""
LOOK_SECONDS = 0.2
"""How often to look after Meltano, the parent process and signals."""
GRACE_SECONDS = 60.0
"""How long Meltano may take to end after it was asked to; then it is killed."""
FOLDER = "AIRCALL_WORKING_FOLDER"
"""The variable by which the processes of a run are known."""
UNINSTALLED = "LoginNeeded"
REJECTED = {"Credentials", "Forbidden"}
"""Kinds of errors after which Aircall lets us in no longer: at once, or when it happens `PATIENCE` times in a row."""
OF_A_STREAM = "Stream '"
"""So begins the line of an error that concerns one stream alone."""
PATIENCE = 3


class Place(NamedTuple):
    """Where everything is, on this machine."""

    customers: Path
    """The list of customers."""
    project: Path
    """The Meltano project, with its plugins installed."""
    work: Path
    """Where working folders are made."""
    database: str
    """Address of the guard's database."""
    inbox: str | None
    """Where the inbox is, if there is one."""

    @classmethod
    def from_environment(cls) -> Place:
        """Read it from variables.

        Raises:
            CustomersError: If one is missing.
        """
        if not os.environ.get(DATABASE):
            message = f"{DATABASE} is missing: the address of a PostgreSQL database, such as postgresql://host/name."
            raise CustomersError(message)
        work = os.environ.get("AIRCALL_WORK") or Path(tempfile.gettempdir()) / f"aircall-customers-{os.getuid()}"
        return cls(
            customers=Path(os.environ.get("AIRCALL_CUSTOMERS") or "customers.yml").absolute(),
            project=Path(os.environ.get("AIRCALL_PROJECT") or ".").absolute(),
            work=Path(work).absolute(),
            database=os.environ[DATABASE],
            inbox=os.environ.get("AIRCALL_INBOX") or None,
        )


@dataclass
class Report:
    """What a run has to say at its end. It holds no secret and no personal data."""

    customer: str
    run: int
    """Its number; 0 if it was refused."""
    succeeded: bool = False
    skipped: bool = False
    """Whether there was nothing to do."""
    error_kind: str | None = None
    error: str | None = None
    seconds: float = 0.0
    requests: int = 0
    records: dict[str, int] = field(default_factory=dict)
    """Records read, by stream."""
    calls_until: str | None = None
    """ISO 8601: all calls that began until then are in the warehouse."""
    ended_at: str | None = None


def run(task: str, name: str, place: Place) -> Report:
    """Do something for a customer.

    Args:
        task: `load`, or `build` for what is to be built after it.
        name: The customer.
        place: Where everything is.

    Returns:
        How it ended. Nothing is raised for what may go wrong.
    """
    report = Report(customer=name, run=0)
    try:
        _run(task, name, place, report)
    except (CustomersError, GuardError) as error:
        report.error_kind, report.error = type(error).__name__.removesuffix("Error"), str(error)
    return report


def _run(task: str, name: str, place: Place, report: Report) -> None:
    customers = read_customers(place.customers)
    if name not in customers:
        message = f"{place.customers} has no customer {name}."
        raise CustomersError(message)
    customer, project = customers[name], Project(place.project)
    if task == "load":
        command = ["run", "--force", f"--state-id-suffix={name}", TAP, customer.target]
    elif customer.build is not None:
        command = ["run", "--force", customer.build]
    else:
        report.succeeded = report.skipped = True
        return
    with Guard(place.database) as guard:
        position = _inbox_position(place.inbox, customer)
        with guard.claim(name, f"{socket.gethostname()}, process {os.getpid()}", inbox_position=position) as claim:
            report.run = claim.epoch
            try:
                inbox = None if position is None else place.inbox
                with working_folder(place.work / guard.id, claim) as folder:
                    environment = _environment(claim, customers, project.environment(customer, folder, inbox))
                    Meltano(command, folder, project, environment).run(guard, claim, report)
            except CustomersError as error:
                report.error_kind, report.error = "Customers", str(error)
            _end(guard, claim, report)


def _environment(claim: Claim, customers: Mapping[str, Customer], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the run: what is common, and its customer's; nothing of other customers."""
    others = tuple(f"{each.credentials.environment}_" for each in customers.values() if each.credentials.environment)
    whose = {f"TAP_AIRCALL_{name.upper()}" for name in OWN}
    common = {
        name: value
        for name, value in os.environ.items()
        if name not in whose and not name.startswith(("DAGSTER_PIPES_", *others))
    }
    return {**common, **own, CLAIM: str(claim)}


def _end(guard: Guard, claim: Claim, report: Report) -> None:
    """Write down how a run ended."""
    state = guard.state_of(claim)
    until = calls_until(state) if state else None
    failures = guard.records([claim.customer])[claim.customer].failures
    is_rejected = report.error_kind in REJECTED and not str(report.error).startswith(OF_A_STREAM)
    guard.end(
        claim,
        Outcome(
            error_kind=report.error_kind,
            error=report.error,
            is_final=report.error_kind == UNINSTALLED or (is_rejected and failures >= PATIENCE - 1),
            calls_until=until,
        ),
    )
    report.calls_until = until.isoformat() if until else None
    report.ended_at = guard.now().isoformat()
    report.succeeded = report.error_kind is None


def calls_until(state: State) -> datetime | None:
    """Return how far a state says that calls were read; None if it does not say."""
    for payload in (state.get("partial"), state.get("completed")):  # Meltano merges the one into the other
        value: Any = payload
        for key in ("singer_state", "bookmarks", "calls", "cursors", "0"):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    return None


def _inbox_position(inbox: str | None, customer: Customer) -> int | None:
    """Return how far the inbox goes, so that a later event is news; None if it does not know the customer."""
    if inbox is None:
        return None
    return inbox_positions(inbox, [customer]).get(customer.name)


def inbox_positions(location: str, customers: Sequence[Customer]) -> dict[str, int]:
    """Return how far the inbox goes for each customer that it knows: the position of its latest event, 0 for none.

    Raises:
        CustomersError: If it cannot be read.
    """
    try:
        from tap_aircall.errors import TapAircallError  # noqa: PLC0415 - only where there is an inbox
        from tap_aircall.inbox.store import Inbox  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"AIRCALL_INBOX needs {error.name}: install the tap with its extra inbox beside aircall-customers."
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
    """Make a folder for the run alone, and remove it afterwards.

    What killed runs of the customer have left on this machine goes first: processes, such as a target that writes its
    last rows, and folders. Where there is no /proc, or on another machine, such processes end by themselves within
    seconds.
    """
    folders.mkdir(parents=True, exist_ok=True, mode=0o700)
    beginning = f"{folders / claim.customer}."  # a name has no dot
    mark = f"{FOLDER}={beginning}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(each.startswith(mark) for each in (process / "environ").read_bytes().split(b"\0")):
                os.kill(int(process.name), signal.SIGKILL)
    for left in folders.glob(f"{claim.customer}.*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(f"{beginning}{claim.epoch}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Meltano:
    """Meltano at work for one run, with its files in the working folder.

    Args:
        command: Its arguments.
        folder: The working folder.
        project: The project, which is only read.
        environment: The variables of the run.
    """

    def __init__(self, command: Sequence[str], folder: Path, project: Project, environment: Mapping[str, str]) -> None:
        installed = Path(environment.get("MELTANO_SYS_DIR_ROOT") or project.folder / ".meltano")
        for plugin in installed.glob("*/*/venv"):
            link = folder / plugin.relative_to(installed)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(plugin)
        self._command = [*_meltano(environment), *command]
        self._environment = {
            **environment,
            FOLDER: str(folder),
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
        self._lines: list[dict[str, Any]] = []

    def run(self, guard: Guard, claim: Claim, report: Report) -> None:
        """Do it to the end, or until it has to be stopped, and fill in the report."""
        began = time.monotonic()
        with Stop() as stop:
            process = subprocess.Popen(  # noqa: S603 - Meltano
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            assert process.stdout  # noqa: S101 - a pipe
            reader = threading.Thread(target=self._read, args=(process.stdout, report), daemon=True)
            reader.start()
            reason = None
            next_check = began + CHECK_SECONDS
            try:
                while process.poll() is None and reason is None:
                    reason = stop.wait(LOOK_SECONDS)
                    if time.monotonic() >= next_check:
                        next_check = time.monotonic() + CHECK_SECONDS
                        guard.check(claim)
            finally:
                _end_group(process)
            reader.join(GRACE_SECONDS)
            process.stdout.close()
        report.seconds = round(time.monotonic() - began, 1)
        if reason is not None:
            report.error_kind, report.error = "Stopped", reason
        elif process.returncode != 0:
            report.error_kind, report.error = self._explain(process.returncode)

    def _read(self, output: IO[str], report: Report) -> None:
        """Pass Meltano's log on, a line each, and keep what the report needs."""
        for text in output:
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                print(text.rstrip(), flush=True)
                continue
            print(f"{line.get('name', 'meltano')} | {line.get('event')}", flush=True)
            if line.get("requests") is not None:
                report.requests, report.records = line["requests"], line["records"]
            if line.get("level") in {"error", "critical"}:
                self._lines.append(line)

    def _explain(self, code: int) -> tuple[str, str]:
        """Return kind and line of the error that ended the run: the tap's own, else a target's, else Meltano's."""
        for line in self._lines:
            if line.get("error_kind"):
                return line["error_kind"], str(line["event"])
        for line in self._lines:
            if line.get("name", "").startswith("target-"):
                return "Target", _first_line(line)
        return (
            ("Meltano", _first_line(self._lines[0]))
            if self._lines
            else ("Meltano", f"Meltano ended with {code} and no word.")
        )


def _first_line(line: Mapping[str, Any]) -> str:
    lines = str(line.get("event")).strip().splitlines()
    return lines[0][:200] if lines else "no words"


def _meltano(environment: Mapping[str, str]) -> list[str]:
    """Return the command of Meltano: that of this environment, unless AIRCALL_MELTANO names another."""
    return [environment.get("AIRCALL_MELTANO") or str(Path(sys.executable).parent / "meltano")]


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a process with all that it has begun, gently at first: nothing of it is there when this returns."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, signal.SIGKILL)
            process.poll()
            time.sleep(0.01)


class Stop:
    """Notices that the run is to end early: by a signal, or since whoever began it is gone."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._parent = os.getppid()
        self._reason: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> str | None:
        """Wait for so long at most, and return why the run is to end, if it is."""
        self._event.wait(seconds)
        if os.getppid() != self._parent:
            return "The run worker is gone; its load was ended."
        return self._reason

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._reason = f"The run was stopped ({signal.Signals(number).name})."
        self._event.set()


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return asdict(report)
