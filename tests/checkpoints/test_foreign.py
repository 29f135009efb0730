"""What is taken of others' files, and what is refused before anything in it is run."""

import json
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ernie_m.catalogue.checkpoints import files_of
from ernie_m.errors import UserError
from ernie_m.foreign.adopt import adopt
from ernie_m.foreign.files import read_weights
from ernie_m.foreign.weights import read_foreign
from ernie_m.model.checkpoint import save
from ernie_m.model.encoder import LanguageModel

from .conftest import noisy, shape_for, states

ERNIE_CONFIG = {
    **{"model_type": "ernie_m", "hidden_size": 8, "num_hidden_layers": 2, "hidden_act": "gelu"},
    **{"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 40},
    **{"layer_norm_eps": 1e-5},
}
ERNIE_LAYER = {
    **{"linear1": (16, 8), "linear2": (8, 16), "norm1": (8,), "norm2": (8,)},
    "self_attn.out_proj": (8, 8),
    **{f"self_attn.self_attn.{one}_proj": (8, 8) for one in "qkv"},
}
# Of ErnieMModel in transformers 4.57.6, the last line of 4.x that has it, with the weights of
# `ernie_weights`, for the ids below: first four numbers of the first three tokens.
ERNIE_IDS = [0, 5, 6, 7, 2]
ERNIE_STATES = [
    [-0.4869885, -0.2884924, 0.0567029, 0.6526459],
    [-0.4739214, -0.2895677, 0.0618695, 0.6575636],
    [-0.4853232, -0.2905564, 0.0558068, 0.6521670],
]


def ernie_weights(vocabulary: int) -> dict[str, torch.Tensor]:
    """Tensors as transformers' ErnieMModel names them, filled by a formula."""
    shapes = {
        "embeddings.word_embeddings.weight": (vocabulary, 8),
        "embeddings.position_embeddings.weight": (40, 8),
        "embeddings.layer_norm.weight": (8,),
        "embeddings.layer_norm.bias": (8,),
        "pooler.dense.weight": (8, 8),
        "pooler.dense.bias": (8,),
    }
    for layer in range(2):
        for module, shape in ERNIE_LAYER.items():
            shapes[f"encoder.layers.{layer}.{module}.weight"] = shape
            shapes[f"encoder.layers.{layer}.{module}.bias"] = shape[:1]
    made = {}
    for number, name in enumerate(sorted(shapes)):
        count = torch.arange(int(np.prod(shapes[name])), dtype=torch.float64)
        values = 0.5 * torch.sin(1 + 0.7 * number + 0.37 * count)
        made[name] = values.reshape(shapes[name]).float()
    return made


def folder_with(path: Path, vocabulary: Path, config: dict, weights: dict) -> Path:
    path.mkdir()
    (path / "sentencepiece.bpe.model").write_bytes(vocabulary.read_bytes())
    (path / "config.json").write_text(json.dumps(config))
    save_file(weights, path / "model.safetensors")
    return path


def small(tokenizer) -> LanguageModel:
    """Ours, in the shape of the golden ERNIE-M."""
    made = LanguageModel(
        shape_for(tokenizer, width=8, heads=2, ffn=16, max_positions=40, languages=("en",))
    ).eval()
    noisy(made, 9)
    torch.nn.init.zeros_(made.encoder.embeddings.language.weight)
    return made


def check_golden(model: LanguageModel) -> None:
    hidden, _ = states(model, [ERNIE_IDS], [0], alone=True)
    torch.testing.assert_close(
        hidden[-1][0][:3, :4], torch.tensor(ERNIE_STATES), rtol=0.0, atol=1e-5
    )


@pytest.fixture
def ernie(tokenizer, vocabulary, tmp_path) -> Path:
    return folder_with(tmp_path / "ernie", vocabulary, ERNIE_CONFIG, ernie_weights(tokenizer.size))


def test_ernie_m_as_on_the_hub_computes_what_transformers_computed(ernie, tokenizer) -> None:
    model = small(tokenizer)
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    assert adopt(model, tokenizer, ernie) == {"head": "fresh"}
    check_golden(model)
    for name, tensor in model.head.state_dict().items():
        assert torch.equal(tensor, head[name]), "a head that the source lacks stays"


def test_the_order_of_vocab_txt_is_followed(ernie, tokenizer) -> None:
    """The same model under shuffled ids: the vocabulary and the rows moved together."""
    order = np.random.default_rng(1).permutation(tokenizer.size)
    names = {
        "<s>": "[CLS]",
        "<pad>": "[PAD]",
        "</s>": "[SEP]",
        "<unk>": "[UNK]",
        "<mask>": "[MASK]",
    }
    listed = [tokenizer.piece(int(row)) for row in order]
    (ernie / "vocab.txt").write_text("".join(f"{names.get(one, one)}\n" for one in listed))
    weights = load_file(ernie / "model.safetensors")
    word = "embeddings.word_embeddings.weight"
    save_file(weights | {word: weights[word][order].contiguous()}, ernie / "model.safetensors")
    model = small(tokenizer)
    adopt(model, tokenizer, ernie)
    check_golden(model)


def paddle_weights(weights: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """As PaddleNLP keeps the same model: other names, linear weights ``[in, out]``."""
    found = {}
    for name, tensor in weights.items():
        linear = any(part in name for part in ("linear", "_proj", "pooler")) and tensor.ndim == 2
        plain = name.replace("self_attn.self_attn", "self_attn")
        found[f"ernie_m.{plain}"] = np.ascontiguousarray((tensor.T if linear else tensor).numpy())
    return found


@pytest.mark.parametrize("protocol", [2, 4])
def test_paddle_files_are_read_without_unpickling_what_they_name(
    ernie, tokenizer, protocol
) -> None:
    arrays = paddle_weights(ernie_weights(tokenizer.size))
    named = {
        "StructuredToParameterName@@": {name: f"linear_{i}.w" for i, name in enumerate(arrays)}
    }
    (ernie / "model.safetensors").unlink()
    (ernie / "model_state.pdparams").write_bytes(pickle.dumps(arrays | named, protocol=protocol))
    model = small(tokenizer)
    adopt(model, tokenizer, ernie)
    check_golden(model)


def test_paddle_safetensors_are_transposed_too(ernie, tokenizer) -> None:
    arrays = paddle_weights(ernie_weights(tokenizer.size))
    save_file({n: torch.from_numpy(a) for n, a in arrays.items()}, ernie / "model.safetensors")
    model = small(tokenizer)
    adopt(model, tokenizer, ernie)
    check_golden(model)


def test_our_own_checkpoint_is_a_source_and_languages_go_by_name(
    model, tokenizer, vocabulary, tmp_path
) -> None:
    save(tmp_path / "model.safetensors", model, model.shape, {"stage": "btmlm"})
    shutil.copy(vocabulary, tmp_path / "spm.model")
    again = LanguageModel(shape_for(tokenizer, languages=("ru", "fi", "en")))
    adopt(again, tokenizer, tmp_path)
    theirs, ours = (m.encoder.embeddings.language.weight for m in (model, again))
    assert torch.equal(ours[0], theirs[2]) and torch.equal(ours[2], theirs[0])
    assert not ours[1].any(), "a language that the source does not know starts at zero"
    for name, tensor in model.state_dict().items():
        if not name.endswith("language.weight"):
            assert torch.equal(again.state_dict()[name], tensor), name


def test_torch_files_and_tokenizer_json_are_read(source, oracle, tokenizer, tmp_path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    torch.save(oracle.state_dict(), tmp_path / "pytorch_model.bin")
    assert not list(tmp_path.glob("*.model"))
    one, other = read_foreign(source), read_foreign(tmp_path)
    assert one.vocabulary == other.vocabulary
    for name, tensor in one.weights.items():
        assert torch.equal(tensor, other.weights[name]), name


Change = Callable[[Path], None]


def edit(**keys: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))

    return change


def weights(function: Callable[[dict], dict]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(function(load_file(path)), path)

    return change


def cut(name: str, keep: float) -> Change:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return change


WORDS = "roberta.embeddings.word_embeddings.weight"
REFUSED: dict[str, tuple[Change, str]] = {
    "truncated weights": (cut("model.safetensors", 0.7), "not a whole file of tensors"),
    "empty weights": (cut("model.safetensors", 0.0), "not a whole file of tensors"),
    "truncated vocabulary": (cut("sentencepiece.bpe.model", 0.3), "SentencePiece model|pieces"),
    "truncated configuration": (cut("config.json", 0.5), "not JSON"),
    "another model": (edit(model_type="bert"), "architecture `bert`"),
    "another activation": (edit(hidden_act="relu"), "hidden_act='relu'"),
    "a decoder of its own": (edit(tie_word_embeddings=False), "tie_word_embeddings"),
    "more layers": (edit(num_hidden_layers=3), "no tensor `encoder.layer.2"),
    "fewer layers": (edit(num_hidden_layers=1), "another tensor `encoder.layer.1"),
    "another inner size": (edit(intermediate_size=65), "ffn_in"),
    "no number of heads": (edit(num_attention_heads=None), "gives no num_attention_heads"),
    "other heads": (edit(num_attention_heads=8), "8 attention heads, `model.heads` is 4"),
    "one row too few": (weights(lambda w: w | {WORDS: w[WORDS][:-1].clone()}), "another arch"),
    "a missing tensor": (
        weights(lambda w: {n: t for n, t in w.items() if "LayerNorm.bias" not in n}),
        "no tensor `embeddings.LayerNorm.bias`",
    ),
    "an unknown tensor": (weights(lambda w: w | {"adapter": torch.zeros(2)}), "`adapter`"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_by_name(what, source, tokenizer, tmp_path) -> None:
    change, message = REFUSED[what]
    folder = Path(shutil.copytree(source, tmp_path / "copy"))
    change(folder)
    model = LanguageModel(shape_for(tokenizer))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=message) as caught:
        adopt(model, tokenizer, folder)
    assert str(caught.value).count("->") == 1, "says what to do"
    assert all(torch.equal(model.state_dict()[name], t) for name, t in before.items())


def test_a_vocabulary_of_another_size_is_refused(source, tokenizer, tmp_path) -> None:
    folder = Path(shutil.copytree(source, tmp_path / "copy"))
    weights(
        lambda w: w | {WORDS: w[WORDS][:-1].clone(), "lm_head.bias": w["lm_head.bias"][:-1].clone()}
    )(folder)
    with pytest.raises(UserError, match="embeddings of 901 pieces, its vocabulary has 902"):
        read_foreign(folder)


class Payload:
    """What a pickle can do: have anything called when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model_state.pdparams"])
def test_a_pickle_with_a_payload_is_refused_and_nothing_runs(name, source, tmp_path) -> None:
    folder, trace = tmp_path / "copy", tmp_path / "executed"
    shutil.copytree(source, folder)
    (folder / "model.safetensors").unlink()
    content = {"embeddings.word_embeddings.weight": Payload(trace)}
    if name.endswith(".bin"):
        torch.save(content, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="nothing in it was executed"):
        read_foreign(folder)
    assert not trace.exists()
    pickle.loads(pickle.dumps(content))
    assert trace.exists(), "the payload works where it is let"


@pytest.mark.parametrize(
    "content",
    [
        {"a": np.array([Path("x")], dtype=object)},
        {"a": np.zeros(3).astype(">f4")},
        {"a": "text"},
        [np.zeros(3)],
        np.zeros(3),
        {1: np.zeros(3)},
    ],
    ids=repr,
)
def test_a_pickle_of_anything_but_named_numbers_is_refused(content, source, tmp_path) -> None:
    folder = Path(shutil.copytree(source, tmp_path / "copy"))
    (folder / "model.safetensors").unlink()
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="not a whole file of tensors"):
        read_foreign(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.999])
def test_a_torn_pickle_is_refused(share, source, tmp_path) -> None:
    folder = Path(shutil.copytree(source, tmp_path / "copy"))
    (folder / "model.safetensors").unlink()
    data = pickle.dumps({"a": np.arange(500.0), "b": np.arange(7)})
    (folder / "model_state.pdparams").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="not a whole file of tensors"):
        read_foreign(folder)


def test_rows_beyond_the_vocabulary_are_left_out_and_counted(ernie, tokenizer) -> None:
    whole = read_foreign(ernie)
    path = ernie / "model.safetensors"
    weights = load_file(path)
    name = "embeddings.word_embeddings.weight"
    weights[name] = torch.cat([weights[name], torch.ones(7, 8)])
    save_file(weights, path)
    assert adopt(small(tokenizer), tokenizer, ernie) == {"head": "fresh", "surplus_rows": "7"}
    found = read_foreign(ernie)
    assert found.surplus == 7 and found.vocabulary == whole.vocabulary
    for key, tensor in found.weights.items():
        assert torch.equal(tensor, whole.weights[key])
    weights[name] = weights[name][:-8]
    save_file(weights, path)
    with pytest.raises(UserError, match="its vocabulary has"):
        read_foreign(ernie)


def divide(folder: Path) -> Path:
    """Put the weights of a folder into two files with an index."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    path.unlink()
    table = {}
    for number, names in enumerate((sorted(weights)[::2], sorted(weights)[1::2])):
        part = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in names}, folder / part)
        table |= dict.fromkeys(names, part)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
    return index


def test_weights_in_several_files_are_read_as_one(ernie, tokenizer) -> None:
    whole = read_foreign(ernie).weights
    index = divide(ernie)
    found = read_foreign(ernie)
    assert found.path == index and found.weights.keys() == whole.keys()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in found.weights.items())
    parts = [path.name for path in files_of(ernie)][1:3]
    assert parts == [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"a": "../x.safetensors"}, "does not name files beside it"),
        ({"a": 1}, "does not name files beside it"),
        (None, "does not name files beside it"),
        ({"a": "gone.safetensors"}, "names gone.safetensors, which is not there"),
    ],
)
def test_an_index_names_files_that_are_beside_it(ernie, table, sentence) -> None:
    index = divide(ernie)
    index.write_text(json.dumps({"weight_map": table}))
    with pytest.raises(UserError, match=sentence):
        read_foreign(ernie)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b".",  # bytes of that length
        b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little") + b".",  # a text
        b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b".",  # a frame
        b"\x80\x04}r\xff\xff\xff\x7f.",  # the memo's entry 2^31
        b"\x80\x04}p2147483647\n.",
        b"(" * 5000,
        b"I" + b"1" * 5000 + b"\n.",
    ],
)
@pytest.mark.parametrize("name", ["model_state.pdparams", "pytorch_model.bin"])
def test_a_pickle_gets_no_more_memory_than_it_has_bytes(tmp_path, name, content) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="is not a whole file of tensors"):
        read_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_a_tensor_is_not_larger_than_its_file(tmp_path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(UserError, match="more numbers than the file has room for"):
        read_weights(path)
    torch.save({"a": torch.ones(3, device="meta")}, path)
    with pytest.raises(UserError, match="something else than named tensors"):
        read_weights(path)


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 10**9},
        {"ernie_m": []},
        {"ernie_m": {"languages": 3}},
        {"ernie_m": {"pair_positions": []}},
    ],
)
def test_a_damaged_configuration_is_refused(ernie, change) -> None:
    (ernie / "config.json").write_text(json.dumps(ERNIE_CONFIG | change))
    with pytest.raises(UserError, match=r"config\.json"):
        read_foreign(ernie)
