"""Where the text is from, and what a reproduction had to decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ernie_m.catalogue.deviations import (
    DEVIATIONS,
    FROM_CHECKPOINT,
    FROM_NOTHING,
    OPEN_CHOICES,
    Choice,
)
from ernie_m.catalogue.tasks import TASKS
from ernie_m.pipeline.stages import parts_of
from ernie_m.records.graph import SHARED
from ernie_m.records.record import Record
from ernie_m.report.evidence import Evidence
from ernie_m.report.page import shown
from ernie_m.report.scores import MAIN_VARIANT


def sources(evidence: Evidence) -> list[dict[str, Any]]:
    """Every downloaded data set: registry row, and the digest of what was read."""
    return [
        {
            **_filled(record.settings),
            "id": record.instance,
            "read": [
                {
                    **asdict(file),
                    "name": record.settings.get("filename") or Path(file.path).name,  # upstream's
                    "pinned": (record.published or {}).get(file.path),  # by the registry's row
                }
                for file in record.made_files
            ],
        }
        for stage in sorted(SHARED)
        for record in evidence.jobs(stage)
    ]


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its version in the address, where that has a place for it."""
    url = row.get("url")
    return row | ({"url": url.replace("{version}", row["version"])} if url else {})


def choices(evidence: Evidence) -> list[dict[str, Any]]:
    """Deviations and open choices with the values that this run used."""
    started = {FROM_NOTHING: FROM_CHECKPOINT} if evidence.start else {}
    deviations = [started.get(choice, choice) for choice in DEVIATIONS]
    groups = (("Deviations", deviations), ("What the paper leaves open", OPEN_CHOICES))
    found = []
    for name, group in groups:
        rows = [(choice, _values(evidence, choice)) for choice in group]
        # What no job of this run has decided is no choice of it.
        found.append({"name": name, "rows": [row for row in rows if row[1] or not row[0].settings]})
    return found


def _values(evidence: Evidence, choice: Choice) -> list[tuple[str, str, str]]:
    """The settings of a choice as ``stage.key`` and value, of the main variant, and a file of the
    job that was given them; where its jobs have several values, each with the first task of it."""
    found = []
    for stage, key in choice.settings:
        values: dict[str, Record] = {}
        for record in _of_main(evidence, stage):
            if (value := _at(record.settings, key)) is not None:
                values.setdefault(shown(value), record)
        for value, record in values.items():
            task = parts_of(stage, record.instance).get("task", "")
            name = f"{stage.split('_')[1]}.{key}" + (f" ({task})" if len(values) > 1 else "")
            found.append((name, value, record.made_files[0].path))
    return found


def _of_main(evidence: Evidence, stage: str) -> Iterator[Record]:
    """A stage's jobs of the main variant; of prediction those that compare vectors."""
    for record in evidence.jobs(stage):
        parts = parts_of(stage, record.instance)
        if parts.get("variant", MAIN_VARIANT) == MAIN_VARIANT and (
            stage != "xtreme_predict" or TASKS[parts["task"]].kind in ("retrieval", "mining")
        ):
            yield record


def _at(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings
