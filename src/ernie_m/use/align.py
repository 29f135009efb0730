"""Draw how alike the tokens of two sentences are to a model.

  ernie-m align "en:The device is offline" "de:Das Gerät ist offline" --out align.svg

Each sentence is read by itself. A cell is the cosine of two tokens' states in one layer, less the
mean of its sentence, so that what all tokens of a language share does not hide the rest; the
framed cells are those that are likest in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from ernie_m.config.xtreme import PredictSettings
from ernie_m.model.packing import pack, sentences
from ernie_m.use.common import Model, Text, parser
from ernie_m.xtreme.retrieval import layer_index

CELL, LEFT, TOP = 26, 130, 110
STYLE = "text{font:13px sans-serif;fill:#222} rect{stroke:#fff} .best{fill:none;stroke:#c2410c}"


@torch.no_grad()
def similarity(
    model: Model, texts: tuple[Text, Text], layer: int
) -> tuple[list[list[str]], Tensor]:
    """The pieces of both texts, and the cosine of each two, float ``[n, m]`` (-1 to 1)."""
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


def picture(rows: Sequence[str], columns: Sequence[str], values: Tensor) -> str:
    """A self-contained SVG: the darker, the liker."""
    width, height = LEFT + CELL * len(columns) + 60, TOP + CELL * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    for number, piece in enumerate(rows):
        y = TOP + CELL * number + 17
        parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{escape(piece)}</text>')
    for number, piece in enumerate(columns):
        x = LEFT + CELL * number + 17
        turned = f'transform="translate({x},{TOP - 8}) rotate(-55)"'
        parts.append(f"<text {turned}>{escape(piece)}</text>")
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            mutual = value == max(row) == float(values[:, j].max())
            where = f'x="{LEFT + CELL * j}" y="{TOP + CELL * i}" width="{CELL}" height="{CELL}"'
            shade = f'fill="#1d4ed8" fill-opacity="{max(0.0, value):.2f}"'
            tip = f"<title>{escape(rows[i])} {escape(columns[j])} {value:.2f}</title>"
            parts.append(f"<rect {where} {shade}>{tip}</rect>")
            parts += [f'<rect {where} class="best" stroke-width="2"/>'] if mutual else []
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    own = parser("align", __doc__)
    own.add_argument("first", help="a sentence, as LANGUAGE:TEXT")
    own.add_argument("second", help="another")
    own.add_argument(
        "--layer", type=int, default=PredictSettings().layer, help="default: %(default)s"
    )
    own.add_argument("--out", type=Path, default=Path("align.svg"), help="default: %(default)s")
    args = own.parse_args(arguments)
    model = Model.open(args.model)
    texts = (model.parse(args.first), model.parse(args.second))
    (rows, columns), values = similarity(model, texts, args.layer)
    args.out.write_text(picture(rows, columns, values), encoding="utf-8")
    for piece, row in zip(rows, values, strict=True):
        best = int(row.argmax())
        print(f"{row[best]:5.2f}  {piece}  {columns[best]}")
    print(f"{args.out}: {len(rows)} x {len(columns)} tokens")
    return 0
