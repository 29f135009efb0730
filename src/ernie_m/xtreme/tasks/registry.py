"""The maker of each task by name."""

from __future__ import annotations

from collections.abc import Callable

from ernie_m.xtreme.tasks import (
    standin_classification,
    standin_mining,
    standin_paraphrase,
    standin_qa,
    standin_retrieval,
    standin_tagging,
)
from ernie_m.xtreme.tasks.sources import Examples, Sources

MAKERS: dict[str, Callable[[Sources], Examples]] = {
    "standin_retrieval": standin_retrieval.make,
    "standin_mining": standin_mining.make,
    "standin_classification": standin_classification.make,
    "standin_paraphrase": standin_paraphrase.make,
    "standin_tagging": standin_tagging.make,
    "standin_qa": standin_qa.make,
}
