"""Deviations from the paper, and choices where its settings are not known.

The paper's side has the marks of :mod:`ernie_m.marks`. The values come from the records, so that
the report cannot differ from the run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One point: the paper as far as is known, this run, and the settings that decide it, as
    (stage, dotted key)."""

    topic: str
    paper: str
    here: str
    settings: tuple[tuple[str, str], ...] = ()


FROM_NOTHING = Choice(
    "Starting point",
    "The weights of XLM-R (memory), and a vocabulary of 250,002 pieces (authors).",
    "Random weights and a vocabulary of its own, both made from this text.",
    (("tokenizer_train", "vocabulary_size"),),
)
# Replaces it where `init` names a checkpoint.
FROM_CHECKPOINT = Choice(
    FROM_NOTHING.topic,
    FROM_NOTHING.paper,
    "The weights and the vocabulary of the checkpoint that is named under Run; with `trim`, the "
    "pieces that this text uses.",
    (("tokenizer_train", "trim"),),
)

DEVIATIONS: tuple[Choice, ...] = (
    Choice(
        "Text",
        "96 languages (authors: announcement); CC-100, and the parallel corpora of InfoXLM: "
        "MultiUN, IIT Bombay, OPUS, WikiMatrix (memory).",
        "Interface text that translators wrote for one application: short sentences, few topics. "
        "Its keys make it parallel; parallel and monolingual parts share no meaning.",
        (("corpora_deal", "languages"), ("corpora_deal", "mono_share")),
    ),
    FROM_NOTHING,
    Choice(
        "Size",
        "Base: 12 layers of width 768; large: 24 of 1,024 (authors).",
        "An encoder of the same shape, of this size.",
        (
            ("pretrain_initialise", "layers"),
            ("pretrain_initialise", "width"),
            ("pretrain_initialise", "heads"),
        ),
    ),
    Choice(
        "Length of training",
        "Batches of 2,048 rows of 512 tokens on 64 V100 (memory); the number of steps is not "
        "known.",
        "Batches of this many tokens; sentences are packed into rows without seeing each other.",
        (
            ("pretrain_camlm", "steps"),
            ("pretrain_camlm", "batch_tokens"),
            ("pretrain_btmlm", "steps"),
            ("pretrain_btmlm", "batch_tokens"),
        ),
    ),
    Choice(
        "Peak learning rate",
        "2e-4 for base after 10,000 steps of warm-up, then a linear decay (memory).",
        "The same schedule, with a rate that suits the size.",
        (
            ("pretrain_camlm", "optimiser.learning_rate"),
            ("pretrain_camlm", "optimiser.warmup_steps"),
        ),
    ),
    Choice(
        "Evaluation",
        "XNLI, CoNLL, MLQA, PAWS-X and Tatoeba (authors), and the nine tasks of XTREME (sibling: "
        "XTREME, its leaderboard).",
        "The published tasks that the run names. Stand-ins have the form of XTREME's tasks and are "
        "built from held-out text of the run: they show whether transfer appears, and are not "
        "XTREME.",
        (("corpora_deal", "test_share"),),
    ),
)

OPEN_CHOICES: tuple[Choice, ...] = (
    Choice(
        "What the tokens of a sentence read in CAMLM",
        "Not drawn. Figure 1(c) has the rows of slots only.",
        "Their own sentence. Any more would leak: from the second layer on a slot would read its "
        "own sentence through the other.",
        (("pretrain_camlm", "objectives.camlm"),),
    ),
    Choice(
        "Share of tokens predicted",
        "Not found for any objective; 15 % (sibling: InfoXLM).",
        "Set for each objective.",
        (("pretrain_camlm", "masking.ratio"), ("pretrain_btmlm", "masking.ratio.btmlm")),
    ),
    Choice(
        "Mixture of objectives",
        "MMLM, TLM, CAMLM and BTMLM together (paper: Table 6); how batches are mixed is not known. "
        "Equal parts of two (sibling: InfoXLM).",
        "Every batch holds all objectives in these shares of its tokens; each loss is a mean over "
        "its predicted tokens, and they are added with weight 1.",
        (("pretrain_camlm", "objectives"), ("pretrain_btmlm", "objectives")),
    ),
    Choice(
        "Order of the stages",
        "Two stages, generation by the model of CAMLM (authors); ablated as if trained jointly "
        "(memory).",
        "Stage 1 ends before anything is generated; stage 2 goes on with its objectives and "
        "BTMLM together.",
        (("pretrain_camlm", "steps"), ("pretrain_btmlm", "steps")),
    ),
    Choice(
        "Number of placeholders in BTMLM",
        "A part of the sentence (paper); 5 to 20 % were tried (memory), which was taken is not "
        "known.",
        "This share of the sentence's tokens, at least one.",
        (("pretrain_backtranslate", "placeholder_ratio"),),
    ),
    Choice(
        "How pseudo tokens are chosen",
        "One pass for all placeholders (paper: figures); greedy or sampled is not known, nor by "
        "which weights.",
        "The most probable token of the finished stage-1 model, without dropout, once for the "
        "whole text.",
        (("pretrain_backtranslate", "placeholder_ratio"),),
    ),
    Choice(
        "Languages to generate",
        "Not known.",
        "`seen`: those with which the sentence's language has parallel text; `all`: any other.",
        (("pretrain_backtranslate", "directions"),),
    ),
    Choice(
        "Separators and positions of a pair",
        "Positions are numbered through both sentences, separators are not drawn (paper: Figure "
        "1); two separators in fine-tuning (authors).",
        "`<s> A </s></s> B </s>` as in fine-tuning, the first separator belonging to A. Positions "
        "run on (`continuous`) or start again with B (`reset`, as XLM), which puts words near "
        "their translations and lets small models align them sooner.",
        (("pretrain_initialise", "pair_positions"),),
    ),
    Choice(
        "Language embedding",
        "Drawn under every token (paper: figures), absent from the released weights (authors).",
        "Added in pre-training; generation needs it to know which language is asked for.",
        (("pretrain_initialise", "language_embeddings"),),
    ),
    Choice(
        "Sampling of languages",
        "The exponent is not known; 0.3 (memory: XLM-R), 0.7 (memory: InfoXLM).",
        "Languages and pairs are drawn in proportion to their size to this power.",
        (("pretrain_camlm", "alpha"), ("tokenizer_train", "alpha")),
    ),
    Choice(
        "Dropout in pre-training",
        "Not known; 0.1 in the shipped configuration (authors), 0 (sibling: InfoXLM).",
        "None by default: it slows small models more than it helps them.",
        (("pretrain_initialise", "dropout"), ("pretrain_initialise", "attention_dropout")),
    ),
    Choice(
        "Optimiser details",
        "Adam (memory); its constants, decay and clipping are not known.",
        "AdamW with InfoXLM's constants.",
        (
            ("pretrain_camlm", "optimiser.beta2"),
            ("pretrain_camlm", "optimiser.weight_decay"),
            ("pretrain_camlm", "optimiser.clip_norm"),
        ),
    ),
    Choice(
        "Sentence vectors for retrieval",
        "A middle layer of an encoder fine-tuned on XNLI (memory).",
        "The pre-trained encoder as it is; this hidden state (-1 is the last) and pooling.",
        (
            ("xtreme_predict", "layer"),
            ("xtreme_predict", "pooling"),
            ("xtreme_predict", "centre"),
        ),
    ),
)
