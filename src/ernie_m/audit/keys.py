"""Which keys of the configuration reached a job, where each is set, and what the paper has.

What the paper has is said in the words of :mod:`ernie_m.catalogue.deviations`, with their marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ernie_m.catalogue.deviations import DEVIATIONS, OPEN_CHOICES
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import Section, section_of
from ernie_m.config.corpora import HEAD
from ernie_m.config.load import BASE, read, read_yaml
from ernie_m.config.recipes import DEEP, finetune_keys, predict_keys
from ernie_m.config.root import MAIN_ARM, Config
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import REPEATED, SEEDED
from ernie_m.records.graph import RESULTS, Node
from ernie_m.words import flatten

REGISTRY = "corpora.registry"
TASK_ROWS = "xtreme.registry"  # of the published tasks' files
CHECKPOINT_ROWS = "checkpoints.registry"
REGISTRIES = (REGISTRY, TASK_ROWS, CHECKPOINT_ROWS)
RECIPE = "xtreme.recipe"

# Stage -> the sections that its settings are taken from (pipeline/stages.py does the taking), `""`
# being the top level; the first one that has a key is its place. `corpora.registry.<row>` stands
# for a row of the registry.
SECTIONS: dict[str, tuple[str, ...]] = {
    "checkpoints_download": (CHECKPOINT_ROWS,),
    "corpora_download": (REGISTRY,),
    "corpora_extract": (REGISTRY,),
    "corpora_filter": ("corpora.filter", "corpora.dedup"),
    "corpora_deal": (
        "corpora.deal",
        "corpora.dedup",
        "corpora.filter",
        "corpora.select",
        "corpora",
    ),
    "corpora_eval_hashes": ("corpora.select",),
    "corpora_dedup": ("corpora.dedup",),
    "corpora_select": ("corpora.select",),
    "tokenizer_quotas": ("tokenizer.train",),
    "tokenizer_sample": (),
    "tokenizer_train": ("tokenizer.train",),
    "tokenizer_pack": ("pretrain",),
    "pretrain_initialise": ("model", "corpora"),
    "pretrain_camlm": ("pretrain.camlm", ""),
    "pretrain_backtranslate": ("pretrain.backtranslate", "pretrain", "corpora"),
    "pretrain_btmlm": ("pretrain.btmlm", ""),
    "xtreme_download": (TASK_ROWS,),
    "xtreme_prepare": ("xtreme.prepare",),
    "xtreme_align": ("xtreme.align", "xtreme.predict"),
    "xtreme_finetune": ("xtreme.finetune",),
    "xtreme_predict": ("xtreme.predict",),
    "xtreme_sweep": ("xtreme.predict",),
    "xtreme_score": ("xtreme.score",),
    "xtreme_baseline": ("xtreme.score",),
    "report_build": ("report",),
    "checkpoints_export": ("xtreme.predict",),
}
# Stages whose instance has an arm, which may have keys of its own.
WITH_ARM = frozenset(
    {
        *("pretrain_initialise", "pretrain_camlm", "pretrain_backtranslate", "pretrain_btmlm"),
        *("xtreme_align", "xtreme_finetune", "xtreme_predict", "xtreme_sweep"),
    }
)
# Stages that read the files of the checkpoint that `init` names.
STARTING = frozenset({"tokenizer_train", "pretrain_initialise"})
# Settings that are no key: the shards of a corpus follow from its rows of the registry, whether its
# rows are joined from what it is, and what an export is of is in the name of its job.
DERIVED = {
    ("corpora_filter", "shards"),
    ("tokenizer_pack", "join"),
    ("checkpoints_export", "format"),
    ("checkpoints_export", "language"),
}


@cache
def _fields(section: str) -> frozenset[str]:
    """Names of the keys in a section, given by its dotted path."""
    model: type[Section] | None = Config
    for part in filter(None, section.split(".")):
        model = section_of(model.model_fields[part]) if model else None
    return frozenset(model.model_fields) if model else frozenset()


def _overrides(node: Node, name: str, key: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Keys that lie over ``key`` for this job, the one with the last word first.

    What a recipe sets has no key of its own, and is named ``xtreme.recipe.<name>``.
    """
    task = node.instance.split("/")[0]
    # An arm is the first part of an instance, but behind the task where there is one.
    arm = next((part for part in node.instance.split("/")[:2] if part not in TASKS), MAIN_ARM)
    with_own = node.stage in WITH_ARM and arm != MAIN_ARM
    above = [f"variants.{arm}.", ""] if with_own else [""]
    if node.stage == "xtreme_finetune":
        of_task = (f"{own}xtreme.per_task.{task}.{name}" for own in above)
        yield from (own for own in of_task if own in chosen)
    if name == "head_bytes":
        of_format = f"corpora.head_bytes.{node.settings['format']}"
        if of_format in chosen and chosen[of_format] == node.settings[name]:
            yield of_format
    recipe = next((own for prefix in above if (own := f"{prefix}{RECIPE}") in chosen), None)
    if recipe and name in _set_by_recipe(node.stage, task, chosen[recipe]):
        yield f"{recipe}.{name}"
    yield from (own for prefix in above[:-1] if (own := f"{prefix}{key}") in chosen)


def _set_by_recipe(stage: str, task: str, recipe: str) -> Iterable[str]:
    """Names of the settings that a recipe sets for a stage and task."""
    if stage == "xtreme_finetune":
        return finetune_keys(recipe, TASKS[task].kind, task, all_languages=True)
    if stage in ("xtreme_predict", "xtreme_sweep"):
        return predict_keys(recipe, TASKS[task].kind, task, layers=DEEP)
    if stage == "xtreme_align":
        return predict_keys(recipe, "retrieval", "", layers=DEEP)
    return ()


def _place(node: Node, name: str) -> str:
    """The dotted key that a setting of a job comes from, before overrides."""
    sections = SECTIONS.get(node.stage, (node.stage,))
    if sections[0] in REGISTRIES:
        row = node.instance.split("/")[0].partition(HEAD)[0]
        return f"{sections[0]}.{row}.{name}"
    head = name.split(".")[0]
    section = next((own for own in sections if head in _fields(own)), sections[0])
    return f"{section}.{name}" if section else name


def keys_of(node: Node, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every key that reached a job, with the value that the job was given.

    ``chosen`` are the keys that the configuration sets itself, by dotted key: with it, the keys of
    a variant, of a task or of a recipe that lie over the general ones are named in their place.
    """
    found: dict[str, Any] = {}
    for name, value in flatten(node.settings):
        if (node.stage, name) in DERIVED:
            continue
        key = _place(node, name)
        found[next(_overrides(node, name, key, chosen or {}), key)] = value
    if node.stage in STARTING:
        found["init"] = _init(node)
    if node.stage in SEEDED:
        found["seed"] = node.record["facts"]["seed"]
    elif node.stage in REPEATED:
        found["xtreme.seeds"] = node.record["facts"]["seed"]
    return found


def _init(node: Node) -> str:
    """What `init` named for a job: the row whose files it started from, or their folder; empty
    when it started from nothing."""
    files = node.record["facts"]["inputs"].get("source", [])
    folder = Path(files[0]["path"]).parent if files else None
    if folder and folder.parent == Path(RESULTS, "checkpoints_download"):
        return folder.name
    return str(folder or "")


@dataclass(frozen=True)
class Layers:
    """The files of a configuration, the lowest first, with the keys that each sets."""

    config: Config
    files: tuple[tuple[str, dict[str, Any]], ...]

    @classmethod
    def read(cls, *overlays: Path) -> Layers:
        """``config/config.yaml`` with ``overlays`` over it; raises :class:`UserError`."""
        files = tuple(
            (path.as_posix(), dict(flatten(read_yaml(path)))) for path in (BASE, *overlays)
        )
        return cls(read(*overlays), files)

    @property
    def overlays(self) -> list[str]:
        """The files over ``config/config.yaml``."""
        return [name for name, _ in self.files[1:]]

    @property
    def chosen(self) -> dict[str, Any]:
        """Every key that some file sets."""
        return {key: value for _, keys in self.files for key, value in keys.items()}

    @property
    def registries(self) -> dict[str, str]:
        """The files whose rows are the settings of downloads, by the key that names them."""
        sections = {key: getattr(self.config, key.partition(".")[0]) for key in REGISTRIES}
        return {key: section.registry for key, section in sections.items()}

    def where(self, key: str) -> str:
        """The file that has the last word on a key; `default` when none sets it."""
        for registry, file in self.registries.items():
            if key.startswith(f"{registry}."):
                return file
        recipe, found, _ = key.partition(f"{RECIPE}.")
        key = f"{recipe}{RECIPE}" if found else key
        names = (name for name, keys in reversed(self.files) if key in keys)
        return next(names, "default")


def layers_of(run: str) -> Layers | None:
    """The configuration in ``config/`` whose key ``run`` names the results folder, if there is one.

    Raises :class:`UserError` when it is not valid.
    """
    if not BASE.is_file():
        return None
    if read_yaml(BASE).get("run", "default") == run:
        return Layers.read()
    for overlay in sorted(BASE.parent.glob("*.yaml")):
        if _names(overlay, run):
            return Layers.read(overlay)
    return None


def _names(overlay: Path, run: str) -> bool:
    """Whether a file is a configuration of this run; the registry is a list, and none."""
    try:
        return read_yaml(overlay).get("run") == run
    except UserError:
        return False


@cache
def _defaults() -> dict[str, Any]:
    return dict(flatten(Config().model_dump(mode="json")))


@cache
def _choices() -> dict[str, tuple[str, str]]:
    """What the paper has for a key, and whether that is a deviation or left open by it."""
    found = {}
    for flag, choices in (("open", OPEN_CHOICES), ("deviation", DEVIATIONS)):
        for choice in choices:
            for stage, name in choice.settings:
                key = _place(Node("", {"stage": stage, "instance": MAIN_ARM}), name)
                found[key] = (choice.paper, flag)
    return found


def _declared(key: str) -> str:
    """The key that an override (of a variant, a task, a recipe) lies over."""
    key = re.sub(r"^variants\.\w+\.", "", key)
    key = re.sub(r"^xtreme\.per_task\.\w+\.", "xtreme.finetune.", key)
    recipe, _, name = key.rpartition(".")
    if recipe != RECIPE:
        return key
    section = next(own for own in ("xtreme.finetune", "xtreme.predict") if name in _fields(own))
    return f"{section}.{name}"


def _paper(key: str) -> tuple[str, str] | None:
    """The paper's word on a key, or on the group it is in; stage 2 is trained as stage 1."""
    parts = _declared(key).split(".")
    groups = [".".join(parts[:end]) for end in range(len(parts), 1, -1)]
    for group in groups:
        for name in (group, group.replace("pretrain.btmlm", "pretrain.camlm", 1)):
            if name in _choices():
                return _choices()[name]
    return None


def explained(nodes: Iterable[Node], layers: Layers | None) -> list[dict[str, Any]]:
    """The keys that reached any of ``nodes``: value, where set, default, and the paper's.

    ``where`` is None when the configuration of today has another value or is not known. A key that
    jobs got with different values (a seed for each) has all of them in a list.
    """
    chosen = layers.chosen if layers else None
    reached: dict[str, list[Any]] = {}
    for node in nodes:
        for key, value in keys_of(node, chosen).items():
            values = reached.setdefault(key, [])
            if value not in values:
                values.append(value)
    return [_explained(key, reached[key], layers) for key in sorted(reached)]


def _explained(key: str, values: list[Any], layers: Layers | None) -> dict[str, Any]:
    paper = _paper(key)
    facts = {
        "key": key,
        "value": values[0] if len(values) == 1 else values,
        "where": layers.where(key) if layers else None,
        "paper": paper[0] if paper else None,
        "flag": paper[1] if paper else None,
    }
    if _declared(key) in _defaults():
        facts["default"] = _defaults()[_declared(key)]
    return facts
