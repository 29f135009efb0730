"""A run of three jobs in an empty folder, and what writes more of them."""

import re
import shutil
from pathlib import Path

import pytest

from ernie_m.config.load import read
from ernie_m.job import Job
from ernie_m.pipeline.stages import seed_of, settings_of
from ernie_m.records.digest import file_sha256
from ernie_m.records.writer import made_record, open_record, write_record

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "results/corpora_download/homeassistant/original"
ROWS = "results/tiny/corpora_extract/homeassistant/de/rows.parquet"
CLEAN = "results/tiny/corpora_filter/rows-de/0/rows.parquet"
STATS = "results/tiny/corpora_filter/rows-de/0/stats.json"


def a_job(config, module, instance, inputs, outputs):
    """A job as its command line would make it."""
    stage = module.removeprefix("ernie_m.").replace(".", "_")
    return Job(
        module=module,
        instance=instance,
        settings=settings_of(config, stage, instance),
        seed=seed_of(config, stage, instance) or 1,
        threads=1,
        input_paths={name: list(map(Path, paths)) for name, paths in inputs.items()},
        output_paths={name: list(map(Path, paths)) for name, paths in outputs.items()},
    )


def finish(config, module, instance, inputs, outputs):
    """Leave the files and the record of a job that has ended."""
    job = a_job(config, module, instance, inputs, outputs)
    paths = [path for files in job.output_paths.values() for path in files]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"{path}\n")
    record = paths[0].with_name("record.json")
    write_record(made_record(job.account, record, open_record(job.account)), record)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A run of three jobs in an empty folder: download, extraction, filter."""
    run_jobs(tmp_path, monkeypatch)
    return tmp_path


def made_once(folder, more):
    """The run, and what ``more`` adds to it, in a folder from which tests take copies."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_jobs(folder, monkeypatch)
        more()
    return folder


def copied(made, tmp_path, monkeypatch):
    """A copy of such a folder, to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_jobs(tmp_path, monkeypatch, pinned=True):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    Path(WHEEL).parent.mkdir(parents=True)
    Path(WHEEL).write_text("bytes of the publisher\n")
    registry = Path("config/corpora.yaml")
    published = read("config/tiny.yaml").corpora.rows()["homeassistant"].sha256
    text = registry.read_text().replace(published, file_sha256(Path(WHEEL)))
    if not pinned:
        text = text.replace("package: homeassistant\n", "url: https://example.org/wheel\n")
        text = re.sub(r"  sha256: \w+\n", "", text, count=1)
    registry.write_text(text)
    config = read("config/tiny.yaml")
    finish(config, "ernie_m.corpora.download", "homeassistant", {}, {"file": [WHEEL]})
    finish(
        config, "ernie_m.corpora.extract", "homeassistant/de", {"file": [WHEEL]}, {"rows": [ROWS]}
    )
    finish(
        config,
        "ernie_m.corpora.filter",
        "rows-de/0",
        {"corpus": [ROWS]},
        {"rows": [CLEAN], "stats": [STATS]},
    )
