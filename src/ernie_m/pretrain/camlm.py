"""Stage 1: learn to predict tokens of one language from another (CAMLM), together with MMLM.

Back-translation uses what this stage learns: a placeholder after a monolingual sentence is a masked
token that can be predicted from the other sentence only.
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
