"""What each stage cost, and the picture of all."""

from __future__ import annotations

from typing import Any

from ernie_m.report import graph
from ernie_m.report.evidence import TRAINED, Evidence
from ernie_m.report.sections.text import encoded
from ernie_m.report.svg import Drawing
from ernie_m.words import duration, plural


def costs(evidence: Evidence) -> list[dict[str, Any]]:
    """Jobs, time, tokens and bytes by stage, in the order of the pipeline."""
    tokens: dict[str, int] = {}
    for stage in TRAINED:
        for artifact in evidence.shown(stage, "metrics"):
            tokens[stage] = tokens.get(stage, 0) + artifact.json()["tokens"]
    for artifact, parts in encoded(evidence):
        tokens[artifact.record.stage] = tokens.get(artifact.record.stage, 0) + sum(parts.values())
    rows = []
    for stage in graph.in_order(evidence.edges, {record.stage for record in evidence.records}):
        jobs = evidence.jobs(stage)
        rows.append(
            {
                "stage": stage,
                "jobs": len(jobs),
                "seconds": sum(job.seconds for job in jobs),
                "tokens": tokens.get(stage),
                "bytes": sum(file.bytes for job in jobs for file in job.made_files),
                "paths": [job.made_files[0].path for job in jobs],
            }
        )
    return rows


def pipeline(evidence: Evidence, own_stage: str) -> Drawing:
    """The picture of the stages, this report's own included."""
    ends = {artifact.record.stage for artifact in evidence.makers.values()}
    edges = evidence.edges | {(stage, own_stage) for stage in ends}
    notes = {
        row["stage"]: f"{plural(row['jobs'], 'job')}, {duration(row['seconds'])}"
        for row in costs(evidence)
    }
    return graph.picture(edges, {**notes, own_stage: "this page"})
