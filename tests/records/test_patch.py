"""What is kept of a working tree with changes, and that it can be had again."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from ernie_m.errors import UserError
from ernie_m.records import patch
from ernie_m.records.record import Record
from ernie_m.records.writer import Account, made_record, open_record, write_record

SECRET = "s3cretvalue"
EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391 blob 0"


def git(*words, folder="."):
    own = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *own, *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A repository with a commit, and one beside it to be patched."""
    own = tmp_path / "own"
    (own / "src").mkdir(parents=True)
    monkeypatch.chdir(own)
    Path("src/changed.py").write_text("one\ntwo\nthree\n")
    Path("src/gone.py").write_text("gone\n")
    Path("src/windows.py").write_bytes(b"a\r\nb")
    Path("notes.md").write_text("not code\n")
    Path(".gitignore").write_text("*.local\nresults/\n")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    git("clone", "--quiet", ".", "../other")
    return own


def edit():
    Path("src/changed.py").write_text("one\n2\nthree\n")
    Path("src/gone.py").unlink()
    Path("src/windows.py").write_bytes(b"a\r\nb\r\nc")
    Path("src/new file.py").write_text("import os\n\x0c\n")
    Path("src/table.bin").write_bytes(bytes(range(256)))
    Path("workflow").mkdir()
    Path("workflow/own.smk").write_text("rule own:\n")
    git("add", "src/table.bin")


def stored():
    """All that git's own store holds."""
    return set(git("cat-file", "--batch-all-objects", "--batch-check").splitlines())


def files(folder):
    found = (path for path in (folder / "src").rglob("*") if path.is_file())
    found = [*found, *(folder / "workflow").glob("*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_same_code_can_be_had_again(tree, tmp_path):
    edit()
    state, objects = git("status", "--porcelain"), stored()
    digest = patch.keep(patch.changes(), tmp_path)
    assert git("status", "--porcelain") == state
    assert stored() - objects <= {EMPTY}
    patch.apply(tmp_path / "other", tmp_path / patch.NAME, digest)
    assert files(tmp_path / "other") == files(tree)


def test_what_does_not_count_or_git_ignores_is_not_kept(tree):
    Path("notes.md").write_text("changed\n")
    Path("src/my.local").write_text(SECRET)
    Path("new.txt").write_text(SECRET)
    assert patch.changes() is None
    Path("src/changed.py").write_text("one\n")
    assert SECRET not in patch.changes()


def test_secrets_are_left_out_and_the_patch_still_fits(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", SECRET + "2")
    Path("src/changed.py").write_text(
        f"one\nurl = 'https://me:{SECRET}@host'\nthree\npassword = '{SECRET}2'\n"
    )
    Path("src/new.py").write_text(f"url = 'https://host/?token={SECRET}'\n")
    digest = patch.keep(patch.changes(), tmp_path)
    assert SECRET not in (tmp_path / patch.NAME).read_text()
    patch.apply(tmp_path / "other", tmp_path / patch.NAME, digest)
    assert files(tmp_path / "other")["src/new.py"] == b"url = 'https://host/?token=***'\n"


def test_what_is_too_large_is_not_kept(tree, monkeypatch):
    monkeypatch.setattr(patch, "LARGEST", 1000)
    Path("src/new.py").write_text("x = 1\n" * 300)
    assert patch.changes() is None
    Path("src/new.py").unlink()
    Path("src/changed.py").write_text("x = 1\n" * 300)
    assert patch.changes() is None


def test_without_a_commit_there_is_no_patch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert patch.changes() is None
    git("init", "--quiet")
    Path("src").mkdir()
    Path("src/new.py").write_text("x = 1\n")
    assert patch.changes() is None


def test_another_patch_or_another_commit_is_refused(tree, tmp_path):
    Path("src/changed.py").write_text("one\n2\nthree\n")
    digest = patch.keep(patch.changes(), tmp_path)
    (tmp_path / "other/src/changed.py").write_text("quite\nanother\n")
    with pytest.raises(UserError, match="does not fit"):
        patch.apply(tmp_path / "other", tmp_path / patch.NAME, digest)
    (tmp_path / patch.NAME).write_text("--- a/src/changed.py\n")
    with pytest.raises(UserError, match="is not the patch"):
        patch.apply(tmp_path / "other", tmp_path / patch.NAME, digest)


def test_the_record_names_the_patch_beside_it(tree):
    def recorded():
        made = Path("results/run/made.txt")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("made\n")
        job = Account("ernie_m.records", "own", "", {}, {"made": [made]}, {}, 1, 1)
        opening = open_record(job)
        Path("src/changed.py").write_text("edited while the job ran\n")
        record = made.with_name("record.json")
        write_record(made_record(job, record, opening), record)
        data = json.loads(record.read_text())
        return Record.parse(data).run.git, made.with_name(patch.NAME)

    Path("src/changed.py").write_text("one\n2\nthree\n")
    state, kept = recorded()
    assert state.patch == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert "+2" in kept.read_text().splitlines()
    git("checkout", "--quiet", "src")
    state, kept = recorded()
    assert (state.patch, state.dirty, kept.exists()) == (None, False, False)
