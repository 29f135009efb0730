"""An invented wheel in Home Assistant's layout, and stages run on it inside the test process."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import json
import os
import random
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from ernie_m.config.corpora import (
    DealSettings,
    DedupRules,
    ExtractSettings,
    FilterSettings,
    SelectSettings,
)
from ernie_m.corpora import deal, dedup, extract, select
from ernie_m.corpora import filter as filter_stage
from ernie_m.corpora.streams import MONO, PAIR, write_blocks
from ernie_m.job import Job

LANGUAGES = ("en", "de", "ru", "zh")
PAIRS = ("en-de", "en-ru", "en-zh")
SYLLABLES = {
    "en": ["ba", "ke", "li", "mo", "nu"],
    "de": ["ach", "bei", "cho", "dur", "enz"],
    "ru": ["ша", "бо", "ви", "гу", "де"],
    "zh": ["设", "备", "名", "称", "主"],
}
UPSTREAM = {"zh": "zh-Hans"}


def word(language: str, concept: int) -> str:
    """The word of a language for a concept, from five syllables as digits."""
    digits = [concept // 5**place % 5 for place in range(4)]
    return "".join(SYLLABLES[language][digit] for digit in digits)


def sentence(language: str, concepts: Sequence[int]) -> str:
    """A sentence: capital first, words separated where the language does so."""
    words = [word(language, concept) for concept in concepts]
    return ("" if language == "zh" else " ").join(words).capitalize()


def entries(language: str, groups: int = 40, keys: int = 20) -> dict[str, dict[str, Any]]:
    """Integration -> nested translations. Every group repeats a common string, the last keys are
    near-copies of group 0's, one is untranslated, one has other numbers on the foreign side."""
    content: dict[str, dict[str, Any]] = {}
    for group in range(groups):
        fields: dict[str, str] = {"host": sentence(language, [7])}
        for key in range(keys):
            draw = random.Random(1000 * group + key)
            fields[f"key{key}"] = sentence(language, [draw.randrange(625) for _ in range(5)])
        fields["near"] = entries_near(language)
        fields["brand"] = f"Brandname {word('en', group)}"
        fields["count"] = (
            sentence(language, [group, 3, 5]) + f" {20 + group + (language != 'en') * (group % 2)}"
        )
        if language in ("zh", "ru") and group % 3 == 0:
            fields = {name: text for name, text in fields.items() if name < "key5"}
        content[f"part{group}"] = {"config": {"step": fields}, "title": f"**{fields['host']}**"}
    return content


def entries_near(language: str) -> str:
    """One long text that all groups share but for a letter."""
    return sentence(language, [11, 22, 33, 44, 55, 66, 77, 88]) + "."


def write_wheel(path: Path, languages: Sequence[str] = LANGUAGES) -> Path:
    """The wheel itself, with files around that are no translations."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("homeassistant/__init__.py", "")
        for language in languages:
            for group, content in entries(language).items():
                name = f"{UPSTREAM.get(language, language)}.json"
                member = f"homeassistant/components/{group}/translations/{name}"
                archive.writestr(member, json.dumps(content))
    return path


def run_stage(
    run: Callable[[Job[Any]], None],
    settings: BaseModel,
    inputs: Mapping[str, Sequence[Path]],
    outputs: Mapping[str, Sequence[Path]],
    instance: str = "",
    seed: int = 1,
    threads: int = 1,
) -> None:
    """Run a stage as the job seam does, without the record."""
    module = run.__module__
    given = {name: list(paths) for name, paths in inputs.items()}
    wanted = {name: list(paths) for name, paths in outputs.items()}
    job = Job(module, instance, settings, seed, threads, given, wanted)
    for name, paths in wanted.items():
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        assert len(job.outputs(name)) == len(paths)
    run(job)
    for name, paths in wanted.items():
        for temporary, path in zip(job.outputs(name), paths, strict=True):
            os.replace(temporary, path)


def extract_rows(wheel: Path, folder: Path, language: str) -> Path:
    """corpora.extract of one language."""
    path = folder / "extract" / language / "rows.parquet"
    run_stage(
        extract.run,
        ExtractSettings(format="homeassistant"),
        {"file": [wheel]},
        {"rows": [path]},
        f"home/{language}",
    )
    return path


def write_rows(
    path: Path, rows: Iterable[Sequence[str]], languages: Sequence[str] = ("en",)
) -> Path:
    """A file in the form of corpora.extract and corpora.select."""
    write_blocks(path, rows, MONO if len(languages) == 1 else PAIR, languages)
    return path


def filter_rows(rows: Path, folder: Path, corpus: str, **settings: Any) -> Path:
    """corpora.filter of one shard; invented words are in no language, so it is not asked."""
    made = folder / "filter" / corpus
    run_stage(
        filter_stage.run,
        FilterSettings(**{"language_identifier": "none", **settings}),
        {"corpus": [rows]},
        {
            **{name: [made / f"{name}.arrow"] for name in ("rows", "lines", "documents")},
            "stats": [made / "stats.json"],
        },
        f"{corpus}/0",
    )
    return made / "rows.arrow"


def kept_rows(path: Path, *columns: str) -> list[list[Any]]:
    """Columns of what a stage has kept."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        table = file.read_all()
    return [table.column(name).to_pylist() for name in columns]


def deal_rows(
    rows: Mapping[str, Path],
    folder: Path,
    seed: int = 1,
    pairs: Sequence[str] = PAIRS,
    pair_shares: Mapping[str, float] | None = None,
    **settings: Any,
) -> Path:
    """corpora.deal of the languages in ``rows``, in their order."""
    corpora = [f"mono-{code}" for code in rows] + [f"parallel-{pair}" for pair in pairs]
    chosen = {"valid_share": 0.1, "test_share": 0.15, **settings}
    run_stage(
        deal.run,
        DealSettings(languages=tuple(rows), pairs=tuple(pairs), **chosen),
        {"rows": list(rows.values())},
        {
            "kept": [folder / f"{corpus}-rows.arrow" for corpus in corpora],
            "lines": [folder / f"{corpus}-lines.arrow" for corpus in corpora],
            "rows": [
                folder / f"rows-{part}-{code}.parquet"
                for part in ("train", "valid", "test")
                for code in rows
            ],
            "stats": [folder / "stats.json"],
        },
        seed=seed,
    )
    for corpus in corpora:
        choose_rows(folder, corpus, seed, chosen | {"pair_shares": pair_shares or {}})
    return folder


def choose_rows(folder: Path, corpus: str, seed: int, chosen: Mapping[str, Any]) -> None:
    """corpora.dedup and corpora.select of what was dealt to a corpus."""
    made = folder / corpus
    drops = {name: [made / f"{name}.arrow"] for name in ("exact", "near")}
    rules = {name: chosen[name] for name in DedupRules.model_fields if name in chosen}
    rows, lines = ([folder / f"{corpus}-{name}.arrow"] for name in ("rows", "lines"))
    given = {"rows": rows, "lines": lines, "documents": []}
    run_stage(dedup.run, DedupRules(**rules), given, drops, corpus)
    run_stage(
        select.run,
        SelectSettings(valid_share=chosen["valid_share"], pair_shares=chosen["pair_shares"]),
        {"kept": rows, "eval_hashes": [], **drops},
        {
            **{part: [made / f"{part}.parquet"] for part in ("train", "valid")},
            "stats": [made / "stats.json"],
        },
        f"{corpus}/dealt",
        seed,
    )
