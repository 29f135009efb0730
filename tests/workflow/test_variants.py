"""Ways of fine-tuning that the default run has none of, run for real beside the tiny run."""

import json
import shutil

from ernie_m.audit.witnesses import ANEW
from tests.repository import Repository

FEW = {"steps": 4, "batch_pairs": 8, "validation_pairs": 20, "evaluations": 2}
VARIANTS = {
    "near": {"xtreme": {"retrieval": "aligned", "align": FEW}},
    "taught": {"xtreme": {"training": "all", "retrieval": "finetuned"}},
}
MADE_BY = {
    "near": "xtreme_align/near/btmlm/seed1",
    "taught": "xtreme_finetune/standin_classification/taught/btmlm/seed1",
}
SCORES = {
    variant: f"results/default/xtreme_score/standin_retrieval/{variant}/btmlm/seed1/scores.json"
    for variant in VARIANTS
}


def test_aligned_retrieval_and_retrieval_after_a_task_in_all_languages(tiny, tmp_path):
    shutil.copytree(tiny.path, tmp_path / "copy", symlinks=True)
    repository = Repository(tmp_path / "copy")
    with repository.configured(variants=VARIANTS, tracking={"uri": ""}):
        call = ("--cores", "2", *SCORES.values())
        once, twice = ("prepare", "align", "finetune"), ("predict", "score")
        expected = {f"xtreme_{s}": 1 for s in once} | {f"xtreme_{s}": 2 for s in twice}
        assert repository.planned(*call) == expected
        repository.run("snakemake", *call)
        for variant, scores in SCORES.items():
            done = repository.run("ernie-m", "audit", scores, "--json", check=False)
            audit = json.loads(done.stdout)
            # A report, a lineage or a commit may be of the run before, in which there was another.
            assert [f for f in audit["findings"] if not f["what"].endswith(ANEW)] == []
            assert MADE_BY[variant] in {job["job"] for job in audit["jobs"]}
    record = json.loads(
        (repository.path / f"results/default/{MADE_BY['taught']}/record.json").read_text()
    )
    read = [file["path"].rpartition("/")[2] for file in record["facts"]["inputs"]["train"]]
    assert read == [f"train-{language}.jsonl" for language in ("en", "de", "ru", "zh")]
