"""Key `saving`: how often a training's state is saved."""

import os
from typing import Self

from pydantic import Field

from ernie_m.config.base import Section

# Given by the rules to their jobs, beside the settings that decide a result.
SAVING = "ERNIE_M_SAVING"


class SavingSettings(Section):
    """When trainings save their state; no result depends on it, and it makes no job run again."""

    every_steps: int = Field(
        500,
        ge=1,
        le=1_000_000_000,
        description="Steps between saved states; what a killed training can lose.",
    )
    every_minutes: float = Field(
        15.0, ge=0, description="Minutes after which state is saved in any case; 0 switches it off."
    )
    keep: int = Field(
        2,
        ge=1,
        le=1_000,
        description="Saved states to keep; if the newest is damaged, an older one is used.",
    )

    @classmethod
    def of_job(cls) -> Self:
        """Those that the rules gave to this process, or the defaults."""
        return cls.model_validate_json(os.environ.get(SAVING, "{}"))
