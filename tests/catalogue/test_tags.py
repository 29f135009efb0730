"""Language tags of others, and which of our languages they mean."""

from itertools import permutations

import pytest

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.catalogue.tags import best_tag, read_tag


@pytest.mark.parametrize("code", LANGUAGES)
def test_our_codes_are_tags_of_themselves(code):
    assert read_tag(code) == (code, 0)


@pytest.mark.parametrize(
    ("code", "tags"),
    [
        ("en", "EN en-US en_US en_us EN-gb eng en-Latn en_US.UTF-8 en-GB-oed"),
        ("zh", "ZH zh-CN zh_cn zh-Hans zh_Hans_CN zh-Hans-HK zh-SG zho chi cmn zh-cmn-Hans"),
        ("zh_hant", "zh-TW zh_tw ZH-HK zh_MO zh-Hant zh_Hant_HK zh-Hant-CN zh_TW.Big5 zh-cmn-Hant"),
        ("pt", "pt-BR pt_PT por pt-PT-ao1990"),
        ("sr", "sr-Latn sr_Cyrl_RS sr@latin srp"),
        ("no", "nb nb-NO nob no_NO nor"),
        ("hi_rom", "hi-Latn hi_Latn_IN"),
        ("my_zaw", "my-Qaag"),
        ("he", "iw iw_IL heb"),
        ("es", "es-419 spa"),
    ],
)
def test_case_separator_region_and_script(code, tags):
    assert [read_tag(tag)[0] for tag in tags.split()] == [code] * len(tags.split())


@pytest.mark.parametrize(
    "tag",
    [
        *("", "x-default", "*all*", "yue", "zh-yue", "zh-min-nan", "nn", "ru-Latn", "ast"),
        *("en us", "english", "ids", "text", "README", "zh-Latn", "1"),
    ],
)
def test_what_is_none_of_our_languages(tag):
    assert read_tag(tag) is None


@pytest.mark.parametrize(
    ("code", "best", "others"),
    [
        ("pt", "pt-BR", ["pt-PT", "pt-AO"]),
        ("pt", "pt", ["pt_BR", "por"]),
        ("en", "en_US", ["en-AU", "en_GB", "de"]),
        ("zh", "zh-CN", ["zh-TW", "zh-Hant", "zh-SG"]),
        ("zh_hant", "zh_Hant", ["zh-TW", "zh-HK", "zh"]),
        ("ro", "ro", ["mo"]),
        ("de", "de-AT", ["de-CH"]),
    ],
)
def test_the_best_variant_does_not_depend_on_the_order(code, best, others):
    assert {best_tag(tags, code) for tags in permutations([best, *others])} == {best}


def test_no_tag_suits_a_language_that_is_not_there():
    assert best_tag(["zh-TW", "en"], "zh") is None
    assert best_tag([], "en") is None
    assert best_tag(["en" + "-abcdefgh" * 5], "en") is None  # longer than any
