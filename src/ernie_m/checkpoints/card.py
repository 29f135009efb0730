"""The model card of an exported checkpoint, written from the records of the jobs behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ernie_m.catalogue.tasks import TASKS, Task
from ernie_m.config.export import ExportSettings
from ernie_m.model.architecture import Architecture
from ernie_m.pipeline.stages import parts_of
from ernie_m.records.record import Record
from ernie_m.replicates import variant_of
from ernie_m.report import markdown, scores, verdicts
from ernie_m.report.evidence import Evidence
from ernie_m.words import plural

LIBRARY = {"hf": "transformers", "sentence-transformers": "sentence-transformers", "onnx": "onnx"}
PAPER = """\
@inproceedings{ouyang-etal-2021-ernie,
  title     = {{ERNIE-M}: Enhanced Multilingual Representation by Aligning Cross-lingual Semantics
               with Monolingual Corpora},
  author    = {Ouyang, Xuan and Wang, Shuohuan and Pang, Chao and Sun, Yu and Tian, Hao and
               Wu, Hua and Wang, Haifeng},
  booktitle = {Proceedings of EMNLP 2021},
  pages     = {27--38},
  doi       = {10.18653/v1/2021.emnlp-main.3}
}"""


@dataclass(frozen=True)
class Subject:
    """The subject of the card. ``origin`` is the path of the checkpoint, ``stage`` made it
    (``pretrain_btmlm``), ``verdict`` is the result of checking its lineage, ``fresh_head`` whether
    the LM head is random because the source has none."""

    origin: str
    sha256: str
    stage: str
    instance: str
    shape: Architecture
    parameters: int
    task: Task | None
    settings: ExportSettings
    verdict: str
    fresh_head: bool = False


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(cells) for cells in (head, ["---"] * len(head), *rows)]
    return [f"| {line} |" for line in lines]


def _behind(subject: Subject, evidence: Evidence, stage: str = "") -> list[Record]:
    """The jobs behind the checkpoint, or those of a stage; none if its record is not at hand."""
    maker = evidence.makers.get(subject.origin)
    jobs = evidence.behind(maker.record, "") if maker else []
    return sorted((job for job in jobs if job.stage.startswith(stage)), key=lambda job: job.job)


def _sources(subject: Subject, evidence: Evidence) -> list[dict[str, Any]]:
    """Registry rows, with the digest of the downloaded file: upstream may publish none."""
    return [
        record.settings | {"sha256": file.sha256}
        for record in _behind(subject, evidence, "corpora_download")
        for file in record.outputs["file"]
    ]


def _weights(evidence: Evidence) -> dict[str, Any]:
    """The registry row of the weights that training started from; empty for weights from a folder
    and for training from scratch."""
    maker = evidence.makers.get(evidence.start.path) if evidence.start else None
    return maker.record.settings if maker else {}


def _licence(subject: Subject, evidence: Evidence) -> str:
    """The licence of the text and of external weights if they have one, by its SPDX name."""
    rows = filter(None, (*_sources(subject, evidence), _weights(evidence)))
    found = {row["licence"] for row in rows}
    named = [name for name in found if re.fullmatch(r"[A-Za-z0-9.+-]+", name)]
    return named[0].lower() if len(found) == len(named) == 1 else "other"


def _front(subject: Subject, evidence: Evidence) -> list[str]:
    """The front matter that model hubs read."""
    known = _languages(subject)
    front = {
        **({"language": list(known)} if known else {}),
        "license": _licence(subject, evidence),
        "library_name": LIBRARY[subject.settings.format],
        "tags": ["ernie-m", "cross-lingual", *([subject.task.kind] if subject.task else [])],
    }
    text = yaml.safe_dump(front, default_flow_style=None, sort_keys=False, width=float("inf"))
    return ["---", *text.splitlines(), "---"]


def _trained(subject: Subject) -> bool:
    """Whether the checkpoint had any pre-training here; assumed if there are no records."""
    made = (subject.stage + "/" + subject.instance).replace("_", "/").split("/")
    return not {"initialise", "adopt"} & set(made)


def _start(subject: Subject, evidence: Evidence) -> list[str]:
    if evidence.start is None:
        return []
    path, sha256 = evidence.start.path, evidence.start.sha256
    begun = "Pre-training went on from" if _trained(subject) else "The weights are those of"
    words = f"{begun} {markdown.code(path)} (sha256 `{sha256}`)"
    if row := _weights(evidence):
        version, licence = markdown.words(row["version"]), markdown.words(row["licence"])
        home = markdown.address(row["home"])
        words += f", {markdown.code(row['id'])} of {home}, version {version}, {licence}"
    scored = f"; its scores are called {scores.AS_RELEASED} below" if _trained(subject) else ""
    return ["", f"{words}{scored}."]


def _trainings(subject: Subject, evidence: Evidence) -> list[tuple[str, dict[str, Any]]]:
    """The settings of each stage of pre-training behind the checkpoint, by the stage's name."""
    stages = (("pretrain_camlm", "stage 1"), ("pretrain_btmlm", "stage 2"))
    return [
        (name, record.settings)
        for stage, name in stages
        for record in _behind(subject, evidence, stage)
    ]


def _objectives(subject: Subject, evidence: Evidence) -> str:
    """What it was pre-trained by, in words; empty if no record tells."""
    stages = [
        " + ".join(name.upper() for name, share in own["objectives"].items() if share)
        for _, own in _trainings(subject, evidence)
    ]
    return f" by {', then '.join(stages)}" if stages else ""


def _about(subject: Subject, evidence: Evidence) -> list[str]:
    shape = subject.shape
    instance, origin = markdown.words(subject.instance), markdown.code(subject.origin)
    made = f"`{subject.stage}` ({instance})" if subject.stage else "an unknown job"
    begun = "the weights of others" if evidence.start else "untrained"
    what = f"fine-tuned on {subject.task.name}" if subject.task else "pre-trained"
    if _trained(subject):
        how = f"pre-trained{_objectives(subject, evidence)}"
        how += f", then {what}" if subject.task else ""
    else:
        what = f"{what}, from {begun}" if subject.task else begun
        how = f"{what}, with no pre-training of ours"
    return [
        f"# ERNIE-M, reproduced: {what}",
        "",
        f"An encoder of XLM-R's architecture, {how}: {shape.layers} layers, width {shape.width}, "
        f"{shape.heads} heads, {shape.vocabulary:,} pieces, {subject.parameters:,} parameters.",
        "",
        f"Exported from {origin} (sha256 `{subject.sha256}`), made by {made}.",
        *_start(subject, evidence),
    ]


def _languages(subject: Subject) -> Sequence[str]:
    """The languages of the pre-training; external weights bring their own."""
    return subject.shape.languages if _trained(subject) else ()


def _data(subject: Subject, evidence: Evidence) -> list[str]:
    if not _trained(subject):
        return ["No text was trained on here but that of the task, if there is one."]
    languages = f"Languages: {', '.join(_languages(subject))}."
    return [languages, "", *_text(_sources(subject, evidence))]


def _text(sources: list[dict[str, Any]]) -> list[str]:
    if not sources:
        return ["No record of the text was at hand."]
    rows = [
        [
            *(markdown.words(s[key]) for key in ("id", "version", "licence")),
            markdown.address(s["home"]),
            f"`{s['sha256'][:16]}`",
        ]
        for s in sources
    ]
    note = dict.fromkeys(markdown.words(s["note"]) for s in sources if s.get("note"))
    return [*_table(["source", "version", "licence", "home", "sha256"], rows), "", *note]


def _recipe(subject: Subject, evidence: Evidence) -> list[str]:
    """The settings of each training behind the checkpoint."""
    rows = []
    for name, settings in _trainings(subject, evidence):
        shares = (f"{k} {v:g}" for k, v in settings["objectives"].items() if v)
        rate = settings["optimiser"]["learning_rate"]
        batch = f"{settings['batch_tokens']:,}"
        rows.append([name, ", ".join(shares), f"{settings['steps']:,}", batch, f"{rate:g}"])
    head = ["stage", "objectives (share of tokens)", "steps", "tokens a batch", "learning rate"]
    none = "No record of the training was at hand." if _trained(subject) else "None: see above."
    lines = _table(head, rows) if rows else [none]
    for job in _behind(subject, evidence, "xtreme_finetune") if subject.task else ():
        own, read = job.settings, [Path(file.path).stem for file in job.inputs.get("train", [])]
        where = "English" if read == ["train-en"] else plural(len(read), "language")
        lines += [
            "",
            f"Fine-tuned in {where}: {own['epochs']} epochs, batches of {own['batch_size']}, "
            f"learning rate {own['learning_rate']}.",
        ]
    return lines


def _scores(subject: Subject, evidence: Evidence) -> list[str]:
    """This checkpoint's averages over languages, with the scores that they have to beat."""
    variant, stage = _evaluated_as(subject)
    metrics = scores.main_metrics(evidence)
    start = scores.AS_RELEASED if evidence.start else "untrained encoder"
    others: dict[str, scores.Cell | None] = {}
    rows = []
    seed = parts_of(subject.stage, subject.instance).get("seed", "").removeprefix("seed")
    # Not the mean with its other replicates, or with other seeds of its fine-tuning.
    own = [
        score
        for score in scores.read_scores(evidence)
        if score.stage != stage or (score.variant == variant and seed in ("", str(score.seed)))
    ]
    for table in scores.tables(own, metrics, subject.shape.languages):
        found = scores.verdict(table, variant_of(variant), stage)
        about = subject.task is None or subject.task.name == table.task
        if found is None or not about or table.metric != metrics.get(table.task):
            continue
        others = {start: found.start} if _trained(subject) else {}
        others |= {"best baseline": found.baseline}
        numbers = [f"{cell.value:.1f}" if cell else "" for cell in (found.own, *others.values())]
        above = [name for name, other in others.items() if found.above(other)]
        words = f"above {' and '.join(above)}" if above else f"not above {' or '.join(others)}"
        name = table.task + (" (stand-in)" if table.standin else "")
        rows.append([name, table.metric_name, *numbers, words])
    if not rows:
        return ["No average is at hand: it was not evaluated, or on too few examples."]
    head = ["task", "metric", "this", *others, "verdict"]
    return [
        "Means over languages, in percent. The verdict asks for more than "
        f"{plural(scores.MARGIN, 'point')}.",
        "",
        *_table(head, rows),
    ]


def _claims(evidence: Evidence) -> dict[str, list[str]]:
    """What the run that it is of found of the paper's claims; no section where none was judged."""
    shown = evidence.shown("claims_judge", "claims")
    if not shown:
        return {}
    rows = list(verdicts.scores_of(shown[0].json(), shown[0].path))
    sizes = "; ".join(dict.fromkeys(row["at"] for row in rows))
    lines = [f"Of the run, {sizes}; the replicates of its variants are the sample.", ""]
    cells = (
        [
            markdown.words(row["claim"]),
            f"{row['score']}, {row['unit']}",
            *row["shown"],
            row["words"],
        ]
        for row in rows
    )
    return {"The paper's claims": [*lines, *_table(["claim", *verdicts.HEAD], cells)]}


def _evaluated_as(subject: Subject) -> tuple[str, str]:
    """Variant and stage under which the checkpoint is scored."""
    parts = parts_of(subject.stage, subject.instance)
    stage = parts.get("checkpoint", subject.stage.removeprefix("pretrain_"))
    return parts.get("variant", subject.instance), "initialise" if stage == "adopt" else stage


def _limits(subject: Subject, evidence: Evidence) -> list[str]:
    standin = any(TASKS[name].standin for name in scores.main_metrics(evidence) if name in TASKS)
    known = "the languages and the kind of text above" if _trained(subject) else "what it came with"
    lines = [
        f"- It knows {known}; what it does with others was not measured.",
        "- Its text was not screened for bias, and it repeats what is in it.",
    ]
    if standin:
        lines.append(
            "- The tasks marked stand-in are made of held-out text of the same source. Their "
            "scores must not be set beside published XTREME scores."
        )
    if subject.fresh_head:
        lines.append(
            "- Its head for masked tokens is random: the weights that it starts from have none."
        )
    if subject.shape.language_embeddings:
        default = subject.settings.language
        lines.append(
            "- In training each token carried an embedding of its language. Here token type 0, the "
            f"default, is {'no language' if default == 'none' else f'`{default}`'}; types "
            f"1 to {len(subject.shape.languages)} are {', '.join(subject.shape.languages)}. "
            "Without its language a text is read a little differently than in training."
        )
    if subject.shape.pair_positions == "reset" and subject.settings.format != "onnx":
        lines.append(
            "- Positions of a pair's second text began again at 0 in training. Pass "
            "`position_ids` to have the same: 2, 3, ... for `<s> A </s>`, and again from 2 for "
            "`</s> B </s>`."
        )
    return lines


def _loading(subject: Subject) -> list[str]:
    form, kinds = subject.settings.format, {"pair": "SequenceClassification"}
    kinds |= {"tagging": "TokenClassification", "qa": "QuestionAnswering"}
    auto = "AutoModelFor" + (kinds[subject.task.kind] if subject.task else "MaskedLM")
    code = {
        "hf": [
            f"from transformers import {auto}, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            f'model = {auto}.from_pretrained("FOLDER")',
            'found = model(**tokenizer("A text", return_tensors="pt"))',
        ],
        "sentence-transformers": [
            "from sentence_transformers import SentenceTransformer",
            "",
            'model = SentenceTransformer("FOLDER")',
            'vectors = model.encode(["A text", "Ein Text"])',
        ],
        "onnx": [
            "import onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("FOLDER/model.onnx")',
            "# input_ids, attention_mask, token_type_ids: int64 [rows, tokens]",
            'session.run(["last_hidden_state"], inputs)',
        ],
    }
    return ["```python", *code[form], "```"]


def card(subject: Subject, evidence: Evidence) -> str:
    """The card as Markdown with the front matter of model hubs."""
    sections: dict[str, list[str]] = {
        "Data": _data(subject, evidence),
        "Recipe": _recipe(subject, evidence),
        "Scores": _scores(subject, evidence),
        **(_claims(evidence) if _trained(subject) and subject.task is None else {}),
        "Limits": _limits(subject, evidence),
        "Loading": _loading(subject),
        "Lineage": [
            "Files and records from this checkpoint back to the downloaded bytes: "
            f"{subject.verdict} at export. {markdown.code(f'ernie-m audit {subject.origin}')} "
            "checks them again, with code and settings."
        ],
        "Citation": ["```bibtex", PAPER, "```"],
    }
    lines = [*_front(subject, evidence), "", *_about(subject, evidence)]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"
