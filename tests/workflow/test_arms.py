"""Ways of fine-tuning that the default run has none of, run for real beside the tiny run."""

import json
import shutil

from tests.workflow.conftest import Repository

OTHER = {
    "training": "all",
    "retrieval": "aligned",
    "align": {"steps": 4, "batch_pairs": 8, "validation_pairs": 20, "evaluations": 2},
}
JOB = "other/btmlm/seed1"
SCORES = f"results/default/xtreme_score/standin_retrieval/{JOB}/scores.json"
TUNED = f"results/default/xtreme_finetune/standin_paraphrase/{JOB}/record.json"


def test_an_arm_in_all_languages_and_with_aligned_retrieval(tiny, tmp_path):
    shutil.copytree(tiny.path, tmp_path / "copy", symlinks=True)
    repository = Repository(tmp_path / "copy")
    with repository.configured(variants={"other": {"xtreme": OTHER}}):
        planned = repository.planned("--cores", "2", SCORES, TUNED)
        anew = ("prepare", "finetune", "align", "predict", "score")
        assert planned == {f"xtreme_{stage}": 1 for stage in anew}
        repository.run("snakemake", "--cores", "2", SCORES, TUNED)
        audit = json.loads(repository.run("ernie-m", "audit", SCORES, "--json").stdout)
    assert audit["verdict"] == "VERIFIED"
    assert f"xtreme_align/{JOB}" in {job["job"] for job in audit["jobs"]}
    record = json.loads((repository.path / TUNED).read_text(encoding="utf-8"))
    read = [file["path"].rpartition("/")[2] for file in record["facts"]["inputs"]["train"]]
    assert read == [f"train-{language}.jsonl" for language in ("en", "de", "ru", "zh")]
