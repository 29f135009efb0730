"""What a number claims: its value, what was measured on which data, and what to compare it with."""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ernie_m.audit.locate import STANDIN, Place
from ernie_m.catalogue.published import PUBLISHED
from ernie_m.catalogue.tasks import TASKS
from ernie_m.errors import UserError, parsed
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import Graph
from ernie_m.records.record import File, Record

MEANINGS = {
    ("retrieval", "accuracy"): "sentences whose nearest neighbour is their translation, in percent",
    ("mining", "f1"): "F1 of the pairs found among all sentences, threshold from the dev split",
    ("mining", "precision"): "pairs found that are translations, in percent",
    ("mining", "recall"): "translations that were found, in percent",
    ("pair", "accuracy"): "pairs with the right class, in percent",
    ("tagging", "f1"): "F1 of whole spans of tags (seqeval), in percent",
    ("tagging", "precision"): "spans found that are right, in percent",
    ("tagging", "recall"): "right spans that were found, in percent",
    ("qa", "f1"): "mean F1 of the words of answer and reference, in percent",
    ("qa", "exact_match"): "answers that are the reference after normalisation, in percent",
}
MEANS = {
    "average": "mean over languages",
    "transfer": "mean over languages other than English",
}
HELD_OUT = "cross-entropy of held-out text, in nats a predicted token,"
# Of a number in another file, by the first of its keys.
MEASURES = {
    "valid": f"{HELD_OUT} after the last step",
    "valid_loss": f"{HELD_OUT} after a stage, mean over languages or pairs",
    "unigram": "cross-entropy of the same tokens by how often their language has each, in nats",
    "claims": "what a run found of a claim of the paper, at its size and over its replicates",
    "steps": "optimiser steps",
    "tokens": "tokens that were trained on",
    "skipped": "steps left out, because loss or gradient was no number",
    "cut": "texts and tokens of an objective, and how many of them no row has room for",
    "parameters": "numbers that are trained",
    "planned_steps": "optimiser steps that were planned; where patience ended it fewer were run",
    "best_step": "the step whose weights were kept",
    "dev_criterion": "what the step was chosen by, on English dev examples, between 0 and 1",
    "dev_loss": "loss on English dev examples at that step",
    **{task: "average over languages of the task's metric, in percent" for task in TASKS},
}
SCORES = "report_build/scores.csv"  # kept in git, so that a clone without data has the numbers


def claim(graph: Graph, place: Place) -> dict[str, Any]:
    """The claim at a place: for a score all that is needed to judge it, else what the file is.

    Raises :class:`UserError` if the keys do not lead to a number.
    """
    node = graph.nodes.get(place.path) or graph.makers[place.path]
    scores = node.stage in ("xtreme_score", "xtreme_baseline") and place.path in node.recorded
    if scores and (place.keys or _averaged(graph.base / place.path)):
        return _score(graph, node, place)
    found: dict[str, Any] = {"what": f"{place.path} of {node.job}"}
    found |= next((asdict(file) for file in node.made_files if file.path == place.path), {})
    if place.keys:
        document = _document(graph.base / place.path)
        found["what"] = f"{'/'.join(place.keys)} in {place.path}"
        found["value"] = _follow(document, place.keys, place.path) if document else None
        if place.keys[0] in MEASURES:
            found["meaning"] = MEASURES[place.keys[0]]
    return found


def _averaged(path: Path) -> bool:
    """Whether a score file may have an average; with too few examples there is none."""
    return bool((_document(path) or {}).get("average", True))


def _document(path: Path) -> Any:
    if not path.is_file():
        return None
    if path.suffix != ".json":
        raise UserError(
            f"{path} is not JSON, so no number in it has a name.",
            "Leave out what follows `#`, or name a JSON file such as a metrics.json.",
        )
    return parsed(path, path.read_text(encoding="utf-8", errors="replace"))


def _follow(document: Any, keys: tuple[str, ...], path: str) -> float:
    """The number that ``keys`` lead to."""
    for depth, key in enumerate(keys):
        known = document if isinstance(document, dict) else {}
        if key not in known:
            raise UserError(
                f"{path} has no `{'/'.join(keys[: depth + 1])}`.",
                "Choose among " + (", ".join(map(str, known)) or "no keys: it is a value") + ".",
            )
        document = known[key]
    if isinstance(document, bool) or not isinstance(document, int | float):
        inner = ", ".join(document) if isinstance(document, dict) else str(document)
        raise UserError(f"`{'/'.join(keys)}` of {path} is no number.", f"It holds: {inner}.")
    return document


def _score(graph: Graph, node: Record, place: Place) -> dict[str, Any]:
    task, *model = node.instance.split("/")
    document = _document(graph.base / place.path)
    main = TASKS[task].metric if task in TASKS else "accuracy"
    keys = _completed(place.keys, {"metric": main} | (document or {}), bool(model))
    language, metric = keys[-2], keys[-1]
    kind = (document or {}).get("kind", "")
    found: dict[str, Any] = {
        "what": f"{task}, {language}, {metric}",
        "path": place.path,
        "variant": model[0] if model else "baseline",
        "stage": model[1] if model else keys[1],
        "seed": model[2].removeprefix("seed") if model else None,
        "meaning": MEANINGS.get((kind, metric), metric),
        "split": [asdict(file) for file in _split(node, language)],
        "standin": task.startswith(STANDIN),
    }
    if language in MEANS:
        found["meaning"] = f"{MEANS[language]}: {found['meaning']}"
    if document is None:
        found["value"] = _from_table(graph.base, place, found)
        found["value_from"] = SCORES
    else:
        found["value"] = _follow(document, keys, place.path)
        row = document if model else document["baselines"][keys[1]]
        found["n"] = row["languages"].get(language, {}).get("n")
    if found.get("n") and metric == "accuracy":  # a proportion of independent answers
        share = found["value"] / 100
        found["standard_error"] = round(100 * math.sqrt(share * (1 - share) / found["n"]), 2)
    if model:
        found |= _seeds(graph, node, keys)
    found["published"] = _published(task, language, metric, found["standin"])
    return found


def _completed(keys: tuple[str, ...], document: dict[str, Any], model: bool) -> tuple[str, ...]:
    """Keys down to one number: by default the average, and the task's main metric."""
    metric = document["metric"]
    if not model and len(keys) < 2:
        names = ", ".join(f"baselines/{name}" for name in document.get("baselines", ()))
        raise UserError("A baseline's number needs the baseline's name.", f"Add one of: {names}.")
    own = keys if model else keys[2:]
    own = own or ("average",)
    complete = len(own) == (3 if own[0] == "languages" else 2)
    return (*(() if model else keys[:2]), *own, *(() if complete else (metric,)))


def _split(node: Record, language: str) -> list[File]:
    """The test files that were scored: one language's, or all those behind a mean."""
    test = node.inputs.get("test", [])
    own = [file for file in test if Path(file.path).stem == f"test-{language}"]
    return own or test


def _from_table(base: Path, place: Place, found: dict[str, Any]) -> float | None:
    """The value in the report's table, for use when the file itself is missing."""
    table = base / "results" / place.run / SCORES
    if not table.is_file():
        return None
    task, language, metric = found["what"].split(", ")
    wanted = {key: str(found[key] or "") for key in ("variant", "stage", "seed")}
    wanted |= {"task": task, "language": language, "metric": metric}
    with table.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if all(row[key] == value for key, value in wanted.items()):
                return float(row["value"])
    return None


def _seeds(graph: Graph, node: Record, keys: tuple[str, ...]) -> dict[str, Any]:
    """The same number for each fine-tuning seed, with mean and sample standard deviation; files
    that are not as recorded are left out by name."""
    values, left_out = {}, []
    folder = Path(node.path).parent.parent
    for file in sorted((graph.base / folder).glob("seed*/scores.json")):
        path = file.relative_to(graph.base).as_posix()
        maker, seed = graph.makers.get(path), file.parent.name.removeprefix("seed")
        if file.parent == (graph.base / node.path).parent or (
            maker and maker.recorded[path] == file_sha256(file)
        ):
            values[seed] = _follow(_document(file), keys, str(file))
        else:
            left_out.append(path)
    found: dict[str, Any] = {"seeds": values, "left_out": left_out}
    if len(values) > 1:
        found["mean"] = round(statistics.fmean(values.values()), 4)
        found["deviation"] = round(statistics.stdev(values.values()), 4)
    return found


def _published(task: str, language: str, metric: str, standin: bool) -> dict[str, Any]:
    """ERNIE-M's published figures for the same task, language and metric, with their sources; or
    the reason why there are none."""
    if standin:
        return {"figures": {}, "remark": "not comparable: a stand-in, not a task of the paper"}
    own = [row for row in PUBLISHED.get((task, metric), ()) if row.ours and language in row.scores]
    figures = {f"{row.label} {row.source}": row.scores[language] for row in own}
    remark = "compare only with an encoder of the same size that was trained the same way"
    return {"figures": figures, "remark": remark if figures else "ERNIE-M has no such figure"}
