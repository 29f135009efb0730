"""The way in shards: every planted fault is counted, and nothing depends on the shards."""

import errno
import json
import random

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from ernie_m.config.corpora import DedupRules, EvalHashesSettings, FilterSettings, SelectSettings
from ernie_m.config.tokenizer import PackSettings, TrainSettings
from ernie_m.corpora import dedup, eval_hashes, fingerprints, select, streams
from ernie_m.corpora import filter as filter_stage
from ernie_m.corpora.streams import MONO, PAIR, shard_blocks, write_blocks
from ernie_m.errors import UserError
from ernie_m.ragged import Ragged
from ernie_m.tokenizer import pack, train
from ernie_m.tokenizer.shards import SIDES, read_shard
from ernie_m.tokenizer.writer import ShardWriter
from tests.corpora.synthetic import run_stage

HEADS = ["bad", "fel", "gor", "hin", "jup", "kom", "lat"]
WORDS = [head + tail for head in HEADS for tail in ("el", "on", "ar", "is", "und")]
RULES = {"language_identifier": "none", "min_chars": 10, "valid_share": 0.1}


def sentence(draw, words=9):
    return " ".join(draw.choice(WORDS) for _ in range(words)).capitalize() + "."


def documents(count=120):
    """Documents of four paragraphs, and what was planted among them by reason."""
    draw = random.Random(1)
    rows = [[sentence(draw, 25) for _ in range(4)] for _ in range(count)]
    planted = {
        "too short": ["Menu."] * 7,
        "broken encoding": [f"{sentence(draw)} \ufffd" for _ in range(5)],
        "another script": ["Это предложение на другом языке, и не одно."] * 3,
        "few letters": ["12:30 | 14:50 | 18:20 | 19:40 | see | table"] * 2,
        "repeats itself": ["cheap flight " * 20] * 4,
        "evaluation text": [
            f"{sentence(draw)} The question that is asked in the test is this." for _ in range(2)
        ],
    }
    for texts in planted.values():
        for text in texts:
            rows[draw.randrange(count)].append(text)
    copies = [draw.randrange(count // 2) for _ in range(6)]
    for place in copies:  # repeated paragraphs, far from the first
        rows[count - 1 - place].append(rows[place][0])
    near = rows[3][:4]
    near[2] = near[2][:-6] + "other."  # all but a word of document 3
    rows.append([text + " " for text in near])
    counts = {reason: len(texts) for reason, texts in planted.items()}
    return rows, counts, len(copies)


def corpus_file(path, rows):
    flat = (
        (f"web:{number}.{line}", f"web:{number}", text)
        for number, texts in enumerate(rows)
        for line, text in enumerate(texts)
    )
    write_blocks(path, flat, MONO, ["de"])
    return path


def hashes(tmp_path):
    examples = tmp_path / "examples.jsonl"
    text = "The QUESTION that is asked in the test is this!"
    examples.write_text(json.dumps({"id": "1", "question": text, "label": "short"}) + "\n")
    target = tmp_path / "hashes.arrow"
    given = {"examples": [examples], "rows": []}
    run_stage(eval_hashes.run, EvalHashesSettings(), given, {"hashes": [target]})
    return target


@pytest.mark.parametrize(
    ("example", "text", "seen"),
    [
        ({"words": ["Do", "n't", "take", "all", "the", "words", "one by one", "again", "."]},
         "Indeed! Don't take all the words one by one again. So there.", True),
        ({"words": ["他们", "昨天", "在", "图书馆", "看书", "。"]}, "他们昨天在图书馆看书。", True),
        ({"text": "他们昨天在图书馆看书。"}, "我知道。他们昨天在图书馆看书。", True),
        ({"text": "他在看书。"}, "他在看书。", False),
        ({"answers": ["elsewhere", "It is not the very same old text as here."]},
         "It is not the very same old text as here!", True),
        ({"answers": ["It is not the very same old text as here."]},
         "It is not the very same old text as here, no.", False),
        ({"context": "Short. It is quite the very same old text as there. End."},
         "It is quite the very same old text as there", True),
    ],
)  # fmt: skip
def test_evaluation_texts_are_known_again(tmp_path, example, text, seen):
    """By words, by sentences, and in scripts that say much in few characters."""
    examples, target = tmp_path / "examples.jsonl", tmp_path / "hashes.arrow"
    examples.write_text(json.dumps({"id": "1", **example}) + "\n")
    given = {"examples": [examples], "rows": []}
    run_stage(eval_hashes.run, EvalHashesSettings(), given, {"hashes": [target]})
    assert eval_hashes.EvalTexts.read([target])(text) is seen


def only(section, values):
    """A stage's own of some settings."""
    known = {name: value for name, value in values.items() if name in section.model_fields}
    return section(**known)


def through(tmp_path, rows_files, shards, corpus="mono-de", **rules):
    """Filter, dedup and select in ``shards`` shards; the selected parts and all statistics."""
    own = {**RULES, **rules}
    folder = tmp_path / f"in{shards}"
    found = {}
    for stage, names in {
        "filter": ("rows.arrow", "lines.arrow", "documents.arrow", "stats.json"),
        "select": ("train.parquet", "valid.parquet", "stats.json"),
    }.items():
        found[stage] = {
            name.split(".")[0]: [folder / stage / str(k) / name for k in range(shards)]
            for name in names
        }
    held = hashes(tmp_path)
    kept, chosen = found["filter"], found["select"]
    for k in range(shards):
        run_stage(
            filter_stage.run,
            only(FilterSettings, own | {"shards": shards}),
            {"corpus": rows_files},
            {name: [paths[k]] for name, paths in kept.items()},
            f"{corpus}/{k}",
        )
    drops = {"exact": [folder / "rows.arrow"], "near": [folder / "documents.arrow"]}
    inputs = {name: kept[name] for name in ("rows", "lines", "documents")}
    run_stage(dedup.run, only(DedupRules, own), inputs, drops, corpus)
    for k in range(shards):
        run_stage(
            select.run,
            only(SelectSettings, own),
            {"kept": [kept["rows"][k]], "eval_hashes": [held], **drops},
            {name: [paths[k]] for name, paths in chosen.items()},
            f"{corpus}/{k}",
        )
    tables = {
        part: [row for path in chosen[part] for row in parquet.read_table(path).to_pylist()]
        for part in ("train", "valid")
    }
    counts = {}
    for path in kept["stats"] + chosen["stats"]:
        for reason, number in json.loads(path.read_text())["dropped"].items():
            counts[reason] = counts.get(reason, 0) + number
    return tables, counts, chosen


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_ROWS", 25)
    monkeypatch.setattr(streams, "GROUP_BLOCKS", 2)
    monkeypatch.setattr(fingerprints, "BATCH_ENTRIES", 60)
    monkeypatch.setattr(dedup, "PAIRS", 3)
    monkeypatch.setattr(
        dedup, "duplicate_pairs", lambda paths: fingerprints.duplicate_pairs(paths, 40)
    )


def test_every_planted_fault_is_counted(tmp_path, small_blocks):
    rows, planted, copies = documents()
    file = corpus_file(tmp_path / "rows.parquet", rows)
    tables, counts, _ = through(tmp_path, [file], 3)
    # Of the nearly repeated document three paragraphs of four are repeated exactly.
    doubles = {"repeated": copies + 3, "in a nearly repeated document": 1}
    assert counts == planted | doubles
    left = sum(map(len, rows)) - sum(counts.values())
    assert len(tables["train"]) + len(tables["valid"]) == left


def test_the_shards_change_nothing(tmp_path, small_blocks):
    rows, _, _ = documents()
    one = corpus_file(tmp_path / "one.parquet", rows[:70])
    two = corpus_file(tmp_path / "two.parquet", rows[70:])
    results = {shards: through(tmp_path, [one, two], shards)[:2] for shards in (1, 2, 5, 40)}
    assert all(result == results[1] for result in results.values())


def test_without_the_switches_repetitions_stay(tmp_path, small_blocks):
    rows, planted, _ = documents()
    file = corpus_file(tmp_path / "rows.parquet", rows)
    switches = {"exact_duplicates": False, "near_duplicates": False}
    _, counts, _ = through(tmp_path, [file], 2, **switches)
    assert counts == planted


def test_the_first_of_its_kind_stays(tmp_path, small_blocks):
    draw = random.Random(2)
    rows = [[sentence(draw)] for _ in range(50)]
    rows += [[rows[7][0].upper()], [rows[7][0] + "  "]]
    file = corpus_file(tmp_path / "rows.parquet", rows)
    tables, counts, _ = through(tmp_path, [file], 4)
    assert counts == {"repeated": 2}
    assert "web:7.0" in {row["id"] for part in tables.values() for row in part}


def test_whole_documents_are_held_out(tmp_path, small_blocks):
    rows, _, _ = documents()
    file = corpus_file(tmp_path / "rows.parquet", rows)
    tables, _, _ = through(tmp_path, [file], 2)
    learnt, valid = ({row["group"] for row in tables[part]} for part in ("train", "valid"))
    assert learnt and valid and learnt.isdisjoint(valid)


@pytest.mark.parametrize("first", [True, False])
def test_a_dataset_that_loses_all_its_rows_beside_another_is_named(tmp_path, first):
    good = corpus_file(tmp_path / "good.parquet", documents()[0])
    bad = tmp_path / "bad.parquet"
    texts = ["Это предложение на другом языке."] * 9
    write_blocks(bad, ((f"ru:{n}", f"ru:{n}", text) for n, text in enumerate(texts)), MONO, ["de"])
    files = [bad, good] if first else [good, bad]
    with pytest.raises(UserError, match="9 rows of dataset `ru` in `mono-de` none passes") as error:
        through(tmp_path, files, 1)
    assert error.value.what.endswith("dropped are 9 another script.")


def test_a_corpus_that_loses_all_its_rows_is_named(tmp_path):
    rows = corpus_file(tmp_path / "rows.parquet", [["Это предложение на другом языке."]] * 9)
    with pytest.raises(UserError, match="`mono-de` has no rows left after its filters"):
        through(tmp_path, [rows], 3)


WORDY = "und der länger ist als vier davon, was ein Mensch so nicht übersetzt hätte."
PAIR_ROWS = [
    ("The weather is fine today in town.", "Das Wetter ist heute schön in der Stadt.", None),
    ("The same on both sides, it seems.", "The same on both sides; it seems!", "identical sides"),
    (
        "A short line only.",
        "Ein Satz, der viel mehr sagt als der andere, " + WORDY,
        "uneven lengths",
    ),
    ("There are 250 houses in the street.", "Es gibt 520 Häuser in der Straße.", "other numbers"),
    ("The WEATHER is fine today in town", "Das Wetter ist heute schön in der Stadt!", "repeated"),
    ("The weather is fine today in town.", "Heute ist schönes Wetter in unserer Stadt.", None),
]


def test_pairs(tmp_path):
    rows = ((f"o:{k}", f"o:{k}", *row[:2]) for k, row in enumerate(PAIR_ROWS))
    path = tmp_path / "pairs.parquet"
    write_blocks(path, rows, PAIR, ["en", "de"])
    tables, counts, _ = through(tmp_path, [path], 1, "parallel-en-de", valid_share=0.0)
    assert [row["id"] for row in tables["train"]] == ["o:0", "o:5"]
    assert counts == {row[2]: 1 for row in PAIR_ROWS if row[2]}


@given(st.lists(st.integers(1, 6)), st.integers(1, 12), st.integers(1, 4))
def test_blocks_keep_documents_whole_and_shards_keep_all_blocks(
    tmp_path_factory, sizes, shards, group_blocks
):
    path = tmp_path_factory.mktemp("blocks") / "rows.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK_ROWS", 5)
        patch.setattr(streams, "GROUP_BLOCKS", group_blocks)
        corpus_file(path, [[f"text {n}"] * n for n in sizes])
        blocks = [block for k in range(shards) for block in shard_blocks([path], k, shards)]
        whole = list(shard_blocks([path], 0, 1))
    assert blocks == whole
    ids = [name for block in blocks for name in block.columns["id"]]
    assert len(ids) == sum(sizes)
    starts = np.cumsum([0, *map(len, blocks)])
    assert [block.position for block in blocks] == starts[: len(blocks)].tolist()
    groups = [set(block.columns["group"]) for block in blocks]
    assert sum(map(len, groups)) == len(sizes)
    assert parquet.ParquetFile(path).num_row_groups == -(-len(blocks) // group_blocks)


@pytest.mark.parametrize(
    ("limit", "rows"),
    [("BLOCK_ROWS", [["short"] * 1000]), ("BLOCK_CHARACTERS", [["x" * 50] * 3] * 40)],
    ids=["a document without end", "long rows"],
)
def test_a_block_has_its_limit_whatever_the_documents(tmp_path, monkeypatch, limit, rows):
    monkeypatch.setattr(streams, limit, 100)
    corpus_file(tmp_path / "rows.parquet", rows)
    blocks = list(shard_blocks([tmp_path / "rows.parquet"], 0, 1))
    assert sum(map(len, blocks)) == sum(map(len, rows))
    assert max(map(len, blocks)) == (200 if limit == "BLOCK_ROWS" else 3)


@given(
    st.lists(
        st.lists(st.integers(0, 9) | st.integers(0, 2**64 - 1), max_size=20),
        max_size=5,
    ),
    st.integers(1, 7),
    st.integers(1, 30),
)
@settings(deadline=None)
def test_every_repetition_is_found_once_with_its_first(
    tmp_path_factory, batches, entries, gathered
):
    path = tmp_path_factory.mktemp("parts") / "lines.arrow"
    position = 0
    expected = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "BATCH_ENTRIES", gathered)
        with fingerprints.FingerprintWriter(path) as writer:
            for batch in batches:
                positions = np.arange(position, position + len(batch), dtype=np.uint64)
                writer.add(np.array(batch, dtype=np.uint64), positions)
                expected += zip(batch, positions.tolist(), strict=True)
                position += len(batch)
    # Small batches would make parts times batches grow with the square of the corpus.
    assert len(list(streams.read_batches(path))) <= position // gathered + 1
    lowest, pairs = {}, []
    for value, place in expected:
        pairs += [(lowest[value], place)] if value in lowest else []
        lowest.setdefault(value, place)
    found = [
        tuple(pair)
        for some in fingerprints.duplicate_pairs([path], entries)
        for pair in some.tolist()
    ]
    assert sorted(found) == sorted(pairs)


def test_a_line_that_stands_everywhere_does_not_fill_the_memory(tmp_path, monkeypatch):
    """All its fingerprints fall into one part."""
    monkeypatch.setattr(fingerprints, "BATCH_ENTRIES", 10)
    with fingerprints.FingerprintWriter(tmp_path / "lines.arrow") as writer:
        for start in range(0, 1000, 10):
            positions = np.arange(start, start + 10, dtype=np.uint64)
            writer.add(np.full(10, 7, dtype=np.uint64), positions)
    found = [some.tolist() for some in fingerprints.duplicate_pairs([tmp_path / "lines.arrow"], 20)]
    assert max(map(len, found)) <= 50
    assert [pair for some in found for pair in some] == [[0, place] for place in range(1, 1000)]


@given(st.lists(st.lists(st.lists(st.integers(0, 300), max_size=12), max_size=6), max_size=4))
@settings(deadline=None)
@pytest.mark.parametrize(("languages", "size"), [(("de",), 400), (("en", "de"), 70_000)])
def test_blocks_do_not_show_in_what_is_written(tmp_path_factory, languages, size, blocks):
    """And the bytes are those that the library itself makes of the whole."""
    folder = tmp_path_factory.mktemp("writer")
    sentences = [ids for block in blocks for ids in block]
    keys = np.arange(len(sentences), dtype=np.uint64)
    with ShardWriter(folder / "streamed", languages, "digest") as writer:
        writer.add(keys[:0], [Ragged.of([], size) for _ in languages])
        done = 0
        for block in blocks:
            own = [Ragged.of(block, size) for _ in languages]
            writer.add(keys[done : done + len(block)], own)
            done += len(block)
    arrays = {"keys": keys}
    for prefix in SIDES["mono" if len(languages) == 1 else "parallel"]:
        whole = Ragged.of(sentences, size)
        arrays |= {f"{prefix}tokens": whole.tokens, f"{prefix}offsets": whole.offsets}
    with safe_open(folder / "streamed", framework="numpy") as file:
        metadata = file.metadata()
    assert (folder / "streamed").read_bytes() == save(arrays, metadata=metadata)


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    for content in ([1, 2, 3], [4]):
        writer = ShardWriter(tmp_path / "shard", ("de",), "digest")
        writer.add(np.zeros(1, dtype=np.uint64), [Ragged.of([content], 400)])
    writer.__exit__(None)
    assert read_shard(tmp_path / "shard").sides[0].tokens.tolist() == [4]
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_nothing_is_left_of_a_writer_that_finds_the_disk_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with (
        pytest.raises(OSError, match="No space"),
        ShardWriter(tmp_path / "shard", ("de",), "digest") as writer,
    ):
        writer.add(np.zeros(1, dtype=np.uint64), [Ragged.of([[1]], 400)])
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]  # which the job removes


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_joined_paragraphs_lose_nothing_and_break_only_where_they_must(paragraphs, longest):
    found = list(pack.join(paragraphs, longest))
    assert sum(tokens for _, tokens in found) == sum(paragraphs)
    assert all(0 < tokens <= longest for _, tokens in found)
    ends = {0, *np.cumsum(paragraphs).tolist()}
    place = 0
    for first, tokens in found:
        assert sum(paragraphs[:first]) <= place < sum(paragraphs[: first + 1])
        place += tokens
        if place not in ends:  # broken inside a paragraph that is too long by itself
            owner = max(n for n in range(len(paragraphs)) if sum(paragraphs[:n]) < place)
            assert paragraphs[owner] > longest


@pytest.fixture
def spm_model(tmp_path):
    draw = random.Random(4)
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join("".join(draw.sample(letters, 4)) for _ in range(9)) for _ in range(300)]
    wanted = TrainSettings(vocabulary_size=150, num_threads=1)
    (tmp_path / "spm.model").write_bytes(train._train(texts, wanted))
    return tmp_path / "spm.model"


def test_a_ready_vocabulary_is_taken_as_it_is(tmp_path, spm_model):
    outputs = {"model": [tmp_path / "taken.model"], "stats": [tmp_path / "taken.json"]}
    run_stage(train.run, TrainSettings(), {"ready": [spm_model]}, outputs)
    assert outputs["model"][0].read_bytes() == spm_model.read_bytes()
    assert json.loads(outputs["stats"][0].read_text()) == {"languages": {}, "size": 152}


def test_a_shard_is_packed(tmp_path, spm_model):
    draw = random.Random(3)
    rows = [[sentence(draw, 30) for _ in range(6)] for _ in range(20)]
    file = corpus_file(tmp_path / "rows.parquet", rows)
    tables, _, chosen = through(tmp_path, [file], 1)
    outputs = {
        "train": [tmp_path / "train.safetensors"],
        "valid": [tmp_path / "valid.safetensors"],
        "manifest": [tmp_path / "manifest.json"],
    }
    inputs = {"tokenizer": [spm_model], "train": chosen["train"], "valid": chosen["valid"]}
    run_stage(
        pack.run,
        PackSettings(join=True, camlm={"row_length": 128}, btmlm={"row_length": 302}),
        inputs,
        outputs,
        "mono-de/0",
    )
    manifest = json.loads(outputs["manifest"][0].read_text())
    for part in ("train", "valid"):
        shard = read_shard(outputs[part][0])
        (facts,) = manifest["parts"][part]
        assert facts == {
            "file": f"{part}.safetensors",
            "sentences": len(shard),
            "tokens": len(shard.sides[0].tokens),
        }
        assert shard.sides[0].lengths.max() <= 300
        groups = {row["group"] for row in tables[part]}
        assert len(groups) <= len(shard) < len(tables[part])
