"""The attention rule, tested by what it must not let through.

Changing any token that a scored position may not depend on changes no bit of its logits, at any
depth; changing one that it may read does.
"""

import numpy as np
import pytest
import torch

from ernie_m.config.model import ModelSettings
from ernie_m.model import attention
from ernie_m.model.architecture import Architecture
from ernie_m.model.attention import TABLES, Stream, Table, allowed
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import IGNORE_INDEX, Documents, pack
from ernie_m.model.start import initialise
from ernie_m.objectives import OBJECTIVES, objectives
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Ragged

VOCABULARY = 60


def model_of(layers: int) -> LanguageModel:
    torch.manual_seed(0)
    shape = Architecture(
        VOCABULARY, layers, 16, 2, 32, 66, 0.0, 0.0, True, "continuous", ("en", "de"), "none"
    )
    model = LanguageModel(shape)
    settings = ModelSettings(layers=layers, width=16, heads=2, ffn=32, linear_gain=1.0)
    initialise(model, settings, torch.zeros(VOCABULARY))
    return model.eval()


def masking(ratio: float = 0.4, positions: str = "continuous") -> Masking:
    ratios = dict.fromkeys(OBJECTIVES, ratio)
    return Masking(VOCABULARY - 1, ratios, 0.4, 0.4, positions)


def ragged(*lengths: int, seed: int = 0) -> Ragged:
    tokens = np.random.default_rng(seed).integers(4, VOCABULARY - 1, sum(lengths))
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths)]))


def documents(kind: str) -> Documents:
    keys = np.array([3, 4], dtype=np.uint64)
    source, target = ragged(6, 5), ragged(7, 4, seed=1)
    one, other, group = np.zeros(2, int), np.ones(2, int), np.zeros(2, int)
    if kind == "mmlm":
        return objectives.mmlm(source, one, group, masking(), keys)
    if kind == "generate":
        return objectives.placeholders(
            source, np.array([3, 2]), (one, other), VOCABULARY - 1, "continuous"
        )
    build = getattr(objectives, kind)
    return build(source, target, (one, other), group, masking(), keys)


def may_influence(docs: Documents, query: int, key: int) -> bool:
    """Whether ``query``'s logits may depend on ``key``, told from the method, not from the code."""
    owner = np.repeat(np.arange(len(docs)), docs.lengths)
    if owner[query] != owner[key]:
        return False
    if Table(docs.table[owner[key]]) is not Table.CROSS:
        return True
    slot, target = docs.labels != IGNORE_INDEX, docs.languages == 1
    # The slots of its own side, and every token of the other sentence.
    return bool(slot[key] == (target[query] == target[key]))


def moved(model: LanguageModel, docs: Documents, key: int, where: torch.Tensor) -> torch.Tensor:
    """Which of the logits at ``where`` change, by a bit or more, with token ``key``."""
    ids = docs.ids.copy()
    ids[key] = 4 + (ids[key] - 4 + 1) % (VOCABULARY - 5)
    changed = Documents(**{**vars(docs), "ids": ids})
    return (model(pack(changed, 40), where) != model(pack(docs, 40), where)).any(dim=1)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("kind", ["mmlm", "tlm", "camlm", "btmlm", "generate"])
def test_logits_move_exactly_with_what_may_be_read(kind: str, layers: int) -> None:
    model, docs = model_of(layers), documents(kind)
    where = torch.from_numpy(np.flatnonzero(pack(docs, 40).labels.flatten() != IGNORE_INDEX))
    index = pack(docs, 40).flat_index()
    position_of = {int(flat): token for token, flat in enumerate(index)}
    with torch.no_grad():
        for key in range(len(docs.ids)):
            for query, differs in zip(where.tolist(), moved(model, docs, key, where), strict=True):
                expected = may_influence(docs, position_of[query], key)
                assert bool(differs) == expected, (kind, position_of[query], key)


def test_a_table_that_leaks_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that read both sentences hand a slot its own sentence, from the second layer on."""
    leaking = TABLES.clone()
    leaking[Table.CROSS, :2, :2] = True
    monkeypatch.setattr(attention, "TABLES", leaking)
    docs = documents("camlm")
    query = int(np.flatnonzero(docs.streams == Stream.TARGET_SLOT)[0])
    own = int(np.flatnonzero((docs.streams == Stream.TARGET) & (docs.ids >= 4))[0])
    where = torch.tensor([int(pack(docs, 40).flat_index()[query])])
    with torch.no_grad():
        found = {n: bool(moved(model_of(n), docs, own, where)) for n in (1, 2)}
    assert found == {1: False, 2: True}


@pytest.mark.parametrize("positions", ["continuous", "reset"])
@pytest.mark.parametrize("layers", [1, 4])
def test_a_slot_is_a_placeholder(positions: str, layers: int) -> None:
    """CAMLM with a slot for every token gives the scores of generation at the same places."""
    model = model_of(layers)
    source, target = ragged(6, 5), ragged(7, 4, seed=1)
    languages, group = (np.zeros(2, int), np.ones(2, int)), np.zeros(2, int)
    keys = np.array([3, 4], dtype=np.uint64)
    trained = objectives.camlm(source, target, languages, group, masking(1.0, positions), keys)
    asked = objectives.placeholders(source, target.lengths, languages, VOCABULARY - 1, positions)
    scores = []
    for docs in (trained, asked):
        packed = pack(docs, 48)
        slots = docs.streams == Stream.TARGET_SLOT
        with torch.no_grad():
            scores.append(model(packed, torch.from_numpy(packed.flat_index()[slots])))
    assert len(scores[0]) == len(target.tokens)
    torch.testing.assert_close(*scores, atol=1e-5, rtol=0)


def test_mask_equals_the_rule_written_out() -> None:
    docs = Documents.join([documents(k) for k in ("mmlm", "tlm", "camlm", "btmlm", "generate")])
    packed = pack(docs, 32)
    mask = allowed(packed.documents, packed.streams, packed.tables)
    rows, length = packed.ids.shape
    for r in range(rows):
        for q in range(length):
            for k in range(length):
                same = packed.documents[r, q] == packed.documents[r, k]
                cell = TABLES[packed.tables[r, q], packed.streams[r, q], packed.streams[r, k]]
                padding = packed.documents[r, q] < 0
                expected = same and bool(padding or cell)
                assert mask[r, q, k] == expected


def test_logits_do_not_depend_on_packing() -> None:
    model, docs = model_of(2), Documents.join([documents("camlm"), documents("mmlm")])
    outputs = []
    for packed in (pack(docs, 64), pack(docs, 24), pack(docs, 30, one_per_row=True)):
        flat = torch.from_numpy(packed.flat_index())
        scored = packed.labels.flatten()[flat] != IGNORE_INDEX
        with torch.no_grad():
            outputs.append(model(packed, flat[scored]))
    for other in outputs[1:]:
        torch.testing.assert_close(outputs[0], other, atol=1e-5, rtol=0)
