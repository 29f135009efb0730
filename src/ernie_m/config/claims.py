"""Configuration key ``claims``: what the paper claims, and how surely it is judged."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import Section
from ernie_m.config.pretrain import Shares
from ernie_m.config.registry import Row, load_rows
from ernie_m.config.xtreme import Stage
from ernie_m.marks import MARK, MARKS

# Validation loss by objective: `mmlm_loss`.
LOSSES = {f"{name}_loss": name for name in Shares.model_fields}
COST = "cost"
Kind = Literal["difference", "slope", "ratio", "trend"]


def _known(score: str) -> str:
    names = [*TASKS, *LOSSES, COST]
    if score not in names:
        near = get_close_matches(score, names, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"there is no score `{score}`{hint}")
    return score


Score = Annotated[str, AfterValidator(_known)]
_NAME = "^[a-z][a-z0-9_]*"
Trained = Annotated[str, StringConstraints(pattern=rf"{_NAME}/(camlm|btmlm)$")]
Side = Annotated[str, StringConstraints(pattern=rf"{_NAME}/({'|'.join(get_args(Stage))})$")]


class ClaimRow(Row):
    """One claim: a comparison of two sides, in one or more scores, with what would count."""

    id: str = Field(pattern=f"{_NAME}$", description="Name, as `ernie-m claims` has it.")
    claim: str = Field(min_length=1, description="The claim in own words.")
    source: str = Field(description="Where the paper makes it, with a mark: `(paper: Table 6)`.")
    kind: Kind = Field(
        "difference",
        description="What is measured. `difference`: the score of `arm` less that of `against`, "
        "mean over languages. `slope`: how that difference, by language, changes with ten times "
        "the sentence pairs. `ratio`: FLOPs of training of `arm` over those of `against`, "
        "generation included. `trend`: how the perplexity of `arm` changes with 0.05 more pseudo "
        "tokens per token, over the variants that differ from it in nothing else.",
    )
    arm: Trained = Field(description="The side of which it is claimed: a variant and a stage.")
    against: Side | None = Field(None, description="What it is compared with; none for a `trend`.")
    scores: tuple[Score, ...] = Field(
        min_length=1,
        description="In what it is measured, each by itself where a run has it: tasks in points of "
        "their main metric; `mmlm_loss` and the like, validation losses in nats, counted as "
        "gains; `cost` of a `ratio`.",
    )
    direction: Literal["higher", "lower"] = Field(
        "higher", description="The side of `beyond` on which the effect is claimed to be."
    )
    beyond: float = Field(
        0.0, description="The smallest effect that counts: what the interval has to lie beyond."
    )
    paper: dict[Score, float] = Field(
        {}, description="The paper's own effect by score, where it can be set beside a run's."
    )
    note: str = Field("", description="What has to be known besides.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not MARK.search(self.source):
            raise ValueError(f"`source` has none of the marks {', '.join(MARKS)}, as `(memory)`")
        if others := sorted(self.paper.keys() - set(self.scores)):
            raise ValueError(f"`paper` has `{others[0]}`, which is not among `scores`")
        if (self.against is None) != (self.kind == "trend"):
            raise ValueError("a `trend` has no `against`, and all others need one")
        fitting = {"ratio": {COST}, "trend": set(LOSSES)}.get(self.kind, {*TASKS, *LOSSES})
        if unfit := sorted(set(self.scores) - fitting):
            raise ValueError(f"`scores` has `{unfit[0]}`, of which there is no {self.kind}")
        return self

    @property
    def sides(self) -> tuple[tuple[str, str], ...]:
        """Variant and stage of each side, the arm first."""
        named = (self.arm, self.against) if self.against else (self.arm,)
        return tuple((variant, stage) for variant, _, stage in (s.partition("/") for s in named))


class ClaimsSettings(Section):
    """The claims that are judged where a run has both sides of them."""

    registry: str = Field(
        "config/claims.yaml",
        description="File with the claims; docs/evaluation.md says how they are judged.",
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Confidence of the intervals that decide (ours): Student's t over replicates.",
    )

    def rows(self) -> dict[str, ClaimRow]:
        """Claims by id; raises ``ValueError`` naming the file, the claim and the key at fault."""
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, ClaimRow]:
        return load_rows(Path(self.registry), ClaimRow)


class Comparison(Section):
    """A claim in one score, as a run can judge it."""

    claim: str = Field(description="Id of the claim.")
    score: Score = Field(description="In what it is measured.")
    replicates: dict[int, tuple[tuple[str, str], ...]] = Field(
        description="By the replicate's seed the variants and stages that are compared, the arm "
        "first, under the names that their results have."
    )
    trained: str = Field(description="The variant as which the arm was trained.")


class JudgeSettings(Section):
    """Settings of the stage that judges."""

    confidence: float = Field(0.95, description="Confidence of the intervals.")
    claims: tuple[ClaimRow, ...] = Field((), description="The claims that are judged.")
    comparisons: tuple[Comparison, ...] = Field((), description="What is compared.")
