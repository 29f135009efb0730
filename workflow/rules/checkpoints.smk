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
                    f"results/checkpoints_download/{{checkpoint}}/{name}",
                    non_empty=True,
                )
                for name in CONFIG.checkpoint.names
            ],
            sums="results/checkpoints_download/{checkpoint}/SHA256SUMS",
            record="results/checkpoints_download/{checkpoint}/record.json",
        log:
            "results/logs/checkpoints_download/{checkpoint}.log",
        benchmark:
            "results/benchmarks/checkpoints_download/{checkpoint}.tsv"
        wildcard_constraints:
            checkpoint=re.escape(CONFIG.checkpoint.id),
        priority: 1
        retries: 2
        conda:
            "../../envs/ernie-m.yaml"
        threads: 1
        resources:
            mem_mb=500,
            runtime=720,
        params:
            code=code_digest("ernie_m.checkpoints.download"),
            settings=settings("checkpoints_download", "{checkpoint}"),
        shell:
            command(
                "ernie_m.checkpoints.download",
                "{wildcards.checkpoint}",
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
        records=[file for stage in JOBS for file in files(stage, "record.json")],
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
        mem_mb=room_for_model(2, beside=2000),
        # The card tells whether all files behind the model are as recorded: terabytes take hours.
        runtime=1440,
    params:
        code=code_digest("ernie_m.checkpoints.export"),
        settings=settings("checkpoints_export", EXPORT),
        records=listed("records"),
    shell:
        command(
            "ernie_m.checkpoints.export",
            EXPORT.format(variant="{wildcards.variant}"),
            inputs="model tokenizer scores baselines",
            lists="records",
            outputs="model card files",
        )
