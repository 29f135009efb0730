"""The milestones of the default run for DVC, from the table of stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from ernie_m.config.load import BASE
from ernie_m.config.root import Config
from ernie_m.pipeline.stages import REGISTRIES, STAGES, Stage, jobs, module_of
from ernie_m.records.digest import code_facts

# Descriptions of the milestones, as `dvc stage list` shows them.
MILESTONES = {
    "corpora": "Text, downloaded, filtered, and divided into training and held-out text",
    "tokenizer": "The vocabulary, and the training text in its pieces",
    "camlm": "The untrained encoder, and stage 1 of pre-training",
    "backtranslate": "Pseudo-translations of the monolingual text by the model of stage 1",
    "btmlm": "Stage 2 of pre-training",
    "xtreme": "Evaluation tasks, fine-tuning in English, scores in every language",
    "report": "The report, every score as a table, and the main numbers",
    "export": "The final encoder as a folder for transformers, with its model card",
}
# The report's files: DVC keeps the page; small ones are for git, of which two are plots of it.
_REPORT = "results/default/report_build"
_IN_GIT = ("SHA256SUMS", "figures", "lineage.jsonl", "record.json")
_PLOTS = {"losses.csv": ("tokens", "camlm"), "scores.csv": ("language", "value")}


def dvc_stages(config: Config) -> str:
    """The key ``stages`` of ``dvc.yaml`` as YAML, of the stages that ``config`` runs."""
    wanted = [name for name, own in jobs(config).items() if own]
    texts = []
    for milestone, words in MILESTONES.items():
        own = [name for name in wanted if STAGES[name].milestone == milestone]
        entry = {
            "desc": words,
            "cmd": f"snakemake {milestone} --cores all",
            "deps": sorted({*_read(own, wanted), *_code(own), *_files(own, config)}),
            "params": [{BASE.as_posix(): sorted(_keys(STAGES[name] for name in own))}],
            **(_report_files() if milestone == "report" else {"outs": [_kept(n) for n in own]}),
        }
        texts.append(yaml.safe_dump({milestone: entry}, sort_keys=False, width=100))
    lines = "\n".join(texts).splitlines()
    return "stages:\n" + "".join(f"  {line}".rstrip() + "\n" for line in lines)


def _folder(stage: str) -> str:
    return f"results/{stage}" if STAGES[stage].shared else f"results/default/{stage}"


def _kept(stage: str) -> dict[str, Any]:
    return {_folder(stage): {"persist": True}}


def _read(own: list[str], wanted: list[str]) -> set[str]:
    """The results of other milestones that these stages read."""
    found: set[str] = set()
    for name in own:
        collected = (other for other in wanted if not STAGES[other].collects)
        found.update(collected if STAGES[name].collects else STAGES[name].reads)
    return {_folder(name) for name in found & set(wanted) - set(own)}


def _code(own: list[str]) -> Iterator[str]:
    """Folders and files of the code that these stages import."""
    for path in {path for name in own for path in code_facts(module_of(name))}:
        top = "/".join(path.split("/")[:3])
        if not top.endswith("__init__.py"):
            yield top


def _files(own: list[str], config: Config) -> Iterator[str]:
    """Their rules and registries; for stages that read no other, also what all share."""
    for phase in {name.partition("_")[0] for name in own}:
        yield f"workflow/rules/{phase}.smk"
    for key in {key for name in own for key in STAGES[name].keys if key in REGISTRIES}:
        yield getattr(config, key.partition(".")[0]).registry
    if not all(STAGES[name].reads or STAGES[name].collects for name in own):
        yield from ("Snakefile", "workflow/rules/common.smk")


def _keys(stages: Iterable[Stage]) -> set[str]:
    """The keys that these stages depend on, without keys of a section that is listed itself."""
    found: set[str] = set()
    for stage in stages:
        found |= {*stage.keys, *(["init"] if stage.starts else [])}
        found |= {"seed"} if stage.seed == "run" else {"xtreme.seeds"} if stage.seed else set()
        found |= {"variants", "replicates"} if "variant" in stage.instance else set()
    return {key for key in found if not any(key.startswith(f"{other}.") for other in found)}


def _report_files() -> dict[str, Any]:
    git = {"cache": False, "persist": True}
    plots = {name: dict(zip("xy", axes, strict=True)) for name, axes in _PLOTS.items()}
    return {
        "outs": [
            *({f"{_REPORT}/{name}": git} for name in _IN_GIT),
            {f"{_REPORT}/report.html": {"persist": True}},
        ],
        "metrics": [{f"{_REPORT}/metrics.json": git}],
        "plots": [{f"{_REPORT}/{name}": git | axes} for name, axes in plots.items()],
    }
