"""Reading of vocabularies (SentencePiece models, ``tokenizer.json``, ``vocab.txt``), and
trimming."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from google.protobuf.message import DecodeError
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from ernie_m.bounded import read_text
from ernie_m.catalogue.checkpoints import read_json, vocabulary_in
from ernie_m.errors import UserError

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
MASK = "<mask>"
# ERNIE-M's names for the same, in its vocab.txt.
ERNIE_NAMES = {"[CLS]": "<s>", "[PAD]": "<pad>", "[SEP]": "</s>", "[UNK]": "<unk>", "[MASK]": MASK}
_SENTENCEPIECE_SPECIALS = ["<unk>", "<s>", "</s>"]  # SentencePiece's first three pieces
_PIECE = ModelProto.SentencePiece


def parse(model: bytes, path: Path) -> ModelProto:
    """Parse a SentencePiece model; raises :class:`UserError` for anything else, and for a model not
    laid out as XLM-R's (``<unk>``, ``<s>``, ``</s>`` first, a unigram model)."""
    proto = ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        proto.Clear()
    unigram = proto.trainer_spec.model_type == proto.trainer_spec.UNIGRAM
    if [entry.piece for entry in proto.pieces[:3]] != _SENTENCEPIECE_SPECIALS or not unigram:
        raise UserError(
            f"{path} is not a SentencePiece model as XLM-R's.",
            "Give a unigram model whose first pieces are <unk>, <s> and </s>.",
        )
    return proto


def piece_names(proto: ModelProto) -> list[str]:
    """The piece of each id, special tokens under XLM-R's names."""
    return [*SPECIALS, *(entry.piece for entry in proto.pieces[3:]), MASK]


def read_proto(path: Path) -> ModelProto:
    """Read a vocabulary from a SentencePiece model or a ``tokenizer.json``; raises UserError."""
    return _from_json(path) if path.suffix == ".json" else parse(path.read_bytes(), path)


def read_vocab_txt(path: Path) -> list[str]:
    """The piece of each id: line ``i`` names id ``i``, or ends in a tab and the id."""
    try:
        lines = read_text(path).rstrip("\n").split("\n")
    except ValueError as error:
        raise UserError(f"{path} is not a list of pieces: {error}.", "Fetch it again.") from None
    pieces: dict[int, str] = {}
    for number, line in enumerate(lines):
        piece, tab, index = line.rpartition("\t")
        text, number_of = (
            (piece, index) if tab and index.isdecimal() and len(index) < 10 else (line, str(number))
        )
        pieces[int(number_of)] = ERNIE_NAMES.get(text, text)
    if sorted(pieces) != list(range(len(lines))):
        raise UserError(f"{path} does not name each id once.", "Fetch it again.")
    return [pieces[index] for index in range(len(lines))]


def _from_json(path: Path) -> ModelProto:
    """A SentencePiece model with the pieces, scores and normalisation of a ``tokenizer.json``."""
    content = read_json(path)
    try:
        model, normalizer = content["model"], content["normalizer"]
        steps = normalizer.get("normalizers", [normalizer])
        (charsmap,) = (s["precompiled_charsmap"] for s in steps if s["type"] == "Precompiled")
        vocabulary = [(str(piece), float(score)) for piece, score in model["vocab"]]
        rules = base64.b64decode(charsmap, validate=True)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        vocabulary, rules = [], b""
    if [piece for piece, _ in vocabulary[:4]] != SPECIALS or vocabulary[-1][0] != MASK:
        raise UserError(
            f"{path} is not a unigram tokenizer as XLM-R's.",
            "Give one whose first pieces are <s>, <pad>, </s> and <unk>, and whose last is <mask>.",
        )
    proto = ModelProto()
    kinds = [_PIECE.UNKNOWN, _PIECE.CONTROL, _PIECE.CONTROL]
    for piece, kind in zip(_SENTENCEPIECE_SPECIALS, kinds, strict=True):
        proto.pieces.add(piece=piece, score=0.0, type=kind)
    for piece, score in vocabulary[4:-1]:
        proto.pieces.add(piece=piece, score=score)
    proto.trainer_spec.model_type = proto.trainer_spec.UNIGRAM
    proto.normalizer_spec.name = "nmt_nfkc"
    proto.normalizer_spec.precompiled_charsmap = rules
    return proto


def trim(proto: ModelProto, used: Iterable[int]) -> ModelProto:
    """The vocabulary with only the pieces ``used`` (SentencePiece's numbers) and those it needs.

    Text whose pieces are all kept is segmented as before: its best segmentation is still available.
    The piece with the lowest score is kept, because SentencePiece derives the score of an unknown
    character from it.
    """
    wanted = set(used)
    normal = [i for i, entry in enumerate(proto.pieces) if entry.type == _PIECE.NORMAL]
    lowest = min(normal, key=lambda index: proto.pieces[index].score)
    kept = [
        entry
        for index, entry in enumerate(proto.pieces)
        if entry.type != _PIECE.NORMAL or index in wanted or index == lowest
    ]
    trimmed = ModelProto()
    trimmed.CopyFrom(proto)
    del trimmed.pieces[:]
    trimmed.pieces.extend(kept)
    trimmed.trainer_spec.vocab_size = len(kept)
    return trimmed


def row_indices(pieces: Sequence[str], theirs: Sequence[str], path: Path) -> list[int]:
    """The index in ``theirs`` of each of our ``pieces``; raises :class:`UserError` for a missing
    one."""
    index = {piece: row for row, piece in enumerate(theirs)}
    missing = next((piece for piece in pieces if piece not in index), None)
    if missing is not None or len(index) != len(theirs):
        what = f"lacks the piece `{missing}`" if missing else "names a piece twice"
        raise UserError(
            f"The vocabulary of {path} {what}.",
            "Take weights and vocabulary from the same checkpoint.",
        )
    return [index[piece] for piece in pieces]


def used_pieces(proto: ModelProto, text: Iterable[Sequence[str]], threads: int) -> set[int]:
    """Numbers of the pieces that occur in ``text``, blocks of lines; one block is in memory at a
    time."""
    processor = SentencePieceProcessor(model_proto=proto.SerializeToString(deterministic=True))
    found: set[int] = set()
    for lines in text:
        found.update(chain.from_iterable(processor.encode(list(lines), num_threads=threads)))
    return found


def vocabulary_of(folder: Path, text: Iterable[Sequence[str]] | None, threads: int) -> bytes:
    """The SentencePiece model of the checkpoint in ``folder``, trimmed to the pieces that occur in
    ``text`` (blocks of lines) where that is given. Raises :class:`UserError`."""
    path = vocabulary_in(folder)
    if text is None and path.suffix != ".json":
        return path.read_bytes()
    proto = read_proto(path)
    if text is not None:
        proto = trim(proto, used_pieces(proto, text, threads))
    return proto.SerializeToString(deterministic=True)
