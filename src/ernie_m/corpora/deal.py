"""Split n-way parallel rows: held-out groups go to the evaluation tasks, the rest to the corpora of
each language and pair.

The steps, none of which depends on the order in which languages are read:

1. The hash of a row's group assigns it to train, valid or test.
2. Decontamination: a training row whose text is a duplicate or near-duplicate of held-out text in
   any language is dropped by id, that is in all languages.
3. A text identical to its first-language side is untranslated, and is dropped in that language.
4. Ids whose texts are duplicates or near-duplicates in the first language that has them form one
   *cluster* (a "meaning" in stats.json). Each corpus uses a cluster once.
5. The hash of a cluster makes it parallel or monolingual text; as monolingual text it is used in
   one language only. So what BTMLM back-translates is new in that stage: of a few sentences in a
   thousand the translation stands in the parallel text all the same, where two meanings that
   differ in English are one in the other language.

The output has the same form as that of corpora.filter, and joins the corpus's other documents or
pairs there. Rows of test groups go to no corpus. Of the others, corpora.select holds out some for
validation losses, by the same hash. N-way rows fit into memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ernie_m.config.corpora import DealSettings
from ernie_m.corpora.clusters import (
    Cluster,
    Keys,
    Texts,
    assign_use,
    cluster_duplicates,
    contaminated,
)
from ernie_m.corpora.drops import DropCounts
from ernie_m.corpora.faults import pair_fault
from ernie_m.corpora.hashing import held_for_validation, unit_interval
from ernie_m.corpora.kept import KeptWriter
from ernie_m.corpora.streams import MONO, languages_in, read_batches, write_blocks
from ernie_m.corpora.text import strip_markup
from ernie_m.corpus import codes_of
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
# Those that go to corpora.
DEALT_PARTS = ("train", "valid")
# First position of these rows: behind all other documents and pairs of their corpus.
FIRST_POSITION = 1 << 62
_BLOCK = 10_000


@cache
def part_of(group: str, settings: DealSettings, seed: int) -> str:
    """train, valid or test, by hash of the group."""
    if unit_interval(seed, "test", group) < settings.test_share:
        return "test"
    return "valid" if held_for_validation(group, settings.valid_share, seed) else "train"


class SplitState:
    """Rows of all languages by part, and counts of the training and validation rows dropped."""

    def __init__(self, job: Job[DealSettings]) -> None:
        self.settings, self.seed, self.keys = job.settings, job.seed, Keys()
        self.rows: dict[str, dict[str, dict[str, str]]] = {part: {} for part in PARTS}
        self.groups: dict[str, str] = {}
        self.drops = {
            part: {code: DropCounts() for code in self.settings.languages} for part in DEALT_PARTS
        }
        for path in job.inputs("rows"):
            self._read(path)
        self.texts = {part: self._training_form(self.rows[part]) for part in PARTS}

    def _read(self, path: Path) -> None:
        (code,) = languages_in(path)
        for part in PARTS:
            self.rows[part].setdefault(code, {})
        for batch in read_batches(path):
            columns = (batch.column(name).to_pylist() for name in MONO)
            for name, group, text in zip(*columns, strict=True):
                self.groups[name] = group
                self.rows[part_of(group, self.settings, self.seed)][code][name] = text

    def _training_form(self, rows: Texts) -> dict[str, dict[str, str]]:
        plain = strip_markup if self.settings.plain_text else str
        return {
            code: {name: plain(text) for name, text in texts.items()}
            for code, texts in rows.items()
        }

    def drop_held_out(self) -> None:
        """Drop training texts that occur in valid or test rows of any language."""
        held_out = [self.texts["valid"], self.texts["test"]]
        leaks = contaminated(self.texts["train"], held_out, self.keys, self.settings)
        for code, texts in self.texts["train"].items():
            for name in leaks.keys() & texts.keys():
                reason, like = leaks[name]
                self.drops["train"][code].add(reason, id=name, text=texts.pop(name), like=like)
        logger.info("%d training ids say what held-out rows say", len(leaks))

    def drop_untranslated(self, part: str) -> None:
        """Drop texts that are identical to their first-language side."""
        first, *others = self.settings.languages
        source = self.texts[part][first]
        for code in others:
            texts = self.texts[part][code]
            for name in texts.keys() & source.keys():
                if self.keys(texts[name]) == self.keys(source[name]):
                    self.drops[part][code].add("not translated", id=name, text=texts.pop(name))

    def count_duplicates(self, part: str, clusters: Iterable[Cluster]) -> None:
        """Count all texts of clusters but one in each language."""
        for cluster in clusters:
            for code, drops in self.drops[part].items():
                texts = self.texts[part]
                for name, reason in cluster.duplicates(texts, code):
                    drops.add(reason, id=name, text=texts[code][name], like=cluster.ids[0])

    def counts(self, code: str) -> dict[str, int]:
        """Rows of a language by part, before anything is dropped."""
        return {part: len(self.rows[part][code]) for part in PARTS}


Row = tuple[str, ...]  # id, group and one text per language


class CorpusWriters:
    """Writes the rows of each corpus to its output files."""

    def __init__(self, job: Job[DealSettings], state: SplitState) -> None:
        self._state = state
        self._rows, self._lines = (_by_corpus(job, name) for name in ("kept", "lines"))

    def write(self, corpus: str, rows: Iterable[Row]) -> None:
        """Write the rows of one corpus, in the order of their ids."""
        ordered = sorted(rows)
        with KeptWriter(corpus, self._rows[corpus], self._lines[corpus]) as writer:
            for start in range(0, len(ordered), _BLOCK):
                block = ordered[start : start + _BLOCK]
                columns = dict(
                    zip(writer.columns, map(list, zip(*block, strict=True)), strict=True)
                )
                positions = range(FIRST_POSITION + start, FIRST_POSITION + start + len(block))
                writer.add({"position": list(positions), **columns})

    def rows(self, clusters: Iterable[Cluster], part: str, codes: Sequence[str]) -> list[Row]:
        """One row of each cluster: its first id that has text in all of ``codes``."""
        texts = self._state.texts[part]
        names = (cluster.first_complete(texts, codes) for cluster in clusters)
        return [
            (name, self._state.groups[name], *(texts[code][name] for code in codes))
            for name in names
            if name is not None
        ]


def _by_corpus(job: Job[DealSettings], name: str) -> dict[str, Path]:
    """Temporary output paths by corpus: the final files are called ``mono-de-rows.arrow``."""
    corpora = (path.stem.rpartition("-")[0] for path in job.output_paths[name])
    return dict(zip(corpora, job.outputs(name), strict=True))


def _write_rows(job: Job[DealSettings], state: SplitState) -> None:
    """Write the rows by part and language, from which the evaluation tasks are made."""
    final = job.output_paths["rows"]
    targets = {path.stem: part for path, part in zip(final, job.outputs("rows"), strict=True)}
    for part in PARTS:
        for code, rows in state.rows[part].items():
            texts = ((name, state.groups[name], rows[name]) for name in sorted(rows))
            write_blocks(targets[f"rows-{part}-{code}"], texts, MONO, [code])


def _write_mono(
    writers: CorpusWriters, mono: Mapping[str, Sequence[Cluster]], valid: Sequence[Cluster]
) -> dict[str, dict[str, int]]:
    """Write the monolingual corpora; sentences by language and part."""
    stats = {}
    for code, clusters in mono.items():
        parts = {
            "train": writers.rows(clusters, "train", [code]),
            "valid": writers.rows(valid, "valid", [code]),
        }
        writers.write(f"mono-{code}", (row for rows in parts.values() for row in rows))
        stats[code] = {part: len(rows) for part, rows in parts.items()}
    return stats


def _write_pairs(
    writers: CorpusWriters, settings: DealSettings, chosen: Mapping[str, Sequence[Cluster]]
) -> dict[str, Any]:
    """Write the parallel corpora; pairs, drops and examples by pair."""
    stats = {}
    for pair in settings.pairs:
        codes, drops, kept = codes_of(pair), DropCounts(), []
        counts = dict.fromkeys(chosen, 0)
        for part, clusters in chosen.items():
            for row in writers.rows(clusters, part, codes):
                name, _, source, target = row
                reason = pair_fault(source, target, codes, settings)
                if reason:
                    drops.add(reason, id=name, source=source, target=target)
                else:
                    kept.append(row)
                    counts[part] += 1
        writers.write(f"parallel-{pair}", kept)
        stats[pair] = {"pairs": counts, **drops.facts()}
    return stats


def _count_uses(
    state: SplitState, parallel: Sequence[Cluster], mono: Mapping[str, Sequence[Cluster]]
) -> dict[str, dict[str, int]]:
    """Count each language's training clusters that are used as parallel text, or as monolingual
    text of another language."""
    texts = state.texts["train"]
    uses: dict[str, dict[str, int]] = {}
    for code in state.settings.languages:
        elsewhere = [cluster for own in mono if own != code for cluster in mono[own]]
        used = {"parallel": parallel, "mono_elsewhere": elsewhere}
        uses[code] = {
            use: sum(cluster.first_complete(texts, [code]) is not None for cluster in own)
            for use, own in used.items()
        }
    return uses


def run(job: Job[DealSettings]) -> None:
    """Write the rows of every part and language, each corpus's rows (``kept`` and ``lines``,
    ``{corpus}-rows.arrow`` and ``{corpus}-lines.arrow``), and stats.json.

    Every corpus gets every cluster of the valid groups, in all languages and pairs: nothing is
    trained on them, so they need not be divided.
    """
    state = SplitState(job)
    _write_rows(job, state)
    state.drop_held_out()
    clusters = {}
    for part in DEALT_PARTS:
        state.drop_untranslated(part)
        clusters[part] = cluster_duplicates(state.texts[part], state.keys, job.settings, job.seed)
        state.count_duplicates(part, clusters[part])
    parallel, mono = assign_use(clusters["train"], state.texts["train"], job.settings, job.seed)
    uses = _count_uses(state, parallel, mono)
    writers = CorpusWriters(job, state)
    monolingual = _write_mono(writers, mono, clusters["valid"])
    pairs = _write_pairs(writers, job.settings, {"train": parallel, "valid": clusters["valid"]})
    parts = [part_of(group, job.settings, job.seed) for group in set(state.groups.values())]
    stats = {
        "groups": {part: parts.count(part) for part in PARTS},
        "meanings": {
            "valid": len(clusters["valid"]),
            "train": len(clusters["train"]),
            "parallel": len(parallel),
            "mono": sum(map(len, mono.values())),
        },
        "languages": {
            code: {
                "rows": state.counts(code),
                # rows.train = parallel + mono_elsewhere + mono.train + all that was dropped
                **uses[code],
                "mono": monolingual[code],
                **state.drops["train"][code].facts(),
                # rows.valid = mono.valid + all that was dropped
                "valid": state.drops["valid"][code].facts(),
            }
            for code in job.settings.languages
        },
        "pairs": pairs,
    }
    job.write_json("stats", stats)
    logger.info("training meanings: %s", stats["meanings"])


if __name__ == "__main__":
    main(run, DealSettings)
