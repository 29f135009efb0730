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


def scores_of(document: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    """Each claim in each score, in the order of the registry: the claim's own facts and what was
    found, with the place of the effect."""
    for name, score in document["order"]:
        claim = document["claims"][name]
        about = {key: value for key, value in claim.items() if key != "scores"}
        place = f"{path}#claims/{name}/scores/{score}/mean"
        title = readable(score).replace("_", " ")
        yield {**about, **claim["scores"][score], "id": name, "score": title, "place": place}


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
        "rows": rows,
        "sizes": list(dict.fromkeys(row["at"] for row in rows)),
        "panels": [(own, figures.forest(own)) for own in panels.values()],
        "figure": figures.forests(list(panels.values()), KEY),
    }
