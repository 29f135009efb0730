"""What the commands share: their checkpoint, and texts that say their language."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ernie_m.checkpoints.open import open_checkpoint
from ernie_m.errors import UserError
from ernie_m.model.architecture import POSITION_OFFSET
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer.vocabulary import Tokenizer

LATEST = Path("results/default/pretrain_btmlm/ernie_m")


@dataclass(frozen=True)
class Text:
    """A text and its language, "" when none was said."""

    language: str
    text: str


def parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all commands have."""
    made = argparse.ArgumentParser(
        prog=f"ernie-m {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--model",
        type=Path,
        default=LATEST,
        help=f"file or folder of a checkpoint, ours or XLM-R's form (default: {LATEST})",
    )
    return made


@dataclass(frozen=True)
class Model:
    """A checkpoint with its vocabulary."""

    model: LanguageModel
    tokenizer: Tokenizer

    @classmethod
    def open(cls, path: Path) -> Model:
        """The checkpoint at ``path``; raises :class:`UserError`."""
        return cls(*open_checkpoint(path))

    def parse(self, given: str) -> Text:
        """``de:Ein Text`` as German, where the model knows ``de``; else a text of no language."""
        code, colon, rest = given.partition(":")
        if colon and code in self.model.shape.languages:
            return Text(code, rest.strip())
        return Text("", given)

    def row(self, text: Text) -> int:
        """Row of its language in the language embedding, -1 for none."""
        return self.model.shape.language_index(text.language) if text.language else -1

    def needs_language(self, text: Text) -> None:
        """Raises :class:`UserError` for a text without a language that the model knows."""
        if not text.language:
            known = ", ".join(self.model.shape.languages) or "none"
            raise UserError(
                f"`{text.text}` does not say its language.",
                f"Write it as `en:...`; the model knows {known}.",
            )

    def check_length(self, ids: Sequence[int]) -> None:
        """Raises :class:`UserError` for more tokens than there are positions."""
        room = self.model.shape.max_positions - POSITION_OFFSET
        if len(ids) > room:
            raise UserError(
                f"The text has {len(ids)} tokens, the encoder reads {room}.", "Shorten it."
            )
