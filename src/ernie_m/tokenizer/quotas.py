"""How many lines of each language a vocabulary is trained on.

Computed from the statistics of corpora.select. It is a stage of its own so that each of the many
sampling jobs reads one small file, and not the statistics of all shards.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping

from ernie_m.config.tokenizer import QuotaSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)


def quotas(sizes: Mapping[str, int], settings: QuotaSettings) -> dict[str, int]:
    """Lines of each language, in proportion to ``n ** alpha``. They sum to ``sample_lines``, or to
    all lines if there are fewer; rounding leftovers go to the largest remainders.

    Raises :class:`UserError` if there are no lines.
    """
    total = min(settings.sample_lines, sum(sizes.values()))
    if not total:
        raise UserError(
            "There is no text to train a vocabulary on.",
            "See in the statistics of corpora_filter and corpora_select why all was dropped.",
        )
    weights = {language: size**settings.alpha for language, size in sizes.items()}
    scale = total / sum(weights.values())
    exact = {language: weight * scale for language, weight in weights.items()}
    rounded = {language: int(value) for language, value in exact.items()}
    by_remainder = sorted(
        exact, key=lambda language: (rounded[language] - exact[language], language)
    )
    for language in by_remainder[: total - sum(rounded.values())]:
        rounded[language] += 1
    return rounded


def run(job: Job[QuotaSettings]) -> None:
    """Write quotas.json: the ``lines`` of each language, duplicates included, and
    ``lines_sampled``. Raises :class:`UserError` for a corpus without lines."""
    corpora: Counter[tuple[str, ...]] = Counter()
    for path in job.inputs("stats"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        corpora[tuple(facts["languages"])] += facts["rows"]["train"]
    sizes: Counter[str] = Counter()
    for languages, count in corpora.items():
        if not count:
            raise UserError(
                f"Nothing is left to train on of the text in {' and '.join(languages)}.",
                "See in the statistics of corpora_filter, corpora_deal and corpora_select why; add "
                "a dataset that has more of it, or take it out of `corpora.languages` and "
                "`corpora.pairs`.",
            )
        sizes.update(dict.fromkeys(languages, count))
    lines = dict(sorted(sizes.items()))
    drawn = quotas(lines, job.settings)
    job.write_json("quotas", {"lines": lines, "lines_sampled": drawn})
    logger.info("%d of %d lines: %s", sum(drawn.values()), sum(lines.values()), drawn)


if __name__ == "__main__":
    main(run, QuotaSettings)
