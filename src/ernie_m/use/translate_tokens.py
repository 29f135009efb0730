"""Show the pseudo tokens that back-translation generates for a sentence, in each language.

  ernie-m translate-tokens "en:The device is offline"
  ernie-m translate-tokens --ratio 1 --to de --to ru "en:The device is offline"

This is the generation step of BTMLM: placeholders after the sentence, all predicted at once, so the
output is a list of likely words of a translation, not a translation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ernie_m.config.pretrain import BacktranslateSettings
from ernie_m.pretrain.backtranslate import generate
from ernie_m.ragged import Ragged
from ernie_m.use.common import Model, Text, command_parser


def translate(model: Model, text: Text, targets: Sequence[str], ratio: float) -> list[list[str]]:
    """The pieces generated for ``text`` in each of ``targets``; raises :class:`UserError`."""
    model.needs_language(text)
    (ids,) = model.tokenizer.encode([text.text])
    model.check_length([*ids, *ids])
    rows = np.array([model.model.shape.language_index(target) for target in targets])
    source = Ragged.of([ids] * len(targets), model.model.shape.vocabulary)
    language = np.full(len(targets), model.row(text))
    generated = generate(model.model, source, language, rows, ratio)
    return [
        [model.tokenizer.piece(int(i)) for i in generated.tokens[first:last]]
        for first, last in zip(generated.offsets[:-1], generated.offsets[1:], strict=True)
    ]


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    parser = command_parser("translate-tokens", __doc__)
    parser.add_argument("text", help="a sentence, as LANGUAGE:TEXT")
    parser.add_argument("--to", action="append", help="a target language (default: all others)")
    parser.add_argument(
        "--ratio",
        type=float,
        default=BacktranslateSettings().placeholder_ratio,
        help="placeholders by tokens of the sentence (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    if not 0 < args.ratio <= 2:
        parser.error("--ratio is a number above 0 and up to 2")
    model = Model.open(args.model)
    text = model.parse(args.text)
    targets = args.to or [code for code in model.model.shape.languages if code != text.language]
    for target, pieces in zip(targets, translate(model, text, targets, args.ratio), strict=True):
        print(f"{target}  {' '.join(pieces)}")
    return 0
