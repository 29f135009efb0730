"""Text to ids and back, with the id layout of XLM-R and ERNIE-M.

``<s>`` 0, ``<pad>`` 1, ``</s>`` 2, ``<unk>`` 3, then SentencePiece's pieces from the fourth on at
their number plus one (its first three are ``<unk>``, ``<s>``, ``</s>``), ``<mask>`` last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import sentencepiece

from ernie_m.errors import UserError
from ernie_m.ragged import Ragged, smallest_type
from ernie_m.records.digest import file_sha256

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPECIALS = 4
# SentencePiece's special pieces: <unk>, <s>, </s>.
_SENTENCEPIECE_SPECIALS = 3
# Sentences passed to SentencePiece's threads at once.
BLOCK = 20_000

Span = tuple[int, int]


class Tokenizer:
    """A SentencePiece model with XLM-R's ids.

    Raises :class:`UserError` when ``path`` is not a SentencePiece model.
    """

    bos_id, pad_id, eos_id, unk_id = BOS, PAD, EOS, UNK

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        except RuntimeError:
            raise UserError(
                f"{path} is not a SentencePiece model.", "Make it with tokenizer.train."
            ) from None
        # SentencePiece's piece number -> id.
        ids = [UNK] * _SENTENCEPIECE_SPECIALS + list(range(SPECIALS, len(self._model) + 1))
        self._ids = np.array(ids, dtype=smallest_type(self.size))

    @cached_property
    def sha256(self) -> str:
        """Digest of the model file, which shards and checkpoints store."""
        return file_sha256(self.path)

    @property
    def mask_id(self) -> int:
        """Id of ``<mask>``, the last one."""
        return self.size - 1

    @property
    def size(self) -> int:
        """Number of ids, special tokens included: rows of the embedding table."""
        return len(self._model) + 2

    def _pieces(self, texts: Sequence[str], threads: int) -> Iterator[np.ndarray]:
        """SentencePiece's piece numbers, int32, of each text."""
        for start in range(0, len(texts), BLOCK):
            block = list(texts[start : start + BLOCK])
            yield from self._model.encode(block, return_type="numpy", num_threads=threads)

    def encode(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each text without ``<s>`` and ``</s>``."""
        return [self._ids[pieces].tolist() for pieces in self._pieces(texts, threads)]

    def encode_ragged(self, texts: Sequence[str], threads: int = 1) -> Ragged:
        """The same as arrays, in the smallest type that holds the ids."""
        pieces = list(self._pieces(texts, threads))
        offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        return Ragged(self._ids[np.concatenate(pieces or [np.zeros(0, np.int32)])], offsets)

    def encode_with_offsets(
        self, texts: Sequence[str], threads: int = 1
    ) -> list[tuple[list[int], list[Span]]]:
        """Ids of each text, and for each id the (start, end) of its characters in the text.

        Offsets refer to the original string although SentencePiece normalises it:
        ``text[start:end]`` is the piece's surface. It excludes the space before a word, so that
        spans can be compared with words; a lone ``▁`` has an empty span.
        """
        encoded: list[tuple[list[int], list[Span]]] = []
        for start in range(0, len(texts), BLOCK):
            block = list(texts[start : start + BLOCK])
            mappings = self._model.encode(block, out_type="offset_mapping", num_threads=threads)
            for text, pieces in zip(block, mappings, strict=True):
                ids = self._ids[pieces["ids"]].tolist()
                spans = [_without_space(text, first, last) for first, last in pieces["offsets"]]
                encoded.append((ids, spans))
        return encoded

    def encode_words(self, words: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Ids of each word of a sentence, encoded one by one as in XTREME's tagging. A word that
        normalises to nothing gets ``<unk>``, so that every word has a first piece."""
        return [ids or [UNK] for ids in self.encode(words, threads)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ``ids`` without special tokens."""
        return str(self._model.decode([i - 1 for i in ids if SPECIALS <= i < self.mask_id]))

    def piece(self, index: int) -> str:
        """The piece of one id, as SentencePiece writes it."""
        names = {BOS: "<s>", PAD: "<pad>", EOS: "</s>", UNK: "<unk>", self.mask_id: "<mask>"}
        return names.get(index) or str(self._model.id_to_piece(index - 1))

    def log_probabilities(self) -> list[float]:
        """Natural log-probability of each id under SentencePiece's unigram model; special tokens
        get the lowest of the pieces'."""
        scores = [
            self._model.get_score(piece)
            for piece in range(_SENTENCEPIECE_SPECIALS, len(self._model))
        ]
        return [min(scores)] * SPECIALS + scores + [min(scores)]


def _without_space(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    return start, end
