"""What every section of the configuration has in common."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from ernie_m.errors import UserError
from ernie_m.outside import VARIABLE, redacted, secret


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

    # Keys of earlier versions, and what stands for them now.
    moved: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True)
class Partial:
    """Marks a mapping that holds some of the keys of ``section``, checked only where merged."""

    section: type[Section]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(self.section.__pydantic_core_schema__)


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section whose keys a field holds: of ``Clean``, ``Clean | None`` and
    ``dict[str, Clean]`` it is ``Clean``; None for a plain value."""
    partial = (mark.section for mark in field.metadata if isinstance(mark, Partial))
    return next(partial, None) or _section_in(field.annotation)


def is_table(field: FieldInfo) -> bool:
    """Whether a field maps free keys (languages, tasks, variants) to sections."""
    found = _section_in(field.annotation)
    return found is not None and "dict[" in str(field.annotation)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (_section_in(argument) for argument in get_args(annotation))
    return next((section for section in found if section), None)


def without_secrets(text: str) -> str:
    """``text``; raises ``ValueError`` if a password or token stands in it, for a configuration is
    kept in records, reports and git."""
    if redacted(text) != text:
        raise ValueError(
            "a password or token stands in it; name a variable of the environment instead, as in "
            "https://host/file?token=${TOKEN}"
        )
    return text


def filled(address: str) -> str:
    """An address of the configuration with the values of the variables that it names: only for
    what connects. Raises :class:`UserError` for a variable that is not set."""

    def value(found: re.Match[str]) -> str:
        known = secret(found[1])
        if known is None:
            raise UserError(
                f"The address {address} names the variable {found[1]}, which is not set.",
                f"Set it in the environment: export {found[1]}=...",
            )
        return known

    return VARIABLE.sub(value, address)


def deep_merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``below`` with ``above`` laid over it: groups merge key by key, all else is replaced.

    Snakemake merges ``--configfile`` overlays in the same way.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = deep_merge(old, value)
        merged[key] = value
    return merged
