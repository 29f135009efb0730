"""Sample the lines of one shard from which the vocabulary's training lines are drawn.

Each shard samples the whole quota of each language: with bottom-k sampling, more is never needed,
and fewer might miss a line of the overall sample.
"""

from __future__ import annotations

import json
import logging

from ernie_m.config.tokenizer import SampleSettings
from ernie_m.corpus import Corpus
from ernie_m.job import Job, main
from ernie_m.tokenizer.bottom_k import draw, shard_lines, write_sample

logger = logging.getLogger(__name__)


def run(job: Job[SampleSettings]) -> None:
    """Write lines.parquet; instance ``{corpus}/{shard}``."""
    quotas = json.loads(job.input("quotas").read_text(encoding="utf-8"))["lines_sampled"]
    corpus = Corpus.parse(job.instance.partition("/")[0])
    # A language without any selected line has no quota.
    counts = {language: quotas.get(language, 0) for language in corpus.languages}
    lines = draw(shard_lines(job.inputs("text")), counts, job.seed)
    write_sample(job.output("lines"), lines)
    logger.info("%s: %s", job.instance, {code: len(sampled) for code, sampled in lines.items()})


if __name__ == "__main__":
    main(run, SampleSettings)
