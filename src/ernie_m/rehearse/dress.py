"""The small form of a configuration: the same jobs on made files, with a narrow encoder."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from ernie_m.atomic import write_atomic
from ernie_m.catalogue.checkpoints import CONFIG, LIST, PIECES, WEIGHTS, files_of
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import deep_merge
from ernie_m.config.checkpoints import CheckpointRow, Shape
from ernie_m.config.corpora import DatasetRow
from ernie_m.config.load import load
from ernie_m.config.root import Config
from ernie_m.config.sources import load_sources
from ernie_m.corpus import codes_of
from ernie_m.pipeline.stages import jobs
from ernie_m.rehearse import checkpoint, corpora, tasks
from ernie_m.words import flatten

MADE = Path("made")
# The variable that names where made files are offered, in place of their publishers.
ADDRESS = "ERNIE_M_REHEARSAL"
OFFERED = f"http://${{{ADDRESS}}}"
# What tells of upstream's file, and is not true of a made one.
UPSTREAM = {"package", "url", "hub", "path", "mirrors", "bytes", "about_bytes", "sha256"}
ROWS = 4  # of a batch, for each process
PIECES_OF_OWN = 1000
EXAMPLES = 60


def numbers(config: Config) -> dict[str, float]:
    """The most that a key has in a rehearsal. Layers stay, for recipes name them."""
    found: dict[str, float] = {
        "model.width": 16,
        "model.heads": 2,
        "model.ffn": 32,
        "saving.every_steps": 1,
        "xtreme.score.min_examples": 1,
    }
    if not config.init:
        found["tokenizer.train.vocabulary_size"] = PIECES_OF_OWN
    if any(not TASKS[task].published for task in config.xtreme.tasks):
        found |= {f"xtreme.prepare.{part}_examples": EXAMPLES for part in ("train", "dev", "test")}
        found["xtreme.prepare.mining_sentences"] = EXAMPLES
    if any(config.variant(name).xtreme.retrieval == "aligned" for name in config.variant_names):
        found |= {"xtreme.align.steps": 2, "xtreme.align.batch_pairs": 8}
    run = jobs(config)
    for stage in ("camlm", "btmlm"):
        if not run[f"pretrain_{stage}"]:
            continue
        own = getattr(config.pretrain, stage)
        found |= {
            f"pretrain.{stage}.steps": 2,
            f"pretrain.{stage}.batch_tokens": ROWS * own.row_length * config.hardware.processes,
            f"pretrain.{stage}.optimiser.warmup_steps": 1,
            f"pretrain.{stage}.evaluate_every": 1,
            f"pretrain.{stage}.evaluate_sentences": 2,
            f"pretrain.{stage}.keep_every": 1,
        }
    return found


# Whatever they are: invented words are in no language, and a few rows leave no thousandth.
FIXED: dict[str, Any] = {
    "corpora.filter.language_identifier": "none",
    "corpora.select.valid_share": 0.1,
}
# Of one machine without a scheduler, which may have no GPU.
HERE: dict[str, Any] = {
    "hardware.nodes": 1,
    "hardware.processes_per_node": 1,
    "hardware.num_threads": 1,
    "hardware.require_gpu": False,
    "hardware.attention": "sdpa",
    "hardware.compile": False,
}


def _get(mapping: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        if not isinstance(mapping, dict) or part not in mapping:
            return None
        mapping = mapping[part]
    return mapping


def _put(mapping: dict[str, Any], key: str, value: Any) -> None:
    *groups, last = key.split(".")
    for part in groups:
        mapping = mapping.setdefault(part, {})
    mapping[last] = value


def _shrink(config: Config, merged: dict[str, Any]) -> None:
    """Lower numbers in place; variants that differ go on differing, so that the graph stays."""
    whole = config.model_dump(mode="json")
    for key, most in numbers(config).items():
        seen = [_get(whole, key)]
        if seen[0] > most:
            _put(merged, key, most)
        for own in merged.get("variants", {}).values():
            value = _get(own, key)
            if value is None:
                continue
            if value not in seen:
                seen.append(value)
            _put(own, key, min(value, most * (1 + seen.index(value))))


def chosen_languages(config: Config, most: int | None) -> tuple[str, ...]:
    """The first languages: English, then those of the first pairs, then the others; in the order of
    the configuration."""
    paired = [code for pair in config.corpora.pairs for code in codes_of(pair)]
    first = list(dict.fromkeys(("en", *paired, *config.corpora.languages)))[:most]
    return tuple(code for code in config.corpora.languages if code in first)


@dataclass
class Made:
    """The folder of made files, below that of the rehearsal."""

    folder: Path

    def put(self, name: str, make: Callable[[], bytes]) -> int:
        """Make the file of this name where it is not there; returns its size."""
        path = self.folder / MADE / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, make())
        return path.stat().st_size

    def registry(self, name: str, rows: list[dict[str, Any]]) -> str:
        """A registry of rows; its path below the folder."""
        path = MADE / f"{name}.yaml"
        write_atomic(self.folder / path, yaml.safe_dump(rows, allow_unicode=True))
        return str(path)


def _dumped(row: Any, *without: str) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude={*without}, exclude_none=True)


def _corpora(config: Config, made: Made, codes: tuple[str, ...]) -> dict[str, Any]:
    """Registry, datasets, heads, languages and pairs."""
    own, known = config.corpora, set(codes)
    rows = {
        row.id.split(".head-")[0]: row
        for row in own.rows().values()
        if row.content == "vocabulary"
        or (row.content == "rows" and known & {*row.languages})
        or known >= {*row.languages}
    }
    heads: dict[str, int] = {}
    for name, row in rows.items():
        part = made.put(f"corpora/{name}", partial(_dataset, name, row)) * 2 // 3
        if row.head_bytes:
            heads[row.format] = min(part, heads.get(row.format, part))
    entries = []
    for name, row in rows.items():
        file = f"corpora/{name}"
        place = {"url": f"{OFFERED}/{file}"} if row.url else {"path": str(MADE / file)}
        entry = _dumped(row, "head_bytes", *UPSTREAM) | {"id": name} | place
        if row.head_bytes:  # a size of which the head is all, so that the text keeps its shards
            entry["about_bytes"] = heads[row.format]
        entries.append(entry)
    return {
        "registry": made.registry("corpora", entries),
        "datasets": list(rows),
        "head_bytes": heads,
        "languages": list(codes),
        "pairs": [pair for pair in own.pairs if known >= {*codes_of(pair)}],
    }


def _dataset(name: str, row: DatasetRow) -> bytes:
    if row.content == "vocabulary":
        return checkpoint.vocabulary()
    return corpora.dataset(row.model_copy(update={"id": name}))


def _tasks(config: Config, made: Made) -> dict[str, Any]:
    """Registry of sources, and the folders of those that have no address or are here already."""
    own, local = config.xtreme, {}
    rows = {name: _dumped(row) for name, row in load_sources(Path(own.registry)).items()}
    for source in own.sources().values():
        folder = f"evaluation/{source.id}"
        for name in source.files:
            made.put(f"{folder}/{name}", partial(tasks.published, name))
        facts: dict[str, Any] = {"files": {name: {} for name in source.files}}
        if source.url and not source.folder:
            facts["url"] = f"{OFFERED}/{folder}/{{file}}"
        else:
            local[source.id] = str(MADE / folder)
        rows[source.id] = _dumped(source, "folder", *UPSTREAM) | facts
    return {"registry": made.registry("sources", list(rows.values())), "local": local}


def _shape(config: Config) -> Shape:
    small = numbers(config)
    shape = {key: getattr(config.model, key) for key in Shape.model_fields}
    return Shape(
        **{key: min(value, small.get(f"model.{key}", value)) for key, value in shape.items()}
    )


def _weights(config: Config, made: Made) -> dict[str, Any]:
    """The checkpoint that `init` names: a row of a registry stays one, all else is a folder."""
    shape, row = _shape(config), config.checkpoint
    folder = f"checkpoints/{row.id if row else 'init'}"
    names = list(row.files) if row else _names(config)
    files = cache(partial(checkpoint.checkpoint, tuple(names), shape))
    for name in names:
        made.put(f"{folder}/{name}", partial(_one, files, name))
    if row is None:
        return {"init": str(MADE / folder)}
    entry = CheckpointRow.model_validate(
        _dumped(row, *UPSTREAM)
        | {"url": f"{OFFERED}/{folder}/{{file}}", "files": {name: {} for name in row.files}}
        | {"shape": shape, "pieces": len(checkpoint.pieces())}
    )
    return {"checkpoints": {"registry": made.registry("checkpoints", [_dumped(entry)])}}


def _one(files: Callable[[], dict[str, bytes]], name: str) -> bytes:
    return files()[name]


def _names(config: Config) -> list[str]:
    """Files like those of a folder; XLM-R's for the digest of another run's weights."""
    folder = Path(config.init)
    here = [] if config.init_digest else [path.name for path in files_of(folder)]
    weights = next((name for name in here if name in WEIGHTS and "index" not in name), WEIGHTS[0])
    listed = [LIST] if LIST in here else []
    return [weights, CONFIG, PIECES[0], *listed]


@dataclass(frozen=True)
class Difference:
    """A key of the configuration that is another in the rehearsal."""

    key: str
    real: str
    small: str


def dress(
    config: Config, merged: dict[str, Any], folder: Path, languages: int | None, here: bool
) -> tuple[dict[str, Any], Config]:
    """The small configuration, as keys to be written and as it is read in ``folder``, with its
    files made there.

    ``merged`` are the keys of ``config`` as they were given; ``languages`` the number that is kept,
    None for all; ``here``: it runs on this machine alone.
    """
    made, keys = Made(folder), copy.deepcopy(merged)
    for key, value in (FIXED | (HERE if here else {})).items():
        _put(keys, key, value)
    if here:
        config = config.model_copy(update={"hardware": load(keys).hardware})
    _shrink(config, keys)
    own: dict[str, Any] = {
        "corpora": _corpora(config, made, chosen_languages(config, languages)),
        "xtreme": _tasks(config, made),
    }
    if config.init:
        own |= _weights(config, made)
    if config.compares:
        rows = [_dumped(row) for row in config.claims.rows().values()]
        own["claims"] = {"registry": made.registry("claims", rows)}
    if config.tracking.uri:
        own["tracking"] = {"uri": "sqlite:///mlflow.db"}
    for group, replaced in (("corpora", "head_bytes"), ("xtreme", "local")):
        keys.get(group, {}).pop(replaced, None)
    keys = deep_merge(keys, own) | {"run": f"rehearsal_{config.run}"}  # as the report is headed
    with contextlib.chdir(folder):
        return keys, load(keys)


def differences(real: Config, small: Config) -> list[Difference]:
    """All keys that differ, in the order of the configuration; of lists, how long they are."""
    before, after = (
        {key: value for key, value in flatten(one.model_dump(mode="json")) if value != {}}
        for one in (real, small)
    )
    return [
        Difference(key, _told(before.get(key)), _told(after.get(key)))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]


def _told(value: Any) -> str:
    if isinstance(value, list):
        return str(len(value))
    return "none" if value is None else str(value)
