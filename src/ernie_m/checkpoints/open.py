"""Open any checkpoint, ours or external, for use."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ernie_m.catalogue.checkpoints import CONFIG, vocabulary_in
from ernie_m.errors import UserError
from ernie_m.foreign.adopt import adopt
from ernie_m.foreign.names import POSITION
from ernie_m.foreign.weights import read_foreign
from ernie_m.model import checkpoint
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer import pieces
from ernie_m.tokenizer.vocabulary import Tokenizer


def open_checkpoint(path: Path) -> tuple[LanguageModel, Tokenizer]:
    """The model from a file of ours or from a folder, in evaluation mode, with its tokenizer.

    Raises :class:`UserError` for anything but a checkpoint, and for one that was fine-tuned or has
    no LM head.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / CONFIG).is_file():
        return _open_foreign(folder)
    file = folder / "model.safetensors" if path.is_dir() else path
    weights, shape, facts = checkpoint.read(file)
    if "task" in facts:
        raise UserError(
            f"{file} is fine-tuned on {facts['task']}.", "Give a pre-trained checkpoint."
        )
    tokenizer = Tokenizer(vocabulary_in(folder))
    if tokenizer.sha256 != shape.tokenizer:
        raise UserError(
            f"{file} was made with another tokenizer than {tokenizer.path}.",
            "Copy the run's tokenizer_train/spm.model beside it.",
        )
    model = LanguageModel(shape)
    checkpoint.fill(model, weights, file)
    return model.eval(), tokenizer


def _open_foreign(folder: Path) -> tuple[LanguageModel, Tokenizer]:
    found = read_foreign(folder)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "spm.model"
        copy.write_bytes(pieces.vocabulary_of(folder, None, 1))
        tokenizer = Tokenizer(copy)
        shape = Architecture(
            vocabulary=tokenizer.size,
            layers=found.layers,
            width=found.width,
            heads=found.heads,
            ffn=found.ffn,
            max_positions=len(found.weights[POSITION]),
            dropout=0.0,
            attention_dropout=0.0,
            language_embeddings=bool(found.languages),
            pair_positions=found.pair_positions,
            languages=found.languages,
            tokenizer=tokenizer.sha256,
        )
    model = LanguageModel(shape)
    if adopt(model, tokenizer, folder)["head"] != "source":
        raise UserError(
            f"{folder} has no masked-language-model head.",
            "Give a checkpoint with one, or pre-train from this one by `init`.",
        )
    return model.eval(), tokenizer
