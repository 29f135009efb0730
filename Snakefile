# From raw text to a scored cross-lingual report. The steps are in workflow/rules, one file per
# phase; what they do is in src/ernie_m, one module per rule; every number is in config/.
#
#   snakemake --cores all                                       the laptop run
#   snakemake --cores all camlm                                 one milestone and what it needs
#   snakemake --cores all --configfile config/tiny.yaml         another size
#   snakemake -n                                                what would run, and why
from snakemake.utils import min_version

min_version("9.14")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpora.smk"
include: "workflow/rules/tokenizer.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/xtreme.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/checkpoints.smk"


report: "workflow/report/workflow.rst"


# All that is fetched, for a machine that reaches other machines to begin with.
rule downloads:
    input:
        [files(stage, "record.json") for stage in STAGES if stage.endswith("_download")],


# Milestones. They are also the stages of dvc.yaml.


rule corpora:
    input:
        files("corpora_select", "train.parquet"),


rule tokenizer:
    input:
        rules.tokenizer_train.output,
        files("tokenizer_pack", "manifest.json"),


rule camlm:
    input:
        files("pretrain_camlm", "model.safetensors"),


rule backtranslate:
    input:
        files("pretrain_backtranslate", "pseudo.safetensors"),


rule btmlm:
    input:
        files("pretrain_btmlm", "model.safetensors"),


rule xtreme:
    input:
        files("xtreme_score", "scores.json"),
        files("xtreme_baseline", "scores.json"),
        files("xtreme_sweep", "layers.json"),


rule report:
    input:
        rules.report_build.output,


rule export:
    input:
        expand(
            "<results>/checkpoints_export/{job}/{file}",
            job=plan.exports(CONFIG),
            file=["record.json", *sum(files_of_form("hf").values(), [])],
        ),


rule all:
    default_target: True
    input:
        rules.report.input,
        rules.export.input,


# One call at a time fills a run. Tracking watches; it decides nothing, and the results do not depend
# on it.


onstart:
    begin()
    start_tracking()


onsuccess:
    end("finished")


onerror:
    end("failed")
