"""The invented corpus, filtered and dealt once."""

from pathlib import Path

import pytest

from tests.corpora.synthetic import LANGUAGES, deal_rows, extract_rows, filter_rows, write_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel") / "home.whl")


@pytest.fixture(scope="session")
def filtered(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("filtered")
    return {
        code: filter_rows(extract_rows(wheel, folder, code), folder, f"rows-{code}")
        for code in LANGUAGES
    }


@pytest.fixture(scope="session")
def division(filtered: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deal_rows(filtered, tmp_path_factory.mktemp("division"))
