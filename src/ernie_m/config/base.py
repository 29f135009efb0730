"""What every section of the configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of configuration keys, immutable once read.

    Every field needs a ``description`` with its unit, its source and its effect: the comments of
    ``config/config.yaml``, the editor's help and the tables of ``docs/configuration.md`` are
    written from it. Unknown keys are refused, because a misspelt key would otherwise leave its
    default in force without a word.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )
