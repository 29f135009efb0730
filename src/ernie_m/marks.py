"""Where a value is known from: one of five marks, in brackets, wherever a value is explained.

``(mark)`` or ``(mark: which)``: the place where it was seen, or whose it is. A value of a sibling
always says which. Used in descriptions and remarks of the configuration, the documents, the report
and the audit.
"""

from __future__ import annotations

import re

MARKS = {
    "paper": "seen in the paper: its figures and tables, abstract or introduction",
    "memory": "remembered, of the paper or of what is named, and checked against no copy",
    "authors": "from the authors: their README, code, released models or announcement",
    "sibling": "from the code or paper of the project that is named",
    "ours": "a choice of this project",
}
# Groups: the mark, and which.
MARK = re.compile(rf"\(({'|'.join(MARKS)})(?:: ([^()]+))?\)")


def legend() -> str:
    """The marks and what they mean, as one sentence without its stop."""
    return "; ".join(f"({mark}) {meaning}" for mark, meaning in MARKS.items())
