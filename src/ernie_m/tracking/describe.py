"""Names of runs in MLflow, and the tags by which its tables are filtered and grouped."""

from __future__ import annotations

from ernie_m.pipeline.stages import parts_of
from ernie_m.replicates import parted
from ernie_m.tracking.session import Session

CURRENT, SUPERSEDED = "no", "yes"  # values of the tag `superseded`
# Shown above the experiment's table: what to type into its search box.
EXPERIMENT_NOTE = """\
Invocations are runs with their jobs nested: `Expand rows` shows them, a search picks among them.

- `tags.level = 'invocation'`: invocations, with the averages of their reports as metrics
- `tags.stage = 'xtreme_score' and tags.superseded = 'no'`: the scores that stand
- `tags.stage = 'pretrain_btmlm' and tags.superseded = 'no'`: the trainings, with their curves

Group by the tags `variant`, `replicate`, `checkpoint`, `task`, `language` or `seed` to compare.
`ernie-m audit RUN_ID` walks from a run back to the downloaded bytes.
"""
# Without this tag MLflow shows the experiment as one of language-model applications.
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": EXPERIMENT_NOTE,
}


def results_folder(run: str) -> str:
    """The folder that an invocation fills; it distinguishes the same job of different runs."""
    return f"results/{run}"


def job_name(stage: str, instance: str) -> str:
    """Name of a job's run: ``corpora_dedup/mono-de``."""
    return f"{stage}/{instance}" if instance else stage


def parent_name(session: Session) -> str:
    """Name of an invocation's run: the results folder and the commit, ``+`` for local changes."""
    commit = session.commit
    return f"{session.run} {commit[:7]}{'+' if session.dirty else ''}" if commit else session.run


def git_tags(commit: str | None, dirty: bool) -> dict[str, str]:
    """The commit that ran, by MLflow's name for it, and whether there were changes."""
    if not commit:
        return {}
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def parent_tags(session: Session) -> dict[str, str]:
    """Tags of an invocation's run."""
    return {
        "level": "invocation",
        "results": results_folder(session.run),
        "superseded": CURRENT,
        "mlflow.source.name": "Snakefile",
        **git_tags(session.commit, session.dirty),
    }


def job_tags(session: Session, stage: str, instance: str) -> dict[str, str]:
    """Tags of a job's run, for finding, filtering and grouping it."""
    parts = parts_of(stage, instance)
    if "variant" in parts:
        variant, replicate = parted(parts["variant"], session.config["seed"])
        parts |= {"variant": variant, "replicate": str(replicate)}
    return {
        **parts,
        "mlflow.parentRunId": session.run_id,
        "level": "job",
        "results": results_folder(session.run),
        "phase": stage.partition("_")[0],
        "stage": stage,
        "instance": instance,
        "superseded": CURRENT,
    }


def quoted(text: str) -> str:
    """``text`` as a string literal of MLflow's filter language."""
    return "'" + text.replace("'", "") + "'"


def children_query(session: Session) -> str:
    """MLflow's search for the jobs of an invocation."""
    return f"tags.`mlflow.parentRunId` = {quoted(session.run_id)}"


def job_query(session: Session, stage: str, instance: str) -> str:
    """MLflow's search for one of them."""
    own = f"tags.stage = {quoted(stage)} and tags.instance = {quoted(instance)}"
    return f"{children_query(session)} and {own}"


def parent_note(run_id: str) -> str:
    """The text at the top of an invocation's page."""
    return (
        "Artifacts: the report, its figures, all scores as a table, the configuration. From the "
        f"report to the downloaded bytes: `ernie-m audit {run_id}`"
    )


def job_note(record_path: str, run_id: str) -> str:
    """The text at the top of a job's page."""
    return f"Record: `{record_path}`. From here to the downloaded bytes: `ernie-m audit {run_id}`"
