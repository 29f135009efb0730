"""Language tags as others write them, and which of our languages they mean.

BCP 47 (``zh-Hant-TW``), its POSIX forms (``zh_TW.UTF-8``, ``sr@latin``) and the three-letter codes
of ISO 639 mean the same in any case of letters. Script and region matter where the catalogue keeps
variants apart: ``zh-TW`` is ``zh_hant``, ``hi-Latn`` is ``hi_rom``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ernie_m.catalogue.languages import LANGUAGES

# Other codes of languages of the catalogue: withdrawn ones, members of a macrolanguage that stand
# for it, and ISO 639-2 and 639-3, of which BCP 47 takes the two letters.
_ALIASES = {
    alias: code
    for code, aliases in {
        **{"af": "afr", "am": "amh", "ar": "ara arb", "as": "asm", "az": "aze azj"},
        **{"be": "bel", "bg": "bul", "bn": "ben", "br": "bre", "bs": "bos", "ca": "cat"},
        **{"cs": "ces cze", "cy": "cym wel", "da": "dan", "de": "deu ger", "el": "ell gre"},
        **{"en": "eng", "eo": "epo", "es": "spa", "et": "est ekk", "eu": "eus baq"},
        **{"fa": "fas per pes", "fi": "fin", "fr": "fra fre", "fy": "fry", "ga": "gle"},
        **{"gd": "gla", "gl": "glg", "gu": "guj", "ha": "hau", "he": "iw heb", "hi": "hin"},
        **{"hr": "hrv", "hu": "hun", "hy": "hye arm", "id": "in ind", "is": "isl ice"},
        **{"it": "ita", "ja": "jpn", "jv": "jw jav", "ka": "kat geo", "kk": "kaz", "km": "khm"},
        **{"kn": "kan", "ko": "kor", "ku": "kur kmr", "ky": "kir", "la": "lat", "lo": "lao"},
        **{"lt": "lit", "lv": "lav lvs", "mg": "mlg plt", "mk": "mkd mac", "ml": "mal"},
        **{"mn": "mon khk", "mr": "mar", "ms": "msa may zsm", "my": "mya bur", "ne": "nep npi"},
        **{"nl": "nld dut", "no": "nb nob nor", "om": "orm", "or": "ori ory", "pa": "pan"},
        **{"pl": "pol", "ps": "pus", "pt": "por", "ro": "mo mol ron rum", "ru": "rus"},
        **{"sa": "san", "sd": "snd", "si": "sin", "sk": "slk slo", "sl": "slv", "so": "som"},
        **{"sq": "sqi alb", "sr": "srp", "su": "sun", "sv": "swe", "sw": "swa swh", "ta": "tam"},
        **{"te": "tel", "th": "tha", "tl": "fil tgl", "tr": "tur", "ug": "uig", "uk": "ukr"},
        **{"ur": "urd", "uz": "uzb uzn", "vi": "vie", "wo": "wol", "xh": "xho", "yi": "ji yid"},
        "zh": "zho chi cmn",
    }.items()
    for alias in aliases.split()
}
_SCRIPTS = {"latin": "latn", "cyrillic": "cyrl"}  # as POSIX calls them, behind `@`
# Where a language is written in traditional Chinese.
_TRADITIONAL = {"tw", "hk", "mo"}
# The region whose form of a language is taken where there is no plain one (CLDR's likely one, where
# it is not named like the language).
_LIKELY = {
    **{"ar": "eg", "bn": "bd", "cs": "cz", "da": "dk", "el": "gr", "en": "us", "fa": "ir"},
    **{"hi": "in", "ja": "jp", "ko": "kr", "ms": "my", "pt": "br", "sv": "se", "sw": "tz"},
    **{"ta": "in", "uk": "ua", "ur": "pk", "vi": "vn", "zh": "cn", "zh_hant": "tw"},
}
_LONGEST = 40
_TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*")


@lru_cache(maxsize=10_000)
def read_tag(tag: str) -> tuple[str, int] | None:
    """Our code of a tag's language, and how far the tag is from being this: 0 for ``pt``, 1 for
    ``por`` and for ``pt-BR``, which is likely, 2 for ``pt-PT``. None where it is no tag, or names
    no language of the catalogue."""
    if tag in LANGUAGES:
        return tag, 0
    name, _, modifier = tag.strip().lower().replace("_", "-").partition("@")
    name = name.partition(".")[0]
    if not _TAG.fullmatch(name):
        return None
    language, *rest = name.split("-")
    if rest and len(rest[0]) == 3 and rest[0].isalpha():  # zh-cmn and zh-yue are languages
        language = rest.pop(0)
    alias, language = language, _ALIASES.get(language, language)
    script = next((part for part in rest if len(part) == 4 and part.isalpha()), None)
    script = script or _SCRIPTS.get(modifier)
    region = next((part for part in rest if len(part) == 2 or part.isdigit()), None)
    code = _variant(language, script, region)
    if code is None:
        return None
    others = len(rest) - (script is not None and script in rest) - (region is not None)
    likely = region in (None, _LIKELY.get(code, code))
    return code, (alias != language) + (region is not None) + (not likely) + 2 * others


def _variant(language: str, script: str | None, region: str | None) -> str | None:
    if language == "zh":
        if script not in (None, "hans", "hant"):
            return None
        return "zh_hant" if script == "hant" or (not script and region in _TRADITIONAL) else "zh"
    if language not in LANGUAGES:
        return None
    if script == "latn" and "LATIN" not in LANGUAGES[language].scripts:
        variant = f"{language}_rom"
    elif script == "qaag":  # Zawgyi's encoding
        variant = f"{language}_zaw"
    else:
        variant = language
    return variant if variant in LANGUAGES else None


def best_tag(tags: Iterable[str], code: str) -> str | None:
    """Of ``tags`` the one that suits our language ``code`` best, whatever their order; None where
    none means it."""
    ranked = ((read_tag(tag), tag) for tag in tags if len(tag) <= _LONGEST)
    found = [(read[1], tag) for read, tag in ranked if read and read[0] == code]
    return min(found)[1] if found else None
