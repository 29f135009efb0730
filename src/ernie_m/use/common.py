"""Shared by the commands: opening a checkpoint, and parsing texts with their language."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.checkpoints.open import open_checkpoint
from ernie_m.errors import UserError
from ernie_m.model.architecture import POSITION_OFFSET
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer.vocabulary import Tokenizer

LATEST = Path("results/default/pretrain_btmlm/ernie_m")
CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]+)?")  # looks like a language code


@dataclass(frozen=True)
class Text:
    """A text and its language, "" if not given."""

    language: str
    text: str


def command_parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all commands have."""
    parser = argument_parser(f"ernie-m {verb}", description)
    parser.add_argument(
        "--model",
        type=Path,
        default=LATEST,
        help=f"file or folder of a checkpoint, ours or XLM-R's form (default: {LATEST})",
    )
    return parser


@dataclass(frozen=True)
class Model:
    """A checkpoint with its vocabulary."""

    model: LanguageModel
    tokenizer: Tokenizer

    @classmethod
    def open(cls, path: Path) -> Model:
        """The checkpoint at ``path``; raises :class:`UserError`."""
        if not path.exists():
            raise UserError(
                f"There is no checkpoint {path}.",
                f"`make reproduce` makes {LATEST}; name another one by --model.",
            )
        return cls(*open_checkpoint(path))

    def parse(self, argument: str) -> Text:
        """Parse ``de:Ein Text`` as German, and a text without a code as one of no language.

        Raises :class:`UserError` for an empty text, and for a code that the model does not know.
        """
        argument.encode()  # raises for text from a terminal in another encoding
        code, colon, rest = argument.partition(":")
        spoken = bool(colon) and code in self.model.shape.languages
        if colon and not spoken and CODE.fullmatch(code):
            raise self._stranger(code)
        text = Text(code, rest.strip()) if spoken else Text("", argument)
        if not text.text.strip():
            raise UserError(
                f"`{argument}` holds no text.", "Write it as `en:The device is offline`."
            )
        return text

    def _stranger(self, code: str) -> UserError:
        known = self.model.shape.languages
        if not known:
            return UserError(
                f"The model tells no languages apart, so `{code}:` says nothing to it.",
                "Leave it out; where it is no language, put a space before it.",
            )
        near = difflib.get_close_matches(code.lower(), known, n=1)
        return UserError(
            f"`{code}:` is no language of the model, which knows {', '.join(known)}.",
            (f"Did you mean `{near[0]}:`? " if near else "")
            + "Where it is no language, put a space before it.",
        )

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
