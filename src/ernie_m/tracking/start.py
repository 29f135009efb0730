"""Open the parent run of an invocation.

Run once, before any job: it alone creates the store's tables, because parallel first connections
to a new SQLite file corrupt it. Writes ``work/tracking/{run}.json`` for
:mod:`ernie_m.tracking.live` (named by the variable ``ERNIE_M_TRACKING``) and
:mod:`ernie_m.tracking.finish`. Without that file tracking is off. Never fails: trouble with the
store is a warning, and the run goes on without it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ernie_m.arguments import argument_parser
from ernie_m.records.writer import git_state
from ernie_m.tracking import describe, store
from ernie_m.tracking import session as sessions

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock against other invocations that are creating the store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _open_store(uri: str) -> MlflowClient:
    from mlflow.exceptions import MlflowException

    client = store.connect(uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if "out-of-date" not in str(error) or not store.sqlite_file(uri):
            raise  # the tables of a server are for who runs it to migrate
        store.migrate(uri)
        client = store.connect(uri)
    return client


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Id of the experiment; a local one keeps its artifacts beside the database.

    The location is given because the default depends on the working directory of the first caller.
    """
    from mlflow.exceptions import MlflowException

    file = store.sqlite_file(uri)
    location = (file.parent / "mlartifacts").resolve().as_uri() if file else None
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":  # its name stays taken
            client.restore_experiment(found.experiment_id)
            sessions.warn_of(f"the experiment `{name}` had been deleted and was restored")
        return found.experiment_id
    try:
        return client.create_experiment(
            name, artifact_location=location, tags=describe.EXPERIMENT_TAGS
        )
    except MlflowException:
        # Another client of the same server created it in between.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def _close_predecessor(client: MlflowClient, path: Path, uri: str) -> None:
    """Close the parent run that a killed invocation left open."""
    before = sessions.read(path)
    if before is None or before.uri != uri:
        return
    with sessions.harmless("closing the run of a killed invocation"):
        if client.get_run(before.run_id).info.status == "RUNNING":
            client.set_terminated(before.run_id, "KILLED")


def open_parent(uri: str, experiment: str, run: str, config: dict[str, Any]) -> sessions.Session:
    """Create the store if it is new, and in it the parent run with ``config``.

    Returns the session, already written to its file. Raises any error of the store.
    """
    path = sessions.session_file(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    if file := store.sqlite_file(uri):
        file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_name("store.lock")):
        client = _open_store(uri)
        experiment_id = _experiment(client, experiment, uri)
        _close_predecessor(client, path, uri)
    parent = client.create_run(
        experiment_id,
        tags=describe.parent_tags(run),
        run_name=describe.parent_name(run, git_state()),
    )
    store.log_params(client, parent.info.run_id, config)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    client.log_text(parent.info.run_id, text, "config.yaml")
    session = sessions.Session(uri, experiment, experiment_id, run, parent.info.run_id)
    sessions.write(session, path)
    return session


def main() -> None:
    """Command line; always exits with status 0."""
    parser = argument_parser("python -m ernie_m.tracking.start", __doc__)
    parser.add_argument("--run", required=True, help="name of the results folder")
    parser.add_argument("--uri", default="", help="MLflow store; empty switches tracking off")
    parser.add_argument("--experiment", default="ernie-m", help="MLflow experiment")
    parser.add_argument("--config", type=Path, help="JSON file with the resolved configuration")
    args = parser.parse_args()
    path = sessions.session_file(args.run)
    if not args.uri:
        path.unlink(missing_ok=True)
        return
    with sessions.harmless("opening the run"):
        config = json.loads(args.config.read_text(encoding="utf-8")) if args.config else {}
        session = open_parent(args.uri, args.experiment, args.run, config)
        print(f"tracking: {session.uri}, experiment {session.experiment}, run {session.run_id}")
        return
    # Jobs must not attach to the parent of an earlier invocation.
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
