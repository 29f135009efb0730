"""The files of an export; imports little, because the workflow uses it too."""

from __future__ import annotations

CARD = "README.md"
_TRANSFORMERS = (
    *("config.json", "sentencepiece.bpe.model", "special_tokens_map.json", "tokenizer.json"),
    "tokenizer_config.json",
)
_SENTENCES = (
    *("1_WordWeights/config.json", "1_WordWeights/model.safetensors", "2_Pooling/config.json"),
    *("config_sentence_transformers.json", "modules.json", "sentence_bert_config.json"),
)
# Form -> its weights, and the other files.
FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "hf": ("model.safetensors", _TRANSFORMERS),
    "sentence-transformers": ("model.safetensors", (*_TRANSFORMERS, *_SENTENCES)),
    "onnx": ("model.onnx", ()),
}


def files_of_form(form: str) -> dict[str, list[str]]:
    """Outputs of the export stage, by name, as paths within the folder."""
    weights, others = FORMS[form]
    return {"model": [weights], "card": [CARD], "files": list(others)}
