"""Stand-in for Tatoeba: find the translation of an English sentence among held-out ones.

A sentence and its translation share a row id, so the answer is certain. The same rows are used in
every language that has them. English texts are distinct, and so are their translations.
"""

from __future__ import annotations

from ernie_m.xtreme.files import SentencePair
from ernie_m.xtreme.standins.sources import Examples, Sources

NEEDS = "translated English sentences of `xtreme.prepare.retrieval_min_words` words or more"


def distinct_rows(sources: Sources, split: str, min_words: int) -> list[str]:
    """Ids of English rows of at least ``min_words`` words, with distinct texts, in seeded order."""
    seen: set[str] = set()
    chosen = []
    long_enough = {r.id: r.text for r in sources.english(split) if len(r.text.split()) >= min_words}
    order = sources.shuffled(long_enough, "retrieval")
    for id in sources.most_translated_first(split, order, lambda id: [id]):
        text = long_enough[id].casefold()
        if text not in seen:
            seen.add(text)
            chosen.append(id)
    return chosen


def translated(ids: list[str], english: dict[str, str], foreign: dict[str, str]) -> list[str]:
    """Those of ``ids`` whose translation differs from the English text and is not repeated."""
    seen: set[str] = set()
    kept = []
    for id in ids:
        text = foreign.get(id, english[id])
        if text != english[id] and text.casefold() not in seen:
            seen.add(text.casefold())
            kept.append(id)
    return kept


def make(sources: Sources) -> Examples:
    """``test-{language}`` of every language but English."""
    settings = sources.settings
    ids = distinct_rows(sources, "test", settings.retrieval_min_words)[: sources.limit("test")]
    english = sources.texts("test", "en")
    examples: Examples = {}
    for language in sources.foreign:
        texts = sources.texts("test", language)
        examples[f"test-{language}"] = [
            SentencePair(id=id, english=english[id], text=texts[id])
            for id in translated(ids, english, texts)
        ]
    return examples
