"""Stage 2: learn from monolingual text beside its generated pseudo tokens (BTMLM).

Stage 1's objectives go on in the same batches, as in the paper's ablation.
"""

from ernie_m.config.pretrain import StageJob
from ernie_m.job import main
from ernie_m.training.stage import train_stage

if __name__ == "__main__":
    main(train_stage, StageJob)
