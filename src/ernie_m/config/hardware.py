"""Key `hardware`: threads, processes, precision and kernels of a training."""

from typing import Literal

from pydantic import Field

from ernie_m.config.base import Section


class HardwareSettings(Section):
    """How a training uses the machine. Examples and updates do not depend on it, but the order of
    floating-point sums does, so the last digits differ."""

    num_threads: int = Field(
        2,
        ge=1,
        le=128,
        description="CPU threads of each process. A setting and not a resource, because another "
        "number changes the order of sums, and so the last bits.",
    )
    processes: int = Field(
        1,
        ge=1,
        le=10_000,
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
        le=1_000_000_000,
        description="Most tokens of rows that pass through the model at once; larger batches "
        "accumulate gradients. 0 takes a process's whole share of the batch.",
    )
    recompute: bool = Field(
        False,
        description="Activation checkpointing: layers' activations are recomputed in the backward "
        "pass; a third more time, far less memory.",
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
