"""Findings, settings and jobs in words, for the commands."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from ernie_m.audit.chain import Finding, Verdict
from ernie_m.outside import one_line
from ernie_m.words import few

WIDTH = 100
MARGIN = 10
SEVERAL = {"has": "have", "is": "are", "was": "were"}  # plurals of the words that begin findings


def value(setting: Any) -> str:
    """A setting as JSON; lists of words separated by spaces."""
    if isinstance(setting, list) and setting and all(isinstance(item, str) for item in setting):
        return " ".join(setting)
    return json.dumps(setting, ensure_ascii=False)


def finding(found: Finding) -> str:
    """``STALE corpora_dedup/mono-de: setting ... has changed since``."""
    return f"{found.verdict.name} {found.job}: " + f"{found.path} {found.what}".strip()


def alike(findings: Iterable[Finding]) -> list[str]:
    """Findings in words; the same finding on several jobs or files is stated once."""
    groups: dict[tuple[Verdict, str], list[Finding]] = {}
    for found in findings:
        groups.setdefault((found.verdict, found.what), []).append(found)
    lines = []
    for (verdict, what), group in groups.items():
        jobs = list(dict.fromkeys(found.job for found in group))
        where = jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs"
        paths = dict.fromkeys(found.path for found in group)
        verb, _, rest = what.partition(" ")
        several = len(paths) > 1 or (not any(paths) and len(jobs) > 1)
        verb = SEVERAL.get(verb, verb) if several else verb
        lines.append(f"{verdict.name} {where}: " + f"{few(paths)} {verb} {rest}".strip())
    return lines


def jobs(names: Iterable[str], full: bool = False) -> str:
    """Jobs by name; without ``full``, several jobs of one stage are given as a number."""
    stages: dict[str, list[str]] = {}
    for name in names:
        stages.setdefault(name.partition("/")[0], []).append(name)
    return ", ".join(
        ", ".join(sorted(own)) if full or len(own) == 1 else f"{stage} ({len(own)} jobs)"
        for stage, own in stages.items()
    )


def section(name: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines under a name in the margin, wrapped; nothing if there are no lines."""
    for index, line in enumerate(lines):
        head = f"{name if index == 0 else '':<{MARGIN}}"
        yield from textwrap.wrap(
            line,
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * (MARGIN + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )


def plain(name: str, lines: Iterable[str]) -> Iterator[str]:
    """The same without wrapping, for tables and for commands to be copied."""
    for index, line in enumerate(lines):
        yield f"{name if index == 0 else '':<{MARGIN}}{one_line(line)}".rstrip()
