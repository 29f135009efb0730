# Text: download -> extract -> clean -> split, for n-way parallel rows that fit into memory;
# download -> extract -> filter -> match -> select, for documents and pairs, in shards.


rule corpora_download:
    """Every number of the report rests on these bytes, so they are pinned by version and hash
    and taken from where they were published. What has another hash is refused and removed, and
    a download is shared by all runs, because the same bytes serve every configuration.
    """
    output:
        file=ensure("results/corpora_download/{dataset}/original", non_empty=True),
        record="results/corpora_download/{dataset}/record.json",
    log:
        "results/logs/corpora_download/{dataset}.log",
    benchmark:
        "results/benchmarks/corpora_download/{dataset}.tsv"
    retries: 2
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=500,
        # CC-100 in English has 80 GB, and unpacks to 300: hours.
        runtime=1440,
    params:
        code=code_digest("ernie_m.corpora.download"),
        settings=settings("corpora_download", "{dataset}"),
    shell:
        command("ernie_m.corpora.download", "{wildcards.dataset}", outputs="file")


rule corpora_extract:
    """Each publisher has a format of its own; here it ends. From now on there are only rows with
    an id that is the same in every language for the same meaning, and a group that must not be
    torn apart by a split."""
    input:
        file=rules.corpora_download.output.file,
    output:
        rows="<results>/corpora_extract/{dataset}/{language}/rows.parquet",
        record="<results>/corpora_extract/{dataset}/{language}/record.json",
    log:
        "<logs>/corpora_extract/{dataset}/{language}.log",
    benchmark:
        "<benchmarks>/corpora_extract/{dataset}/{language}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        code=code_digest("ernie_m.corpora.extract"),
        settings=settings("corpora_extract", "{dataset}/{language}"),
    shell:
        command(
            "ernie_m.corpora.extract",
            "{wildcards.dataset}/{wildcards.language}",
            inputs="file",
            outputs="rows",
        )


rule corpora_clean:
    """What is not a sentence of its language teaches the model noise, and an evaluation on it
    measures noise. What is dropped is counted by reason, so that a filter that eats a language
    is seen before anything is trained on the rest."""
    input:
        rows=lambda wildcards: extracts(wildcards.language),
    output:
        rows="<results>/corpora_clean/{language}/rows.parquet",
        stats="<results>/corpora_clean/{language}/stats.json",
        record="<results>/corpora_clean/{language}/record.json",
    log:
        "<logs>/corpora_clean/{language}.log",
    benchmark:
        "<benchmarks>/corpora_clean/{language}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code_digest("ernie_m.corpora.clean"),
        settings=settings("corpora_clean", "{language}"),
    shell:
        command(
            "ernie_m.corpora.clean",
            "{wildcards.language}",
            inputs="rows",
            outputs="rows stats",
        )


rule corpora_split:
    """Nothing held out may be seen in training in any language, so the division is made once,
    by whole groups, for all languages together, before anything else reads the text; training
    rows that repeat held-out ones are dropped, and the parallel and the monolingual part share
    no meaning, or back-translation would be tested on what it was taught."""
    input:
        rows=files("corpora_clean", "rows.parquet"),
    output:
        mono=expand(
            "<results>/corpora_split/mono-{language}-{part}.parquet",
            language=LANGUAGES,
            part=["train", "valid"],
        ),
        parallel=expand(
            "<results>/corpora_split/parallel-{pair}-{part}.parquet",
            pair=PAIRS,
            part=["train", "valid"],
        ),
        rows=expand(
            "<results>/corpora_split/rows-{part}-{language}.parquet",
            part=["train", "valid", "test"],
            language=LANGUAGES,
        ),
        stats="<results>/corpora_split/stats.json",
        record="<results>/corpora_split/record.json",
    log:
        "<logs>/corpora_split.log",
    benchmark:
        "<benchmarks>/corpora_split.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        code=code_digest("ernie_m.corpora.split"),
        settings=settings("corpora_split"),
        seed=seed("corpora_split"),
    shell:
        command(
            "ernie_m.corpora.split",
            inputs="rows",
            outputs="mono parallel rows stats",
            seed=True,
        )


rule corpora_held_out:
    """A score on text that was seen in training says nothing. What the evaluation tasks hold is
    gathered once, as hashes, so that every shard can be cleaned of it without reading the tasks.
    """
    input:
        examples=[
            file
            for task in CONFIG.xtreme.tasks
            for file in examples(task, "dev", "test")
        ],
    output:
        hashes="<results>/corpora_held_out/hashes.arrow",
        record="<results>/corpora_held_out/record.json",
    log:
        "<logs>/corpora_held_out.log",
    benchmark:
        "<benchmarks>/corpora_held_out.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_digest("ernie_m.corpora.held_out"),
        settings=settings("corpora_held_out"),
    shell:
        command(
            "ernie_m.corpora.held_out",
            inputs="examples",
            outputs="hashes",
        )


rule corpora_filter:
    """The filters of clean and of pairs, on text that no memory holds: row by row, a shard a job.
    What stays leaves fingerprints, because whether a row is a repetition cannot be seen from its
    shard alone."""
    input:
        corpus=lambda wildcards: stream_extracts(wildcards.corpus),
        held_out=files("corpora_held_out", "hashes.arrow"),
    output:
        rows="<results>/corpora_filter/{corpus}/{shard}/rows.arrow",
        lines="<results>/corpora_filter/{corpus}/{shard}/lines.arrow",
        documents="<results>/corpora_filter/{corpus}/{shard}/documents.arrow",
        stats="<results>/corpora_filter/{corpus}/{shard}/stats.json",
        record="<results>/corpora_filter/{corpus}/{shard}/record.json",
    log:
        "<logs>/corpora_filter/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/corpora_filter/{corpus}/{shard}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=1440,
    params:
        code=code_digest("ernie_m.corpora.filter"),
        settings=settings("corpora_filter", "{corpus}/{shard}"),
    shell:
        command(
            "ernie_m.corpora.filter",
            "{wildcards.corpus}/{wildcards.shard}",
            inputs="corpus held_out",
            outputs="rows lines documents stats",
        )


rule corpora_match:
    """Web text repeats itself, within a crawl and across shards: notices, templates, copied pages.
    A model that reads them a thousand times learns them by heart. Fingerprints of all shards are
    compared here, a part of their range at a time, so that the memory does not grow."""
    input:
        rows=shard_files("corpora_filter", "rows.arrow"),
        lines=shard_files("corpora_filter", "lines.arrow"),
        documents=shard_files("corpora_filter", "documents.arrow"),
    output:
        repeated="<results>/corpora_match/{corpus}/rows.arrow",
        alike="<results>/corpora_match/{corpus}/documents.arrow",
        record="<results>/corpora_match/{corpus}/record.json",
    log:
        "<logs>/corpora_match/{corpus}.log",
    benchmark:
        "<benchmarks>/corpora_match/{corpus}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=2880,
    params:
        code=code_digest("ernie_m.corpora.match"),
        settings=settings("corpora_match", "{corpus}"),
        rows=listed("rows"),
        lines=listed("lines"),
        documents=listed("documents"),
    shell:
        command(
            "ernie_m.corpora.match",
            "{wildcards.corpus}",
            lists="rows lines documents",
            outputs="repeated alike",
        )


rule corpora_select:
    """What stays of a shard becomes training text, but for whole documents that are drawn by the
    hash of their name for the validation losses: a paragraph of a document that was trained on
    would be no test."""
    input:
        kept="<results>/corpora_filter/{corpus}/{shard}/rows.arrow",
        repeated=rules.corpora_match.output.repeated,
        alike=rules.corpora_match.output.alike,
    output:
        train="<results>/corpora_select/{corpus}/{shard}/train.parquet",
        valid="<results>/corpora_select/{corpus}/{shard}/valid.parquet",
        stats="<results>/corpora_select/{corpus}/{shard}/stats.json",
        record="<results>/corpora_select/{corpus}/{shard}/record.json",
    log:
        "<logs>/corpora_select/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/corpora_select/{corpus}/{shard}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=240,
    params:
        code=code_digest("ernie_m.corpora.select"),
        settings=settings("corpora_select", "{corpus}/{shard}"),
        seed=seed("corpora_select", "{corpus}/{shard}"),
    shell:
        command(
            "ernie_m.corpora.select",
            "{wildcards.corpus}/{wildcards.shard}",
            inputs="kept repeated alike",
            outputs="train valid stats",
            seed=True,
        )
