"""Normal form, mark-up and comparison of texts."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.corpora.languages import LANGUAGES, units
from ernie_m.corpora.text import comparable, normalise, numbers_agree, prose, script, strip_markup


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


def test_marks_go_and_words_and_placeholders_stay():
    text = "Open **Settings** at [this page]({url}) and set `mode` to {value}"
    assert strip_markup(text) == "Open Settings at this page and set mode to {value}"
    assert prose("Set `mode` to {value} at https://x.y/z now") == "Set to at now"


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
        assert language.scripts
        assert not language.labels or code in language.labels
    assert LANGUAGES["ja"].scripts == {"CJK", "HIRAGANA", "KATAKANA"}


def test_units_are_words_or_characters():
    assert units("de", "zwei Wörter") == 2
    assert units("zh", "两个 字") == 3
