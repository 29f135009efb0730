"""Another workflow, in a folder of its own, imports this one."""

import re

import pytest
import yaml

from tests.repository import jobs_in

OTHER = """
configfile: "mine.yaml"


module ernie_m:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from ernie_m as ernie_m_*


use rule tokenizer_train from ernie_m as ernie_m_tokenizer_train with:
    threads: 7


rule best:
    default_target: True
    input:
        rules.ernie_m_report_build.output.metrics,
    output:
        "best.txt",
    shell:
        "grep -o transfer {{input}} > {{output}}"


rule where:
    output:
        "where.txt",
    shell:
        "echo $PYTHONPATH > {{output}}"
"""


@pytest.fixture
def other(blank, tmp_path):
    """Arguments for Snakemake; the configuration says only what differs from the defaults, and
    where the registries are."""
    registries = {
        "corpora": {"registry": str(blank.path / "config/corpora.yaml")},
        "checkpoints": {"registry": str(blank.path / "config/checkpoints.yaml")},
        "xtreme": {"registry": str(blank.path / "config/xtreme_sources.yaml")},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"run": "mine", **registries}))
    file = tmp_path / "Snakefile"
    file.write_text(OTHER.format(snakefile=blank.path / "Snakefile"))
    return "--cores", "7", "--snakefile", str(file), "--directory", str(tmp_path)


def test_another_workflow_plans_this_one_and_changes_a_rule(blank, other):
    text = blank.plan(*other, "--printshellcmds")
    jobs = jobs_in(re.sub(r"^ernie_m_", "", text, flags=re.MULTILINE))
    assert jobs == blank.planned("--cores", "7", "report")
    assert re.search(r"^best +1$", text, re.MULTILINE)
    (command,) = re.findall(r"^Shell command: (.+ernie_m.tokenizer.train .+)$", text, re.MULTILINE)
    assert " --threads 7 " in command and " results/mine/tokenizer_train/" in command


def test_its_jobs_find_the_package_of_this_one(blank, other, tmp_path):
    blank.run("snakemake", *other, "where")
    assert (tmp_path / "where.txt").read_text().split(":")[0] == str(blank.path / "src")
