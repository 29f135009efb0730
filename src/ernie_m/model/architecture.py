"""The shape of an encoder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pydantic import ConfigDict, TypeAdapter

from ernie_m.bounded import parse_json
from ernie_m.errors import UserError

# XLM-R and ERNIE-M have two unused position rows at the start: the first token uses row 2.
POSITION_OFFSET = 2


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build an encoder, except its weights.

    ``languages`` fixes the row of each language in the language embedding; ``tokenizer`` is the
    SHA-256 of the SentencePiece model whose ids the word embedding is indexed by.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    vocabulary: int
    layers: int
    width: int
    heads: int
    ffn: int
    max_positions: int
    dropout: float
    attention_dropout: float
    language_embeddings: bool
    pair_positions: str
    languages: tuple[str, ...]
    tokenizer: str

    def to_json(self) -> str:
        """One line of JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Inverse of :meth:`to_json`; raises :class:`UserError` on other keys, and on values of
        other types."""
        try:
            parse_json(text)
            return TypeAdapter(cls).validate_json(text)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"The checkpoint's architecture cannot be read: {reason}.",
                "Use a checkpoint that this version wrote, or run its stage again.",
            ) from None

    def language_index(self, language: str) -> int:
        """Row of ``language``; raises :class:`UserError` for one that was not pre-trained on."""
        if language not in self.languages:
            raise UserError(
                f"The model does not know the language `{language}`.",
                f"Choose among {', '.join(self.languages)}, or pre-train with it in "
                "`corpora.languages`.",
            )
        return self.languages.index(language)
