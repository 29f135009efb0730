"""Target languages of BTMLM's generation step."""

from __future__ import annotations

from collections.abc import Sequence

from ernie_m.config.pretrain import DirectionsJob
from ernie_m.corpus import codes_of
from ernie_m.errors import UserError


def targets_of(languages: Sequence[str], settings: DirectionsJob) -> dict[str, list[str]]:
    """Target languages of each of ``languages``; languages without any are left out.

    Raises :class:`UserError` for a target language that is not among them, and when none is left.
    """
    if unknown := set(settings.target_languages) - set(languages):
        raise UserError(
            f"`backtranslate.target_languages` names {', '.join(sorted(unknown))}, which the "
            "model does not know.",
            f"Choose among {', '.join(languages)}.",
        )
    parallel = {frozenset(codes_of(pair)) for pair in settings.pairs}
    wanted = settings.target_languages or languages

    def allowed(source: str, target: str) -> bool:
        translatable = settings.directions == "all" or frozenset((source, target)) in parallel
        return source != target and target in wanted and translatable

    targets = {
        source: [target for target in languages if allowed(source, target)] for source in languages
    }
    if not any(targets.values()):
        raise UserError(
            "No language has another to generate in.",
            "Add a pair to `corpora.pairs`, or set `backtranslate.directions: all`.",
        )
    return {source: options for source, options in targets.items() if options}
