"""What was found of the paper's claims: a panel and rows each."""

from __future__ import annotations

from typing import Any

from ernie_m.report import figures
from ernie_m.report.evidence import Evidence
from ernie_m.report.verdicts import HEAD, scores_of

KEY = {
    "holds": "holds here",
    "contradicted": "contradicted here",
    "undecided": "undecided, or no verdict",
}


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
