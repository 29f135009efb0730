"""The files of a checkpoint folder; imports nothing heavy, because the workflow uses it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ernie_m import bounded
from ernie_m.errors import UserError

# Weights in several files: this one names the file of each tensor.
INDEX = "model.safetensors.index.json"
# In order of preference: formats that cannot contain code first.
WEIGHTS = ("model.safetensors", INDEX, "pytorch_model.bin", "model_state.pdparams")
CONFIG = "config.json"
PIECES = ("sentencepiece.bpe.model", "spm.model", "piece.model")
LIST = "vocab.txt"
TOKENIZER_JSON = "tokenizer.json"


def weights_in(folder: Path) -> Path:
    """The weight file; raises :class:`UserError` for a folder without one."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"There are no weights in {folder}.", f"Name a folder with one of {', '.join(WEIGHTS)}."
    )


def vocabulary_in(folder: Path) -> Path:
    """The vocabulary: a SentencePiece model or ``tokenizer.json`` beside the weights, or that of
    the run that the folder belongs to; raises :class:`UserError` when there is none."""
    beside = [folder / name for name in (*PIECES, TOKENIZER_JSON)]
    of_the_run = [parent / "tokenizer_train" / "spm.model" for parent in folder.resolve().parents]
    for path in (*beside, *of_the_run):
        if path.is_file():
            return path
    raise UserError(
        f"There is no vocabulary in {folder}.",
        f"Put {PIECES[0]} or {TOKENIZER_JSON} beside the weights.",
    )


def files_of(folder: Path) -> list[Path]:
    """All files that are read of the checkpoint in ``folder``; raises :class:`UserError`."""
    optional = [path for name in (CONFIG, LIST) if (path := folder / name).is_file()]
    weights = weights_in(folder)
    parts = parts_of(weights) if weights.name == INDEX else []
    return [weights, *parts, vocabulary_in(folder), *optional]


def parts_of(index: Path) -> list[Path]:
    """The weight files that an index names, beside it; raises :class:`UserError`."""
    table = read_json(index).get("weight_map")
    names = table.values() if isinstance(table, dict) else [None]
    wrong = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if wrong:
        raise UserError(f"{index} does not name files beside it.", "Fetch it again.")
    parts = [index.with_name(name) for name in sorted(set(names))]
    missing = next((part for part in parts if not part.is_file()), None)
    if missing:
        raise UserError(f"{index} names {missing.name}, which is not there.", "Fetch it too.")
    return parts


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; raises :class:`UserError`."""
    try:
        value = bounded.read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}.", "Copy the whole folder of the checkpoint."
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.", "Fetch it again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a JSON object.", "Fetch it again.")
    return value
