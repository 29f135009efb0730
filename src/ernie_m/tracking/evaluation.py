"""Tables, figures and the report of an evaluation, as artifacts of MLflow runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ernie_m.records.digest import file_sha256
from ernie_m.records.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

TABLE = "scores.json"  # the format in which MLflow shows tables
CLAIMS = "claims.json"
# Columns of the table of claims, behind claim and score.
FOUND = ("words", "mean", "low", "high", "unit", "paper", "visible", "needed", "at")
# Columns of the table of all scores; MLflow's page shows five at a time.
COLUMNS = ("task", "metric", "stage", "language", "value", "variant", "replicate", "seed", "n")


def intact_files(record: Record, name: str) -> Iterator[Path]:
    """Outputs under ``name`` that still have the bytes that the record states."""
    for file in record.outputs.get(name, []):
        path = Path(file.path)
        if path.is_file() and file_sha256(path) == file.sha256:
            yield path


def log_table(client: MlflowClient, run_id: str, record: Record) -> None:
    """Log the scores of one job as a table, one language a row; nothing if it has no scores."""
    for path in intact_files(record, "scores"):
        if path.suffix == ".json":
            document = json.loads(path.read_text(encoding="utf-8"))
            languages = document.get("languages", {})
            rows = [{"language": code, **own} for code, own in languages.items()]
            if rows:
                columns = list(dict.fromkeys(key for row in rows for key in row))
                table = {key: [row.get(key) for row in rows] for key in columns}
                _log_once(client, run_id, table)


def log_claims(client: MlflowClient, run_id: str, record: Record) -> None:
    """Log the verdicts on the paper's claims as a table, one claim and score a row."""
    for path in intact_files(record, "claims"):
        document = json.loads(path.read_text(encoding="utf-8"))
        order = document["order"]
        found = [document["claims"][claim]["scores"][score] for claim, score in order]
        table: dict[str, Any] = dict(zip(("claim", "score"), zip(*order, strict=True), strict=True))
        table |= {key: [own[key] for own in found] for key in FOUND}
        _log_once(client, run_id, table, CLAIMS)


def _log_once(client: MlflowClient, run_id: str, table: dict[str, Any], name: str = TABLE) -> None:
    """Log the table of a run, for MLflow would append the same rows once more."""
    if all(artifact.path != name for artifact in client.list_artifacts(run_id)):
        client.log_table(run_id, table, name)


def log_report(client: MlflowClient, run_id: str, record: Record) -> None:
    """Log the report's page, its figures, and all scores of the run as one table."""
    for path in intact_files(record, "report"):
        client.log_artifact(run_id, str(path), "report")
    for path in intact_files(record, "figures"):
        client.log_artifact(run_id, str(path), "figures")
    for path in intact_files(record, "scores"):
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        if rows:
            table: dict[str, Any] = {key: [row[key] for row in rows] for key in COLUMNS}
            table["value"] = [float(value) for value in table["value"]]
            _log_once(client, run_id, table)
