"""Write a checkpoint as a folder for transformers or sentence-transformers, or as ONNX.

  ernie-m export hf
  ernie-m export hf results/default/xtreme_finetune/standin_tagging/ernie_m/btmlm/seed1 --out tagger
  ernie-m export sentence-transformers results/default/pretrain_btmlm/ernie_m --language de

This runs the stage checkpoints.export, which leaves a model card (README.md) and a lineage record
in the folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.audit.keys import layers_of
from ernie_m.catalogue.checkpoints import vocabulary_in
from ernie_m.checkpoints.forms import files_of_form
from ernie_m.config.export import FORMATS, ExportSettings
from ernie_m.errors import UserError
from ernie_m.records.graph import RESULTS, SHARED, Reader
from ernie_m.report.evidence import normal

LATEST = Path("results/default/pretrain_btmlm/ernie_m")
STAGE = "checkpoints_export"
# Stages that are not behind a checkpoint, or run after its export.
LATER = (STAGE, "report_build")


def _run_of(model: Path) -> Path | None:
    """The folder ``results/<run>`` that holds a checkpoint, if any."""
    parts = model.parts
    inside = len(parts) > 3 and parts[0] == RESULTS
    return Path(*parts[:2]) if inside else None


def _evidence(run: Path | None) -> dict[str, list[Path]]:
    """Inputs of the card: the run's scores, its records and those of downloads that it has read;
    none outside a run."""
    if run is None:
        return {}
    reader = Reader(Path())
    found = map(Path, sorted(reader.graph(reader.all(run.name)).nodes))
    own = (path for path in found if path.parts[1] in {run.name, *SHARED} and path.is_file())
    return {
        "records": [path for path in own if path.parts[2] not in LATER],
        "scores": sorted(run.glob("xtreme_score/**/scores.json")),
        "baselines": sorted(run.glob("xtreme_baseline/*/scores.json")),
        "claims": sorted(run.glob("claims_judge/claims.json")),
    }


def _settings(run: Path | None, form: str, language: str, variant: str) -> ExportSettings:
    """The settings as the rule gives them; defaults for a run that `config/` does not have."""
    layers = layers_of(run.name) if run else None
    config = layers.config if layers else None
    known = config and variant in config.variant_names
    return ExportSettings.of(form, language, config.variant(variant) if config and known else None)


def _words(model: Path, form: str, language: str, out: Path | None) -> tuple[Path, list[str]]:
    """The output folder, and the command line of the stage."""
    model = Path(normal(model))
    run = _run_of(model)
    if run is None and out is None:
        raise UserError(f"{model} lies in no run.", "Say where the export goes by --out FOLDER.")
    place = normal(model.parent.relative_to(run) if run else Path(model.parent.name))
    instance = f"{form}/{language}/{place}"
    variant = place.split("/")[1] if run and "/" in place else ""
    folder = out or Path(str(run), STAGE, instance)
    inputs = {"model": [model], "tokenizer": [vocabulary_in(model.parent)], **_evidence(run)}
    words = [
        "--instance",
        instance,
        "--settings",
        _settings(run, form, language, variant).model_dump_json(),
    ]
    for name, paths in inputs.items():
        words += ["--input", name, *(normal(path) for path in paths)]
    for name, files in files_of_form(form).items():
        words += ["--output", name, *(normal(folder / file) for file in files)]
    return folder, [*words, "--record", normal(folder / "record.json")]


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status of the stage."""
    parser = argument_parser("ernie-m export", __doc__)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument(
        "model",
        nargs="?",
        type=Path,
        default=LATEST,
        help=f"checkpoint of this project, file or folder (default: {LATEST})",
    )
    parser.add_argument(
        "--language",
        default="none",
        help="language whose embedding is added when nothing else is said (default: none)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: in the run of the checkpoint)")
    args = parser.parse_args(arguments)
    model = args.model / "model.safetensors" if args.model.is_dir() else args.model
    if not model.is_file():
        raise UserError(
            f"There is no checkpoint {model}.",
            f"`make reproduce` makes {LATEST}; name another one.",
        )
    folder, words = _words(model, args.format, args.language, args.out)
    command = [sys.executable, "-m", "ernie_m.checkpoints.export", *words]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(folder)
    return status
