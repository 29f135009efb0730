"""Configuration key ``corpora``: datasets, filters, deduplication, splits."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.catalogue.tags import read_tag
from ernie_m.config.base import Section
from ernie_m.config.downloads import MOST_BYTES, DownloadRow, FileFacts, FileName
from ernie_m.config.registry import load_rows
from ernie_m.corpus import Corpus, codes_of
from ernie_m.words import plural

# Rows are n-way parallel; documents are of one language, pairs of two.
RowsFormat = Literal["homeassistant", "homeassistant_frontend", "kolibri", "table"]
DocumentsFormat = Literal["cc100", "ccnet", "ccnet_text", "document_table"]
PairsFormat = Literal["moses", "tmx", "bitext", "wikimatrix", "gettext", "pair_table"]
# No text: a ready SentencePiece model.
VocabularyFormat = Literal["sentencepiece"]
Format = Literal[RowsFormat, DocumentsFormat, PairsFormat, VocabularyFormat]
TableKind = Literal["jsonl", "csv", "tsv", "parquet", "txt"]
_TABLES = ("table", "document_table", "pair_table")
# Line-oriented formats: the beginning of a file can be read without its end.
LinesFormat = Literal["cc100", "ccnet", "ccnet_text", "bitext", "wikimatrix"]
# Between the id of a row and the bytes to which its file is truncated.
HEAD = ".head-"
MOST_SHARDS = 100_000  # of a corpus


class DatasetRow(DownloadRow, FileFacts):
    """One row of the registry: one version of one dataset, which is one file."""

    noun: ClassVar[str] = "Dataset"
    ways: ClassVar[tuple[str, ...]] = ("package", "url", "path", "hub")

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="Name, as `corpora.datasets`, row ids and file paths use it.",
    )
    path: str | None = Field(
        None,
        description="File on this machine, for text of your own, or `sha256:` and the digest of a "
        "result of any run; copied.",
    )
    filename: FileName = Field(
        description="Upstream's name of the file; its suffix says of which kind a `table` is.",
    )
    text_bytes: int | None = Field(
        None,
        gt=0,
        le=MOST_BYTES,
        description="Bytes of the text inside, about; for plans and the number of shards.",
    )
    head_bytes: int | None = Field(
        None,
        gt=0,
        le=MOST_BYTES,
        description="Bytes, as they are published, from the beginning of the file that are taken "
        "of a larger one; only of formats of lines, and before `corpora.head_bytes`. `sha256` and "
        "`bytes` are the whole file's.",
    )
    format: Format = Field(description="Layout of the file; chooses the reader.")
    languages: tuple[str, ...] = Field(
        min_length=1, description="Codes of the languages it holds, of which a run may ask."
    )
    min_score: float = Field(
        1.04,
        description="Least margin score of a WikiMatrix pair; LASER's authors recommend 1.04.",
    )

    @model_validator(mode="after")
    def _readable_head(self) -> Self:
        if self.head_bytes:
            _check_lines(self.format)
            if not (self.url or self.path):
                raise ValueError(f"dataset `{self.id}` has head_bytes, which need a url or a path")
        return self

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        wanted = {"documents": 1, "pairs": 2}.get(self.content)
        if wanted and len(self.languages) != wanted:
            raise ValueError(
                f"dataset `{self.id}` has the format {self.format}, which holds "
                f"{plural(wanted, 'language')}; make a row for each"
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
    def known(self) -> Mapping[str, FileFacts]:
        return {self.filename: self}

    @property
    def most_bytes(self) -> int | None:
        return self.head_bytes

    @property
    def elsewhere(self) -> str:
        return "the file in `path` of the registry row"

    def copy_of(self, name: str) -> Path | None:
        return Path(self.path) if self.path else None

    @property
    def content(self) -> Literal["rows", "documents", "pairs", "vocabulary"]:
        """The kind of data in this format."""
        if self.format in get_args(DocumentsFormat):
            return "documents"
        if self.format in get_args(PairsFormat):
            return "pairs"
        return "vocabulary" if self.format in get_args(VocabularyFormat) else "rows"

    @property
    def kind(self) -> str | None:
        """File type of a table, by the suffix of its name; None for other formats."""
        return Path(self.filename).suffix[1:].lower() if self.format in _TABLES else None

    def head(self, default: int | None) -> DatasetRow:
        """This row with its file truncated to ``head_bytes``, or ``default`` if the row has none.

        Downloads are shared by all runs, and their digests are kept by id: so a truncated file has
        an id of its own, ``cc100-en.head-250000000``. Sizes are scaled. If nothing is truncated,
        this is the row of the whole file.
        """
        head = self.head_bytes or default
        if head is None or (self.bytes and self.bytes <= head):
            return self.model_copy(update={"head_bytes": None})
        about, text = self.about_bytes, self.text_bytes
        whole = self.bytes or about or (text or 0) / 4 or head
        own = {
            "id": f"{self.id}{HEAD}{head}",
            "head_bytes": head,
            "sha256": None,
            "bytes": self.bytes and head,
            "about_bytes": about and min(about, head),
            "text_bytes": text and max(1, int(text * min(1.0, head / whole))),
        }
        return DatasetRow(**{**self.model_dump(), **own})

    def extract_settings(self, rules: ReadRules | None = None) -> ExtractSettings:
        """Settings of the stage ``corpora.extract``."""
        return ExtractSettings(
            max_bad_lines=(rules or ReadRules()).max_bad_lines,
            format=self.format,
            kind=self.kind,
            languages=self.languages,
            min_score=self.min_score,
            head_bytes=self.head_bytes,
        )


def _check_lines(name: object) -> None:
    if name not in get_args(LinesFormat):
        raise ValueError(
            f"head_bytes is not for files of the format {name}, which cannot be read from their "
            f"beginning alone; it is for {', '.join(get_args(LinesFormat))}"
        )


class ReadRules(Section):
    """What a file may have that its format does not allow."""

    max_bad_lines: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="Share of a file's lines, rounded up to whole ones, that may be malformed: not "
        "UTF-8, no JSON, with another number of columns. They are left out, counted and kept in "
        "`bad_lines.jsonl` beside the rows; more stop the run. 0 allows none.",
    )


class ExtractSettings(ReadRules):
    """How to read one downloaded file; from its registry row."""

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
    head_bytes: int | None = Field(
        None,
        description="Bytes to which the file was truncated on purpose; a shorter one is complete.",
    )

    @model_validator(mode="after")
    def _known_kind(self) -> Self:
        if self.format in _TABLES and self.kind is None:
            raise ValueError(f"{self.format} needs `kind`, one of {', '.join(get_args(TableKind))}")
        return self


Identifier = Literal["py3langid", "fasttext", "none"]


class PairRules(Section):
    """Filters on sentence pairs."""

    max_length_ratio: float = Field(
        4.0,
        ge=1.0,
        le=100.0,
        description="Most that the sides of a pair may differ in length; a Chinese or Japanese "
        "character counts as three, a Korean one as two.",
    )
    same_digits: bool = Field(
        True,
        description="Whether pairs whose numbers differ are dropped as misaligned. A number below "
        "ten may be a word on the other side.",
    )


class RowRules(PairRules):
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
        "which is surer on short rows, `fasttext`, which is ten times as fast and is the model by "
        "which CC-100 was divided into languages, or `none`.",
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
        "that may repeat an earlier one, by its first 1,000 characters; higher is lists of "
        "keywords.",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is greater than max_chars: every row would be dropped")
        return self


class FilterRules(RowRules):
    """Filters on single rows, and the size of the shards in which a corpus is filtered."""

    shard_bytes: int = Field(
        8_000_000_000,
        ge=1_000,
        le=MOST_BYTES,
        description="Bytes of text that a shard should hold, by the registry's `text_bytes`; their "
        "number decides how many jobs share a corpus, and changes no result.",
    )


class FilterSettings(RowRules):
    """Settings of the stage that filters one shard."""

    near_duplicates: bool = Field(
        True, description="Whether documents get MinHash fingerprints, for deduplication."
    )
    shards: int = Field(1, ge=1, le=MOST_SHARDS, description="Number of shards of the corpus.")


class DedupRules(Section):
    """What counts as a duplicate."""

    exact_duplicates: bool = Field(
        True,
        description="Whether a paragraph or pair is kept only where it stands first in its corpus, "
        "as CCNet does; case and punctuation do not count.",
    )
    near_duplicates: bool = Field(
        True,
        description="Whether documents that nearly repeat an earlier one of their corpus are "
        "dropped, and n-way parallel rows that nearly repeat another or a held-out one (MinHash, "
        "verified exactly).",
    )
    near_duplicate_threshold: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity from which two texts are nearly the same: of documents, of "
        "their shingles of five words (characters where words are not spaced); of rows, of their "
        "character trigrams.",
    )


class ValidRules(Section):
    """The validation split."""

    valid_share: float = Field(
        0.06,
        ge=0.0,
        lt=0.5,
        description="Share of documents, pairs and groups of n-way rows held out for validation "
        "losses, and of these groups for dev sets.",
    )


class EvalHashesSettings(Section):
    """Decontamination: which evaluation texts must not be in the training text."""

    decontaminate_min_chars: int = Field(
        30,
        ge=1,
        le=1_000_000,
        description="Characters from which an evaluation text counts, spaces left out, Chinese, "
        "Japanese and Korean ones three times; shorter texts (labels, names) are in every corpus.",
    )


class SelectSettings(ValidRules):
    """The validation split, and how much of a pair is used."""

    pair_shares: dict[str, Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        {},
        description="Share of a pair's training rows that is kept, of those named: `{en-de: 0.1}`, "
        "to ask what a language with less parallel text would learn.",
    )


class SelectRules(EvalHashesSettings, SelectSettings):
    """Decontamination, the validation split, and how much of a pair is used."""

    decontaminate: bool = Field(
        True,
        description="Whether training rows with a text of a published evaluation task are dropped, "
        "as those with held-out n-way text always are; case, punctuation and spaces do not count. "
        "One task more, and the text is chosen anew, and all that is learnt from it.",
    )


class DealRules(Section):
    """How n-way parallel rows are split between evaluation tasks and training corpora."""

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
    plain_text: bool = Field(
        True,
        description="Whether bold, code and link marks are taken out of training text, as the "
        "evaluation tasks do; `{placeholders}` stay.",
    )


class DealSettings(DealRules, ValidRules, DedupRules, PairRules):
    """Settings of the stage that splits n-way rows."""

    languages: tuple[str, ...] = Field(
        min_length=1, description="Languages of the rows, in the order of the configuration."
    )
    pairs: tuple[str, ...] = Field(description="Language pairs; one parallel corpus each.")


def _check_languages(languages: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    unknown = [code for code in languages if code not in LANGUAGES]
    if unknown:
        tag = read_tag(unknown[0])
        near = [tag[0]] if tag else get_close_matches(unknown[0], LANGUAGES, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"language `{unknown[0]}` is not known{hint}")
    if len(set(languages)) != len(languages):
        raise ValueError("a language is named twice")
    if languages[:1] != ("en",):
        raise ValueError("`en` must come first: tasks are learnt in English")
    for pair in pairs:
        sides = codes_of(pair)
        if len(sides) != 2 or sides[0] == sides[1]:
            raise ValueError(f"pair `{pair}` is not of the form `en-de`")
        for side in sides:
            if side not in languages:
                raise ValueError(f"pair `{pair}` needs `{side}`, which is not among the languages")
    if len({frozenset(codes_of(pair)) for pair in pairs}) != len(pairs):
        raise ValueError("a pair is named twice")


# Four scripts; Bulgarian has little parallel text, and Russian to lean on.
_DEFAULT_LANGUAGES = ("en", "de", "ru", "el", "zh", "bg")


class CorporaSettings(ReadRules):
    """Training and held-out text."""

    registry: str = Field(
        "config/corpora.yaml", description="File with the rows of known datasets."
    )
    datasets: tuple[str, ...] = Field(
        ("homeassistant",),
        min_length=1,
        description="Ids of registry rows: the datasets to download and read.",
    )
    head_bytes: dict[LinesFormat, Annotated[int, Field(gt=0, le=MOST_BYTES)]] = Field(
        {},
        description="Bytes that are taken from the beginning of each larger file of a format, "
        "packed as it is published: `{cc100: 250000000}` is about 1 GB of text of each language.",
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
    filter: FilterRules = Field(FilterRules(), description="Filters on single rows.")
    deal: DealRules = Field(
        DealRules(),
        description="What n-way parallel rows are used for; documents and pairs need no dealing.",
    )
    dedup: DedupRules = Field(DedupRules(), description="Deduplication.")
    select: SelectRules = Field(
        SelectRules(), description="Decontamination and the validation split."
    )

    moved: ClassVar[dict[str, str]] = {
        "clean": "now `corpora.filter`",
        "split": "now `corpora.deal`, `corpora.dedup`, `corpora.select.valid_share`, and for pairs "
        "`corpora.filter`",
        "shards": "now `corpora.filter`, `corpora.dedup` and `corpora.select`",
    }

    @field_validator("head_bytes", mode="before")
    @classmethod
    def _of_lines(cls, head_bytes: object) -> object:
        for name in head_bytes if isinstance(head_bytes, dict) else ():
            _check_lines(name)
        return head_bytes

    @field_validator("datasets")
    @classmethod
    def _once(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(datasets)) != len(datasets):
            raise ValueError("a dataset is named twice")
        return datasets

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_languages(self.languages, self.pairs)
        if unknown := self.select.pair_shares.keys() - set(self.pairs):
            raise ValueError(f"`select.pair_shares` names `{min(unknown)}`, no pair of `pairs`")
        if (1 - self.deal.test_share) * (1 - self.select.valid_share) < 0.5:
            raise ValueError("`deal.test_share` and `select.valid_share` leave less than half")
        # Defaults are built wherever the package is imported; rows() tells of a missing file.
        if Path(self.registry).is_file():
            self._check_content()
            self._check_shards()
        return self

    def _check_content(self) -> None:
        for corpus in self.names:
            if not self.sources(corpus) and not self.is_dealt(corpus):
                kind, name = corpus.split("-", 1)
                what = "language" if kind == "mono" else "pair"
                raise ValueError(f"no dataset of `datasets` holds the {what} `{name}`")

    @property
    def names(self) -> list[str]:
        """Names of the training corpora: ``mono-de`` of each language, ``parallel-en-de`` of each
        pair."""
        mono = [f"mono-{code}" for code in self.languages]
        return mono + [f"parallel-{pair}" for pair in self.pairs]

    def sources(self, corpus: str) -> list[DatasetRow]:
        """The datasets of a training corpus's documents or pairs, or of a language's n-way rows
        (``rows-de``)."""
        return self._sources.get(corpus, [])

    @property
    def filtered(self) -> list[str]:
        """Corpora read directly from datasets: ``rows-de``, ``mono-de``, ``parallel-en-de``."""
        return list(self._sources)

    @cached_property  # every job of a plan asks for it
    def _sources(self) -> dict[str, list[DatasetRow]]:
        names = [f"rows-{code}" for code in self.languages] + self.names
        found = {name: [row for row in self.rows().values() if _holds(row, name)] for name in names}
        return {name: rows for name, rows in found.items() if rows}

    @property
    def dealt_languages(self) -> tuple[str, ...]:
        """Languages of the n-way rows."""
        return tuple(code for code in self.languages if self.sources(f"rows-{code}"))

    def is_dealt(self, corpus: str) -> bool:
        """Whether a training corpus gets n-way rows."""
        codes = set(Corpus.parse(corpus).languages)
        rows = (row for row in self.rows().values() if row.content == "rows")
        return any(codes <= set(row.languages) for row in rows)

    def shard_count(self, corpus: str) -> int:
        """Number of shards of a corpus of :attr:`filtered`."""
        size = sum(row.text_bytes or row.bytes or 0 for row in self.sources(corpus))
        return max(1, -(-size // self.filter.shard_bytes))

    def _check_shards(self) -> None:
        for corpus in self.filtered:
            if (count := self.shard_count(corpus)) > MOST_SHARDS:
                raise ValueError(
                    f"`filter.shard_bytes` would make {count} shards of `{corpus}`, of which there "
                    f"may be {MOST_SHARDS}"
                )

    def filter_settings(self, corpus: str) -> FilterSettings:
        """Settings of the stage ``corpora.filter`` for a shard of a corpus."""
        rules = self.filter.model_dump(include=set(RowRules.model_fields))
        near = self.dedup.near_duplicates
        return FilterSettings(**rules, near_duplicates=near, shards=self.shard_count(corpus))

    def deal_settings(self) -> DealSettings:
        """Settings of the stage ``corpora.deal``."""
        return DealSettings(
            **self.deal.model_dump(),
            **self.dedup.model_dump(),
            **self.filter.model_dump(include=set(PairRules.model_fields)),
            valid_share=self.select.valid_share,
            languages=self.dealt_languages,
            pairs=tuple(pair for pair in self.pairs if self.is_dealt(f"parallel-{pair}")),
        )

    def rows(self) -> dict[str, DatasetRow]:
        """Registry rows of the chosen datasets by id, truncated as ``head_bytes`` says; raises
        ``ValueError`` for an unknown id, and for ``head_bytes`` of a format that no row has."""
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, DatasetRow]:
        registry = load_registry(Path(self.registry))
        for name in self.datasets:
            if name not in registry:
                near = get_close_matches(name, registry, n=1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                raise ValueError(f"dataset `{name}` is not in {self.registry}{hint}")
        chosen = [registry[name] for name in self.datasets]
        for name in self.head_bytes:
            if all(row.format != name for row in chosen):
                raise ValueError(f"`head_bytes` names {name}, the format of none of `datasets`")
        sizes: dict[Any, int] = self.head_bytes
        heads = (row.head(sizes.get(row.format)) for row in chosen)
        return {row.id: row for row in heads}


def _holds(row: DatasetRow, corpus: str) -> bool:
    """Whether a dataset belongs to a corpus."""
    kind, codes = Corpus.parse(corpus)
    if kind == "rows":
        return row.content == "rows" and codes[0] in row.languages
    return row.content in ("documents", "pairs") and set(row.languages) == set(codes)


def load_registry(path: Path) -> dict[str, DatasetRow]:
    """Registry rows by id; raises ``ValueError`` naming the file and the row at fault."""
    return load_rows(path, DatasetRow)
