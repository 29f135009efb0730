"""Show a model's predictions for each `<mask>` of a text.

ernie-m fill-mask "en:The device is <mask>."
ernie-m fill-mask --model exported/ --top 3 "de:Das Gerät ist <mask>."
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ernie_m.model.packing import pack, sentences
from ernie_m.objectives.layout import FIRST_PIECE
from ernie_m.use.common import Model, Text, command_parser

MASK = "<mask>"


@torch.no_grad()
def fill(model: Model, text: Text, top: int) -> list[list[tuple[float, str]]]:
    """For each mask of ``text``, the ``top`` most probable pieces with their probabilities."""
    parts = model.tokenizer.encode(text.text.split(MASK))
    ids = [model.tokenizer.bos_id, *parts[0]]
    for part in parts[1:]:
        ids += [model.tokenizer.mask_id, *part]
    ids.append(model.tokenizer.eos_id)
    model.check_length(ids)
    batch = pack(sentences([ids], [model.row(text)]), len(ids))
    where = torch.tensor(
        [position for position, i in enumerate(ids) if i == model.tokenizer.mask_id]
    )
    probabilities = model.model(batch, where).softmax(dim=1)[:, FIRST_PIECE:-1]
    best = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
    pieces = [
        [model.tokenizer.piece(i + FIRST_PIECE) for i in row] for row in best.indices.tolist()
    ]
    return [
        list(zip(values, names, strict=True))
        for values, names in zip(best.values.tolist(), pieces, strict=True)
    ]


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    parser = command_parser("fill-mask", __doc__)
    parser.add_argument("text", help=f"text with {MASK} in it, as LANGUAGE:TEXT")
    parser.add_argument("--top", type=int, default=5, help="pieces to show (default: 5)")
    args = parser.parse_args(arguments)
    if MASK not in args.text:
        parser.error(f"the text has no {MASK}")
    if args.top < 1:
        parser.error("--top is a number from 1")
    model = Model.open(args.model)
    for number, candidates in enumerate(fill(model, model.parse(args.text), args.top), start=1):
        for value, piece in candidates:
            print(f"mask {number}  {value:6.1%}  {piece}")
    return 0
