"""The small pipeline through profiles/slurm: the bytes of a local run, in few jobs of Slurm's."""

import json
import re
import shutil

import pytest

from tests.slurm.conftest import CONFIGFILES, PROFILE


@pytest.fixture(scope="module")
def on_slurm(cluster, checkout):
    """The checkout, in which all was run by Slurm, and what its controller said."""
    done = checkout.run("snakemake", *PROFILE, "--config", "tracking={uri: 'sqlite:///mlflow.db'}")
    return checkout, done.stderr


def digests(checkout):
    """The digest of every output by its path, from the records of all jobs but the report's, which
    tells of times."""
    found = {}
    for path in (checkout.path / "results/tiny").rglob("record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["stage"] != "report_build":
            for files in record["facts"]["outputs"].values():
                found |= {file["path"]: file["sha256"] for file in files}
    return found


def test_a_run_on_slurm_makes_the_bytes_of_a_local_one(on_slurm, checkout):
    there = digests(checkout)
    shutil.rmtree(checkout.path / "results/tiny")
    checkout.run("snakemake", "--cores", "2", *CONFIGFILES)
    assert len(there) > 50
    assert digests(checkout) == there


def test_short_jobs_of_a_stage_are_one_job_of_slurm(cluster, on_slurm):
    _, said = on_slurm
    (jobs,) = re.findall(r"^(\d+) of \1 steps", said, re.MULTILINE)
    submitted = re.findall(r"submitted with SLURM jobid (\d+)", said)
    assert 5 * len(submitted) < 3 * int(jobs)
    grouped = re.findall(r"SLURM jobid (\d+) \(log: \S*/group_", said)
    of = ("squeue", "--states=all", "--noheader", f"--jobs={','.join(grouped)}")
    asked = cluster.call(*of, "--format=%C")
    assert set(asked.split()) == {"1"}  # CPUs: they run one after the other
