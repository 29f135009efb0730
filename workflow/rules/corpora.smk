# Text: download -> extract -> filter -> [deal] -> dedup -> select; n-way parallel rows are dealt.


rule corpora_download:
    """Every number of the report rests on these bytes, so they are pinned by version and hash
    and taken from where they were published. What has another hash is refused and removed, and
    a download is shared by all runs, because the same bytes serve every configuration.
    """
    output:
        file=ensure("results/corpora_download/{dataset}/original", non_empty=True),
        sums="results/corpora_download/{dataset}/SHA256SUMS",
        record="results/corpora_download/{dataset}/record.json",
    log:
        "results/logs/corpora_download/{dataset}.log",
    benchmark:
        "results/benchmarks/corpora_download/{dataset}.tsv"
    retries: 2
    localrule: True  # compute nodes of a cluster often reach no other machine
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_download"),
    params:
        code=code("corpora_download"),
        settings=settings("corpora_download"),
    shell:
        command("corpora_download", outputs="file")


rule corpora_extract:
    """Each publisher has a format of its own; here it ends. From now on there are only rows with
    an id that is the same in every language for the same meaning, and a group that must not be
    torn apart by a split. What is left out is counted, and malformed lines lie beside the rows.
    """
    input:
        file=undated(rules.corpora_download.output.file),
        sums=rules.corpora_download.output.sums,
    output:
        rows="<results>/corpora_extract/{dataset}/{language}/rows.parquet",
        stats="<results>/corpora_extract/{dataset}/{language}/stats.json",
        bad_lines="<results>/corpora_extract/{dataset}/{language}/bad_lines.jsonl",
        sums="<results>/corpora_extract/{dataset}/{language}/SHA256SUMS",
        record="<results>/corpora_extract/{dataset}/{language}/record.json",
    log:
        "<logs>/corpora_extract/{dataset}/{language}.log",
    benchmark:
        "<benchmarks>/corpora_extract/{dataset}/{language}.tsv"
    group:
        group("corpora_extract")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_extract"),
    params:
        code=code("corpora_extract"),
        settings=settings("corpora_extract"),
    shell:
        command(
            "corpora_extract",
            inputs="file",
            outputs="rows stats bad_lines",
        )


rule corpora_filter:
    """What is not a sentence of its language teaches the model noise, and an evaluation on it
    measures noise. What is dropped is counted by reason, so that a filter that eats a language is
    seen before anything is trained on the rest. Rows that pass leave fingerprints, because whether a
    row is a repetition cannot be seen from its shard alone."""
    input:
        corpus=undated(lambda wildcards: extracts(wildcards.corpus)),
        sums=sums(lambda wildcards: extracts(wildcards.corpus)),
    output:
        rows="<results>/corpora_filter/{corpus}/{shard}/rows.arrow",
        lines="<results>/corpora_filter/{corpus}/{shard}/lines.arrow",
        documents="<results>/corpora_filter/{corpus}/{shard}/documents.arrow",
        stats="<results>/corpora_filter/{corpus}/{shard}/stats.json",
        sums="<results>/corpora_filter/{corpus}/{shard}/SHA256SUMS",
        record="<results>/corpora_filter/{corpus}/{shard}/record.json",
    log:
        "<logs>/corpora_filter/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/corpora_filter/{corpus}/{shard}.tsv"
    group:
        group("corpora_filter")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_filter"),
    params:
        code=code("corpora_filter"),
        settings=settings("corpora_filter"),
    shell:
        command(
            "corpora_filter",
            inputs="corpus",
            outputs="rows lines documents stats",
        )


rule corpora_deal:
    """Nothing held out may be seen in training in any language, so n-way parallel rows are divided
    once, by whole groups, for all languages together; training rows that repeat held-out ones are
    dropped, and the parallel and the monolingual part share no meaning, or back-translation would
    be tested on what it was taught."""
    input:
        rows=undated(N_WAY_ROWS),
        sums=sums(N_WAY_ROWS),
    output:
        kept=expand("<results>/corpora_deal/{corpus}-rows.arrow", corpus=DEALT_CORPORA),
        lines=expand(
            "<results>/corpora_deal/{corpus}-lines.arrow", corpus=DEALT_CORPORA
        ),
        rows=DEALT_ROWS,
        stats="<results>/corpora_deal/stats.json",
        sums="<results>/corpora_deal/SHA256SUMS",
        record="<results>/corpora_deal/record.json",
    log:
        "<logs>/corpora_deal.log",
    benchmark:
        "<benchmarks>/corpora_deal.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_deal"),
    params:
        code=code("corpora_deal"),
        settings=settings("corpora_deal"),
        seed=seed("corpora_deal"),
    shell:
        command(
            "corpora_deal",
            inputs="rows",
            outputs="kept lines rows stats",
        )


rule corpora_eval_hashes:
    """A score on text that was seen in training says nothing. What the evaluation tasks hold is
    gathered once, as hashes, so that every shard can be cleaned of it without reading the tasks;
    of held-out n-way text all is, so that another choice among it trains nothing anew.
    """
    input:
        examples=[
            file
            for task in plan.compared_tasks(CONFIG)
            for file in examples(task, "dev", "test")
        ],
        rows=[file for file in DEALT_ROWS if "rows-train" not in file],
    output:
        hashes="<results>/corpora_eval_hashes/hashes.arrow",
        sums="<results>/corpora_eval_hashes/SHA256SUMS",
        record="<results>/corpora_eval_hashes/record.json",
    log:
        "<logs>/corpora_eval_hashes.log",
    benchmark:
        "<benchmarks>/corpora_eval_hashes.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_eval_hashes"),
    params:
        code=code("corpora_eval_hashes"),
        settings=settings("corpora_eval_hashes"),
    shell:
        command(
            "corpora_eval_hashes",
            inputs="examples rows",
            outputs="hashes",
        )


rule corpora_dedup:
    """Web text repeats itself, within a crawl and across shards: notices, templates, copied pages.
    A model that reads them a thousand times learns them by heart. Fingerprints of all shards are
    compared here, a part of their range at a time, so that the memory does not grow."""
    input:
        rows=undated(kept("rows.arrow")),
        lines=undated(kept("lines.arrow")),
        documents=undated(kept("documents.arrow")),
        sums=sums(kept("rows.arrow")),
    output:
        exact="<results>/corpora_dedup/{corpus}/rows.arrow",
        near="<results>/corpora_dedup/{corpus}/documents.arrow",
        sums="<results>/corpora_dedup/{corpus}/SHA256SUMS",
        record="<results>/corpora_dedup/{corpus}/record.json",
    log:
        "<logs>/corpora_dedup/{corpus}.log",
    benchmark:
        "<benchmarks>/corpora_dedup/{corpus}.tsv"
    group:
        group("corpora_dedup")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_dedup"),
    params:
        code=code("corpora_dedup"),
        settings=settings("corpora_dedup"),
        rows=listed("rows"),
        lines=listed("lines"),
        documents=listed("documents"),
    shell:
        command(
            "corpora_dedup",
            lists="rows lines documents",
            outputs="exact near",
        )


rule corpora_select:
    """The remaining rows of a shard become training text, except what the evaluation tasks hold and
    whole documents that are drawn by the hash of their name for the validation losses: a paragraph
    of a document that was trained on would be no test."""
    input:
        kept=undated(lambda wildcards: kept_rows(wildcards.corpus, wildcards.shard)),
        exact=undated(rules.corpora_dedup.output.exact),
        near=undated(rules.corpora_dedup.output.near),
        sums=lambda wildcards: sums(kept_rows(wildcards.corpus, wildcards.shard))
        + [f"<results>/corpora_dedup/{wildcards.corpus}/SHA256SUMS"],
        eval_hashes=files("corpora_eval_hashes", "hashes.arrow"),
    output:
        train="<results>/corpora_select/{corpus}/{shard}/train.parquet",
        valid="<results>/corpora_select/{corpus}/{shard}/valid.parquet",
        stats="<results>/corpora_select/{corpus}/{shard}/stats.json",
        sums="<results>/corpora_select/{corpus}/{shard}/SHA256SUMS",
        record="<results>/corpora_select/{corpus}/{shard}/record.json",
    log:
        "<logs>/corpora_select/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/corpora_select/{corpus}/{shard}.tsv"
    group:
        group("corpora_select")
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("corpora_select"),
    params:
        code=code("corpora_select"),
        settings=settings("corpora_select"),
        seed=seed("corpora_select"),
    shell:
        command(
            "corpora_select",
            inputs="kept exact near eval_hashes",
            outputs="train valid stats",
        )
