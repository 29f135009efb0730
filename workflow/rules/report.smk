# What was found: the paper's claims judged, and the report.


rule claims_judge:
    """A reproduction ends with a judgement, and one seed cannot tell a point from none. The claims
    stand in a file before there are results; each is judged over the replicates, with an interval,
    the smallest effect that this design can see, and no verdict where there is one replicate.
    """
    input:
        scores=files("xtreme_score", "scores.json"),
        metrics=files("pretrain_camlm", "metrics.json")
        + files("pretrain_btmlm", "metrics.json"),
        stats=files("corpora_select", "stats.json")
        + files("tokenizer_train", "stats.json")
        + files("pretrain_backtranslate", "stats.json"),
        records=[
            file
            for stage in STAGES["claims_judge"].reads + STAGES["claims_judge"].may_read
            for file in files(stage, "record.json")
        ],
    output:
        claims="<results>/claims_judge/claims.json",
        sums="<results>/claims_judge/SHA256SUMS",
        record="<results>/claims_judge/record.json",
    log:
        "<logs>/claims_judge.log",
    benchmark:
        "<benchmarks>/claims_judge.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("claims_judge"),
    params:
        code=code("claims_judge"),
        settings=settings("claims_judge"),
        scores=listed("scores"),
        metrics=listed("metrics"),
        stats=listed("stats"),
        records=listed("records"),
    shell:
        command(
            "claims_judge",
            lists="scores metrics stats records",
            outputs="claims",
        )


rule report_build:
    """Everything above ends in one page that can be read without the machine it was made on:
    what was run, what came out beside its baselines, and where each number comes from.
    """
    input:
        scores=files("xtreme_score", "scores.json"),
        baselines=files("xtreme_baseline", "scores.json"),
        sweeps=files("xtreme_sweep", "layers.json"),
        curves=files("pretrain_camlm", "curves.jsonl")
        + files("pretrain_btmlm", "curves.jsonl"),
        metrics=files("pretrain_camlm", "metrics.json")
        + files("pretrain_btmlm", "metrics.json"),
        stats=[
            file
            for stage in stages_with("stats")
            for file in files(stage, "stats.json")
        ],
        manifests=files("tokenizer_pack", "manifest.json"),
        claims=files("claims_judge", "claims.json"),
        records=[file for stage in RECORDED for file in files(stage, "record.json")],
    output:
        report=report(
            "<results>/report_build/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        scores=report(
            "<results>/report_build/scores.csv",
            caption="../report/scores.rst",
            category="Scores",
        ),
        figures=[
            report(f"<results>/report_build/figures/{name}.svg", category="Figures")
            for name in plan.figures(CONFIG)
        ],
        losses=report(
            "<results>/report_build/losses.csv",
            caption="../report/losses.rst",
            category="Losses",
        ),
        metrics="<results>/report_build/metrics.json",
        lineage="<results>/report_build/lineage.jsonl",
        sums="<results>/report_build/SHA256SUMS",
        record="<results>/report_build/record.json",
    log:
        "<logs>/report_build.log",
    benchmark:
        "<benchmarks>/report_build.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("report_build"),
    params:
        code=code("report_build"),
        settings=settings("report_build"),
        stats=listed("stats"),
        manifests=listed("manifests"),
        records=listed("records"),
    shell:
        command(
            "report_build",
            inputs="scores baselines sweeps curves metrics claims",
            lists="stats manifests records",
            outputs="report figures scores losses metrics lineage",
        )
