"""Divide clean rows: held-out groups first, then parallel and monolingual training text.

Order of decisions, none of which depends on the order in which languages are read:

1. The hash of a row's group puts it into train, valid or test.
2. A training row whose text equals, or nearly equals, held-out text of any language is dropped
   under its id, that is in all languages.
3. A text that only repeats its own first-language side is not translated, and is dropped there.
4. Ids that say the same, or nearly the same, in the first language that has them make one
   *meaning*. Each meaning is used once in each corpus.
5. The hash of a meaning makes it parallel or monolingual text; as monolingual text it is used in
   one language only. So no sentence that BTMLM back-translates has its translation among the
   parallel text: monolingual corpora are what is new in that stage.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ernie_m.config.corpora import SplitSettings
from ernie_m.corpora.drops import Drops
from ernie_m.corpora.hashing import unit_interval
from ernie_m.corpora.meanings import Keys, Meaning, Texts, contaminated, divide, gather
from ernie_m.corpora.pairs import pair_columns
from ernie_m.corpora.tables import read_table, write_table
from ernie_m.corpora.text import strip_markup
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")


def part_of(group: str, settings: SplitSettings, seed: int) -> str:
    """train, valid or test, by hash of the group."""
    place = unit_interval(seed, "group", group)
    if place < settings.test_share:
        return "test"
    return "valid" if place < settings.test_share + settings.valid_share else "train"


class Division:
    """Rows of all languages by part, and the account of what training leaves out."""

    def __init__(self, job: Job[SplitSettings]) -> None:
        self.settings, self.seed, self.keys = job.settings, job.seed, Keys()
        self.rows: dict[str, dict[str, dict[str, str]]] = {part: {} for part in PARTS}
        self.groups: dict[str, str] = {}
        self.drops = {code: Drops() for code in self.settings.languages}
        for code, path in zip(self.settings.languages, job.inputs("rows"), strict=True):
            self._read(code, path)
        self.texts = {part: self._training_form(self.rows[part]) for part in PARTS}

    def _read(self, code: str, path: Path) -> None:
        ids, groups, texts = read_table(path, ["id", "group", "text"])
        parts = {group: part_of(group, self.settings, self.seed) for group in set(groups)}
        for part in PARTS:
            self.rows[part][code] = {}
        for name, group, text in zip(ids, groups, texts, strict=True):
            self.groups[name] = group
            self.rows[parts[group]][code][name] = text

    def _training_form(self, rows: Texts) -> dict[str, dict[str, str]]:
        plain = strip_markup if self.settings.plain_text else str
        return {
            code: {name: plain(text) for name, text in own.items()} for code, own in rows.items()
        }

    def drop_held_out(self) -> None:
        """Take out of the training texts whatever valid or test rows say in any language."""
        held_out = [self.texts["valid"], self.texts["test"]]
        leaks = contaminated(self.texts["train"], held_out, self.keys, self.settings)
        for code, texts in self.texts["train"].items():
            for name in leaks.keys() & texts.keys():
                reason, like = leaks[name]
                self.drops[code].add(reason, id=name, text=texts.pop(name), like=like)
        logger.info("%d training ids say what held-out rows say", len(leaks))

    def drop_untranslated(self, part: str) -> None:
        """Take out texts that are the same in the first language."""
        first, *others = self.settings.languages
        source = self.texts[part][first]
        for code in others:
            texts = self.texts[part][code]
            for name in texts.keys() & source.keys():
                if self.keys(texts[name]) == self.keys(source[name]):
                    text = texts.pop(name)
                    if part == "train":
                        self.drops[code].add("not translated", id=name, text=text)

    def counts(self, code: str) -> dict[str, int]:
        """Rows of a language by part, as they came."""
        return {part: len(self.rows[part][code]) for part in PARTS}


def mono_columns(
    found: Sequence[Meaning], code: str, texts: Texts, division: Division
) -> tuple[dict[str, list[str]], Drops]:
    """Columns id and text, sorted by id, and what was dropped: different meanings may have one
    text in this language."""
    firsts = (meaning.first(texts, [code]) for meaning in found)
    columns: dict[str, list[str]] = {"id": [], "text": []}
    drops = Drops()
    seen: set[str] = set()
    for name in sorted(name for name in firsts if name is not None):
        text = texts[code][name]
        key = division.keys(text)
        if division.settings.exact_duplicates and key in seen:
            drops.add("repeated", id=name, text=text)
            continue
        seen.add(key)
        columns["id"].append(name)
        columns["text"].append(text)
    return columns, drops


def _targets(job: Job[SplitSettings], name: str) -> dict[str, Path]:
    """Temporary output paths by the name of the final file, without its ending."""
    final = job.output_paths[name]
    return {path.stem: part for path, part in zip(final, job.outputs(name), strict=True)}


def _demand(columns: Mapping[str, Sequence[str]], what: str, part: str) -> None:
    if not columns["id"]:
        raise UserError(
            f"{what} has no {part} text after the split.",
            "Take it out of `corpora.languages` and `corpora.pairs`, add a dataset that has more "
            "of it, or change the shares in `corpora.split`.",
        )


def _write_rows(job: Job[SplitSettings], division: Division) -> None:
    targets = _targets(job, "rows")
    for part in PARTS:
        for code, rows in division.rows[part].items():
            ids = sorted(rows)
            columns = {
                "id": ids,
                "group": [division.groups[name] for name in ids],
                "text": [rows[name] for name in ids],
            }
            write_table(targets[f"rows-{part}-{code}"], columns, [code])


def _write_mono(
    job: Job[SplitSettings],
    division: Division,
    mono: Mapping[str, Sequence[Meaning]],
    valid: Sequence[Meaning],
) -> dict[str, dict[str, Any]]:
    """Write the monolingual files; sentences, drops and examples by language and part."""
    targets = _targets(job, "mono")
    stats: dict[str, dict[str, Any]] = {}
    for code in job.settings.languages:
        stats[code] = {}
        for part, found in (("train", mono[code]), ("valid", valid)):
            columns, drops = mono_columns(found, code, division.texts[part], division)
            _demand(columns, f"Language `{code}`", part)
            write_table(targets[f"mono-{code}-{part}"], columns, [code])
            stats[code][part] = {"sentences": len(columns["id"]), **drops.facts()}
    return stats


def _write_parallel(
    job: Job[SplitSettings], division: Division, chosen: Mapping[str, Sequence[Meaning]]
) -> dict[str, Any]:
    """Write the parallel files; pairs, drops and examples by pair and part."""
    targets = _targets(job, "parallel")
    stats: dict[str, Any] = {}
    for pair in job.settings.pairs:
        stats[pair] = {}
        for part, found in chosen.items():
            columns, drops = pair_columns(
                found, pair, division.texts[part], division.keys, job.settings
            )
            _demand(columns, f"Pair `{pair}`", part)
            write_table(targets[f"parallel-{pair}-{part}"], columns, pair.split("-"))
            stats[pair][part] = {"pairs": len(columns["id"]), **drops.facts()}
    return stats


def _uses(
    division: Division, parallel: Sequence[Meaning], mono: Mapping[str, Sequence[Meaning]]
) -> dict[str, dict[str, int]]:
    """Training meanings of each language that are used as parallel text, or as monolingual text of
    another language; their repetitions go to the account of drops."""
    texts = division.texts["train"]
    uses: dict[str, dict[str, int]] = {}
    for code, drops in division.drops.items():
        elsewhere = [meaning for own in mono if own != code for meaning in mono[own]]
        found = {"parallel": parallel, "mono_elsewhere": elsewhere}
        uses[code] = {
            use: sum(meaning.first(texts, [code]) is not None for meaning in own)
            for use, own in found.items()
        }
        for meaning in (*parallel, *elsewhere, *mono[code]):
            for name, reason in meaning.repeats(texts, code):
                drops.add(reason, id=name, text=texts[code][name], like=meaning.ids[0])
    return uses


def run(job: Job[SplitSettings]) -> None:
    """Write the rows, monolingual and parallel files of every part, and stats.json.

    Validation files hold every meaning of the valid groups, in all languages and pairs: nothing is
    learnt from them, so nothing has to be kept apart.
    """
    division = Division(job)
    _write_rows(job, division)
    division.drop_held_out()
    found = {}
    for part in ("train", "valid"):
        division.drop_untranslated(part)
        found[part] = gather(division.texts[part], division.keys, job.settings, job.seed)
    parallel, mono = divide(found["train"], division.texts["train"], job.settings, job.seed)
    uses = _uses(division, parallel, mono)
    monolingual = _write_mono(job, division, mono, found["valid"])
    pairs = _write_parallel(job, division, {"train": parallel, "valid": found["valid"]})
    parts = [part_of(group, job.settings, job.seed) for group in set(division.groups.values())]
    stats = {
        "groups": {part: parts.count(part) for part in PARTS},
        "meanings": {
            "valid": len(found["valid"]),
            "train": len(found["train"]),
            "parallel": len(parallel),
            "mono": sum(len(own) for own in mono.values()),
        },
        "languages": {
            code: {
                "rows": division.counts(code),
                # rows.train = parallel + mono_elsewhere + mono.train + all that was dropped
                **uses[code],
                "mono": monolingual[code],
                **division.drops[code].facts(),
            }
            for code in job.settings.languages
        },
        "pairs": pairs,
    }
    job.write_json("stats", stats)
    logger.info("training meanings: %s", stats["meanings"])


if __name__ == "__main__":
    main(run, SplitSettings)
