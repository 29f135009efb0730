"""Stand-in for XNLI: what is this sentence for?

The key of a row in its source gives the label: what an action does, what to enter in a field, what
a form is about, or a message that ends or interrupts something. A text with keys of two classes is
left out, so the label is unambiguous. Classes are balanced in every language.
"""

from __future__ import annotations

from collections import defaultdict

from ernie_m.xtreme.files import TextPair
from ernie_m.xtreme.standins.interface import purpose
from ernie_m.xtreme.standins.sources import SENTENCE_WORDS, Examples, Sources

CLASSES = ("action", "field", "form", "message")
NEEDS = (
    f"sentences of {SENTENCE_WORDS} words or more whose keys in Home Assistant's translation files "
    f"tell what they are for, some for each of {', '.join(CLASSES)}"
)


def _chosen(sources: Sources, split: str) -> dict[str, list[str]]:
    """Row ids by class, the same number of each, with distinct texts, in a seeded order."""
    classes: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, str] = {}
    for row in sources.english(split):
        if (kind := purpose(row.key)) and len(row.text.split()) >= SENTENCE_WORDS:
            text = row.text.casefold()
            classes[text].add(kind)
            rows.setdefault(text, row.id)
    certain = {rows[text]: kinds.pop() for text, kinds in classes.items() if len(kinds) == 1}
    by_class: dict[str, list[str]] = {name: [] for name in CLASSES}
    shuffled = sources.shuffled(certain, "classification")
    for id in sources.most_translated_first(split, shuffled, lambda id: [id]):
        by_class[certain[id]].append(id)
    return _balanced(by_class, sources.limit(split) // len(CLASSES))


def _balanced(by_class: dict[str, list[str]], most: int) -> dict[str, list[str]]:
    fewest = min(most, *map(len, by_class.values()))
    return {name: ids[:fewest] for name, ids in by_class.items()}


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    for split in ("train", "dev", "test"):
        chosen = _chosen(sources, split)
        most = len(chosen[CLASSES[0]])
        for language in sources.languages_of(split):
            texts = sources.texts(split, language)
            translated = {name: [id for id in ids if id in texts] for name, ids in chosen.items()}
            examples[f"{split}-{language}"] = [
                TextPair(id=id, first=texts[id], first_language=language, label=name)
                for name, ids in _balanced(translated, most).items()
                for id in ids
            ]
    return examples
