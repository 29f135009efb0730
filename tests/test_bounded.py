"""What no text from outside may do to its reader."""

from itertools import pairwise

import pytest

from ernie_m import bounded
from ernie_m.bounded import parse_json, parse_yaml


def bomb(start, group, levels=9):
    """YAML whose aliases stand for 9 ** ``levels`` values."""
    names = "abcdefghijklm"
    lines = [f"a: &a {start}"]
    for before, name in pairwise(names[: levels + 1]):
        lines.append(f"{name}: &{name} {group.format(', '.join(9 * [f'*{before}']))}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (bomb("[x]", "[{}]"), "stands for more than 200000 values"),
        (bomb("{x: 1}", "{{<<: [{}]}}"), "stands for more than 200000 values"),
        ("a: &a [*a]", "holds itself"),
        ("&a {<<: *a, b: 1}", "holds itself"),
        ("[" * 20_000, "nested more than 100 deep"),
        ("".join(" " * depth + "a:\n" for depth in range(200)), "nested more than 100 deep"),
        (
            "".join(f"a{n}: &a{n} [*a{n - 1}]\n" if n else "a0: &a0 [x]\n" for n in range(200)),
            "deep",
        ),
        ("a: " + "1" * 5000, "Exceeds the limit"),
        ("a: 0x" + "f" * 5000, "a whole number of more than 64 bits"),
        ("a: 1" + ":59" * 3000, "a whole number of more than 64 bits"),
        ("a: 2001-13-45", "month must be in"),
        ("!!int ''", "index"),
        ("!!timestamp abc", "groupdict"),
        ("!!python/object:os.system x", "line 1: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: \0", "control characters"),
    ],
)
def test_yaml_has_bounds(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 20_000, "nested more than 100 deep"),
        ("[" * 200 + "]" * 200, "nested more than 100 deep"),
        ("NaN", "no number"),
        ("-Infinity", "no number"),
        ("1e999", "no number"),
        ("1" * 5000, "Exceeds the limit"),
        ("1" * 40, "more than 64 bits"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ('{"\\udfff": 1}', "lone surrogate"),
        ("{", "Expecting"),
    ],
)
def test_json_has_bounds(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_json(text)


def test_what_is_within_bounds_is_read():
    assert parse_json("[" * 100 + "]" * 100)
    assert (
        parse_json('{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}')["a"][4] == "\N{GRINNING FACE}"
    )
    assert parse_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}
    assert parse_yaml("") is None


def test_a_text_is_utf_8_and_of_a_size_that_fits(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        bounded.read_json(path)
    path.write_text("[1, 2, 3]")
    assert bounded.read_json(path) == [1, 2, 3]
    monkeypatch.setattr(bounded, "MOST_BYTES", 8)
    with pytest.raises(ValueError, match="more than 8 bytes"):
        bounded.read_json(path)
