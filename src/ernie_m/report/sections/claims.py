"""What was found of the paper's claims, from the file of the stage that judges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ernie_m.report import figures
from ernie_m.report.evidence import Evidence
from ernie_m.report.scores import readable

KEY = {
    "holds": "holds here",
    "contradicted": "contradicted here",
    "undecided": "undecided, or no verdict",
}

# What a row of :func:`scores_of` is shown under: the score, what it has in ``shown``, the verdict.
HEAD = ("score", "effect", "interval", "smallest visible", "paper", "verdict")


def _shown(found: dict[str, Any], kind: str) -> tuple[str, str, str, str]:
    """Effect, interval, smallest visible effect and the paper's in words; a ratio has no sign."""
    sign = "" if kind == "ratio" else "+"

    def words(value: float | None, sign: str = sign) -> str:
        return "\N{EN DASH}" if value is None else f"{value:{sign}.3g}"

    low, high = words(found["low"]), words(found["high"])
    span = low if found["low"] is None else f"{low} to {high}"
    return words(found["mean"]), span, words(found["visible"], ""), words(found["paper"])


def scores_of(document: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    """Each claim in each score, in the order of the registry: the claim's own facts and what was
    found, with the place of the effect."""
    for name, score in document["order"]:
        claim = document["claims"][name]
        about = {key: value for key, value in claim.items() if key != "scores"}
        place = f"{path}#claims/{name}/scores/{score}/mean"
        title = readable(score).replace("_", " ")
        found = claim["scores"][score]
        named = {"id": name, "score": title, "place": place, "shown": _shown(found, claim["kind"])}
        yield {**about, **found, **named}


def claims(evidence: Evidence) -> dict[str, Any]:
    """The claims with their rows, a panel for each and unit, and a figure of all panels; empty
    where none was judged."""
    shown = evidence.shown("claims_judge", "claims")
    if not shown:
        return {}
    document = shown[0].json()
    rows = list(scores_of(document, shown[0].path))
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["mean"] is not None:
            panels.setdefault((row["id"], row["unit"]), []).append(row)
    return {
        "confidence": document["confidence"],
        "key": KEY,
        "head": HEAD,
        "rows": rows,
        "sizes": list(dict.fromkeys(row["at"] for row in rows)),
        "panels": [(own, figures.forest(own)) for own in panels.values()],
        "figure": figures.forests(list(panels.values()), KEY),
    }
