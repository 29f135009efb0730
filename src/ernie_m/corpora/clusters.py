"""Clusters of duplicate n-way rows, and their use as parallel or monolingual training text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ernie_m.config.corpora import DealSettings
from ernie_m.corpora.duplicates import MinHashIndex, near_duplicates
from ernie_m.corpora.hashing import hash64, unit_interval
from ernie_m.corpora.text import comparable
from ernie_m.corpus import codes_of

Texts = Mapping[str, Mapping[str, str]]  # language -> id -> text


class Keys:
    """Comparison keys of texts, cached: most texts are looked up several times."""

    def __init__(self) -> None:
        self._cache: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        key = self._cache.get(text)
        if key is None:
            # A text without letters or digits is its own key.
            key = self._cache[text] = comparable(text) or text
        return key


def contaminated(
    train: Texts, held_out: Iterable[Texts], keys: Keys, settings: DealSettings
) -> dict[str, tuple[str, str]]:
    """Training ids to drop -> (reason, the matching held-out key).

    Texts are compared across languages too: names and numbers are the same in all of them.
    """
    texts = (text for part in held_out for rows in part.values() for text in rows.values())
    held_out_keys = sorted({keys(text) for text in texts})
    exact = set(held_out_keys)
    near: dict[str, str] = {}
    if settings.near_duplicates:
        train_keys = sorted(
            {keys(text) for rows in train.values() for text in rows.values()} - exact
        )
        matches = near_duplicates(train_keys, held_out_keys, settings.near_duplicate_threshold)
        near = {train_keys[index]: held_out_keys[match] for index, match in matches}
    dropped: dict[str, tuple[str, str]] = {}
    for language in sorted(train):
        for name, text in train[language].items():
            key = keys(text)
            if key in exact and dropped.get(name, ("",))[0] != "held out":
                dropped[name] = ("held out", key)
            elif key in near and name not in dropped:
                dropped[name] = ("nearly held out", near[key])
    return dropped


@dataclass(frozen=True)
class Cluster:
    """Ids with duplicate text, those in most languages first; ``ids[0]`` names the cluster.

    ``ids[:near]`` are exact duplicates of one another, ``ids[near:]`` near-duplicates of them.
    """

    ids: tuple[str, ...]
    near: int

    def first_complete(self, texts: Texts, languages: Sequence[str]) -> str | None:
        """The first id that has text in all of ``languages``."""
        for name in self.ids:
            if all(name in texts[language] for language in languages):
                return name
        return None

    def duplicates(self, texts: Texts, language: str) -> list[tuple[str, str]]:
        """(id, reason) of all ids with text in ``language`` but the first."""
        present = [
            (name, "repeated" if number < self.near else "nearly repeated")
            for number, name in enumerate(self.ids)
            if name in texts[language]
        ]
        return present[1:]


def cluster_duplicates(
    texts: Texts, keys: Keys, settings: DealSettings, seed: int
) -> list[Cluster]:
    """All ids of ``texts``, clustered by their text in the first language that has them."""
    languages: dict[str, int] = {}
    reference: dict[str, str] = {}
    for code in settings.languages:
        for name, text in texts[code].items():
            languages[name] = languages.get(name, 0) + 1
            reference.setdefault(name, keys(text))
    ranked = sorted(languages, key=lambda name: (-languages[name], hash64(seed, name), name))
    same: dict[str, list[str]] = {}
    for name in ranked:
        label = reference[name] if settings.exact_duplicates else name
        same.setdefault(label, []).append(name)
    sets = list(same.values())
    if not settings.near_duplicates:
        return [Cluster(tuple(ids), len(ids)) for ids in sets]
    return _join_near_duplicates(sets, reference, settings.near_duplicate_threshold)


def _join_near_duplicates(
    sets: Sequence[list[str]], reference: Mapping[str, str], threshold: float
) -> list[Cluster]:
    """Merge each set of ids into the first earlier one of which it is a near-duplicate."""
    index = MinHashIndex([reference[ids[0]] for ids in sets], threshold, len(sets))
    near: dict[int, list[str]] = {}
    for number, ids in enumerate(sets):
        earlier = index.find(number)
        if earlier is None:
            index.insert(number)
            near[number] = []
        else:
            near[earlier] += ids
    return [Cluster((*sets[number], *others), len(sets[number])) for number, others in near.items()]


def assign_use(
    clusters: Sequence[Cluster], texts: Texts, settings: DealSettings, seed: int
) -> tuple[list[Cluster], dict[str, list[Cluster]]]:
    """Clusters used as parallel text, and those used as monolingual text of each language.

    A monolingual cluster is assigned to one of its languages by weighted rendezvous hashing. The
    weights favour languages with little text, so that every language gets some; removing a
    language moves only the clusters assigned to it.
    """
    pairs = [codes_of(pair) for pair in settings.pairs]
    weight = {code: 1.0 / max(len(texts[code]), 1) for code in settings.languages}
    parallel: list[Cluster] = []
    mono: dict[str, list[Cluster]] = {code: [] for code in settings.languages}
    for cluster in clusters:
        name = cluster.ids[0]
        usable = any(cluster.first_complete(texts, pair) for pair in pairs)
        if usable and unit_interval(seed, "mono", name) >= settings.mono_share:
            parallel.append(cluster)
            continue
        draws = {
            code: weight[code] / -math.log(unit_interval(seed, "language", code, name))
            for code in settings.languages
            if cluster.first_complete(texts, [code])
        }
        mono[max(draws, key=lambda code: draws[code])].append(cluster)
    return parallel, mono
