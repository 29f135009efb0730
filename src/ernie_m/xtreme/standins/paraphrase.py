"""Stand-in for PAWS-X: do the two texts say the same?

The first text is English, the second in the tested language. Same: the translation of the first
row, or of a row with the same translation in several languages (so that the English training
examples have pairs that are not identical strings). Different: the translation of another row of
the same group, of about the same length, whose translation differs in every language. Each first
text gives one example of each class. Recognising a translation is close to the objectives TLM and
CAMLM: a model pre-trained on parallel text has an advantage here that it would not have on PAWS-X.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import combinations, islice

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.xtreme.files import TextPair
from ernie_m.xtreme.standins.sources import Examples, Sources

LEAST_WORDS = 3
# Two English texts with the same translation in two languages are seldom chance, unless the
# translation is vague enough to fit many texts.
LEAST_AGREEING = 2
MOST_SHARING = 6
# Candidates among a group's other texts, of which the nearest in length is taken.
OTHERS = 8
NEEDS = (
    f"English sentences of {LEAST_WORDS} words or more with a translation, beside another one, of "
    "the same group where rows have groups"
)
_LETTERS = re.compile(r"\w+")


def _bare(text: str) -> str:
    """``text`` without case and punctuation."""
    return " ".join(_LETTERS.findall(text.casefold()))


class _Pool:
    """Distinct English texts of a split, one row id each, with their translations."""

    def __init__(self, sources: Sources, split: str) -> None:
        self.sources = sources
        english = {row.id: row for row in sources.english(split)}
        first: dict[str, str] = {}
        for id in sources.shuffled(english, "paraphrase"):
            text = english[id].text
            if len(text.split()) >= LEAST_WORDS:
                first.setdefault(_bare(text), id)
        self.ids = list(first.values())
        self.texts = {id: english[id].text for id in self.ids}
        self.lots: dict[str, list[str]] = {}
        for lot in sources.lots(english[id] for id in self.ids):
            ids = [row.id for row in lot]
            self.lots.update(dict.fromkeys(ids, ids))
        self.rendered: dict[str, dict[str, str]] = defaultdict(dict)
        for language in sources.foreign:
            foreign = sources.texts(split, language)
            for id in self.ids:
                if id in foreign and foreign[id] != self.texts[id]:
                    self.rendered[id][language] = foreign[id].casefold()
        self.alike = self._alike()

    def _alike(self) -> Counter[tuple[str, str]]:
        """Number of languages in which two rows have the same translation."""
        sharing: dict[tuple[str, str], list[str]] = defaultdict(list)
        for id in self.ids:
            for rendering in self.rendered[id].items():
                sharing[rendering].append(id)
        return Counter(
            pair
            for ids in sharing.values()
            if len(ids) <= MOST_SHARING
            for pair in combinations(sorted(ids), 2)
        )

    def partners(self) -> dict[str, str]:
        """Paraphrases: for each row the one that shares its translation in most languages, if
        any."""
        best: dict[str, str] = {}
        for (a, b), languages in sorted(self.alike.items(), key=lambda item: (-item[1], item[0])):
            if languages >= LEAST_AGREEING:
                best.setdefault(a, b)
                best.setdefault(b, a)
        return best

    def surely_different(self, a: str, b: str) -> bool:
        """Whether some language has both rows, and their translations differ in all that do."""
        both = self.rendered[a].keys() & self.rendered[b].keys()
        return bool(both) and all(self.rendered[a][x] != self.rendered[b][x] for x in both)

    def another(self, id: str, same: str) -> str | None:
        """A row of the same lot with a different meaning, about as long as ``same``."""
        rows = self.sources.shuffled(self.lots[id], f"other than {id}")
        others = islice((row for row in rows if self.surely_different(id, row)), OTHERS)
        length = len(self.texts[same])
        return min(others, key=lambda row: abs(len(self.texts[row]) - length), default=None)


def _units(sources: Sources, split: str) -> list[tuple[str, str, str]]:
    """Rows of (first text, same, different); rows with an English paraphrase come first."""
    pool = _Pool(sources, split)
    partners = pool.partners()
    order = sources.most_translated_first(split, pool.ids, lambda id: [id, partners.get(id, id)])
    order = sorted(order, key=lambda id: id not in partners)[: sources.limit(split) // 2]
    units = ((id, same := partners.get(id, id), pool.another(id, same)) for id in order)
    return [(id, same, other) for id, same, other in units if other]


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    for split in ("train", "dev", "test"):
        units = _units(sources, split)
        english = sources.texts(split, ENGLISH)
        for language in sources.languages_of(split):
            texts = sources.texts(split, language)
            examples[f"{split}-{language}"] = [
                TextPair(
                    id=f"{id}|{label}",
                    first=english[id],
                    second=texts[row],
                    first_language=ENGLISH,
                    second_language=language,
                    label=label,
                )
                for id, same, other in units
                if same in texts and other in texts
                for label, row in (("same", same), ("different", other))
            ]
    return examples
