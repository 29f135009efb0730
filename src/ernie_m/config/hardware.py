"""Key `hardware`: how the arithmetic of a training is carried out."""

from typing import Literal

from pydantic import Field

from ernie_m.config.base import Section


class HardwareSettings(Section):
    """How trainings use the machine: the same examples and updates whatever stands here, but sums
    in another order, so that the last digits differ."""

    num_threads: int = Field(
        2,
        ge=1,
        le=128,
        description="CPU threads of each process. A setting and not a resource, because another "
        "number adds in another order and changes the last bits.",
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share each batch, one a GPU where there are GPUs. More than "
        "one starts `torchrun` on this machine; for several machines see docs/engine.md.",
    )
    sharding: Literal["none", "full"] = Field(
        "none",
        description="What several processes divide: none keeps the whole model in each (DDP); full "
        "also divides weights, gradients and optimiser state (FSDP2), for models that do not fit.",
    )
    forward_tokens: int = Field(
        0,
        ge=0,
        description="Most tokens of rows that pass through the model at once; larger batches "
        "accumulate gradients. 0 takes a process's whole share of the batch.",
    )
    recompute: bool = Field(
        False,
        description="Keep no activations inside layers and compute them again on the way back: a "
        "third more time, far less memory.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Type of matrix products; weights stay float32. auto takes bfloat16 on a GPU "
        "that has it natively, else float32 (on CPUs bfloat16 was measured far slower).",
    )
    attention: Literal["sdpa", "flex"] = Field(
        "sdpa",
        description="Kernel of attention: sdpa with a mask of every pair of tokens, or "
        "FlexAttention with block-sparse masks, on GPUs, for long rows; it has no dropout.",
    )
    compile: bool = Field(
        False,
        description="Compile the layers by `torch.compile`: for GPUs; on a CPU it was measured to "
        "gain nothing.",
    )
