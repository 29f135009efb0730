"""Windows, offsets and answers on the real XQuAD, against tokenizers and transformers.

The one reads the same SentencePiece model, cuts windows and keeps offsets by code of its own; the
other's pipelines choose the best of all starts and ends of a window. Of windows SQuAD's scripts
take the one with the highest sum of scores.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import Regex, normalizers
from tokenizers.models import Unigram
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers.pipelines.document_question_answering import select_starts_ends

from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.xtreme.files import Question
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.questions import Choice, QuestionAnswering

DATA = Path(__file__).parents[3] / "shared/data/xquad"
LANGUAGES = ("en", "ar", "th", "zh")
PARAGRAPHS = 20
LONGEST, OVERLAP = 128, 40

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="XQuAD is not at hand")


def questions(language: str) -> list[Question]:
    document = json.loads((DATA / f"xquad.{language}.json").read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
    return [
        Question(
            id=asked["id"],
            question=asked["question"],
            context=paragraph["context"],
            answers=[answer["text"] for answer in asked["answers"]],
            starts=[answer["answer_start"] for answer in asked["answers"]],
        )
        for paragraph in paragraphs[:PARAGRAPHS]
        for asked in paragraph["qas"]
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xquad")
    texts = [q.context for language in LANGUAGES for q in questions(language)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sorted(set(texts))),
        model_prefix=str(folder / "spm"),
        vocab_size=4000,
        hard_vocab_limit=False,
        character_coverage=0.9999,
        max_sentence_length=100_000,
        minloglevel=2,
    )
    return folder / "spm.model"


@pytest.fixture(scope="module")
def kind(model, shape):
    tokenizer = Tokenizer(model)
    own = replace(shape, languages=LANGUAGES, tokenizer=tokenizer.sha256, vocabulary=tokenizer.size)
    settings = FinetuneSettings(max_tokens=LONGEST, stride=OVERLAP, max_query_tokens=64)
    return QuestionAnswering(Reader(tokenizer, own, LONGEST, "own"), settings, Choice(longest=30))


@pytest.fixture(scope="module")
def library(model):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    own = tokenizers.Tokenizer(Unigram(vocabulary, unk_id=pieces.unk_id()))
    spaces = Replace(Regex(r"\s+"), " ")
    unseen = Replace(Regex("[\u200b-\u200f\ufeff]"), " ")
    own.normalizer = normalizers.Sequence([normalizers.NFKC(), unseen, spaces, normalizers.Strip()])
    own.pre_tokenizer = Metaspace()
    own.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:1 </s>:1",
        special_tokens=[(piece, own.token_to_id(piece)) for piece in ("<s>", "</s>")],
    )
    own.enable_truncation(LONGEST, stride=OVERLAP, strategy="only_second")
    return own


def windows_of(library, question: Question) -> list[list[tuple[str, int, int]]]:
    """Characters of the context that each token of each window stands for, without the space
    before it."""
    whole = library.encode(question.question, question.context)
    found = []
    for window in (whole, *whole.overflowing):
        spans = []
        for sequence, (start, end) in zip(window.sequence_ids, window.offsets, strict=True):
            if sequence == 1:
                while start < end and question.context[start].isspace():
                    start += 1
                spans.append((question.context[start:end], start, end))
        found.append(spans)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_windows_and_answers_are_those_of_the_library(kind, library, language):
    asked = questions(language)
    features = kind.featurise(asked, language)
    generator = np.random.default_rng(0)
    scores = [generator.standard_normal((len(spans), 2)) for spans in features.characters]
    answers = kind.decode(asked, features, scores)
    assert len(features) > len(asked), "no context has several windows"
    compared = 0
    for number, question in enumerate(asked):
        documents = np.flatnonzero(features.owner == number).tolist()
        ours = [features.characters[d][1:] for d in documents]
        theirs = windows_of(library, question)
        if [len(spans) for spans in ours] != [len(spans) for spans in theirs]:
            continue  # the two tokenizers disagree on a piece, which is rare
        compared += 1
        best = (-np.inf, "")
        for document, spans in zip(documents, theirs, strict=True):
            start, end = scores[document].T
            elsewhere = np.arange(len(start)) == 0  # of what the head reads, all but <s> is context
            (i,), (j,), *_ = select_starts_ends(
                start[None], end[None], elsewhere, None, max_answer_len=kind.choice.longest
            )
            text = question.context[spans[i - 1][1] : spans[j - 1][2]]
            best = max(best, (start[i] + end[j], text))
        assert answers[number].answer == best[1], question.id
    assert compared > 0.95 * len(asked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_true_spans_come_back_as_the_answers(kind, language):
    """Pointing at the tokens of an answer gives it back, but for the rest of its pieces."""
    asked = questions(language)
    features = kind.featurise(asked, language)
    scores = []
    for number in range(len(features)):
        scores.append(np.zeros((len(features.characters[number]), 2)))
        start, end = features.targets[number]
        scores[-1][start, 0] = scores[-1][end, 1] = 9
    found = kind.decode(asked, features, scores)
    here = {
        o
        for o, t in zip(features.owner, range(len(features)), strict=True)
        if features.targets[t].any()
    }
    lengths = [len(kind.reader.tokenizer.encode([q.answers[0]])[0]) for q in asked]
    short = [n for n in here if lengths[n] <= 20]
    assert len(short) > 0.8 * len(asked)
    exact = sum(found[n].answer == asked[n].answers[0] for n in short)
    assert all(asked[n].answers[0] in found[n].answer for n in short)
    assert exact > 0.6 * len(short)
