"""Files that are whole or not there."""

import os

import pytest

from ernie_m.atomic import partial, write_atomic


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    write_atomic(path, "néw")
    assert path.read_bytes() == "néw".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_put_in_place_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    path.write_text("old")

    def killed(source, target):
        assert source == partial(path) and source.read_text() == "new"
        raise OSError

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(OSError):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
