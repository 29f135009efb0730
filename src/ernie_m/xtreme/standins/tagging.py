"""Stand-in for PAN-X: find product names, interface labels and code in a sentence.

LABEL and CODE are marked in the source as ``**label**`` and `` `code` ``; the marks are removed
from the text. PRODUCT is the name of the integration, known from Home Assistant's group names (from
``devolo_home_network``, "devolo Home Network"). Groups of other sources may have any name, so their
sentences have LABEL and CODE only. A translation whose spans differ from the English ones in kinds
or number was rearranged by its translator and is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ernie_m.xtreme.files import Line, TaggedSentence
from ernie_m.xtreme.standins.interface import interface_datasets
from ernie_m.xtreme.standins.sources import Examples, Row, Sources, words

_MARKED = re.compile(r"\*\*(?P<LABEL>[^*`]+?)\*\*|`(?P<CODE>[^`*]+)`")
_LATIN_WORD = re.compile(r"[0-9A-Za-zÀ-ɏ]+")
_MOST_NAME_WORDS = 5
# Names of one or two letters are ambiguous.
_LEAST_NAME_LETTERS = 3
NEEDS = (
    "English sentences with `**label**` or `` `code` `` in them, or with the name of their "
    "integration of Home Assistant"
)

Span = tuple[int, int, str]


def _unmark(text: str) -> tuple[str, list[Span]]:
    """``text`` without marks, and the marked spans."""
    plain, spans, end = "", [], 0
    for match in _MARKED.finditer(text):
        plain += text[end : match.start()]
        kind = match.lastgroup
        assert kind is not None
        spans.append((len(plain), len(plain) + len(match[kind]), kind))
        plain += match[kind]
        end = match.end()
    return plain + text[end:], spans


def _named(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Spans of ``name`` (letters and digits only, lower case) in ``text``, however spaced."""
    latin_words = [(m.start(), m.end(), m[0].casefold()) for m in _LATIN_WORD.finditer(text)]
    first = 0
    while first < len(latin_words):
        spelt = ""
        for last in range(first, min(first + _MOST_NAME_WORDS, len(latin_words))):
            spelt += latin_words[last][2]
            if spelt == name:
                yield latin_words[first][0], latin_words[last][1]
                first = last
                break
            if not name.startswith(spelt):
                break
        first += 1


def _is_name(text: str) -> bool:
    return text != text.lower()


class _Names:
    """Names of integrations, without those that are common words."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.names: dict[str, str] = {}
        common: set[str] = set()
        for row in rows:
            integration = row.group.partition(":")[2]
            name = integration.replace("_", "").casefold()
            self.names[row.group] = name
            plain, marked = _unmark(row.text)
            spans = (s for s in _named(plain, name) if not _overlaps(s, marked))
            if any(not _is_name(plain[start:end]) for start, end in spans):
                common.add(row.group)
        # "Automation", "Button": a name that also occurs in lower case is a common word.
        for group in common:
            del self.names[group]

    def of(self, row: Row) -> str | None:
        name = self.names.get(row.group, "")
        return name if len(name) >= _LEAST_NAME_LETTERS else None


def _overlaps(span: tuple[int, int], others: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end, _ in others)


def _tagged(id: str, text: str, name: str | None) -> TaggedSentence | None:
    """The tagged sentence; None when it has no span, or one that splits a word."""
    plain, spans = _unmark(text)
    if name:
        spans += [
            (start, end, "PRODUCT")
            for start, end in list(_named(plain, name))
            if _is_name(plain[start:end]) and not _overlaps((start, end), spans)
        ]
    bounds = words(plain)
    starts = {start for start, _ in bounds}
    ends = {end for _, end in bounds}
    tags = ["O"] * len(bounds)
    for start, end, kind in spans:
        if start not in starts or end not in ends:
            return None
        inside = [i for i, (first, last) in enumerate(bounds) if start <= first and last <= end]
        for i in inside:
            tags[i] = f"I-{kind}"
        tags[inside[0]] = f"B-{kind}"
    if not spans or "**" in plain or "`" in plain:
        return None
    return TaggedSentence(id=id, words=[plain[a:b] for a, b in bounds], tags=tags)


def _kinds(sentence: TaggedSentence) -> Counter[str]:
    return Counter(tag for tag in sentence.tags if tag.startswith("B-"))


def _english(
    sources: Sources, rows: dict[str, Row], split: str, names: _Names
) -> list[TaggedSentence]:
    """Distinct English sentences with a span, taken in turn by kind of span."""
    lots: dict[str, list[TaggedSentence]] = {}
    seen: set[tuple[str, ...]] = set()
    order = sources.shuffled(rows, "tagging")
    for id in sources.most_translated_first(split, order, lambda id: [id]):
        sentence = _tagged(id, rows[id].text, names.of(rows[id]))
        # A sentence that is nothing but a span would teach that every word is in one.
        if sentence is None or "O" not in sentence.tags or tuple(sentence.words) in seen:
            continue
        seen.add(tuple(sentence.words))
        kind = min(_kinds(sentence), key=("B-LABEL", "B-CODE", "B-PRODUCT").index)
        lots.setdefault(kind, []).append(sentence)
    chosen: list[TaggedSentence] = []
    limit = sources.limit(split)
    while len(chosen) < limit and any(lots.values()):
        for kind in ("B-LABEL", "B-CODE", "B-PRODUCT"):
            if lots.get(kind) and len(chosen) < limit:
                chosen.append(lots[kind].pop(0))
    return chosen


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    named = interface_datasets(sources)
    for split in ("train", "dev", "test"):
        rows = {row.id: row for row in sources.english(split)}
        names = _Names([row for row in rows.values() if row.dataset in named])
        english = _english(sources, rows, split, names)
        for language in sources.languages_of(split):
            texts = sources.texts(split, language)
            lines: list[Line] = []
            for source in english:
                id = source.id
                sentence = _tagged(id, texts[id], names.of(rows[id])) if id in texts else None
                if sentence and _kinds(sentence) == _kinds(source):
                    lines.append(sentence)
            examples[f"{split}-{language}"] = lines
    return examples
