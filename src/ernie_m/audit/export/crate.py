"""RO-Crate: a Provenance Run Crate, which says what ran and how data and settings reached it.

Profile: https://w3id.org/ro/wfrun/provenance/0.5, on RO-Crate 1.1. In its words the Snakefile is a
workflow, a stage a step and a tool, a setting a parameter, and a job an action.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from ernie_m.audit.export.facts import Pedigree, media_type, named, script
from ernie_m.records.graph import made_here
from ernie_m.records.record import File, Record

VERSION = "1.1"  # of RO-Crate, that the run profiles 0.5 stand on
RUN_TERMS = "https://w3id.org/ro/terms/workflow-run#"
# Given in full, so that a reader needs no context but RO-Crate's own.
TERMS = {
    **{
        name: RUN_TERMS + name
        for name in (
            *("ParameterConnection", "connection", "sourceParameter", "targetParameter"),
            *("resourceUsage", "sha256"),
        )
    },
    "buildInstructions": "https://codemeta.github.io/terms/buildInstructions",
}
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
COMPUTATIONAL_WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
SNAKEFILE, ENVIRONMENT = "Snakefile", "envs/ernie-m.yaml"
CONFIGURATION = ("config/config.yaml", "config/corpora.yaml")
CONDA = "https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html"
# What a record says of the resources that a job used -> property and unit.
USAGE = {
    "memory_mb": ("http://qudt.org/vocab/quantitykind/MemorySize", "MegaBYTE"),
    "cpu_seconds": ("http://qudt.org/vocab/quantitykind/Time", "SEC"),
}
DONE = "http://schema.org/CompletedActionStatus"


def text(pedigree: Pedigree) -> str:
    """The crate's metadata, JSON-LD; equal records give equal text."""
    made = Crate(pedigree).metadata()
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _kind(values: Iterable[Any]) -> str:
    """Type of a parameter in schema.org's words; what differs or is nested is text (JSON)."""
    names: dict[type, str] = {bool: "Boolean", int: "Integer", float: "Float"}
    (kind, *others) = {names.get(type(value), "Text") for value in values}
    return "Text" if others else kind


def _value_id(key: str, value: str) -> str:
    return f"#value/{key}/{sha256(value.encode()).hexdigest()[:8]}"


def _compact(entity: dict[str, Any]) -> dict[str, Any]:
    """Single values without a list around them, and nothing empty, as RO-Crate asks for."""
    given = {key: value for key, value in entity.items() if value != []}
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in given.items()
    }


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


class Crate:
    """Builds the entities of one crate, each once."""

    def __init__(self, pedigree: Pedigree) -> None:
        self.pedigree = pedigree
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_terms = TERMS
        self.workflow = self._workflow()
        self.given: dict[str, Entity] = {}  # what the run as a whole was given, by identifier
        self.inputs: dict[str, Entity] = {}  # parameters of the workflow, by identifier

    def metadata(self) -> dict[str, Any]:
        """The whole graph."""
        self._root()
        for position, stage in enumerate(self.pedigree.stages):
            self._step(stage, position)
        self._connect_stages()
        self._files()
        jobs = [self._job(job) for job in self.pedigree.jobs]
        self._run(jobs)
        made = self.crate.metadata.generate()
        return {**made, "@graph": [_compact(entity) for entity in made["@graph"]]}

    def _add(self, identifier: str, kind: str, /, **properties: Any) -> Entity:
        found = self.crate.get(identifier)
        if found is None:
            about = {"@type": kind, **properties}
            found = self.crate.add(ContextEntity(self.crate, identifier, about))
        return found

    def _file(self, path: str, /, *kinds: str, **properties: Any) -> Entity:
        found = self.crate.get(path)
        if found is None:
            kind = ["File", *kinds] if kinds else "File"
            about = {"@type": kind, "name": path, "encodingFormat": media_type(path), **properties}
            found = self.crate.add_file(dest_path=path, properties=about)
        return found

    def _root(self) -> None:
        root = self.crate.root_dataset
        root["name"] = f"ERNIE-M reproduction, run {self.pedigree.name}: {self.pedigree.target}"
        root["description"] = (
            f"What was run, read and written on the way to {self.pedigree.target}, "
            "from the records that each job left beside its results."
        )
        root["datePublished"] = self.pedigree.ended
        root["license"] = self._add(LICENCE, "CreativeWork", name="Apache License 2.0")
        root["conformsTo"] = [
            self._add(uri, "CreativeWork", name=title, version=version)
            for uri, (title, version) in PROFILES.items()
        ]
        root["mainEntity"] = self.workflow
        descriptor = self.crate.metadata
        profiles = (descriptor.profile, WORKFLOW_CRATE)
        descriptor["conformsTo"] = [{"@id": uri} for uri in profiles]

    def _workflow(self) -> Entity:
        language = self._add(
            "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            "ComputerLanguage",
            name="Snakemake",
            identifier={"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
            url={"@id": "https://snakemake.github.io"},
        )
        environment = self._file(
            ENVIRONMENT, conformsTo=self._add(CONDA, "WebPage", name="Conda environment file")
        )
        return self._file(
            SNAKEFILE,
            *("SoftwareSourceCode", "ComputationalWorkflow", "HowTo"),
            programmingLanguage=language,
            conformsTo=self._add(COMPUTATIONAL_WORKFLOW, "CreativeWork", name="Bioschemas"),
            version=self.pedigree.commit,
            buildInstructions=environment,
        )

    def _package(self, name: str, version: str) -> Entity:
        uri = f"pkg:pypi/{name}@{version.partition('+')[0]}"  # a package URL
        return self._add(uri, "SoftwareApplication", name=name, version=version, identifier=uri)

    def _parameter(self, owner: str, name: str, kind: str) -> Entity:
        identifier = f"#parameter/{owner}/{name}"
        return self._add(identifier, "FormalParameter", name=name, additionalType=kind)

    def _step(self, stage: str, position: int) -> None:
        """A stage as a step, its tools (one for each state of its code), and its parameters."""
        jobs = [job for job in self.pedigree.jobs if job.stage == stage]
        inputs = dict.fromkeys(name for job in jobs for name, _ in named(job.inputs))
        outputs = dict.fromkeys(name for job in jobs for name, _ in named(job.outputs))
        read = [self._parameter(f"{stage}/inputs", name, "File") for name in inputs]
        made = [self._parameter(f"{stage}/outputs", name, "File") for name in outputs]
        step = self._add(
            f"{SNAKEFILE}#{stage}",
            "HowToStep",
            name=stage,
            position=str(position),
            buildInstructions={"@id": ENVIRONMENT},
        )
        self.workflow.append_to("step", step)
        given = [self.pedigree.parameters[job.job] for job in jobs]
        for key in dict.fromkeys(
            key for own in given for key in own
        ):  # variants may differ in them
            values = [own[key] for own in given if key in own]
            read.append(self._setting(stage, step, key, values))
        for tool in dict.fromkeys(self._tool(job) for job in jobs):
            tool["input"], tool["output"] = read, made
            step.append_to("workExample", tool)
            self.workflow.append_to("hasPart", tool)

    def _tool(self, job: Record) -> Entity:
        source = self._file(script(job), "SoftwareSourceCode")
        packages = job.run.packages | {"python": job.run.python}
        needed = [self._package(name, version) for name, version in sorted(packages.items())]
        return self._add(
            f"#tool/{job.module}/{job.code.digest}",
            "SoftwareApplication",
            name=job.module,
            softwareVersion=job.code.digest,
            mainEntity=source,
            softwareRequirements=needed,
        )

    def _setting(self, stage: str, step: Entity, key: str, values: list[Any]) -> Entity:
        """A configuration key as a parameter of the stage, fed by the workflow's own."""
        kind = _kind(values)
        own = self._parameter(f"{stage}/settings", key, kind)
        outer = self._parameter("workflow/settings", key, kind)
        for text_ in dict.fromkeys(map(_plain, values)):
            identifier = _value_id(key, text_)
            value = self._give(identifier, "PropertyValue", outer, name=key, value=text_)
            value.append_to("exampleOfWork", own)
        self._connect(outer, own, step)
        return own

    def _give(self, identifier: str, kind: str, parameter: Entity, /, **about: Any) -> Entity:
        """An entity that the run as a whole was given, as one of the workflow's parameters."""
        if identifier not in self.given:
            about["exampleOfWork"] = [parameter]
            self.given[identifier] = self._add(identifier, kind, **about)
            self.inputs[parameter.id] = parameter
        return self.given[identifier]

    def _connect(self, source: Entity, target: Entity, owner: Entity) -> None:
        identifier = "#connection" + (source.id + target.id).replace("#parameter", "")
        ends = {"sourceParameter": source, "targetParameter": target}
        owner.append_to("connection", self._add(identifier, "ParameterConnection", **ends))

    def _connect_stages(self) -> None:
        for (maker, made), (reader, name) in self.pedigree.links:
            source = self._parameter(f"{maker}/outputs", made, "File")
            target = self._parameter(f"{reader}/inputs", name, "File")
            self._connect(source, target, self.crate.get(f"{SNAKEFILE}#{reader}"))

    def _files(self) -> None:
        """Every file that a job wrote, with its digest, and as what it was written and read."""
        roles: dict[str, list[Entity]] = {}
        for job in self.pedigree.jobs:
            for side, files in (("inputs", job.inputs), ("outputs", job.outputs)):
                for name, file in named(files):
                    role = self._parameter(f"{job.stage}/{side}", name, "File")
                    roles.setdefault(file.path, []).append(role)
        for job in self.pedigree.jobs:
            for file in job.made_files:
                self._file(
                    file.path,
                    sha256=file.sha256,
                    contentSize=str(file.bytes),
                    exampleOfWork=list(dict.fromkeys(roles[file.path])),
                )
            self._file(job.path, about={"@id": f"#job/{job.job}"})

    def _source(self, row: dict[str, Any]) -> Entity:
        """The published thing that a download was made from, which is an input of the run."""
        parameter = self._parameter("workflow/sources", row["id"], "CreativeWork")
        return self._give(
            f"{row['home']}#{row['id']}@{row['version']}",
            "CreativeWork",
            parameter,
            name=row["id"],
            version=row["version"],
            license=row["licence"],
            url={"@id": row.get("url") or row["home"]},
            sha256=row.get("sha256") or [],
        )

    def _elsewhere(self, job: Record, name: str, file: File) -> Entity:
        """A file that no job made, which need not lie in the crate: a checkpoint to start from."""
        own = self._parameter(f"{job.stage}/inputs", name, "File")
        outer = self._parameter("workflow/inputs", name, "File")
        identifier = f"#elsewhere/{file.sha256}"
        about = {"name": file.path, "sha256": file.sha256, "contentSize": str(file.bytes)}
        found = self._give(identifier, "CreativeWork", outer, **about)
        if own not in found["exampleOfWork"]:
            found.append_to("exampleOfWork", own)
        self._connect(outer, own, self.crate.get(f"{SNAKEFILE}#{job.stage}"))
        return found

    def _job(self, job: Record) -> Entity:
        parameters = self.pedigree.parameters[job.job].items()
        values = [{"@id": _value_id(key, _plain(value))} for key, value in parameters]
        read = [
            {"@id": file.path if made_here(file.path) else self._elsewhere(job, name, file).id}
            for name, file in named(job.inputs)
        ]
        if job.row:
            read.append({"@id": self._source(job.row).id})
        action = self._add(
            f"#job/{job.job}",
            "CreateAction",
            name=job.job,
            description=f"One job of the step {job.stage}; its record is {job.path}",
            instrument=self._tool(job),
            object=read + values,
            result=[{"@id": file.path} for file in job.made_files],
            startTime=job.run.started,
            endTime=job.run.ended,
            actionStatus={"@id": DONE},
            resourceUsage=self._usage(job),
        )
        self.crate.root_dataset.append_to("mentions", action)
        return self._add(
            f"#control/{job.job}",
            "ControlAction",
            name=f"orchestrate {job.job}",
            instrument={"@id": f"{SNAKEFILE}#{job.stage}"},
            object=action,
            actionStatus={"@id": DONE},
        )

    def _usage(self, job: Record) -> list[Entity]:
        return [
            self._add(
                f"#usage/{job.job}/{name}",
                "PropertyValue",
                name=name,
                propertyID=kind,
                value=str(used),
                unitCode={"@id": f"https://qudt.org/vocab/unit/{unit}"},
            )
            for name, (kind, unit) in USAGE.items()
            if (used := getattr(job.run, name)) is not None
        ]

    def _run(self, controls: list[Entity]) -> None:
        """The run of the whole workflow, and the engine that organised it."""
        result = self.crate.get(self.pedigree.target)
        out = self._parameter("workflow/outputs", "result", "File")
        result.append_to("exampleOfWork", out)
        self.workflow["output"], self.workflow["input"] = out, list(self.inputs.values())
        times = {"startTime": self.pedigree.started, "endTime": self.pedigree.ended}
        about = {"name": f"run {self.pedigree.name}", "actionStatus": {"@id": DONE}, **times}
        run = self._add(
            "#run",
            "CreateAction",
            description=f"Everything behind {self.pedigree.target}",
            instrument=self.workflow,
            object=list(self.given.values()),
            result=result,
            **about,
        )
        self.crate.root_dataset.append_to("mentions", run)
        engine = self._package("snakemake", self.pedigree.version("snakemake"))
        self._add(
            "#organise",
            "OrganizeAction",
            instrument=engine,
            object=[*controls, *map(self._file, CONFIGURATION)],
            result=run,
            **about,
        )
