"""The seam between a stage and whatever runs it.

Every stage is a module with ``run(job)``; :func:`main` gives it one command line, checks its
settings, hands it temporary output paths, renames them when all are complete, and writes the
lineage record. A stage killed half-way therefore never leaves a file that looks whole.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from ernie_m import finished
from ernie_m.arguments import argument_parser
from ernie_m.atomic import complete, partial
from ernie_m.config.base import Section
from ernie_m.config.problems import check
from ernie_m.errors import UserError, exit_status_of
from ernie_m.launch import know_rank, launch
from ernie_m.locks import lock_of, waited_for
from ernie_m.outside import shown
from ernie_m.records.inputs import check_inputs
from ernie_m.records.record import RECORD
from ernie_m.records.writer import (
    KERNELS,
    Account,
    Opening,
    made_record,
    open_code,
    open_record,
    write_record,
)

S = TypeVar("S", bound=Section)
logger = logging.getLogger(__name__)
# Kernels that all x86 processors of the last ten years have: with those that each would choose for
# itself sums are taken in another order, and trained weights differ in their last bits.
_KERNELS = "AVX2"
_OPEN_FILES = 10_240  # what macOS allows at most, and ten times what the paper's corpora need


@dataclass
class Job(Generic[S]):
    """One run of one stage.

    ``settings`` is the validated slice of the configuration; ``threads`` is the number of CPU
    threads granted, which never changes the bytes that come out.
    """

    module: str
    instance: str
    settings: S
    seed: int
    threads: int
    input_paths: dict[str, list[Path]]
    output_paths: dict[str, list[Path]]
    notes: dict[str, Any] = field(default_factory=dict)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    opening: Opening | None = None

    @property
    def stage(self) -> str:
        """Name shared by rule, results folder, log and benchmark: ``corpora_dedup``."""
        return self.module.removeprefix("ernie_m.").replace(".", "_")

    @property
    def account(self) -> Account:
        """The job's contribution to its record."""
        return Account(
            module=self.module,
            stage=self.stage,
            instance=self.instance,
            inputs=self.input_paths,
            outputs=self.output_paths,
            settings=self.settings.model_dump(mode="json"),
            seed=self.seed,
            threads=self.threads,
            notes=self.notes,
        )

    def inputs(self, name: str) -> list[Path]:
        """All input files given under ``name``."""
        return self.input_paths[name]

    def input(self, name: str) -> Path:
        """The only input file given under ``name``."""
        return _only(self.input_paths[name], name)

    def outputs(self, name: str) -> list[Path]:
        """Temporary paths for the outputs under ``name``, in the order they were given."""
        return [partial(path) for path in self.output_paths[name]]

    def output(self, name: str) -> Path:
        """Temporary path for the only output under ``name``."""
        return _only(self.outputs(name), name)

    def note(self, **facts: Any) -> None:
        """Add volatile facts (resumed from, tracking run) to the record."""
        self.notes.update(facts)

    def after(self, action: Callable[[], None]) -> None:
        """Call ``action`` once all outputs and the record are in place (to drop saved state)."""
        self.afterwards.append(action)

    def write_part(self, name: str, output: str, write: Callable[[Path], None]) -> None:
        """Have the only file of ``output`` written, as it is by now, to a folder ``name`` below its
        own, with a record as of a job ``<instance>/<name>``: a result that stands whatever becomes
        of this job."""
        path = _only(self.output_paths[output], output)
        path = path.parent / name / path.name
        own = replace(
            self, instance=f"{self.instance}/{name}", output_paths={output: [path]}, notes={}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial(path))
        complete(path)
        record = path.with_name(RECORD)
        opening = self.opening or open_record(self.account)
        write_record(made_record(own.account, record, opening), record)

    def write_json(self, name: str, value: Any) -> None:
        """Write ``value`` as the JSON output ``name``, keys sorted so that bytes repeat."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        self.output(name).write_text(text + "\n", encoding="utf-8")


def _allow_open_files() -> None:
    """Raise this process's limit of open files above the usual 1,024, as far as the system allows:
    a training keeps every shard of its text open."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _choose_kernels() -> None:
    """Have torch and its libraries, none of which has computed anything yet, use these kernels,
    unless the user has chosen others."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return
    if " avx2 " in flags:
        for name in KERNELS:
            os.environ.setdefault(name, _KERNELS.lower() if name.startswith("ATEN") else _KERNELS)


class NamedFiles(dict[str, list[Path]]):
    """Files by the names that ``option`` gives them; a missing name is a user's mistake."""

    def __init__(self, option: str, given: list[list[str]] | None) -> None:
        super().__init__()
        self.option = option
        for name, *paths in given or []:
            self.setdefault(name, []).extend(Path(path) for path in paths)

    def __missing__(self, name: str) -> list[Path]:
        raise UserError(
            f"The stage needs `{self.option} {name}`, which is not given.",
            f"Add `{self.option} {name} FILE`; the rule of the same name in workflow/rules/ "
            "gives all that it needs.",
        )


def _only(paths: list[Path], name: str) -> Path:
    if len(paths) != 1:
        raise UserError(f"`{name}` is {len(paths)} files.", "Give exactly one under this name.")
    return paths[0]


class _Log(logging.Formatter):
    """Lines of a log, fit to be shown: some repeat what a server or a registry says."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def _parser(module: str) -> argparse.ArgumentParser:
    description = (sys.modules["__main__"].__doc__ or "").strip()
    parser = argument_parser(f"python -m {module}", description)
    parser.add_argument("--instance", default="", help="which of the stage's jobs this is")
    parser.add_argument("--settings", default="{}", help="JSON slice of the configuration")
    parser.add_argument("--seed", type=int, default=1, help="seed of every random choice")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads that may be used")
    for option in ("--input", "--output"):
        parser.add_argument(
            option, nargs="+", action="append", metavar=("NAME", "FILE"), help="named files"
        )
    parser.add_argument("--record", type=Path, required=True, help="where the record goes")
    return parser


def _settings(model: type[S], text: str) -> S:
    fix = "Correct the value given by --settings, or the config key it came from."
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UserError(f"The settings are not JSON: {error}.", fix) from None
    found, problems = check(model, given)
    if found is None:
        raise UserError(f"The settings cannot be used. {' '.join(problems.values())}", fix)
    return found


def _finish(job: Job[Any], record: Path, opening: Opening) -> None:
    for path in (path for paths in job.output_paths.values() for path in paths):
        if not partial(path).is_file():
            raise UserError(
                f"{job.stage} ended without writing {path}.", "This is a bug in the stage."
            )
    made = made_record(job.account, record, opening, written=partial)
    # Before any output has its name, for a later call of the workflow deletes those that have.
    finished.keep(job.account, record, made)
    for path in (path for paths in job.output_paths.values() for path in paths):
        complete(path)
    write_record(made, record)
    for action in job.afterwards:
        action()


def _run(run: Callable[[Job[S]], None], job: Job[S], record: Path, own_step: bool) -> None:
    know_rank()
    for paths in job.input_paths.values():
        for path in paths:
            if not path.is_file():
                what = "is no file" if path.exists() else "does not exist"
                raise UserError(f"Input {path} {what}.", "Run the stage that makes it.")
    if os.environ.get("RANK", "0") != "0":
        # One of several processes of a job (torchrun); the first locks, writes and records.
        logging.disable(logging.INFO)
        run(job)
        return
    outputs = [path for paths in job.output_paths.values() for path in paths]
    for path in [*outputs, record]:
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(record)
    opening = open_code(job.account)  # that is loaded: a wait may be long
    if own_step:
        with waited_for(lock):  # before there are processes that would wait for the first
            left = finished.left(record)
        if not left:
            _launch(job)
    with waited_for(lock):
        _drop_partial(outputs)  # of a killed one; it may be a second name of a file in place
        try:
            opening = open_record(job.account, opening)
            check_inputs(file for files in opening.inputs.values() for file in files)
            job.opening = opening
            if finished.take(job.account, opening, record):
                return
            if own_step:
                _launch(job)  # unless it was above
            run(job)
            _finish(job, record, opening)
        except BaseException:
            _drop_partial(outputs)
            raise


def _drop_partial(outputs: list[Path]) -> None:
    for path in outputs:
        partial(path).unlink(missing_ok=True)


def _launch(job: Job[Any]) -> None:
    hardware = getattr(job.settings, "hardware", None)
    if hardware is None:
        launch(job.module, job.threads)
    else:
        count = hardware.nodes, hardware.processes_per_node
        launch(job.module, hardware.num_threads, *count)


def main(run: Callable[[Job[S]], None], settings: type[S], *, own_step: bool = False) -> None:
    """Run a stage from its command line; on bad input two lines of message and status 1.

    With ``own_step`` its processes are started by :func:`ernie_m.launch.launch`.
    """
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "a stage is started with `python -m`"
    module = spec.name

    def call() -> int:
        args = _parser(module).parse_args()
        handler = logging.StreamHandler()
        handler.setFormatter(_Log("%(asctime)s %(message)s", "%H:%M:%S"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        job = Job(
            module=module,
            instance=args.instance,
            settings=_settings(settings, args.settings),
            seed=args.seed,
            threads=args.threads,
            input_paths=NamedFiles("--input", args.input),
            output_paths=NamedFiles("--output", args.output),
        )
        _allow_open_files()
        _choose_kernels()
        _run(run, job, args.record, own_step)
        return 0

    sys.exit(exit_status_of(call))
