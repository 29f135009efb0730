"""The code digest: what it must notice, and what it must not."""

import ast
import io
import json
import shutil
import subprocess
import sys
import textwrap
import tokenize

import pytest

from ernie_m.pipeline.stages import STAGES, module_of
from ernie_m.records import digest
from tests.repository import ROOT

CACHED = (digest.source_digest, digest.code_files, digest.code_digest, digest._imports)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes modules of a package `ernie_m` and gives the digest of one."""
    monkeypatch.setattr(digest, "SOURCE", tmp_path / "src")

    def write(module, text):
        path = tmp_path / "src" / "ernie_m" / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def of(module):
        for cached in CACHED:
            cached.cache_clear()
        return digest.code_digest(module)

    for folder in ("", "stage/", "config/"):
        write(f"{folder}__init__.py", '"""A package."""\n')
    write("stage/one.py", "from ernie_m.stage import near\nfrom .far import thing\n")
    write("stage/near.py", "VALUE = 1\n")
    write("stage/far.py", "from ernie_m.config import base\n\n\ndef thing():\n    return 1\n")
    write("stage/other.py", "VALUE = 1\n")
    write("config/base.py", "VALUE = 1\n")
    yield write, of
    for cached in CACHED:
        cached.cache_clear()


CHANGES = {
    "the module itself": ("stage/one.py", "from ernie_m.stage import near\n", True),
    "an imported module": ("stage/near.py", "VALUE = 2\n", True),
    "a function of a module imported relatively": (
        "stage/far.py",
        "def thing():\n    return 2\n",
        True,
    ),
    "a template beside": ("stage/page.html", "<p>", True),
    "a module that is not imported": ("stage/other.py", "VALUE = 2\n", False),
    "the configuration's own code": ("config/base.py", "VALUE = 2\n", False),
    "a comment": ("stage/near.py", "# a remark\nVALUE = 1  # another\n", False),
    "a blank line": ("stage/near.py", "\n\nVALUE = 1\n\n", False),
    "a docstring": ("stage/near.py", '"""What this is."""\n\nVALUE = 1\n', False),
    "a docstring in a function": (
        "stage/far.py",
        'from ernie_m.config import base\n\n\ndef thing():\n    """Say."""\n    return 1\n',
        False,
    ),
    "a string that is a value": ("stage/near.py", 'VALUE = "1"\n', True),
}
# Values, of which some have lines that must not be taken for a docstring or a comment.
TEXTS = {
    "the sign of a comment in a string": ("'# {}'", '"\\"# {}"', "f'''\n# {}\n'''"),
    "blank lines of a string": ('"""\n\n{}\n\n"""', "'''a\n  \n{}'''"),
    "strings in brackets": ('(\n"{}"\n)', '[\n  "a"\n  "{}"\n]', '{{\n"a":\n"{}"\n}}'),
    "a string on a continued line": ('\\\n"{}"', '"a" \\\n  "{}"'),
    "a string that is computed": ('1\nf"{{print({})}}"',),
}


@pytest.mark.parametrize(("path", "text", "noticed"), CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_what_can_change_the_bytes(package, path, text, noticed):
    write, of = package
    before = of("ernie_m.stage.one")
    write(path, text)
    assert (of("ernie_m.stage.one") != before) == noticed


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_digest_changes_with_every_letter_of_a_value(texts):
    for text in texts:
        one, other = (f"VALUE = {text.format(number)}\n".encode() for number in "12")
        assert digest.bytes_digest("one.py", one) != digest.bytes_digest("one.py", other), text


def tokens(source):
    """Python's own tokens, without comments, docstrings and the ends of lines."""
    lines = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}
    found = [
        (token.type, token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in skipped
    ]
    before = [tokenize.NEWLINE, *(kind for kind, _ in found)]
    after = [kind for kind, _ in found[1:]] + [tokenize.NEWLINE]
    return [
        text
        for (kind, text), one, other in zip(found, before, after, strict=False)
        if kind not in lines
        and not (kind == tokenize.STRING and one in lines and other == tokenize.NEWLINE)
    ]


def test_all_tokens_count_but_comments_and_docstrings():
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py")]:
        source = path.read_text(encoding="utf-8")
        assert tokens(digest._significant(source)) == tokens(source), path


# Lines with and without imports, in forms that nobody here writes.
ODD = r"""
'''
import no
'''
from a import (b,  # c)
    d)
from .e \
    import f, \
    g
if h: import i; from .. import j
from .k import(l)
m = "; import no"  # import no
n = {"o": important, p: "import no"}; import q
"""


def test_imports_are_those_that_python_finds():
    paths = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py")]
    for source in [ODD, *(path.read_text(encoding="utf-8") for path in paths)]:
        nodes = ast.walk(ast.parse(source))
        expected = [
            ast.dump(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        found = [ast.dump(node) for node in digest._import_statements(source)]
        assert sorted(found) == sorted(expected)


def test_facts_name_the_files(package):
    _, of = package
    of("ernie_m.stage.one")
    assert sorted(digest.code_facts("ernie_m.stage.one")) == [
        "src/ernie_m/__init__.py",
        "src/ernie_m/stage/__init__.py",
        "src/ernie_m/stage/far.py",
        "src/ernie_m/stage/near.py",
        "src/ernie_m/stage/one.py",
    ]


def test_a_missing_module_has_no_digest(package):
    _, of = package
    with pytest.raises(ModuleNotFoundError, match=r"ernie_m\.stage\.absent"):
        of("ernie_m.stage.absent")


def test_an_installed_package_has_the_digests_of_its_source(tmp_path):
    for name in ("pyproject.toml", "README.md", "src"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile")
    target = tmp_path / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(tmp_path)]
    subprocess.run(pip, check=True)
    modules = {module_of(stage) for stage in STAGES}
    code = (
        "import json, sys; from ernie_m.records.digest import code_facts;"
        "print(json.dumps({name: code_facts(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        cwd=target,
        env={"PYTHONPATH": str(target)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stdout) == {name: digest.code_facts(name) for name in modules}
