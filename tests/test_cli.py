"""The command line: quick, lazy, and clear about what is wrong."""

import resource
import subprocess
import sys

import pytest

from ernie_m import cli
from ernie_m.errors import UserError

HEAVY = {"torch", "mlflow", "snakemake", "pydantic", "yaml", "numpy"}


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def cpu_seconds(command):
    """CPU time of a child process: unlike the clock, it does not see what else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick():
    command = [sys.executable, "-m", "ernie_m.cli", "--help"]
    assert min(cpu_seconds(command) for _ in range(3)) < 0.3


def test_help_imports_nothing_heavy():
    code = "import sys, ernie_m.cli\ntry: ernie_m.cli.main(['--help'])\n"
    code += "except SystemExit: print('LOADED', *sys.modules)"
    loaded = python(code).stdout.partition("LOADED")[2].split()
    assert loaded and HEAVY.isdisjoint(loaded)


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
