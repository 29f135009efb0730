"""The code digest: what it must notice, and what it must not."""

import textwrap

import pytest

from ernie_m.records import digest

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


@pytest.mark.parametrize(("path", "text", "noticed"), CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_what_can_change_the_bytes(package, path, text, noticed):
    write, of = package
    before = of("ernie_m.stage.one")
    write(path, text)
    assert (of("ernie_m.stage.one") != before) == noticed


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
