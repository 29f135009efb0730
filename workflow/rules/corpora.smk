# Text: download -> extract -> clean -> split.


rule corpora_download:
    """Every number of the report rests on these bytes, so they are pinned by version and hash
    and taken from where they were published. What has another hash is refused and removed, and
    a download is shared by all runs, because the same bytes serve every configuration.
    """
    output:
        file=ensure(
            "results/corpora_download/{dataset}/original",
            sha256=lambda wildcards: DATASETS[wildcards.dataset].sha256,
        ),
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
        runtime=60,
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
        runtime=30,
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
