"""Enter a run into MLflow's store: what an invocation could not, or into another store.

Reads records, and the curves that trainings kept in files, from anywhere that sees results/ and
work/, and makes the same runs as the end of an invocation does. A second call adds nothing twice.
While the invocation goes on, what there is so far is entered, and its run stays open. Once the
results are committed with DVC, their runs get the tag `dvc.rev`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.config.base import without_secrets
from ernie_m.config.load import read
from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.outside import one_line
from ernie_m.tracking import finish, start, store
from ernie_m.tracking import session as sessions
from ernie_m.tracking.versions import REVISION
from ernie_m.words import plural


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m track`; returns the exit status."""
    parser = argument_parser("ernie-m track", __doc__)
    parser.add_argument("--run", help="name of the results folder (default: the configuration's)")
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="overlays that the run was made with"
    )
    parser.add_argument("--uri", help="MLflow's store (default: `tracking.uri`)")
    args = parser.parse_args(arguments)
    config = read(*args.configfile)
    run = args.run or config.run
    with sessions.alone(sessions.session_file(run)):
        print(_entered(run, config, _checked(args.uri)))
    return 0


def _checked(uri: str | None) -> str:
    try:
        return without_secrets(uri or "")
    except ValueError as error:
        raise UserError(f"--uri: {error}.", "Give the address without it.") from None


def _entered(run: str, config: Config, uri: str) -> str:
    """Enter a run; what was done, in words."""
    session = sessions.read(sessions.session_file(run))
    address = uri or (session.uri if session else config.tracking.uri)
    if not address:
        raise UserError(
            "Tracking is switched off: `tracking.uri` is empty.",
            "Name a store, as in --uri sqlite:///mlflow.db.",
        )
    store.connect(address)
    from mlflow.exceptions import MlflowException

    try:
        if session:
            session = _ended(session)
            return _told(finish.finish(_moved(session, address)), address, session.status)
        return _told(_from_records(run, config, address), address)
    except MlflowException as error:
        raise UserError(
            f"The store {address} has not taken the run: {one_line(str(error))[:300]}.",
            "Once it answers, give the same command again; nothing is entered twice.",
        ) from None


def _told(done: finish.Entered, address: str, status: str = "FINISHED") -> str:
    said = f"{plural(done.jobs, 'job')} entered in {address}"
    revised = f", {plural(done.revised, 'run')} tagged {REVISION}" if done.revised else ""
    return said + revised + ("" if status else "; the invocation goes on, its run stays open")


def _ended(session: sessions.Session) -> sessions.Session:
    """The session, ended if its workflow engine is known to be gone: it was killed."""
    if session.status or session.host != platform.node() or _alive(session.pid):
        return session
    last = max([session.started, *(record.run.ended for record, _ in finish.records(session.run))])
    return replace(session, status="KILLED", ended=last)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of somebody else
        return True
    return True


def _moved(session: sessions.Session, address: str) -> sessions.Session:
    """The session for another store than it was begun with."""
    if address == session.uri:
        return session
    if not session.status:
        raise UserError(
            f"The invocation that fills results/{session.run} goes on (process {session.pid} on "
            f"{session.host}) and is logged in {session.uri}.",
            "Wait for its end, then enter the run in other stores too.",
        )
    return replace(session, uri=address, experiment_id="", run_id="", earlier={})


def _from_records(run: str, config: Config, address: str) -> finish.Entered:
    """Enter a run that no session is left of; a parent is made only if there is something new."""
    if config.run != run:
        raise UserError(
            f"The configuration is that of the run {config.run}, not of {run}.",
            "Name the overlays that the run was made with: --configfile FILE.",
        )
    session = sessions.Session(
        address, config.tracking.experiment, run, config.model_dump(mode="json"), start.now()
    )
    client, experiment_id = start.open_store(session)
    found = finish.records(run)
    new = [record.run for record, _ in finish.new_records(client, experiment_id, found)]
    if not new:
        return finish.Entered(0, finish.tag_revision(client, experiment_id, run, found))
    return finish.finish(
        replace(
            session,
            started=min(one.started for one in new),
            commit=new[-1].git.commit,
            dirty=new[-1].git.dirty,
            status="FINISHED",
            ended=new[-1].ended,
        )
    )
