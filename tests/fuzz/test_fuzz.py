"""A few hundred damaged files of each kind, in this process; `make fuzz` reads thousands, each in a
process with limits."""

import random

import pytest

from ernie_m.errors import UserError
from tests.fuzz.targets import TARGETS

INPUTS = {"records": 15, "configuration": 15}  # the slowest by input


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = TARGETS[name]
    target.open()
    told = 0
    for number in range(INPUTS.get(name, 40)):
        draw = random.Random(f"test/{name}/{number}")
        path = target.damage(draw)
        try:
            target.consume(draw, path)
        except (UserError, OSError):
            told += 1
        target.restore(path)
    assert told or name == "records"  # whose commands return a verdict
