"""OpenLineage: a start and an end of each job, below the run of the whole pipeline.

Identifiers are made of the records' seals, so that sending the same events again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from openlineage.client import event_v2 as lineage
from openlineage.client import facet_v2 as facets
from openlineage.client.serde import Serde

from ernie_m.audit.export.facts import Pedigree, script
from ernie_m.records.record import File, Record
from ernie_m.tracking.store import shown

NAMESPACE = "ernie-m"
PRODUCER = "urn:ernie-m:export"
WORKFLOW = "pipeline"


def text(pedigree: Pedigree) -> str:
    """One event a line, in the order in which they happened; equal records give equal text."""
    lineage.set_producer(PRODUCER)
    ordered = sorted(events(pedigree), key=lambda event: event.eventTime)
    return "".join(Serde.to_json(event) + "\n" for event in ordered)


def events(pedigree: Pedigree) -> Iterator[lineage.RunEvent]:
    """Every event: the pipeline's first, then the jobs', makers before readers."""
    whole = _run_id(*(job.seal for job in pedigree.jobs))
    name = f"{WORKFLOW}/{pedigree.name}"
    engine = facets.processing_engine_run.ProcessingEngineRunFacet(
        version=pedigree.version("snakemake"), name="snakemake"
    )
    run = lineage.Run(whole, {"processing_engine": engine})
    yield from _pair(run, lineage.Job(NAMESPACE, name), pedigree.started, pedigree.ended)
    parent = facets.parent_run.ParentRunFacet(
        run=facets.parent_run.Run(runId=whole),
        job=facets.parent_run.Job(namespace=NAMESPACE, name=name),
    )
    for job in pedigree.jobs:
        yield from _of_job(
            job, pedigree.parameters[job.job], {"parent": parent, "processing_engine": engine}
        )


def _run_id(*seals: str) -> str:
    return str(uuid5(NAMESPACE_URL, "urn:ernie-m:run:" + "+".join(seals)))


def _of_job(
    job: Record, settings: dict[str, Any], about: dict[str, Any]
) -> Iterator[lineage.RunEvent]:
    parameters = facets.execution_parameters_run.ExecutionParametersRunFacet(
        parameters=[
            facets.execution_parameters_run.ExecutionParameter(key=key, value=shown(value))
            for key, value in settings.items()
        ]
    )
    run = lineage.Run(_run_id(job.seal), {**about, "execution_parameters": parameters})
    kind = facets.job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="SNAKEMAKE", jobType="JOB"
    )
    code = facets.source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=f"urn:ernie-m:code:{job.module}:{job.code.digest}",
        path=script(job),
        version=job.run.git.commit,
    )
    named = lineage.Job(NAMESPACE, job.job, {"jobType": kind, "sourceCodeLocation": code})
    inputs = [_input(file) for file in job.read_files]
    if row := job.row:
        inputs.append(lineage.InputDataset(row["home"], f"{row['id']}@{row['version']}"))
    outputs = [_output(file) for file in job.made_files]
    yield from _pair(run, named, job.run.started, job.run.ended, inputs, outputs)


def _pair(
    run: lineage.Run,
    job: lineage.Job,
    started: str,
    ended: str,
    inputs: list[lineage.InputDataset] | None = None,
    outputs: list[lineage.OutputDataset] | None = None,
) -> Iterator[lineage.RunEvent]:
    common: dict[str, Any] = {"run": run, "job": job, "producer": PRODUCER, "inputs": inputs or []}
    yield lineage.RunEvent(eventTime=started, eventType=lineage.RunState.START, **common)
    yield lineage.RunEvent(
        eventTime=ended, eventType=lineage.RunState.COMPLETE, outputs=outputs or [], **common
    )


def _version(file: File) -> dict[str, Any]:
    version = facets.dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=f"sha256:{file.sha256}"
    )
    return {"version": version}


def _input(file: File) -> lineage.InputDataset:
    size = facets.input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
        size=file.bytes, fileCount=1
    )
    return lineage.InputDataset(
        NAMESPACE, file.path, facets=_version(file), inputFacets={"inputStatistics": size}
    )


def _output(file: File) -> lineage.OutputDataset:
    size = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        size=file.bytes, fileCount=1
    )
    return lineage.OutputDataset(
        NAMESPACE, file.path, facets=_version(file), outputFacets={"outputStatistics": size}
    )
