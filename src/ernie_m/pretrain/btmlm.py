"""Stage 2: train on monolingual text with its generated pseudo tokens (BTMLM).

Stage 1's objectives stay in the same batches, as in the paper's ablation.
"""

from ernie_m.callbacks import callbacks
from ernie_m.config.pretrain import StageJob
from ernie_m.job import Job, main
from ernie_m.training.stage import train_stage


def run(job: Job[StageJob]) -> None:
    """Train; see :func:`ernie_m.training.stage.train_stage`."""
    train_stage(job, callbacks(job))


if __name__ == "__main__":
    main(run, StageJob, own_step=True)
