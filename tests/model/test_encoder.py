import torch

from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import Encoder
from ernie_m.model.packing import pack, sentences


def test_outputs_that_are_asked_for_equal_those_of_all_tokens() -> None:
    torch.manual_seed(0)
    shape = Architecture(
        vocabulary=50,
        layers=3,
        width=16,
        heads=2,
        ffn=32,
        max_positions=32,
        dropout=0.0,
        attention_dropout=0.0,
        language_embeddings=True,
        pair_positions="reset",
        languages=("en", "de"),
        tokenizer="",
    )
    encoder = Encoder(shape).eval()
    packed = pack(sentences([[5, 6, 7], [8, 9], [10] * 9, [11, 12]], [0, 1, 0, 1]), 12)
    where = torch.stack([torch.randperm(12)[:5] for _ in packed.ids])
    with torch.no_grad():
        asked = encoder.at(packed, where)
        every = encoder(packed)
    for row, places in enumerate(where):
        assert torch.allclose(asked[row], every[row, places], atol=1e-6)
