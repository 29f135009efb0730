"""UD-POS: universal part-of-speech tags, in the treebanks of Universal Dependencies 2.5.

All treebanks of a language are concatenated. For multi-word tokens (French `du`) the hub's tables
have the single words and XTREME the surface form, so they differ in languages with such tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.xtreme.files import Line, TaggedSentence
from ernie_m.xtreme.tasks import conllu
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = r"\.conllu$"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
TAGS = TASKS["udpos"].labels
# The hub's tables are named by the English names of the languages.
NAMES = dict(
    af="Afrikaans",
    ar="Arabic",
    bg="Bulgarian",
    de="German",
    el="Greek",
    en="English",
    es="Spanish",
    et="Estonian",
    eu="Basque",
    fa="Persian",
    fi="Finnish",
    fr="French",
    he="Hebrew",
    hi="Hindi",
    hu="Hungarian",
    id="Indonesian",
    it="Italian",
    ja="Japanese",
    kk="Kazakh",
    ko="Korean",
    mr="Marathi",
    nl="Dutch",
    pt="Portuguese",
    ru="Russian",
    ta="Tamil",
    te="Telugu",
    th="Thai",
    tl="Tagalog",
    tr="Turkish",
    ur="Urdu",
    vi="Vietnamese",
    yo="Yoruba",
    zh="Chinese",
)


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Sentences of all treebanks of a language."""
    rows = upstream.table(f"udpos.{NAMES[language]}", SPLITS[split])
    if rows is not None:
        for number, row in enumerate(rows, start=1):
            words = [word.replace("\u200c", "").replace(" ", "") or word for word in row["tokens"]]
            yield TaggedSentence(id=f"{split}-{number:06d}", words=words, tags=row["pos_tags"])
        return
    number = 0
    for file in upstream.all(rf"{language}_[^/]*{split}[^/]*\.conllu"):
        for sentence in conllu.sentences(file, language, TAGS):
            number += 1
            yield sentence.model_copy(update={"id": f"{split}-{number:06d}"})
