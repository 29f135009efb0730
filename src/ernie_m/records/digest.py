"""Digests of bytes and of code."""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = "ernie_m"
# Package data (pyproject.toml); files that an editor leaves there do not count.
PACKAGE_DATA = (".html", ".css", ".js")

# They affect an output's bytes only through the declared settings, or not at all;
# rewording a config description must not retrain a model.
NOT_COUNTED = (
    "callbacks",
    "config",
    "pipeline",
    "records",
    "audit",
    "tracking",
    "job",
    "launch",
    "finished",
    "locks",
    "errors",
    "bounded",
)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits; raises ``OSError``."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


# A string or a comment: what each holds is none of the other.
_LITERAL = re.compile(r"""r?('{3}|"{3}|'|")(?:\\.|[^\\])*?\1|\#[^\n]*""", re.DOTALL)
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_LINE_ENDS = re.compile(r"\s*\n")


@cache
def _pieces(source: str) -> list[tuple[str, str]]:
    """Code, each with the string behind it, without comments, blank lines and docstrings, which
    cannot change behaviour.

    Python's own tokens will not do: their number in an f-string depends on Python's version, and a
    result must not.
    """
    kept: list[tuple[str, str]] = []
    code = ""
    end = depth = 0
    for found in _LITERAL.finditer(source):
        between = source[end : found.start()]
        end = found.end()
        code += between
        depth += sum(map(between.count, "([{")) - sum(map(between.count, ")]}"))
        before, newline, indent = code.rpartition("\n")
        begins = not indent.strip() and (not before.endswith("\\") if newline else not kept)
        docstring = begins and not depth and _REST_OF_LINE.match(source, end)
        if docstring or found.group().startswith("#"):
            continue
        kept.append((_LINE_ENDS.sub("\n", code), found.group()))
        code = ""
    return [*kept, (_LINE_ENDS.sub("\n", code + source[end:]), "")]


def _significant(source: str) -> str:
    """Source text without what cannot change behaviour."""
    return "".join(code + text for code, text in _pieces(source)).strip()


@cache
def source_digest(path: Path) -> str:
    """SHA-256 of a Python file's significant text, or of any other file's bytes."""
    return bytes_digest(path.name, path.read_bytes())


def bytes_digest(name: str, content: bytes) -> str:
    """The same for content that need not be on disk."""
    if name.endswith(".py"):
        content = _significant(content.decode("utf-8")).encode()
    return hashlib.sha256(content).hexdigest()


def _module_file(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _counted(module: str) -> bool:
    parts = module.split(".")
    return parts[0] == PACKAGE and (len(parts) == 1 or parts[1] not in NOT_COUNTED)


# Where there are no strings, the word begins a statement; to parse these alone takes a tenth of the
# time, which every call of the workflow pays.
_SPACE = r"(?:[ \t]|\\\n)*"
_IMPORT = re.compile(
    rf"(?:^|[:;])[ \t]*((?:from\b{_SPACE}[.\w]+{_SPACE})?"
    rf"import\b{_SPACE}(?:\([^)]*\)|(?:\\\n|[^\n;(])+))",
    re.MULTILINE,
)


def _import_statements(source: str) -> list[ast.stmt]:
    """All import statements of a source, at whatever depth."""
    bare = "".join(code + ('""' if text else "") for code, text in _pieces(source))
    return ast.parse("\n".join(_IMPORT.findall(bare))).body


@cache
def _imports(module: str, path: Path) -> set[str]:
    """Names of modules that ``module`` imports anywhere in its source, parents included."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in _import_statements(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    parents = {name.rsplit(".", n)[0] for name in found for n in range(1, name.count(".") + 1)}
    return found | parents


@cache
def code_files(module: str) -> tuple[Path, ...]:
    """Files that ``module`` may execute or read from this package, sorted.

    Its import closure (static imports), and the templates and style sheets beside those modules.
    Raises ``ModuleNotFoundError`` for an unknown module; its digest would be that of no files.
    """
    if _module_file(module) is None:
        raise ModuleNotFoundError(f"there is no module {module} under {SOURCE}", name=module)
    seen: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _module_file(name) if name not in seen and _counted(name) else None
        if path is not None:
            seen[name] = path
            waiting.extend(_imports(name, path))
    folders = {path.parent for path in seen.values()}
    beside = (file for folder in folders for file in folder.iterdir())
    data = {file for file in beside if file.suffix in PACKAGE_DATA and file.is_file()}
    return tuple(sorted(data.union(seen.values())))


def code_facts(module: str) -> dict[str, str]:
    """Digest of each file in the closure, keyed by its path in the repository (``src/...``).

    Wherever the package lies: in ``src/``, installed, or copied.
    """
    return {
        f"src/{path.relative_to(SOURCE).as_posix()}": source_digest(path)
        for path in code_files(module)
    }


@cache
def code_digest(module: str) -> str:
    """One short digest of everything ``module`` may execute from this package."""
    facts = "\n".join(f"{path} {digest}" for path, digest in code_facts(module).items())
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
