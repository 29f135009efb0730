"""Configuration key ``corpora``: which text, how it is cleaned, how it is divided."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from ernie_m.config.base import Section
from ernie_m.config.registry import Row, load_rows
from ernie_m.corpora.languages import LANGUAGES

# Rows are n-way parallel and fit into memory; documents (of one language) and pairs (of two) are
# read as streams and processed in shards.
RowsFormat = Literal["homeassistant", "table"]
DocumentsFormat = Literal["cc100", "ccnet", "ccnet_text", "document_table"]
PairsFormat = Literal["moses", "tmx", "bitext", "wikimatrix", "gettext", "pair_table"]
# No text: a ready SentencePiece model.
VocabularyFormat = Literal["sentencepiece"]
Format = Literal[RowsFormat, DocumentsFormat, PairsFormat, VocabularyFormat]
TableKind = Literal["jsonl", "csv", "tsv", "parquet", "txt"]
_TABLES = ("table", "document_table", "pair_table")


class DatasetRow(Row):
    """One row of the registry: one version of one dataset. Rows are added, never changed."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="Name, as `corpora.datasets`, row ids and file paths use it.",
    )
    package: str | None = Field(
        None, description="Project on PyPI; fetched with pip, from whatever index pip is set to."
    )
    url: str | None = Field(
        None, pattern=r"^https?://", description="Web address of the file; fetched over HTTP(S)."
    )
    path: str | None = Field(
        None, description="File on this machine, for text of your own; copied."
    )
    hub: str | None = Field(
        None,
        pattern=r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$",
        description="Data set on the Hugging Face hub, `owner/name` or `owner/name:configuration`, "
        "at the revision `version`; `datasets` fetches the split that `filename` names "
        "(`train.parquet`) and writes it as Parquet.",
    )
    mirrors: tuple[str, ...] = Field(
        (), description="Other addresses of the same file, tried in turn when `url` fails."
    )
    version: str = Field(description="Upstream's version or date; pins the package.")
    filename: str = Field(
        pattern=r"^[^/\\]+$",
        description="Upstream's name of the file; its suffix says of which kind a `table` is.",
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 in hexadecimal digits; what arrives with another is refused. Where "
        "upstream publishes none, what arrives first is trusted, recorded in "
        "`config/corpora.sha256`, and demanded from then on.",
    )
    bytes: int | None = Field(
        None, gt=0, description="Size in bytes where it is known exactly; another is refused."
    )
    about_bytes: int | None = Field(
        None,
        gt=0,
        description="Size in bytes as upstream rounds it; for plans, and a first download "
        "that is trusted may have half or twice as much at most.",
    )
    text_bytes: int | None = Field(
        None,
        gt=0,
        description="Bytes of the text inside, about; for plans and the number of shards.",
    )
    licence: str = Field(min_length=1, description="SPDX name of the licence; shown in the report.")
    format: Format = Field(description="Layout of the file; chooses the reader.")
    languages: tuple[str, ...] = Field(
        min_length=1, description="Codes of the languages it holds, of which a run may ask."
    )
    min_score: float = Field(
        1.04,
        description="Least margin score of a WikiMatrix pair; LASER's authors recommend 1.04.",
    )
    home: str = Field(description="Upstream's web page; shown in the report.")
    note: str = Field("", description="A remark in own words; shown in the report.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.package, self.url, self.path, self.hub)
        if sum(source is not None for source in sources) != 1:
            raise ValueError(f"dataset `{self.id}` needs exactly one of package, url, path and hub")
        if self.package and not self.sha256:
            raise ValueError(f"dataset `{self.id}` is a package, which needs a sha256")
        if self.mirrors and not self.url:
            raise ValueError(f"dataset `{self.id}` has mirrors of no url")
        return self

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        wanted = {"documents": 1, "pairs": 2}.get(self.content)
        if wanted and len(self.languages) != wanted:
            raise ValueError(
                f"dataset `{self.id}` has the format {self.format}, which holds "
                f"{wanted} language{'s' * (wanted > 1)}; make a row for each"
            )
        if self.format == "gettext" and "en" not in self.languages:
            raise ValueError(
                f"dataset `{self.id}` has the format gettext, whose messages are in `en`; "
                "name `en` and the language of the translations"
            )
        return self

    @model_validator(mode="after")
    def _readable_table(self) -> Self:
        kinds = get_args(TableKind)
        if self.format in _TABLES and self.kind not in kinds:
            endings = ", ".join(f".{kind}" for kind in kinds)
            raise ValueError(
                f"dataset `{self.id}` is a table, whose filename ends in one of {endings}"
            )
        if self.kind == "txt" and len(self.languages) != 1:
            raise ValueError(
                f"dataset `{self.id}` is plain lines, which have one language; "
                "make a row for each file"
            )
        return self

    @property
    def content(self) -> Literal["rows", "documents", "pairs", "vocabulary"]:
        """What the format holds."""
        if self.format in get_args(DocumentsFormat):
            return "documents"
        if self.format in get_args(PairsFormat):
            return "pairs"
        return "vocabulary" if self.format in get_args(VocabularyFormat) else "rows"

    @property
    def kind(self) -> str | None:
        """Suffix of the file's name where the format is a table, which has several kinds."""
        return Path(self.filename).suffix[1:].lower() if self.format in _TABLES else None

    def extract_settings(self) -> ExtractSettings:
        """What the stage ``corpora.extract`` gets."""
        return ExtractSettings(
            format=self.format, kind=self.kind, languages=self.languages, min_score=self.min_score
        )


class ExtractSettings(Section):
    """How one downloaded file is read; taken from its registry row."""

    format: Format = Field(
        description="Layout of the file, from its registry row; chooses the reader."
    )
    kind: TableKind | None = Field(
        None, description="What kind of file a table is, by the suffix of its name upstream."
    )
    languages: tuple[str, ...] = Field(
        (), description="Languages of the file, for pairs in the order of their columns."
    )
    min_score: float = Field(1.04, description="Least margin score of a WikiMatrix pair.")

    @model_validator(mode="after")
    def _known_kind(self) -> Self:
        if self.format in _TABLES and self.kind is None:
            raise ValueError(f"{self.format} needs `kind`, one of {', '.join(get_args(TableKind))}")
        return self


Identifier = Literal["py3langid", "fasttext", "none"]


class CleanSettings(Section):
    """Filters on single rows. Every dropped row is counted under the filter that dropped it."""

    min_chars: int = Field(
        2,
        ge=1,
        le=1000,
        description="Fewest characters of a row. Low, because the evaluation tasks need field "
        "names such as `Host`; 2 drops lone digits and units.",
    )
    max_chars: int = Field(
        1000,
        ge=10,
        le=100_000,
        description="Most characters of a row. Of the default text, five English rows are longer.",
    )
    min_script_share: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Least share of letters in the language's own scripts, placeholders and code "
        "left out; 0 switches the filter off. Low, because product names in Latin letters stand "
        "in good text: 0.3 drops 2-3 % of the Chinese, Japanese and Korean rows, most of them "
        "good; 0.1 drops what is not translated.",
    )
    language_identifier: Identifier = Field(
        "py3langid",
        description="Which identifier decides whether a row is in another language: `py3langid`, "
        "which is surer on short rows, `fasttext`, the model that made CC-100, or `none`.",
    )
    language_id_min_chars: int = Field(
        40,
        ge=1,
        le=1000,
        description="Characters from which language identification is asked; shorter rows stay. "
        "Of real rows of 30-40 characters it takes 2-7 % for another language.",
    )
    language_id_min_confidence: float = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="Probability from which a verdict drops a row. Measured at 0.7: real rows of "
        "40 characters or more are lost in less than 0.1 % of cases, English ones in a German "
        "file found in 83 % (40-60 characters) and 99 % (longer).",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is greater than max_chars: every row would be dropped")
        return self


class FilterRules(Section):
    """Filters on single rows of documents and pairs, beside those of `corpora.clean`."""

    language_identifier: Identifier = Field(
        "fasttext",
        description="The same choice as in `corpora.clean`, for documents and pairs: `fasttext` "
        "is ten times as fast, and is the model by which CC-100 was divided into languages.",
    )
    min_letter_share: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Least share of letters and marks among the characters that are no spaces; "
        "lower is tables and menus.",
    )
    max_repetition: float = Field(
        0.6,
        ge=0.0,
        le=1.0,
        description="Most of a row of 10 or more words (or characters where words are not spaced) "
        "that may repeat an earlier one of it; higher is lists of keywords.",
    )
    max_length_ratio: float = Field(
        4.0,
        ge=1.0,
        le=100.0,
        description="Most that the sides of a pair may differ in length; a Chinese or Japanese "
        "character counts as three, a Korean one as two.",
    )
    same_digits: bool = Field(
        True, description="Whether pairs whose numbers differ are dropped, as in `corpora.split`."
    )


class HeldOutRules(Section):
    """Which texts of the evaluation tasks training text must not hold."""

    decontaminate_min_chars: int = Field(
        30,
        ge=1,
        description="Characters from which an evaluation text counts, spaces left out, Chinese, "
        "Japanese and Korean ones three times; shorter texts (labels, names) are in every corpus.",
    )


class MatchRules(Section):
    """What counts as a repetition across all shards of a corpus."""

    exact_duplicates: bool = Field(
        True,
        description="Whether a paragraph or pair is kept only where it stands first in the corpus, "
        "as CCNet does; case and punctuation do not count.",
    )
    near_duplicates: bool = Field(
        True,
        description="Whether documents that nearly repeat an earlier one of the corpus are dropped "
        "(MinHash, verified exactly).",
    )
    near_duplicate_threshold: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of five-word shingles (characters where words are not "
        "spaced) from which two documents are nearly the same.",
    )


class SelectRules(Section):
    """What is held out of the rest."""

    valid_share: float = Field(
        0.001,
        ge=0.0,
        lt=0.5,
        description="Share of documents or pairs held out for validation losses.",
    )


class ShardRules(SelectRules, MatchRules, HeldOutRules, FilterRules):
    """How documents and pairs of large corpora are processed: in shards, with constant memory."""

    shard_bytes: int = Field(
        8_000_000_000,
        ge=1_000,
        description="Bytes of text that a shard should hold, by the registry's `text_bytes`; their "
        "number decides how many jobs share a corpus, and changes no result.",
    )
    decontaminate: bool = Field(
        True,
        description="Whether rows with a text of the evaluation tasks are dropped; case, "
        "punctuation and spaces do not count.",
    )


class FilterSettings(FilterRules, CleanSettings):
    """What the stage that filters one shard is given."""

    near_duplicates: bool = Field(
        True, description="Whether documents leave fingerprints to be compared by."
    )
    shards: int = Field(1, ge=1, description="Number of shards of the corpus.")


class SplitRules(Section):
    """How clean rows are divided, and what training text may repeat."""

    valid_share: float = Field(
        0.03,
        gt=0.0,
        lt=0.5,
        description="Share of groups held out for validation losses and dev sets.",
    )
    test_share: float = Field(
        0.1,
        gt=0.0,
        lt=0.5,
        description="Share of groups held out for the evaluation tasks.",
    )
    mono_share: float = Field(
        0.3,
        ge=0.0,
        lt=1.0,
        description="Share of meanings used as monolingual text, each in one language only; the "
        "rest is parallel text. What no pair can use is always monolingual.",
    )
    exact_duplicates: bool = Field(
        True,
        description="Whether repeated sentences are dropped from training text; case and "
        "punctuation do not count.",
    )
    near_duplicates: bool = Field(
        True,
        description="Whether sentences that nearly repeat another, or a held-out one, are dropped "
        "from training text. Sentences that repeat a held-out one are dropped in any case.",
    )
    near_duplicate_threshold: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of character trigrams from which two sentences are nearly "
        "the same; lower drops more.",
    )
    max_length_ratio: float = Field(
        3.0,
        ge=1.0,
        le=100.0,
        description="Most that the ratio of a pair's lengths in characters may differ from the "
        "median ratio of its corpus; more uneven ones are taken as misaligned.",
    )
    same_digits: bool = Field(
        True,
        description="Whether pairs whose numbers differ are dropped as misaligned. A number below "
        "ten may be a word on the other side.",
    )
    plain_text: bool = Field(
        True,
        description="Whether bold, code and link marks are taken out of training text, as the "
        "evaluation tasks do; `{placeholders}` stay.",
    )

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.valid_share + self.test_share > 0.5:
            raise ValueError("valid_share and test_share leave less than half of the text to train")
        return self


def _check_languages(languages: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    unknown = [code for code in languages if code not in LANGUAGES]
    if unknown:
        near = get_close_matches(unknown[0], LANGUAGES, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"language `{unknown[0]}` is not known{hint}")
    if len(set(languages)) != len(languages):
        raise ValueError("a language is named twice")
    if languages[:1] != ("en",):
        raise ValueError("`en` must come first: tasks are learnt in English")
    for pair in pairs:
        sides = pair.split("-")
        if len(sides) != 2 or sides[0] == sides[1]:
            raise ValueError(f"pair `{pair}` is not of the form `en-de`")
        for side in sides:
            if side not in languages:
                raise ValueError(f"pair `{pair}` needs `{side}`, which is not among the languages")
    if len({frozenset(pair.split("-")) for pair in pairs}) != len(pairs):
        raise ValueError("a pair is named twice")


class SplitSettings(SplitRules):
    """The rules together with what is to be divided, as the stage gets them."""

    languages: tuple[str, ...] = Field(
        min_length=2, description="Language codes in the order of the input files."
    )
    pairs: tuple[str, ...] = Field(
        min_length=1, description="Language pairs; one parallel corpus each."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_languages(self.languages, self.pairs)
        return self


# Four scripts; Bulgarian has little parallel text, and Russian to lean on.
_DEFAULT_LANGUAGES = ("en", "de", "ru", "el", "zh", "bg")


class CorporaSettings(Section):
    """The text a run is made of."""

    registry: str = Field(
        "config/corpora.yaml", description="File with the rows of known datasets."
    )
    datasets: tuple[str, ...] = Field(
        ("homeassistant",),
        min_length=1,
        description="Ids of the registry rows that are fetched and read.",
    )
    languages: tuple[str, ...] = Field(
        _DEFAULT_LANGUAGES,
        min_length=2,
        description="Language codes, `en` first. The order fixes the rows of the model's language "
        "embeddings.",
    )
    pairs: tuple[str, ...] = Field(
        tuple(f"en-{code}" for code in _DEFAULT_LANGUAGES[1:]),
        min_length=1,
        description="Language pairs, `en-de`; one parallel corpus each.",
    )
    clean: CleanSettings = Field(CleanSettings(), description="Filters on single rows.")
    split: SplitRules = Field(SplitRules(), description="Held-out text and training text.")
    shards: ShardRules = Field(
        ShardRules(), description="Documents and pairs of large corpora (docs/corpora.md)."
    )

    @field_validator("datasets")
    @classmethod
    def _once(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(datasets)) != len(datasets):
            raise ValueError("a dataset is named twice")
        return datasets

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_languages(self.languages, self.pairs)
        # Defaults are built wherever the package is imported; rows() tells of a missing file.
        if Path(self.registry).is_file():
            self._check_content()
        return self

    def _check_content(self) -> None:
        contents = {row.content for row in self.rows().values()} - {"vocabulary"}
        if "rows" in contents and len(contents) > 1:
            raise ValueError(
                "`datasets` names n-way parallel rows and documents or pairs, which take different "
                "ways to the tokenizer; make two runs of them"
            )
        if self.in_shards:
            missing = [name for name in self.streams() if not self.streams()[name]]
            if missing:
                raise ValueError(
                    f"no dataset of `datasets` holds the corpus `{missing[0]}`; each language "
                    "needs documents, and each pair pairs"
                )
        for code in self.languages:
            if not any(code in row.languages for row in self.rows().values()):
                raise ValueError(f"no dataset of `datasets` holds language `{code}`")

    @cached_property
    def in_shards(self) -> bool:
        """Whether the text is documents and pairs, which are processed in shards."""
        return any(row.content in ("documents", "pairs") for row in self.rows().values())

    def streams(self) -> dict[str, list[DatasetRow]]:
        """The datasets of every corpus that is processed in shards, by its name: ``mono-de``,
        ``parallel-en-de``; empty when none is."""
        return self._streams

    @cached_property  # every job of a plan asks for it
    def _streams(self) -> dict[str, list[DatasetRow]]:
        if not self.in_shards:
            return {}
        found: dict[str, list[DatasetRow]] = {f"mono-{code}": [] for code in self.languages}
        found |= {f"parallel-{pair}": [] for pair in self.pairs}
        names = {frozenset(name.split("-")[1:]): name for name in found}
        for row in self.rows().values():
            name = names.get(frozenset(row.languages))
            if name is not None and row.content != "vocabulary":
                found[name].append(row)
        return found

    def shard_count(self, corpus: str) -> int:
        """In how many shards a corpus is processed."""
        size = sum(row.text_bytes or row.bytes or 0 for row in self.streams()[corpus])
        return max(1, -(-size // self.shards.shard_bytes))

    def filter_settings(self, corpus: str) -> FilterSettings:
        """What the stage ``corpora.filter`` gets for a shard of a corpus."""
        rules = self.shards.model_dump(include={*FilterRules.model_fields, "near_duplicates"})
        shards = self.shard_count(corpus)
        return FilterSettings(**{**self.clean.model_dump(), **rules, "shards": shards})

    def rows(self) -> dict[str, DatasetRow]:
        """Registry rows of the chosen datasets; raises ``ValueError`` for an unknown one."""
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, DatasetRow]:
        registry = load_registry(Path(self.registry))
        for name in self.datasets:
            if name not in registry:
                near = get_close_matches(name, registry, n=1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                raise ValueError(f"dataset `{name}` is not in {self.registry}{hint}")
        return {name: registry[name] for name in self.datasets}

    def split_settings(self) -> SplitSettings:
        """What the stage ``corpora.split`` gets."""
        return SplitSettings(**self.split.model_dump(), languages=self.languages, pairs=self.pairs)


def load_registry(path: Path) -> dict[str, DatasetRow]:
    """Registry rows by id; raises ``ValueError`` naming the file and the row at fault."""
    return load_rows(path, DatasetRow)
