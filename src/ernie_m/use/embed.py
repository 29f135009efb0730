"""Show the similarity of texts, or write their vectors.

  ernie-m embed "en:The device is offline" "de:Das Gerät ist offline" "de:Guten Morgen"
  ernie-m embed --vectors "en:The device is offline" > vectors.jsonl

Vectors are computed as in the retrieval tasks; layer and pooling are options. No language mean is
subtracted, because a few texts do not give one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from ernie_m.config.xtreme import PredictSettings
from ernie_m.model.architecture import POSITION_OFFSET
from ernie_m.use.common import Model, Text, command_parser
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.vectors.retrieval import embed

USUAL = PredictSettings()


def vectors(model: Model, texts: Sequence[Text], settings: PredictSettings) -> np.ndarray:
    """Unit vectors float32 ``[n, D]``."""
    longest = model.model.shape.max_positions - POSITION_OFFSET
    rows = []
    for text in texts:
        shape = model.model.shape
        reader = Reader(model.tokenizer, shape, longest, "own" if text.language else "none")
        rows.append(embed(model.model.encoder, reader, [text.text], text.language, settings)[0])
    return np.stack(rows)


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    parser = command_parser("embed", __doc__)
    parser.add_argument("texts", nargs="+", help="texts, as LANGUAGE:TEXT")
    parser.add_argument("--vectors", action="store_true", help="write vectors as JSON lines")
    parser.add_argument("--layer", type=int, default=USUAL.layer, help="default: %(default)s")
    parser.add_argument("--pooling", choices=("mean", "cls"), default=USUAL.pooling)
    args = parser.parse_args(arguments)
    model = Model.open(args.model)
    settings = PredictSettings(layer=args.layer, pooling=args.pooling, centre=False)
    matrix = vectors(model, [model.parse(text) for text in args.texts], settings)
    if args.vectors:
        for text, vector in zip(args.texts, matrix.tolist(), strict=True):
            print(json.dumps({"text": text, "vector": vector}, ensure_ascii=False))
        return 0
    for text, row in zip(args.texts, matrix @ matrix.T, strict=True):
        print("  ".join(f"{value:5.2f}" for value in row), "", text)
    return 0
