"""Draw from one shard the lines that a vocabulary may be trained on.

Of each language as many as its quota over all shards: more can be in no sample, and fewer might
leave out one that is.
"""

from __future__ import annotations

import json
import logging

from ernie_m.config.tokenizer import SampleSettings
from ernie_m.job import Job, main
from ernie_m.tokenizer.bottom_k import draw, shard_lines, write_sample

logger = logging.getLogger(__name__)


def run(job: Job[SampleSettings]) -> None:
    """Write lines.parquet; instance ``{corpus}/{shard}``."""
    quotas = json.loads(job.input("quotas").read_text(encoding="utf-8"))["lines_sampled"]
    corpus, _ = job.instance.rsplit("/", 1)
    # A language of which no line was selected has no quota.
    counts = {language: quotas.get(language, 0) for language in corpus.split("-")[1:]}
    lines = draw(shard_lines(job.inputs("text")), counts, job.seed)
    write_sample(job.output("lines"), lines)
    logger.info("%s: %s", job.instance, {code: len(sampled) for code, sampled in lines.items()})


if __name__ == "__main__":
    main(run, SampleSettings)
