"""Judge the paper's claims by a run: an effect, an interval and a verdict for each claim and score.

Inputs: ``scores`` of ``xtreme_score``, ``metrics`` of the trainings, ``stats`` of
``corpora_select``, ``tokenizer_train`` and ``pretrain_backtranslate``, and the ``records`` of all
these jobs and of those that make or adopt the first encoder. Output: ``claims`` (JSON), with each
number's places. A verdict is on this run, at its size, and on no other.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from statistics import fmean
from typing import Any

from ernie_m.claims.measures import Run, unit
from ernie_m.claims.statistics import judge
from ernie_m.config.claims import ClaimRow, Comparison, JudgeSettings
from ernie_m.job import Job, main
from ernie_m.report.evidence import Evidence
from ernie_m.words import amount, count, plural

logger = logging.getLogger(__name__)


def entry(run: Run, row: ClaimRow, comparison: Comparison, confidence: float) -> dict[str, Any]:
    """What was found of a claim in one score."""
    effects = run.effects(row, comparison)
    paper = row.paper.get(comparison.score)
    found = judge(
        list(effects.values.values()),
        confidence,
        higher=row.direction == "higher",
        beyond=row.beyond,
        paper=paper,
        resolution=effects.resolution,
        shared=effects.shared,
    )
    layers, tokens, pairs = run.size(row, comparison)
    words = [plural(layers, "layer"), f"{amount(tokens)} tokens", f"{count(pairs)} pairs"]
    words.append(plural(len(effects.values), "replicate"))
    languages = {
        name: {"pairs": effects.pairs[name], "effect": fmean(own)}
        for name, own in effects.languages.items()
    }
    # A slope alone may be of losses that grow.
    gains = [own["effect"] > 0 for own in languages.values()]
    lost = bool(gains) and not any(gains) and found.verdict == "holds"
    return {
        **asdict(found),
        "words": found.words + (", though no language gains" if lost else ""),
        "at": f"at {', '.join(words)}",
        "unit": unit(row, comparison.score),
        "paper": paper,
        "resolution": effects.resolution,
        "replicates": {str(number): value for number, value in effects.values.items()},
        "languages": languages,
        "places": effects.places,
    }


def run(job: Job[JudgeSettings]) -> None:
    """Write the verdicts by claim and score; ``order`` is that of the registry."""
    settings = job.settings
    files = [path for name in ("scores", "metrics", "stats") for path in job.inputs(name)]
    own = Run(Evidence.read(job.inputs("records"), files))
    rows = {row.id: row for row in settings.claims}
    claims: dict[str, dict[str, Any]] = {
        name: {**row.model_dump(mode="json", exclude={"id", "scores", "paper"}), "scores": {}}
        for name, row in rows.items()
    }
    for comparison in settings.comparisons:
        name, score = comparison.claim, comparison.score
        found = entry(own, rows[name], comparison, settings.confidence)
        claims[name]["scores"][score] = found
        logger.info("%s, %s: %s", name, score, found["words"])
    order = [[comparison.claim, comparison.score] for comparison in settings.comparisons]
    job.write_json("claims", {"confidence": settings.confidence, "order": order, "claims": claims})


if __name__ == "__main__":
    main(run, JudgeSettings)
