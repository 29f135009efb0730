"""The lineage of the numbers on the page: the jobs, as data for its script."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from ernie_m.records.record import Record
from ernie_m.report import graph
from ernie_m.report.evidence import Evidence

SOURCE = ("version", "licence", "home", "sha256")


def origin(places: Iterable[str]) -> Markup:
    """HTML attribute for numbers that come from ``places``: paths, or ``path#key/key``."""
    found = " ".join(dict.fromkeys(places))
    return Markup(' data-from="{}"').format(found) if found else Markup("")


def data(evidence: Evidence, own_stage: str, page: str) -> dict[str, Any]:
    """All jobs, makers before readers, the one that makes this page last.

    ``from`` are indices into the list of jobs, ``settings`` is an index into the list of settings,
    which many jobs share; ``made`` are path, SHA-256 (its beginning) and bytes.
    """
    order = graph.in_order(evidence.edges, {record.stage for record in evidence.records})
    records = sorted(
        evidence.records, key=lambda record: (order.index(record.stage), record.instance)
    )
    place = {record.job: index for index, record in enumerate(records)}
    settings: dict[str, int] = {}
    jobs = []
    for record in records:
        text = json.dumps(record.settings, sort_keys=True)
        makers = {artifact.record.job for artifact in evidence.inputs_of(record)}
        jobs.append(
            {
                **_about(record),
                "from": sorted(place[name] for name in makers),
                "settings": settings.setdefault(text, len(settings)),
            }
        )
    own = {"name": own_stage, "stage": own_stage, "from": list(range(len(jobs)))}
    jobs.append({**own, "made": [[page, "", 0]]})
    return {"jobs": jobs, "settings": [json.loads(text) for text in settings]}


def _about(record: Record) -> dict[str, Any]:
    about = {
        "name": record.job,
        "stage": record.stage,
        "made": [[file.path, file.sha256[:12], file.bytes] for file in record.made_files],
        "code": record.code.digest,
        "commit": (record.run.git.commit or "")[:7],
        "seconds": record.seconds,
    }
    if row := record.row:
        about["source"] = {key: row.get(key) for key in SOURCE}
    return about


def embedded(value: dict[str, Any]) -> Markup:
    """JSON that is safe in a page: nothing in it ends the script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
