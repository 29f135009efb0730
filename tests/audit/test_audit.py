"""The audit: a sound chain, and each way in which one can be unsound, forged by hand."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.audit import checks
from ernie_m.audit.chain import Verdict
from ernie_m.config.load import read
from ernie_m.downloads.trust import TRUSTED, trust
from ernie_m.records.digest import file_sha256
from ernie_m.records.record import seal
from ernie_m.records.writer import made_record, open_record, write_record

from .conftest import CLEAN, ROWS, STATS, WHEEL, a_job, finish, run_jobs

OWN = TRUSTED["corpora_download"]


def record(path):
    """The record beside a file, and a function that writes it back, sealed or not."""
    file = Path(path).with_name("record.json")
    content = json.loads(file.read_text())

    def write(sealed=True):
        content["seal"] = seal(content) if sealed else content["seal"]
        file.write_text(json.dumps(content))

    return content, write


def verdict(*words):
    """Exit status of `ernie-m audit` on the last file, as a verdict."""
    return Verdict(cli.main(["audit", CLEAN, *words]))


def said(capsys):
    """What the audit of the last file prints as JSON."""
    capsys.readouterr()
    cli.main(["audit", CLEAN, "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_sound_chain_is_verified_to_the_download(results, capsys):
    assert verdict() == Verdict.VERIFIED
    text = capsys.readouterr().out
    spine = [line for line in text.splitlines() if line.endswith("checked")]
    stages = [line.removeprefix("spine").split("/")[0].strip() for line in spine]
    assert stages == ["corpora_download", "corpora_extract", "corpora_filter"]
    assert "Apache-2.0" in text and "VERIFIED: 3 jobs, 4 files hashed" in text
    found = said(capsys)
    assert found["settings_compared"] and found["findings"] == []
    assert [job["mark"] for job in found["jobs"]] == ["checked"] * 3


def test_trust_on_first_use_is_said_and_held_to(tmp_path, monkeypatch, capsys):
    run_jobs(tmp_path, monkeypatch, pinned=False)
    trust(WHEEL, file_sha256(Path(WHEEL)), OWN)
    assert verdict() == Verdict.VERIFIED
    said_in_words = " ".join(capsys.readouterr().out.split())
    assert "published none, so that the first download is trusted" in said_in_words
    (source,) = said(capsys)["sources"]
    assert source["sha256"] is None and source["recorded"] == file_sha256(Path(WHEEL))
    OWN.unlink()
    trust(WHEEL, "0" * 64, OWN)
    assert verdict() == Verdict.TAMPERED
    assert "config/corpora.sha256 names 000000000000" in said(capsys)["first"]["what"]


def test_results_may_be_moved_as_a_whole(results, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.move("results", elsewhere / "results")
    monkeypatch.chdir("/")
    assert cli.main(["audit", str(elsewhere / CLEAN)]) == Verdict.VERIFIED.value


@pytest.mark.parametrize("path", [CLEAN, STATS, ROWS, WHEEL])
def test_a_changed_byte_is_tampering(results, capsys, path):
    Path(path).write_bytes(Path(path).read_bytes()[:-1] + b"!")
    assert verdict() == Verdict.TAMPERED
    assert said(capsys)["first"]["path"] == path


def test_the_first_offence_is_the_one_nearest_to_the_source(results, capsys):
    for path in (CLEAN, ROWS):
        Path(path).write_text("other\n")
    assert said(capsys)["first"]["path"] == ROWS


def test_files_that_are_not_here_are_recorded_not_checked(results, capsys):
    os.remove(ROWS)
    assert verdict() == Verdict.INCOMPLETE
    assert said(capsys)["jobs"][1]["mark"] == "recorded"


@pytest.mark.parametrize("path", [ROWS, WHEEL])
def test_a_removed_record_breaks_the_chain(results, capsys, path):
    Path(path).with_name("record.json").unlink()
    assert verdict() == Verdict.BROKEN
    assert "missing" in said(capsys)["first"]["what"]


def test_an_unreadable_record_breaks_the_chain(results):
    Path(ROWS).with_name("record.json").write_text("{")
    assert verdict() == Verdict.BROKEN


@pytest.mark.parametrize("key", ["seed", "settings"])
def test_an_edited_record_breaks_the_chain(results, capsys, key):
    content, write = record(ROWS)
    content["facts"][key] = {} if key == "settings" else 2
    write(sealed=False)
    assert verdict() == Verdict.BROKEN
    assert "edited" in said(capsys)["first"]["what"]


def test_a_record_that_its_neighbour_denies_breaks_the_chain(results, capsys):
    """Edited and sealed again, together with nothing else: the digests still do not meet."""
    content, write = record(CLEAN)
    content["facts"]["inputs"]["corpus"][0]["sha256"] = "0" * 64
    write()
    assert verdict() in (Verdict.STALE, Verdict.BROKEN)
    assert said(capsys)["first"]["path"] == ROWS


def test_a_swapped_input_is_found(results, capsys):
    content, write = record(CLEAN)
    content["facts"]["inputs"]["corpus"][0]["path"] = STATS.replace("stats.json", "rows.txt")
    write()
    assert verdict() == Verdict.BROKEN
    assert "no job recorded writing it" in said(capsys)["first"]["what"]


def test_an_input_made_anew_makes_stale(results, capsys):
    Path(ROWS).write_text("another extraction\n")
    config = read("config/tiny.yaml")
    finish(
        config, "ernie_m.corpora.extract", "homeassistant/de", {"file": [WHEEL]}, {"corpus": [ROWS]}
    )
    assert verdict() == Verdict.STALE
    assert "made anew" in said(capsys)["first"]["what"]


def test_an_input_made_anew_with_the_same_bytes_changes_nothing(results):
    config = read("config/tiny.yaml")
    finish(
        config, "ernie_m.corpora.extract", "homeassistant/de", {"file": [WHEEL]}, {"corpus": [ROWS]}
    )
    assert verdict() == Verdict.VERIFIED


def test_a_record_may_be_read_as_an_input(results, capsys):
    config = read("config/tiny.yaml")
    inputs = {"records": [str(Path(ROWS).with_name("record.json"))], "scores": [STATS]}
    report = "results/tiny/report_build/report.html"
    finish(config, "ernie_m.report.build", "", inputs, {"report": [report]})
    assert cli.main(["audit", report]) == Verdict.VERIFIED.value
    finish(
        config, "ernie_m.corpora.extract", "homeassistant/de", {"file": [WHEEL]}, {"corpus": [ROWS]}
    )
    content, write = record(ROWS)
    content["run"]["seconds"] = 99.0
    write()
    assert cli.main(["audit", report]) == Verdict.STALE.value


def test_changed_code_makes_stale_and_names_the_file(results, capsys, monkeypatch):
    true_facts = checks.code_facts

    def changed(module):
        facts = true_facts(module)
        return {path: "0" if path.endswith("filter.py") else sha for path, sha in facts.items()}

    monkeypatch.setattr(checks, "code_facts", changed)
    assert verdict() == Verdict.STALE
    assert said(capsys)["first"]["path"] == "src/ernie_m/corpora/filter.py"


@pytest.fixture
def repository(results):
    """The folder as a git repository with the cleaning's source, all committed."""
    source = Path("src/ernie_m/corpora/filter.py")
    source.parent.mkdir(parents=True)
    source.write_text("first\n")

    def git(*words):
        who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        subprocess.run(["git", *who, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return git


def clean_again():
    finish(
        read("config/tiny.yaml"),
        "ernie_m.corpora.filter",
        "rows-de/0",
        {"corpus": [ROWS]},
        {"rows": [CLEAN], "stats": [STATS]},
    )


def test_code_that_was_never_committed_makes_incomplete_and_is_named(repository, capsys):
    source = Path("src/ernie_m/corpora/filter.py")
    source.write_text("second\n")
    clean_again()
    assert verdict() == Verdict.INCOMPLETE
    first = said(capsys)["first"]
    assert first["path"] == str(source) and "with changes that commit" in first["what"]
    repository("commit", "-q", "-a", "-m", "second")
    assert verdict() == Verdict.VERIFIED


def test_a_dirty_tree_is_of_no_concern_where_the_job_did_not_use_it(repository, capsys):
    Path("src/ernie_m/elsewhere.py").write_text("new, and not used by the cleaning\n")
    clean_again()
    assert verdict() == Verdict.VERIFIED
    assert "with uncommitted changes" not in capsys.readouterr().out


@pytest.mark.parametrize("version", ["2026.11.0", "2026.12.0"])
def test_another_hash_in_the_registry_is_found(results, capsys, version):
    """For the same version the row or the file is wrong; another version is just newer."""
    registry = Path("config/corpora.yaml")
    text = registry.read_text().replace(file_sha256(Path(WHEEL)), "f0" * 32)
    registry.write_text(text.replace("2026.11.0", version))
    same = version == "2026.11.0"
    assert verdict() == (Verdict.TAMPERED if same else Verdict.STALE)
    first = said(capsys)["first"]
    assert first["job"] == "corpora_download/homeassistant"
    assert (first["path"] == "config/corpora.yaml") == same


def test_a_file_that_no_job_made_is_compared_as_it_lies(results, capsys):
    other = Path("elsewhere/model.bin")
    other.parent.mkdir()
    other.write_text("weights\n")
    finish(
        read("config/tiny.yaml"),
        "ernie_m.corpora.filter",
        "rows-de/0",
        {"corpus": [ROWS], "model": [str(other)]},
        {"rows": [CLEAN], "stats": [STATS]},
    )
    assert verdict() == Verdict.INCOMPLETE
    assert "in no registry" in said(capsys)["first"]["what"]
    other.write_text("other weights\n")
    assert verdict() == Verdict.STALE
    assert said(capsys)["first"]["path"] == str(other)
    other.unlink()
    assert verdict() == Verdict.INCOMPLETE


def test_the_history_is_kept_when_a_result_is_made_again(results, capsys):
    before = file_sha256(Path(ROWS))
    for name in ("rows.parquet", "record.json"):  # as an engine does before it runs a job again
        Path(ROWS).with_name(name).unlink()
    Path(ROWS).write_text("another extraction\n")
    finish(
        read("config/tiny.yaml"),
        "ernie_m.corpora.extract",
        "homeassistant/de",
        {"file": [WHEEL]},
        {"corpus": [ROWS]},
    )
    made = said(capsys)["jobs"][1]["made"]
    assert [run[ROWS] for run in made] == [before, file_sha256(Path(ROWS))]
    assert cli.main(["audit", before]) == Verdict.STALE.value
    assert "has been made anew since" in capsys.readouterr().out


def test_records_of_the_first_schema_can_be_read(results):
    for path in (WHEEL, ROWS, CLEAN):
        content, write = record(path)
        content["schema"] = 1
        for key in ("lock", "cpu_seconds", "memory_mb"):
            del content["run"][key]
        del content["run"]["git"]["changed"], content["run"]["machine"]["processor"]
        write()
    assert verdict("--full") == Verdict.VERIFIED


def test_a_record_of_another_schema_is_not_guessed_at(results, capsys):
    content, write = record(ROWS)
    content["schema"] = 99
    write()
    assert verdict() == Verdict.BROKEN
    assert "schema" in said(capsys)["first"]["what"]


def test_changed_settings_make_stale_and_name_the_key(results, capsys):
    overlay = Path("config/tiny.yaml")
    text = overlay.read_text()
    overlay.write_text(text.replace("corpora:\n", "corpora:\n  filter: {min_chars: 5}\n", 1))
    assert verdict() == Verdict.STALE
    assert "`min_chars`" in said(capsys)["first"]["what"]


def test_a_download_that_is_not_the_published_one_is_tampering(results, capsys):
    Path(WHEEL).write_text("other bytes\n")
    config = read("config/tiny.yaml")
    finish(config, "ernie_m.corpora.download", "homeassistant", {}, {"file": [WHEEL]})
    assert verdict() == Verdict.TAMPERED
    assert "registry" in said(capsys)["first"]["what"]


def test_without_a_configuration_settings_are_not_compared(results, capsys):
    shutil.rmtree("config")
    assert verdict() == Verdict.VERIFIED
    assert "Settings were not compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("results/tiny/nothing.json", "results/tiny/record.json is missing, so nothing is known"),
        ("results/tiny", "results/tiny/record.json is missing"),
        ("config/config.yaml", "is not a result"),
        ("config", "is not a result"),
    ],
)
def test_a_file_that_is_no_result_is_refused(results, capsys, path, words):
    for verb in ("audit", "verify", "trace"):
        assert cli.main([verb, path]) == 1
        assert words in capsys.readouterr().err


def test_a_record_tells_what_was_true_when_the_job_began(results):
    """A file edited while a job runs must not be taken for what the job read."""
    before = file_sha256(Path(WHEEL))
    config = read("config/tiny.yaml")
    job = a_job(
        config, "ernie_m.corpora.extract", "homeassistant/de", {"file": [WHEEL]}, {"corpus": [ROWS]}
    )
    opening = open_record(job.account)
    Path(WHEEL).write_text("edited while the job ran\n")
    path = Path(ROWS).with_name("record.json")
    write_record(made_record(job.account, path, opening), path)
    content, _ = record(ROWS)
    assert content["facts"]["inputs"]["file"][0]["sha256"] == before


HASHES = "results/paper_base/corpora_eval_hashes/hashes.arrow"
SHARD = "results/paper_base/corpora_select/mono-de/{}"
TRAIN = "results/paper_base/tokenizer_train/spm.model"


@pytest.fixture
def in_shards(results):
    """What is selected of two shards of a corpus, compared with tested text or not, and a model
    that read it."""
    config = read("config/paper_base.yaml")

    def make(compared):
        hashes = [HASHES] if compared else []
        if compared:
            tested = {"examples": [CLEAN]}  # any file that a job has made
            finish(config, "ernie_m.corpora.eval_hashes", "", tested, {"hashes": hashes})
        for shard, count in enumerate((1200, 34)):
            folder = SHARD.format(shard)
            stats = Path(folder, "stats.json")
            stats.parent.mkdir(parents=True)
            dropped = {"evaluation text": count, "repeated": 7} if compared else {"repeated": 7}
            stats.write_text(json.dumps({"rows_in": 9000, "dropped": dropped}))
            finish(
                config,
                "ernie_m.corpora.select",
                f"mono-de/{shard}",
                {"eval_hashes": hashes},
                {"train": [f"{folder}/train.parquet"], "stats": [stats]},
            )
        text = [f"{SHARD.format(shard)}/train.parquet" for shard in range(2)]
        finish(config, "ernie_m.tokenizer.train", "", {"shards": text}, {"model": [TRAIN]})

    return make


def test_tested_text_dropped_in_shards_is_summed(in_shards, capsys):
    in_shards(compared=True)
    cli.main(["audit", TRAIN, "--run", "paper_base"])
    assert (
        "rows kept out of training as repeating tested ones: 1,234 evaluation text"
        in capsys.readouterr().out
    )


def test_a_shard_without_its_statistics_makes_the_sum_unknown(in_shards, capsys):
    in_shards(compared=True)
    Path(SHARD.format(1), "stats.json").unlink()
    cli.main(["audit", TRAIN, "--run", "paper_base"])
    text = capsys.readouterr().out
    assert "the statistics of the text are not here" in text and "evaluation text" not in text


def test_text_in_shards_that_was_never_compared_is_said_to_be_so(in_shards, capsys):
    in_shards(compared=False)
    cli.main(["audit", TRAIN, "--run", "paper_base"])
    assert "the training text was not compared with tested text" in capsys.readouterr().out
