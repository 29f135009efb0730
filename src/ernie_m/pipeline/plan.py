"""Which jobs a configuration asks for, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import cast, get_args

from ernie_m.catalogue.tasks import TASKS, Task, Training
from ernie_m.config.base import Section
from ernie_m.config.claims import COST, LOSSES, ClaimRow, Comparison
from ernie_m.config.pretrain import Shares
from ernie_m.config.root import Config, Variant
from ernie_m.config.xtreme import Stage, TaskName
from ernie_m.replicates import named, parted


def last_stage(config: Config) -> Stage:
    """The last stage of pre-training that is evaluated; later ones are not run."""
    return max(config.xtreme.stages, key=get_args(Stage).index)


def _runs(config: Config, stage: str) -> bool:
    """Whether a stage of pre-training is run."""
    order = get_args(Stage)
    return order.index(stage) <= order.index(last_stage(config))


def reads_text(config: Config) -> dict[str, bool]:
    """Whether the run needs text: at all, and encoded.

    Nothing is trained on it where only the checkpoint in ``init`` is evaluated; then it may still
    be needed for tasks made of held-out rows, and to train or trim the vocabulary.
    """
    tasks = config.xtreme.tasks
    aligned = any(
        config.variant(variant).xtreme.aligned(task)
        for variant in config.variant_names
        for task in tasks
    )
    encoded = _runs(config, "camlm") or aligned
    made = any(not TASKS[task].published for task in tasks)
    ready = any(row.content == "vocabulary" for row in config.corpora.rows().values())
    trained = config.tokenizer.train.trim if config.init else not ready
    return {"at all": encoded or made or trained, "encoded": encoded}


def _steps(config: Config, variant: str) -> dict[str, tuple[Section, int | None]]:
    """The settings and seed of each step of pre-training. Those of a checkpoint that the run starts
    from are the same whatever the seed."""
    own = config.variant(variant)
    return {
        "initialise": (own.model, None if config.init else own.seed),
        "camlm": (own.pretrain.camlm, own.seed),
        "draw": (own.draw_job(config.corpora.languages, config.corpora.pairs), own.seed),
        "backtranslate": (own.backtranslate_job(config.corpora.pairs), own.seed),
        "btmlm": (own.pretrain.btmlm, own.seed),
    }


def _up_to(config: Config, variant: str, stage: str) -> list[tuple[Section, int | None]]:
    """What determines a variant's weights after a stage of pre-training."""
    steps = _steps(config, variant)
    return list(steps.values())[: list(steps).index(stage) + 1]


def made_by(config: Config, variant: str, stage: str) -> str:
    """The first variant with the same settings up to a stage: common stages are run once."""
    wanted = _up_to(config, variant, stage)
    return next(name for name in config.variant_names if _up_to(config, name, stage) == wanted)


def trained_variants(config: Config, stage: str) -> list[str]:
    """The variants for which a stage of pre-training is run."""
    if not _runs(config, stage):
        return []
    return list(dict.fromkeys(made_by(config, variant, stage) for variant in config.variant_names))


def chunks(config: Config, variant: str) -> list[str]:
    """The generation jobs whose pseudo tokens a variant trains on; none without BTMLM."""
    if not _runs(config, "btmlm") or not config.variant(variant).pretrain.btmlm.objectives.btmlm:
        return []
    maker = made_by(config, variant, "backtranslate")
    count = config.variant(maker).pretrain.backtranslate.chunks
    return [f"{maker}/{chunk}" for chunk in range(count)]


def _generating(config: Config) -> list[str]:
    return [variant for variant in config.variant_names if chunks(config, variant)]


def drawn_for(config: Config, variant: str) -> str:
    """The first variant whose stage 2 reads the same sentences with pseudo tokens: they are drawn
    once, whatever model generates."""
    wanted = _steps(config, variant)["draw"]
    return next(name for name in _generating(config) if _steps(config, name)["draw"] == wanted)


def draws(config: Config) -> list[str]:
    """The variants for which sentences are drawn."""
    return list(dict.fromkeys(drawn_for(config, name) for name in _generating(config)))


# The shard of a training corpus that holds dealt n-way rows; the others have numbers.
DEALT = "dealt"


def _numbered(config: Config, corpora: Iterable[str]) -> list[str]:
    return [
        f"{corpus}/{shard}"
        for corpus in corpora
        for shard in range(config.corpora.shard_count(corpus))
    ]


def filtered(config: Config) -> list[str]:
    """The shards that are filtered: ``rows-de/0``, ``mono-de/0``."""
    return _numbered(config, config.corpora.filtered)


def shards_of(config: Config, corpus: str) -> list[str]:
    """The shards of a training corpus: those of its documents or pairs, then dealt rows."""
    found = _numbered(config, [corpus] if config.corpora.sources(corpus) else [])
    return found + ([f"{corpus}/{DEALT}"] if config.corpora.is_dealt(corpus) else [])


def shards(config: Config) -> list[str]:
    """The shards of all training corpora."""
    return [shard for corpus in config.corpora.names for shard in shards_of(config, corpus)]


def sampled(config: Config) -> list[str]:
    """The shards sampled to train a vocabulary; none where a ready one is used."""
    ready = any(row.content == "vocabulary" for row in config.corpora.rows().values())
    return [] if config.init or ready else shards(config)


def extracts(config: Config, *corpora: str) -> list[str]:
    """The extraction jobs of some corpora or all: ``{dataset}/de``, and ``{dataset}/en-de`` for
    pairs."""
    return [
        f"{row.id}/{corpus.partition('-')[2]}"
        for corpus in corpora or config.corpora.filtered
        for row in config.corpora.sources(corpus)
    ]


def eval_hashes(config: Config) -> list[str]:
    """The job that hashes the evaluation texts; none where nothing is compared with them."""
    return [""] if compared_tasks(config) or config.corpora.dealt_languages else []


def compared_tasks(config: Config) -> list[TaskName]:
    """The published tasks for decontamination. Tasks made of held-out rows need not be named: text
    is compared with all of these rows."""
    wanted = config.xtreme.tasks if config.corpora.select.decontaminate else ()
    return [task for task in wanted if TASKS[task].published]


def task_languages(config: Config, task: TaskName) -> tuple[str, ...]:
    """The languages that a task can have examples in: of one that is made of n-way rows, theirs."""
    own = config.corpora
    return own.languages if TASKS[task].published else own.dealt_languages


def _use(variant: Variant, task: TaskName) -> list[Section | str]:
    """The settings of an encoder's fine-tuning and prediction for a task."""
    own, layers = variant.xtreme, variant.model.layers
    use: list[Section | str] = [own.predict_for(task, layers)]
    if tuned := own.finetuned_on(task):
        use += [own.finetune_for(tuned), own.training_for(tuned)]
    return [*use, own.align_job(layers)] if own.aligned(task) else use


def scored_as(config: Config, task: TaskName, variant: str, stage: str) -> str:
    """The first variant whose encoder after a stage is trained and used for a task in the same way,
    so that nothing is scored twice under two names."""

    def use(name: str) -> tuple[str, list[Section | str]]:
        return made_by(config, name, stage), _use(config.variant(name), task)

    wanted = use(variant)
    return next(name for name in config.variant_names if use(name) == wanted)


def evaluations(config: Config, wanted: Callable[[Task], bool] = lambda _: True) -> list[str]:
    """Every task/variant/stage/seed that is scored, of all tasks or of those that are ``wanted``.

    Tasks that are not fine-tuned have one seed: others would repeat the same result.
    """
    found = []
    tasks = [task for task in config.xtreme.tasks if wanted(TASKS[task])]
    for task, variant, stage in product(tasks, config.variant_names, config.xtreme.stages):
        if scored_as(config, task, variant, stage) == variant:
            own = config.variant(variant).xtreme
            drawn = own.finetuned_on(task) or own.aligned(task)
            seeds = config.xtreme.seeds[: None if drawn else 1]
            found += [f"{task}/{variant}/{stage}/seed{seed}" for seed in seeds]
    return found


def aligned(config: Config) -> list[str]:
    """The variant/stage/seed whose encoders are fine-tuned for retrieval."""
    own = {variant: config.variant(variant).xtreme for variant in config.variant_names}
    jobs = (job.split("/") for job in evaluations(config))
    return list(
        dict.fromkeys(
            f"{variant}/{stage}/{seed}"
            for task, variant, stage, seed in jobs
            if own[variant].aligned(cast(TaskName, task))
        )
    )


def training_files(config: Config, task: TaskName) -> list[str]:
    """Names of all training files of a task that any variant reads."""
    ways = {config.variant(variant).xtreme.training_for(task) for variant in config.variant_names}
    # Those of training in all languages include the English one.
    widest: Training = "all" if "all" in ways else "english"
    return TASKS[task].files(task_languages(config, task), widest)["train"]


def maker(config: Config, checkpoint: str) -> str:
    """The stage that writes an encoder; with ``init`` the first one is adopted."""
    adopted = config.init and checkpoint == "initialise"
    return "pretrain_adopt" if adopted else f"pretrain_{checkpoint}"


def exports(config: Config) -> list[str]:
    """The job that exports the main variant's last encoder, for transformers, no language by
    default."""
    last = last_stage(config)
    return [f"hf/none/{maker(config, last)}/{made_by(config, config.variant_names[0], last)}"]


def downloads(config: Config) -> list[str]:
    """The datasets that are downloaded; where there is no use for text, a ready vocabulary."""
    rows = config.corpora.rows()
    if reads_text(config)["at all"]:
        return list(rows)
    return [name for name, row in rows.items() if row.content == "vocabulary"]


def packed(config: Config) -> list[str]:
    """The shards that are encoded; none where nothing is trained on them."""
    return shards(config) if reads_text(config)["encoded"] else []


def backtranslations(config: Config) -> list[str]:
    """The jobs that generate, of all variants."""
    return list(
        dict.fromkeys(job for variant in config.variant_names for job in chunks(config, variant))
    )


def comparisons(config: Config) -> list[Comparison]:
    """What of the claims a run can judge: those of which it has both sides, in the scores that it
    has of both."""
    if not config.compares or not _runs(config, "camlm"):
        return []
    replicates = sorted({parted(name, config.seed)[1] for name in config.variant_names})
    found = []
    for row in config.claims.rows().values():
        for score in row.scores:
            sides = {number: _sides(config, row, score, number) for number in replicates}
            if have := {number: names for number, names in sides.items() if names}:
                arm = named(row.sides[0][0], next(iter(have)), config.seed)
                trained = made_by(config, arm, row.sides[0][1])
                compared = Comparison(claim=row.id, score=score, replicates=have, trained=trained)
                found.append(compared)
    return found


def _sides(
    config: Config, row: ClaimRow, score: str, replicate: int
) -> tuple[tuple[str, str], ...]:
    """The variants of a replicate that a claim compares in a score, with their stages, under the
    names that have its files; none where a side lacks it, or all sides are one."""
    sides = [(named(variant, replicate, config.seed), stage) for variant, stage in row.sides]
    if not all(_has(config, *side, score) for side in sides):
        return ()
    if row.kind == "trend":
        (arm, stage), *_ = sides
        sides = [(name, stage) for name in _other_ratios(config, arm, stage)]
    elif score in TASKS:
        sides = [(scored_as(config, cast(TaskName, score), *side), side[1]) for side in sides]
    else:
        sides = [(made_by(config, *side), side[1]) for side in sides]
    return tuple(sides) if len(set(sides)) > 1 else ()


def _has(config: Config, variant: str, stage: str, score: str) -> bool:
    """Whether a variant has a score after a stage."""
    if variant not in config.variant_names or not _runs(config, stage):
        return False
    if score in TASKS:
        return score in config.xtreme.tasks and stage in config.xtreme.stages
    if stage == "initialise":  # is not trained
        return False
    objectives = getattr(config.variant(variant).pretrain, stage).objectives
    return score == COST or bool(getattr(objectives, LOSSES[score]))


def _other_ratios(config: Config, variant: str, stage: str) -> tuple[str, ...]:
    """A variant, and those of its replicate that differ from it in the share of pseudo tokens
    alone."""

    def rest(name: str) -> tuple[object, ...]:
        own = config.variant(name)
        ratio = {"backtranslate": {"placeholder_ratio"}}
        replicate = parted(name, config.seed)[1]
        return replicate, own.model, own.pretrain.model_dump(exclude=ratio)

    names = [variant, *config.variant_names]
    found = (made_by(config, name, stage) for name in names if rest(name) == rest(variant))
    return tuple(dict.fromkeys(found))


def figures(config: Config) -> list[str]:
    """Names of the report's figures: all that the main variant can have numbers for."""
    tasks, main = config.xtreme.tasks, config.variant(config.variant_names[0]).pretrain
    stages = {"camlm": main.camlm, "btmlm": main.btmlm}
    trained = [own.objectives for stage, own in stages.items() if _runs(config, stage)]
    on = [name for name in Shares.model_fields if any(getattr(own, name) for own in trained)]
    return [
        *(["claims"] if comparisons(config) else []),
        *(f"steps-{task}" for task in tasks),
        "groups",
        *(f"layers-{task}" for task in tasks if TASKS[task].kind == "retrieval"),
        *(f"{kind}-{objective}" for kind in ("loss", "languages") for objective in on),
        "pipeline",
    ]
