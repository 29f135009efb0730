"""The tiny run: everything that was promised is there, and says what it should."""

import csv
import json
from collections import Counter

import pytest

from ernie_m.pipeline.stages import STAGES
from tests.repository import PUBLISHED_ONLY, VARIANTS_ONLY

SCORES = "results/default/xtreme_score/standin_retrieval/ernie_m/btmlm/seed1/scores.json"


@pytest.fixture(scope="module")
def records(tiny):
    """Every record of the run, by job."""
    found = {}
    for path in sorted((tiny.path / "results").rglob("record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[record["stage"], record["instance"]] = record
    return found


def test_every_stage_left_records(records):
    expected = STAGES.keys() - PUBLISHED_ONLY - VARIANTS_ONLY
    assert {stage for stage, _ in records} == expected


def test_records_have_the_fields_of_their_schema(records):
    for (stage, _), record in records.items():
        assert record["schema"] == 2 and record["seal"], stage
        assert record["facts"].keys() == {"inputs", "outputs", "settings", "seed", "code"}, stage
        assert record["facts"]["code"]["files"], stage
        run = record["run"]
        assert run["git"]["commit"] and {"machine", "packages", "seconds"} <= run.keys(), stage


def test_records_name_no_absolute_path_within_their_facts(records, tiny):
    for (stage, _), record in records.items():
        facts = record["facts"]
        if stage == "corpora_download":  # which is told a path by these tests
            facts = facts | {"settings": {}}
        assert str(tiny.path) not in json.dumps(facts), stage


def test_every_job_left_a_log_and_a_benchmark(records, tiny):
    for stage, instance in records:
        run = "" if stage == "corpora_download" else "default/"
        name = "/".join(filter(None, (stage, instance)))
        assert (tiny.path / f"results/{run}logs/{name}.log").is_file(), name
        assert (tiny.path / f"results/{run}benchmarks/{name}.tsv").is_file(), name


def test_nothing_half_written_is_left(tiny):
    assert not list((tiny.path / "results").rglob(".partial-*"))


def test_the_report_is_one_page_and_its_table_covers_every_score(tiny):
    folder = tiny.path / "results/default/report_build"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert 'src="http' not in page and 'rel="stylesheet"' not in page
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    wanted = "task category standin variant replicate stage seed language metric value n"
    assert list(rows[0])[: len(wanted.split())] == wanted.split()
    stages = {(row["variant"], row["stage"]) for row in rows}
    assert {("ernie_m", "initialise"), ("ernie_m", "btmlm"), ("mmlm_tlm", "btmlm")} <= stages
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_generated_sentences_cover_both_chunks_and_go_into_stage_two(records):
    chunks = [instance for stage, instance in records if stage == "pretrain_backtranslate"]
    assert chunks == ["ernie_m/0", "ernie_m/1"]
    used = records["pretrain_btmlm", "ernie_m"]["facts"]["inputs"]["pseudo"]
    assert len(used) == 2
    assert not records["pretrain_btmlm", "mmlm_tlm"]["facts"]["inputs"].get("pseudo")


def test_what_was_read_is_what_was_written(records):
    written = {
        file["path"]: file["sha256"]
        for record in records.values()
        for files in record["facts"]["outputs"].values()
        for file in files
    }
    for job, record in records.items():
        for files in record["facts"]["inputs"].values():
            for file in files:
                if not file["path"].endswith("record.json"):
                    assert written[file["path"]] == file["sha256"], job


def test_a_second_call_has_nothing_to_do(tiny):
    done = tiny.run("snakemake", "--cores", "2")
    assert "Nothing to be done" in done.stdout + done.stderr
    assert "tracking" not in done.stdout + done.stderr


@pytest.mark.parametrize("file", [SCORES, "results/default/report_build/report.html"])
def test_the_audit_verifies_a_score_and_the_report(tiny, file):
    done = tiny.run("ernie-m", "audit", file, "--json", check=False)
    found = json.loads(done.stdout)
    assert (found["verdict"], done.returncode) == ("VERIFIED", 0), found["first"]
    assert found["settings_compared"]
    assert [source["id"] for source in found["sources"]] == ["homeassistant"]
    marks = Counter(job["mark"] for job in found["jobs"])
    assert marks.keys() == {"checked"}


def test_snakemakes_own_report_can_be_made(tiny):
    tiny.run("snakemake", "--report", "work/snakemake.html")
    page = (tiny.path / "work/snakemake.html").read_text(encoding="utf-8")
    assert "scores.csv" in page and "Every score as one row" in page
    assert "losses.csv" in page and "Validation losses of the main variant" in page


def test_a_batch_of_a_finished_training_can_be_looked_at(tiny):
    folder = "results/default/pretrain_camlm/ernie_m"
    options = ["--step", "3", "--objective", "camlm", "--documents", "1"]
    done = tiny.run("ernie-m", "inspect-batch", folder, *options)
    assert "camlm en-" in done.stdout or "-en, row" in done.stdout
    masked = [line for line in done.stdout.splitlines() if "<mask>" in line]
    assert masked and all("-> " in line and "■" in line for line in masked)
