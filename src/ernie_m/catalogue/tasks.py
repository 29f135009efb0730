"""The evaluation tasks by name: kind, labels, languages and files.

How a stage treats a kind of task is in that stage's own modules, so that a change to how one task's
examples are built leaves the fine-tuning of another alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ernie_m.errors import UserError

Kind = Literal["retrieval", "mining", "pair", "tagging", "qa"]
Training = Literal["english", "all"]
ENGLISH = "en"

# XTREME's four groups (its Table 1), by kind of task.
CATEGORIES: dict[str, str] = {
    "retrieval": "retrieval",
    "mining": "retrieval",
    "pair": "classification",
    "tagging": "tagging",
    "qa": "qa",
}
# The number that stands for a task of this kind; XTREME's task score for each.
MAIN_METRIC: dict[str, str] = {
    "retrieval": "accuracy",
    "mining": "f1",
    "pair": "accuracy",
    "tagging": "f1",
    "qa": "f1",
}


@dataclass(frozen=True)
class Task:
    """One evaluation task.

    ``title`` is the name as papers write it; of a stand-in without the word, which is said beside
    it. ``labels`` are classes (pair) or tags (tagging; of BIO tags ``O`` first). ``languages`` are
    those that a published task is tested in; without them a task is made of the run's own held-out
    rows, in the run's languages. ``standin`` marks a task that only has the shape of an XTREME
    task. ``answers`` is how answers to questions are compared. ``trains_in_all``: there is
    training text in every language of the task, translated or its own. ``after`` is the task that
    an encoder for retrieval may be fine-tuned on first.
    """

    name: str
    title: str
    kind: Kind
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    standin: bool = False
    answers: Literal["", "own", "squad", "mlqa"] = ""
    trains_in_all: bool = False
    after: str = ""

    @property
    def published(self) -> bool:
        """Whether examples are read from published files; others are made of held-out rows."""
        return bool(self.languages)

    @property
    def category(self) -> str:
        """XTREME's group: retrieval, classification, tagging or qa."""
        return CATEGORIES[self.kind]

    @property
    def metric(self) -> str:
        """Name of the main metric."""
        return MAIN_METRIC[self.kind]

    @property
    def trained(self) -> bool:
        """Whether the encoder is fine-tuned, or used as pre-training left it."""
        return self.kind not in ("retrieval", "mining")

    def files(
        self, languages: Sequence[str], training: Training = "english"
    ) -> dict[str, list[str]]:
        """Example files by split: ``{"train": [...], "dev": [...], "test": [...]}``.

        ``languages`` are the run's, for tasks that have none of their own. Retrieval and mining
        set English against each other language, so English has no file of its own; mining tunes
        its threshold on a dev file of each language (as BUCC does). ``training`` is
        in which languages the training text is.
        """
        languages = self.languages or languages
        foreign = [language for language in languages if language != ENGLISH]
        if self.trained:
            dev = [f"dev-{ENGLISH}.jsonl"]
            test = [f"test-{language}.jsonl" for language in languages]
            taught = languages if training == "all" else [ENGLISH]
            train = [f"train-{language}.jsonl" for language in taught]
            return {"train": train, "dev": dev, "test": test}
        dev = [f"dev-{language}.jsonl" for language in foreign] if self.kind == "mining" else []
        return {"train": [], "dev": dev, "test": [f"test-{language}.jsonl" for language in foreign]}


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _spans(*names: str) -> tuple[str, ...]:
    """BIO tags of spans of these names."""
    return ("O", *(f"{mark}-{name}" for name in names for mark in "BI"))


_UPOS = _codes("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X")
_XQUAD = _codes("en es de el ru tr ar vi th zh hi")
_UDPOS = _codes(
    "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi "
    "yo zh"
)
_PANX = _codes(
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th "
    "sw yo my zh kk tr et fi hu"
)
_TATOEBA = tuple(code for code in _PANX if code not in ("en", "ms", "my", "yo"))

# The nine tasks of the benchmark with their languages: its evaluate.py.
_XTREME = (
    Task(
        "xnli",
        "XNLI",
        "pair",
        labels=("contradiction", "entailment", "neutral"),
        languages=_codes("ar bg de el en es fr hi ru sw th tr ur vi zh"),
        trains_in_all=True,
    ),
    Task(
        "pawsx",
        "PAWS-X",
        "pair",
        labels=("0", "1"),
        languages=_codes("de en es fr ja ko zh"),
        trains_in_all=True,
    ),
    Task("udpos", "UD-POS", "tagging", labels=_UPOS, languages=_UDPOS),
    Task(
        "panx",
        "PAN-X",
        "tagging",
        labels=_spans("PER", "ORG", "LOC"),
        languages=_PANX,
        trains_in_all=True,
    ),
    Task("xquad", "XQuAD", "qa", languages=_XQUAD, answers="squad"),
    Task("mlqa", "MLQA", "qa", languages=_codes("en es de ar hi vi zh"), answers="mlqa"),
    Task(
        "tydiqa",
        "TyDi QA",
        "qa",
        languages=_codes("en ar bn fi id ko ru sw te"),
        answers="squad",
        trains_in_all=True,
    ),
    Task("bucc2018", "BUCC", "mining", languages=_codes("de fr ru zh"), after="xnli"),
    Task("tatoeba", "Tatoeba", "retrieval", languages=_TATOEBA, after="xnli"),
)
XTREME: tuple[str, ...] = tuple(task.name for task in _XTREME)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *_XTREME,
        # The paper reports this one besides; it is not of XTREME.
        Task(
            "conll",
            "CoNLL",
            "tagging",
            labels=_spans("PER", "ORG", "LOC", "MISC"),
            languages=_codes("en nl es de"),
            trains_in_all=True,
        ),
        # Real files, but trained on a part of them, for machines without SQuAD and the English
        # training treebanks.
        Task(
            "standin_xquad", "Part of XQuAD", "qa", languages=_XQUAD, standin=True, answers="squad"
        ),
        Task(
            "standin_udpos",
            "Part of UD-POS",
            "tagging",
            labels=_UPOS,
            languages=_codes("en ar es hi ru th vi zh"),
            standin=True,
        ),
        Task(
            "standin_retrieval",
            "Retrieval",
            "retrieval",
            standin=True,
            after="standin_classification",
        ),
        Task("standin_mining", "Mining", "mining", standin=True, after="standin_classification"),
        Task(
            "standin_classification",
            "Classification",
            "pair",
            labels=("action", "field", "form", "message"),
            standin=True,
            trains_in_all=True,
        ),
        Task(
            "standin_paraphrase",
            "Paraphrase",
            "pair",
            labels=("different", "same"),
            standin=True,
            trains_in_all=True,
        ),
        Task(
            "standin_tagging",
            "Tagging",
            "tagging",
            labels=_spans("PRODUCT", "LABEL", "CODE"),
            standin=True,
            trains_in_all=True,
        ),
        Task("standin_qa", "QA", "qa", standin=True, answers="own", trains_in_all=True),
    )
}


def task_of(instance: str) -> Task:
    """The task whose name is the first part of a job's instance; raises :class:`UserError`."""
    name = instance.split("/")[0]
    if name not in TASKS:
        raise UserError(
            f"There is no evaluation task `{name}`.", f"Choose among {', '.join(TASKS)}."
        )
    return TASKS[name]
