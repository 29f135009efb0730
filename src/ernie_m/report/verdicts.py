"""The verdicts on the paper's claims as rows, from the file of the stage that judges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ernie_m.report.scores import readable

# What a row of :func:`scores_of` is shown under: the score, what it has in ``shown``, the verdict.
HEAD = ("score", "effect", "interval", "smallest visible", "paper", "verdict")


def _shown(found: dict[str, Any], kind: str) -> tuple[str, str, str, str]:
    """Effect, interval, smallest visible effect and the paper's in words; a ratio has no sign."""
    form = ".4g" if kind == "ratio" else "+.3g"

    def words(value: float | None, form: str = form) -> str:
        return "\N{EN DASH}" if value is None else f"{value:{form}}"

    low, high = words(found["low"]), words(found["high"])
    span = low if found["low"] is None else f"{low} to {high}"
    return words(found["mean"]), span, words(found["visible"], ".3g"), words(found["paper"])


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
