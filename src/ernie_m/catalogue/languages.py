"""Facts about each language: its scripts, and confusions of language identification.

The codes are those of CC-100, which ERNIE-M trains on, two letters wherever they exist. Its
variants of a language are languages here: in Latin letters (``_rom``), Burmese in Zawgyi's encoding
(``my_zaw``), traditional Chinese (``zh_hant``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """``scripts``: first words of Unicode character names. ``labels``: answers of language
    identification that are taken as this language. ``identified``: the identifiers that know it.
    ``spaced``: words are separated by spaces."""

    scripts: frozenset[str]
    labels: frozenset[str]
    identified: frozenset[str]
    spaced: bool = True


# Script (its Unicode name) -> languages written in it.
_WRITTEN = {
    "LATIN": (
        "af az br bs ca cs cy da de en eo es et eu fi fr fy ga gd gl ha hr hu id is it jv la lt lv "
        "mg ms nl no om pl pt qu ro sk sl so sq su sv sw tl tr uz vi wo xh "
        "bn_rom hi_rom ta_rom te_rom ur_rom"
    ),
    "CYRILLIC": "be bg kk ky mk mn ru sr uk",
    "GREEK": "el",
    "ARABIC": "ar fa ku ps sd ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "hi mr ne sa",
    "BENGALI": "as bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "MYANMAR": "my my_zaw",
    "KHMER": "km",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "CJK": "ja ko zh zh_hant",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
}

# Second script of languages that are written in two.
_ALSO = {"az": "CYRILLIC", "ku": "LATIN", "sr": "LATIN", "uz": "CYRILLIC"}

# Languages that an identifier confuses on short lines, or distinguishes where CC-100 does not: any
# label of a set is accepted for all its languages.
_CONFUSED = (
    "an ast ca es ext gl mwl oc pt",
    "da fo nn no sv",
    "bs hr sh sl sr",
    "cs sk",
    "id jv min ms su",
    "dty gom hi mai mr ne new sa",
    "ja wuu yue zh zh_hant",
    "af fy li nl vls",
    "az azb crh tk tr uz",
    "be rue ru uk",
    "bg mk",
    "ar ary arz",
    "kk ky ba tt",
    "as bn bpy",
    "xh zu",
    "als bar de nds",
    "en sco",
    "eml it lmo nap pms sc scn vec",
    "ckb diq ku",
    "fa mzn",
    "pnb ur",
    "ceb tl war",
    "bxr mn xal",
    "ka xmf",
)

# Languages that an identifier does not support, even under another code.
_UNKNOWN_TO = {
    "py3langid": {"sd", "su", "wo", "yi"},
    "fasttext": {"ha", "om", "wo", "xh"},
}
# None supports languages in a foreign script or encoding.
_UNKNOWN_TO_ALL = {"bn_rom", "hi_rom", "my_zaw", "ta_rom", "te_rom", "ur_rom"}

_UNSPACED = {"ja", "km", "lo", "my", "my_zaw", "th", "zh", "zh_hant"}


def _table() -> dict[str, Language]:
    scripts: dict[str, set[str]] = {}
    for script, codes in _WRITTEN.items():
        for code in codes.split():
            scripts.setdefault(code, set()).add(script)
    for code, script in _ALSO.items():
        scripts[code].add(script)
    table = {}
    for code, written in scripts.items():
        labels = {code}.union(*(set(row.split()) for row in _CONFUSED if code in row.split()))
        table[code] = Language(
            scripts=frozenset(written),
            labels=frozenset(labels),
            identified=frozenset(
                name
                for name, unknown in _UNKNOWN_TO.items()
                if code not in unknown | _UNKNOWN_TO_ALL
            ),
            spaced=code not in _UNSPACED,
        )
    return dict(sorted(table.items()))


LANGUAGES: dict[str, Language] = _table()


def units(language: str, text: str) -> int:
    """Words of ``text``, or characters where the language puts no spaces between words."""
    if LANGUAGES[language].spaced:
        return len(text.split())
    return sum(not character.isspace() for character in text)
