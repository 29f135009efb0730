"""Key `hardware`: threads, processes, precision and kernels of a training."""

from typing import ClassVar, Literal

from pydantic import Field

from ernie_m.config.base import Section


class HardwareSettings(Section):
    """How a training uses the machine. Examples and updates do not depend on it, but the order of
    floating-point sums does, so the last digits differ."""

    moved: ClassVar[dict[str, str]] = {"processes": "now `processes_per_node`, beside `nodes`"}

    num_threads: int = Field(
        2,
        ge=1,
        le=128,
        description="CPU threads of each process. A setting and not a resource, because another "
        "number changes the order of sums, and so the last bits.",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=1_000,
        description="Machines that share each batch. More than one needs a scheduler that starts "
        "processes on them: `--profile profiles/slurm`.",
    )
    processes_per_node: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes on each of them, one a GPU where there are GPUs.",
    )
    require_gpu: bool = Field(
        False,
        description="Stages that compute with a model ask the scheduler for a GPU, a training for "
        "one a process, and fail where there is none. Off, a GPU is used where one is found.",
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
        "FlexAttention with block-sparse masks, on GPUs, for long rows, with `compile`, without "
        "which torch makes every pair too; it has no dropout.",
    )
    head: Literal["chunked", "fused"] = Field(
        "chunked",
        description="Scores of all pieces, in the type of `precision`, and their loss: chunked "
        "some hundred tokens at a time, with the loss in float32; fused by torch's "
        "`linear_cross_entropy`.",
    )
    compile: bool = Field(
        False,
        description="Compile the layers by `torch.compile`: for GPUs; on a CPU it was measured to "
        "gain nothing.",
    )

    @property
    def processes(self) -> int:
        """Processes that share each batch, on all nodes."""
        return self.nodes * self.processes_per_node
