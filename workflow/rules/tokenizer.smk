# Pieces: quotas -> sample -> train SentencePiece -> pack.


rule tokenizer_quotas:
    """How many lines a language gives to the vocabulary depends on how many all have, which no
    shard knows. Counting them is one small job, so that the many that draw read its result and not
    the statistics of every shard."""
    input:
        stats=files("corpora_select", "stats.json"),
    output:
        quotas="<results>/tokenizer_quotas/quotas.json",
        sums="<results>/tokenizer_quotas/SHA256SUMS",
        record="<results>/tokenizer_quotas/record.json",
    log:
        "<logs>/tokenizer_quotas.log",
    benchmark:
        "<benchmarks>/tokenizer_quotas.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("tokenizer_quotas"),
    params:
        code=code("tokenizer_quotas"),
        settings=settings("tokenizer_quotas"),
        stats=listed("stats"),
    shell:
        command("tokenizer_quotas", lists="stats", outputs="quotas")


rule tokenizer_sample:
    """A vocabulary is trained on a few lines in a thousand, but to find them all have to be read.
    That is shared out: each shard leaves the lines that can be among those drawn of all text, which
    are so few that one job can choose between them."""
    input:
        text=undated("<results>/corpora_select/{corpus}/{shard}/train.parquet"),
        sums="<results>/corpora_select/{corpus}/{shard}/SHA256SUMS",
        quotas=rules.tokenizer_quotas.output.quotas,
    output:
        lines="<results>/tokenizer_sample/{corpus}/{shard}/lines.parquet",
        sums="<results>/tokenizer_sample/{corpus}/{shard}/SHA256SUMS",
        record="<results>/tokenizer_sample/{corpus}/{shard}/record.json",
    log:
        "<logs>/tokenizer_sample/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/tokenizer_sample/{corpus}/{shard}.tsv"
    group:
        group("tokenizer_sample")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        # 2 kB a line.
        **needs("tokenizer_sample"),
    params:
        code=code("tokenizer_sample"),
        settings=settings("tokenizer_sample"),
        seed=seed("tokenizer_sample"),
    shell:
        command(
            "tokenizer_sample",
            inputs="text quotas",
            outputs="lines",
        )


rule tokenizer_train:
    """One vocabulary for all languages is what lets them meet. It is drawn from text sampled by
    temperature, because at natural shares the small languages would be spelt in single letters,
    and from training text only."""
    input:
        samples=undated(files("tokenizer_sample", "lines.parquet")),
        quotas=files("tokenizer_quotas", "quotas.json"),
        shards=undated(vocabulary_shards()),
        source=undated(source()),
        sums=sums(
            files("tokenizer_sample", "lines.parquet") + vocabulary_shards() + source()
        ),
        ready=ready_vocabulary(),
    output:
        model="<results>/tokenizer_train/spm.model",
        stats="<results>/tokenizer_train/stats.json",
        sums="<results>/tokenizer_train/SHA256SUMS",
        record="<results>/tokenizer_train/record.json",
    log:
        "<logs>/tokenizer_train.log",
    benchmark:
        "<benchmarks>/tokenizer_train.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: CONFIG.tokenizer.train.num_threads
    resources:
        # 5 kB a line of 230 bytes: SentencePiece takes 20 times the text.
        **needs("tokenizer_train"),
        cpus_per_task=CONFIG.tokenizer.train.num_threads,
    params:
        code=code("tokenizer_train"),
        settings=settings("tokenizer_train"),
        seed=seed("tokenizer_train"),
        samples=listed("samples"),
        shards=listed("shards"),
    shell:
        command(
            "tokenizer_train",
            inputs="quotas source ready",
            lists="samples shards",
            outputs="model stats",
        )


rule tokenizer_pack:
    """Text is cut into pieces once and read many times, by every variant and every epoch, so it is kept
    as numbers in files that can be read at any place without reading the rest. Documents are joined
    to sequences of the model's length, because the paper's batches are full rows of 512 tokens
    (memory) and a model that only sees single paragraphs learns nothing of what connects them.
    """
    input:
        tokenizer=undated(rules.tokenizer_train.output.model),
        train=undated("<results>/corpora_select/{corpus}/{shard}/train.parquet"),
        valid=undated("<results>/corpora_select/{corpus}/{shard}/valid.parquet"),
        sums=[
            rules.tokenizer_train.output.sums,
            "<results>/corpora_select/{corpus}/{shard}/SHA256SUMS",
        ],
    output:
        train="<results>/tokenizer_pack/{corpus}/{shard}/train.safetensors",
        valid="<results>/tokenizer_pack/{corpus}/{shard}/valid.safetensors",
        manifest="<results>/tokenizer_pack/{corpus}/{shard}/manifest.json",
        sums="<results>/tokenizer_pack/{corpus}/{shard}/SHA256SUMS",
        record="<results>/tokenizer_pack/{corpus}/{shard}/record.json",
    log:
        "<logs>/tokenizer_pack/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/tokenizer_pack/{corpus}/{shard}.tsv"
    group:
        group("tokenizer_pack")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("tokenizer_pack"),
    params:
        code=code("tokenizer_pack"),
        settings=settings("tokenizer_pack"),
    shell:
        command(
            "tokenizer_pack",
            inputs="tokenizer train valid",
            outputs="train valid manifest",
        )
