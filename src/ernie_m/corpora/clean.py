"""Clean one language: normal form, then filters on single rows, each counted when it drops one.

The rules are CCNet's that make sense on single lines (language identification, broken or foreign
lines), as CC-100 was made. Mark-up and ``{placeholders}`` stay: the evaluation tasks read labels
off them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ernie_m.config.corpora import CleanSettings
from ernie_m.corpora.drops import Drops
from ernie_m.corpora.language_id import identifier
from ernie_m.corpora.languages import LANGUAGES, Language
from ernie_m.corpora.tables import read_table, write_table
from ernie_m.corpora.text import Letters, normalise, prose
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """A text in normal form, and what filters ask of it."""

    text: str
    language: Language

    @cached_property
    def words(self) -> str:
        """The text without what belongs to no language."""
        return prose(self.text)

    @cached_property
    def letters(self) -> Letters:
        """What the words are written in."""
        return Letters.of(self.words, self.language.scripts)


def fault(line: Line, settings: CleanSettings) -> str | None:
    """Why a row is dropped, or None when it stays."""
    if len(line.text) < settings.min_chars:
        return "too short"
    if len(line.text) > settings.max_chars:
        return "too long"
    if "\N{REPLACEMENT CHARACTER}" in line.text:
        return "broken encoding"
    share = line.letters.script_share
    if share is None:
        return "no letters"
    if share < settings.min_script_share:
        return "another script"
    if _another_language(line, settings):
        return "another language"
    return None


def _another_language(line: Line, settings: CleanSettings) -> bool:
    # An identifier that does not know the language takes it for another.
    if settings.language_identifier not in line.language.identified:
        return False
    if len(line.words) < settings.language_id_min_chars:
        return False
    label, confidence = identifier(settings.language_identifier)(line.words)
    return label not in line.language.labels and confidence >= settings.language_id_min_confidence


def _judge(language: str, settings: CleanSettings) -> Callable[[str], tuple[str, str | None]]:
    """Normal form and fault of a raw text, looked up where it was seen before: interface text
    repeats itself two times out of five."""
    known: dict[str, tuple[str, str | None]] = {}

    def judge(raw: str) -> tuple[str, str | None]:
        if raw not in known:
            text = normalise(raw)
            known[raw] = text, fault(Line(text, LANGUAGES[language]), settings)
        return known[raw]

    return judge


def run(job: Job[CleanSettings]) -> None:
    """Write rows.parquet (id, group, text; by id) and stats.json; instance ``{language}``."""
    language = job.instance
    judge = _judge(language, job.settings)
    kept: dict[str, tuple[str, str]] = {}
    drops = Drops()
    read = 0
    for path in job.inputs("rows"):
        for name, group, raw in zip(*read_table(path, ["id", "group", "text"]), strict=True):
            read += 1
            text, reason = judge(raw)
            if reason is None:
                kept[name] = group, text
            else:
                drops.add(reason, id=name, text=raw)
    if not kept:
        raise UserError(
            f"Language `{language}` has no text left after cleaning: {drops.sentence() or 'none'}.",
            f"Loosen `corpora.clean`, add a dataset, or take `{language}` out of "
            "`corpora.languages` and `corpora.pairs`.",
        )
    ids = sorted(kept)
    columns = {
        "id": ids,
        "group": [kept[name][0] for name in ids],
        "text": [kept[name][1] for name in ids],
    }
    write_table(job.output("rows"), columns, [language])
    stats = {"language": language, "rows_in": read, "rows_out": len(ids), **drops.facts()}
    job.write_json("stats", stats)
    logger.info("%s: %d of %d rows kept; %s", language, len(ids), read, drops.sentence())


if __name__ == "__main__":
    main(run, CleanSettings)
