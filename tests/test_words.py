"""How numbers, names and settings are put for people."""

from ernie_m.words import amount, count, duration, few, flatten, percent, plural, shortened, size


def test_numbers():
    assert [amount(value) for value in (127, 2.5e3, 4.46e12)] == ["127", "2.5 k", "4.46 T"]
    assert [size(value) for value in (12, 67_607_712, 2.5e12)] == ["12 B", "67.6 MB", "2.5 TB"]
    assert [duration(value) for value in (0.24, 48.2, 125)] == ["0.2 s", "48 s", "2 min"]
    assert [duration(value) for value in (5990, 11_100)] == ["1 h 40 min", "3 h 05 min"]
    assert count(1_234_567) == "1\u202f234\u202f567"
    assert percent(0.4129) == "41.3"


def test_names():
    assert [plural(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [few("ab"), few("abcde")] == ["a, b", "a, b, c and 2 more"]
    assert [shortened("abcd", 4), shortened("abcde", 4)] == ["abcd", "abc\N{HORIZONTAL ELLIPSIS}"]


def test_groups_are_told_by_the_keys_that_lead_to_their_values():
    groups = {"a": {"b": 1, "c": {"d": None}}, "e": [1], "f": {}}
    assert dict(flatten(groups)) == {"a.b": 1, "a.c.d": None, "e": [1], "f": {}}
    assert [key for key, _ in flatten(groups, "/")] == ["a/b", "a/c/d", "e", "f"]
