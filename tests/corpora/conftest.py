"""The invented corpus, cleaned once."""

from pathlib import Path

import pytest

from tests.corpora.synthetic import LANGUAGES, clean_rows, extract_rows, split_rows, write_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel") / "home.whl")


@pytest.fixture(scope="session")
def cleaned(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cleaned")
    return {code: clean_rows(extract_rows(wheel, folder, code), folder, code) for code in LANGUAGES}


@pytest.fixture(scope="session")
def division(cleaned: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_rows(cleaned, tmp_path_factory.mktemp("division"))
