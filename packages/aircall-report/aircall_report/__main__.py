"""The command line of the report."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import click

from aircall_report.content import Content
from aircall_report.database import PageError, one_line, reading
from aircall_report.marts import Marts
from aircall_report.page import write

NAME = "python -m aircall_report"


def main() -> int:
    """Make the report; return the exit code."""
    try:
        make.main(prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"{NAME}: {error.format_message()}", err=True)
        return error.exit_code
    except PageError as error:
        click.echo(str(error), err=True)
        return 1
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return 130
    return 0


@click.command()
@click.option(
    "--database",
    required=True,
    envvar="AIRCALL_REPORT_DATABASE",
    show_envvar=True,
    help="Location of the models: path of a DuckDB file, or postgresql://user@host/database. It is only read. Put a "
    "URL with a password into the variable, where other users of the machine cannot see it.",
)
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option(
    "--schema",
    default="analytics",
    show_default=True,
    envvar="DBT_AIRCALL_SCHEMA",
    show_envvar=True,
    help="Schema of the marts.",
)
@click.option(
    "--time-zone",
    envvar="DBT_AIRCALL_TIME_ZONE",
    show_envvar=True,
    help="Time zone that the models were built with, to show in the report. Default: their offset from UTC.",
)
@click.option(
    "--sla-seconds",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    envvar="DBT_AIRCALL_SLA_SECONDS",
    show_envvar=True,
    help="SLA that the models were built with, in seconds.",
)
@click.option("--company", default="", help="Name of the company, for the top of the report.")
@click.option("--anonymous", is_flag=True, help="Leave out names and phone numbers of people.")
def make(
    *, database: str, output: Path, schema: str, time_zone: str | None, sla_seconds: int, company: str, anonymous: bool
) -> None:
    """Make an HTML report from the marts: a single file that opens offline."""
    with reading(database) as opened:
        marts = Marts(opened, schema, sla_seconds=sla_seconds, anonymous=anonymous)
        content = Content(marts, company=one_line(company), now=datetime.now(UTC), time_zone=time_zone)
    _save(output, write(content))
    click.echo(f"Wrote {output}.")


def _save(path: Path, text: str) -> None:
    """Replace a file atomically: readers see the old content or the new. A device is written to instead."""
    is_device = path.exists() and not path.is_file()
    path = path if is_device else path.resolve()
    beside = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        (path if is_device else beside).write_text(text, encoding="utf-8")
        if not is_device:
            beside.replace(path)
    except OSError as error:
        message = f"The file {one_line(str(path))} cannot be written: {error.strerror}."
        raise PageError(message) from error
    finally:
        beside.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
