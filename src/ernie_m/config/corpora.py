"""Configuration key ``corpora``: which text, how it is cleaned, how it is divided."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ernie_m.config.base import Section
from ernie_m.corpora.languages import LANGUAGES

Format = Literal["homeassistant"]


class DatasetRow(Section):
    """One row of the registry: one version of one dataset. Rows are added, never changed."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="name; own choice; used in `corpora.datasets`, row ids and file paths",
    )
    package: str | None = Field(
        None, description="PyPI project; upstream; fetched with pip from the index it is set to"
    )
    url: str | None = Field(
        None, pattern=r"^https?://", description="web address; upstream; fetched over HTTP(S)"
    )
    path: str | None = Field(
        None, description="file on this machine; own text; copied instead of fetched"
    )
    version: str = Field(description="version or date; upstream; pins the package")
    filename: str = Field(
        pattern=r"^[^/\\]+$", description="file name; upstream; name of the stored file"
    )
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="hexadecimal digits; measured; anything else that arrives is refused",
    )
    bytes: int = Field(gt=0, description="bytes; measured; shown as progress and checked")
    licence: str = Field(min_length=1, description="SPDX name; upstream; shown in the report")
    format: Format = Field(description="reader; upstream's layout; chooses the code that reads it")
    languages: tuple[str, ...] = Field(
        min_length=1, description="language codes; measured; what `corpora.languages` may name"
    )
    home: str = Field(description="web page; upstream; shown in the report")
    note: str = Field("", description="remark; own words; shown in the report")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.package, self.url, self.path)) != 1:
            raise ValueError(f"dataset `{self.id}` needs exactly one of package, url and path")
        return self


class ExtractSettings(Section):
    """How one downloaded file is read; taken from its registry row."""

    format: Format = Field(description="reader; registry; chooses the code that reads the file")


class CleanSettings(Section):
    """Filters on single rows. Every dropped row is counted under the filter that dropped it."""

    min_chars: int = Field(
        2,
        ge=1,
        le=1000,
        description="characters; own choice: field names such as `Host` are needed by the "
        "evaluation tasks; shorter rows are dropped",
    )
    max_chars: int = Field(
        1000,
        ge=10,
        le=100_000,
        description="characters; 99.9 % of the default text is shorter; longer rows are dropped",
    )
    min_script_share: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="share of letters, placeholders and code left out; measured: product names in "
        "Latin letters stand in good Cyrillic, Greek and Asian text; 0 switches the filter off",
    )
    language_id: bool = Field(
        True, description="switch; CCNet; drops rows that py3langid finds in another language"
    )
    language_id_min_chars: int = Field(
        40,
        ge=1,
        le=1000,
        description="characters; shorter rows are too short to be told apart; they are kept",
    )
    language_id_min_confidence: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        description="probability; measured; only a verdict at least this sure drops a row",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is greater than max_chars: every row would be dropped")
        return self


class SplitRules(Section):
    """How clean rows are divided, and what training text may repeat."""

    valid_share: float = Field(
        0.03,
        gt=0.0,
        lt=0.5,
        description="share of groups; own choice; held out for validation losses and dev sets",
    )
    test_share: float = Field(
        0.10,
        gt=0.0,
        lt=0.5,
        description="share of groups; own choice; held out for the evaluation tasks",
    )
    mono_share: float = Field(
        0.5,
        ge=0.0,
        lt=1.0,
        description="share of meanings; own choice; used as monolingual text (each in one language "
        "only), the rest as parallel text; what no pair can use is always monolingual",
    )
    exact_duplicates: bool = Field(
        True, description="switch; CCNet; training text repeats no sentence"
    )
    near_duplicates: bool = Field(
        True,
        description="switch; CC-100 style cleaning; training text repeats no sentence nearly, and "
        "holds none that is nearly a held-out one",
    )
    near_duplicate_threshold: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of character trigrams; common choice; lower drops more",
    )
    max_length_ratio: float = Field(
        3.0,
        ge=1.0,
        le=100.0,
        description="ratio of characters, relative to the pair's median; common choice; a pair "
        "more uneven than this is taken as misaligned",
    )
    same_digits: bool = Field(
        True, description="switch; measured 1-3 % of pairs; numbers must agree on both sides"
    )
    plain_text: bool = Field(
        True,
        description="switch; own choice; training text loses bold, code and link marks, as the "
        "evaluation tasks' text does",
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
        min_length=2, description="language codes; `corpora.languages`; order of the input files"
    )
    pairs: tuple[str, ...] = Field(
        min_length=1, description="language pairs; `corpora.pairs`; one parallel corpus each"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_languages(self.languages, self.pairs)
        return self


_DEFAULT_LANGUAGES = ("en", "de", "es", "fr", "ru", "el", "tr", "zh", "ja", "ko")


class CorporaSettings(Section):
    """The text a run is made of."""

    registry: str = Field(
        "config/corpora.yaml", description="file; this repository; rows of known datasets"
    )
    datasets: tuple[str, ...] = Field(
        ("homeassistant",),
        min_length=1,
        description="registry ids; own choice; which datasets are fetched and read",
    )
    languages: tuple[str, ...] = Field(
        _DEFAULT_LANGUAGES,
        min_length=2,
        description="language codes, `en` first; own choice; the order fixes language ids",
    )
    pairs: tuple[str, ...] = Field(
        tuple(f"en-{code}" for code in _DEFAULT_LANGUAGES[1:]),
        min_length=1,
        description="language pairs; ERNIE-M section 4.1; one parallel corpus each",
    )
    clean: CleanSettings = Field(CleanSettings(), description="filters on single rows")
    split: SplitRules = Field(SplitRules(), description="held-out text and training text")

    @field_validator("datasets")
    @classmethod
    def _once(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(datasets)) != len(datasets):
            raise ValueError("a dataset is named twice")
        return datasets

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_languages(self.languages, self.pairs)
        rows = self.rows()
        for code in self.languages:
            if not any(code in row.languages for row in rows.values()):
                raise ValueError(f"no dataset of `datasets` holds language `{code}`")
        return self

    def rows(self) -> dict[str, DatasetRow]:
        """Registry rows of the chosen datasets; raises ``ValueError`` for an unknown one."""
        registry = load_registry(Path(self.registry))
        for name in self.datasets:
            if name not in registry:
                near = get_close_matches(name, registry, n=1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                raise ValueError(f"dataset `{name}` is not in {self.registry}{hint}")
        return {name: registry[name] for name in self.datasets}

    def split_settings(self) -> SplitSettings:
        """What the stage ``corpora.split`` gets."""
        return SplitSettings(
            **self.split.model_dump(), languages=self.languages, pairs=self.pairs
        )


def load_registry(path: Path) -> dict[str, DatasetRow]:
    """Registry rows by id; raises ``ValueError`` naming the file and the row at fault."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the registry {path} cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the registry {path} is not YAML: {reason}") from None
    rows: dict[str, DatasetRow] = {}
    for number, entry in enumerate(document or [], start=1):
        try:
            row = DatasetRow.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{path}, row {number}, {key}: {first['msg']}") from None
        if row.id in rows:
            raise ValueError(f"{path}, row {number}: the id `{row.id}` is used twice")
        rows[row.id] = row
    return rows
