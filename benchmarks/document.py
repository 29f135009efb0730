"""The sections of docs/benchmarks.md, each written by the benchmark of its name."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import Any

DOCUMENT = Path("docs/benchmarks.md")


def machine() -> str:
    """This machine in words: processor, cores, memory."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.+)", facts)
    cores = facts.count("processor\t")
    memory = Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]
    name = model.group(1) if model else platform.machine()
    return f"{name}, {cores} cores, {int(memory) // 2**20} GiB"


def write_section(name: str, text: str) -> None:
    """Replace what stands between the marks of section ``name``; raises ``ValueError`` without."""
    document = DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, mark, rest = document.partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"{DOCUMENT} has no section {name}")
    DOCUMENT.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def publish(name: str, text: str, found: Any, document: bool) -> None:
    """Print a section, write it where ``document`` is true, and print the numbers as JSON."""
    print(text)
    if document:
        write_section(name, text)
    print(json.dumps(found, sort_keys=True))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
