"""Convert a vocabulary for the library tokenizers.

Kept apart from the reading of vocabularies, which tokenizer training imports: a change to the
export must not retrain anything.
"""

from __future__ import annotations

import base64
from typing import Any

from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from ernie_m.errors import UserError
from ernie_m.tokenizer.pieces import MASK, SPECIALS, piece_names
from ernie_m.tokenizer.vocabulary import BOS, EOS, UNK


def tokenizer_json(proto: ModelProto) -> dict[str, Any]:
    """A vocabulary as a ``tokenizer.json`` of the library tokenizers.

    Splitting at white space before the ``▁`` is equivalent to SentencePiece's removal of extra
    spaces. Raises :class:`UserError` for a vocabulary with byte fallback, which XLM-R's tokenizer
    classes do not have.
    """
    if proto.trainer_spec.byte_fallback:
        raise UserError(
            "XLM-R's tokenizer has no pieces for single bytes.",
            "Train with `tokenizer.train.byte_fallback: false` to export for transformers.",
        )
    pieces = piece_names(proto)
    scores = [0.0] * 4 + [entry.score for entry in proto.pieces[3:]] + [0.0]
    ids = {name: index for index, name in enumerate(pieces)}
    special = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode("ascii")
    bos, eos = (
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    )
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            # The mask token absorbs the space before it, as XLM-R's does.
            {"id": ids[name], "content": name, "lstrip": name == MASK, **special}
            for name in [*SPECIALS, MASK]
        ],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, space],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, first, eos],
            "pair": [bos, first, eos, eos, second, eos],
            "special_tokens": {
                name: {"id": name, "ids": [index], "tokens": [name]}
                for name, index in (("</s>", EOS), ("<s>", BOS))
            },
        },
        "decoder": space,
        "model": {
            "type": "Unigram",
            "unk_id": UNK,
            "vocab": [list(entry) for entry in zip(pieces, scores, strict=True)],
            "byte_fallback": False,
        },
    }
