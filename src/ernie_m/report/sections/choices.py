"""Where the text is from, and what a reproduction had to decide."""

from __future__ import annotations

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
from ernie_m.records.graph import SHARED
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
    job that was given them."""
    found = []
    for stage, key in choice.settings:
        jobs = evidence.jobs(stage)
        own = [record for record in jobs if record.instance == MAIN_VARIANT] or jobs
        settings: Any = own[0].settings if own else {}
        for part in key.split("."):
            settings = settings.get(part) if isinstance(settings, dict) else None
        if settings is not None:
            name = f"{stage.split('_')[1]}.{key}"
            found.append((name, shown(settings), own[0].made_files[0].path))
    return found
