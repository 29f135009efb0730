"""Write the report: one self-contained HTML file, a table of all scores, a summary.

Inputs by name, any of them possibly of many files:

``scores``     ``scores.json`` of ``xtreme_score``
``baselines``  ``scores.json`` of ``xtreme_baseline``
``sweeps``     ``layers.json`` of ``xtreme_sweep``
``curves``     ``curves.jsonl`` of ``pretrain_camlm`` and ``pretrain_btmlm``
``metrics``    ``metrics.json`` of the same stages
``stats``      ``stats.json`` of ``corpora_filter``, ``corpora_deal``, ``corpora_select``,
               ``tokenizer_train``, ``pretrain_backtranslate`` (others are
               accepted, but not shown)
``manifests``  ``manifest.json`` of ``tokenizer_pack``
``claims``     ``claims.json`` of ``claims_judge``
``records``    ``record.json`` of every job of the run

The records say what each file is, so only ``records`` is required; a section whose files are
missing says so. The same inputs give the same page, byte for byte.

Outputs: ``report`` (HTML), ``figures`` (SVG: the figures of the page, each readable on its own;
:func:`ernie_m.pipeline.plan.figures` names them), ``scores`` (CSV, one line a number), ``losses``
(CSV, one line a validation, main variant), ``metrics`` (JSON: the averages, for several seeds
their mean and standard deviation), ``lineage`` (all records, one a line: small enough for git, so
that a clone without data can trace a number).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ernie_m import marks
from ernie_m.config.report import ReportSettings
from ernie_m.job import Job, main
from ernie_m.report import comparison, figures, lineage, scores, svg, training
from ernie_m.report.evidence import Evidence, normal
from ernie_m.report.page import link, render
from ernie_m.report.sections import choices, claims, cost, text
from ernie_m.report.sections import run as run_section
from ernie_m.report.sections import scores as scores_section

logger = logging.getLogger(__name__)


def _evidence(job: Job[ReportSettings]) -> Evidence:
    files = [path for name, paths in job.input_paths.items() if name != "records" for path in paths]
    return Evidence.read(job.inputs("records"), files)


def _numbers(main: list[scores.Table], trained: list[training.Trained]) -> dict[str, Any]:
    """The averages of the main variant beside the best baseline, and the last validation losses."""
    found: dict[str, Any] = {}
    for table in main:
        averages = {row.stage: row.average.value for row in table.stages if row.average}
        averages |= {
            f"{row.stage}_deviation": row.average.spread
            for row in table.stages
            if row.average and row.average.spread is not None
        }
        if table.best_baseline and table.best_baseline.average:
            averages["best_baseline"] = table.best_baseline.average.value
        found[table.task] = averages
    found["valid_loss"] = {
        stage.name: {name: training.mean(own) for name, own in stage.metrics["valid"].items()}
        for stage in trained
    }
    return found


def _context(
    job: Job[ReportSettings], evidence: Evidence, tables: list[scores.Table], metrics: dict
) -> dict[str, Any]:
    trained = training.chain(evidence, scores.MAIN_VARIANT)
    main_tables = [table for table in tables if table.metric == metrics.get(table.task)]
    page = job.output_paths["report"][0]
    return {
        "settings": job.settings,
        "run": evidence.run,
        "summary": run_section.summary(evidence, trained),
        "circumstances": run_section.circumstances(evidence),
        "claims": claims.claims(evidence),
        "main_tables": main_tables,
        "steps": [
            (table, figures.steps(table))
            for table in main_tables
            if any(row.average for row in table.stages)
        ],
        "verdict": scores_section.verdict(main_tables, bool(evidence.start)),
        "steps_shown": scores_section.steps_shown(evidence, main_tables),
        "repeated": scores_section.repeated(evidence, main_tables),
        "replicate": evidence.seed if evidence.replicated else None,
        "taught_in": scores_section.taught_in(evidence),
        "layers": scores_section.layers(evidence),
        "categories": scores_section.by_category(tables, metrics),
        "groups": scores_section.groups(evidence, tables),
        "compared": lambda table: comparison.compared(evidence, table),
        "standin": any(table.standin for table in tables),
        "variants": scores_section.variants(evidence, main_tables),
        "losses": training.loss_figures(
            trained, [*run_section.languages(evidence), *run_section.pairs(evidence)]
        ),
        "trained": trained,
        "cleaning": text.cleaning(evidence),
        "division": text.division(evidence),
        "tokens": text.tokens_of_text(evidence),
        "cuts": text.cuts(evidence),
        "generated": text.generated(evidence),
        "costs": cost.costs(evidence),
        "pipeline": cost.pipeline(evidence, job.stage),
        "sources": choices.sources(evidence),
        "choices": choices.choices(evidence),
        "legend": marks.legend(),
        "records": len(evidence.records),
        "link": lambda path: link(path, page),
        "page": normal(page),
        "origin": lineage.origin,
        "made": evidence.paths,
        "lineage": lineage.embedded(lineage.data(evidence, job.stage, normal(page))),
    }


def drawings(context: dict[str, Any]) -> dict[str, svg.Drawing]:
    """The figures of the page by name, as :func:`ernie_m.pipeline.plan.figures` has them."""
    found = {f"steps-{table.task}": figure for table, figure in context["steps"]}
    found |= {f"layers-{own['task']}": own["figure"] for own in context["layers"]}
    found |= {f"loss-{own['name']}": own["over_tokens"] for own in context["losses"]}
    found |= {f"languages-{own['name']}": own["by_language"] for own in context["losses"]}
    found |= {name: context[name] for name in ("groups", "pipeline")}
    found["claims"] = context["claims"].get("figure")
    return {name: drawing for name, drawing in found.items() if drawing}


def write_figures(job: Job[ReportSettings], drawn: dict[str, svg.Drawing]) -> None:
    """Write each figure to a file; a figure without numbers in this run says so."""
    for path, target in zip(job.output_paths["figures"], job.outputs("figures"), strict=True):
        drawing = drawn.get(path.stem) or svg.blank(path.stem.replace("-", ": ", 1))
        target.write_text(drawing.file(), encoding="utf-8")


def write_records(evidence: Evidence, path: Path) -> None:
    """Write all records, unchanged, one a line."""
    lines = (json.dumps(record.data, ensure_ascii=False) + "\n" for record in evidence.records)
    path.write_text("".join(lines), encoding="utf-8")


def run(job: Job[ReportSettings]) -> None:
    """Write the page, the tables and the summary."""
    evidence = _evidence(job)
    rows = scores.read_scores(evidence)
    metrics = scores.main_metrics(evidence)
    tables = scores.tables(rows, metrics, run_section.languages(evidence), bool(evidence.start))
    context = _context(job, evidence, tables, metrics)
    job.output("report").write_text(render(context), encoding="utf-8")
    write_figures(job, drawings(context))
    scores.write_csv(rows, job.output("scores"))
    training.write_losses(training.chain(evidence, scores.MAIN_VARIANT), job.output("losses"))
    write_records(evidence, job.output("lineage"))
    job.write_json("metrics", _numbers(context["main_tables"], context["trained"]))
    logger.info("%d scores of %d jobs on the page", len(rows), len(evidence.records))


if __name__ == "__main__":
    main(run, ReportSettings)
