"""Draw the similarity of two sentences' tokens.

  ernie-m align "en:The device is offline" "de:Das Gerät ist offline" --out align.svg

Each sentence is encoded by itself. A cell is the cosine of two tokens' hidden states in one layer,
after subtracting each sentence's mean, so that what all tokens of a language share does not hide
the rest. Framed cells are mutual nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ernie_m.config.xtreme import PredictSettings
from ernie_m.model.packing import pack, sentences
from ernie_m.report.svg import Drawing
from ernie_m.use.common import Model, Text, command_parser
from ernie_m.xtreme.vectors.retrieval import layer_index

CELL, LEFT, TOP = 26, 130, 110


@torch.no_grad()
def similarity(
    model: Model, texts: tuple[Text, Text], layer: int
) -> tuple[list[list[str]], Tensor]:
    """The pieces of both texts, and their cosines, float ``[n, m]`` (-1 to 1)."""
    index = layer_index(layer, len(model.model.encoder.layers))
    pieces, states = [], []
    for text in texts:
        (ids,) = model.tokenizer.encode([text.text])
        whole = [model.tokenizer.bos_id, *ids, model.tokenizer.eos_id]
        model.check_length(whole)
        batch = pack(sentences([whole], [model.row(text)]), len(whole))
        state = model.model.encoder.hidden_states(batch)[index][0, 1:-1]
        pieces.append([model.tokenizer.piece(i) for i in ids])
        states.append(torch.nn.functional.normalize(state - state.mean(dim=0), dim=1))
    return pieces, states[0] @ states[1].T


def picture(rows: Sequence[str], columns: Sequence[str], values: Tensor) -> Drawing:
    """A grid of cells; the darker, the more similar."""
    drawing = Drawing(
        LEFT + CELL * len(columns) + 60, TOP + CELL * len(rows), "Tokens of two sentences"
    )
    for number, piece in enumerate(rows):
        drawing.text((LEFT - 8, TOP + CELL * number + 17), piece, anchor="end")
    for number, piece in enumerate(columns):
        drawing.text((LEFT + CELL * number + 17, TOP - 8), piece, turned=-55)
    best = []
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            corner = (LEFT + CELL * j, TOP + CELL * i)
            drawing.cell(corner, CELL, value, f"{rows[i]} {columns[j]} {value:.2f}")
            if value == max(row) == float(values[:, j].max()):
                best.append(corner)
    for corner in best:  # drawn last, over neighbouring cells
        drawing.box(corner, CELL, CELL, "best")
    return drawing


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    parser = command_parser("align", __doc__)
    parser.add_argument("first", help="a sentence, as LANGUAGE:TEXT")
    parser.add_argument("second", help="another")
    parser.add_argument(
        "--layer", type=int, default=PredictSettings().layer, help="default: %(default)s"
    )
    parser.add_argument("--out", type=Path, default=Path("align.svg"), help="default: %(default)s")
    args = parser.parse_args(arguments)
    model = Model.open(args.model)
    texts = (model.parse(args.first), model.parse(args.second))
    (rows, columns), values = similarity(model, texts, args.layer)
    args.out.write_text(picture(rows, columns, values).file(), encoding="utf-8")
    for piece, row in zip(rows, values, strict=True):
        best = int(row.argmax())
        print(f"{row[best]:5.2f}  {piece}  {columns[best]}")
    print(f"{args.out}: {len(rows)} x {len(columns)} tokens")
    return 0
