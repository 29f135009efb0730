"""What the configuration refuses, and how it says so."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ernie_m.config.corpora import CorporaSettings, DatasetRow, load_registry
from ernie_m.config.load import read
from ernie_m.config.tokenizer import TokenizerSettings
from ernie_m.errors import UserError

REGISTRY = Path(__file__).parents[2] / "config" / "corpora.yaml"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"languages": ("en", "zh-TW")}, "`zh-TW` is not known; did you mean `zh_hant`"),
        ({"languages": ("en", "dee")}, "language `dee` is not known; did you mean `de`"),
        ({"languages": ("de", "en")}, "`en` must come first"),
        ({"languages": ("en", "de", "de")}, "named twice"),
        ({"pairs": ("en-vi",)}, "pair `en-vi` needs `vi`"),
        ({"pairs": ("en_de",)}, "not of the form"),
        ({"pairs": ("en-de", "de-en")}, "a pair is named twice"),
        ({"datasets": ("homeasistant",)}, "did you mean `homeassistant`"),
        ({"datasets": ("homeassistant", "homeassistant")}, "a dataset is named twice"),
        (
            {"languages": ("en", "sw"), "pairs": ("en-sw",)},
            "no dataset of `datasets` holds the language `sw`",
        ),
        ({"filter": {"min_chars": 50, "max_chars": 20}}, "min_chars is greater"),
        ({"deal": {"test_share": 0.4}, "select": {"valid_share": 0.2}}, "less than half"),
        ({"deal": {"test_shar": 0.4}}, "Extra inputs"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValidationError, match=message):
        CorporaSettings(registry=str(REGISTRY), **changes)


def test_defaults_hold_together():
    corpora = CorporaSettings(registry=str(REGISTRY))
    row = corpora.rows()["homeassistant"]
    assert set(corpora.languages) <= set(row.languages)
    assert len(row.languages) == 12
    dealt = corpora.deal_settings()
    assert (dealt.languages, dealt.pairs) == (corpora.languages, corpora.pairs)
    TokenizerSettings()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "short"}, r"row 1, sha256"),
        ({"url": "https://example.org/x"}, "exactly one of package, url, path and hub"),
        ({"package": None}, "exactly one of package, url, path and hub"),
        ({"package": None, "hub": "owner/name"}, "files of a hub end in .parquet"),
        ({"sha256": None}, "is a package, which needs a sha256"),
        ({"mirrors": ["https://example.org/x"]}, "has mirrors of no url"),
        ({"filename": "../up"}, r"row 1, filename"),
        ({"surprise": 1}, r"row 1, surprise"),
        ({"format": "moses"}, "format moses, which holds 2 languages; make a row for each"),
        ({"format": "gettext", "languages": ["de", "fr"]}, "gettext, whose messages are in `en`"),
    ],
)
def test_registry_rows_at_fault_are_named(tmp_path, change, message):
    entry = yaml.safe_load(REGISTRY.read_text())[0] | change
    path = tmp_path / "corpora.yaml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValueError, match=message):
        load_registry(path)


def test_a_registry_must_be_there_and_be_yaml(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        load_registry(tmp_path / "absent.yaml")
    (tmp_path / "odd.yaml").write_text("- id: [")
    with pytest.raises(ValueError, match="is not YAML"):
        load_registry(tmp_path / "odd.yaml")
    (tmp_path / "twice.yaml").write_text(REGISTRY.read_text() * 2)
    with pytest.raises(ValueError, match="used twice"):
        load_registry(tmp_path / "twice.yaml")


PAPER = REGISTRY.with_name("corpora_paper.yaml")
WEB = {
    "registry": str(PAPER),
    "datasets": ("cc100-en", "cc100-so", "europarl-en-bg", "wikimatrix-en-bg", "cc100-bg"),
    "languages": ("en", "bg"),
    "pairs": ("en-bg",),
}


def test_heads_of_a_format_are_one_line_of_configuration():
    whole = CorporaSettings(**WEB).rows()
    heads = CorporaSettings(**WEB, head_bytes={"cc100": 250_000_000}).rows()
    assert list(heads) == [
        "cc100-en.head-250000000",
        "cc100-so.head-250000000",
        "europarl-en-bg",
        "wikimatrix-en-bg",
        "cc100-bg.head-250000000",
    ]
    assert heads["europarl-en-bg"] == whole["europarl-en-bg"]
    english = heads["cc100-en.head-250000000"]
    assert english.head_bytes == english.about_bytes == 250_000_000
    assert english.extract_settings().head_bytes == 250_000_000
    before = whole["cc100-en"]
    scale = 250_000_000 / before.about_bytes
    assert english.text_bytes == pytest.approx(before.text_bytes * scale, abs=1)
    assert (english.url, english.languages) == (before.url, before.languages)
    # A file that is shorter, as far as is known, is as large as it was.
    for name in ("about_bytes", "text_bytes"):
        assert getattr(heads["cc100-so.head-250000000"], name) == getattr(whole["cc100-so"], name)


def test_a_head_makes_fewer_shards():
    head = CorporaSettings(**WEB, head_bytes={"cc100": 250_000_000})
    assert head.shard_count("mono-en") == 1 < CorporaSettings(**WEB).shard_count("mono-en")


def test_the_head_of_a_row_goes_before_that_of_its_format(tmp_path):
    rows = yaml.safe_load(PAPER.read_text())
    next(row for row in rows if row["id"] == "cc100-en")["head_bytes"] = 1000
    path = tmp_path / "corpora.yaml"
    path.write_text(yaml.safe_dump(rows))
    found = CorporaSettings(**WEB | {"registry": str(path), "head_bytes": {"cc100": 5000}}).rows()
    assert [name for name in found if ".head-" in name] == [
        "cc100-en.head-1000",
        "cc100-so.head-5000",
        "cc100-bg.head-5000",
    ]


@pytest.mark.parametrize("head", [10_000, 10_001])
def test_the_digest_of_a_whole_file_is_not_that_of_its_head(head):
    facts = {"sha256": "0" * 64, "bytes": 10_000, "about_bytes": None, "text_bytes": 40_000}
    row = load_registry(PAPER)["cc100-en"].model_copy(update=facts)
    assert row.head(head) == row
    part = row.head(5000)
    assert (part.sha256, part.bytes, part.about_bytes, part.text_bytes) == (
        None,
        5000,
        None,
        20_000,
    )


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"moses": 1000}, "not for files of the format moses, which cannot be read from their"),
        ({"cc10": 1000}, "not for files of the format cc10"),
        ({"cc100": 0}, "greater than 0"),
        ({"ccnet": 1000}, "`head_bytes` names ccnet, the format of none of `datasets`"),
    ],
)
def test_heads_that_cannot_be(heads, message):
    with pytest.raises(ValidationError, match=message):
        CorporaSettings(**WEB, head_bytes=heads)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "moses", "languages": ("en", "de")}, "not for files of the format moses"),
        (
            {"url": None, "hub": "owner/name", "filename": "train.parquet"},
            "has head_bytes, which need a url or a path",
        ),
    ],
)
def test_rows_that_have_no_head(change, message):
    row = load_registry(PAPER)["cc100-en"].model_dump()
    with pytest.raises(ValidationError, match=message):
        DatasetRow(**row | {"head_bytes": 1000} | change)


@pytest.fixture(scope="module")
def paper():
    return {size: read(f"config/paper_{size}.yaml").corpora for size in ("base", "large")}


def test_all_entries_of_xlmr_and_all_pairs_of_infoxlm_are_in_the_registry():
    rows = load_registry(PAPER).values()
    mono = [row for row in rows if row.content == "documents"]
    assert len(mono) == len({row.languages for row in mono}) == 100
    assert {row.filename for row in mono} == {row.url.rsplit("/", 1)[1] for row in mono}
    assert 2.5e12 < sum(row.text_bytes for row in mono) < 2.6e12
    pairs = {row.languages for row in rows if row.content == "pairs"}
    assert pairs == {
        ("en", code)
        for code in [
            "ar",
            "bg",
            "de",
            "el",
            "es",
            "fr",
            "hi",
            "ru",
            "sw",
            "th",
            "tr",
            "ur",
            "vi",
            "zh",
        ]
    }
    parallel = sum(row.text_bytes for row in rows if row.content == "pairs")
    assert parallel == pytest.approx(42.06e9, rel=0.01)  # InfoXLM's total
    assert all(row.licence and row.home.startswith("https://") for row in rows)


def test_the_paper_reads_96_languages_and_14_pairs_and_nothing_in_vain(paper):
    for corpora in paper.values():
        assert (len(corpora.languages), len(corpora.pairs)) == (96, 14)
        used = {row.id for name in corpora.names for row in corpora.sources(name)}
        vocabulary = {row.id for row in corpora.rows().values() if row.content == "vocabulary"}
        assert used | vocabulary == set(corpora.datasets)
        # The vocabulary comes with the checkpoint that `init` names.
        left = {"cc100-bn-rom", "cc100-my-zaw", "cc100-ta-rom", "cc100-te-rom", "xlmr-vocabulary"}
        assert set(load_registry(PAPER)) - set(corpora.datasets) == left
    assert paper["base"] == paper["large"]


def test_shards_follow_the_size_of_the_text(paper):
    corpora = paper["base"]
    size = corpora.filter.shard_bytes
    for name in corpora.filtered:
        text = sum(row.text_bytes for row in corpora.sources(name))
        assert text <= corpora.shard_count(name) * size < text + size


def test_kinds_of_text_are_mixed(tmp_path):
    """N-way rows are dealt to the corpora that they have the languages of, beside what these have
    of documents and pairs."""
    rows = yaml.safe_load(REGISTRY.read_text()) + yaml.safe_load(PAPER.read_text())
    path = tmp_path / "corpora.yaml"
    path.write_text(yaml.safe_dump(rows))
    given = {
        "registry": str(path),
        "datasets": ("homeassistant", "cc100-en", "cc100-sw"),
        "languages": ("en", "de", "sw"),
        "pairs": ("en-de",),
    }
    corpora = CorporaSettings(**given)
    assert corpora.filtered == ["rows-en", "rows-de", "mono-en", "mono-sw"]
    assert corpora.dealt_languages == ("en", "de")
    assert [name for name in corpora.names if corpora.is_dealt(name)] == [
        *("mono-en", "mono-de", "parallel-en-de")
    ]
    with pytest.raises(ValidationError, match="holds the pair `en-sw`"):
        CorporaSettings(**given | {"pairs": ("en-de", "en-sw")})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"clean": {"min_chars": 3}}, "`corpora.clean`: it is now `corpora.filter`."),
        ({"split": {"test_share": 0.2}}, "it is now `corpora.deal`, `corpora.dedup`"),
        ({"shards": {"shard_bytes": 1000}}, "it is now `corpora.filter`, `corpora.dedup`"),
    ],
)
def test_keys_of_earlier_versions_are_told_where_they_went(tmp_path, old, new):
    overlay = tmp_path / "old.yaml"
    overlay.write_text(yaml.safe_dump({"corpora": old}))
    with pytest.raises(UserError) as raised:
        read(str(overlay))
    assert new in raised.value.what
