# Evaluation: download -> prepare -> finetune -> predict -> score, and baselines.
#
# Tasks differ in their files, and a rule's outputs are fixed; so the stages whose outputs differ
# have one rule for each task or source, all of one text. Their outputs name it, and not a wildcard,
# or every file would be looked for among those of all tasks. What is evaluated when a job runs, which
# the command is, may not name the loop's variable, which then is the last task: hence the param.


for source in SOURCES:

    rule:
        """Published evaluation files are taken from their publishers, or from a folder that has
        them already, and are compared with the registry: a score stands for the benchmark only if
        it was measured on the benchmark's own bytes. They are the same for all runs, which share
        them.
        """
        name:
            f"xtreme_download_{source}"
        output:
            files=[
                ensure(f"results/xtreme_download/{source}/{name}", non_empty=True)
                for name in SOURCES[source].files
            ],
            sums=f"results/xtreme_download/{source}/SHA256SUMS",
            record=f"results/xtreme_download/{source}/record.json",
        log:
            f"results/logs/xtreme_download/{source}.log",
        benchmark:
            f"results/benchmarks/xtreme_download/{source}.tsv"
        retries: 2
        localrule: True  # compute nodes of a cluster often reach no other machine
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            **needs("xtreme_download"),
        params:
            source=source,
            code=code("xtreme_download"),
            settings=settings("xtreme_download", source),
        shell:
            command("xtreme_download", outputs="files", fixed="source")


for task in CONFIG.xtreme.tasks:

    rule:
        """Stand-ins are made of held-out text, so that labels are certain by construction and the
        same in every language; it comes from integrations that no training file has seen. Of
        published files the examples are read as the benchmark reads them, in one form for all.
        """
        name:
            f"xtreme_prepare_{task}"
        input:
            rows=[] if TASKS[task].published else rules.corpora_deal.output.rows,
            files=sources_of(task),
        output:
            examples=[
                f"<results>/xtreme_prepare/{task}/{name}"
                for name in plan.training_files(CONFIG, task)
                + example_names(task, "dev", "test")
            ],
            stats=f"<results>/xtreme_prepare/{task}/stats.json",
            sums=f"<results>/xtreme_prepare/{task}/SHA256SUMS",
            record=f"<results>/xtreme_prepare/{task}/record.json",
        log:
            f"<logs>/xtreme_prepare/{task}.log",
        benchmark:
            f"<benchmarks>/xtreme_prepare/{task}.tsv"
        group:
            group("xtreme_prepare")
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            **needs("xtreme_prepare"),
        params:
            task=task,
            code=code("xtreme_prepare"),
            settings=settings("xtreme_prepare", task),
            seed=seed("xtreme_prepare", task),
        shell:
            command(
                "xtreme_prepare",
                inputs="rows files",
                outputs="examples stats",
                fixed="task",
            )


rule xtreme_align:
    """The paper's second result on Tatoeba is of an encoder that was fine-tuned to find
    translations among the sentences most like them. It is one encoder for all tasks of retrieval and
    mining; only variants with `retrieval: aligned` ask for it."""
    input:
        model=undated(
            lambda wildcards: checkpoint(wildcards.variant, wildcards.checkpoint)
        ),
        tokenizer=rules.tokenizer_train.output.model,
        train=undated(encoded("train")),
        valid=undated(encoded("valid")),
        sums=lambda wildcards: training_sums(wildcards.variant, wildcards.checkpoint),
    output:
        model="<results>/xtreme_align/{variant}/{checkpoint}/seed{seed}/model.safetensors",
        curves="<results>/xtreme_align/{variant}/{checkpoint}/seed{seed}/curves.jsonl",
        metrics="<results>/xtreme_align/{variant}/{checkpoint}/seed{seed}/metrics.json",
        sums="<results>/xtreme_align/{variant}/{checkpoint}/seed{seed}/SHA256SUMS",
        record="<results>/xtreme_align/{variant}/{checkpoint}/seed{seed}/record.json",
    log:
        "<logs>/xtreme_align/{variant}/{checkpoint}/seed{seed}.log",
    benchmark:
        "<benchmarks>/xtreme_align/{variant}/{checkpoint}/seed{seed}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("xtreme_align"),
    params:
        code=code("xtreme_align"),
        settings=settings("xtreme_align"),
        seed=seed("xtreme_align"),
        train=listed("train"),
        valid=listed("valid"),
    shell:
        command(
            "xtreme_align",
            inputs="model tokenizer",
            lists="train valid",
            outputs="model curves metrics",
        )


rule xtreme_finetune:
    """The paper's test of a cross-lingual encoder: it learns the task in English only, and what
    it then can do in other languages is what pre-training brought across. Variants with
    `training: all` learn it in all languages."""
    input:
        model=undated(
            lambda wildcards: checkpoint(wildcards.variant, wildcards.checkpoint)
        ),
        sums=sums(lambda wildcards: checkpoint(wildcards.variant, wildcards.checkpoint)),
        tokenizer=rules.tokenizer_train.output.model,
        train=training_examples,
        dev=lambda wildcards: examples(wildcards.task, "dev"),
    output:
        model="<results>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}/model.safetensors",
        curves="<results>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}/curves.jsonl",
        metrics="<results>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}/metrics.json",
        sums="<results>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}/SHA256SUMS",
        record="<results>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}/record.json",
    log:
        "<logs>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}.log",
    benchmark:
        "<benchmarks>/xtreme_finetune/{task}/{variant}/{checkpoint}/seed{seed}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("xtreme_finetune"),
    params:
        code=code("xtreme_finetune"),
        settings=settings("xtreme_finetune"),
        seed=seed("xtreme_finetune"),
    shell:
        command(
            "xtreme_finetune",
            inputs="model tokenizer train dev",
            outputs="model curves metrics",
        )


for task in CONFIG.xtreme.tasks:

    rule:
        """Predictions are kept, not only their score: a metric that is corrected later must not
        cost a fine-tuning. Retrieval uses the pre-trained encoder as it is, which shows the
        shared space itself."""
        name:
            f"xtreme_predict_{task}"
        input:
            model=undated(scored_model(task)),
            sums=sums(scored_model(task)),
            tokenizer=rules.tokenizer_train.output.model,
            dev=[] if TASKS[task].trained else examples(task, "dev"),
            test=examples(task, "test"),
        output:
            predictions=[
                f"<results>/xtreme_predict/{task}/{OF_MODEL}/{name}"
                for name in predictions(task)
            ],
            sums=f"<results>/xtreme_predict/{task}/{OF_MODEL}/SHA256SUMS",
            record=f"<results>/xtreme_predict/{task}/{OF_MODEL}/record.json",
        log:
            f"<logs>/xtreme_predict/{task}/{OF_MODEL}.log",
        benchmark:
            f"<benchmarks>/xtreme_predict/{task}/{OF_MODEL}.tsv"
        group:
            group("xtreme_predict")
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            **needs("xtreme_predict"),
        params:
            task=task,
            code=code("xtreme_predict"),
            settings=settings("xtreme_predict", f"{task}/{OF_MODEL}"),
        shell:
            command(
                "xtreme_predict",
                inputs="model tokenizer dev test",
                outputs="predictions",
                fixed="task",
            )


rule xtreme_sweep:
    """Which layer's vectors find translations says where in the encoder the languages meet. The
    paper does not name its layer; this shows what the choice is worth."""
    input:
        model=undated(scored_model()),
        sums=sums(scored_model()),
        tokenizer=rules.tokenizer_train.output.model,
        test=lambda wildcards: examples(wildcards.task, "test"),
    output:
        layers="<results>/xtreme_sweep/{task}/{variant}/{checkpoint}/seed{seed}/layers.json",
        sums="<results>/xtreme_sweep/{task}/{variant}/{checkpoint}/seed{seed}/SHA256SUMS",
        record="<results>/xtreme_sweep/{task}/{variant}/{checkpoint}/seed{seed}/record.json",
    log:
        "<logs>/xtreme_sweep/{task}/{variant}/{checkpoint}/seed{seed}.log",
    benchmark:
        "<benchmarks>/xtreme_sweep/{task}/{variant}/{checkpoint}/seed{seed}.tsv"
    group:
        group("xtreme_sweep")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("xtreme_sweep"),
    params:
        code=code("xtreme_sweep"),
        settings=settings("xtreme_sweep"),
    shell:
        command(
            "xtreme_sweep",
            inputs="model tokenizer test",
            outputs="layers",
        )


rule xtreme_score:
    """A stage of its own and without the model, so that a changed metric costs seconds, and so
    that the same scorer can judge predictions from elsewhere."""
    input:
        test=lambda wildcards: examples(wildcards.task, "test"),
        predictions=lambda wildcards: [
            "<results>/xtreme_predict/{task}/{variant}/{checkpoint}/seed{seed}/".format(
                **wildcards
            )
            + name
            for name in predictions(wildcards.task)
        ],
    output:
        scores="<results>/xtreme_score/{task}/{variant}/{checkpoint}/seed{seed}/scores.json",
        sums="<results>/xtreme_score/{task}/{variant}/{checkpoint}/seed{seed}/SHA256SUMS",
        record="<results>/xtreme_score/{task}/{variant}/{checkpoint}/seed{seed}/record.json",
    log:
        "<logs>/xtreme_score/{task}/{variant}/{checkpoint}/seed{seed}.log",
    benchmark:
        "<benchmarks>/xtreme_score/{task}/{variant}/{checkpoint}/seed{seed}.tsv"
    group:
        group("xtreme_score")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("xtreme_score"),
    params:
        code=code("xtreme_score"),
        settings=settings("xtreme_score"),
    shell:
        command(
            "xtreme_score",
            inputs="test predictions",
            outputs="scores",
        )


rule xtreme_baseline:
    """A number says little alone. Chance, the most frequent answer and plain overlap of strings
    are what a score must beat before it counts as understanding."""
    input:
        train=lambda wildcards: examples(wildcards.task, "train"),
        dev=lambda wildcards: examples(wildcards.task, "dev"),
        test=lambda wildcards: examples(wildcards.task, "test"),
    output:
        scores="<results>/xtreme_baseline/{task}/scores.json",
        sums="<results>/xtreme_baseline/{task}/SHA256SUMS",
        record="<results>/xtreme_baseline/{task}/record.json",
    log:
        "<logs>/xtreme_baseline/{task}.log",
    benchmark:
        "<benchmarks>/xtreme_baseline/{task}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("xtreme_baseline"),
    params:
        code=code("xtreme_baseline"),
        settings=settings("xtreme_baseline"),
    shell:
        command(
            "xtreme_baseline",
            inputs="train dev test",
            outputs="scores",
        )
