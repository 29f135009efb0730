"""Stand-in for PAWS-X: does the second text say the same as the first, or nearly the same?

The first text is English, the second in the language tested. Same: the translation of the first
row, or of a row that translators rendered alike in several languages (so that English, which is
trained on, has pairs that are not letter for letter equal). Different: the translation of a near
neighbour by English spelling that no language renders alike. Each first text gives one example of
each class. Telling a translation from a near miss is close to what TLM and CAMLM train: a model
that has seen parallel text has an advantage here that it would not have on PAWS-X.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np

from ernie_m.xtreme.catalogue import ENGLISH
from ernie_m.xtreme.files import TextPair
from ernie_m.xtreme.tasks.sources import Examples, Sources

LEAST_WORDS = 3
# Two languages rendering two English texts alike is seldom chance, unless the rendering is vague
# enough to stand for many texts.
LEAST_AGREEING = 2
MOST_SHARING = 6
NEIGHBOURS = 20
_LETTERS = re.compile(r"\w+")


def _bare(text: str) -> str:
    """``text`` without case and punctuation."""
    return " ".join(_LETTERS.findall(text.casefold()))


class _Pool:
    """Distinct English texts of a split, a row id each, with their translations."""

    def __init__(self, sources: Sources, split: str) -> None:
        english = {row.id: row.text for row in sources.english(split)}
        first: dict[str, str] = {}
        for id in sources.shuffled(english, "paraphrase"):
            text = english[id]
            if len(text.split()) >= LEAST_WORDS:
                first.setdefault(_bare(text), id)
        self.ids = list(first.values())
        self.texts = {id: english[id] for id in self.ids}
        self.rendered: dict[str, dict[str, str]] = defaultdict(dict)
        for language in sources.foreign:
            foreign = sources.texts(split, language)
            for id in self.ids:
                if id in foreign and foreign[id] != english[id]:
                    self.rendered[id][language] = foreign[id].casefold()
        self.alike = self._alike()

    def _alike(self) -> Counter[tuple[str, str]]:
        """In how many languages two rows have the same translation."""
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
        """For rows that have one: another row that means the same, the most agreed on."""
        best: dict[str, str] = {}
        for (a, b), languages in sorted(self.alike.items(), key=lambda item: (-item[1], item[0])):
            if languages >= LEAST_AGREEING:
                best.setdefault(a, b)
                best.setdefault(b, a)
        return best

    def surely_different(self, a: str, b: str) -> bool:
        """Whether languages have both rows and none renders them alike."""
        both = self.rendered[a].keys() & self.rendered[b].keys()
        return bool(both) and all(self.rendered[a][x] != self.rendered[b][x] for x in both)

    def near_misses(self, ids: list[str]) -> Iterator[str | None]:
        """For each of ``ids`` the nearest other row by spelling that says something else."""
        # Here, for it takes longer to load than most tasks take to make.
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize

        count = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), dtype=np.float32)
        # Capitalisation is no difference that a reader would call one.
        everything = normalize(count.fit_transform(self.texts.values()))
        place = {id: index for index, id in enumerate(self.ids)}
        for first in range(0, len(ids), 256):
            part = ids[first : first + 256]
            near = (everything[[place[id] for id in part]] @ everything.T).toarray()
            order = np.argsort(-near, axis=1, kind="stable")[:, : NEIGHBOURS + 1]
            for id, row in zip(part, order, strict=True):
                others = [self.ids[index] for index in row if self.ids[index] != id]
                yield self._nearest(id, others)

    def _nearest(self, id: str, others: list[str]) -> str | None:
        allowed = [other for other in others if self.surely_different(id, other)]
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(self.texts[id])

        def likeness(other: str) -> float:
            matcher.set_seq1(self.texts[other])
            return matcher.ratio()

        return max(allowed, key=likeness, default=None)


def _units(sources: Sources, split: str) -> list[tuple[str, str, str]]:
    """Rows of (first text, same meaning, near miss); rows with an English paraphrase come first."""
    pool = _Pool(sources, split)
    partners = pool.partners()
    order = sources.widest_first(split, pool.ids, lambda id: [id, partners.get(id, id)])
    order = sorted(order, key=lambda id: id not in partners)[: sources.limit(split) // 2]
    misses = pool.near_misses(order)
    return [
        (id, partners.get(id, id), miss) for id, miss in zip(order, misses, strict=True) if miss
    ]


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    for split in ("train", "dev", "test"):
        units = _units(sources, split)
        english = sources.texts(split, ENGLISH)
        for language in sources.told_in(split):
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
                for id, same, miss in units
                if same in texts and miss in texts
                for label, row in (("same", same), ("different", miss))
            ]
    return examples
