"""A study in miniature: the files and records of arms and replicates, with invented numbers."""

from __future__ import annotations

from pathlib import Path

from ernie_m.claims import judge
from ernie_m.config.claims import ClaimRow, Comparison, JudgeSettings
from ernie_m.config.model import InitialiseSettings
from ernie_m.config.pretrain import BacktranslateJob, Shares, StageJob
from ernie_m.job import Job
from ernie_m.replicates import named
from tests.report.conftest import Run

TASK = "standin_retrieval"
# Sentence pairs by language, a factor of a hundred.
PAIRS = {"de": 10_000, "ru": 1_000, "bg": 100}
ARMS = {
    "exp1": {"mmlm": 1.0},
    "exp3": {"mmlm": 1.0, "camlm": 1.0},
    "exp4": {"mmlm": 1.0, "camlm": 1.0, "btmlm": 1.0},
}
BTMLM = ClaimRow(
    id="btmlm",
    claim="BTMLM adds something.",
    source="(paper: Table 6)",
    arm="exp4/btmlm",
    against="exp3/btmlm",
    scores=(TASK, "mmlm_loss"),
)
LITTLE = ClaimRow(
    **BTMLM.model_dump(exclude={"id", "kind", "direction", "scores"}),
    id="little",
    kind="slope",
    direction="lower",
    scores=(TASK,),
)
COST = ClaimRow(
    id="cost",
    claim="It costs little.",
    source="(memory)",
    kind="ratio",
    arm="exp4/btmlm",
    against="exp1/btmlm",
    scores=("cost",),
    direction="lower",
    beyond=1.15,
)
SHARE = ClaimRow(
    id="share",
    claim="Perplexity falls.",
    source="(memory)",
    kind="trend",
    arm="exp4/btmlm",
    scores=("btmlm_loss",),
    direction="lower",
)


class Study(Run):
    """Writes the jobs of a study; ``effect`` is what BTMLM adds, in points, by replicate."""

    def __init__(self, effects, by_language=None, ratios=(0.15,), seeds=(1, 2), adopted=False):
        super().__init__("study")
        self.adopted = adopted
        self.effects = dict(enumerate(effects, 1))
        self.by_language = by_language or dict.fromkeys(PAIRS, 0.0)
        self.ratios, self.seeds = ratios, seeds
        self.text()
        for replicate in self.effects:
            self.arms(replicate)

    def text(self):
        for code, count in PAIRS.items():
            stats = {"rows_in": count, "dropped": {}, "rows": {"train": count}, "examples": {}}
            made = self.job(
                "corpora_select", f"parallel-en-{code}/dealt", stats={"stats.json": stats}
            )
            self.give("stats", made["stats"])
        made = self.job("tokenizer_train", stats={"stats.json": {"size": 8000, "languages": {}}})
        self.give("stats", made["stats"])

    def arms(self, replicate):
        shape = InitialiseSettings(languages=("en", *PAIRS)).model_dump(mode="json")
        start = self.job(
            "pretrain_initialise",
            named("ernie_m", replicate, 1),
            settings=shape,
            model={"model.safetensors": f"start {replicate}"},
        )
        if self.adopted:
            start = self.job(
                "pretrain_adopt",
                named("ernie_m", replicate, 1),
                inputs={"model": start["model"]},
                model={"model.safetensors": f"adopted {replicate}"},
            )
        for arm, shares in ARMS.items():
            name = named(arm, replicate, 1)
            # What exp4 has in common with exp3 is trained once.
            if arm != "exp4":
                shared = self.train("pretrain_camlm", name, shares, start["model"])
            if arm != "exp4":
                self.train("pretrain_btmlm", name, shares, shared)
                self.score(arm, replicate)
            for place, ratio in enumerate(self.ratios if arm == "exp4" else ()):
                own = named(arm if not place else f"{arm}_{place}", replicate, 1)
                pseudo = self.generate(own, ratio, shared)
                self.train("pretrain_btmlm", own, shares, [*shared, *pseudo], 3.0 - ratio)
            if arm == "exp4":
                self.score(arm, replicate)

    def train(self, stage, name, shares, inputs, btmlm_loss=3.0):
        objectives = Shares(**{key: shares.get(key, 0.0) for key in Shares.model_fields})
        settings = StageJob(objectives=objectives, steps=100).model_dump(mode="json")
        valid = {"mmlm": dict.fromkeys(("en", *PAIRS), 4.0 - 0.1 * ("exp4" in name))}
        valid |= {"btmlm": dict.fromkeys(PAIRS, btmlm_loss)}
        made = self.job(
            stage,
            name,
            inputs={"init": inputs[:1], "pseudo": inputs[1:]},
            settings=settings,
            model={"model.safetensors": f"{stage} {name}"},
            metrics={"metrics.json": {"steps": 100, "tokens": 204_800, "valid": valid}},
        )
        self.give("metrics", made["metrics"])
        return made["model"]

    def generate(self, name, ratio, model):
        pairs = tuple(f"en-{code}" for code in PAIRS)
        settings = BacktranslateJob(placeholder_ratio=ratio, pairs=pairs)
        stats = {
            "sentences": 500,
            "sentences_there": 900,
            "source_tokens": 100_000,
            "pseudo_tokens": 15_000,
        }
        made = self.job(
            "pretrain_backtranslate",
            f"{name}/0",
            inputs={"model": model},
            settings=settings.model_dump(mode="json"),
            pseudo={"pseudo.safetensors": f"pseudo {name}"},
            stats={"stats.json": stats},
        )
        self.give("stats", made["stats"])
        return made["pseudo"]

    def score(self, arm, replicate):
        """Scores of each seed of fine-tuning; what seeds add is the same for all arms."""
        added = self.effects[replicate] if arm == "exp4" else 0.0
        for seed in self.seeds:
            own = {
                code: 50.0
                + 3 * replicate
                + seed
                + added
                + (self.by_language[code] * (arm == "exp4"))
                for code in PAIRS
            }
            languages = {
                code: {"accuracy": value, "n": 200, "averaged": True} for code, value in own.items()
            }
            document = {
                "task": TASK,
                "category": "retrieval",
                "standin": True,
                "metric": "accuracy",
                "languages": languages,
                "average": {"accuracy": sum(own.values()) / len(own)},
                "transfer": {"accuracy": sum(own.values()) / len(own)},
            }
            made = self.job(
                "xtreme_score",
                f"{TASK}/{named(arm, replicate, 1)}/btmlm/seed{seed}",
                scores={"scores.json": document},
            )
            self.give("scores", made["scores"])

    def compared(self, row, score, *variants):
        """A claim in a score, in all replicates."""
        sides = [(variant, "btmlm") for variant in variants] or row.sides
        replicates = {
            number: tuple((named(name, number, 1), stage) for name, stage in sides)
            for number in self.effects
        }
        return Comparison(claim=row.id, score=score, replicates=replicates, trained=sides[0][0])

    def judged(self, *rows, confidence=0.95, more=()):
        """The job that judges claims in all their scores, run; gives the path of its result."""
        comparisons = [
            self.compared(row, score, *(more if row.kind == "trend" else ()))
            for row in rows
            for score in row.scores
        ]
        target = Path("results/study/claims_judge/claims.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        job = Job(
            module="ernie_m.claims.judge",
            instance="",
            settings=JudgeSettings(
                confidence=confidence, claims=rows, comparisons=tuple(comparisons)
            ),
            seed=1,
            threads=1,
            input_paths={
                name: self.inputs[name] for name in ("scores", "metrics", "stats", "records")
            },
            output_paths={"claims": [target]},
        )
        judge.run(job)
        return job.output("claims")

    def recorded(self, *rows, more=()):
        """The same as a finished job, given to the report."""
        text = self.judged(*rows, more=more).read_text()
        records = self.inputs["records"][:]
        read = [path for name in ("scores", "metrics", "stats") for path in self.inputs[name]]
        made = self.job("claims_judge", inputs=[*read, *records], claims={"claims.json": text})
        self.give("claims", made["claims"])
        return made["claims"][0]
