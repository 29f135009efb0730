# From others: the weights that a run starts from. For others: the trained encoder in the forms that
# they load.

if CONFIG.checkpoint:

    rule checkpoints_download:
        """ERNIE-M starts from XLM-R, and a score stands for a model only if it is of that model's
        own bytes: they are pinned by revision and digest, shared by all runs, and what was fetched
        of them by a job that was killed is kept. A checkpoint in a folder needs no download.
        """
        output:
            files=[
                ensure(
                    f"results/checkpoints_download/{{weights}}/{name}",
                    non_empty=True,
                )
                for name in CONFIG.checkpoint.names
            ],
            sums="results/checkpoints_download/{weights}/SHA256SUMS",
            record="results/checkpoints_download/{weights}/record.json",
        log:
            "results/logs/checkpoints_download/{weights}.log",
        benchmark:
            "results/benchmarks/checkpoints_download/{weights}.tsv"
        wildcard_constraints:
            weights=re.escape(CONFIG.checkpoint.id),
        priority: 1
        retries: 2
        localrule: True  # compute nodes of a cluster often reach no other machine
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            **needs("checkpoints_download"),
        params:
            code=code("checkpoints_download"),
            settings=settings("checkpoints_download"),
        shell:
            command(
                "checkpoints_download",
                outputs="files",
            )


rule checkpoints_export:
    """A checkpoint that only this code reads is of use to nobody else. The last encoder is written
    as a folder for transformers, beside a card that tells what it is from the records: a rule, so
    that it is remade when the model is, kept by DVC, audited, and entered in MLflow's registry.
    """
    input:
        model=undated(lambda wildcards: checkpoint(wildcards.variant, LAST)),
        sums=sums(lambda wildcards: checkpoint(wildcards.variant, LAST)),
        tokenizer=rules.tokenizer_train.output.model,
        scores=files("xtreme_score", "scores.json"),
        baselines=files("xtreme_baseline", "scores.json"),
        claims=files("claims_judge", "claims.json"),
        records=[file for stage in RECORDED for file in files(stage, "record.json")],
    output:
        **{
            name: [f"<results>/checkpoints_export/{EXPORT}/{file}" for file in names]
            for name, names in files_of_form("hf").items()
        },
        sums=f"<results>/checkpoints_export/{EXPORT}/SHA256SUMS",
        record=f"<results>/checkpoints_export/{EXPORT}/record.json",
    log:
        f"<logs>/checkpoints_export/{EXPORT}.log",
    benchmark:
        f"<benchmarks>/checkpoints_export/{EXPORT}.tsv"
    conda:
        "../../envs/ernie-m.yaml"
    threads: 1
    resources:
        **needs("checkpoints_export"),
    params:
        code=code("checkpoints_export"),
        settings=settings("checkpoints_export", EXPORT),
        records=listed("records"),
    shell:
        command(
            "checkpoints_export",
            instance=EXPORT,
            inputs="model tokenizer scores baselines claims",
            lists="records",
            outputs="model card files",
        )
