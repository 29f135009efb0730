"""Log every finished job as a child of the invocation's parent run, then close the parent.

The lineage records are logged after the jobs: a job itself does not need the store, and a record
that an earlier invocation could not log is logged now. A second call finds the session gone and
does nothing; a call after a failure half-way completes what is there. Never fails: trouble with
the store is a warning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ernie_m.arguments import argument_parser
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import RESULTS, SHARED, Reader
from ernie_m.records.record import RECORD, File, Record
from ernie_m.tracking import describe, evaluation, store
from ernie_m.tracking import session as sessions

if TYPE_CHECKING:
    from mlflow import MlflowClient

NUMBERS = ("metrics", "scores", "stats")  # outputs whose JSON files hold numbers
LOGGED = "record.sha256"
USED = ("seconds", "cpu_seconds", "memory_mb")  # the resource use in a record
LONGEST_NAME = 500  # characters of a dataset's name, MLflow's limit
REPORT = "report_build"
EXPORT = "checkpoints_export"  # the stage whose models go into the registry


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def joint_digest(files: list[File]) -> str:
    """One digest, 36 characters as MLflow allows, for the files under one name of a record."""
    sums = [file.sha256 for file in files]
    whole = sums[0] if len(sums) == 1 else sha256("\n".join(sums).encode()).hexdigest()
    return whole[:36]


def usage(record: Record) -> Iterator[store.Point]:
    """Time and memory that a job used."""
    ended = _milliseconds(record.run.ended)
    for name in USED:
        if (used := getattr(record.run, name)) is not None:
            yield f"job/{name}", float(used), ended, 0


def points(record: Record) -> Iterator[store.Point]:
    """Numbers of a record's metrics, scores, statistics and curves."""
    started, ended = _milliseconds(record.run.started), _milliseconds(record.run.ended)
    for name in NUMBERS:
        for path in evaluation.intact_files(record, name):
            if path.suffix == ".json":
                content = json.loads(path.read_text(encoding="utf-8"))
                for key, value in store.numbers(content).items():
                    yield f"{name}/{key}", value, ended, 0
    for path in evaluation.intact_files(record, "curves"):
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            step, when = line.pop("step"), started + int(1000 * line.get("seconds", 0))
            for key, value in store.numbers(line).items():
                yield key, value, when, step


def _tags(record: Record, digest: str, run_id: str) -> dict[str, str]:
    tags = {
        "code": record.code.digest,
        "record": record.path,
        "mlflow.source.name": record.module,
        "mlflow.note.content": describe.job_note(record.path, run_id),
    }
    for side, named in (("input", record.inputs), ("output", record.outputs)):
        for name, files in named.items():
            if files:
                tags[f"{side}.{name}"] = joint_digest(files)
    if record.run.git.commit:
        tags["mlflow.source.git.commit"] = record.run.git.commit
        tags["git.dirty"] = str(record.run.git.dirty).lower()
    return {**tags, LOGGED: digest}


class Logger:
    """Writes records into the store of one session."""

    def __init__(self, client: MlflowClient, session: sessions.Session) -> None:
        self.client = client
        self.session = session
        self.reader = Reader(Path())
        self.models: dict[str, str | None] = {}  # SHA-256 of a model file -> MLflow's id
        self.children = {
            (run.data.tags.get("stage"), run.data.tags.get("instance")): run
            for run in self._search(f"tags.`mlflow.parentRunId` = {store.quoted(session.run_id)}")
        }
        self.current = self._current()

    def _search(self, query: str) -> Iterator[Any]:
        return store.pages(
            self.client.search_runs,
            experiment_ids=[self.session.experiment_id],
            filter_string=query,
            max_results=1000,
        )

    def _current(self) -> dict[tuple[str, str], list[str]]:
        """Ids of the runs that have not been superseded, by stage and instance."""
        results = store.quoted(describe.results_folder(self.session.run))
        standing = f"tags.superseded = {store.quoted(describe.CURRENT)}"
        found: dict[tuple[str, str], list[str]] = {}
        for run in self._search(f"tags.results = {results} and {standing}"):
            tags = run.data.tags
            job = (tags.get("stage", ""), tags.get("instance", ""))
            found.setdefault(job, []).append(run.info.run_id)
        return found

    def supersede(self, stage: str, instance: str, run_id: str) -> None:
        """Mark the earlier runs of a job as superseded; runs of an invocation have no stage."""
        for older in self.current.get((stage, instance), []):
            if older != run_id:
                tags = {"superseded": describe.SUPERSEDED, "superseded_by": run_id}
                store.log_tags(self.client, older, tags)

    def already_logged(self, digest: str) -> bool:
        """Whether some invocation has logged the record with this digest."""
        return any(self._search(f"tags.`{LOGGED}` = {store.quoted(digest)}"))

    def log(self, record: Record, digest: str) -> None:
        """Write one record as a child run; completes the run of a job that was attached live."""
        stage, instance = record.stage, record.instance
        child = self.children.get((stage, instance)) or self.client.create_run(
            self.session.experiment_id,
            start_time=_milliseconds(record.run.started),
            tags=describe.job_tags(self.session, stage, instance),
            run_name=record.job,
        )
        run_id = child.info.run_id
        seen = set(self._seen(child))
        store.log_params(self.client, run_id, {**record.settings, "seed": record.seed})
        fresh = (point for point in points(record) if (point[0], point[3]) not in seen)
        store.log_points(self.client, run_id, [*usage(record), *fresh])
        self._log_inputs(run_id, record)
        for file in record.outputs.get("model", []):
            self._register(run_id, record, file)
        evaluation.log_table(self.client, run_id, record)
        self.supersede(stage, instance, run_id)
        # Last, so that a record whose logging was interrupted is logged again.
        store.log_tags(self.client, run_id, _tags(record, digest, run_id))
        self.client.set_terminated(run_id, "FINISHED", _milliseconds(record.run.ended))

    def _seen(self, child: Any) -> Iterator[tuple[str, int]]:
        """Name and step of every value that was logged while the job ran."""
        for key in child.data.metrics:
            for metric in self.client.get_metric_history(child.info.run_id, key):
                yield key, metric.step

    def _log_inputs(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

        datasets: list[DatasetInput] = []
        models: list[LoggedModelInput] = []
        for name, files in record.inputs.items():
            known = [model for file in files if (model := self._model(file.sha256))]
            if known or not files:
                models.extend(LoggedModelInput(model) for model in known)
                continue
            common = os.path.commonpath([file.path for file in files])
            profile = {"files": len(files), "bytes": sum(file.bytes for file in files)}
            dataset = Dataset(
                name=f"{name}: {common}"[:LONGEST_NAME],
                digest=joint_digest(files),
                source_type="local",
                source=json.dumps({"uri": common}),
                profile=json.dumps(profile),
            )
            makers = ", ".join(dict.fromkeys(self.reader.record_of(file.path) for file in files))
            tags = [
                InputTag("mlflow.data.context", name),
                InputTag("record", makers[: store.LONGEST_VALUE]),
            ]
            datasets.append(DatasetInput(dataset, tags))
        if datasets or models:
            self.client.log_inputs(run_id, datasets=datasets, models=models)

    def _model(self, digest: str) -> str | None:
        """MLflow's id of the model whose file has this digest, None if it is not a model."""
        if digest not in self.models:
            found = self.client.search_logged_models(
                [self.session.experiment_id], f"tags.sha256 = {store.quoted(digest)}", max_results=1
            )
            self.models[digest] = found[0].model_id if found else None
        return self.models[digest]

    def _register(self, run_id: str, record: Record, file: File) -> None:
        """Log a model by reference: its weights are versioned by DVC, not copied."""
        if self._model(file.sha256):
            return
        import mlflow

        model = mlflow.create_external_model(
            name=record.job.replace("/", "-"),
            source_run_id=run_id,
            experiment_id=self.session.experiment_id,
            tags={
                "sha256": file.sha256,
                "path": file.path,
                "bytes": str(file.bytes),
                "record": record.path,
            },
        )
        self.models[file.sha256] = model.model_id
        if record.stage == EXPORT:
            self._publish(run_id, record, file, model.model_id)

    def _publish(self, run_id: str, record: Record, file: File, model_id: str) -> None:
        """Add a version to the model registry; it points to the logged model and copies nothing."""
        name = "-".join([self.session.run, *record.instance.split("/")])
        query = f"name = {store.quoted(name)}"
        if not self.client.search_registered_models(query, max_results=1):
            self.client.create_registered_model(name)
        self.client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run_id,
            model_id=model_id,
            tags={"sha256": file.sha256, "path": file.path, "record": record.path},
            description=f"The folder of {file.path}; its README.md is the model card.",
        )

    def close(self, status: str) -> None:
        """Close the parent; jobs that were attached but left no record have failed."""
        query = f"tags.`mlflow.parentRunId` = {store.quoted(self.session.run_id)}"
        for run in self._search(f"{query} and attributes.status = 'RUNNING'"):
            self.client.set_terminated(run.info.run_id, "FAILED")
        self.client.set_terminated(self.session.run_id, status)


def records(run: str) -> list[tuple[Record, str]]:
    """All readable records of ``run`` with the digest of their file, oldest first."""
    found = []
    for folder in (Path(RESULTS, run), *(Path(RESULTS, stage) for stage in sorted(SHARED))):
        for path in sorted(folder.rglob(RECORD)):
            record = Record.read(path, path.as_posix())
            if record.data:
                found.append((record, file_sha256(path)))
            else:
                sessions.warn(f"reading {path}", ValueError(record.fault))
    return sorted(found, key=lambda item: item[0].run.ended)


def finish(session: sessions.Session, status: str) -> int:
    """Log new records under ``session`` and close it; returns the number of records logged."""
    client = store.connect(session.uri)
    logger = Logger(client, session)
    new = [item for item in records(session.run) if not logger.already_logged(item[1])]
    for record, digest in new:
        try:
            logger.log(record, digest)
        except (KeyError, ValueError) as error:
            # Damaged files of one job must not hide the others; errors of the store end the loop.
            sessions.warn(f"logging {record.job}", error)
        if record.stage == REPORT:
            # The run's summary is also logged on the parent, where invocations are compared.
            store.log_points(client, session.run_id, points(record))
            evaluation.log_report(client, session.run_id, record)
            note = {"mlflow.note.content": describe.parent_note(session.run_id)}
            store.log_tags(client, session.run_id, note)
            logger.supersede("", "", session.run_id)
    logger.close({"finished": "FINISHED", "failed": "FAILED"}[status])
    return len(new)


def main() -> None:
    """Command line; always exits with status 0."""
    parser = argument_parser("python -m ernie_m.tracking.finish", __doc__)
    parser.add_argument("--run", required=True, help="name of the results folder")
    parser.add_argument("--status", required=True, choices=("finished", "failed"))
    args = parser.parse_args()
    with sessions.harmless("logging the finished jobs"):
        path = sessions.session_file(args.run)
        session = sessions.read(path)
        if session is not None:
            count = finish(session, args.status)
            path.unlink()
            print(f"tracking: logged {count} jobs in {session.uri}, run {session.run_id}")


if __name__ == "__main__":
    main()
