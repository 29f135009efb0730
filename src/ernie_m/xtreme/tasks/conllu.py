"""CoNLL-U treebanks as XTREME reads them: one word and one part of speech for each surface form.

For a multi-word token (`du` for `de le`) the surface form is kept, with the tag of the word that is
highest in the tree; among equally high ones, of the one whose tag comes first in a list for the
language. That is what the ud-conversion-tools do, which XTREME uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ernie_m.xtreme.files import TaggedSentence
from ernie_m.xtreme.tasks.upstream import File

COLUMNS = 10
_DIGITS = 10  # of the number of a word, fewer than these
UNKNOWN = "_"  # placeholder in treebanks whose text may not be redistributed
_PRECEDENCE = {
    "es": "VERB AUX PRON ADP DET",
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ",
    "it": "VERB AUX ADV PRON ADP DET INTJ",
}
_OTHERS = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT"


@dataclass
class Tree:
    """A sentence's words by number: line, form, tag, and heads, enhanced dependencies included;
    ``fused`` are first word, last word and form of multi-word tokens."""

    lines: dict[int, int] = field(default_factory=dict)
    forms: dict[int, str] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=dict)
    heads: dict[int, set[int]] = field(default_factory=dict)
    fused: list[tuple[int, int, str]] = field(default_factory=list)

    def depth(self, word: int) -> int:
        """Number of other words that govern a word, directly or indirectly."""
        found: set[int] = set()
        waiting = [word]
        while waiting:
            new = self.heads.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return len(found - {word})

    def head(self, first: int, last: int, precedence: list[str]) -> int:
        """The word of a multi-word token whose tag is used."""
        depths = {word: self.depth(word) for word in range(first, last + 1)}
        highest = [word for word in depths if depths[word] == min(depths.values())]

        def rank(word: int) -> int:
            tag = self.tags[word]
            return precedence.index(tag) if tag in precedence else len(precedence)

        return min(highest, key=lambda word: (rank(word), word))

    def sentence(self, language: str) -> tuple[list[str], list[str]]:
        """Forms and tags, with multi-word tokens merged."""
        precedence = _PRECEDENCE.get(language, _OTHERS).split()
        forms, dropped = dict(self.forms), set()
        for first, last, form in self.fused:
            head = self.head(first, last, precedence)
            forms[head] = form
            dropped |= set(range(first, last + 1)) - {head}
        kept = [word for word in sorted(forms) if word not in dropped]
        return [forms[word] for word in kept], [self.tags[word] for word in kept]


def _heads(head: str, enhanced: str) -> set[int]:
    """Heads in the columns HEAD and DEPS; empty nodes (`8.1`) are ignored."""
    names = [head, *(pair.split(":")[0] for pair in enhanced.split("|"))]
    return {int(name) for name in names if _is_number(name)}


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < _DIGITS


def trees(file: File) -> Iterator[tuple[int, Tree]]:
    """Trees with the number of their first line; raises :class:`UserError`."""
    tree, first = Tree(), 1
    number = 0
    for number, line in file.lines():
        if not line.strip():
            if tree.forms:
                yield first, tree
            tree, first = Tree(), number + 1
        elif not line.startswith("#"):
            _add(tree, file, number, line.split("\t"))
    if tree.forms:
        yield first, tree


def _add(tree: Tree, file: File, number: int, cells: list[str]) -> None:
    if len(cells) != COLUMNS:
        raise file.refuse(number, f"{len(cells)} columns, where CoNLL-U has {COLUMNS}")
    id, form, tag = cells[0], cells[1], cells[3]
    first, dash, last = id.partition("-")
    if "." in id:
        return
    if not _is_number(first) or (dash and not _is_number(last)):
        raise file.refuse(number, f"`{id}` is not the number of a word")
    if dash:
        tree.fused.append((int(first), int(last), form))
        return
    if int(id) != len(tree.forms) + 1:
        raise file.refuse(number, f"word {id} stands behind word {len(tree.forms)}")
    tree.lines[int(id)], tree.forms[int(id)], tree.tags[int(id)] = number, form, tag
    tree.heads[int(id)] = _heads(cells[6], cells[8])


def _cleaned(word: str) -> str:
    """``word`` without zero-width non-joiners and spaces, unless nothing else is left."""
    return word.replace("\u200c", "").replace(" ", "") or word


def sentences(file: File, language: str, tags: tuple[str, ...]) -> Iterator[TaggedSentence]:
    """Numbered sentences of a treebank; those without text, or nearly so, are left out."""
    for number, (line, tree) in enumerate(trees(file), start=1):
        for first, last, _ in tree.fused:
            if not first <= last <= len(tree.forms):
                raise file.refuse(line, f"the sentence has no words {first} to {last}")
        words, found = tree.sentence(language)
        unknown = words.count(UNKNOWN)
        if unknown and unknown >= len(words) - 1:
            continue
        for word, tag in tree.tags.items():
            if tag not in tags:
                raise file.refuse(tree.lines[word], f"there is no tag `{tag}`")
        treebank = file.name.rpartition("/")[2].removesuffix(".conllu")
        yield TaggedSentence(
            id=f"{treebank}-{number:05d}", words=[_cleaned(word) for word in words], tags=found
        )
