"""The command line: quick, lazy, and clear about what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.errors import UserError, exit_status_of

HEAVY = {"torch", "mlflow", "snakemake", "pydantic", "yaml", "numpy"}


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_is_quick_because_it_loads_nothing():
    code = "import sys, ernie_m.cli\ntry: ernie_m.cli.main(['--help'])\n"
    code += "except SystemExit: print('LOADED', *sys.modules)"
    loaded = python(code).stdout.partition("LOADED")[2].split()
    assert loaded and HEAVY.isdisjoint(loaded)
    own = {name for name in loaded if name.startswith("ernie_m")}
    light = ("arguments", "cli", "errors", "outside")
    assert own == {"ernie_m", *(f"ernie_m.{name}" for name in light)}
    assert len(loaded) < 200


def test_help_names_every_verb_and_shows_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f"\n  {verb} " in shown for verb in cli.VERBS)
    assert "examples:" in shown


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"ernie-m {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["confg"], ["config", "--wriet"]])
def test_bad_call_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: ernie-m" in capsys.readouterr().err


def test_user_error_is_two_lines_and_status_1(monkeypatch, capsys):
    def fail(module):
        raise UserError("Key `a` is wrong.", "Correct it.")

    monkeypatch.setattr(cli.importlib, "import_module", fail)
    assert cli.main(["config", "--check"]) == 1
    assert capsys.readouterr().err == "error: Key `a` is wrong.\n  -> Correct it.\n"


PRINTS = """\
import sys
from ernie_m.errors import exit_status_of
sys.exit(exit_status_of(lambda: print("x") or 0))"""


def printed_to(handle):
    command = [sys.executable, "-c", PRINTS]
    done = subprocess.run(command, stdout=handle, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


def test_a_reader_that_has_seen_enough_ends_it_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as handle:
        assert printed_to(handle) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_told():
    with Path("/dev/full").open("wb") as handle:
        status, words = printed_to(handle)
    assert status == 1
    assert words.startswith("error: ") and words.count("\n") == 2
    assert "No space left on device" in words


def test_a_terminal_without_the_letters_is_told(capsys):
    assert exit_status_of(lambda: "Ελλάδα".encode("ascii")) == 1
    assert "cannot be written as ascii" in capsys.readouterr().err


def test_ctrl_c_is_status_130_without_a_traceback(capsys):
    def stop():
        raise KeyboardInterrupt

    assert exit_status_of(stop) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_paths_that_cannot_be_used_are_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for path, words in {
        "absent/new": "No such file or directory",
        "file/new": "Not a directory",
        "": "Is a directory",
    }.items():
        assert exit_status_of(lambda place=tmp_path / path: place.write_text("x")) == 1
        assert capsys.readouterr().err.startswith(f"error: {tmp_path / path}: {words}.\n  -> ")
