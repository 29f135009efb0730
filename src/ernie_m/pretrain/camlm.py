"""Stage 1: learn to restore words of one language from another (CAMLM), with MMLM beside it.

What this stage learns is what back-translation uses: a masked token that can only be restored from
the other sentence is the situation of a placeholder behind a monolingual sentence.
"""

from ernie_m.config.pretrain import StageJob
from ernie_m.job import main
from ernie_m.training.stage import train_stage

if __name__ == "__main__":
    main(train_stage, StageJob)
