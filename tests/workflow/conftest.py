"""One real run of the tiny configuration, in a copy of the repository, shared by all tests here.

In the copy `config/config.yaml` is the tiny one under the name of the default run, so that plain
`snakemake` and `dvc.yaml` mean it.
"""

import time

import pytest
import yaml

from ernie_m.config.load import deep_merge
from tests.repository import ROOT, copy_of_repository

DOWNLOADS = "results/corpora_download"
# A task of each kind, but for those that `test_mixed.py` runs.
TASKS = ["standin_retrieval", "standin_mining", "standin_classification", "standin_tagging"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A copy in which the tiny pipeline was run from beginning to end, with 2 cores."""
    repository = copy_of_repository(tmp_path_factory.mktemp("tiny") / "repository")
    base = repository.path / "config/config.yaml"
    merged = deep_merge(
        yaml.safe_load(base.read_text(encoding="utf-8")),
        yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8")),
    )
    merged |= {"run": "default", "xtreme": merged["xtreme"] | {"tasks": TASKS}}
    text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    base.write_text(text, encoding="utf-8")
    if (ROOT / DOWNLOADS).is_dir():  # spares the tests a download; its bytes are checked anyway
        take_downloads(repository)
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "tiny")
    started = time.monotonic()
    repository.log = repository.run("snakemake", "--cores", "2").stderr
    repository.seconds = time.monotonic() - started
    return repository


def take_downloads(repository):
    """Let the copy's registry name the files that the working tree has already fetched."""
    registry = repository.path / "config/corpora.yaml"
    rows = yaml.safe_load(registry.read_text(encoding="utf-8"))
    for row in rows:
        file = ROOT / DOWNLOADS / row["id"] / "original"
        if file.is_file():
            del row["package"]
            row["path"] = str(file)
    registry.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
