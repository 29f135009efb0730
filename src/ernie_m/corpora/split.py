"""Divide clean rows: held-out groups first, then parallel and monolingual training text.

Order of decisions, none of which depends on the order in which languages are read:

1. The hash of a row's group puts it into train, valid or test.
2. A training row whose text equals, or nearly equals, held-out text of any language is dropped
   under its id, that is in all languages.
3. Ids that say the same, or nearly the same, in the first language that has them make one
   *meaning*. Each meaning is used once in each corpus.
4. The hash of a meaning makes it parallel or monolingual text; as monolingual text it is used in
   one language only. So no sentence that BTMLM back-translates has its translation among the
   parallel text (paper, section 3.3: monolingual corpora are what is new in that stage).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ernie_m.config.corpora import SplitSettings
from ernie_m.corpora.drops import Drops
from ernie_m.corpora.duplicates import NearIndex, near_duplicates
from ernie_m.corpora.hashing import hash64, unit_interval
from ernie_m.corpora.tables import read_table, write_table
from ernie_m.corpora.text import comparable, numbers, strip_markup
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")

# Characters added to both lengths before their ratio is taken: short texts vary more.
LENGTH_SLACK = 10

Texts = Mapping[str, Mapping[str, str]]  # language -> id -> text


@dataclass(frozen=True)
class Meaning:
    """Ids that say the same, those with most languages first; ``ids[0]`` names the meaning."""

    ids: tuple[str, ...]

    def first(self, texts: Texts, languages: Sequence[str]) -> str | None:
        """The first id that has text in all of ``languages``."""
        for name in self.ids:
            if all(name in texts[language] for language in languages):
                return name
        return None


def part_of(group: str, settings: SplitSettings, seed: int) -> str:
    """train, valid or test, by hash of the group."""
    place = unit_interval(seed, "group", group)
    if place < settings.test_share:
        return "test"
    return "valid" if place < settings.test_share + settings.valid_share else "train"


class Keys:
    """Comparable keys of texts, made once each."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        key = self._known.get(text)
        if key is None:
            # A text of signs only is compared as it is.
            key = self._known[text] = comparable(text) or text
        return key


def contaminated(
    train: Texts, held_out: Iterable[Texts], keys: Keys, settings: SplitSettings
) -> dict[str, tuple[str, str]]:
    """Training ids to drop -> (reason, the held-out key).

    Texts are compared across languages too, because names and numbers look alike in all.
    """
    held = sorted({keys(text) for part in held_out for rows in part.values() for text in rows.values()})
    exact = set(held)
    own = sorted({keys(text) for rows in train.values() for text in rows.values()} - exact)
    near: dict[str, str] = {}
    if settings.near_duplicates:
        found = near_duplicates(own, held, settings.near_duplicate_threshold)
        near = {own[one]: held[other] for one, other in found}
    dropped: dict[str, tuple[str, str]] = {}
    for rows in train.values():
        for name, text in rows.items():
            key = keys(text)
            if key in exact:
                dropped[name] = ("held out", key)
            elif key in near and name not in dropped:
                dropped[name] = ("nearly held out", near[key])
    return dropped


def meanings(texts: Texts, keys: Keys, settings: SplitSettings, seed: int) -> list[Meaning]:
    """All ids of ``texts``, those that say the same together."""
    languages: dict[str, int] = {}
    reference: dict[str, str] = {}
    for rows in texts.values():
        for name, text in rows.items():
            languages[name] = languages.get(name, 0) + 1
            reference.setdefault(name, keys(text))
    ranked = sorted(languages, key=lambda name: (-languages[name], hash64(seed, name), name))
    together: dict[str, list[str]] = {}
    for name in ranked:
        label = reference[name] if settings.exact_duplicates else name
        together.setdefault(label, []).append(name)
    if settings.near_duplicates:
        together = _near_together(together, reference, settings.near_duplicate_threshold)
    return [Meaning(tuple(ids)) for ids in together.values()]


def _near_together(
    together: dict[str, list[str]], reference: Mapping[str, str], threshold: float
) -> dict[str, list[str]]:
    """Each set joins the first earlier one whose name it nearly repeats."""
    labels = list(together)
    index = NearIndex([reference[together[label][0]] for label in labels], threshold)
    joined: dict[str, list[str]] = {}
    for place, label in enumerate(labels):
        found = index.find(place)
        if found is None:
            index.insert(place)
            joined[label] = list(together[label])
        else:
            joined[labels[found]] += together[label]
    return joined


def divide(
    found: Sequence[Meaning], texts: Texts, settings: SplitSettings, seed: int
) -> tuple[list[Meaning], dict[str, list[Meaning]]]:
    """Parallel meanings, and the monolingual ones of each language.

    A monolingual meaning goes to one language among those it has, by weighted rendezvous hashing:
    the weights favour languages with little text, so that it spreads evenly over all, and taking a
    language out moves only that language's meanings.
    """
    pairs = [pair.split("-") for pair in settings.pairs]
    weight = {code: 1.0 / max(len(texts[code]), 1) for code in settings.languages}
    parallel: list[Meaning] = []
    mono: dict[str, list[Meaning]] = {code: [] for code in settings.languages}
    for meaning in found:
        name = meaning.ids[0]
        usable = any(meaning.first(texts, pair) for pair in pairs)
        if usable and unit_interval(seed, "mono", name) >= settings.mono_share:
            parallel.append(meaning)
            continue
        has = [code for code in settings.languages if meaning.first(texts, [code])]
        chosen = max(
            has,
            key=lambda code: weight[code] / -math.log(unit_interval(seed, "language", code, name)),
        )
        mono[chosen].append(meaning)
    return parallel, mono


def mono_columns(
    found: Sequence[Meaning], language: str, texts: Texts, keys: Keys, settings: SplitSettings
) -> tuple[dict[str, list[str]], Drops]:
    """Columns id and text, sorted by id, each text once."""
    drops = Drops()
    names = (meaning.first(texts, [language]) for meaning in found)
    rows = {name: texts[language][name] for name in sorted(name for name in names if name)}
    seen: set[str] = set()
    for name, text in list(rows.items()):
        if settings.exact_duplicates and keys(text) in seen:
            drops.add("duplicate", id=name, text=text)
            del rows[name]
        seen.add(keys(text))
    return {"id": list(rows), "text": list(rows.values())}, drops


def pair_columns(
    found: Sequence[Meaning], pair: str, texts: Texts, keys: Keys, settings: SplitSettings
) -> tuple[dict[str, list[str]], Drops]:
    """Columns id, source and target, sorted by id, without pairs that look misaligned."""
    one, other = pair.split("-")
    drops = Drops()
    names = sorted(
        name for meaning in found if (name := meaning.first(texts, [one, other])) is not None
    )
    sides = [(texts[one][name], texts[other][name]) for name in names]
    fault = _pair_fault(sides, keys, settings)
    columns: dict[str, list[str]] = {"id": [], "source": [], "target": []}
    for name, (source, target) in zip(names, sides, strict=True):
        reason = fault(source, target)
        if reason:
            drops.add(reason, id=name, source=source, target=target)
            continue
        for column, value in zip(columns.values(), (name, source, target), strict=True):
            column.append(value)
    return columns, drops


def _pair_fault(
    sides: Sequence[tuple[str, str]], keys: Keys, settings: SplitSettings
) -> Callable[[str, str], str | None]:
    """Why a pair is dropped, or None; lengths are measured against the median of all ``sides``,
    because Chinese says in one character what English says in three."""

    def ratio(source: str, target: str) -> float:
        return (len(source) + LENGTH_SLACK) / (len(target) + LENGTH_SLACK)

    usual = median(ratio(*both) for both in sides) if sides else 1.0
    seen: set[tuple[str, str]] = set()

    def fault(source: str, target: str) -> str | None:
        key = keys(source), keys(target)
        if key[0] == key[1]:
            return "not translated"
        uneven = ratio(source, target) / usual
        if max(uneven, 1 / uneven) > settings.max_length_ratio:
            return "uneven lengths"
        if settings.same_digits and numbers(source) != numbers(target):
            return "other numbers"
        if settings.exact_duplicates and key in seen:
            return "duplicate"
        seen.add(key)
        return None

    return fault


def _read(job: Job[SplitSettings]) -> tuple[Texts, dict[str, str]]:
    """Texts as they came, and the group of each id."""
    texts: dict[str, dict[str, str]] = {}
    groups: dict[str, str] = {}
    for language, path in zip(job.settings.languages, job.inputs("rows"), strict=True):
        ids, group, text = read_table(path, ["id", "group", "text"])
        texts[language] = dict(zip(ids, text, strict=True))
        groups.update(zip(ids, group, strict=True))
    return texts, groups


def _write_rows(
    path: Path, language: str, rows: Mapping[str, str], groups: Mapping[str, str]
) -> None:
    ids = sorted(rows)
    columns = {
        "id": ids,
        "group": [groups[name] for name in ids],
        "text": [rows[name] for name in ids],
    }
    write_table(path, columns, [language])


def _outputs(job: Job[SplitSettings], name: str) -> dict[str, Path]:
    """Temporary output paths by the name of the final file, without its ending."""
    final = job.output_paths[name]
    return {path.stem: part for path, part in zip(final, job.outputs(name), strict=True)}


def _plain(rows: Mapping[str, str], settings: SplitSettings) -> dict[str, str]:
    """Rows as training text."""
    if not settings.plain_text:
        return dict(rows)
    return {name: plain for name, text in rows.items() if (plain := strip_markup(text))}


def _demand(columns: Mapping[str, Sequence[str]], what: str, part: str, fix: str) -> None:
    if not columns["id"]:
        raise UserError(f"{what} has no {part} text after the split.", fix)


def run(job: Job[SplitSettings]) -> None:
    """Write the rows, monolingual and parallel files of every part, and stats.json."""
    settings, seed, keys = job.settings, job.seed, Keys()
    raw, groups = _read(job)
    parts = {group: part_of(group, settings, seed) for group in sorted(set(groups.values()))}
    rows_out = _outputs(job, "rows")
    texts: dict[str, dict[str, dict[str, str]]] = {part: {} for part in PARTS}
    counts: dict[str, dict[str, int]] = {}
    for language, rows in raw.items():
        counts[language] = {}
        for part in PARTS:
            own = {name: text for name, text in rows.items() if parts[groups[name]] == part}
            _write_rows(rows_out[f"rows-{part}-{language}"], language, own, groups)
            counts[language][part] = len(own)
            texts[part][language] = _plain(own, settings)
    logger.info("rows divided: %s", {part: sum(c[part] for c in counts.values()) for part in PARTS})

    leaks = contaminated(texts["train"], [texts["valid"], texts["test"]], keys, settings)
    drops: dict[str, Drops] = {code: Drops() for code in settings.languages}
    for code, rows in texts["train"].items():
        for name in sorted(leaks.keys() & rows.keys()):
            reason, because = leaks[name]
            drops[code].add(reason, id=name, text=rows.pop(name), like=because)
    logger.info("decontaminated: %d ids dropped", len(leaks))

    found = {part: meanings(texts[part], keys, settings, seed) for part in ("train", "valid")}
    parallel, mono = divide(found["train"], texts["train"], settings, seed)
    chosen = {"train": parallel, "valid": found["valid"]}
    stats: dict[str, Any] = {
        "groups": {part: sum(value == part for value in parts.values()) for part in PARTS},
        "meanings": {
            "train": len(found["train"]),
            "valid": len(found["valid"]),
            "parallel": len(parallel),
            "mono": sum(len(own) for own in mono.values()),
        },
        "languages": {},
        "pairs": {},
    }
    mono_out, parallel_out = _outputs(job, "mono"), _outputs(job, "parallel")
    for code in settings.languages:
        sizes = {}
        for part, own in (("train", mono[code]), ("valid", found["valid"])):
            columns, repeated = mono_columns(own, code, texts[part], keys, settings)
            _demand(columns, f"Language `{code}`", part, _FIX.format(code))
            write_table(mono_out[f"mono-{code}-{part}"], columns, [code])
            sizes[part] = {"sentences": len(columns["id"]), **repeated.facts()}
        stats["languages"][code] = {"rows": counts[code], **drops[code].facts(), "mono": sizes}
    for pair in settings.pairs:
        sizes = {}
        for part, own in chosen.items():
            columns, faulty = pair_columns(own, pair, texts[part], keys, settings)
            _demand(columns, f"Pair `{pair}`", part, _FIX.format(pair))
            write_table(parallel_out[f"parallel-{pair}-{part}"], columns, pair.split("-"))
            sizes[part] = {"pairs": len(columns["id"]), **faulty.facts()}
        stats["pairs"][pair] = sizes
    job.write_json("stats", stats)


_FIX = (
    "Take `{}` out of `corpora.languages` and `corpora.pairs`, add a dataset that has it, or raise "
    "the shares in `corpora.split`."
)

if __name__ == "__main__":
    main(run, SplitSettings)
