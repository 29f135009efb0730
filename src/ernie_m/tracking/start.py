"""Note down an invocation that begins, and open its parent run in the store.

Run once, before any job: it alone creates the store's tables, because parallel first connections
to a new SQLite file corrupt it. Writes ``work/tracking/{run}.json`` for
:mod:`ernie_m.tracking.live` (named by the variable ``ERNIE_M_TRACKING``) and
:mod:`ernie_m.tracking.finish`. Without that file tracking is off. Never fails: trouble with the
store is a warning, and what it did not take is entered at the end or later.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ernie_m.arguments import argument_parser
from ernie_m.records.writer import git_state
from ernie_m.tracking import describe, store
from ernie_m.tracking import session as sessions

if TYPE_CHECKING:
    from mlflow import MlflowClient


def now() -> str:
    """The time, as sessions have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def begin(uri: str, experiment: str, run: str, config: dict[str, Any]) -> sessions.Session:
    """Write the session of an invocation; the store is not asked. Raises ``OSError``."""
    before = sessions.read(sessions.session_file(run))
    git = git_state()
    session = sessions.Session(
        uri,
        experiment,
        run,
        config,
        started=now(),
        commit=git.commit,
        dirty=git.dirty,
        host=platform.node(),
        pid=os.getppid(),
        earlier=_unclosed(before) if before and before.uri == uri else {},
    )
    sessions.write(session)
    return session


def _unclosed(before: sessions.Session) -> dict[str, str]:
    """The parent runs that an invocation before left open: it was killed, or the store was away."""
    own = {before.run_id: before.status or "KILLED"} if before.run_id else {}
    return before.earlier | own


def open_store(session: sessions.Session) -> tuple[MlflowClient, str]:
    """A client and the experiment's id; creates the store and the experiment if they are new."""
    if file := store.sqlite_file(session.uri):
        file.parent.mkdir(parents=True, exist_ok=True)
    with sessions.alone(sessions.STORE):
        client = _migrated(session.uri)
        return client, _experiment(client, session.experiment, session.uri)


def _migrated(uri: str) -> MlflowClient:
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


def _close_earlier(client: MlflowClient, earlier: dict[str, str]) -> None:
    for run_id, status in earlier.items():
        with sessions.harmless("closing the run of an earlier invocation"):
            if client.get_run(run_id).info.status == "RUNNING":
                client.set_terminated(run_id, status)


def open_parent(session: sessions.Session) -> sessions.Session:
    """Create the store if it is new, and in it the parent run with the configuration.

    Returns the session with its ids, already written to its file. Raises any error of the store.
    """
    client, experiment_id = open_store(session)
    _close_earlier(client, session.earlier)
    parent = client.create_run(
        experiment_id,
        start_time=store.milliseconds(session.started),
        tags=describe.parent_tags(session),
        run_name=describe.parent_name(session),
    )
    run_id = parent.info.run_id
    store.log_params(client, run_id, session.config)
    text = yaml.safe_dump(session.config, sort_keys=False, allow_unicode=True)
    client.log_text(run_id, text, "config.yaml")
    session = replace(session, experiment_id=experiment_id, run_id=run_id, earlier={})
    sessions.write(session)
    return session


def main() -> None:
    """Command line; always exits with status 0."""
    parser = argument_parser("python -m ernie_m.tracking.start", __doc__)
    parser.add_argument("--run", required=True, help="name of the results folder")
    parser.add_argument("--uri", required=True, help="MLflow store")
    parser.add_argument("--experiment", default="ernie-m", help="MLflow experiment")
    parser.add_argument("--config", type=Path, help="JSON file with the resolved configuration")
    args = parser.parse_args()
    with sessions.harmless("opening the run", sessions.later(args.run)):
        config = json.loads(args.config.read_text(encoding="utf-8")) if args.config else {}
        session = open_parent(begin(args.uri, args.experiment, args.run, config))
        print(f"tracking: {session.uri}, experiment {session.experiment}, run {session.run_id}")


if __name__ == "__main__":
    main()
