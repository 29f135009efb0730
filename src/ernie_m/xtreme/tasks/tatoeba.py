"""Tatoeba: find the translation of an English sentence among up to a thousand (LASER's files)."""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.errors import UserError
from ernie_m.xtreme.files import Line, SentencePair
from ernie_m.xtreme.tasks.upstream import AGAIN, Upstream

WANTED = r"tatoeba\.\w+-eng\.\w+$"
# The files' three-letter codes.
CODES = {
    **{"af": "afr", "ar": "ara", "bg": "bul", "bn": "ben", "de": "deu", "el": "ell", "es": "spa"},
    **{"et": "est", "eu": "eus", "fa": "pes", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin"},
    **{"hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "jv": "jav", "ka": "kat", "kk": "kaz"},
    **{"ko": "kor", "ml": "mal", "mr": "mar", "nl": "nld", "pt": "por", "ru": "rus", "sw": "swh"},
    **{"ta": "tam", "te": "tel", "th": "tha", "tl": "tgl", "tr": "tur", "ur": "urd", "vi": "vie"},
    "zh": "cmn",
}


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Numbered pairs in the order of the files."""
    code = CODES[language]
    rows = upstream.table(f"tatoeba.{code}", "validation")
    if rows is None:
        sides = [upstream.only(rf"tatoeba\.{code}-eng\.{side}") for side in ("eng", code)]
        english, foreign = ([line for _, line in side.lines()] for side in sides)
        if len(english) != len(foreign):
            raise UserError(
                f"{sides[0].name} has {len(english)} lines, {sides[1].name} {len(foreign)}.", AGAIN
            )
    else:
        english = [row["target_sentence"] for row in rows]
        foreign = [row["source_sentence"] for row in rows]
    for number, (one, other) in enumerate(zip(english, foreign, strict=True)):
        yield SentencePair(id=f"{number:04d}", english=one.strip(), text=other.strip())
