"""Stand-in for BUCC: find the translated pairs among sentences most of which have no partner.

A hash assigns each held-out row to one of three lots: kept on both sides, on the English side only,
or on the foreign side only. The lots are the same for every language. Ids are numbered anew on each
side, so that only the text can reveal a pair.
"""

from __future__ import annotations

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.corpora.hashing import unit_interval
from ernie_m.xtreme.files import Line, MiningSentence
from ernie_m.xtreme.standins.retrieval import NEEDS as NEEDS
from ernie_m.xtreme.standins.retrieval import distinct_rows, translated
from ernie_m.xtreme.standins.sources import Examples, Sources


def _lot(sources: Sources, id: str) -> str:
    """``both``, or the language of the only side that keeps row ``id``."""
    share = sources.settings.mining_pair_share
    draw = unit_interval(sources.seed, "mining lot", id)
    if draw < share:
        return "both"
    return ENGLISH if draw < (1 + share) / 2 else "foreign"


def _sentences(sources: Sources, ids: list[str], split: str, language: str) -> list[Line]:
    lots = {id: _lot(sources, id) for id in ids}
    names: dict[str, dict[str, str]] = {}
    for side, lot in ((ENGLISH, ENGLISH), (language, "foreign")):
        kept = sources.shuffled((id for id in ids if lots[id] in ("both", lot)), f"mining {lot}")
        names[side] = {id: f"{side}-{number:06d}" for number, id in enumerate(kept, start=1)}
    lines: list[Line] = []
    for side, other in ((ENGLISH, language), (language, ENGLISH)):
        texts = sources.texts(split, side)
        for id, name in names[side].items():
            partner = names[other].get(id)
            lines.append(MiningSentence(id=name, language=side, text=texts[id], partner=partner))
    return lines


def make(sources: Sources) -> Examples:
    """``dev-{language}`` (to tune the threshold) and ``test-{language}``, English left out."""
    examples: Examples = {}
    for split in ("dev", "test"):
        ids = distinct_rows(sources, split, sources.settings.retrieval_min_words)
        ids = ids[: sources.settings.mining_sentences]
        english = sources.texts(split, ENGLISH)
        for language in sources.foreign:
            kept = translated(ids, english, sources.texts(split, language))
            examples[f"{split}-{language}"] = _sentences(sources, kept, split, language)
    return examples
