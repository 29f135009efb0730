# Pre-training: initialise -> [adopt] -> camlm -> [draw ->] backtranslate -> btmlm.


rule pretrain_initialise:
    """The untrained encoder is a result like any other: it starts every variant from the same
    weights, and it is scored too, because shared pieces alone make an untrained encoder look
    clever, and only what is above it was learnt."""
    input:
        tokenizer=rules.tokenizer_train.output.model,
    output:
        model="<results>/pretrain_initialise/{variant}/model.safetensors",
        sums="<results>/pretrain_initialise/{variant}/SHA256SUMS",
        record="<results>/pretrain_initialise/{variant}/record.json",
    log:
        "<logs>/pretrain_initialise/{variant}.log",
    benchmark:
        "<benchmarks>/pretrain_initialise/{variant}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("pretrain_initialise"),
    params:
        code=code("pretrain_initialise"),
        settings=settings("pretrain_initialise"),
        seed=seed("pretrain_initialise"),
    shell:
        command(
            "pretrain_initialise",
            inputs="tokenizer",
            outputs="model",
        )


if CONFIG.init:

    rule pretrain_adopt:
        """The paper starts from XLM-R (memory), so the weights that `init` names take the place of
        those that were made: by name, a row for each piece of the vocabulary. Only a head that they
        lack stays untrained. Reading the formats of others is kept apart, for it changes often.
        """
        input:
            model=undated(rules.pretrain_initialise.output.model),
            tokenizer=rules.tokenizer_train.output.model,
            source=undated(source()),
            sums=[rules.pretrain_initialise.output.sums, *sums(source())],
        output:
            model="<results>/pretrain_adopt/{variant}/model.safetensors",
            sums="<results>/pretrain_adopt/{variant}/SHA256SUMS",
            record="<results>/pretrain_adopt/{variant}/record.json",
        log:
            "<logs>/pretrain_adopt/{variant}.log",
        benchmark:
            "<benchmarks>/pretrain_adopt/{variant}.tsv"
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            **needs("pretrain_adopt"),
        params:
            code=code("pretrain_adopt"),
            settings=settings("pretrain_adopt"),
        shell:
            command("pretrain_adopt", inputs="model tokenizer source", outputs="model")


rule pretrain_camlm:
    """Stage 1 of the paper. MMLM learns each language; CAMLM makes the model predict a word from
    the sentence in the other language alone, which forces the languages into one space. Stage 2
    needs that space, or its pseudo-translations would be noise."""
    input:
        init=undated(lambda wildcards: checkpoint(wildcards.variant, "initialise")),
        train=undated(encoded("train")),
        valid=undated(encoded("valid")),
        sums=lambda wildcards: training_sums(wildcards.variant, "initialise"),
    output:
        model="<results>/pretrain_camlm/{variant}/model.safetensors",
        curves="<results>/pretrain_camlm/{variant}/curves.jsonl",
        metrics="<results>/pretrain_camlm/{variant}/metrics.json",
        sums="<results>/pretrain_camlm/{variant}/SHA256SUMS",
        record="<results>/pretrain_camlm/{variant}/record.json",
    log:
        "<logs>/pretrain_camlm/{variant}.log",
    benchmark:
        "<benchmarks>/pretrain_camlm/{variant}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: TRAINING_THREADS
    resources:
        # Weights, gradients, Adam's moments, and a copy of what is saved.
        **needs("pretrain_camlm"),
    params:
        code=code("pretrain_camlm"),
        settings=settings("pretrain_camlm"),
        seed=seed("pretrain_camlm"),
        train=listed("train"),
        valid=listed("valid"),
    shell:
        command(
            "pretrain_camlm",
            inputs="init",
            lists="train valid",
            outputs="model curves metrics",
        )


rule pretrain_draw:
    """Of all monolingual text stage 2 reads a part, which follows from its seed and settings, and
    only for that pseudo-translations are made. It is drawn in a job that needs no model, so that
    those on GPUs do not each look through all text, and do not wait for it."""
    input:
        train=undated(monolingual("train")),
        valid=undated(monolingual("valid")),
        sums=sums(monolingual("train")),
    output:
        sentences="<results>/pretrain_draw/{variant}/sentences.safetensors",
        sums="<results>/pretrain_draw/{variant}/SHA256SUMS",
        record="<results>/pretrain_draw/{variant}/record.json",
    log:
        "<logs>/pretrain_draw/{variant}.log",
    benchmark:
        "<benchmarks>/pretrain_draw/{variant}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("pretrain_draw"),
    params:
        code=code("pretrain_draw"),
        settings=settings("pretrain_draw"),
        seed=seed("pretrain_draw"),
        train=listed("train"),
        valid=listed("valid"),
    shell:
        command("pretrain_draw", lists="train valid", outputs="sentences")


rule pretrain_backtranslate:
    """Parallel text is scarce and monolingual text is not. The model of stage 1 fills
    placeholders behind a monolingual sentence in another language, which makes pairs out of
    single sentences. In chunks, so that a lost one costs one; what they hold does not depend on
    their number."""
    input:
        model=undated(lambda wildcards: checkpoint(wildcards.variant, "camlm")),
        sentences=undated(lambda wildcards: drawn(wildcards.variant)),
        sums=lambda wildcards: sums(
            [checkpoint(wildcards.variant, "camlm"), drawn(wildcards.variant)]
        ),
    output:
        pseudo="<results>/pretrain_backtranslate/{variant}/{chunk}/pseudo.safetensors",
        stats="<results>/pretrain_backtranslate/{variant}/{chunk}/stats.json",
        sums="<results>/pretrain_backtranslate/{variant}/{chunk}/SHA256SUMS",
        record="<results>/pretrain_backtranslate/{variant}/{chunk}/record.json",
    log:
        "<logs>/pretrain_backtranslate/{variant}/{chunk}.log",
    benchmark:
        "<benchmarks>/pretrain_backtranslate/{variant}/{chunk}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("pretrain_backtranslate"),
    params:
        code=code("pretrain_backtranslate"),
        settings=settings("pretrain_backtranslate"),
        seed=seed("pretrain_backtranslate"),
    shell:
        command(
            "pretrain_backtranslate",
            inputs="model sentences",
            outputs="pseudo stats",
        )


rule pretrain_btmlm:
    """Stage 2 of the paper. The model predicts masked words of a sentence with its own
    pseudo-translation in view, so that monolingual text teaches the relation between languages;
    stage 1's objectives go on beside it, or what they taught would fade. A variant without the
    objective trains on for as long, which is what makes the variants comparable."""
    input:
        init=undated(lambda wildcards: checkpoint(wildcards.variant, "camlm")),
        train=undated(encoded("train")),
        valid=undated(encoded("valid")),
        pseudo=undated(lambda wildcards: pseudo(wildcards.variant)),
        sums=lambda wildcards: training_sums(
            wildcards.variant, "camlm", *pseudo(wildcards.variant)
        ),
    output:
        model="<results>/pretrain_btmlm/{variant}/model.safetensors",
        curves="<results>/pretrain_btmlm/{variant}/curves.jsonl",
        metrics="<results>/pretrain_btmlm/{variant}/metrics.json",
        sums="<results>/pretrain_btmlm/{variant}/SHA256SUMS",
        record="<results>/pretrain_btmlm/{variant}/record.json",
    log:
        "<logs>/pretrain_btmlm/{variant}.log",
    benchmark:
        "<benchmarks>/pretrain_btmlm/{variant}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: TRAINING_THREADS
    resources:
        **needs("pretrain_btmlm"),
    params:
        code=code("pretrain_btmlm"),
        settings=settings("pretrain_btmlm"),
        seed=seed("pretrain_btmlm"),
        train=listed("train"),
        valid=listed("valid"),
        pseudo=listed("pseudo"),
    shell:
        command(
            "pretrain_btmlm",
            inputs="init",
            lists="train valid pseudo",
            outputs="model curves metrics",
        )
