"""W3C PROV: files are entities, jobs are activities, the engine is the agent; as PROV-JSON.

Which input bytes went into which output byte is not recorded, so that no derivation is claimed
beyond use and generation.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from prov.model import ProvDocument

from ernie_m.audit.export.facts import Pedigree, media_type, named
from ernie_m.records.record import File, Record

# URNs, because records and files have no address on the web.
NAMESPACES = {
    "file": "urn:ernie-m:file:",
    "job": "urn:ernie-m:job:",
    "code": "urn:ernie-m:code:",
    "fact": "urn:ernie-m:fact:",
    "source": "urn:ernie-m:source:",
    "package": "pkg:pypi/",
}
SOURCE = ("version", "licence", "home", "sha256")  # what is said of a published source


def text(pedigree: Pedigree) -> str:
    """PROV-JSON; equal records give equal text."""
    value = json.loads(str(document(pedigree).serialize(format="json")))
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def document(pedigree: Pedigree) -> ProvDocument:
    """The lineage as a document of the ``prov`` library."""
    made = ProvDocument()
    for prefix, uri in NAMESPACES.items():
        made.add_namespace(prefix, uri)
    engine = made.agent(
        f"package:snakemake@{pedigree.version('snakemake')}", {"prov:type": "prov:SoftwareAgent"}
    )
    for job in pedigree.jobs:
        for file in job.made_files:
            made.entity(_file(file), _facts(file))
    for job in pedigree.jobs:
        _activity(made, job, pedigree.parameters[job.job], engine)
    return made


def _file(file: File) -> str:
    """A file in one of its states: a path that was made anew is another entity."""
    return f"file:{file.path}/{file.sha256[:12]}"


def _facts(file: File) -> dict[str, Any]:
    return {
        "prov:label": file.path,
        "prov:atLocation": file.path,
        "fact:sha256": file.sha256,
        "fact:bytes": file.bytes,
        "fact:mediaType": media_type(file.path),
    }


def _activity(made: ProvDocument, job: Record, given: dict[str, Any], engine: Any) -> None:
    settings: dict[Any, Any] = {
        f"fact:{key}": value if isinstance(value, int | float | str) else json.dumps(value)
        for key, value in given.items()
    }
    activity = made.activity(
        f"job:{job.job}/{job.seal[:12]}",
        datetime.fromisoformat(job.run.started),
        datetime.fromisoformat(job.run.ended),
        settings | {"prov:type": f"job:{job.stage}", "prov:label": job.job},
    )
    commit = job.run.git.commit or "unknown"
    about = {"prov:type": "prov:Plan", "prov:label": job.module, "fact:commit": commit}
    plan = made.entity(f"code:{job.module}/{job.code.digest}", about)
    made.association(activity, engine, plan)
    if row := job.row:
        published: dict[Any, Any] = {f"fact:{key}": row[key] for key in SOURCE if row.get(key)}
        published["prov:label"] = row["id"]
        source = made.entity(f"source:{row['id']}/{row['version']}", published)
        made.used(activity, source)
    for name, file in named(job.inputs):
        made.used(activity, _file(file), other_attributes={"prov:role": name})
    for name, file in named(job.outputs):
        made.wasGeneratedBy(_file(file), activity, other_attributes={"prov:role": name})
