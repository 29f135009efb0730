"""Shards: what is written is read, and nothing else is taken for one."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from ernie_m.config.tokenizer import PackSettings
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from ernie_m.ragged import Ragged
from ernie_m.tokenizer import pack
from ernie_m.tokenizer.shards import Shard, check_ids, read_shard, sentence_keys
from tests.corpora.synthetic import run_stage
from tests.tokenizer.shards import write_shard

SHA = "a" * 64
IDS = st.lists(st.lists(st.integers(0, 65_000), max_size=6), max_size=8)


def shard_of(*sides, languages=("en", "de"), vocabulary=65_535):
    keys = sentence_keys([f"id{n}" for n in range(len(sides[0]))])
    columns = tuple(Ragged.of(side, vocabulary) for side in sides)
    return Shard(languages[: len(sides)], SHA, keys, columns)


def pack_corpus(corpora, model, folder, corpus, threads=1, row_length=128, join=False):
    rows = {"row_length": row_length}
    parts = ("train", "valid")
    made = {part: [folder / f"{part}.safetensors"] for part in parts}
    run_stage(
        pack.run,
        PackSettings(join=join, camlm=rows, btmlm=rows),
        {
            "tokenizer": [model],
            **{part: [corpora / corpus / f"0/{part}.parquet"] for part in parts},
        },
        made | {"manifest": [folder / "manifest.json"]},
        f"{corpus}/0",
        threads=threads,
    )
    return made["train"][0]


@settings(max_examples=25, deadline=None)
@given(IDS, st.booleans())
def test_what_is_written_is_read(tmp_path_factory, sentences, pair):
    path = tmp_path_factory.mktemp("shard") / "x.safetensors"
    sides = [sentences, [ids[::-1] for ids in sentences]][: 1 + pair]
    written = shard_of(*sides)
    write_shard(path, written)
    read = read_shard(path, SHA)
    assert read.languages == written.languages and len(read) == len(sentences)
    assert (read.keys == written.keys).all()
    for side, expected in zip(read.sides, sides, strict=True):
        assert [side[i].tolist() for i in range(len(side))] == expected
    arrays = load_file(path)  # the library reads the same file
    assert set(arrays) == (
        {"keys", "source_tokens", "source_offsets", "target_tokens", "target_offsets"}
        if pair
        else {"keys", "tokens", "offsets"}
    )


def test_token_types_follow_the_vocabulary():
    assert Ragged.of([[1]], 65_535).tokens.dtype == np.uint16
    assert Ragged.of([[1]], 65_536).tokens.dtype == np.uint32


@given(st.lists(st.lists(st.integers(0, 9), max_size=9)), st.integers(1, 8))
def test_sequences_are_cut(sequences, longest):
    found = Ragged.of(sequences, 10).cut(longest)
    assert [ids.tolist() for ids in found] == [ids[:longest] for ids in sequences]
    assert found.tokens.dtype == np.uint16


def test_arrays_are_memory_maps(tmp_path):
    write_shard(tmp_path / "x", shard_of([[1, 2], [3]]))
    shard = read_shard(tmp_path / "x")
    content = shard.sides[0].tokens
    while not isinstance(content, np.memmap):
        content = content.base
    with pytest.raises(ValueError, match="read-only"):
        shard.sides[0].tokens[0] = 9


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in "ab":
        write_shard(tmp_path / name, shard_of([[1, 2]], [[3]]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_a_cut_shard_is_refused(tmp_path, kept):
    path = tmp_path / "x.safetensors"
    write_shard(path, shard_of([[1, 2, 3]] * 9))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"x\.safetensors is not a whole shard"):
        read_shard(path)


@given(st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("garbage") / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a whole shard"):
        read_shard(path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"weight": np.zeros(3, dtype=np.float32)}, tmp_path / "x")
    with pytest.raises(UserError, match="its header is not understood"):
        read_shard(tmp_path / "x")


def test_counts_that_do_not_agree_are_refused(tmp_path):
    shard = shard_of([[1, 2], [3]])
    shard.sides[0].offsets[1] = 9
    write_shard(tmp_path / "x", shard)
    with pytest.raises(UserError, match="its offsets fall"):
        read_shard(tmp_path / "x")
    shard = shard_of([[1, 2], [3]])
    write_shard(tmp_path / "x", replace(shard, keys=shard.keys[:1]))
    with pytest.raises(UserError, match="its counts do not agree"):
        read_shard(tmp_path / "x")


def test_ids_beyond_the_vocabulary_are_refused(tmp_path):
    write_shard(tmp_path / "x", shard_of([[1, 2]], [[3], []][:1]))
    shard = read_shard(tmp_path / "x")
    check_ids(tmp_path / "x", shard, 4)
    with pytest.raises(UserError, match="x is not a whole shard: it has the id 3, of 3 ids"):
        check_ids(tmp_path / "x", shard, 3)


@pytest.mark.parametrize("name", ["keys", "offsets"])
def test_arrays_of_other_types_are_refused(tmp_path, name):
    write_shard(tmp_path / "x", shard_of([[1, 2]]))
    arrays = load_file(tmp_path / "x")
    with safe_open(tmp_path / "x", framework="np") as file:
        metadata = file.metadata()
    other = np.int64 if name != "offsets" else np.uint64
    save_file(arrays | {name: arrays[name].astype(other)}, tmp_path / "x", metadata)
    with pytest.raises(UserError, match="its arrays are of other types"):
        read_shard(tmp_path / "x")


def test_another_tokenizer_is_refused(tmp_path):
    write_shard(tmp_path / "x", shard_of([[1]]))
    with pytest.raises(UserError, match=f"encoded with tokenizer {'a' * 12}, not with {'b' * 12}"):
        read_shard(tmp_path / "x", "b" * 64)


def test_rows_stand_alone_in_their_order(corpora, model, tokenizer, tmp_path):
    path = pack_corpus(corpora, model, tmp_path, "mono-en", row_length=16)
    shard = read_shard(path, tokenizer.sha256)
    ids, texts = read_table(corpora / "mono-en/0/train.parquet", ["id", "text"])
    assert shard.keys.tolist() == sentence_keys(ids).tolist()
    whole = tokenizer.encode(texts)
    expected = [ids[:14] for ids in whole]
    assert [shard.sides[0][i].tolist() for i in range(len(shard))] == expected
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (valid,) = read_table(corpora / "mono-en/0/valid.parquet", ["text"])
    lengths = [len(ids) for ids in (*whole, *tokenizer.encode(valid))]
    own = manifest["statistics"]["en"]
    assert own["tokens_cut"] == sum(max(length - 14, 0) for length in lengths) > 0
    assert own["sentences_cut"] == sum(length > 14 for length in lengths)


def test_rows_of_a_document_are_joined(corpora, model, tokenizer, tmp_path):
    """All rows of the invented corpus are one document."""
    shard = read_shard(pack_corpus(corpora, model, tmp_path, "mono-en", join=True))
    (texts,) = read_table(corpora / "mono-en/0/train.parquet", ["text"])
    whole = [token for ids in tokenizer.encode(texts) for token in ids]
    assert [token for side in shard.sides[0] for token in side.tolist()] == whole
    assert len(shard) < len(texts) / 4 and shard.sides[0].lengths.max() <= 126


def test_the_manifest_tells_what_is_there(corpora, model, tmp_path):
    path = pack_corpus(corpora, model, tmp_path, "parallel-en-ru")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kind"] == "parallel" and manifest["languages"] == ["en", "ru"]
    assert manifest["tokenizer"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert [part["file"] for part in manifest["parts"]["train"]] == [path.name]
    assert sum(part["sentences"] for part in manifest["parts"]["train"]) == 400
    tokens = sum(part["tokens"] for parts in manifest["parts"].values() for part in parts)
    statistics = manifest["statistics"].values()
    assert tokens == sum(own["tokens"] - own["tokens_cut"] for own in statistics)


def test_encoding_again_gives_the_same_bytes(corpora, model, tmp_path):
    for folder, threads in (("a", 1), ("b", 2)):
        pack_corpus(corpora, model, tmp_path / folder, "mono-en", threads)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
