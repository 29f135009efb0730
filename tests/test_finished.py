"""What a job has finished is kept until it was seen, and taken only where it is the same."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ernie_m.finished import FOLDER
from ernie_m.locks import INVOCATION
from tests.test_job import command, environment, folder

__all__ = ["folder"]
PLACE = FOLDER / "mine" / "out+record.json"


def run(
    folder: Path, *words: str, call: str = "mine:a", **settings: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(**settings), *words],
        cwd=folder,
        env=environment(folder) | {INVOCATION: call},
        capture_output=True,
        text=True,
        check=False,
    )


def computed(folder: Path) -> int:
    return len((folder / "computed").read_text())


def results(folder: Path) -> dict[str, bytes]:
    """All but the history, to which each computation is added."""
    here = [path for path in (folder / "out").iterdir() if path.name != "history.jsonl"]
    return {path.name: path.read_bytes() for path in here}


def removed(folder: Path) -> dict[str, bytes]:
    """Remove the results, as Snakemake does before a job; returns them."""
    before = results(folder)
    for name in before:
        (folder / "out" / name).unlink()
    return before


def test_a_job_takes_what_is_kept_and_leaves_it_until_it_was_seen(folder: Path) -> None:
    assert run(folder).returncode == 0
    before = removed(folder)
    for _ in range(2):
        done = run(folder)
        assert done.returncode == 0 and "already done by a job of an earlier call" in done.stderr
        assert results(folder) == before and computed(folder) == 1
    assert set(before) == {"copy.txt", "stats.json", "record.json", "SHA256SUMS"}
    (folder / PLACE / "another").write_text("")  # whatever is there
    forget_in(folder)
    assert not (folder / PLACE).exists()
    assert run(folder).returncode == 0 and computed(folder) == 2


def forget_in(folder: Path) -> None:
    code = "from ernie_m.finished import forget; forget('mine', ['out/record.json', 'no'])"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_no_copy_is_made_of_what_can_have_two_names(folder: Path) -> None:
    run(folder)
    assert (folder / PLACE / "0").samefile(folder / "out/copy.txt")


def test_of_a_stage_that_is_run_by_hand_nothing_is_kept(folder: Path) -> None:
    for number in (1, 2):
        assert run(folder, call="").returncode == 0 and computed(folder) == number
    assert not (folder / FOLDER).exists()


@pytest.mark.parametrize("words", [("--seed", "2"), ("--instance", "other")])
def test_another_job_takes_nothing(folder: Path, words: tuple[str, ...]) -> None:
    run(folder)
    for change in (words, ()):
        before = computed(folder)
        done = run(folder, *change)
        assert done.returncode == 0 and computed(folder) == before + 1
        assert "left other results of this job" in done.stderr


def test_other_settings_inputs_and_code_take_nothing(folder: Path) -> None:
    run(folder)
    run(folder, times=2)
    assert (folder / "out/copy.txt").read_text() == "hellohello" and computed(folder) == 2
    (folder / "text.txt").write_text("jello")
    run(folder, times=2)
    assert (folder / "out/copy.txt").read_text() == "jellojello" and computed(folder) == 3
    stage = folder / "src/ernie_m/stage.py"
    stage.write_text(stage.read_text().replace(".read_text()", ".read_text().upper()"))
    run(folder, times=2)
    assert (folder / "out/copy.txt").read_text() == "JELLOJELLO" and computed(folder) == 4


def test_a_job_of_another_run_takes_nothing(folder: Path) -> None:
    run(folder)
    run(folder, call="other:a")
    assert computed(folder) == 2


def test_results_are_kept_before_a_training_drops_its_state(folder: Path) -> None:
    assert run(folder, mode="die late").returncode == -9
    before = removed(folder)
    done = run(folder, mode="die late")
    assert done.returncode == 0 and computed(folder) == 1 and results(folder) == before


def test_results_are_kept_before_a_later_call_can_delete_them(folder: Path) -> None:
    run(folder, mode="deleted")
    assert not (folder / "out/copy.txt").exists()
    assert run(folder, mode="deleted").returncode == 0 and computed(folder) == 1
    assert (folder / "out/copy.txt").read_text() == "hello"


def test_what_was_kept_by_half_is_not_there(folder: Path) -> None:
    """Killed between the first link and the renaming."""
    run(folder)
    (folder / PLACE).rename(folder / PLACE.with_name(f".partial-{PLACE.name}"))
    assert run(folder).returncode == 0 and computed(folder) == 2
    assert [path.name for path in (folder / PLACE).parent.iterdir()] == [PLACE.name]


def test_a_job_killed_while_it_takes_leaves_nothing_that_is_written_through(folder: Path) -> None:
    """An unfinished output may be a second name of one that is in place."""
    run(folder)
    kept = folder / PLACE / "0"
    os.link(kept, folder / "out/.partial-copy.txt")
    assert run(folder, times=3, mode="die").returncode == -9
    assert kept.read_text() == (folder / "out/copy.txt").read_text() == "hello"
    assert run(folder).returncode == 0 and computed(folder) == 2
    assert not (folder / "out/.partial-copy.txt").exists()


@pytest.mark.parametrize("name", ["0", "record.json"])
def test_what_was_removed_by_half_is_not_taken(folder: Path, name: str) -> None:
    run(folder)
    before = removed(folder)
    (folder / PLACE / name).unlink()
    for _ in range(2):
        assert run(folder).returncode == 0 and computed(folder) == 2
    assert (folder / "out/copy.txt").read_bytes() == before["copy.txt"]


def test_the_history_has_each_computation_once(folder: Path) -> None:
    """Also of a job that was killed before it could write it."""
    run(folder)
    history = folder / "out/history.jsonl"
    lines = history.read_text()
    for before in (lines, ""):
        removed(folder)
        history.write_text(before)
        run(folder)
        assert history.read_text() == lines and computed(folder) == 1


@pytest.mark.parametrize("name", ["0", "record.json"])
def test_damage_is_seen(folder: Path, name: str) -> None:
    run(folder)
    before = removed(folder)
    kept = folder / PLACE / name
    kept.write_text(kept.read_text().replace("hello", "jello").replace('"seed": 1', '"seed": 3'))
    assert run(folder).returncode == 0 and computed(folder) == 2
    after = results(folder)
    assert (
        json.loads(before.pop("record.json"))["facts"]
        == json.loads(after.pop("record.json"))["facts"]
    )
    assert before == after and not list((folder / "out").glob(".partial-*"))


def test_results_on_another_file_system_are_copied(folder: Path, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    with tempfile.TemporaryDirectory(dir=other) as elsewhere:
        (folder / "out").symlink_to(elsewhere)
        run(folder)
        assert (folder / PLACE / "0").stat().st_nlink == 1
        before = removed(folder)
        assert run(folder).returncode == 0 and computed(folder) == 1
        assert results(folder) == before


def test_a_disk_without_room_is_a_warning(folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / FOLDER).write_text("in the way")
    done = run(folder)
    assert done.returncode == 0 and "not kept for a later call" in done.stderr
    assert (folder / "out/record.json").is_file()
