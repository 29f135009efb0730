"""Stage 1: learn to restore words of one language from another (CAMLM), with MMLM beside it.

What this stage learns is what back-translation uses: a masked token that can only be restored from
the other sentence is the situation of a placeholder behind a monolingual sentence.
"""

from ernie_m.callbacks import callbacks
from ernie_m.config.pretrain import StageJob
from ernie_m.job import Job, main
from ernie_m.training.stage import train_stage


def run(job: Job[StageJob]) -> None:
    """Train; see :func:`ernie_m.training.stage.train_stage`."""
    train_stage(job, callbacks(job))


if __name__ == "__main__":
    main(run, StageJob)
