"""Log every finished job as a child of the invocation's parent run, then close the parent.

The lineage records are logged after the jobs: a job itself does not need the store, and a record
that an earlier invocation could not log is logged now, with the curves that trainings kept in
files. A second call finds the session gone and does nothing; a call after a failure half-way
completes what is there. Never fails: trouble with the store is a warning, and `ernie-m track`
does the same later.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ernie_m.arguments import argument_parser
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import RESULTS, SHARED, Reader
from ernie_m.records.record import RECORD, File, Record
from ernie_m.tracking import describe, evaluation, start, store, versions
from ernie_m.tracking import session as sessions
from ernie_m.tracking.session import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

NUMBERS = ("metrics", "scores", "stats")  # outputs whose JSON files hold numbers
LOGGED = "record.sha256"
USED = ("seconds", "cpu_seconds", "memory_mb")  # the resource use in a record
LONGEST_NAME = 500  # characters of a dataset's name, MLflow's limit
REPORT = "report_build"
EXPORT = "checkpoints_export"  # the stage whose models go into the registry


def joint_digest(files: list[File]) -> str:
    """One digest, 36 characters as MLflow allows, for the files under one name of a record."""
    sums = [file.sha256 for file in files]
    whole = sums[0] if len(sums) == 1 else sha256("\n".join(sums).encode()).hexdigest()
    return whole[:36]


def usage(record: Record) -> Iterator[Point]:
    """Time and memory that a job used."""
    ended = store.milliseconds(record.run.ended)
    for name in USED:
        if (used := getattr(record.run, name)) is not None:
            yield f"job/{name}", float(used), ended, 0


def points(record: Record) -> Iterator[Point]:
    """Numbers of a record's metrics, scores, statistics and curves."""
    started, ended = store.milliseconds(record.run.started), store.milliseconds(record.run.ended)
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
    tags |= describe.git_tags(record.run.git.commit, record.run.git.dirty)
    return {**tags, LOGGED: digest}


class Logger:
    """Writes records into the store of one session."""

    def __init__(self, client: MlflowClient, session: sessions.Session) -> None:
        self.client = client
        self.session = session
        self.reader = Reader(Path())
        self.models: dict[str, str | None] = {}  # SHA-256 of a model file -> MLflow's id
        self.children: dict[tuple[str, str], Any] = {}
        for run in self._search(describe.children_query(session)):  # the newest first
            tags = run.data.tags
            self.children.setdefault((tags.get("stage", ""), tags.get("instance", "")), run)
        self.current: dict[tuple[str, str], list[str]] = {}
        for run in standing(client, session.experiment_id, session.run):
            tags = run.data.tags
            job = (tags.get("stage", ""), tags.get("instance", ""))
            self.current.setdefault(job, []).append(run.info.run_id)

    def _search(self, query: str) -> Iterator[Any]:
        return search(self.client, self.session.experiment_id, query)

    def supersede(self, stage: str, instance: str, run_id: str) -> None:
        """Mark the earlier runs of a job as superseded; runs of an invocation have no stage."""
        for older in self.current.get((stage, instance), []):
            if older != run_id:
                tags = {"superseded": describe.SUPERSEDED, "superseded_by": run_id}
                store.log_tags(self.client, older, tags)

    def log(self, record: Record, digest: str) -> None:
        """Write one record as a child run; completes the run of a job that was attached live."""
        stage, instance = job = record.stage, record.instance
        kept = sessions.kept_files(self.session.run).get(job)
        child, seen = self._child(job, store.milliseconds(record.run.started))
        run_id = child.info.run_id
        store.log_params(self.client, run_id, {**record.settings, "seed": record.seed})
        curves = [*(sessions.kept(kept) if kept else ()), *usage(record), *points(record)]
        store.log_points(self.client, run_id, store.fresh(curves, seen))
        self._log_inputs(run_id, record)
        for file in record.outputs.get("model", []):
            self._register(run_id, record, file)
        evaluation.log_table(self.client, run_id, record)
        for place in (run_id, self.session.run_id):
            evaluation.log_claims(self.client, place, record)
        if stage == REPORT:
            self._summarise(record)
        self.supersede(stage, instance, run_id)
        ended = store.milliseconds(record.run.ended)
        self.client.set_terminated(run_id, "FINISHED", ended)
        # Last, so that a record whose logging was interrupted is logged again.
        store.log_tags(self.client, run_id, _tags(record, digest, run_id))
        if kept:
            kept.unlink()

    def log_kept(self) -> None:
        """Write the curves of jobs that have not ended, or have failed."""
        for job, path in sessions.kept_files(self.session.run).items():
            if curves := list(sessions.kept(path)):
                child, seen = self._child(job, curves[0][2])
                run_id = child.info.run_id
                store.log_points(self.client, run_id, store.fresh(curves, seen))
            if self.session.status:
                path.unlink()

    def _child(self, job: tuple[str, str], started: int) -> tuple[Any, store.Names]:
        """The run of a job, and the names and steps of the values that it already has."""
        if child := self.children.get(job):
            return child, store.seen(self.client, child)
        child = self.client.create_run(
            self.session.experiment_id,
            start_time=started,
            tags=describe.job_tags(self.session, *job),
            run_name=describe.job_name(*job),
        )
        self.children[job] = child
        return child, set()

    def _summarise(self, record: Record) -> None:
        """Log the run's summary on the parent too, where invocations are compared."""
        run_id = self.session.run_id
        seen = store.seen(self.client, self.client.get_run(run_id))
        store.log_points(self.client, run_id, store.fresh(points(record), seen))
        evaluation.log_report(self.client, run_id, record)
        note = {"mlflow.note.content": describe.parent_note(run_id)}
        store.log_tags(self.client, run_id, note)
        self.supersede("", "", run_id)

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
                [self.session.experiment_id],
                f"tags.sha256 = {describe.quoted(digest)}",
                max_results=1,
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
        query = f"name = {describe.quoted(name)}"
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

    def close(self) -> None:
        """Close the parent; jobs that were attached but left no record have failed."""
        status, ended = self.session.status, store.milliseconds(self.session.ended)
        query = describe.children_query(self.session)
        for run in self._search(f"{query} and attributes.status = 'RUNNING'"):
            self.client.set_terminated(run.info.run_id, "FAILED", ended)
        self.client.set_terminated(self.session.run_id, status, ended)


def search(client: MlflowClient, experiment_id: str, query: str) -> Iterator[Any]:
    """All runs that a query finds, the newest first."""
    return store.pages(
        client.search_runs, experiment_ids=[experiment_id], filter_string=query, max_results=1000
    )


def standing(client: MlflowClient, experiment_id: str, run: str) -> Iterator[Any]:
    """The runs of a results folder that have not been superseded."""
    results = describe.quoted(describe.results_folder(run))
    current = describe.quoted(describe.CURRENT)
    query = f"tags.results = {results} and tags.superseded = {current}"
    return search(client, experiment_id, query)


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


def new_records(
    client: MlflowClient, experiment_id: str, found: list[tuple[Record, str]]
) -> list[tuple[Record, str]]:
    """Those of the records that no invocation has logged, recognised by the file's digest."""
    query = f"tags.`{LOGGED}` = {{}}"
    return [
        item
        for item in found
        if not any(search(client, experiment_id, query.format(describe.quoted(item[1]))))
    ]


def tag_revision(
    client: MlflowClient, experiment_id: str, run: str, found: list[tuple[Record, str]]
) -> int:
    """Tag the runs whose records DVC has with the revision, the report's parent too; returns how
    many got it. The first revision that is seen stays."""
    commit, named = versions.revision()
    here = {digest: record for record, digest in found if record.path in named}
    runs = {run.info.run_id: run for run in standing(client, experiment_id, run)} if here else {}
    tagged = set()
    for job in runs.values():
        record = here.get(job.data.tags.get(LOGGED, ""))
        if record and versions.md5(Path(record.path)) == named[record.path]:
            tagged.add(job.info.run_id)
            if record.stage == REPORT:
                tagged.add(job.data.tags["mlflow.parentRunId"])
    tagged = {one for one in tagged if one in runs and versions.REVISION not in runs[one].data.tags}
    for run_id in tagged:
        store.log_tags(client, run_id, {versions.REVISION: commit})
    return len(tagged)


class Entered(NamedTuple):
    """How many jobs were logged, and how many runs were tagged with a revision of DVC."""

    jobs: int
    revised: int


def finish(session: sessions.Session) -> Entered:
    """Log new records and kept curves under ``session``, whose parent is opened if it is not yet,
    and closed if the invocation has ended. Raises any error of the store."""
    if not session.run_id:
        session = start.open_parent(session)
    client = store.connect(session.uri)
    logger = Logger(client, session)
    found = records(session.run)
    new = new_records(client, session.experiment_id, found)
    for record, digest in new:
        try:
            logger.log(record, digest)
        except (KeyError, ValueError) as error:
            # Damaged files of one job must not hide the others; errors of the store end the loop.
            sessions.warn(f"logging {record.job}", error)
    logger.log_kept()
    if session.status:
        logger.close()
        sessions.session_file(session.run).unlink(missing_ok=True)
    revised = tag_revision(client, session.experiment_id, session.run, found)
    return Entered(len(new), revised)


def main() -> None:
    """Command line; always exits with status 0."""
    parser = argument_parser("python -m ernie_m.tracking.finish", __doc__)
    parser.add_argument("--run", required=True, help="name of the results folder")
    parser.add_argument("--status", required=True, choices=("finished", "failed"))
    args = parser.parse_args()
    path, later = sessions.session_file(args.run), sessions.later(args.run)
    if not path.is_file():
        return
    with sessions.harmless("logging the finished jobs", later), sessions.alone(path):
        session = sessions.read(path)
        if session is not None:
            session = replace(session, status=args.status.upper(), ended=start.now())
            sessions.write(session)
            print(f"tracking: logged {finish(session).jobs} jobs in {session.uri}")


if __name__ == "__main__":
    main()
