"""What a job costs on Slurm beside its own work, alone and in the groups of profiles/slurm.

On a Slurm of two nodes on this machine (see `tests/slurm/cluster.py`: Debian, as root) all jobs of
`corpora_extract` of the default run, in all languages of its text, are made three times, one after
the other: each by itself, in groups, and by a Snakemake within one job of Slurm's. The own time of
a job is what Snakemake measures of its command.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from tests.repository import ROOT, Repository, copy_of_repository
from tests.slurm.cluster import Cluster, missing

from benchmarks.document import machine, publish, table
from ernie_m.arguments import argument_parser
from ernie_m.config.load import BASE, deep_merge, load, read_yaml
from ernie_m.pipeline.stages import jobs

STAGE = "corpora_extract"
SHARED = "results/corpora_download"
GROUP = 20  # as in profiles/slurm
# Those of its text.
LANGUAGES = ["en", "de", "es", "fr", "ru", "el", "tr", "zh", "ja", "ko", "bg", "vi"]


def seconds(elapsed: str) -> int:
    """Slurm's `1:02:03` or `2:03` in seconds."""
    total = 0
    for part in elapsed.split(":"):
        total = 60 * total + int(part)
    return total


def own_seconds(folder: Path) -> float:
    """Seconds that the commands of the stage's jobs ran."""
    total = 0.0
    for path in folder.rglob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            total += sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    return total


def run(repository: Repository, cluster: Cluster, grouped: int | None) -> dict[str, float]:
    """Make all jobs of the stage, ``grouped`` of them in a job of Slurm's; None: all of them, by a
    Snakemake that runs in it."""
    run = repository.path / "results/default"
    shutil.rmtree(run, ignore_errors=True)
    wanted = {"corpora": {"languages": LANGUAGES}}
    instances = jobs(load(deep_merge(read_yaml(BASE), wanted)))[STAGE]
    targets = [f"results/default/{STAGE}/{job}/rows.parquet" for job in instances]
    words = ("snakemake", *targets, "--config", f"corpora={json.dumps(wanted['corpora'])}")
    if grouped is None:
        job = "echo submitted with SLURM jobid $SLURM_JOB_ID >&2"
        call = f"{job}; exec {shlex.join(words)} --cores 1"
        done = repository.run("srun", "--mem=4000", "bash", "-c", call)
    else:
        profile = ("--profile", "profiles/slurm", "--jobs", "1")
        done = repository.run(*words, *profile, "--group-components", f"{STAGE}={grouped}")
    submitted = re.findall(r"submitted with SLURM jobid (\d+)", done.stderr)
    elapsed = cluster.call(
        *("squeue", "--states=all", "--noheader", "--format=%M", f"--jobs={','.join(submitted)}")
    )
    taken = sum(map(seconds, elapsed.split()))
    own = own_seconds(run / "benchmarks" / STAGE)
    return {
        "jobs": len(targets),
        "slurm_jobs": len(submitted),
        "taken": taken,
        "own": own,
        "overhead": (taken - own) / len(targets),
    }


def section(found: dict[str, dict[str, float]]) -> str:
    """The section of docs/benchmarks.md."""
    rows = [
        [
            name,
            *(f"{cost[key]:,.0f}" for key in ("jobs", "slurm_jobs", "taken", "own")),
            f"{cost['overhead']:.1f}",
        ]
        for name, cost in found.items()
    ]
    header = ["", "jobs", "jobs of Slurm's", "their seconds", "own seconds", "overhead a job, s"]
    return f"By `make bench-slurm` on {machine()}: `{STAGE}` of the default run.\n\n" + table(
        header, rows
    )


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.slurm", __doc__)
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    if lacks := missing():
        sys.exit(f"No Slurm can be had here: {lacks}.")
    with tempfile.TemporaryDirectory(prefix="bench-slurm-") as name:
        repository = copy_of_repository(Path(name) / "repository")
        if (ROOT / SHARED).is_dir():
            shutil.copytree(ROOT / SHARED, repository.path / SHARED)
        cluster = Cluster(Path(name) / "cluster")
        try:
            cluster.up()
            found = {
                "each by itself": run(repository, cluster, 1),
                f"groups of {GROUP}": run(repository, cluster, GROUP),
                "Snakemake within one": run(repository, cluster, None),
            }
        finally:
            cluster.down()
    publish("slurm", section(found), found, document=not given.no_section)


if __name__ == "__main__":
    main()
