"""Runs in an environment of target-bigquery's: `python on_bqemulator.py CONFIG MESSAGES...`.

The target's own tables, load jobs and MERGE run. Three things are bent for bqemulator 1.4.0: load jobs are not
compressed, MERGE sets columns by their names alone, and nobody waits for a consistency that is there at once.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from target_bigquery import batch_job, core
from target_bigquery.target import TargetBigQuery


class Client(bigquery.Client):
    """Needs no key."""

    def __init__(self, credentials: core.BigQueryCredentials) -> None:
        super().__init__(project=credentials.project, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]

    def query(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Name the columns that MERGE sets as bqemulator can read them."""
        plain = query.replace("UPDATE SET target.`", "UPDATE SET `").replace(", target.`", ", `")
        return super().query(plain, *arguments, **options)


class Uncompressed(io.BytesIO):
    """A buffer in place of gzip's, which goes on to hold what was written."""

    def close(self) -> None:
        """Leave it open."""


batch_job.Compressor = Uncompressed
core.bigquery_client_factory = batch_job.bigquery_client_factory = Client
core.time.sleep = lambda _: None
for path in sys.argv[2:]:
    target = TargetBigQuery(config=json.loads(Path(sys.argv[1]).read_text("utf-8")))
    with Path(path).open(encoding="utf-8") as file:
        target.listen(file)
