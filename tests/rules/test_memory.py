"""What jobs ask for fits the machine that a configuration is for."""

import re

from tests.repository import copy_of_repository


def test_the_jobs_of_one_gpus_run_fit_64_gb(tmp_path):
    """As far as it is known before there are files: the largest is a training."""
    repository = copy_of_repository(tmp_path / "repository")
    told = repository.run("snakemake", "-n", "--configfile", "config/one_gpu.yaml").stdout
    asked = {
        (rule, int(megabytes))
        for rule, megabytes in re.findall(r"rule (\w+):\n(?:    .*\n)*?    .*mem_mb=(\d+)", told)
    }
    most, rule = max((megabytes, rule) for rule, megabytes in asked)
    assert len({name for name, _ in asked}) >= 15
    assert rule in ("pretrain_camlm", "pretrain_btmlm") and 7_000 < most <= 60_000
