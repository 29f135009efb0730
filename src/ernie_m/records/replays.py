"""What came out when a job was done again: a line for each time, beside its record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ernie_m.atomic import write_atomic
from ernie_m.records.record import Record, seal

REPLAYS = "replays.jsonl"
SAME, CLOSE, DIFFERENT = "same bytes", "within tolerance", "different"


@dataclass(frozen=True)
class Replay:
    """One job done again.

    ``record`` is the seal of the record that it was done from. ``outcome`` is :data:`SAME`,
    :data:`CLOSE` or :data:`DIFFERENT`; ``outputs`` has, by path, the digest that came out and
    where it is not the recorded one in what it differs. ``circumstances`` are what is not as it
    was, each with its value then and now. Times are ISO 8601.
    """

    record: str
    outcome: str
    outputs: dict[str, dict[str, Any]]
    by: str
    ended: str
    seconds: float
    circumstances: dict[str, list[str]] = field(default_factory=dict)
    tolerance: float = 0.0


def add_replay(folder: Path, replay: Replay) -> None:
    """Append a replay to those of the job whose record lies in ``folder``."""
    file = folder / REPLAYS
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    line = asdict(replay)
    line["seal"] = seal(line)
    write_atomic(file, before + json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")


def _of(record: Record, replay: Replay) -> bool:
    """Whether the digests of what came out are what the outcome says."""
    try:
        found = {path: output["sha256"] for path, output in replay.outputs.items()}
    except (AttributeError, TypeError, KeyError):
        return False
    return replay.outcome != SAME or found == record.recorded


def replays_of(base: Path, record: Record) -> list[Replay]:
    """The replays of a job as its record is now, the oldest first; what was edited, is of an
    earlier record of the job, or says the same of other bytes, is left out."""
    file = (base / record.path).with_name(REPLAYS)
    if not file.is_file():
        return []
    found = []
    for text in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
            whole = line.pop("seal") == seal(line)
            replay = Replay(**line)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if whole and replay.record == record.seal and _of(record, replay):
            found.append(replay)
    return found
