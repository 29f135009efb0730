"""What a job costs on Slurm beside its own work, alone and in the groups of profiles/slurm.

On a Slurm of two nodes on this machine (see `tests/slurm/cluster.py`: Debian, as root) the
milestone `corpora` of the default run, in all languages of its text, is made three times from what
was downloaded, one job of Slurm's after the other: each job by itself, in groups, and by a
Snakemake within one job of Slurm's. The own time of a job is what Snakemake measures of its
command. Twenty minutes.
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

import yaml
from tests.repository import ROOT, Repository, copy_of_repository
from tests.slurm.cluster import Cluster, missing

from benchmarks.document import machine, publish, table
from ernie_m.arguments import argument_parser

SHARED = "results/corpora_download"
# Those of its text.
LANGUAGES = ["en", "de", "es", "fr", "ru", "el", "tr", "zh", "ja", "ko", "bg", "vi"]

ALONE, GROUPS, WITHIN = "each by itself", "groups of the profile", "Snakemake within one"


def grouped() -> list[str]:
    """The stages whose jobs the profile puts together."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    return [group.partition("=")[0] for group in profile["group-components"]]


def seconds(elapsed: str) -> int:
    """Slurm's `1:02:03` or `2:03` in seconds."""
    total = 0
    for part in elapsed.split(":"):
        total = 60 * total + int(part)
    return total


def own_seconds(folder: Path) -> list[float]:
    """Seconds that the command of each job ran."""
    found = []
    for path in folder.rglob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            found += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return found


def run(repository: Repository, cluster: Cluster, way: str) -> dict[str, float]:
    """Make the milestone one ``way``."""
    run = repository.path / "results/default"
    shutil.rmtree(run, ignore_errors=True)
    wanted = f"corpora={json.dumps({'languages': LANGUAGES})}"
    words = ("snakemake", "corpora", "--config", wanted)
    if way == WITHIN:
        job = "echo submitted with SLURM jobid $SLURM_JOB_ID >&2"
        call = f"{job}; exec {shlex.join(words)} --cores 1"
        done = repository.run("srun", "--mem=4000", "bash", "-c", call)
    else:
        alone = [f"{stage}=1" for stage in grouped()] if way == ALONE else []
        groups = ("--group-components", *alone) if alone else ()
        done = repository.run(*words, "--profile", "profiles/slurm", "--jobs", "1", *groups)
    submitted = re.findall(r"submitted with SLURM jobid (\d+)", done.stderr)
    elapsed = cluster.call(
        *("squeue", "--states=all", "--noheader", "--format=%M", f"--jobs={','.join(submitted)}")
    )
    taken = list(map(seconds, elapsed.split()))
    if not submitted or len(taken) != len(submitted):
        sys.exit(f"Slurm remembers {len(taken)} of {len(submitted)} jobs:\n{done.stderr}")
    own = own_seconds(run / "benchmarks")
    return {
        "jobs": len(own),
        "slurm_jobs": len(submitted),
        "taken": sum(taken),
        "own": sum(own),
        "overhead": (sum(taken) - sum(own)) / len(own),
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
    return (
        f"By `make bench-slurm` on {machine()}: the milestone `corpora` of the default run "
        f"in {len(LANGUAGES)} languages, one job after the other.\n\n" + table(header, rows)
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
            found = {way: run(repository, cluster, way) for way in (ALONE, GROUPS, WITHIN)}
        finally:
            cluster.down()
    publish("slurm", section(found), found, document=not given.no_section)


if __name__ == "__main__":
    main()
