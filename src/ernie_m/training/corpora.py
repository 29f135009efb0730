"""The dataset of each objective, from encoded shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ernie_m.errors import UserError
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.ragged import Chained
from ernie_m.tokenizer.shards import Shard, check_ids, read_shard
from ernie_m.training.order import Texts
from ernie_m.training.pseudo import AGAIN, Pseudo, PseudoTokens, check_chunks, read_pseudo

Array = np.ndarray
# Sentences of a class in which token frequencies are counted; more would not change any shown
# digit.
COUNTED = 1_000_000


@dataclass(frozen=True)
class Sentences:
    """Monolingual text of all languages in the order of the model's language rows.

    ``keys`` has the sentence keys of each shard, uint64 ``[m]``; ``sizes`` int64 ``[c]`` the number
    of sentences of each language.
    """

    tokens: Chained
    keys: tuple[Array, ...]
    sizes: Array

    def followed_by(self, other: Sentences) -> Sentences:
        """Both, numbered through; the classes of ``other`` come after these."""
        return Sentences(
            tokens=Chained((*self.tokens.parts, *other.tokens.parts), self.tokens.longest),
            keys=(*self.keys, *other.keys),
            sizes=np.concatenate([self.sizes, other.sizes]),
        )

    def keys_of(self, numbers: Array) -> Array:
        """Keys of the sentences ``numbers`` (ascending), uint64."""
        edges = np.searchsorted(numbers, self.tokens.starts)
        parts = zip(self.keys, self.tokens.starts, edges[:-1], edges[1:], strict=False)
        keys_by_shard = [keys[numbers[low:high] - start] for keys, start, low, high in parts]
        return np.concatenate([np.zeros(0, np.uint64), *keys_by_shard])


def read_shards(
    paths: Sequence[Path], sides: int, tokenizer: str, vocabulary: int | None = None
) -> list[Shard]:
    """The monolingual (``sides`` 1) or parallel (2) shards among ``paths``, in their order.

    Raises :class:`UserError` for a damaged shard, one of another ``tokenizer`` (a SHA-256), or one
    with ids beyond the ``vocabulary``, where that is given: it takes reading them all.
    """
    shards = ((path, read_shard(path, tokenizer)) for path in paths)
    found = [(path, shard) for path, shard in shards if len(shard.sides) == sides]
    if vocabulary is not None:
        for path, shard in found:
            check_ids(path, shard, vocabulary)
    return [shard for _, shard in found]


def _side(shards: Sequence[Shard], side: int, max_tokens: int) -> Chained:
    return Chained(tuple(shard.sides[side] for shard in shards), max_tokens)


def _by_name(shards: Sequence[Shard], names: Sequence[str]) -> tuple[list[Shard], Array]:
    """The shards in the order of ``names``, and the number of sentences of each name, ``[c]``."""
    ordered = [shard for name in names for shard in shards if "-".join(shard.languages) == name]
    sizes = [sum(len(s) for s in ordered if "-".join(s.languages) == name) for name in names]
    return ordered, np.array(sizes, dtype=np.int64)


def monolingual(shards: Sequence[Shard], languages: Sequence[str], max_tokens: int) -> Sentences:
    """All monolingual sentences, truncated to ``max_tokens``; raises :class:`UserError` if none."""
    ordered, sizes = _by_name(shards, languages)
    if not sizes.sum():
        raise UserError("There is no monolingual text.", "Check `corpora.deal.mono_share`.")
    return Sentences(
        tokens=_side(ordered, 0, max_tokens),
        keys=tuple(shard.keys for shard in ordered),
        sizes=sizes,
    )


def mono_texts(sentences: Sentences, languages: Sequence[str]) -> Texts:
    """The dataset of MMLM."""
    return Texts(
        sentences.tokens, None, _same_language_rows(languages), sentences.sizes, tuple(languages)
    )


def _same_language_rows(languages: Sequence[str]) -> Array:
    rows = np.arange(len(languages))
    return np.stack([rows, rows], axis=1)


def parallel_texts(
    shards: Sequence[Shard], languages: Sequence[str], max_tokens: int, slot_ratio: float = 0.0
) -> Texts:
    """The dataset of TLM or CAMLM, each side truncated to ``max_tokens``; one class per pair.
    ``slot_ratio`` is CAMLM's."""
    pairs = {"-".join(shard.languages): shard.languages for shard in shards}
    names = sorted(pairs)
    if unknown := {side for sides in pairs.values() for side in sides} - set(languages):
        raise UserError(
            f"The model does not know the language `{min(unknown)}` of a shard.",
            "Give the shards of `corpora.pairs` only.",
        )
    ordered, sizes = _by_name(shards, names)
    if not sizes.sum():
        raise UserError("There is no parallel text.", "Check `corpora.pairs` and the filters.")
    rows = [[list(languages).index(side) for side in pairs[name]] for name in names]
    return Texts(
        source=_side(ordered, 0, max_tokens),
        target=_side(ordered, 1, max_tokens),
        languages=np.array(rows, dtype=np.int64),
        sizes=sizes,
        names=tuple(names),
        slot_ratio=slot_ratio,
    )


def btmlm_texts(
    sentences: Sentences,
    pseudo: PseudoTokens,
    names: Sequence[str],
    languages: Sequence[str],
) -> Texts:
    """The dataset of BTMLM: sentences in the languages ``names`` with their pseudo tokens."""
    rows = np.array([list(languages).index(name) for name in names])
    return Texts(
        source=sentences.tokens,
        target=pseudo,
        languages=np.stack([rows, rows], axis=1),
        sizes=sentences.sizes,
        names=tuple(names),
        target_rows=pseudo.targets_of,
    )


def pseudo_texts(
    shards: Sequence[Shard],
    pseudo: Sequence[Path],
    part: str,
    languages: Sequence[str],
    row_length: int,
    vocabulary: int | None,
) -> Texts:
    """The dataset of BTMLM of a ``part``, train or valid. Sentences are truncated to what the
    pseudo tokens leave of a row.

    Raises :class:`UserError` for damaged files, and when the pseudo tokens were made for other
    text.
    """
    files = tuple(read_pseudo(path, vocabulary, languages) for path in pseudo)
    check_chunks(files)
    chunk = files[0]
    sentences = monolingual(
        shards, chunk.languages, max_text_tokens("btmlm", row_length, chunk.ratio)
    )
    first, count = (0, chunk.train) if part == "train" else (chunk.train, chunk.valid)
    if len(sentences.tokens) != count or not _keys_match(sentences, files, first):
        raise UserError("The pseudo tokens are of other sentences than these.", AGAIN)
    tokens = PseudoTokens(sentences.tokens, chunk.ratio, files, first)
    return btmlm_texts(sentences, tokens, chunk.languages, languages)


def _keys_match(sentences: Sentences, files: Sequence[Pseudo], first: int) -> bool:
    """Whether the keys in the files are those of ``sentences``, the first of which has number
    ``first`` in the files."""
    for file in files:
        low, high = np.searchsorted(file.numbers, [first, first + len(sentences.tokens)])
        keys = sentences.keys_of(file.numbers[low:high] - first)
        if (keys != file.keys[low:high]).any():
            return False
    return True


def unigram_counts(texts: Iterable[Texts], languages: int, vocabulary: int) -> Array:
    """Training tokens by language and piece, ``[languages, vocabulary]``, in at most ``COUNTED``
    evenly spaced sentences of each class.

    Give only texts whose sides are real: pseudo tokens are a model's output.
    """
    counts = np.zeros((languages, vocabulary), dtype=np.int64)
    for text in texts:
        for number, (size, rows) in enumerate(zip(text.sizes, text.languages, strict=True)):
            for block in text.blocks(number, every=max(1, -(-int(size) // COUNTED))):
                for row, side in zip(rows, (text.source, text.target), strict=True):
                    if side is not None:
                        counts[row] += np.bincount(side.take(block).tokens, minlength=vocabulary)
    return counts
