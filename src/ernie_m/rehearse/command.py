"""Run a configuration whole, on small files made for it: does its graph run here?

The same jobs, rules, formats, languages, shards, resources and profile as in earnest, from
downloads to report and audit, in minutes. Text and evaluation files are invented, in the formats
of their publishers, and offered by a server on this machine; the encoder is narrow, and learns
nothing. It works in a folder of its own, so results and downloads of others stay as they are. After
an interruption or a fault the same command goes on; a rehearsal that succeeds is removed unless it
is to be kept.

Without --profile it runs on this machine alone, in one process and without a GPU. With one, the
section `hardware` stays as it is.

Exit status: 0 the workflow ran and the audit found nothing broken; 1 it did not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import yaml

from ernie_m.arguments import argument_parser
from ernie_m.atomic import write_atomic
from ernie_m.config.base import deep_merge
from ernie_m.config.load import BASE, load, read_yaml
from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import jobs
from ernie_m.planning.command import table
from ernie_m.planning.estimate import Estimate, Throughputs
from ernie_m.records.record import RECORD
from ernie_m.rehearse.dress import ADDRESS, MADE, Difference, differences, dress
from ernie_m.words import duration, plural, shortened

EXAMPLES = """\
examples:
  ernie-m rehearse --configfile config/paper_base.yaml --languages 4
  ernie-m rehearse --configfile config/released.yaml --keep
  ernie-m rehearse --configfile config/paper_base.yaml --profile profiles/slurm"""

FOLDER = Path("work/rehearsals")
NOTE = ".rehearsal"  # tells that a folder is one, and may be removed
CONFIG = Path("config/rehearsal.yaml")
# What the rules need of the repository.
LINKED = ("Snakefile", "workflow", "profiles", "src", "envs")
QUIET = (
    "--quiet",
    "rules",
    "host",
)  # but for progress and errors: some rules have a thousand inputs
LONGEST = 60  # characters of a value
ACCELERATOR, UTILISATION = "h100", 0.4
NOT_REHEARSED = (
    "the network and what publishers offer today: files came from this machine",
    "real text: filters, deduplication and tokenizer met invented words",
    "kernels, precision and memory of a GPU, unless this ran on one; and those at full width",
    "memory, disk and time of full sizes",
)


def claim(folder: Path) -> None:
    """Make the folder of a rehearsal, or take that of an earlier one; raises :class:`UserError` for
    one that holds anything else."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).is_file():
        raise UserError(
            f"{folder} is not empty, and no rehearsal.", "Name another one by --folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).touch()
    for name in LINKED:
        if not Path(name).exists():
            raise UserError(
                f"There is no {name} here.",
                "Run the command from the top folder of the repository.",
            )
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path(name).resolve())
    (folder / BASE.parent).mkdir(exist_ok=True)
    write_atomic(folder / BASE, BASE.read_bytes())


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Say nothing: the log of a download tells of it."""


@contextmanager
def offered(folder: Path) -> Iterator[str]:
    """Offer the files of a folder on this machine; yields host and port."""
    handler = partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def call(folder: Path, address: str, *words: str, out: IO[bytes] | None = None) -> int:
    """Run a command of this Python in the folder; returns its exit status. What it prints goes to
    ``out``, if there is one."""
    direct = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"]))
    environment = {
        **os.environ,
        ADDRESS: address,
        "no_proxy": direct,
        "NO_PROXY": direct,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "src"),
    }
    environment.pop("ERNIE_M_OFFLINE", None)  # the server is no network
    if "--profile" not in words:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # jobs side by side would share it
    with subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, env=environment, stdout=out
    ) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # which the workflow got too: it ends its jobs
                continue


def in_words(found: Sequence[Difference]) -> Iterator[str]:
    """A line for each key that differs."""
    for one in found:
        real, small = (shortened(text, LONGEST) for text in (one.real, one.small))
        yield f"  {one.key:<44} {small}, not {real}"


def told(real: Config, small: Config) -> Iterator[str]:
    """What was smaller than in earnest, and what was not rehearsed."""
    counts = {name: (len(own), len(jobs(small)[name])) for name, own in jobs(real).items()}
    fewer = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
    whole, done = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
    yield f"jobs: {done:,}" + (f" of {whole:,}; other numbers:" if fewer else ", all there are")
    for name, (before, after) in fewer.items():
        yield f"  {name:<44} {after:,}, not {before:,}"
    yield "other than in earnest:"
    yield from in_words(differences(real, small))
    yield "not rehearsed:"
    yield from (f"  {what}" for what in NOT_REHEARSED)
    yield "the real run, by `ernie-m plan`:"
    yield table(
        Estimate(real, Throughputs.read(), ACCELERATOR, UTILISATION), ACCELERATOR, UTILISATION
    )


def _profile(name: str) -> str:
    """A profile's folder by its absolute path; one that Snakemake knows by name stays a name."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def rehearse(folder: Path, run: str, options: Sequence[str]) -> None:
    """Run the workflow and the audit of its report; raises :class:`UserError` when one fails."""
    started = time.monotonic()
    again = "The last lines above say what failed. Mend it, and run the same command: it goes on."
    with offered(folder / MADE) as address:
        words = ("snakemake", "--configfile", str(CONFIG), *QUIET, *options)
        if call(folder, address, *words):
            raise UserError(f"The workflow did not run to its end in {folder}.", again)
        took = time.monotonic() - started
        report = f"results/{run}/report_build/report.html"
        with TemporaryFile() as said:
            words = ("ernie_m.cli", "audit", report, "--run", run)
            status = call(folder, address, *words, out=said)
            said.seek(0)
            verdict = [line for line in said.read().decode().splitlines() if "verdict" in line]
    if status not in (
        0,
        3,
        4,
    ):  # code that is not committed, or has changed, is no fault of the run
        raise UserError(f"The audit of {folder / report} found a fault: {verdict}.", again)
    count = sum(1 for _ in (folder / "results").rglob(RECORD))
    print(f"\nREHEARSED: {plural(count, 'job')} done, {duration(took)} in this call.")
    print("\n".join(verdict))


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m rehearse`; returns the exit status."""
    parser = argument_parser("ernie-m rehearse", __doc__, epilog=EXAMPLES)
    parser.add_argument("--configfile", nargs="+", default=[], help="overlays, as for snakemake")
    parser.add_argument("--languages", type=int, metavar="N", help="only so many, English first")
    parser.add_argument("--cores", help="of this machine, as for snakemake (all)")
    parser.add_argument("--profile", help="of Snakemake, passed on; for a cluster")
    parser.add_argument("--folder", type=Path, help=f"where to work ({FOLDER}/<run>)")
    parser.add_argument("--keep", action="store_true", help="keep the folder, with the report")
    given = parser.parse_args(arguments)
    if given.languages is not None and given.languages < 2:
        parser.error("--languages is 2 or more")
    merged: dict[str, Any] = {}
    for path in (BASE, *map(Path, given.configfile)):
        merged = deep_merge(merged, read_yaml(path))
    real = load(merged)
    folder = (given.folder or FOLDER / real.run).resolve()
    claim(folder)
    keys, small = dress(real, merged, folder, given.languages, here=not given.profile)
    write_atomic(folder / CONFIG, yaml.safe_dump(keys, allow_unicode=True, sort_keys=False))
    options = ["--profile", _profile(given.profile)] if given.profile else []
    if given.cores or not given.profile:
        options += ["--cores", given.cores or "all"]
    rehearse(folder, small.run, options)
    print("\n".join(told(real, small)))
    if given.keep:
        print(f"Kept: {folder}, with results/{small.run}/report_build/report.html.")
    else:
        shutil.rmtree(folder)
    return 0
