"""What each section of the page says, from the evidence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as joined
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup, escape

from ernie_m.config.plan import DEALT
from ernie_m.lineage.graph import SHARED, Node
from ernie_m.marks import MARK, MARKS
from ernie_m.report import comparison, figures, graph, training
from ernie_m.report.deviations import (
    DEVIATIONS,
    FROM_CHECKPOINT,
    FROM_NOTHING,
    OPEN_CHOICES,
    Choice,
)
from ernie_m.report.evidence import Artifact, Evidence, Record
from ernie_m.report.scores import AFTER, MAIN_ARM, STAGES, Table, readable, stage_names
from ernie_m.words import count, duration, percent, plural, size
from ernie_m.xtreme.published import LEADERBOARD

CATEGORIES = {
    "retrieval": "Sentence retrieval",
    "classification": "Pair classification",
    "tagging": "Tagging",
    "qa": "Question answering",
}


def languages(evidence: Evidence) -> list[str]:
    """Languages of the run, in the order of its configuration."""
    return list(evidence.settings("pretrain_initialise").get("languages", []))


def pairs(evidence: Evidence) -> list[str]:
    """Sentence pairs of the run, in the order of its jobs."""
    kind = "parallel-"
    corpora = [record["instance"] for record in evidence.jobs("corpora_dedup")]
    return [name.removeprefix(kind) for name in corpora if name.startswith(kind)]


def summary(
    evidence: Evidence, trained: list[training.Trained]
) -> list[tuple[str, str, list[str]]]:
    """The run in a few lines: what was trained on what, and the files that say so."""
    shape = evidence.settings("pretrain_initialise")
    tokenizer = evidence.only("tokenizer_train", "stats") or {}
    text = evidence.paths("corpora_select", "stats")
    pieces = f"{count(tokenizer.get('size', 0))}"
    facts = [
        ("Languages", " ".join(languages(evidence)) if text else "", text),
        ("Training text", _amount(evidence) if text else "", text),
        (
            "Vocabulary",
            f"{pieces} pieces" if tokenizer else "",
            evidence.paths("tokenizer_train", "stats"),
        ),
        ("Encoder", _encoder(shape, trained), trained[-1].paths[:1] if trained else []),
        ("Start", _start(evidence), []),
    ]
    for stage in trained:
        settings = stage.record["facts"]["settings"]
        on = [name.upper() for name, share in settings["objectives"].items() if share]
        words = f"{' + '.join(on)}, {count(stage.metrics['steps'])} steps, "
        words += f"{count(stage.metrics['tokens'])} tokens, {duration(stage.seconds)}"
        facts.append((f"Stage {trained.index(stage) + 1}, {stage.label}", words, stage.paths[:1]))
    return [(name, words, paths) for name, words, paths in facts if words]


def _amount(evidence: Evidence) -> str:
    """How much monolingual and parallel text there is to train on."""
    rows = {"mono": 0, "parallel": 0}
    for shard in evidence.shown("corpora_select", "stats"):
        rows[shard.instance.partition("-")[0]] += shard.json()["rows"]["train"]
    return f"{count(rows['mono'])} monolingual rows, {count(rows['parallel'])} sentence pairs"


def _encoder(shape: dict[str, Any], trained: list[training.Trained]) -> str:
    if not shape:
        return ""
    size = trained[-1].metrics.get("parameters") if trained else None
    words = f"{shape['layers']} layers, width {shape['width']}, {shape['heads']} heads"
    return words + (f", {count(size)} parameters" if size else "")


def _start(evidence: Evidence) -> str:
    if evidence.start is None:
        return ""
    name, digest = evidence.start["path"], evidence.start["sha256"][:12]
    return f"{name}, sha256 {digest}; “as released” below means as these weights came"


def circumstances(evidence: Evidence) -> list[tuple[str, str]]:
    """When, where and with what the jobs ran; from the volatile part of the records."""
    runs = [record["run"] for record in evidence.records]
    commits = {
        (run["git"].get("commit") or "unknown")[:12]
        + (" with uncommitted changes" if run["git"].get("dirty") else "")
        for run in runs
        if run.get("git")
    }
    packages: dict[str, set[str]] = {}
    for run in runs:
        for name, version in run.get("packages", {}).items():
            packages.setdefault(name, set()).add(version)
    machines = {
        f"{run['machine']['system']} {run['machine']['cpu']}, {run['machine']['cores']} cores"
        for run in runs
        if run.get("machine")
    }
    versions = (f"{name} {' / '.join(sorted(own))}" for name, own in sorted(packages.items()))
    facts = [
        ("First job", min((run["started"] for run in runs), default="")),
        ("Last job", max((run["ended"] for run in runs), default="")),
        ("Code", ", ".join(sorted(commits))),
        ("Python", ", ".join(sorted({run["python"] for run in runs if "python" in run}))),
        ("Packages", ", ".join(versions)),
        ("Machine", "; ".join(sorted(machines))),
    ]
    return [(name, words) for name, words in facts if words]


def by_category(tables: Iterable[Table], metrics: dict[str, str]) -> list[dict[str, Any]]:
    """Tables of main metrics by category, each with those of the task's other metrics."""
    tables = list(tables)
    sections: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        if table.metric == metrics.get(table.task, table.metric):
            others = [t for t in tables if t.task == table.task and t is not table]
            sections.setdefault(table.category, []).append({"main": table, "others": others})
    return [
        {"name": CATEGORIES.get(category, category or "Other"), "tasks": tasks}
        for category, tasks in sections.items()
    ]


# One seed and some hundred examples a language: a smaller difference of averages says nothing.
MARGIN = 1.0


def verdict(tables: Sequence[Table], adopted: bool = False) -> list[str]:
    """What came out, in sentences that follow from the averages alone; ``adopted`` where the run
    starts from the weights of others."""
    start_words = "that of the weights it started from" if adopted else "the untrained encoder's"
    sentences = []
    for stage in ("camlm", "btmlm"):
        rows = [
            (own, start, base)
            for table in tables
            if (own := table.average(MAIN_ARM, stage))
            and (start := table.average(MAIN_ARM, "initialise"))
            and (base := table.best_baseline)
        ]
        if rows:
            above = sum(own.value > start.value + MARGIN for own, start, _ in rows)
            beats = sum(
                own.value > base.average.value + MARGIN for own, _, base in rows if base.average
            )
            sentences.append(
                f"After {STAGES[stage]} the average over languages is more than a point above "
                f"{start_words} in {above} of {len(rows)} tasks, and above the best baseline's in "
                f"{beats}."
            )
    return sentences


def variants(evidence: Evidence, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The arms with their tokens, what sets them apart, and their averages."""
    names = training.arms(evidence)
    if len(names) < 2:
        return []
    rows = []
    for name in names:
        stages = training.chain(evidence, name)
        averages = [(table, _last_average(table, name)) for table in tables]
        rows.append(
            {
                "name": name,
                "tokens": sum(stage.metrics["tokens"] for stage in stages),
                "places": [f"{stage.paths[0]}#tokens" for stage in stages],
                "objectives": [_mixture(stage) for stage in stages],
                "differences": training.differences(evidence, name),
                "averages": [(table.title, cell) for table, cell in averages],
            }
        )
    return rows


def layers(evidence: Evidence) -> list[dict[str, Any]]:
    """Accuracy by layer of the main arm's encoders, mean over languages and seeds, as a figure a
    task."""
    sweeps: dict[str, dict[str, list[list[float]]]] = {}
    used: dict[str, int] = {}
    for artifact in evidence.shown("xtreme_sweep", "layers"):
        task, arm, stage, _ = artifact.instance.split("/")
        if arm == MAIN_ARM:
            sweep = artifact.json()
            used[task] = sweep["layer"]
            own = sweeps.setdefault(task, {}).setdefault(stage, [])
            own += sweep["languages"].values()
    found = []
    for task, stages in sweeps.items():
        averages = {
            stage: [fmean(layer) for layer in zip(*stages[stage], strict=True)]
            for stage in STAGES
            if stage in stages
        }
        title = readable(task)
        figure = figures.layers(title, averages, used[task], stage_names(evidence))
        found.append({"title": title, "figure": figure})
    return found


def steps_shown(evidence: Evidence, tables: Iterable[Table]) -> dict[str, str]:
    """The steps of pre-training of which there are scores, in words."""
    present = {row.stage for table in tables for row in table.stages}
    first = "the weights as released" if evidence.start else "untrained encoder"
    words = {"initialise": first} | {
        stage: f"{AFTER[stage]}, {STAGES[stage]}" for stage in STAGES if stage != "initialise"
    }
    return {stage: words[stage] for stage in words if stage in present}


def taught_in(evidence: Evidence) -> str:
    """The languages of the main arm's fine-tuning, in words."""
    return "all languages" if len(comparison.taught_in(evidence)) > 1 else "English alone"


def groups(tables: list[Table]) -> Markup | None:
    """XTREME's means by group as a figure, None where no group is whole."""
    means = comparison.groups(tables)
    if not means:
        return None
    names = {key: CATEGORIES.get(key, "All nine tasks") for key in LEADERBOARD}
    present = [key for key in names if any(key in own for own in means.values())]

    def named(own: dict[str, float]) -> dict[str, float]:
        return {names[key]: own[key] for key in present if key in own}

    series = {stage: named(own) for stage, own in means.items()}
    title = "XTREME: means by group of tasks"
    return figures.dots(title, "percent", list(named(LEADERBOARD)), series, named(LEADERBOARD))


def _mixture(stage: training.Trained) -> str:
    shares = stage.record["facts"]["settings"]["objectives"]
    return " + ".join(name.upper() for name, share in shares.items() if share)


def _last_average(table: Table, variant: str) -> Any:
    found = (table.average(variant, stage) for stage in reversed(STAGES))
    return next((cell for cell in found if cell), None)


def cleaning(evidence: Evidence) -> dict[str, Any]:
    """Rows read, kept and dropped by reason, and an example of each drop, by corpus: of n-way rows
    (``rows-de``), and of what training text is chosen from."""
    found: dict[str, dict[str, Any]] = {}
    for stage in ("corpora_filter", "corpora_select"):
        for artifact in evidence.shown(stage, "stats"):
            stats, (name, _, shard) = artifact.json(), artifact.instance.partition("/")
            own = found.setdefault(
                name,
                {"name": name, "rows_in": 0, "dropped": Counter(), "examples": {}, "paths": []},
            )
            if stage == "corpora_filter" or shard == DEALT:  # others are what the filter has left
                own["rows_in"] += stats["rows_in"]
            own["dropped"].update(stats["dropped"])
            own["examples"] = {
                reason: _text_of(examples[0]) for reason, examples in stats["examples"].items()
            } | own["examples"]
            own["paths"].append(artifact.path)
    codes = languages(evidence)
    order = [f"{kind}-{code}" for kind in ("rows", "mono") for code in codes]
    rows = [found[name] for name in training.in_order(found, order)]
    for row in rows:
        row["rows_out"] = row["rows_in"] - sum(row["dropped"].values())
    shares = [1 - row["rows_out"] / row["rows_in"] if row["rows_in"] else 0.0 for row in rows]
    return {
        "rows": list(zip(rows, shares, strict=True)),
        "reasons": _reasons(row["dropped"] for row in rows),
        "most": max(shares, default=0.0),
    }


def _text_of(example: dict[str, str]) -> str:
    """The text of a dropped row, or both sides of a pair."""
    return " / ".join(
        text for name, text in example.items() if name in ("text", "source", "target")
    )


def _reasons(drops: Iterable[dict[str, int]]) -> list[str]:
    """Reasons by how much they dropped altogether."""
    totals: Counter[str] = Counter()
    for own in drops:
        totals.update(own)
    return sorted(totals, key=lambda reason: (-totals[reason], reason))


def division(evidence: Evidence) -> dict[str, Any]:
    """How n-way rows were dealt, with drops of training text, by language and by pair."""
    stats = evidence.only("corpora_deal", "stats")
    if stats is None:
        return {}
    codes = training.in_order(stats["languages"], languages(evidence))
    names = training.in_order(stats["pairs"], pairs(evidence))
    own = {code: stats["languages"][code] for code in codes}
    sizes = {name: stats["pairs"][name] for name in names}
    return {
        **stats,
        "languages": own,
        "pairs": sizes,
        "reasons": _reasons(entry["dropped"] for entry in own.values()),
        "pair_reasons": _reasons(entry["dropped"] for entry in sizes.values()),
        "most_pairs": max((entry["pairs"]["train"] for entry in sizes.values()), default=0),
    }


def encoded(evidence: Evidence) -> Iterator[tuple[Artifact, dict[str, int]]]:
    """The manifests of encoded text, of the shards of corpora, with the tokens of each part."""
    for artifact in evidence.shown("tokenizer_pack", "manifest"):
        parts = artifact.json()["parts"].items()
        yield artifact, {part: sum(file["tokens"] for file in files) for part, files in parts}


def tokens_of_text(evidence: Evidence) -> dict[str, Any]:
    """What the tokenizer makes of each language, and the tokens it is trained on alone."""
    stats = evidence.only("tokenizer_train", "stats") or {"languages": {}}
    found: dict[str, dict[str, Any]] = {
        code: {"vocabulary": own, "tokens": 0, "paths": []}
        for code, own in stats["languages"].items()
    }
    for artifact, parts in encoded(evidence):
        kind, _, code = artifact.instance.partition("/")[0].partition("-")
        if kind == "mono":
            own = found.setdefault(code, {"vocabulary": None, "tokens": 0, "paths": []})
            own["tokens"] += parts["train"]
            own["paths"].append(artifact.path)
    return {code: found[code] for code in training.in_order(found, languages(evidence))}


def generated(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Pseudo tokens by arm, over all chunks, and the files that count them."""
    found: dict[str, dict[str, Any]] = {}
    for artifact in evidence.shown("pretrain_backtranslate", "stats"):
        stats = artifact.json()
        own = found.setdefault(artifact.instance.split("/")[0], {"paths": []})
        own["paths"].append(artifact.path)
        for key in ("sentences", "source_tokens", "pseudo_tokens"):
            own[key] = own.get(key, 0) + stats[key]
        own["sentences_there"] = stats["sentences_there"]  # the same for every chunk
    return found


def cuts(evidence: Evidence) -> list[dict[str, Any]]:
    """Texts and tokens that were cut: as they were encoded, and by each objective of a stage of the
    main arm, whose rows have less room."""
    names = ("texts", "texts_cut", "tokens", "tokens_cut")
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str, counts: Iterable[int], path: str) -> None:
        row = rows.setdefault(name, {"name": name, "paths": [], **dict.fromkeys(names, 0)})
        row["paths"].append(path)
        for key, number in zip(names, counts, strict=True):
            row[key] += number

    stored = ("sentences", "sentences_cut", "tokens", "tokens_cut")
    for artifact, _ in encoded(evidence):
        for own in artifact.json()["statistics"].values():
            add("encoding", (own[key] for key in stored), artifact.path)
    for number, stage in enumerate(training.TRAINED, 1):
        for artifact in evidence.shown(stage, "metrics"):
            if artifact.instance == MAIN_ARM:
                for objective, own in artifact.json()["cut"].items():
                    name = f"stage {number}, {objective.upper()}"
                    add(name, (own[key] for key in names), artifact.path)
    return list(rows.values())


def costs(evidence: Evidence) -> list[dict[str, Any]]:
    """Jobs, time, tokens and bytes by stage, in the order of the pipeline."""
    tokens: dict[str, int] = {}
    for stage in training.TRAINED:
        for artifact in evidence.shown(stage, "metrics"):
            tokens[stage] = tokens.get(stage, 0) + artifact.json()["tokens"]
    for artifact, parts in encoded(evidence):
        tokens[artifact.stage] = tokens.get(artifact.stage, 0) + sum(parts.values())
    rows = []
    for stage in graph.in_order(evidence.edges, {record["stage"] for record in evidence.records}):
        jobs = evidence.jobs(stage)
        outputs = joined.from_iterable(
            files for job in jobs for files in job["facts"]["outputs"].values()
        )
        rows.append(
            {
                "stage": stage,
                "jobs": len(jobs),
                "seconds": sum(_seconds(job["run"]) for job in jobs),
                "tokens": tokens.get(stage),
                "bytes": sum(file["bytes"] for file in outputs),
                "paths": [first_file(job) for job in jobs],
            }
        )
    return rows


def _seconds(run: dict[str, Any]) -> float:
    """Time a job took, that of killed attempts it went on from included."""
    return max(run["seconds"], run.get("training_seconds") or 0.0)


def pipeline(evidence: Evidence, own_stage: str) -> Any:
    """The picture of the stages, this report's own included."""
    ends = {artifact.stage for artifact in evidence.makers.values()}
    edges = evidence.edges | {(stage, own_stage) for stage in ends}
    notes = {
        row["stage"]: f"{plural(row['jobs'], 'job')}, {duration(row['seconds'])}"
        for row in costs(evidence)
    }
    return graph.picture(edges, {**notes, own_stage: "this page"})


def sources(evidence: Evidence) -> list[dict[str, Any]]:
    """Every downloaded data set: registry row, and the digest of what was read."""
    return [
        {
            **_filled(record["facts"]["settings"]),
            "id": record["instance"],
            "read": [
                {**file, "name": _upstream(record, file), "pinned": _pinned(record, file)}
                for files in record["facts"]["outputs"].values()
                for file in files
            ],
        }
        for stage in sorted(SHARED)
        for record in evidence.jobs(stage)
    ]


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its version in the address, where that has a place for it."""
    url = row.get("url")
    return row | ({"url": url.replace("{version}", row["version"])} if url else {})


def _upstream(record: Record, file: dict[str, Any]) -> str:
    """A downloaded file's name at its publisher's."""
    return record["facts"]["settings"].get("filename") or Path(file["path"]).name


def _pinned(record: Record, file: dict[str, Any]) -> str | None:
    """The digest that the registry's row names for a file, if it names one."""
    return (Node("", record).published or {}).get(file["path"])


def choices(evidence: Evidence) -> list[dict[str, Any]]:
    """Deviations and open choices with the values that this run used."""
    started = {FROM_NOTHING: FROM_CHECKPOINT} if evidence.start else {}
    deviations = [started.get(choice, choice) for choice in DEVIATIONS]
    groups = (("Deviations", deviations), ("What the paper leaves open", OPEN_CHOICES))
    found = []
    for name, group in groups:
        rows = [(choice, _values(evidence, choice)) for choice in group]
        # What no job of this run has decided is no choice of it.
        found.append({"name": name, "rows": [row for row in rows if row[1] or not row[0].settings]})
    return found


def _values(evidence: Evidence, choice: Choice) -> list[tuple[str, str, str]]:
    """The settings of a choice as ``stage.key`` and value, of the main arm, and a file of the job
    that was given them."""
    found = []
    for stage, key in choice.settings:
        jobs = evidence.jobs(stage)
        own = [record for record in jobs if record["instance"] == MAIN_ARM] or jobs
        settings: Any = own[0]["facts"]["settings"] if own else {}
        for part in key.split("."):
            settings = settings.get(part) if isinstance(settings, dict) else None
        if settings is not None:
            name = f"{stage.split('_')[1]}.{key}"
            found.append((name, shown(settings), first_file(own[0])))
    return found


def first_file(record: Record) -> str:
    """Path of the first file that a job wrote, which stands for the job."""
    return next(file["path"] for files in record["facts"]["outputs"].values() for file in files)


def shown(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def prose(words: str) -> Markup:
    """Text with `names` between backticks set as code and marks explained, all else escaped."""
    parts = words.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else marked(part)
        for index, part in enumerate(parts)
    )


def marked(words: str) -> Markup:
    """Escaped text, in which a mark of :mod:`ernie_m.marks` says on pointing what it means."""
    explained = '<abbr title="{}">{}</abbr>'
    return Markup(
        MARK.sub(lambda found: explained.format(MARKS[found[1]], found[0]), str(escape(words)))
    )


def link(path: str, page: Path) -> str:
    """A file as seen from the page's folder, so that the results folder can be moved."""
    return Path(os.path.relpath(path, page.parent)).as_posix()


FILTERS = {
    "count": count,
    "duration": duration,
    "size": size,
    "percent": percent,
    "points": figures.points,
    "shown": shown,
    "prose": prose,
    "marked": marked,
}
