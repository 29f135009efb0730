"""The attention rule, tested by what it must not let through.

Changing any token that a scored position may not depend on changes no bit of its logits, at any
depth; changing one that it may read does.
"""

import numpy as np
import pytest
import torch

from ernie_m.config.model import ModelSettings
from ernie_m.model.architecture import Architecture
from ernie_m.model.attention import TABLES, Stream, Table, allowed
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import NOT_SCORED, Documents, pack
from ernie_m.model.start import initialise
from ernie_m.objectives import objectives
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


def masking(words: bool = False, rows: str = "own") -> Masking:
    ratio = dict.fromkeys(objectives.OBJECTIVES, 0.4)
    return Masking(VOCABULARY - 1, ratio, 0.4, 0.4, words, "both", rows, "continuous")


def ragged(*lengths: int, seed: int = 0) -> Ragged:
    tokens = np.random.default_rng(seed).integers(4, VOCABULARY - 1, sum(lengths))
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths)]))


def documents(kind: str, words: bool = False) -> Documents:
    rng = np.random.default_rng(3)
    source, target = ragged(6, 5), ragged(7, 4, seed=1)
    one, other, group = np.zeros(2, int), np.ones(2, int), np.zeros(2, int)
    if kind == "mmlm":
        return objectives.mmlm(source, one, group, masking(), rng)
    if kind == "generate":
        return objectives.placeholders(
            source, np.array([3, 2]), (one, other), VOCABULARY - 1, "continuous"
        )
    build = getattr(objectives, kind)
    return build(source, target, (one, other), group, masking(words), rng)


def may_influence(docs: Documents, query: int, key: int, camlm_words: bool) -> bool:
    """Whether ``query``'s logits may depend on ``key``, told from the method, not from the code."""
    owner = np.repeat(np.arange(len(docs)), docs.lengths)
    if owner[query] != owner[key]:
        return False
    table = Table(docs.table[owner[key]])
    if table in (Table.ONE_SENTENCE, Table.EVERYTHING):
        return True
    target = docs.languages == 1
    visible = docs.streams < 2
    if table is Table.GENERATE and target[key] and visible[key]:
        return False
    if visible[key]:
        return bool(target[query] != target[key])
    if camlm_words:
        return query == key
    return bool(target[query] == target[key])


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("mmlm", False),
        ("tlm", False),
        ("camlm", False),
        ("camlm", True),
        ("btmlm", False),
        ("generate", False),
    ],
)
def test_logits_move_exactly_with_what_may_be_read(kind: str, words: bool, layers: int) -> None:
    model, docs = model_of(layers), documents(kind, words)
    where = torch.from_numpy(np.flatnonzero(pack(docs, 40).labels.flatten() != NOT_SCORED))
    index = pack(docs, 40).flat_index()
    position_of = {int(flat): token for token, flat in enumerate(index)}
    with torch.no_grad():
        before = model(pack(docs, 40), where)
        for key in range(len(docs.ids)):
            ids = docs.ids.copy()
            ids[key] = 4 + (ids[key] - 4 + 1) % (VOCABULARY - 5)
            changed = Documents(**{**vars(docs), "ids": ids})
            same = (model(pack(changed, 40), where) == before).all(dim=1)
            for query, equal in zip(where.tolist(), same.tolist(), strict=True):
                allowed_here = may_influence(docs, position_of[query], key, words)
                assert equal != allowed_here, (kind, position_of[query], key)


def test_the_ablation_that_leaks_is_caught() -> None:
    docs = documents("camlm")
    leaking = Documents(**{**vars(docs), "table": np.full(2, Table.CROSS_LEAKING)})
    packed = pack(leaking, 40)
    query = int(np.flatnonzero(docs.streams == Stream.MASKED_TARGET)[0])
    own = int(np.flatnonzero((docs.streams == Stream.TARGET) & (docs.ids >= 4))[0])
    embedded = {}
    for layers in (1, 2):
        model = model_of(layers)
        where = torch.tensor([int(packed.flat_index()[query])])
        ids = docs.ids.copy()
        ids[own] = 4 + (ids[own] - 3) % (VOCABULARY - 5)
        other = pack(Documents(**{**vars(leaking), "ids": ids}), 40)
        with torch.no_grad():
            embedded[layers] = bool((model(packed, where) == model(other, where)).all())
    assert embedded == {1: True, 2: False}


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
                expected = same and (padding or cell == 1 or (cell == 2 and q == k))
                assert mask[r, q, k] == expected


def test_logits_do_not_depend_on_packing() -> None:
    model, docs = model_of(2), Documents.join([documents("camlm"), documents("mmlm")])
    outputs = []
    for packed in (pack(docs, 64), pack(docs, 24), pack(docs, 30, one_per_row=True)):
        flat = torch.from_numpy(packed.flat_index())
        scored = packed.labels.flatten()[flat] != NOT_SCORED
        with torch.no_grad():
            outputs.append(model(packed, flat[scored]))
    for other in outputs[1:]:
        torch.testing.assert_close(outputs[0], other, atol=1e-5, rtol=0)
