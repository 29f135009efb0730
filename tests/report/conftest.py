"""A whole run in miniature: files and records as the stages write them, with invented numbers."""

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from ernie_m.records.writer import file_facts

LANGUAGES = ["en", "de", "es", "fr", "ru", "tr", "zh", "ja", "ko", "vi"]
PAIRS = [f"en-{code}" for code in LANGUAGES[1:]]
TASKS = {
    "standin_retrieval": ("retrieval", "accuracy", (0.30, 0.34, 0.47), {"string_overlap": 0.39}),
    "standin_mining": ("retrieval", "f1", (0.21, 0.22, 0.31), {"string_overlap": 0.28}),
    "standin_classification": (
        "classification",
        "accuracy",
        (0.41, 0.47, 0.53),
        {"chance": 0.334, "majority": 0.352, "string_overlap": 0.455},
    ),
    "standin_paraphrase": ("classification", "accuracy", (0.55, 0.61, 0.66), {"chance": 0.5}),
    "standin_tagging": ("tagging", "f1", (0.32, 0.41, 0.44), {"copied_name": 0.37}),
    "standin_qa": ("qa", "f1", (0.28, 0.30, 0.33), {"first_sentence": 0.24, "word_overlap": 0.35}),
}
SOURCE = {
    "id": "interface",
    "package": "interface",
    "url": None,
    "path": None,
    "version": "1.0",
    "filename": "interface.whl",
    "bytes": 67_607_712,
    "licence": "Apache-2.0",
    "format": "homeassistant",
    "languages": LANGUAGES,
    "home": "https://example.org/interface",
    "note": "Interface text, translated by people.",
}
SHAPE = {
    "layers": 3,
    "width": 128,
    "heads": 4,
    "ffn": 512,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "pair_positions": "reset",
    "language_embeddings": True,
    "languages": LANGUAGES,
}
# What encoding counts of a language.
STATISTICS = {"en": {"sentences": 9500, "sentences_cut": 12, "tokens": 230_000, "tokens_cut": 310}}


class Run:
    """Writes jobs below the working directory and collects what the report is given."""

    languages = LANGUAGES

    def __init__(self, name="default", tasks=None):
        self.name = name
        self.tasks = tasks or TASKS
        self.minute = 0
        self.inputs = {
            name: []
            for name in (
                "scores",
                "baselines",
                "curves",
                "metrics",
                "stats",
                "manifests",
                "claims",
                "records",
            )
        }

    @property
    def figures(self):
        """Names of the report's figures, as a configuration of these tasks has them."""
        objectives = ("mmlm", "camlm", "btmlm")
        return [
            *(f"steps-{task}" for task in self.tasks),
            "groups",
            *(f"{kind}-{name}" for kind in ("loss", "languages") for name in objectives),
            "pipeline",
        ]

    def path(self, stage, instance, file):
        """Where a stage's job keeps a file."""
        root = Path("results") if stage == "corpora_download" else Path("results") / self.name
        return root / stage / instance / file

    def job(self, stage, instance="", inputs=(), settings=None, seconds=4.0, notes=None, **outputs):
        """One finished job; ``outputs`` are name -> {file: content}, JSON unless text, ``inputs``
        paths, or name -> paths."""
        named = inputs if isinstance(inputs, dict) else {"files": inputs}
        folder = self.path(stage, instance, "x").parent
        folder.mkdir(parents=True, exist_ok=True)
        claimed = {}
        for name, files in outputs.items():
            for file, content in files.items():
                text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
                (folder / file).write_text(text)
            claimed[name] = [asdict(file_facts(folder / file)) for file in files]
        self.minute += 1
        moment = f"2026-01-02T{3 + self.minute // 60:02d}:{self.minute % 60:02d}"
        record = {
            "schema": 1,
            "stage": stage,
            "instance": instance,
            "module": "ernie_m." + stage.replace("_", ".", 1),
            "facts": {
                "inputs": {
                    name: [asdict(file_facts(Path(path))) for path in paths]
                    for name, paths in named.items()
                },
                "outputs": claimed,
                "settings": settings or {},
                "seed": 1,
                "code": {"digest": "0123456789abcdef", "files": {}},
            },
            "run": {
                "git": {"commit": "3f1c9a0be7d24c55" + "0" * 24, "dirty": False},
                "python": "3.11.7",
                "packages": {"torch": "2.13.0", "numpy": "2.4.0"},
                "machine": {"system": "Linux", "cpu": "x86_64", "cores": 2},
                "started": f"{moment}:00+00:00",
                "ended": f"{moment}:50+00:00",
                "seconds": seconds,
                **(notes or {}),
            },
        }
        path = folder / "record.json"
        path.write_text(json.dumps(record))
        self.inputs["records"].append(path)
        return {name: [folder / file for file in files] for name, files in outputs.items()}

    def give(self, name, paths):
        """Hand files to the report."""
        self.inputs[name] += [Path(path) for path in paths]

    @property
    def arguments(self):
        """The report's command line, as the workflow writes it."""
        words = []
        for name, paths in self.inputs.items():
            if paths:
                words += ["--input", name, *map(str, paths)]
        folder = Path("results") / self.name / "report_build"
        for name, file in (
            ("report", "report.html"),
            ("scores", "scores.csv"),
            ("losses", "losses.csv"),
            ("metrics", "metrics.json"),
            ("lineage", "lineage.jsonl"),
        ):
            words += ["--output", name, str(folder / file)]
        words += ["--output", "figures"]
        words += [str(folder / "figures" / f"{name}.svg") for name in self.figures]
        return [*words, "--record", str(folder / "record.json")]


def _corpora(run):
    row = SOURCE | {"sha256": hashlib.sha256(b"wheel").hexdigest()}
    wheel = run.job("corpora_download", "interface", settings=row, file={"interface.whl": "wheel"})
    rows = [_filtered(run, wheel["file"], place) for place in range(len(LANGUAGES))]
    corpora = [f"mono-{code}" for code in LANGUAGES] + [f"parallel-{pair}" for pair in PAIRS]
    deal = run.job(
        "corpora_deal",
        inputs=rows,
        settings={"languages": LANGUAGES, "pairs": PAIRS, "mono_share": 0.5, "valid_share": 0.03},
        kept={f"{corpus}-rows.arrow": corpus for corpus in corpora},
        rows={f"rows-test-{code}.parquet": f"rows {code}" for code in LANGUAGES},
        stats={"stats.json": _division()},
        seconds=21.0,
    )
    run.give("stats", deal["stats"])
    text = [
        _selected(run, corpus, kept) for corpus, kept in zip(corpora, deal["kept"], strict=True)
    ]
    return deal, text


def _selected(run, corpus, kept):
    """What is selected of what a corpus was dealt."""
    made = run.job("corpora_dedup", corpus, inputs=[kept], exact={"rows.arrow": corpus})
    stats = {"rows_in": 9100, "dropped": {"repeated": 12}, "rows": {"train": 9000}}
    stats |= {"examples": {"repeated": [{"id": "interface:a", "text": "said again"}]}}
    made = run.job(
        "corpora_select",
        f"{corpus}/dealt",
        inputs=[kept, *made["exact"]],
        train={"train.parquet": f"text {corpus}"},
        stats={"stats.json": stats},
    )
    run.give("stats", made["stats"])
    return made["train"][0]


def _filtered(run, wheel, place):
    """The filtered rows of the language at a place."""
    code = LANGUAGES[place]
    name = f"interface/{code}"
    rows = run.job("corpora_extract", name, inputs=wheel, rows={"rows.parquet": code})
    read = 63_036 - 4_700 * place
    dropped = {"too short": 300 + 9 * place, "another script": 40 * place, "no letters": 210}
    dropped |= {"another language": 25 + place} if place else {}
    stats = {
        "rows_in": read,
        "rows_out": read - sum(dropped.values()),
        "dropped": dropped,
        "examples": {
            reason: [{"id": f"interface:a:{code}", "text": f"x {reason}"}] for reason in dropped
        },
    }
    made = run.job(
        "corpora_filter",
        f"rows-{code}/0",
        inputs=rows["rows"],
        rows={"rows.arrow": f"filtered {code}"},
        stats={"stats.json": stats},
    )
    run.give("stats", made["stats"])
    return made["rows"][0]


def _division():
    """What the deal counts."""
    languages = {
        code: {
            "rows": {"train": 41_000 - 3000 * p, "valid": 1400 - 100 * p, "test": 4800 - 400 * p},
            "dropped": {
                "held-out duplicate": 900 - 60 * p,
                "held-out near-duplicate": 610 - 40 * p,
            },
            "examples": {},
            "parallel": 14_000 - 900 * p,
            "mono_elsewhere": 7000 - 500 * p,
            "mono": {"train": 9000 - 600 * p, "valid": 700 - 50 * p},
        }
        for p, code in enumerate(LANGUAGES)
    }
    pairs = {
        pair: {
            "pairs": {"train": 15_000 - 1500 * p, "valid": 600 - 40 * p},
            "dropped": {"other numbers": 310, "untranslated": 95},
            "examples": {},
        }
        for p, pair in enumerate(PAIRS)
    }
    meanings = {"train": 39_000, "valid": 1300, "parallel": 20_000, "mono": 19_000}
    groups = {"train": 1100, "valid": 40, "test": 130}
    return {"groups": groups, "meanings": meanings, "languages": languages, "pairs": pairs}


def _tokenizer(run, text):
    languages = {
        code: {
            "lines": 24_000 - 1500 * p,
            "lines_sampled": 20_000 - 1000 * p,
            "unknown_share": 0.00002 * (p + 1) ** 2,
            "tokens_per_unit": 1.4 + 0.08 * p,
            "tokens_per_line": 11.0 + p,
        }
        for p, code in enumerate(LANGUAGES)
    }
    spm = run.job(
        "tokenizer_train",
        inputs=text,
        settings={"vocabulary_size": 8000, "character_coverage": 0.9999, "alpha": 0.3},
        model={"spm.model": "pieces"},
        stats={"stats.json": {"size": 8002, "languages": languages}},
        seconds=34.0,
    )
    run.give("stats", spm["stats"])
    shards = []
    for place, corpus in enumerate(
        [f"mono-{c}" for c in LANGUAGES] + [f"parallel-{p}" for p in PAIRS]
    ):
        manifest = {
            "parts": {
                "train": [
                    {
                        "file": "train.safetensors",
                        "sentences": 9000,
                        "tokens": 210_000 - 9000 * place,
                    }
                ],
                "valid": [{"file": "valid.safetensors", "sentences": 500, "tokens": 6200}],
            },
            "statistics": STATISTICS,
        }
        made = run.job(
            "tokenizer_pack",
            f"{corpus}/dealt",
            inputs=[*spm["model"], text[place]],
            train={"train.safetensors": corpus},
            manifest={"manifest.json": manifest},
        )
        run.give("manifests", made["manifest"])
        shards += made["train"]
    return spm["model"], shards


def _curve(objectives, steps, starts, ends, tokens_per_step=1024):
    lines = []
    for step in range(0, steps + 1, steps // 30):
        share = 1 - math.exp(-3.2 * step / steps)
        line = {"step": step, "tokens": step * tokens_per_step, "learning_rate": 1e-3}
        for name, classes in objectives.items():
            mean = starts[name] + (ends[name] - starts[name]) * share
            if step:
                line[f"train/{name}"] = mean + 0.05 * math.sin(step)
            for place, code in enumerate(classes):
                line[f"valid/{name}/{code}"] = mean + 0.09 * (place - len(classes) / 2)
        lines.append(line)
    return lines


def _train(run, stage, variant, objectives, inputs, starts, ends, shares, steps):
    curve = _curve(objectives, steps, starts, ends)
    last = {
        name: {code: curve[-1][f"valid/{name}/{code}"] for code in classes}
        for name, classes in objectives.items()
    }
    unigram = {
        name: {code: 6.1 + 0.04 * place for place, code in enumerate(classes)}
        for name, classes in objectives.items()
    }
    settings = {
        "objectives": {"mmlm": 0.0, "tlm": 0.0, "camlm": 0.0, "btmlm": 0.0, **shares},
        "steps": steps,
        "batch_tokens": 1024,
        "alpha": 0.5,
        "masking": {
            "ratio": {"mmlm": 0.15, "camlm": 0.3, "btmlm": 0.15},
        },
        "optimiser": {
            "learning_rate": 1.5e-3,
            "warmup_steps": 200,
            "beta2": 0.98,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
        },
    }
    made = run.job(
        stage,
        variant,
        inputs=inputs,
        settings=settings,
        seconds=40.0,
        notes={"training_seconds": 402.0},
        model={"model.safetensors": f"{stage} {variant}"},
        curves={"curves.jsonl": "".join(json.dumps(line) + "\n" for line in curve)},
        metrics={
            "metrics.json": {
                "steps": steps,
                "tokens": steps * 1024,
                "parameters": 1_820_000,
                "valid": last,
                "unigram": unigram,
                "cut": {
                    name: {"texts": 9000, "texts_cut": 90, "tokens": 210_000, "tokens_cut": 2100}
                    for name in objectives
                },
            }
        },
    )
    run.give("curves", made["curves"])
    run.give("metrics", made["metrics"])
    return made["model"]


def _generate(run, inputs):
    """The pseudo tokens of two chunks."""
    pseudo = []
    for chunk in range(2):
        made = run.job(
            "pretrain_backtranslate",
            f"ernie_m/{chunk}",
            inputs=inputs,
            settings={
                "chunks": 2,
                "placeholder_ratio": 0.15,
                "directions": "seen",
                "target_languages": [],
                "languages": LANGUAGES,
            },
            pseudo={"pseudo.safetensors": f"pseudo {chunk}"},
            stats={
                "stats.json": {
                    "sentences": 30_000,
                    "source_tokens": 400_000,
                    "pseudo_tokens": 61_000,
                    "sentences_there": 80_000,
                }
            },
        )
        run.give("stats", made["stats"])
        pseudo += made["pseudo"]
    return pseudo


def _pretrain(run, spm, shards, variant, replicates):
    models = {}
    init = run.job(
        "pretrain_initialise",
        "ernie_m",
        inputs=spm,
        settings=SHAPE,
        model={"model.safetensors": "0"},
    )
    models["ernie_m", "initialise"] = init["model"]
    variants = {"ernie_m": {"mmlm": 1.0, "camlm": 1.0}}
    if variant:
        variants["mmlm_tlm"] = {"mmlm": 1.0, "tlm": 1.0}
    named = {f"{name}-r{seed}": variants[name] for seed in replicates for name in variants}
    variants |= named
    first = {"mmlm": LANGUAGES, "camlm": PAIRS, "tlm": PAIRS}
    starts = dict.fromkeys(("mmlm", "camlm", "tlm"), 9.0)
    for variant, shares in variants.items():
        models[variant, "camlm"] = _train(
            run,
            "pretrain_camlm",
            variant,
            {name: first[name] for name in shares},
            [*init["model"], *shards],
            starts,
            {"mmlm": 4.6, "camlm": 4.9, "tlm": 4.4},
            shares,
            6000,
        )
    pseudo = _generate(run, [*models["ernie_m", "camlm"], *shards])
    models["ernie_m", "btmlm"] = _train(
        run,
        "pretrain_btmlm",
        "ernie_m",
        {"mmlm": LANGUAGES, "camlm": PAIRS, "btmlm": LANGUAGES},
        [*models["ernie_m", "camlm"], *shards, *pseudo],
        {"mmlm": 4.7, "camlm": 5.0, "btmlm": 4.7},
        {"mmlm": 4.2, "camlm": 4.4, "btmlm": 4.1},
        {"mmlm": 1.0, "camlm": 1.0, "btmlm": 1.0},
        3000,
    )
    return models


def _scores(values, classes, metric):
    """Scores by language in percent; the last language has too few examples to be averaged."""
    languages = {
        code: {
            metric: round(100 * max(0.02, value), 4),
            "n": 500 - 20 * place if code != classes[-1] else 20,
            "averaged": code != classes[-1],
        }
        for place, (code, value) in enumerate(zip(classes, values, strict=True))
    }

    def mean(codes):
        own = [languages[code][metric] for code in codes if languages[code]["averaged"]]
        return {metric: round(sum(own) / len(own), 4)}

    foreign = [code for code in classes if code != "en"]
    return {"languages": languages, "average": mean(classes), "transfer": mean(foreign)}


def _evaluate(run, deal, spm, models, seeds):
    for task, (category, metric, means, baselines) in run.tasks.items():
        trained = category != "retrieval"
        classes = LANGUAGES if trained else LANGUAGES[1:]
        examples = run.job(
            "xtreme_prepare",
            task,
            inputs=deal["rows"],
            examples={f"test-{code}.jsonl": f"{task} {code}\n" for code in classes},
            stats={"stats.json": {"task": task, "files": {}}},
        )
        run.give("stats", examples["stats"])
        slope = [0.16 - 0.32 * place / len(classes) for place in range(len(classes))]
        made = run.job(
            "xtreme_baseline",
            task,
            inputs=examples["examples"],
            scores={
                "scores.json": {
                    "task": task,
                    "category": category,
                    "standin": task.startswith("standin"),
                    "metric": metric,
                    "baselines": {
                        name: _scores([value + 0.6 * s for s in slope], classes, metric)
                        for name, value in baselines.items()
                    },
                }
            },
        )
        run.give("baselines", made["scores"])
        for (variant, stage), model in models.items():
            for seed in seeds:
                mean = means[("initialise", "camlm", "btmlm").index(stage)] + 0.004 * (seed - 1)
                mean -= 0.03 * (variant != "ernie_m")
                _evaluate_one(
                    run,
                    f"{task}/{variant}/{stage}/seed{seed}",
                    [*model, *spm],
                    examples["examples"],
                    {
                        "task": task,
                        "category": category,
                        "standin": task.startswith("standin"),
                        "metric": metric,
                        **_scores([mean + s for s in slope], classes, metric),
                    },
                    trained,
                )


def _evaluate_one(run, instance, model, examples, document, trained):
    if trained:
        tuned = run.job(
            "xtreme_finetune",
            instance,
            inputs=[*model, *examples],
            seconds=11.0,
            model={"model.safetensors": instance},
        )
        model = tuned["model"]
    predicted = run.job(
        "xtreme_predict",
        instance,
        inputs={"model": model[:1], "tokenizer": model[1:], "test": examples},
        settings={"layer": -2, "pooling": "mean", "centre": False},
        predictions={"predictions-de.jsonl": instance},
    )
    made = run.job(
        "xtreme_score",
        instance,
        inputs=[*examples, *predicted["predictions"]],
        scores={"scores.json": document},
    )
    run.give("scores", made["scores"])


def whole_run(name="default", variant=True, seeds=(1,), tasks=None, replicates=()):
    """The whole run, in the working directory."""
    run = Run(name, tasks)
    deal, text = _corpora(run)
    spm, shards = _tokenizer(run, text)
    models = _pretrain(run, spm, shards, variant, replicates)
    _evaluate(run, deal, spm, models, seeds)
    return run


def run_in_shards(languages, pair):
    """Text that was processed in shards, two of each corpus: ten rows came to each, one was
    dropped by each of two stages."""
    run = Run()
    shape = SHAPE | {"languages": languages}
    run.job("pretrain_initialise", "ernie_m", settings=shape, model={"model.safetensors": "m"})
    for corpus in (*(f"mono-{code}" for code in languages), f"parallel-{pair}"):
        run.job("corpora_dedup", corpus, exact={"rows.arrow": corpus})
        for shard in ("0", "1"):
            row = dict.fromkeys(("source", "target") if "parallel" in corpus else ("text",), "<b>")
            for stage, read, reason in (
                ("corpora_filter", 10, "too short"),
                ("corpora_select", 9, "repeated"),
            ):
                stats = {"rows_in": read, "dropped": {reason: 1}}
                stats |= {"examples": {reason: [row | {"id": "x"}]}, "rows": {"train": 8}}
                made = run.job(stage, f"{corpus}/{shard}", stats={"stats.json": stats})
                run.give("stats", made["stats"])
            parts = {"train": [{"tokens": 1001}], "valid": [{"tokens": 100}]}
            made = run.job(
                "tokenizer_pack",
                f"{corpus}/{shard}",
                manifest={"manifest.json": {"parts": parts, "statistics": STATISTICS}},
            )
            run.give("manifests", made["manifest"])
    return run


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """A run in shards in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return run_in_shards(["en", "zh", "de"], "en-de")


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """Makes a run in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return whole_run


@pytest.fixture
def run(make_run):
    """A run with a variant, one seed."""
    return make_run()
