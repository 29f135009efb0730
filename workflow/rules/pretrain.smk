# Pre-training: initialise -> camlm -> backtranslate -> btmlm.


rule pretrain_initialise:
    """The untrained encoder is a result like any other: it starts every arm from the same
    weights, and it is scored too, because shared pieces alone make an untrained encoder look
    clever, and only what is above it was learnt. With `init`, the weights named there take its
    place, as XLM-R's do in the paper."""
    input:
        tokenizer=rules.tokenizer_train.output.model,
        source=undated(source()),
        sums=sums(source()),
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
        # With `init` there are two models.
        mem_mb=room_for_model(3, beside=1000),
        runtime=30,
    params:
        code=code_digest("ernie_m.pretrain.initialise"),
        settings=settings("pretrain_initialise", "{variant}"),
        seed=seed("pretrain_initialise", "{variant}"),
    shell:
        command(
            "ernie_m.pretrain.initialise",
            "{wildcards.variant}",
            inputs="tokenizer source",
            outputs="model",
            seed=True,
        )


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
        mem_mb=room_for_model(7, beside=2000, processes=CONFIG.hardware.processes),
        runtime=2880,
    params:
        code=code_digest("ernie_m.pretrain.camlm"),
        settings=settings("pretrain_camlm", "{variant}"),
        seed=seed("pretrain_camlm", "{variant}"),
        train=listed("train"),
        valid=listed("valid"),
    shell:
        command(
            "ernie_m.pretrain.camlm",
            "{wildcards.variant}",
            inputs="init",
            lists="train valid",
            outputs="model curves metrics",
            seed=True,
        )


rule pretrain_backtranslate:
    """Parallel text is scarce and monolingual text is not. The model of stage 1 fills
    placeholders behind a monolingual sentence in another language, which makes pairs out of
    single sentences. Of all monolingual text stage 2 reads a part, which follows from its seed and
    settings, and only that is generated for. In chunks, so that a lost one costs one; what they
    hold does not depend on their number."""
    input:
        model=undated(lambda wildcards: checkpoint(wildcards.variant, "camlm")),
        train=undated(monolingual("train")),
        valid=undated(monolingual("valid")),
        sums=lambda wildcards: sums(
            [checkpoint(wildcards.variant, "camlm"), *monolingual("train")]
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
        mem_mb=room_for_model(2, beside=1500 + DRAWN_MB),
        runtime=720,
    params:
        code=code_digest("ernie_m.pretrain.backtranslate"),
        settings=settings("pretrain_backtranslate", "{variant}/{chunk}"),
        seed=seed("pretrain_backtranslate", "{variant}/{chunk}"),
        train=listed("train"),
        valid=listed("valid"),
    shell:
        command(
            "ernie_m.pretrain.backtranslate",
            "{wildcards.variant}/{wildcards.chunk}",
            inputs="model",
            lists="train valid",
            outputs="pseudo stats",
            seed=True,
        )


rule pretrain_btmlm:
    """Stage 2 of the paper. The model predicts masked words of a sentence with its own
    pseudo-translation in view, so that monolingual text teaches the relation between languages;
    stage 1's objectives go on beside it, or what they taught would fade. An arm without the
    objective trains on for as long, which is what makes the arms comparable."""
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
        mem_mb=room_for_model(7, beside=2000, processes=CONFIG.hardware.processes),
        runtime=2880,
    params:
        code=code_digest("ernie_m.pretrain.btmlm"),
        settings=settings("pretrain_btmlm", "{variant}"),
        seed=seed("pretrain_btmlm", "{variant}"),
        train=listed("train"),
        valid=listed("valid"),
        pseudo=listed("pseudo"),
    shell:
        command(
            "ernie_m.pretrain.btmlm",
            "{wildcards.variant}",
            inputs="init",
            lists="train valid pseudo",
            outputs="model curves metrics",
            seed=True,
        )
