"""Runs dbt in forks of a process that has imported it and parsed the project, which takes dbt 12 CPU seconds.

Run by dbt's own Python, this file is that process: it reads a command per line, and writes its exit code.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def run(python: Path, *arguments: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of dbt in a folder."""
    server = _server(python)
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps([arguments, str(folder), environment]) + "\n")
    server.stdin.flush()
    code = int(server.stdout.readline())
    out, err = ((folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(arguments, code, out, err)


@functools.cache
def _server(python: Path) -> subprocess.Popen[str]:
    command: list[Path | str] = [python, "-P", "-W", "ignore", __file__]  # Python would warn of how the forks end
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def main() -> None:
    """Run commands until the input ends."""
    import dbt.task.build  # noqa: F401, PLC0415 - only dbt's environment has it
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    manifests: dict[str, Any] = {}
    for line in sys.stdin:
        arguments, folder, environment = json.loads(line)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        # The models read variables, those of a command line too, when they are compiled.
        settings = {name: value for name, value in environment.items() if name.startswith(("DBT_", "TARGET_"))}
        key = json.dumps(settings).replace(folder, "")
        if not manifests.get(key):
            manifests[key] = dbtRunner().invoke(["parse"]).result  # None if this fails: the command says why
        if not (fork := os.fork()):
            for number, name in enumerate(("stdout", "stderr"), 1):
                os.dup2(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
            done = dbtRunner(manifests[key]).invoke(arguments)
            sys.stdout.flush()
            # DuckDB would join threads that only the parent has.
            os._exit(2 if done.exception else int(not done.success))
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    main()
