"""`make bench-gpu` runs whole where there is no GPU, small; one part that fails is told."""

import json
import sys
from functools import partialmethod

import pytest
import torch
from benchmarks import document, gpu
from benchmarks.gpu import PARTS, Bench, main, measured
from torch.nn import Module


@pytest.mark.parametrize("name", sorted(PARTS))
def test_each_part_finds_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Code for this machine's processor would take minutes to make.
    monkeypatch.setattr(Module, "compile", partialmethod(Module.compile, backend="eager"))
    rows = PARTS[name][0](Bench(torch.device("cpu")))
    assert rows and all(len(row) == 2 and all(row) for row in rows)
    assert name != "resume" or rows[0][1] == "yes"


def test_a_part_that_fails_or_takes_too_long_is_a_row() -> None:
    (late,) = measured("generation", "cpu", 0.1)
    assert late[1].startswith("not done within")
    (failed,) = measured("generation", "tpu", 60)
    assert failed[1].startswith("failed: ") and "tpu" in failed[1]


def test_without_a_gpu_it_says_so_and_on_the_cpu_it_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU"):
        main()
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu"])
    monkeypatch.setattr(gpu, "PARTS", {"generation": PARTS["generation"]})
    before = document.DOCUMENT.read_bytes()
    main()
    lines = capsys.readouterr().out.splitlines()
    ((name, told),) = json.loads(lines[-1])
    assert f"| {name} | {told} |" in lines and "tokens/s" in told
    assert document.DOCUMENT.read_bytes() == before


def test_the_document_has_its_section() -> None:
    assert "<!-- begin gpu -->" in document.DOCUMENT.read_text(encoding="utf-8")
