"""Copies of the repository in which the workflow is planned and run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import yaml

from ernie_m.config.load import deep_merge
from ernie_m.pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "envs", "src", "dvc.yaml", ".dvc")
SMALL = (".dvcignore", ".gitignore")
LONGEST = 1500  # seconds that a command may take on a slow machine
PER_TASK = re.compile(r"^(xtreme_download|xtreme_prepare|xtreme_predict)_\w+$")
# Stages that only published tasks need, or a checkpoint of others; the default run has neither.
PUBLISHED_ONLY = {"xtreme_download", "checkpoints_download", "pretrain_adopt"}
# Those that only a variant with its own way of fine-tuning has, or the arms of a claim.
VARIANTS_ONLY = {"xtreme_align", "claims_judge"}


@cache
def launcher():
    """The process of `tests/launcher.py`, one for each process that runs tests."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, ROOT / "tests/launcher.py"], **pipes)


def launched(folder, environment, words):
    """Run Snakemake's command line by the launcher; what it printed, and its exit status."""
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        call = {
            "words": words,
            "folder": str(folder),
            "path": [environment["PYTHONPATH"]],
            "environment": environment,
            "out": out.name,
            "err": err.name,
            "longest": LONGEST,
        }
        process = launcher()
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        return out.read(), err.read(), status


class Repository:
    """A copy of the repository in which commands are run."""

    def __init__(self, path):
        self.path = Path(path)

    @property
    def environment(self):
        """That of its commands: those of this Python, and the package of the copy."""
        folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
        return os.environ | {
            "PATH": os.pathsep.join(folders),
            "PYTHONPATH": str(self.path / "src"),
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PYTHONFAULTHANDLER": "1",
        }

    def run(self, *words, check=True):
        """Run a command of the environment in the copy; returns the finished process."""
        environment = self.environment
        if words[0] == "snakemake":
            out, err, status = launched(self.path, environment, words)
            assert not check or status == 0, f"{words}\n{out}\n{err}"
            return subprocess.CompletedProcess(words, status, out, err)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, cwd=self.path, env=environment, **pipes) as process:
            try:
                out, err = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # to end with a stack
                out, err = process.communicate()
        assert not check or process.returncode == 0, f"{words}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def git(self, *words):
        """Run git as a made-up author."""
        who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        return self.run("git", *who, *words)

    def plan(self, *words):
        """What a dry run prints."""
        return self.run("snakemake", "--dry-run", *words).stdout

    def planned(self, *words):
        """Number of jobs that a dry run plans, by stage."""
        return jobs_in(self.plan(*words, "--quiet", "rules"))

    @contextmanager
    def edited(self, name, edit):
        """The file `name` with `edit` applied to its text, put back as it was afterwards."""
        path = self.path / name
        before = path.read_text(encoding="utf-8")
        path.write_text(edit(before), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def configured(self, **changes):
        """The configuration with changes laid over it, as :meth:`edited`."""

        def edit(text):
            return yaml.safe_dump(deep_merge(yaml.safe_load(text), changes), sort_keys=False)

        return self.edited("config/config.yaml", edit)


def jobs_in(text):
    """Number of jobs by stage, as a dry run printed them."""
    table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", text, re.MULTILINE)
    if table is None:
        assert "Nothing to be done" in text, text
        return Counter()
    jobs = Counter()
    for line in table.group(1).splitlines():
        rule, count = line.split()
        jobs[PER_TASK.sub(r"\1", rule)] += int(count)
    return Counter({stage: jobs[stage] for stage in STAGES if stage in jobs})


def copy_of_repository(path):
    """The working tree, as far as the pipeline needs it, under git."""
    path.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "tmp", "cache")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, path / name, ignore=ignore)
        else:
            shutil.copy(source, path / name)
    for name in SMALL:
        shutil.copy(ROOT / name, path / name)
    repository = Repository(path)
    repository.git("init", "-q", "-b", "main")
    return repository
