"""A configuration run whole on made files: the same graph, and what the files are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ernie_m import cli
from ernie_m.config.base import deep_merge
from ernie_m.config.load import BASE, load, read_yaml
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import jobs
from ernie_m.rehearse.command import claim
from ernie_m.rehearse.dress import chosen_languages, differences, dress
from tests.repository import ROOT

OVERLAYS = {
    "paper_base": ["paper_base"],
    "paper_large": ["paper_large"],
    "ablation": ["paper_base", "ablation"],
    "one_gpu": ["one_gpu"],
    "one_gpu_small": ["one_gpu", "one_gpu_small"],
    **{name: [name] for name in ("config", "xtreme", "released", "released_xlmr")},
    **{name: [name] for name in ("tiny", "local", "ablation_laptop")},
}
# Cut where it costs most: shards, chunks, tasks and seeds.
SMALL = {
    "corpora": {"filter": {"shard_bytes": 200_000_000_000}},
    "pretrain": {"backtranslate": {"chunks": 1}},
    "xtreme": {"tasks": ["xnli", "tatoeba"], "seeds": [1]},
    "tracking": {"uri": ""},
}


def merged(*names):
    found = {}
    for path in (BASE, *(Path(f"config/{name}.yaml") for name in names)):
        found = deep_merge(found, read_yaml(path))
    return found


def rehearsed(*words):
    command = [sys.executable, "-m", "ernie_m.cli", "rehearse", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_two_languages_of_the_paper(tmp_path):
    overlay, folder = tmp_path / "small.yaml", tmp_path / "rehearsal"
    overlay.write_text(yaml.safe_dump(SMALL))
    words = ["--configfile", "config/paper_base.yaml", str(overlay), "--languages", "2"]
    words += ["--cores", "2", "--folder", str(folder)]
    said = rehearsed(*words, "--keep").stdout
    results = folder / "results"
    assert (results / "rehearsal_paper_base/report_build/report.html").stat().st_size > 10_000
    count = sum(1 for _ in results.rglob("record.json"))
    assert f"REHEARSED: {count} jobs done" in said
    assert re.search(r"verdict +(VERIFIED|STALE|INCOMPLETE)", said)
    assert re.search(r"model\.width +16, not 768", said)
    assert re.search(r"corpora\.languages +2, not 96", said)
    assert re.search(r"pretrain_camlm +1 .* 210 G ", said), "the real run's cost"

    again = rehearsed(*words)
    assert "Nothing to be done" in again.stderr
    assert not folder.exists(), "kept only where that is asked for"


@pytest.mark.parametrize("names", OVERLAYS.values(), ids=OVERLAYS)
def test_the_graph_is_that_of_the_configuration(names, tmp_path):
    own = merged(*names)
    real = load(own)
    claim(tmp_path)
    _, small = dress(real, own, tmp_path, None, here=True)
    before, after = jobs(real), jobs(small)
    assert {stage: len(own) for stage, own in before.items()} == {
        stage: len(own) for stage, own in after.items()
    }
    assert [one for stage, one in before.items() if stage.startswith(("pretrain", "xtreme"))] == [
        one for stage, one in after.items() if stage.startswith(("pretrain", "xtreme"))
    ]
    found = {one.key for one in differences(real, small)}
    assert "run" in found and not found & {"corpora.languages", "model.layers", "xtreme.tasks"}


def test_variants_that_differ_go_on_differing(tmp_path):
    own = merged("paper_base") | {"variants": {"long": {"pretrain": {"camlm": {"steps": 9_000}}}}}
    claim(tmp_path)
    _, small = dress(load(own), own, tmp_path, 2, here=True)
    steps = [small.variant(name).pretrain.camlm.steps for name in small.variant_names]
    assert steps == [2, 4]
    assert len(jobs(small)["pretrain_camlm"]) == 2


def test_hardware_is_that_of_the_profile(tmp_path):
    own = merged("paper_base")
    claim(tmp_path)
    _, small = dress(load(own), own, tmp_path, 2, here=False)
    assert small.hardware == load(own).hardware
    assert small.pretrain.camlm.batch_tokens == 4 * 512 * 64


def test_a_head_stays_one_with_all_shards(tmp_path):
    own = deep_merge(merged("paper_base"), {"corpora": {"head_bytes": {"cc100": 250_000_000}}})
    real = load(own)
    claim(tmp_path)
    _, small = dress(real, own, tmp_path, 3, here=True)
    for corpus in small.corpora.filtered:
        assert small.corpora.shard_count(corpus) == real.corpora.shard_count(corpus)
    head = small.corpora.head_bytes["cc100"]
    assert (
        head
        < min((tmp_path / "made/corpora").glob("cc100-*"), key=lambda p: p.stat().st_size)
        .stat()
        .st_size
    )


def test_languages_with_pairs_come_first():
    assert chosen_languages(load(merged("paper_base")), 3) == ("en", "ar", "bg")
    assert len(chosen_languages(load(merged("paper_base")), None)) == 96


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(UserError, match="no rehearsal"):
        claim(tmp_path)


def test_one_language_is_none(capsys):
    with pytest.raises(SystemExit):
        cli.main(["rehearse", "--languages", "1"])
    assert "2 or more" in capsys.readouterr().err
