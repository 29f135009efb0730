"""Write the predictions of one model for XTREME's tasks in the layout of its leaderboard, to
<output>/predictions/<task>/test-<language>.tsv (for questions .json), the same as an archive to
<output>/predictions.zip, and the labels to <output>/labels/. Stand-ins are left out. `ernie-m
score` scores what this command writes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ernie_m.arguments import argument_parser
from ernie_m.catalogue.tasks import TASKS, XTREME, Task
from ernie_m.config.xtreme import Stage
from ernie_m.errors import UserError
from ernie_m.xtreme.files import EXAMPLE, PREDICTION, read_lines
from ernie_m.xtreme.scoring.leaderboard import file_name, format_labels, format_predictions

EXAMPLES = """\
examples:
  ernie-m submission results/xtreme --output submission
  ernie-m submission results/xtreme --stage camlm --seed 2 --output submission
  ernie-m score --predictions submission/predictions --labels submission/labels"""


def _predictions_of(run: Path, task: Task, variant: str, stage: str, seed: int) -> Path | None:
    """Folder of a task's predictions; tasks without fine-tuning have one seed only."""
    folder = run / "xtreme_predict" / task.name / variant / stage
    others = [] if task.trained else sorted(folder.glob("seed*"))
    found = [folder / f"seed{seed}", *others]
    return next((path for path in found if path.is_dir()), None)


def _last_stage(run: Path, variant: str) -> str:
    """The last stage of pre-training with predictions."""
    present = {path.name for path in run.glob(f"xtreme_predict/*/{variant}/*")}
    return max(present & {*get_args(Stage)}, key=get_args(Stage).index, default="btmlm")


def write(run: Path, variant: str, stage: str, seed: int, output: Path) -> list[str]:
    """Write every task of XTREME for which the model has predictions; returns their names.

    Raises :class:`UserError` when there is none, or a language is missing.
    """
    if not run.is_dir():
        raise UserError(f"There is no folder {run}.", "Name that of a run, as results/default.")
    done = []
    for task in (TASKS[name] for name in XTREME):
        folder = _predictions_of(run, task, variant, stage, seed)
        if folder is None:
            continue
        for language in task.languages:
            test = run / "xtreme_prepare" / task.name / f"test-{language}.jsonl"
            predicted = folder / f"predictions-{language}.jsonl"
            for path in (test, predicted):
                if not path.is_file():
                    raise UserError(f"{path} is missing.", "Run the pipeline to its end first.")
            examples = read_lines(test, EXAMPLE[task.kind])
            predictions = read_lines(predicted, PREDICTION[task.kind])
            _write_text(
                output / "predictions" / file_name(task, language),
                format_predictions(task, examples, predictions),
            )
            _write_text(
                output / "labels" / file_name(task, language), format_labels(task, examples)
            )
        done.append(task.name)
    if not done:
        raise UserError(
            f"{run} has no predictions of {variant}/{stage} with seed {seed} for a task of XTREME.",
            f"Ask for some of {', '.join(XTREME)} in `xtreme.tasks`, or name another model.",
        )
    return done


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def zip_predictions(output: Path, tasks: Sequence[str]) -> Path:
    """Zip the predictions of ``tasks``; the bytes are reproducible."""
    archive = output / "predictions.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for task in (TASKS[name] for name in tasks):
            for language in task.languages:
                name = file_name(task, language)
                entry = zipfile.ZipInfo(name)  # with a fixed date
                entry.compress_type = zipfile.ZIP_DEFLATED
                zipped.writestr(entry, (output / "predictions" / name).read_bytes())
    return archive


def main(arguments: Sequence[str]) -> int:
    """Write the files and print their tasks; raises :class:`UserError`."""
    parser = argument_parser("ernie-m submission", __doc__, epilog=EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of a run, results/<run>")
    parser.add_argument("--variant", default="ernie_m", help="variant of the experiment [ernie_m]")
    parser.add_argument("--stage", help="stage of pre-training [the last with predictions]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the fine-tuning [1]")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    args = parser.parse_args(arguments)
    stage = args.stage or _last_stage(args.run, args.variant)
    done = write(args.run, args.variant, stage, args.seed, args.output)
    archive = zip_predictions(args.output, done)
    print(f"{archive}: {', '.join(done)} ({len(done)} of {len(XTREME)} tasks)")
    if lacking := [name for name in XTREME if name not in done]:
        print(
            f"Not there: {', '.join(lacking)}. A task that variants train and predict in the same "
            "way has its predictions under the first of them: name that one by --variant."
        )
    return 0
