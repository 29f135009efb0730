"""The configuration keys that reached a job, where each is set, and the paper's values.

The paper's values are worded and marked as in :mod:`ernie_m.catalogue.deviations`.
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
from ernie_m.config.root import MAIN_VARIANT, Config
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import REGISTRIES, STAGES, Stage, parts_of
from ernie_m.records.graph import RESULTS
from ernie_m.records.record import Record
from ernie_m.replicates import MARK, variant_of
from ernie_m.words import flatten

RECIPE = "xtreme.recipe"


@cache
def _fields(section: str) -> frozenset[str]:
    """Names of the keys in a section, given by its dotted path."""
    model: type[Section] | None = Config
    for part in filter(None, section.split(".")):
        model = section_of(model.model_fields[part]) if model else None
    return frozenset(model.model_fields) if model else frozenset()


def _overrides(node: Record, name: str, key: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Keys that override ``key`` for this job, highest precedence first.

    A setting from a recipe has no key; it is named ``xtreme.recipe.<name>``.
    """
    parts = parts_of(node.stage, node.instance)
    task, variant = parts.get("task", ""), variant_of(parts.get("variant", MAIN_VARIANT))
    above = [f"variants.{variant}.", ""] if variant != MAIN_VARIANT else [""]
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


def _place(stage: str, instance: str, name: str) -> str:
    """The dotted key that a job's setting comes from, before overrides."""
    keys = (STAGES[stage].keys if stage in STAGES else ()) or (stage,)
    if keys[0] in REGISTRIES and not any(key.endswith(f".{name}") for key in keys):
        row = instance.split("/")[0].partition(HEAD)[0]
        return f"{keys[0]}.{row}.{name}"
    return next(filter(None, (_under(key, name) for key in keys)), f"{keys[0]}.{name}")


def _under(key: str, name: str) -> str | None:
    """A setting's dotted key if ``key`` is its section, the setting itself, or a part of it."""
    section, _, last = key.rpartition(".")
    if name.split(".")[0] in _fields(key):
        return f"{key}.{name}"
    if key.endswith(f".{name}"):
        return key
    if last == name.split(".")[0]:
        return f"{section}.{name}" if section else name
    return None


def keys_of(node: Record, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every key that reached a job, with the value that the job was given.

    ``chosen`` are the keys that the configuration sets explicitly, by dotted key: with it, a key
    of a variant, task or recipe that overrides a general key is named instead of that one.
    """
    found: dict[str, Any] = {}
    stage = STAGES.get(node.stage)
    for name, value in flatten(node.settings):
        if stage and name in stage.derived:
            continue
        key = _place(node.stage, node.instance, name)
        found[next(_overrides(node, name, key, chosen or {}), key)] = value
    if stage and stage.starts:
        found["init"] = _init(node)
    if stage and stage.seed:
        found[_seed_key(node, stage)] = node.seed
    return found


def _seed_key(node: Record, stage: Stage) -> str:
    """The key that a job's seed is of."""
    if stage.seed == "instance":
        return "xtreme.seeds"
    return "replicates" if MARK in stage.parts(node.instance).get("variant", "") else "seed"


def _init(node: Record) -> str:
    """The value of `init` for a job: the registry row or the folder that it started from; empty if
    it started from scratch."""
    files = node.inputs.get("source", [])
    folder = Path(files[0].path).parent if files else None
    if folder and folder.parent == Path(RESULTS, "checkpoints_download"):
        return folder.name
    return str(folder or "")


@dataclass(frozen=True)
class Layers:
    """The files of a configuration, lowest precedence first, with the keys that each sets."""

    config: Config
    files: tuple[tuple[str, dict[str, Any]], ...]

    @classmethod
    def read(cls, *overlays: Path) -> Layers:
        """``config/config.yaml`` with ``overlays`` on top; raises :class:`UserError`."""
        files = tuple(
            (path.as_posix(), dict(flatten(read_yaml(path)))) for path in (BASE, *overlays)
        )
        return cls(read(*overlays), files)

    @property
    def overlays(self) -> list[str]:
        """The files on top of ``config/config.yaml``."""
        return [name for name, _ in self.files[1:]]

    @property
    def chosen(self) -> dict[str, Any]:
        """Every key that some file sets."""
        return {key: value for _, keys in self.files for key, value in keys.items()}

    @property
    def registries(self) -> dict[str, str]:
        """The registry files whose rows are the settings of downloads, by the key naming them."""
        sections = {key: getattr(self.config, key.partition(".")[0]) for key in REGISTRIES}
        return {key: section.registry for key, section in sections.items()}

    def where(self, key: str) -> str:
        """The file that decides a key; `default` if none sets it."""
        for registry, file in self.registries.items():
            if key.startswith(f"{registry}."):
                return file
        recipe, found, _ = key.partition(f"{RECIPE}.")
        key = f"{recipe}{RECIPE}" if found else key
        names = (name for name, keys in reversed(self.files) if key in keys)
        return next(names, "default")


def layers_of(run: str) -> Layers | None:
    """The configuration in ``config/`` whose key ``run`` names the results folder, if any.

    Raises :class:`UserError` if it is not valid.
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
    """Whether a file is a configuration of this run; a registry, being a list, is not."""
    try:
        return read_yaml(overlay).get("run") == run
    except UserError:
        return False


@cache
def _defaults() -> dict[str, Any]:
    return dict(flatten(Config().model_dump(mode="json")))


@cache
def _choices() -> dict[str, tuple[str, str]]:
    """The paper's value of each key, and whether ours deviates or the paper leaves it open."""
    found = {}
    for flag, choices in (("open", OPEN_CHOICES), ("deviation", DEVIATIONS)):
        for choice in choices:
            for stage, name in choice.settings:
                key = _place(stage, MAIN_VARIANT, name)
                found[key] = (choice.paper, flag)
    return found


def _declared(key: str) -> str:
    """The key that an override (of a variant, a task, a recipe) replaces."""
    key = re.sub(r"^variants\.\w+\.", "", key)
    key = re.sub(r"^xtreme\.per_task\.\w+\.", "xtreme.finetune.", key)
    recipe, _, name = key.rpartition(".")
    if recipe != RECIPE:
        return key
    section = next(own for own in ("xtreme.finetune", "xtreme.predict") if name in _fields(own))
    return f"{section}.{name}"


def _paper(key: str) -> tuple[str, str] | None:
    """The paper's value of a key, or of its group; stage 2 is trained like stage 1."""
    parts = _declared(key).split(".")
    groups = [".".join(parts[:end]) for end in range(len(parts), 1, -1)]
    for group in groups:
        for name in (group, group.replace("pretrain.btmlm", "pretrain.camlm", 1)):
            if name in _choices():
                return _choices()[name]
    return None


def explained(nodes: Iterable[Record], layers: Layers | None) -> list[dict[str, Any]]:
    """The keys that reached any of ``nodes``: value, where set, default, and the paper's value.

    ``where`` is None if today's configuration has another value or is not known. A key whose value
    differs between jobs (a seed for each) has a list of all its values.
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
