"""Text in the shape of CC-100, made from the default run's, with known faults among it.

Sentences that are surely of their language are put together by a seeded generator: documents of
four to eight paragraphs of four to six sentences, no paragraph twice. Whatever the filters should
drop is planted and counted under the reason that they should give, the rest as ``kept``.
"""

from __future__ import annotations

import lzma
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.corpora.faults import Line, repetition
from ernie_m.corpora.language_id import identifier
from ernie_m.corpora.tables import read_table
from ernie_m.corpora.text import comparable, script

# Share of documents that get a fault of each kind.
FAULTY = 0.02
MARKS = set("{}[]`*<>|/\\0123456789")
SURE = 0.9
LONGEST, TOO_LONG = 950, 1010
Account = Counter[str]


def good(text: str, language: str) -> bool:
    """Whether a sentence is surely of its language, so that what is made of several is too: the
    identifier averages over words, and its confidence in the average is no lower."""
    line = Line(text, LANGUAGES[language])
    if not 20 <= len(text) <= 150 or MARKS & set(text) or line.words != text:
        return False
    label, confidence = identifier("fasttext")(text)
    letters = line.letters
    return (
        label in line.language.labels
        and confidence >= SURE
        and (letters.script_share or 0) >= 0.7
        and letters.letter_share >= 0.8
    )


def rows(results: Path, language: str) -> list[str]:
    """The texts of a finished run's training rows in one language."""
    (texts,) = read_table(results / f"corpora_deal/rows-train-{language}.parquet", ["text"])
    return texts


def sentences(texts: Sequence[str], language: str) -> list[str]:
    """The good ones, no two of which are the same but for case."""
    kept = {comparable(text): text for text in sorted(texts) if good(text, language)}
    return sorted(kept.values())


class Page:
    """Documents of one language, and what is planted in them."""

    def __init__(
        self, language: str, pool: Sequence[str], wrong: dict[str, Sequence[str]], seed: int
    ) -> None:
        """``wrong``: sentences that are planted, by the reason for which they should be dropped."""
        self.language, self.pool, self.wrong = language, pool, wrong
        self.draw = random.Random(f"{seed}/{language}")
        self.planted: Account = Counter()
        self._seen: set[int] = set()
        self._short = [
            text
            for text in pool
            if len(text) <= 110
            and repetition(Line(" ".join([text] * 8), LANGUAGES[language])) > 0.7
        ]
        self._earlier: list[list[str]] = []  # some documents, to be repeated
        self._faults: dict[str, Callable[[], bytes]] = {
            "too short": lambda: b"Menu",
            "too long": lambda: " ".join(self._longer()).encode(),
            "no letters": lambda: f"12:30 | {self.draw.randrange(10**9)} | 18:20".encode(),
            "few letters": lambda: f"{self._letters()} 12:30 | 14:50 | 18:20".encode(),
            "repeats itself": lambda: " ".join([self.draw.choice(self._short)] * 8).encode(),
            "broken encoding": lambda: self._broken(self._fresh()),
            **{reason: self._foreign(reason) for reason in wrong},
        }

    def _one(self) -> str:
        return self.draw.choice(self.pool)

    def _letters(self) -> str:
        scripts = LANGUAGES[self.language].scripts
        return "".join([one for one in self._one() if one.isalpha() and script(one) in scripts][:8])

    def _longer(self) -> Iterator[str]:
        size = 0
        while size < TOO_LONG:
            text = self._one()
            size += len(text) + 1
            yield text

    def _foreign(self, reason: str) -> Callable[[], bytes]:
        return lambda: " ".join(self.draw.choices(self.wrong[reason], k=4)).encode()

    def _broken(self, text: str) -> bytes:
        return text[:20].encode() + b"\xff" + text[20:].encode()

    def _fresh(self) -> str:
        """A paragraph that was not there before."""
        while True:
            chosen = self.draw.choices(range(len(self.pool)), k=self.draw.randrange(4, 7))
            name = hash(tuple(chosen))
            text = " ".join([self.pool[number] for number in chosen])
            if name in self._seen or len(text) > LONGEST:
                continue
            self._seen.add(name)
            if repetition(Line(text, LANGUAGES[self.language])) < 0.55:
                return text

    def document(self) -> bytes:
        """The next document, with an empty line behind it."""
        own = [self._fresh() for _ in range(self.draw.randrange(4, 9))]
        lines = [text.encode() for text in own]
        self.planted["kept"] += len(own)
        fate = self.draw.random()
        kinds = list(self._faults)
        if fate < FAULTY * len(kinds):
            kind = kinds[int(fate / FAULTY)]
            lines.insert(self.draw.randrange(len(lines) + 1), self._faults[kind]())
            self.planted[kind] += 1
        elif fate > 1 - FAULTY and self._earlier:  # a paragraph again but for a sign
            again = self.draw.choice(self.draw.choice(self._earlier))
            lines.append(f"{again} !".encode())
            self.planted["repeated"] += 1
        elif fate > 1 - 2 * FAULTY and self._earlier:  # a document again but for a number
            head, *rest = self.draw.choice(self._earlier)
            self.planted["in a nearly repeated document"] += 1
            number = self.planted["in a nearly repeated document"]
            lines = [text.encode() for text in (f"{head} {number}", *rest)]
            self.planted["kept"] -= len(own)
            self.planted["repeated"] += len(rest)
        elif len(self._earlier) < 1000:
            self._earlier.append(own)
        return b"\n".join(lines) + b"\n\n"


class Pairs:
    """Pairs of sentences, and what is planted among them."""

    def __init__(self, pool: Sequence[tuple[str, str]], seed: int) -> None:
        self.pool, self.draw = pool, random.Random(f"{seed}/pairs")
        self.planted: Account = Counter()
        self._seen: set[int] = set()

    def _joined(self) -> tuple[str, str]:
        while True:
            chosen = self.draw.choices(range(len(self.pool)), k=self.draw.randrange(2, 4))
            name = hash(tuple(chosen))
            if name not in self._seen:
                self._seen.add(name)
                source, target = zip(*(self.pool[number] for number in chosen), strict=True)
                return " ".join(source), " ".join(target)

    def _uneven(self) -> tuple[str, str]:
        """A sentence, and others that are five times as long together."""
        source = min((self.draw.choice(self.pool)[0] for _ in range(20)), key=len)
        targets = [self.draw.choice(self.pool)[1]]
        while sum(map(len, targets)) < 5 * (len(source) + 10):
            targets.append(self.draw.choice(self.pool)[1])
        return source, " ".join(targets)

    def document(self) -> bytes:
        """The next pair: its sides, a tab between them."""
        source, target = self._joined()
        fate = int(self.draw.random() / FAULTY)
        if fate == 0:
            source, target = source[:25], source[:25].upper()
            self.planted["identical sides"] += 1
        elif fate == 1:
            source, target = self._uneven()
            self.planted["uneven lengths"] += 1
        elif fate == 2:
            source, target = f"{source} 4711", f"{target} 2842"
            self.planted["other numbers"] += 1
        else:
            self.planted["kept"] += 1
        return f"{source}\t{target}\n".encode()


def write(path: Path, source: Page | Pairs, size: int) -> int:
    """A `.xz` file of at least ``size`` bytes of text; returns how many."""
    written = 0
    with lzma.open(path, "wb", preset=0) as sink:
        while written < size:
            block = b"".join(source.document() for _ in range(200))
            sink.write(block)
            written += len(block)
    return written


def once(results: Path, code: str) -> list[str]:
    """Paragraphs of five sentences in which every sentence of a language stands once."""
    shuffled = sorted(set(rows(results, code)))
    random.Random(code).shuffle(shuffled)
    return [" ".join(shuffled[at : at + 5]) for at in range(0, len(shuffled), 5)]


def pages(results: Path, languages: Sequence[str], seed: int = 1) -> dict[str, Page]:
    """The pages of each language, from the rows of a finished run."""
    pools = {code: sentences(rows(results, code), code) for code in languages}
    made = {}
    for code, pool in pools.items():
        wrong = {}
        for reason, alike in (("another script", False), ("another language", True)):
            others = [one for one in languages if one != code and _same_script(one, code) == alike]
            if others:
                wrong[reason] = pools[others[0]]
        made[code] = Page(code, pool, wrong, seed)
    return made


def _same_script(one: str, other: str) -> bool:
    return bool(LANGUAGES[one].scripts & LANGUAGES[other].scripts)


def pairs(results: Path, source: str, target: str, seed: int = 1) -> Pairs:
    """Pairs from the parallel training text of a finished run."""
    file = results / f"corpora_select/parallel-{source}-{target}/dealt/train.parquet"
    pool = [
        both
        for both in zip(*read_table(file, ["source", "target"]), strict=True)
        if good(both[0], source)
        and good(both[1], target)
        and comparable(both[0]) != comparable(both[1])
        and max(map(len, both)) < 2 * min(map(len, both))
    ]
    return Pairs(pool, seed)
