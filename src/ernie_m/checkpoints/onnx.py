"""Write the encoder as ONNX, with the inputs of a transformers model."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ernie_m.checkpoints.huggingface import NO_LANGUAGE
from ernie_m.errors import UserError
from ernie_m.model.attention import Stream, Table
from ernie_m.model.encoder import Encoder
from ernie_m.model.packing import IGNORE_INDEX, Packed

WEIGHTS = "model.onnx"
OPSET = 18


class Padded(nn.Module):
    """The encoder on a padded batch: one sentence or pair a row."""

    def __init__(self, encoder: Encoder, language: str) -> None:
        super().__init__()
        self.encoder = encoder
        none = language == NO_LANGUAGE
        self.default = -1 if none else encoder.shape.language_index(language)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """States ``[R, L, D]`` of the last layer; all inputs are int64 ``[R, L]``.

        ``token_type_ids`` is 0 for the default language and ``1 + i`` for language ``i``.
        """
        there = attention_mask > 0
        same = torch.zeros_like(input_ids)
        languages = torch.where(token_type_ids > 0, token_type_ids - 1, same + self.default)
        packed = Packed(
            ids=input_ids,
            labels=same + IGNORE_INDEX,
            positions=(attention_mask.cumsum(1) - 1).clamp(min=0),
            languages=languages,
            streams=same + Stream.SOURCE,
            tables=same + Table.ONE_SENTENCE,
            groups=same,
            documents=torch.where(there, same, same - 1),
            rows=None,  # type: ignore[arg-type]  # positions of documents matter only when packed
            starts=None,  # type: ignore[arg-type]
            lengths=None,  # type: ignore[arg-type]
        )
        return self.encoder(packed)


def write_model(folder: Path, encoder: Encoder, language: str) -> None:
    """Write ``model.onnx``; raises :class:`UserError` when the exporter is not installed."""
    if importlib.util.find_spec("onnxscript") is None:
        raise UserError("ONNX is written by onnxscript, which is not installed.", "Install it.")
    for noisy in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # Three tensors: the same tensor given twice would become a single input.
    example = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in range(3))
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    names = ("input_ids", "attention_mask", "token_type_ids")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Padded(encoder.eval(), language),
            example,
            folder / WEIGHTS,
            input_names=names,
            output_names=("last_hidden_state",),
            dynamic_shapes=(dynamic, dynamic, dynamic),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
